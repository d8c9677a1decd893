"""Local front ends: extractor and matcher."""
