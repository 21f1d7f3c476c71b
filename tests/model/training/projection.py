"""A small frozen network for projected discriminators to see pictures through."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Projection(nn.Module):
    """A frozen network with two maps."""

    channels = (4, 6)

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.first, self.second = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 6, 3, 2, 1)
        self.requires_grad_(False)

    def maps(self, pictures: Tensor) -> list[Tensor]:
        found = torch.relu(self.first(pictures))
        return [found, torch.relu(self.second(found))]

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).square().mean()
