"""How far apart the faces of one condition are in the colours of their parts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALLEST_PART = 50 / 128**2
"""Parts that cover less than this share of the picture have no colour of their own."""


def colours_apart(faces: NDArray[np.uint8], labels: NDArray[np.uint8], classes: Sequence[int]) -> list[float]:
    """CIE 1976 difference of the mean colours of a class, mean over pairs of faces.

    Parameters
    ----------
    faces : (N, H, W, 3) uint8 array
        Faces of one label map in several styles; at least two.
    labels : (H, W) uint8 array
        The label map.
    classes : sequence of int
        Class ids.

    Returns
    -------
    list of float
        One number a class; NaN where the class is missing or too small.
    """
    from skimage.color import deltaE_cie76, rgb2lab

    apart = []
    for number in classes:
        inside = labels == number
        if inside.mean() < SMALLEST_PART:
            apart.append(np.nan)
            continue
        means = rgb2lab(np.stack([face[inside].mean(0) for face in faces])[None] / 255)[0]
        apart.append(float(np.mean([deltaE_cie76(a, b) for a, b in itertools.combinations(means, 2)])))
    return apart
