"""Training of pSp models: training steps, validation, and the plan and cost of a run."""
