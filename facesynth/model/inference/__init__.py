"""Inference: conditions in and faces out, photos in and label maps out, as arrays or as files."""
