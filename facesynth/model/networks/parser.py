"""A small U-Net that segments face photos: photos (N, 3, H, H) in, class scores (N, n_classes, S, S) out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from facesynth.model.config.model import ParserConfig


class ParserNetwork(nn.Module):
    """A U-Net with two convolutions per resolution.

    Parameters
    ----------
    config
        The sizes.
    n_classes
        Number of classes.
    """

    def __init__(self, config: ParserConfig, n_classes: int) -> None:
        super().__init__()
        self.size = config.input_size
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        width = 3
        for wider in config.channels:
            self.down.append(_two_convolutions(width, wider))
            width = wider
        for narrower in reversed(config.channels[:-1]):
            self.up.append(_two_convolutions(width + narrower, narrower))
            width = narrower
        self.scores = nn.Conv2d(width, n_classes, 1)

    def forward(self, photos: Tensor) -> Tensor:
        """Photos to class scores.

        Parameters
        ----------
        photos
            (N, 3, H, H) in [-1, 1]. Photos of another size than the parser's input size S are resized to it.

        Returns
        -------
        Tensor
            (N, n_classes, S, S), the logits of the classes.
        """
        if photos.shape[-1] != self.size:
            size = (self.size, self.size)
            photos = F.interpolate(photos, size, mode="bilinear", antialias=True, align_corners=False)
        maps: list[Tensor] = []
        features = photos
        for index, block in enumerate(self.down):
            features = block(F.max_pool2d(features, 2) if index else features)
            maps.append(features)
        for block, skip in zip(self.up, reversed(maps[:-1]), strict=True):
            upsampled = F.interpolate(features, scale_factor=2.0, mode="nearest")
            features = block(torch.cat([upsampled, skip], 1))
        scores: Tensor = self.scores(features)
        return scores


def _two_convolutions(in_channels: int, out_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        convolution = nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
