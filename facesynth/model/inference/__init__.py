"""Inference: files into conditions, conditions into faces, photos into label maps."""
