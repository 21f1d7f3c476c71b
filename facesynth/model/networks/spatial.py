"""The spatial path: a condition -> a small U-Net -> feature maps that are added to the generator's.

W+ latents describe a face, but do not place its lines to the pixel. The spatial path adds that: one feature map for each of
the config's ``spatial_resolutions``, with as many channels as the generator has there, added to the output of the upsampling
convolution of the generator's block. The last layers are 1 x 1 convolutions initialised to zero, so adding a path to a model
does not change its faces at first.

::

    condition  ->  128 px  ->  64 px  ->  32 px  ->  16 px  ->  8 px
    (N, C, S, S)                 |          |          |          |
                               64 px  <-  32 px  <-  16 px  <-----+      each through its 1 x 1 convolution

References: Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015 (the U-Net);
Zhang et al., "Adding Conditional Control to Text-to-Image Diffusion Models", ICCV 2023, section 3.1 (zero convolutions).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesynth.errors import InputError

if TYPE_CHECKING:
    from facesynth.model.config.model import ModelConfig

SpatialMaps = Mapping[int, Tensor]
"""Feature maps that are added to a generator's, (N, channels, resolution, resolution) each, by resolution, pixels."""
_SLOPE = 0.2
"""Of the leaky ReLUs, for negative inputs."""


class SpatialPath(nn.Module):
    """A condition to feature maps for a generator.

    Parameters
    ----------
    config
        The sizes of the model, with ``spatial_resolutions``.

    Raises
    ------
    InputError
        If the config has no ``spatial_resolutions``.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = config.spatial_widths
        if not widths:
            raise InputError("spatial_resolutions is (); needed: at least one resolution, for a spatial path")
        self.input_channels, self.input_size = config.input_channels, config.input_size
        sizes = list(reversed(widths))  # largest first
        halvings = (config.input_size // sizes[0]).bit_length() - 1
        first = max(2 * widths[sizes[0]] // 3, 1)
        stem: list[nn.Module] = []
        channels = config.input_channels
        for _ in range(max(halvings, 1)):
            stem += _convolution(channels, first, stride=2 if halvings else 1)
            channels = first
        self.stem = nn.Sequential(*stem, *_convolution(first, widths[sizes[0]]))
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for larger, size in itertools.pairwise(sizes):
            self.down.append(
                nn.Sequential(
                    *_convolution(widths[larger], widths[size], stride=2), *_convolution(widths[size], widths[size])
                )
            )
            self.up.insert(0, nn.Sequential(*_convolution(widths[size] + widths[larger], widths[larger])))
        self.middle = nn.Sequential(*_convolution(widths[sizes[-1]], widths[sizes[-1]]))
        channels_of = {4 << k: count for k, count in enumerate(config.generator.channels)}
        self.heads = nn.ModuleDict(
            {str(size): nn.Conv2d(widths[size], channels_of[size], 1) for size in config.spatial_resolutions}
        )
        for head in self.heads.values():
            assert isinstance(head, nn.Conv2d)
            assert head.bias is not None
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def forward(self, condition: Tensor) -> dict[int, Tensor]:
        """A condition to the feature maps that are added to the generator's.

        Parameters
        ----------
        condition
            (N, input_channels, input_size, input_size), the input of the encoder (:mod:`facesynth.model.networks.encoder`).

        Returns
        -------
        dict of int to Tensor
            (N, the generator's channels, resolution, resolution) by resolution, ascending.

        Raises
        ------
        InputError
            If ``condition`` has another shape.
        """
        needed = (self.input_channels, self.input_size, self.input_size)
        if condition.ndim != 4 or tuple(condition.shape[1:]) != needed:
            raise InputError(
                f"condition has shape {tuple(condition.shape)}; needed: (N, {', '.join(map(str, needed))})"
            )
        features: Tensor = self.stem(condition)
        passed = [features]
        for level in self.down:
            features = level(features)
            passed.append(features)
        features = self.middle(passed.pop())
        found = {features.shape[2]: features}
        for level in self.up:
            beside = passed.pop()
            larger = F.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)
            features = level(torch.cat([larger.to(beside.dtype), beside], dim=1))
            found[features.shape[2]] = features
        return {int(name): head(found[int(name)]) for name, head in self.heads.items()}


def _convolution(channels: int, out: int, stride: int = 1) -> list[nn.Module]:
    """A 3 x 3 convolution with He initialisation, and a leaky ReLU."""
    layer = nn.Conv2d(channels, out, 3, stride=stride, padding=1)
    assert layer.bias is not None
    nn.init.kaiming_normal_(layer.weight, a=_SLOPE, nonlinearity="leaky_relu")
    nn.init.zeros_(layer.bias)
    return [layer, nn.LeakyReLU(_SLOPE)]


def scale_maps(maps: SpatialMaps | None, follow: float) -> SpatialMaps | None:
    """Spatial maps multiplied by a factor.

    Parameters
    ----------
    maps
        As returned by :class:`SpatialPath`; None for a model without one.
    follow
        The factor, 0 to 1: 1 leaves the maps unchanged, 0 removes them, so that a face depends on its latents alone.

    Returns
    -------
    mapping of int to Tensor, or None
        None if there is nothing to add.

    Raises
    ------
    InputError
        If ``follow`` is out of its range.
    """
    if not (math.isfinite(follow) and 0.0 <= follow <= 1.0):
        raise InputError(f"follow is {follow}; needed: a number from 0 to 1")
    if maps is None or follow == 0.0:
        return None
    return maps if follow == 1.0 else {size: value * follow for size, value in maps.items()}


def check_maps(maps: SpatialMaps, channels: Mapping[int, int], count: int) -> None:
    """Check that spatial maps fit a generator.

    Parameters
    ----------
    maps
        (N, channels, resolution, resolution) by resolution, pixels.
    channels
        Channels of the generator's feature maps, by resolution.
    count
        N, the number of samples.

    Raises
    ------
    InputError
        If a resolution or a shape does not fit.
    """
    for size, value in maps.items():
        if size not in channels:
            raise InputError(f"spatial has a map of {size} px; needed: of {', '.join(map(str, channels))} px")
        needed = (count, channels[size], size, size)
        if tuple(value.shape) != needed:
            raise InputError(f"spatial has a map of shape {tuple(value.shape)} at {size} px; needed: {needed}")
