"""Sketches drawn from photos and label maps."""
