"""Drawn portraits with exact part masks: the sample dataset that needs no pictures.

:func:`draw_portrait` makes one portrait from a seed and an index. A person is drawn at random and turned into outlines
(:mod:`facesynth.prep.portraits.shapes`, in units of the picture); those outlines are then used twice: rasterised from
back to front as part masks, and painted in the same order as the photo (:mod:`facesynth.prep.portraits.painting`). So photo
and masks share one geometry, and the same portrait comes out at any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facesynth.errors import InputError
from facesynth.labels import CELEBAMASK_HQ
from facesynth.prep.portraits.painting import paint
from facesynth.prep.portraits.raster import rasterise
from facesynth.prep.portraits.shapes import build_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from facesynth.prep.portraits.shapes import Layer

SIZES = (64, 1024)
"""Smallest and largest side of photo and masks."""
REACHES_UNDER: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "skin": frozenset({"nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "mouth", "u_lip", "l_lip"}),
        "nose": frozenset({"eye_g"}),
        "eye_g": frozenset({"l_eye", "r_eye", "l_brow", "r_brow"}),
        "l_ear": frozenset({"ear_r"}),
        "r_ear": frozenset({"ear_r"}),
        "hair": frozenset({"hat", "ear_r"}),
    }
)
"""Where a part's mask goes on under the parts that cover it. Each of those is painted later into a merged map, so the
merged map shows what the photo shows."""


@dataclass(frozen=True)
class Portrait:
    """A drawn portrait.

    Attributes
    ----------
    photo : (size, size, 3) uint8 array
        RGB picture, 0..255.
    parts : mapping of str to (mask_size, mask_size) bool array
        Mask of each part that occurs, by its name in :data:`facesynth.labels.CELEBAMASK_HQ`, in that order. Painted in
        that order they give the merged label map.
    """

    photo: NDArray[np.uint8]
    parts: Mapping[str, NDArray[np.bool_]]


def draw_portrait(seed: int, index: int, *, size: int = 512, mask_size: int = 512) -> Portrait:
    """One portrait and its part masks.

    Parameters
    ----------
    seed, index : int
        Which portrait: the same pair gives the same portrait, at every size and in any order of calls. At least 0.
    size : int
        Side of the photo in pixels, 64..1024.
    mask_size : int
        Side of the masks in pixels, 64..1024.

    Returns
    -------
    Portrait
        The photo, (size, size, 3) uint8, and its masks, (mask_size, mask_size) bool.

    Raises
    ------
    InputError
        If an argument is not a whole number in its range.

    Examples
    --------
    >>> portrait = draw_portrait(0, 3, size=128, mask_size=256)
    >>> portrait.photo.shape, portrait.parts["skin"].shape
    ((128, 128, 3), (256, 256))
    """
    _check("seed", seed, 0, None)
    _check("index", index, 0, None)
    _check("size", size, *SIZES)
    _check("mask_size", mask_size, *SIZES)
    figure = build_figure(np.random.default_rng([int(seed), int(index)]))
    photo = paint(figure, np.random.default_rng([int(seed), int(index), 1]), int(size))
    return Portrait(photo, MappingProxyType(_part_masks(figure.layers, int(mask_size))))


def _check(name: str, value: int, low: int, high: int | None) -> None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        need = f"a whole number from {low} to {high}" if high is not None else f"a whole number of at least {low}"
        raise InputError(f"{name} is {value!r}; give {need}")


def _part_masks(layers: Sequence[Layer], size: int) -> dict[str, NDArray[np.bool_]]:
    names = CELEBAMASK_HQ.parts
    seen = np.zeros((size, size), np.uint8)  # id of what the viewer sees at each pixel
    reach: dict[str, NDArray[np.bool_]] = {}
    for layer in layers:
        box, cover = rasterise(layer.polygons, size, cut=layer.cut)
        inside = cover > 127
        np.copyto(seen[box], np.uint8(1 + names.index(layer.part)), where=inside)
        whole = reach.setdefault(layer.part, np.zeros((size, size), np.bool_))
        whole[box] |= inside
    parts = {}
    for name in (name for name in names if name in reach):
        own = 1 + names.index(name)
        allowed = np.zeros(256, np.uint8)
        allowed[[own, *(1 + names.index(other) for other in REACHES_UNDER.get(name, ()))]] = 1
        if (seen == own).any():
            parts[name] = reach[name] & cv2.LUT(seen, allowed).view(np.bool_)
    return parts
