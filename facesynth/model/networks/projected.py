"""A projected discriminator: maps of a frozen network, pictures and their condition in; scores for every place of each out.

A small head judges each of the frozen network's maps, which know more of pictures than a few photos could teach; one more
network judges the picture itself beside its condition, so that a face has to be that of its condition. Every convolution is
divided by its spectral norm, which keeps all of them about equally strong.

References: Sauer et al., "Projected GANs Converge Faster", NeurIPS 2021, section 3 (heads on a frozen network's maps); Miyato
et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018, section 2.1; Isola et al., "Image-to-Image
Translation with Conditional Adversarial Networks", CVPR 2017, section 3.2.2 (scores for places, the condition beside the
picture).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesynth.errors import InputError

HEAD_WIDTH = 64
"""Channels of a head on a frozen network's map."""
PIXEL_WIDTH = 32
"""Channels of the network that sees the pictures, behind its first convolution."""
_SLOPE = 0.2
_FIRST_ITERATIONS = 15
"""Power iterations that a new layer begins with."""


class SpectralConv2d(nn.Conv2d):
    """A convolution whose kernel, as a matrix (out, in k k), is divided by its largest singular value.

    Power iteration finds that value: one step at every pass in training, from the singular vector of the pass before. It is
    done in float32, also under autocast.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding
        As those of :class:`torch.nn.Conv2d`.
    """

    left: Tensor
    """The left singular vector so far, (out,)."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding)
        self.register_buffer("left", F.normalize(torch.randn(out_channels), dim=0))
        if self.weight.device.type != "meta":
            for _ in range(_FIRST_ITERATIONS):
                self._move(self.weight.detach().flatten(1))

    def _move(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """A step of power iteration: the singular vectors, of which the left one is kept in training."""
        right = F.normalize(matrix.t() @ self.left, dim=0)
        left = F.normalize(matrix @ right, dim=0)
        if self.training:
            self.left.copy_(left)
        return left, right

    def forward(self, features: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H', W')."""
        with torch.autocast(self.weight.device.type, enabled=False):
            matrix = self.weight.flatten(1)
            with torch.no_grad():
                left, right = self._move(matrix)
            kernel = self.weight / (left @ (matrix @ right))
        return self._conv_forward(features, kernel, self.bias)


class ProjectedDiscriminator(nn.Module):
    """Scores of pictures, by a frozen network's maps and by the pictures beside their conditions.

    Parameters
    ----------
    channels
        Of the frozen network's maps.
    condition_channels
        Of the conditions.
    """

    def __init__(self, channels: Sequence[int], condition_channels: int) -> None:
        super().__init__()
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

    def forward(self, maps: Sequence[Tensor], pictures: Tensor, condition: Tensor) -> list[Tensor]:
        """The scores, the higher the more of a photo.

        Parameters
        ----------
        maps
            The frozen network's of the pictures, (N, C, H, W) each.
        pictures
            (N, 3, S, S) around [-1, 1].
        condition
            (N, condition_channels, T, T), enlarged or reduced to the pictures' size.

        Returns
        -------
        list of Tensor
            (N, 1, H', W') each, of every head and last of the network that sees the pictures.

        Raises
        ------
        InputError
            If there is another number of maps than of heads.
        """
        if len(maps) != len(self.heads):
            raise InputError(f"there are {len(maps)} maps; needed: {len(self.heads)}, one for every head")
        scores: list[Tensor] = [head(values) for head, values in zip(self.heads, maps, strict=True)]
        if condition.shape[2:] != pictures.shape[2:]:
            condition = F.interpolate(condition, size=pictures.shape[2:], mode="bilinear", antialias=True)
        scores.append(self.pixels(torch.cat([pictures, condition.to(pictures.dtype)], dim=1)))
        return scores


def _convolution(channels: int, out: int, kernel: int) -> list[nn.Module]:
    """A convolution by its spectral norm, one of 4 x 4 halving the size, and a leaky ReLU."""
    stride, padding = (2, 1) if kernel == 4 else (1, kernel // 2)
    return [SpectralConv2d(channels, out, kernel, stride, padding), nn.LeakyReLU(_SLOPE)]
