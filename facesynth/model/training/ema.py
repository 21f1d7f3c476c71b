"""The exponential moving average of a network's weights, updated in place."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def move_average(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    """Update the moving average of a model's state, in place; integer tensors are copied.

    Parameters
    ----------
    averaged
        The network that holds the average.
    model
        The network in training, of the same sizes.
    decay
        Weight of the old average, 0 to 1.
    """
    for mean, value in zip(averaged.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)
