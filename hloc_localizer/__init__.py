"""Visual localization for robots: maps built from recordings, poses from camera images."""

__version__ = '0.1.0'
