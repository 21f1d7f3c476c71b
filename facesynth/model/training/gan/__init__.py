"""Training of generators: adversarial steps, adaptive augmentation, validation, and the plan of a run."""
