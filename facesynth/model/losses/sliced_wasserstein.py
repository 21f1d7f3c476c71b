"""The sliced Wasserstein distance of two sets of pictures: how much their patches differ at every scale.

It needs no trained network, so it serves where an Inception network isn't at hand; it sees texture and edges, but not
whether a face is one.

Reference: Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation", ICLR 2018, section 5.
There the patches of either set are scaled by their own mean and deviation; here both by the first set's, so that a tint or
a flat picture counts.
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
"""Patches a picture at every scale."""
DIRECTIONS = 128
"""Directions that patches are projected on."""


def laplacian_pyramid(pictures: Tensor) -> list[Tensor]:
    """What every scale adds to the next coarser one, the finest first, down to 16 px, which is kept as it is.

    Parameters
    ----------
    pictures
        (N, C, S, S), S a power of two of at least 16.

    Returns
    -------
    list of Tensor
        (N, C, S, S), (N, C, S / 2, S / 2), ... (N, C, 16, 16).
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
    """The [1, 4, 6, 4, 1] filter of Burt and Adelson (1983), on pictures that are mirrored at their edges."""
    channels = pictures.shape[1]
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=pictures.dtype, device=pictures.device) / 16
    kernel = gain * torch.outer(taps, taps).expand(channels, 1, 5, 5)
    return F.conv2d(F.pad(pictures, (2, 2, 2, 2), mode="reflect"), kernel, groups=channels)


def draw_patches(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """Patches from places drawn for each picture: (N PATCHES, C, PATCH, PATCH)."""
    count, room = len(pictures), pictures.shape[-1] - PATCH + 1
    where = torch.randint(room * room, (count, PATCHES), generator=rng).to(pictures.device)
    windows = pictures.unfold(2, PATCH, 1).unfold(3, PATCH, 1).flatten(2, 3)  # (N, C, places, PATCH, PATCH), a view
    chosen = torch.arange(count, device=pictures.device)[:, None]
    return windows.permute(0, 2, 1, 3, 4)[chosen, where].flatten(0, 1)


class PatchDistance:
    """The distance of sets of pictures from one set, whose patches are drawn once.

    Parameters
    ----------
    batches
        Of (N, 3, S, S) pictures, S a power of two of at least 16; at least one.
    seed
        Of the places of patches and the directions.

    Raises
    ------
    InputError
        If there is no picture.
    """

    def __init__(self, batches: Iterable[Tensor], seed: int = 0) -> None:
        self.seed = seed
        patches = self._patches(batches)
        axes = (0, 2, 3)
        self.scales = [(level.mean(axes, keepdim=True), level.std(axes, keepdim=True) + 1e-8) for level in patches]
        self.projected = self._project(patches)

    def __call__(self, batches: Iterable[Tensor]) -> dict[int, float]:
        """How far other pictures are from the set.

        Parameters
        ----------
        batches
            Of pictures of the set's size, in all as many as the set has.

        Returns
        -------
        dict of int to float
            The distance at every scale by its size in pixels, times 1000 as in the paper; 0 for the set itself.

        Raises
        ------
        InputError
            If there are more or fewer pictures, or they have another size.
        """
        patches = self._patches(batches)
        if [len(level) for level in patches] != [len(level) for level in self.projected]:
            came, has = (
                f"{len(side[0]) // PATCHES} of {COARSEST << len(side) - 1} px" for side in (patches, self.projected)
            )
            raise InputError(f"pictures came: {came}; needed: {has}")
        sizes = (COARSEST << level for level in reversed(range(len(patches))))
        pairs = zip(sizes, self._project(patches), self.projected, strict=True)
        return {size: 1000 * float((one - other).abs().mean()) for size, one, other in pairs}

    def _patches(self, batches: Iterable[Tensor]) -> list[Tensor]:
        rngs: list[torch.Generator] = []  # one a scale, so that places don't depend on how pictures are batched
        drawn = []
        for pictures in batches:
            levels = laplacian_pyramid(pictures.float())
            rngs += [torch.Generator().manual_seed(self.seed + scale) for scale in range(len(rngs), len(levels))]
            drawn.append([draw_patches(level, rng) for level, rng in zip(levels, rngs, strict=True)])
        if not drawn:
            raise InputError("there are no pictures to compare; needed: at least one")
        return [torch.cat(levels) for levels in zip(*drawn, strict=True)]

    def _project(self, patches: list[Tensor]) -> list[Tensor]:
        """Every scale's patches along every direction, sorted: (patches, DIRECTIONS)."""
        rng = torch.Generator().manual_seed(self.seed)
        projected = []
        for level, (mean, deviation) in zip(patches, self.scales, strict=True):
            descriptors = ((level - mean) / deviation).flatten(1)
            directions = torch.randn(descriptors.shape[1], DIRECTIONS, generator=rng)
            directions = (directions / directions.norm(dim=0)).to(descriptors)
            projected.append((descriptors @ directions).sort(dim=0).values)
        return projected
