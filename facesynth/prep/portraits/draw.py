"""Procedural portraits with exact part masks, for the sample dataset.

:func:`draw_portrait` draws one portrait from a seed and an index. A random person is turned into outlines in picture units
(:mod:`facesynth.prep.portraits.shapes`). The outlines are rasterised from back to front as part masks, and painted in the
same order as the photo (:mod:`facesynth.prep.portraits.painting`). So photo and masks share one geometry, and a portrait
looks the same at every size.
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
"""Smallest and largest side of photo and masks, pixels."""
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
"""Parts under which the mask of a part continues. They are painted later into the label map, so the map still shows what
the photo shows."""


@dataclass(frozen=True)
class Portrait:
    """A procedural portrait.

    Attributes
    ----------
    photo : (size, size, 3) uint8 array
        RGB, 0..255.
    parts : mapping of str to (mask_size, mask_size) bool array
        Masks of the parts that occur, by their names in CelebAMask-HQ's scheme and in its order. Painted in that order they
        give the label map.
    """

    photo: NDArray[np.uint8]
    parts: Mapping[str, NDArray[np.bool_]]


def draw_portrait(seed: int, index: int, *, size: int = 512, mask_size: int = 512) -> Portrait:
    """Draw one portrait and its part masks.

    Parameters
    ----------
    seed, index : int
        Select the portrait, at least 0. The same pair gives the same portrait at every size.
    size : int
        Side of the photo, 64..1024 pixels.
    mask_size : int
        Side of the masks, 64..1024 pixels.

    Returns
    -------
    Portrait
        The photo, (size, size, 3) uint8, and its masks, (mask_size, mask_size) bool.

    Raises
    ------
    InputError
        If an argument is not an integer in its range.

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
    is_integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_integer or value < low or (high is not None and value > high):
        need = f"a whole number from {low} to {high}" if high is not None else f"a whole number of at least {low}"
        raise InputError(f"{name} is {value!r}; give {need}")


def _part_masks(layers: Sequence[Layer], size: int) -> dict[str, NDArray[np.bool_]]:
    names = CELEBAMASK_HQ.parts
    visible = np.zeros((size, size), np.uint8)  # 1 + index of the part that is visible at each pixel
    extent: dict[str, NDArray[np.bool_]] = {}
    for layer in layers:
        box, cover = rasterise(layer.polygons, size, cut=layer.cut)
        inside = cover > 127
        np.copyto(visible[box], np.uint8(1 + names.index(layer.part)), where=inside)
        mask = extent.setdefault(layer.part, np.zeros((size, size), np.bool_))
        mask[box] |= inside
    parts = {}
    for name in (name for name in names if name in extent):
        own = 1 + names.index(name)
        allowed = np.zeros(256, np.uint8)
        allowed[[own, *(1 + names.index(other) for other in REACHES_UNDER.get(name, ()))]] = 1
        if (visible == own).any():
            parts[name] = extent[name] & cv2.LUT(visible, allowed).view(np.bool_)
    return parts
