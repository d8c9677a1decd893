"""Global descriptors and the index over map images."""
