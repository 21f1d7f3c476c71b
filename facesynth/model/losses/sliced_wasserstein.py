"""The sliced Wasserstein distance of two sets of pictures: batches of pictures in, one distance per scale out.

The distance compares the distributions of patches at every scale. It needs no trained network, so it can replace metrics that
need an Inception network; it measures texture and edges, but not whether a picture shows a face.

Reference: Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation", ICLR 2018, section 5.
There, the patches of each set are normalised by that set's own mean and standard deviation. Here, both are normalised by those
of the first set, so that a colour cast or a loss of contrast increases the distance.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from facesynth.errors import InputError
from facesynth.model.config.gan import COARSEST

PATCH = 7
"""Side of a patch, pixels."""
PATCHES = 128
"""Patches per picture at every scale."""
DIRECTIONS = 128
"""Number of random directions onto which patches are projected."""


def laplacian_pyramid(pictures: Tensor) -> list[Tensor]:
    """The Laplacian pyramid of pictures, finest level first; the last level is the low-pass picture at 16 px.

    Parameters
    ----------
    pictures
        (N, C, S, S), floating point, any range; S a power of two of at least 16.

    Returns
    -------
    list of Tensor
        (N, C, S, S), (N, C, S / 2, S / 2), ... (N, C, 16, 16).

    References
    ----------
    Burt and Adelson, "The Laplacian Pyramid as a Compact Image Code", IEEE Transactions on Communications 31(4), 1983.
    """
    levels = []
    while pictures.shape[-1] > COARSEST:
        smaller = _smooth(pictures, 1.0)[:, :, ::2, ::2]
        spread = pictures.new_zeros(pictures.shape)
        spread[:, :, ::2, ::2] = smaller
        levels.append(pictures - _smooth(spread, 4.0))
        pictures = smaller
    return [*levels, pictures]


def _smooth(pictures: Tensor, gain: float) -> Tensor:
    """Pictures filtered with the [1, 4, 6, 4, 1] kernel of Burt and Adelson (1983), with reflection padding."""
    channels = pictures.shape[1]
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=pictures.dtype, device=pictures.device) / 16
    kernel = gain * torch.outer(taps, taps).expand(channels, 1, 5, 5)
    return F.conv2d(F.pad(pictures, (2, 2, 2, 2), mode="reflect"), kernel, groups=channels)


def draw_patches(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """Patches at random positions of each picture.

    Parameters
    ----------
    pictures
        (N, C, S, S), any range; S at least :data:`PATCH`.
    rng
        On the CPU.

    Returns
    -------
    Tensor
        (N PATCHES, C, PATCH, PATCH), :data:`PATCHES` for each picture.
    """
    count, n_offsets = len(pictures), pictures.shape[-1] - PATCH + 1
    positions = torch.randint(n_offsets * n_offsets, (count, PATCHES), generator=rng).to(pictures.device)
    windows = pictures.unfold(2, PATCH, 1).unfold(3, PATCH, 1).flatten(2, 3)  # (N, C, positions, PATCH, PATCH), a view
    samples = torch.arange(count, device=pictures.device)[:, None]
    return windows.permute(0, 2, 1, 3, 4)[samples, positions].flatten(0, 1)


class PatchDistance:
    """The distance of sets of pictures from a reference set, whose patches are drawn only once.

    Parameters
    ----------
    batches
        The reference set: batches of pictures (N, 3, S, S), S a power of two of at least 16.
    seed
        Seed of the positions of patches and of the directions.

    Raises
    ------
    InputError
        If there are no pictures.
    """

    def __init__(self, batches: Iterable[Tensor], seed: int = 0) -> None:
        self.seed = seed
        patches = self._patches(batches)
        axes = (0, 2, 3)
        self.scales = [(level.mean(axes, keepdim=True), level.std(axes, keepdim=True) + 1e-8) for level in patches]
        self.projected = self._project(patches)

    def __call__(self, batches: Iterable[Tensor]) -> dict[int, float]:
        """The distance of a set of pictures from the reference set.

        Parameters
        ----------
        batches
            Batches of pictures (N, 3, S, S): of the same size, and in total as many, as in the reference set.

        Returns
        -------
        dict of int to float
            The distance at every scale, by the scale's size in pixels, times 1000 as in the paper; 0 for the reference set.

        Raises
        ------
        InputError
            If the number or the size of the pictures differs.
        """
        patches = self._patches(batches)
        if [len(level) for level in patches] != [len(level) for level in self.projected]:
            came, needed = (
                f"{len(levels[0]) // PATCHES} of {COARSEST << len(levels) - 1} px"
                for levels in (patches, self.projected)
            )
            raise InputError(f"pictures came: {came}; needed: {needed}")
        sizes = (COARSEST << level for level in reversed(range(len(patches))))
        pairs = zip(sizes, self._project(patches), self.projected, strict=True)
        return {size: 1000 * float((one - other).abs().mean()) for size, one, other in pairs}

    def _patches(self, batches: Iterable[Tensor]) -> list[Tensor]:
        rngs: list[torch.Generator] = []  # one per scale, so that positions don't depend on the batches
        drawn = []
        for pictures in batches:
            levels = laplacian_pyramid(pictures.float())
            rngs += [torch.Generator().manual_seed(self.seed + scale) for scale in range(len(rngs), len(levels))]
            drawn.append([draw_patches(level, rng) for level, rng in zip(levels, rngs, strict=True)])
        if not drawn:
            raise InputError("there are no pictures to compare; needed: at least one")
        return [torch.cat(levels) for levels in zip(*drawn, strict=True)]

    def _project(self, patches: list[Tensor]) -> list[Tensor]:
        """The sorted projections of each scale's patches onto every direction, (patches, DIRECTIONS) per scale."""
        rng = torch.Generator().manual_seed(self.seed)
        projected = []
        for level, (mean, deviation) in zip(patches, self.scales, strict=True):
            descriptors = ((level - mean) / deviation).flatten(1)
            directions = torch.randn(descriptors.shape[1], DIRECTIONS, generator=rng)
            directions = (directions / directions.norm(dim=0)).to(descriptors)
            projected.append((descriptors @ directions).sort(dim=0).values)
        return projected
