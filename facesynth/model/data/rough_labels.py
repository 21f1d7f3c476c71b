"""Effects that make label maps look hand-drawn: straight borders, and regions too large, too small, displaced or missing.

Label maps are (H, W) uint8 arrays of class ids; lengths are in pixels of the map. A region is all pixels of one class. Pixels
that a region gives up take the class of the nearest other pixel.
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
"""Words in the names of classes that lie within the face."""
_MOST_TOLERANCE = 0.12
"""Upper limit of a polygon's tolerance, as a fraction of the square root of its area: small regions are more exact."""


@lru_cache(maxsize=8)
def grounds(scheme: LabelScheme) -> tuple[int, ...]:
    """The class that replaces each class where it is left out.

    Classes within the face are replaced by skin, all others by background. If no class is named skin, background is used
    instead of it; if none is named background, the first class is used. Skin and background themselves stay.

    Returns
    -------
    tuple of int
        For each id, the id that replaces it.

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


def drop(labels: LabelMap, classes: Collection[int], scheme: LabelScheme) -> LabelMap:
    """A label map without some classes, which are replaced by skin or background (see :func:`grounds`).

    Parameters
    ----------
    labels : (H, W) uint8 array
    classes : collection of int
        Ids to remove.
    scheme : LabelScheme

    Returns
    -------
    (H, W) uint8 array
    """
    replacement = grounds(scheme)
    table = np.array([replacement[number] if number in classes else number for number in range(len(scheme))], np.uint8)
    return np.asarray(table[labels])


def areas(labels: LabelMap) -> NDArray[np.int64]:
    """The area of every class, pixels.

    Parameters
    ----------
    labels : (H, W) uint8 array

    Returns
    -------
    (256,) int64 array
        By id.
    """
    counts = cv2.calcHist([labels], [0], None, [256], [0, 256])
    return np.asarray(counts.ravel(), np.int64)


def fill_from_nearest(labels: LabelMap, pixels: NDArray[np.bool_]) -> LabelMap:
    """A label map in which the pixels of a mask take the class of the nearest pixel outside the mask.

    Parameters
    ----------
    labels : (H, W) uint8 array
    pixels : (H, W) bool array
        The mask. If it is empty or covers the whole map, the map is returned unchanged.

    Returns
    -------
    (H, W) uint8 array
    """
    if not pixels.any() or pixels.all():
        return labels
    _, nearest = cv2.distanceTransformWithLabels(
        pixels.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    class_of_source = np.empty(int(nearest.max()) + 1, np.uint8)
    class_of_source[nearest[~pixels]] = labels[~pixels]
    return np.asarray(class_of_source[nearest])


def grow(labels: LabelMap, number: int, width: float) -> LabelMap:
    """A label map with the region of one class dilated or eroded.

    A region grows only over classes with a larger area, so that skin does not cover the eyes. A region that would vanish when
    eroded is left unchanged.

    Parameters
    ----------
    labels : (H, W) uint8 array
    number : int
        Id of the class.
    width : float
        By how much the region grows on every side, pixels; negative to shrink it.

    Returns
    -------
    (H, W) uint8 array
    """
    inside = np.asarray(labels == number, np.uint8)
    if width == 0 or not inside.any():
        return labels
    window = _bounding_box(inside, math.ceil(max(width, 0)) + 1)
    before, mask = labels[window], inside[window]
    distance = cv2.distanceTransform(mask if width < 0 else 1 - mask, cv2.DIST_L2, cv2.DIST_MASK_5)
    if width < 0:
        core = distance > 0.5 - width  # the border lies half a pixel outside the outermost pixel
        after = np.where((mask > 0) & ~core, fill_from_nearest(before, mask > 0), before) if core.any() else before
    else:
        sizes = areas(labels)
        after = np.where((sizes > sizes[number])[before] & (distance < 0.5 + width), np.uint8(number), before)
    return _replaced(labels, window, after)


def shift(labels: LabelMap, number: int, right: int, down: int) -> LabelMap:
    """A label map with the region of one class translated; the pixels that it leaves take the nearest other class.

    A region that touches the border of the map is assumed to continue beyond it.

    Parameters
    ----------
    labels : (H, W) uint8 array
    number : int
        Id of the class.
    right, down : int
        Translation, pixels.

    Returns
    -------
    (H, W) uint8 array
    """
    inside = np.asarray(labels == number, np.uint8)
    if (right, down) == (0, 0) or not inside.any():
        return labels
    window = _bounding_box(inside, max(abs(right), abs(down)) + 1)
    before, mask = labels[window], inside[window] > 0
    rows, columns = (
        np.clip(np.arange(length) - offset, 0, length - 1)
        for length, offset in zip(mask.shape, (down, right), strict=True)
    )
    moved = mask[rows[:, None], columns]
    return _replaced(labels, window, np.where(moved, np.uint8(number), fill_from_nearest(before, mask)))


def _bounding_box(inside: NDArray[np.uint8], margin: int) -> tuple[slice, slice]:
    """The bounding box of a mask, ``margin`` pixels wider on every side; only the pixels in it can change."""
    left, top, width, height = cv2.boundingRect(inside)
    return (
        slice(max(0, top - margin), top + height + margin),
        slice(max(0, left - margin), left + width + margin),
    )


def _replaced(labels: LabelMap, window: tuple[slice, slice], inner: LabelMap) -> LabelMap:
    """A copy of a label map with the content of a window replaced."""
    changed: LabelMap = labels.copy()
    changed[window] = inner
    return changed


def polygons(labels: LabelMap, tolerance: float) -> LabelMap:
    """A label map with every connected region drawn as a polygon, small ones over large ones.

    Parameters
    ----------
    labels : (H, W) uint8 array
    tolerance : float
        The largest distance between a polygon and the outline, pixels; less for small regions. 0 or less returns the map
        unchanged.

    Returns
    -------
    (H, W) uint8 array
        Gaps that no polygon covers are filled from the nearest pixel.

    References
    ----------
    Douglas, Peucker, "Algorithms for the reduction of the number of points required to represent a digitized line or its
    caricature", Cartographica 10(2), 1973: the simplification of outlines.
    """
    if tolerance <= 0:
        return labels
    regions: list[tuple[float, int, NDArray[Any]]] = []
    for number in np.flatnonzero(areas(labels)).tolist():
        mask = np.asarray(labels == number, np.uint8)
        contours, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        is_outer = hierarchy.reshape(-1, 4)[:, 3] < 0  # the others enclose holes, which regions of other classes fill
        regions += [
            (cv2.contourArea(contour), number, contour)
            for contour, outer in zip(contours, is_outer, strict=True)
            if outer
        ]
    drawn, covered = np.zeros_like(labels), np.zeros_like(labels)
    for area, number, contour in sorted(regions, key=lambda region: -region[0]):
        polygon = cv2.approxPolyDP(contour, min(tolerance, _MOST_TOLERANCE * math.sqrt(area)), closed=True)
        cv2.fillPoly(drawn, [polygon], number)
        cv2.fillPoly(covered, [polygon], 1)
    return fill_from_nearest(drawn, covered == 0)
