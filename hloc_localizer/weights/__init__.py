"""Weights of learned models: which there are, where they lie, whether they are the right ones."""
