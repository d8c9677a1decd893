"""Learned global descriptors; torch is imported by the modules here, when one is used."""
