"""Sketches of photos and label maps."""
