"""The settings of models and training runs: frozen dataclasses, presets, and overrides by options and files."""
