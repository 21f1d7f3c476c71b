"""Procedural portraits with exact part masks, and the sample dataset made of them."""
