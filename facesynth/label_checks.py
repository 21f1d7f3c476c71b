"""Whether the ids of a label map mean what its scheme says: class ids in, doubts as lines of text out.

Two faults leave every id in its range and are not seen by a reader. Maps that were resized with interpolation have seams of
other classes between two; and maps of another scheme, or with left and right exchanged, have the parts of a face where they
cannot be. Both are found from the map alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
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
CLEARLY = 20.0
"""By so much another order must fit better, in squared deviations."""
LEAST_LIKE = 150.0
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


def parts_of(labels: NDArray[np.uint8], scheme: LabelScheme) -> NDArray[np.float64]:
    """Area and centre of every class in a label map.

    Parameters
    ----------
    labels : (H, W) uint8 array
        Class ids.
    scheme : LabelScheme

    Returns
    -------
    (classes, 3) float64 array
        Number of pixels, and the centre, x to the right and y down in pixels; zeros for a class that is not in the map. The
        centre is that of the pixels on a grid of about 64 cells a side, or of all of them if none is on it.

    Examples
    --------
    >>> from facesynth.labels import LabelScheme
    >>> parts_of(np.array([[0, 0, 0], [0, 1, 1]], np.uint8), LabelScheme("one", ("none", "part"))).tolist()
    [[4.0, 0.75, 0.25], [2.0, 1.5, 1.0]]
    """
    count = len(scheme)
    steps = [max(1, side // _SIDE) for side in labels.shape]
    cells = labels[:: steps[0], :: steps[1]]
    rows, columns = np.indices(cells.shape)
    flat = cells.ravel()
    on_grid = np.bincount(flat, minlength=count)
    parts = np.zeros((count, 3))
    parts[:, 0] = np.bincount(labels.ravel(), minlength=count)
    for axis, places in ((1, columns * steps[1]), (2, rows * steps[0])):
        parts[:, axis] = np.bincount(flat, places.ravel(), count) / np.maximum(on_grid, 1)
    for number in np.flatnonzero((on_grid == 0) & (parts[:, 0] > 0)).tolist():
        parts[number, 2:0:-1] = np.mean(np.nonzero(labels == number), axis=1)
    return parts


def unlikeness(maps: NDArray[np.float64], scheme: LabelScheme) -> NDArray[np.float64]:
    """How far the parts of label maps are from a face's.

    Parameters
    ----------
    maps : (N, classes, 3) float64 array
        The parts of each map (see :func:`parts_of`).
    scheme : LabelScheme

    Returns
    -------
    (N,) float64 array
        Squared deviations; NaN if too few parts are a face's to tell.
    """
    names = [name for name in _USUAL if name in scheme.classes]
    if "skin" not in scheme.classes or not names:
        return np.full(len(maps), np.nan)
    numbers = [scheme.classes.index(name) for name in names]
    usual = [_USUAL[name] for name in names]
    skin = maps[:, [scheme.classes.index("skin")]]
    areas = maps[:, numbers, 0]
    here = areas * _SIDE**2 >= maps[..., 0].sum(1, keepdims=True)  # smaller ones are specks
    with np.errstate(divide="ignore", invalid="ignore"):
        sizes = np.log(areas / skin[..., 0])
        places = (maps[:, numbers, 1:] - skin[..., 1:]) / np.sqrt(skin[..., :1])
        away = np.abs(np.dstack((sizes, places)) - [each[:3] for each in usual]) / _SPREAD
    costs = (np.minimum(away, _FARTHEST) ** 2).sum(-1) + [each.present for each in usual]
    total: NDArray[np.float64] = np.where(here, costs, [each.absent for each in usual]).sum(1)
    return np.where((skin[:, 0, 0] > 0) & (here.sum(1) >= _FEWEST), total, np.nan)


def usual_areas() -> dict[str, float]:
    """Natural logarithms of the areas of the parts that most faces show, relative to that of the skin, by class."""
    return {name: usual.area for name, usual in _USUAL.items() if usual.absent}


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


def costs_of_orders(maps: NDArray[np.float64], scheme: LabelScheme) -> dict[str, NDArray[np.float64]]:
    """How far the parts of label maps are from a face's in each order of :func:`orders_of`.

    Parameters
    ----------
    maps : (N, classes, 3) float64 array
        The parts of each map (see :func:`parts_of`).
    scheme : LabelScheme

    Returns
    -------
    dict of str to (N,) float64 array
        Squared deviations; NaN for maps that have too few parts to tell in any order.
    """
    costs = {name: unlikeness(maps, order) for name, order in orders_of(scheme).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NaN alone
        worst = np.nanmax(list(costs.values()), axis=0) + CLEARLY
    return {name: np.where(np.isnan(values), worst, values) for name, values in costs.items()}


def better_order(maps: NDArray[np.float64], scheme: LabelScheme) -> str:
    """The order of classes that label maps have rather than their scheme's; empty if the scheme's fits.

    Parameters
    ----------
    maps : (N, classes, 3) float64 array
        The parts of one map, or of several of one set (see :func:`parts_of`).
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
    costs = costs_of_orders(maps, scheme)
    if np.isnan(costs[""]).all():
        return ""
    means = {name: float(np.nanmean(values)) for name, values in costs.items()}
    best = min(means, key=lambda name: means[name])
    return best if means[best] <= LEAST_LIKE and means[""] - means[best] > CLEARLY else ""
