"""Learned local front ends; torch is imported by the modules here, when one is used."""
