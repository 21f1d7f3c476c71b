"""What a hand does to the parts of a label map: straight borders, too large, too small, out of place, left out.

Label maps are (H, W) uint8 arrays of class ids; lengths are pixels of the map given. Pixels that a part gives up go to the
part that is nearest.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.labels import LabelScheme

    LabelMap = NDArray[np.uint8]

_FEATURES = ("eye", "brow", "nose", "lip", "mouth", "teeth", "glass")
"""What the names of parts within the face hold."""
_COARSEST = 0.12
"""Tolerance of a polygon, as a share of its part's width: small parts are drawn with more care."""


@lru_cache(maxsize=8)
def grounds(scheme: LabelScheme) -> tuple[int, ...]:
    """What each class turns into where the part is left out.

    Parts within the face turn into skin, all others into background. A scheme that does not call its classes so has its
    first class in their place: what no part covers. Skin and background stay.

    Returns
    -------
    tuple of int
        For each id the id that takes its place.

    Examples
    --------
    >>> from facesynth.labels import CELEBAMASK_HQ, LabelScheme
    >>> [CELEBAMASK_HQ.classes[grounds(CELEBAMASK_HQ)[CELEBAMASK_HQ.classes.index(name)]] for name in ("nose", "hair")]
    ['skin', 'background']
    >>> grounds(LabelScheme("cats", ("none", "cat", "nose")))
    (0, 0, 0)
    """
    names = [name.lower() for name in scheme.classes]
    background = names.index("background") if "background" in names else 0
    skin = names.index("skin") if "skin" in names else background
    within = [any(feature in name for feature in _FEATURES) for name in names]
    ground = [skin if inside else background for inside in within]
    ground[background], ground[skin] = background, skin
    return tuple(ground)


def drop(labels: LabelMap, parts: Collection[int], scheme: LabelScheme) -> LabelMap:
    """The map without some parts: skin or background in their place (see :func:`grounds`)."""
    ground = grounds(scheme)
    table = np.array([ground[number] if number in parts else number for number in range(len(scheme))], np.uint8)
    return np.asarray(table[labels])


def areas(labels: LabelMap) -> NDArray[np.int64]:
    """Pixels of each of the ids 0 to 255."""
    counts = cv2.calcHist([labels], [0], None, [256], [0, 256])
    return np.asarray(counts.ravel(), np.int64)


def give_away(labels: LabelMap, pixels: NDArray[np.bool_]) -> LabelMap:
    """The map with each of ``pixels``, an (H, W) bool array, of the class of the nearest pixel that is none of them."""
    if not pixels.any() or pixels.all():
        return labels
    _, nearest = cv2.distanceTransformWithLabels(
        pixels.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owners = np.empty(int(nearest.max()) + 1, np.uint8)
    owners[nearest[~pixels]] = labels[~pixels]
    return np.asarray(owners[nearest])


def grow(labels: LabelMap, part: int, width: float) -> LabelMap:
    """One part wider by ``width`` on either side, or narrower where it is negative.

    A part grows over larger parts alone, so that skin doesn't close over the eyes. One that is too narrow to become
    narrower stays as it is.
    """
    inside = np.asarray(labels == part, np.uint8)
    if width == 0 or not inside.any():
        return labels
    near = _around(inside, math.ceil(max(width, 0)) + 1)
    before, mask = labels[near], inside[near]
    distance = cv2.distanceTransform(mask if width < 0 else 1 - mask, cv2.DIST_L2, cv2.DIST_MASK_5)
    if width < 0:
        kept = distance > 0.5 - width  # the border runs half a pixel before the first
        after = np.where((mask > 0) & ~kept, give_away(before, mask > 0), before) if kept.any() else before
    else:
        sizes = areas(labels)
        after = np.where((sizes > sizes[part])[before] & (distance < 0.5 + width), np.uint8(part), before)
    return _with(labels, near, after)


def shift(labels: LabelMap, part: int, right: int, down: int) -> LabelMap:
    """One part moved by whole pixels; what it leaves goes to the nearest part.

    Where it touches the border of the map, it goes on beyond.
    """
    inside = np.asarray(labels == part, np.uint8)
    if (right, down) == (0, 0) or not inside.any():
        return labels
    near = _around(inside, max(abs(right), abs(down)) + 1)
    before, mask = labels[near], inside[near] > 0
    rows, columns = (
        np.clip(np.arange(length) - offset, 0, length - 1)
        for length, offset in zip(mask.shape, (down, right), strict=True)
    )
    moved = mask[rows[:, None], columns]
    return _with(labels, near, np.where(moved, np.uint8(part), give_away(before, mask)))


def _around(inside: NDArray[np.uint8], margin: int) -> tuple[slice, slice]:
    """The rectangle of a mask, wider by ``margin`` pixels: what changes lies there, and there is less of it to go through."""
    left, top, width, height = cv2.boundingRect(inside)
    return (
        slice(max(0, top - margin), top + height + margin),
        slice(max(0, left - margin), left + width + margin),
    )


def _with(labels: LabelMap, near: tuple[slice, slice], inner: LabelMap) -> LabelMap:
    """The map with another rectangle in it."""
    changed: LabelMap = labels.copy()
    changed[near] = inner
    return changed


def polygons(labels: LabelMap, tolerance: float) -> LabelMap:
    """Every part drawn as polygons, the small ones over the large ones.

    Parameters
    ----------
    labels : (H, W) uint8 array
    tolerance : float
        How far a polygon may be from the outline, pixels; in proportion less for parts that are small.

    Returns
    -------
    (H, W) uint8 array
        Slivers that no polygon covers go to the nearest.

    References
    ----------
    Douglas, Peucker, "Algorithms for the reduction of the number of points required to represent a digitized line or its
    caricature", Cartographica 10(2), 1973: how outlines become polygons.
    """
    if tolerance <= 0:
        return labels
    shapes: list[tuple[float, int, NDArray[Any]]] = []
    for part in np.flatnonzero(areas(labels)).tolist():
        outlines, family = cv2.findContours(np.asarray(labels == part, np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        outer = family.reshape(-1, 4)[:, 3] < 0  # the others go around holes, in which other shapes will be
        shapes += [(cv2.contourArea(line), part, line) for line, wanted in zip(outlines, outer, strict=True) if wanted]
    drawn, covered = np.zeros_like(labels), np.zeros_like(labels)
    for area, part, outline in sorted(shapes, key=lambda shape: -shape[0]):
        simple = cv2.approxPolyDP(outline, min(tolerance, _COARSEST * math.sqrt(area)), closed=True)
        cv2.fillPoly(drawn, [simple], part)
        cv2.fillPoly(covered, [simple], 1)
    return give_away(drawn, covered == 0)
