"""From a map and an image to a pose."""
