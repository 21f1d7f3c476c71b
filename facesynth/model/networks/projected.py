"""A projected discriminator: a frozen network's feature maps, pictures and any conditions in; scores of patches out.

Each feature map of the frozen network, whose features are better than those learnt from a few photos, has a small
discriminator. One further discriminator sees the picture together with its condition, so that a face has to fit its condition;
without conditions it sees the picture alone.
All convolutions have spectral normalisation, which keeps the discriminators about equally strong.

References: Sauer et al., "Projected GANs Converge Faster", NeurIPS 2021, section 3 (discriminators on feature maps of a frozen
network); Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018, section 2.1; Isola et al.,
"Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017, section 3.2.2 (scores of patches, the condition
as additional channels of the picture).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesynth.errors import InputError

HEAD_WIDTH = 64
"""Channels of a discriminator of a feature map."""
PIXEL_WIDTH = 32
"""Channels of the discriminator of pictures, after its first convolution."""
_SLOPE = 0.2
"""Of the leaky ReLUs, for negative inputs."""
_FIRST_ITERATIONS = 15
"""Power iterations when a layer is created."""


class SpectralConv2d(nn.Conv2d):
    """A convolution whose kernel, as a matrix (out, in k k), is divided by its largest singular value.

    Power iteration estimates this value. In training mode every forward pass does one more iteration. It is computed in
    float32, also under autocast.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding
        As in :class:`torch.nn.Conv2d`.
    """

    left: Tensor
    """The current estimate of the left singular vector, (out,)."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding)
        self.register_buffer("left", F.normalize(torch.randn(out_channels), dim=0))
        if self.weight.device.type != "meta":
            for _ in range(_FIRST_ITERATIONS):
                self._iterate(self.weight.detach().flatten(1))

    def _iterate(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """One power iteration: the left and right singular vectors; in training mode the left one is stored."""
        right = F.normalize(matrix.t() @ self.left, dim=0)
        left = F.normalize(matrix @ right, dim=0)
        if self.training:
            self.left.copy_(left)
        return left, right

    def forward(self, features: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H', W')."""
        device = self.weight.device.type
        with nullcontext() if device == "meta" else torch.autocast(device, enabled=False):
            matrix = self.weight.flatten(1)
            with torch.no_grad():
                left, right = self._iterate(matrix)
            kernel = self.weight / (left @ (matrix @ right))
        scores: Tensor = self._conv_forward(features, kernel, self.bias)
        return scores


class ProjectedDiscriminator(nn.Module):
    """Scores of pictures by a frozen network's feature maps, and by the pictures together with their conditions, if any.

    Parameters
    ----------
    channels
        Channels of each of the frozen network's feature maps.
    condition_channels
        Channels of the conditions; 0 if there are none.
    """

    def __init__(self, channels: Sequence[int], condition_channels: int = 0) -> None:
        super().__init__()
        self.condition_channels = condition_channels
        self.heads = nn.ModuleList(
            nn.Sequential(
                *_convolution(count, HEAD_WIDTH, 1),
                *_convolution(HEAD_WIDTH, HEAD_WIDTH, 3),
                SpectralConv2d(HEAD_WIDTH, 1, 3, padding=1),
            )
            for count in channels
        )
        widths = [3 + condition_channels, *(PIXEL_WIDTH * factor for factor in (1, 2, 4, 4))]
        halvings = [layer for pair in itertools.pairwise(widths) for layer in _convolution(*pair, 4)]
        self.pixels = nn.Sequential(*halvings, SpectralConv2d(widths[-1], 1, 3, padding=1))

    def forward(self, maps: Sequence[Tensor], pictures: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        """The scores of patches, higher for photos.

        Parameters
        ----------
        maps
            The frozen network's feature maps of the pictures, (N, C, H, W) each.
        pictures
            (N, 3, S, S) near [-1, 1].
        condition
            (N, condition_channels, T, T); resampled to the size of the pictures. None if there are no conditions.

        Returns
        -------
        list of Tensor
            (N, 1, H', W') each: one for every feature map, then that of the discriminator of pictures.

        Raises
        ------
        InputError
            If the number of feature maps or the channels of the condition are wrong.
        """
        if len(maps) != len(self.heads):
            raise InputError(
                f"there are {len(maps)} maps; needed: {len(self.heads)}, one for every discriminator of a map"
            )
        channels = 0 if condition is None else condition.shape[1]
        if channels != self.condition_channels:
            raise InputError(f"condition has {channels} channels; needed: {self.condition_channels}")
        scores: list[Tensor] = [head(values) for head, values in zip(self.heads, maps, strict=True)]
        if condition is not None and channels:
            if condition.shape[2:] != pictures.shape[2:]:
                condition = F.interpolate(condition, size=pictures.shape[2:], mode="bilinear", antialias=True)
            pictures = torch.cat([pictures, condition.to(pictures.dtype)], dim=1)
        scores.append(self.pixels(pictures))
        return scores


def _convolution(channels: int, out: int, kernel: int) -> list[nn.Module]:
    """A convolution with spectral normalisation, of stride 2 if it is 4 x 4, and a leaky ReLU."""
    stride, padding = (2, 1) if kernel == 4 else (1, kernel // 2)
    return [SpectralConv2d(channels, out, kernel, stride, padding), nn.LeakyReLU(_SLOPE)]
