"""Transforms, trajectories, cameras, absolute pose, alignment: pure functions on arrays."""
