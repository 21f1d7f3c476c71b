"""Settings of models and training runs: frozen dataclasses, presets, and overrides from options and files."""
