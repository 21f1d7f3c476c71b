"""Whether the label maps and photos of a set are plausible together: rows of the manifest in, findings out.

A single map is judged by :mod:`facesynth.label_checks`. Over a set it also shows which classes nearly all maps have, how large
each class usually is, and which photos are there twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from facesynth.label_checks import (
    CLEARLY,
    EXCHANGED,
    LEAST_LIKE,
    better_order,
    costs_of_orders,
    parts_of,
    unlikeness,
    usual_areas,
)
from facesynth.label_maps import order_text
from facesynth.prep.pipeline.findings import Finding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.labels import LabelScheme

Remark = tuple[str, Finding]
"""An id, or :data:`WHOLE`, and what was found."""

WHOLE = "labels/"
"""Stands in place of an id for all label maps."""
ORDER_KINDS = ("other-order", "exchanged")
"""Findings about the order of the classes, which are one for the set if most of it has another order."""
FEWEST = 20
"""Maps from which on a set tells what is usual."""
_NEARLY_ALL = 0.95
"""Share of the other maps that must have a class for its absence to be a finding."""
_MOST_LACKING = 0.01
"""Larger shares without a class are a habit of the set (bald heads, closed eyes), if they are more than two maps."""
_COVERS: Mapping[str, tuple[str, ...]] = {
    "l_eye": ("eye_g",),
    "r_eye": ("eye_g",),
    "l_brow": ("eye_g", "hair", "hat"),
    "r_brow": ("eye_g", "hair", "hat"),
    "hair": ("hat",),
    "neck": ("cloth",),
}
"""What may hide a class; a map that has it lacks nothing."""
_FAR_AREA = 2.0
"""Least distance from the usual that makes an area odd, natural logarithm: seven times or a seventh."""
_DEVIATIONS = 8.0
"""The same, in median absolute deviations of the set."""
_FAR_FROM_PRIOR = 3.6
"""The same, from the areas that are stored, for a class that few maps of the set have: four of their usual deviations."""


def class_columns(labels: NDArray[np.uint8], scheme: LabelScheme) -> dict[str, str]:
    """The columns that describe a label map: its classes, and the area and centre of each.

    Parameters
    ----------
    labels : (H, W) uint8 array
        Class ids of ``scheme``.
    scheme : LabelScheme
    """
    parts = parts_of(labels, scheme)
    present = np.flatnonzero(parts[:, 0])
    return {
        "classes": " ".join(map(str, present)),
        "class_pixels": " ".join(f"{area:.0f}" for area in parts[present, 0]),
        "class_centres": " ".join(f"{x:.0f},{y:.0f}" for x, y in parts[present, 1:]),
    }


def audit(rows: Iterable[Mapping[str, str]], scheme: LabelScheme) -> list[Remark]:
    """What is odd about a set of photos with label maps.

    Parameters
    ----------
    rows : iterable of mapping of str to str
        Rows of the manifest. Maps without ``class_centres`` count only as photos.
    scheme : LabelScheme
        The scheme that the maps are said to have.

    Returns
    -------
    list of (str, Finding)
        Sorted by id. The kinds are ``same-photo``, ``lacks-class``, ``misplaced``, ``other-order`` and ``exchanged``.

    Notes
    -----
    If another order of the classes fits most maps better, one finding with the id :data:`WHOLE` says so, and no map is judged
    by its parts. The places and areas of parts are judged only in a set whose maps are mostly like upright faces.
    """
    first: dict[str, str] = {}
    ids: list[str] = []
    parts: list[NDArray[np.float32]] = []
    found: list[Remark] = []
    for row in rows:
        digest = row.get("photo_sha256", "")
        if digest and (other := first.setdefault(digest, row["id"])) != row["id"]:
            found.append((row["id"], Finding("same-photo", f"the same photo as {other}")))
        if (measured := _parts_of(row, scheme)) is not None:
            ids.append(row["id"])
            parts.append(measured)
    if ids:
        maps = np.stack(parts).astype(np.float64)
        order = better_order(maps, scheme)
        if order:
            found.append((WHOLE, _of_set(order, maps, scheme)))
        else:
            found += ((ids[number], finding) for number, finding in _of_maps(maps, scheme))
    return sorted(found, key=lambda remark: remark[0])


def _parts_of(row: Mapping[str, str], scheme: LabelScheme) -> NDArray[np.float32] | None:
    """Area and centre of each class as the manifest gives them, (classes, 3); None if it does not, or not in this scheme."""
    fields = [row.get(name, "").split() for name in ("classes", "class_pixels", "class_centres")]
    if not fields[0] or len({len(field) for field in fields}) > 1:
        return None
    parts = np.zeros((len(scheme), 3), np.float32)
    try:
        numbers = [int(number) for number in fields[0]]
        centres = [[float(value) for value in centre.split(",")] for centre in fields[2]]
        parts[numbers, 0] = [float(pixels) for pixels in fields[1]]
        parts[numbers, 1:] = centres
    except (ValueError, IndexError):
        return None
    return parts if np.isfinite(parts).all() and (parts >= 0).all() and min(numbers) >= 0 else None


def _kind(order: str) -> str:
    return "exchanged" if order == EXCHANGED else "other-order"


def _of_set(order: str, maps: NDArray[np.float64], scheme: LabelScheme) -> Finding:
    """The finding that a set has another order of classes."""
    costs = costs_of_orders(maps, scheme)
    judged = ~np.isnan(costs[""])
    better = int(np.count_nonzero(costs[order][judged] < costs[""][judged]))
    share = f"{better} of {len(maps)} label maps ({better / len(maps):.0%})"
    return Finding(_kind(order), f"in {share} {order_text(order, scheme)}")


def _of_maps(maps: NDArray[np.float64], scheme: LabelScheme) -> Iterator[tuple[int, Finding]]:
    """The findings about single maps, with their indices."""
    has = maps[..., 0] > 0
    for number, names in _lacking(has, scheme).items():
        what = f"no {' and no '.join(names)}, which nearly all of the {len(maps)} label maps have"
        yield number, Finding("lacks-class", what)
    costs = costs_of_orders(maps, scheme)
    turned = np.zeros(len(maps), bool)
    for order in costs:
        if order:
            best = np.all([costs[order] <= values for values in costs.values()], axis=0)
            chosen = best & (costs[order] <= LEAST_LIKE) & (costs[""] - costs[order] > CLEARLY)
            turned |= chosen
            for number in np.flatnonzero(chosen).tolist():
                yield number, Finding(_kind(order), order_text(order, scheme))
    likeness = unlikeness(maps, scheme)
    if np.count_nonzero(likeness <= LEAST_LIKE) * 2 <= len(maps):
        return
    details: dict[int, list[str]] = {}
    for number, text in (*_misplaced(maps, scheme), *_odd_areas(maps, scheme)):
        if not turned[number]:
            details.setdefault(number, []).append(text)
    for number, texts in details.items():
        yield number, Finding("misplaced", "; ".join(texts))


def _lacking(has: NDArray[np.bool_], scheme: LabelScheme) -> dict[int, list[str]]:
    """The classes that single maps lack though nearly all have them, or what may hide them, by index of the map."""
    lacking: dict[int, list[str]] = {}
    count = len(has)
    if count < FEWEST:
        return lacking
    for number, name in enumerate(scheme.classes):
        hidden = [scheme.classes.index(cover) for cover in _COVERS.get(name, ()) if cover in scheme.classes]
        without = np.flatnonzero(~has[:, [number, *hidden]].any(1))
        enough = np.count_nonzero(has[:, number]) >= _NEARLY_ALL * (count - 1)
        if enough and len(without) <= max(2, _MOST_LACKING * count):
            for index in without.tolist():
                lacking.setdefault(index, []).append(name)
    return lacking


def _misplaced(maps: NDArray[np.float64], scheme: LabelScheme) -> Iterator[tuple[int, str]]:
    """Where noses and hair are not where they are on upright faces: indices of maps, and texts."""
    part = {name: maps[:, number] for number, name in enumerate(scheme.classes)}
    if {"nose", "l_eye", "r_eye"} <= part.keys():
        nose, eyes = part["nose"], np.stack((part["l_eye"], part["r_eye"]))
        here = (nose[:, 0] > 0) & (eyes[..., 0] > 0).all(0)
        beside = (nose[:, 1] < eyes[..., 1].min(0)) | (nose[:, 1] > eyes[..., 1].max(0))
        for wrong, text in ((beside, "between"), (nose[:, 2] < eyes[..., 2].mean(0), "below")):
            for number in np.flatnonzero(here & wrong).tolist():
                yield number, f"the nose is not {text} the eyes"
    if {"hair", "l_lip", "hat"} <= part.keys():
        hair, lip = part["hair"], part["l_lip"]
        low = (hair[:, 0] > 0) & (lip[:, 0] > 0) & (part["hat"][:, 0] == 0) & (hair[:, 2] > lip[:, 2])
        for number in np.flatnonzero(low).tolist():
            yield number, "the hair is below the mouth, not on top"


def _odd_areas(maps: NDArray[np.float64], scheme: LabelScheme) -> Iterator[tuple[int, str]]:
    """Classes whose area is far from the usual one: indices of maps, and texts."""
    skin = maps[:, scheme.classes.index("skin"), 0]  # likeness to faces rests on it
    stored = usual_areas()
    for number, name in enumerate(scheme.classes[1:], 1):
        here = np.flatnonzero((maps[:, number, 0] > 0) & (skin > 0))
        sizes = np.log(maps[here, number, 0] / skin[here])
        if len(here) >= FEWEST:
            usual = float(np.median(sizes))
            limit = max(_FAR_AREA, _DEVIATIONS * float(np.median(np.abs(sizes - usual))))
        elif name in stored:
            usual, limit = stored[name], _FAR_FROM_PRIOR
        else:
            continue
        for index, away in zip(here.tolist(), (sizes - usual).tolist(), strict=True):
            if abs(away) > limit:
                times = f"{np.exp(away):.0f} times" if away > 0 else f"1/{np.exp(-away):.0f} of"
                yield index, f"{name} has {maps[index, number, 0]:.0f} pixels, {times} what is usual for its skin"
