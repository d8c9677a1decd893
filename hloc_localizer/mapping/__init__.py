"""From a source to a map."""
