"""Whether the ids of a label map mean what its scheme says: class ids in, doubts as lines of text out.

Two faults leave every id in its range and are not seen by a reader. Maps that were resized with interpolation have seams of
other classes between two; and maps of another scheme, or with left and right exchanged, have the parts of a face where they
cannot be. Both are found from the map alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from facesynth.labels import SCHEMES, LabelScheme

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_SEAMS = 0.1
"""Largest share of the pixels at borders between classes that lie between their neighbours' ids. Over label maps as they are
painted, of 64 px and more, it is at most 0.045; after interpolation at least 0.14."""
MOST_BORDERS = 0.5
"""With a larger share of pixels at borders a map has no areas that could have been smoothed."""
EXCHANGED = "left and right exchanged"
"""What is said of maps in which they are."""


class Part(NamedTuple):
    """Where a class is: its area in pixels, and its centre, x to the right and y down in pixels."""

    area: float
    x: float
    y: float


class _Usual(NamedTuple):
    """Where a part of a face usually is, by the centre of the skin, in units of the root of the skin's area.

    Attributes
    ----------
    area : float
        Natural logarithm of its area, relative to that of the skin.
    x, y : float
        Its centre.
    absent, present : float
        What it costs if there is none, and if there is one.
    """

    area: float
    x: float
    y: float
    absent: float = 4.0
    present: float = 0.0


_USUAL: Mapping[str, _Usual] = {
    "nose": _Usual(-2.7, 0.0, 0.02),
    "eye_g": _Usual(-1.7, 0.0, -0.2, 0.0, 3.0),
    "l_eye": _Usual(-4.2, 0.26, -0.18),
    "r_eye": _Usual(-4.2, -0.26, -0.18),
    "l_brow": _Usual(-4.3, 0.26, -0.32),
    "r_brow": _Usual(-4.3, -0.26, -0.32),
    "l_ear": _Usual(-3.9, 0.6, -0.06, 1.0, 1.0),
    "r_ear": _Usual(-3.9, -0.6, -0.06, 1.0, 1.0),
    "mouth": _Usual(-4.0, 0.0, 0.39, 1.0, 1.0),
    "u_lip": _Usual(-4.3, 0.0, 0.34),
    "l_lip": _Usual(-3.9, 0.0, 0.4),
    "hair": _Usual(0.0, 0.0, -0.38),
    "hat": _Usual(0.0, 0.0, -0.9, 0.0, 3.0),
    "ear_r": _Usual(-4.4, 0.0, 0.2, 0.0, 3.0),
    "neck_l": _Usual(-3.5, 0.0, 0.95, 0.0, 3.0),
    "neck": _Usual(-1.5, 0.0, 0.8),
    "cloth": _Usual(-1.2, 0.0, 1.05, 1.0, 1.0),
}
"""The classes of a face, rounded from the label maps of `facesynth prep sample`."""
_SPREAD = (0.9, 0.2, 0.15)
"""Usual deviations of area and centre."""
_FARTHEST = 4.0
"""Larger deviations count as this many."""
_FEWEST = 8
"""Classes of :data:`_USUAL` that a map must have; fewer tell no order."""
_CLEARLY = 20.0
"""By so much another order must fit better, in squared deviations."""
_LEAST_LIKE = 150.0
"""Squared deviations beyond which a map is of no face in any order; those of faces have up to 130."""
_SIDE = 64
"""Cells per side of the grid on which parts are measured."""


def interpolated(labels: NDArray[np.uint8], scheme: LabelScheme) -> str:
    """What shows that a label map was resized with interpolation; empty if nothing does.

    Parameters
    ----------
    labels : (H, W) uint8 array
        Class ids.
    scheme : LabelScheme

    Examples
    --------
    >>> from facesynth.labels import CELEBAMASK_HQ
    >>> hair = np.zeros((64, 64), np.uint8)
    >>> hair[20:40, 20:40] = 13
    >>> interpolated(hair, CELEBAMASK_HQ)
    ''
    >>> interpolated(cv2.blur(hair, (3, 3)), CELEBAMASK_HQ).partition(":")[0]
    "44 of 66 pixels at borders of classes lie between their neighbours' ids (only there"
    """
    rows = labels[::2]
    before, here, after = rows[:, :-2], rows[:, 1:-1], rows[:, 2:]
    between = ((before < here) & (here < after)) | ((before > here) & (here > after))
    count, borders = int(np.count_nonzero(between)), int(np.count_nonzero(here != after))
    if count <= max(8, MOST_SEAMS * borders) or borders > MOST_BORDERS * here.size:
        return ""
    kernel = np.ones((3, 3), np.uint8)
    found = np.unique(here[between]).tolist()
    seams = [
        number for number in found if not cv2.erode((labels == number).astype(np.uint8), kernel, borderValue=0).any()
    ]
    names = ", ".join(scheme.classes[number] for number in seams or found)
    what = f"only there: {names}" if seams else names
    return (
        f"{count} of {borders} pixels at borders of classes lie between their neighbours' ids ({what}): the map was resized "
        "with interpolation; needed: nearest neighbour"
    )


def parts_of(labels: NDArray[np.uint8], scheme: LabelScheme) -> dict[int, Part]:
    """Area and centre of every class in a label map, on a grid of about 64 cells a side.

    Parameters
    ----------
    labels : (H, W) uint8 array
        Class ids.
    scheme : LabelScheme
    """
    cells = labels[:: max(1, labels.shape[0] // _SIDE), :: max(1, labels.shape[1] // _SIDE)]
    rows, columns = np.indices(cells.shape)
    flat, count = cells.ravel(), len(scheme)
    areas = np.bincount(flat, minlength=count)
    xs = np.bincount(flat, columns.ravel() * (labels.shape[1] / cells.shape[1]), count)
    ys = np.bincount(flat, rows.ravel() * (labels.shape[0] / cells.shape[0]), count)
    scale = labels.size / cells.size
    return {
        number: Part(areas[number] * scale, xs[number] / areas[number], ys[number] / areas[number])
        for number in np.flatnonzero(areas).tolist()
    }


def unlikeness(parts: Mapping[int, Part], scheme: LabelScheme) -> float | None:
    """How far the parts of a label map are from a face's, in squared deviations; None if too few are a face's to tell."""
    names = {scheme.classes[number]: part for number, part in parts.items() if number < len(scheme)}
    skin = names.get("skin")
    if skin is None or len(names.keys() & _USUAL.keys()) < _FEWEST:
        return None
    unit, total = skin.area**0.5, 0.0
    for name, usual in _USUAL.items():
        if name not in scheme.classes:
            continue
        if name not in names:
            total += usual.absent
            continue
        part = names[name]
        measured = (np.log(part.area / skin.area), (part.x - skin.x) / unit, (part.y - skin.y) / unit)
        total += usual.present
        for value, needed, spread in zip(measured, usual[:3], _SPREAD, strict=True):
            total += min(abs(value - needed) / spread, _FARTHEST) ** 2
    return float(total)


def orders_of(scheme: LabelScheme) -> dict[str, LabelScheme]:
    """The orders that a map of ``scheme`` may have by mistake, by what is said of it; the scheme itself by an empty text."""
    others = {
        f"the order of the scheme {name}": other
        for name, other in SCHEMES.items()
        if other.classes != scheme.classes and set(other.classes) == set(scheme.classes)
    }
    mirrored = tuple(scheme.classes[number] for number in scheme.mirror)
    turned = {EXCHANGED: replace(scheme, classes=mirrored)} if mirrored != scheme.classes else {}
    return {"": scheme, **others, **turned}


def better_order(maps: Sequence[Mapping[int, Part]], scheme: LabelScheme) -> str:
    """The order of classes that label maps have rather than their scheme's; empty if the scheme's fits.

    Parameters
    ----------
    maps : sequence of mapping of int to Part
        The parts of one map, or of several of one set, by class id (see :func:`parts_of`).
    scheme : LabelScheme
        The scheme that they are said to have.

    Returns
    -------
    str
        "the order of the scheme …" or :data:`EXCHANGED`.

    Notes
    -----
    Each part's area and centre, relative to the skin, is compared with where it is on upright faces. Another order must fit
    clearly better, in the mean over the maps.
    """
    orders = orders_of(scheme)
    sums = dict.fromkeys(orders, 0.0)
    counted = 0
    for parts in maps:
        values = {name: unlikeness(parts, order) for name, order in orders.items()}
        known = {name: value for name, value in values.items() if value is not None}
        if "" not in known and not known:
            continue
        counted += 1
        worst = max(known.values()) + _CLEARLY
        for name in orders:
            sums[name] += known.get(name, worst)
    if not counted:
        return ""
    best = min(sums, key=lambda name: sums[name])
    is_face = sums[best] <= _LEAST_LIKE * counted
    return best if is_face and sums[""] - sums[best] > _CLEARLY * counted else ""
