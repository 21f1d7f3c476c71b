"""A small U-Net that labels every pixel of a face photo with a class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from facesynth.model.config.model import ParserConfig


class ParserNetwork(nn.Module):
    """The network.

    Parameters
    ----------
    config
        The sizes.
    n_classes
        Classes that it tells apart.
    """

    def __init__(self, config: ParserConfig, n_classes: int) -> None:
        super().__init__()
        self.size = config.input_size
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        width = 3
        for wider in config.channels:
            self.down.append(_pair(width, wider))
            width = wider
        for narrower in reversed(config.channels[:-1]):
            self.up.append(_pair(width + narrower, narrower))
            width = narrower
        self.scores = nn.Conv2d(width, n_classes, 1)

    def forward(self, photos: Tensor) -> Tensor:
        """Photos (N, 3, H, H) in [-1, 1] of any size to the classes' scores at the parser's own, (N, n_classes, S, S)."""
        if photos.shape[-1] != self.size:
            size = (self.size, self.size)
            photos = F.interpolate(photos, size, mode="bilinear", antialias=True, align_corners=False)
        maps: list[Tensor] = []
        features = photos
        for index, pair in enumerate(self.down):
            features = pair(F.max_pool2d(features, 2) if index else features)
            maps.append(features)
        for pair, beside in zip(self.up, reversed(maps[:-1]), strict=True):
            larger = F.interpolate(features, scale_factor=2.0, mode="nearest")
            features = pair(torch.cat([larger, beside], 1))
        scores: Tensor = self.scores(features)
        return scores


def _pair(width: int, wider: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for read in (width, wider):
        layers += [nn.Conv2d(read, wider, 3, padding=1, bias=False), nn.BatchNorm2d(wider), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
