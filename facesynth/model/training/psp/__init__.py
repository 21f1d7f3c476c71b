"""Training of pSp models."""
