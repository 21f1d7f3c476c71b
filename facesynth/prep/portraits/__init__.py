"""Procedural portraits with exact part masks: the embedded sample."""
