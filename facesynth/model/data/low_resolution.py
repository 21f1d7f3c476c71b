"""The conditions of super-resolution: photos downsampled, and enlarged again to the encoder's input size.

Reference: Richardson et al., "Encoding in Style", CVPR 2021, section 4 (super resolution).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from facesynth.errors import InputError


def lowered(photos: Tensor, factors: Sequence[int]) -> Tensor:
    """Photos at reduced resolution: antialiased bicubic downsampling, then bilinear upsampling to the original size.

    Parameters
    ----------
    photos : (N, 3, S, S) float tensor
        In [-1, 1].
    factors : sequence of int
        The downsampling factor of every photo, a divisor of S. 1 leaves a photo unchanged.

    Returns
    -------
    (N, 3, S, S) float tensor
        In [-1, 1].

    Raises
    ------
    InputError
        If the number of factors is not N, or a factor does not divide S.
    """
    size = photos.shape[-1]
    if len(factors) != len(photos) or any(factor < 1 or size % factor for factor in factors):
        raise InputError(f"factors is {tuple(factors)}; needed: {len(photos)} divisors of {size}")
    return torch.stack([_lowered(photo, factor) for photo, factor in zip(photos, factors, strict=True)])


def _lowered(photo: Tensor, factor: int) -> Tensor:
    if factor == 1:
        return photo
    size = photo.shape[-1]
    small = F.interpolate(photo[None], size=(size // factor,) * 2, mode="bicubic", antialias=True).clamp(-1, 1)
    return F.interpolate(small, size=(size, size), mode="bilinear", align_corners=False)[0]
