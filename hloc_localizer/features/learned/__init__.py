"""Learned local front ends; torch is imported by the modules here, when one is used."""

from __future__ import annotations

from hloc_localizer import idle_threads as idle_threads
