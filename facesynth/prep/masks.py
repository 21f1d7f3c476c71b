"""Merging part masks into a label map, as for CelebAMask-HQ."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facesynth import images
from facesynth.errors import InputError, PictureError
from facesynth.prep.pipeline.findings import Finding, Refused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.labels import LabelScheme


def merge_masks(parts: Mapping[str, NDArray[np.bool_]], scheme: LabelScheme) -> NDArray[np.uint8]:
    """Paint part masks over one another in the scheme's paint order.

    Parameters
    ----------
    parts : mapping of str to (H, W) bool array
        Part masks by part name, at least one, all of one size.
    scheme : LabelScheme
        Defines the paint order and the ids.

    Returns
    -------
    (H, W) uint8 array
        The label map: class ids, 0 where there is no part.

    Raises
    ------
    InputError
        If there is no part, a part is unknown to ``scheme``, or the sizes differ.

    Examples
    --------
    >>> from facesynth.labels import CELEBAMASK_HQ
    >>> skin, nose = np.ones((1, 3), bool), np.array([[False, True, False]])
    >>> merge_masks({"nose": nose, "skin": skin}, CELEBAMASK_HQ).tolist()
    [[1, 2, 1]]
    """
    if not parts:
        raise InputError("no part mask to merge")
    unknown = sorted(set(parts) - set(scheme.parts))
    if unknown:
        raise InputError(f"part {unknown[0]!r} is not in {scheme.name}, which has: {', '.join(scheme.parts)}")
    shapes = {mask.shape for mask in parts.values()}
    if len(shapes) > 1:
        raise InputError(f"part masks differ in size: {', '.join(f'{w} x {h}' for h, w in sorted(shapes))}")
    labels = np.zeros(shapes.pop(), np.uint8)
    for name in scheme.paint_order:
        if name in parts:
            np.copyto(labels, scheme.classes.index(name), where=parts[name])
    return labels


# ------------------------------------------------------------------------------------------------------- from files


SIZE = 512
"""Height and width of the archive's part masks, pixels."""


def merge_files(
    parts: Mapping[str, Path], scheme: LabelScheme, *, size: int | None = None
) -> tuple[NDArray[np.uint8], tuple[Finding, ...]]:
    """Read the part masks of one photo and merge them.

    Parameters
    ----------
    parts : mapping of str to Path
        Part mask files by part name; see :func:`facesynth.images.to_part_mask` for what they may hold.
    scheme : LabelScheme
        The scheme of the label map.
    size : int, optional
        Height and width of the label map, by nearest neighbour. By default that of the masks: 512 if one has it, else the most
        common size.

    Returns
    -------
    labels : (H, W) uint8 array
        The label map: class ids.
    findings : tuple of Finding
        Warnings: unknown-part, threshold, resized, empty-part, full-part, overlap, islands.

    Raises
    ------
    Refused
        If there is no part mask, one cannot be read, or all are empty.
    """
    findings: list[Finding] = []
    masks: dict[str, NDArray[np.bool_]] = {}
    for name, path in sorted(parts.items()):
        if name not in scheme.parts:
            findings.append(Finding("unknown-part", f"{path.name}: {scheme.name} has no class {name}; left out"))
            continue
        try:
            masks[name], greys = images.to_part_mask(images.read_bytes(path), path)
        except PictureError as error:
            raise Refused("unreadable", str(error)) from error
        if greys:
            share = f"{greys} of {masks[name].size} pixels"
            findings.append(Finding("threshold", f"{path.name}: {share} are grey; thresholded at half of its maximum"))
    if not masks:
        raise Refused("no-parts", f"no part mask of a class of {scheme.name}, which has: {', '.join(scheme.parts)}")
    common = _common_size([mask.shape for mask in masks.values()])
    for name, mask in masks.items():
        if mask.shape != common:
            sizes = f"{mask.shape[1]} x {mask.shape[0]}, resized to {common[1]} x {common[0]}"
            findings.append(Finding("resized", f"{parts[name].name} is {sizes} by nearest neighbour"))
            masks[name] = images.resize(mask.view(np.uint8), common, labels=True).view(np.bool_)
    findings += inspect(masks, {name: path.name for name, path in parts.items()})
    if all(not mask.any() for mask in masks.values()):
        raise Refused("blank-map", f"all {len(masks)} part masks are empty: the label map would be blank")
    labels = merge_masks(masks, scheme)
    return labels if size is None else images.resize(labels, (size, size), labels=True), tuple(findings)


def _common_size(shapes: list[tuple[int, ...]]) -> tuple[int, int]:
    """512 x 512 if a mask has it, else the most common size; of equally common ones the largest."""
    if (SIZE, SIZE) in shapes:
        return SIZE, SIZE
    counts = Counter(shapes)
    height, width = max(counts, key=lambda shape: (counts[shape], shape))
    return height, width


# -------------------------------------------------------------------------------------------------------- findings


_APART = (
    ("nose",),
    ("l_eye",),
    ("r_eye",),
    ("l_brow",),
    ("r_brow",),
    ("l_ear",),
    ("r_ear",),
    ("mouth", "u_lip", "l_lip"),
    ("neck",),
)
"""Parts of the body that lie side by side, in groups; the lips and the mouth between them may overlap."""
_WORN = ("hair", "hat", "eye_g", "ear_r", "neck_l", "cloth")
"""Parts that may cover any other; below them the outlines are estimates and may overlap."""
_MAX_SHARED = 0.2
"""Largest overlap that is not reported, as a fraction of the smaller part."""
_CELLS = 128
"""Cells per side of the grid on which specks are detected; a gap of one pixel is not seen on it."""
_FAR = 2
"""Smallest distance of a speck from the rest, cells."""
_SMALL = 0.02
"""Largest size of a speck, as a fraction of its part."""


def inspect(masks: Mapping[str, NDArray[np.bool_]], files: Mapping[str, str] | None = None) -> list[Finding]:
    """Warnings about the part masks of one photo: empty-part, full-part, islands and overlap.

    Parameters
    ----------
    masks : mapping of str to (H, W) bool array
        Part masks by part name, all of one size.
    files : mapping of str to str, optional
        Name of each part in a finding; by default the part name.

    Returns
    -------
    list of Finding

    Notes
    -----
    An overlap is reported if two parts of the body that normally lie side by side share more than a fifth of the smaller one,
    outside anything worn over them. Islands are pieces of less than a fiftieth of their part that are farther from the rest
    than 1/64 of the picture. Parts of other schemes are checked only for islands.

    Examples
    --------
    >>> eye = np.ones((4, 4), bool)
    >>> [finding.kind for finding in inspect({"l_eye": eye, "nose": ~eye})]
    ['full-part', 'empty-part']
    """
    files = files or {name: name for name in masks}
    findings, boxes = [], {}
    for name, mask in masks.items():
        cells, side = _coarse(mask)
        box = cv2.boundingRect(cells)
        if not box[2]:
            findings.append(Finding("empty-part", f"{files[name]} has no pixel set"))
            continue
        if cells.all() and mask.all():
            findings.append(Finding("full-part", f"{files[name]} has every pixel set"))
        boxes[name] = [side * edge for edge in (box[0], box[1], box[0] + box[2], box[1] + box[3])]
        if specks := _specks(mask, cells, side):
            pieces = f"{len(specks)} speck{'s' * (len(specks) > 1)} away from the rest"
            findings.append(Finding("islands", f"{files[name]} has {pieces}, of {sum(specks)} pixels in all"))
    for one, other, count in _overlaps(masks, boxes):
        findings.append(Finding("overlap", f"{files[one]} and {files[other]} share {count} pixels"))
    return findings


def _coarse(mask: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], int]:
    """A grid of square cells, 1 if a cell contains a set pixel, and the side of a cell in pixels."""
    side = max(1, int(max(mask.shape)) // _CELLS)
    if side == 4 and not mask.shape[0] % 4 and not mask.shape[1] % 4:
        rows = np.ascontiguousarray(mask).view(np.uint32)  # four pixels of a row in one integer
        held: NDArray[np.bool_] = np.bitwise_or.reduce(rows.reshape(-1, 4, rows.shape[1]), axis=1).astype(np.bool_)
        return held.view(np.uint8), side
    if min(mask.shape) < side:  # padded, a narrow mask would be many times as large
        for axis in (0, 1):
            mask = np.logical_or.reduceat(mask, np.arange(0, mask.shape[axis], side), axis=axis)
        return np.ascontiguousarray(mask).view(np.uint8), side
    padded = np.pad(mask, [(0, -length % side) for length in mask.shape])
    blocks = padded.reshape(padded.shape[0] // side, side, padded.shape[1] // side, side)
    return np.asarray(blocks.any(axis=(1, 3))).view(np.uint8), side


def _specks(mask: NDArray[np.bool_], cells: NDArray[np.uint8], side: int) -> list[int]:
    """The number of pixels of each piece that is small and far from the larger ones."""
    count, pieces = cv2.connectedComponents(cells, connectivity=8, ltype=cv2.CV_16U)
    if count < 3:  # the background is one
        return []
    stats = cv2.connectedComponentsWithStats(cells, connectivity=8, ltype=cv2.CV_16U)[2][1:]
    left, top, width, height, size = stats.T
    large = size > max(1, size.max() * 2 * _SMALL)
    if not large.any() or large.all():
        return []
    specks, limit = [], int(np.count_nonzero(mask)) * _SMALL
    for x, y, w, h, number in zip(left, top, width, height, range(1, count), strict=True):
        if large[number - 1]:
            continue
        right_of, left_of = x - (left + width)[large], left[large] - (x + w)
        below, above = y - (top + height)[large], top[large] - (y + h)
        gaps = np.max([right_of, left_of, below, above], axis=0)
        if gaps.min() < _FAR:
            continue
        inside = np.s_[y * side : (y + h) * side, x * side : (x + w) * side]
        own = (pieces[y : y + h, x : x + w] == number).repeat(side, 0).repeat(side, 1)
        part = mask[inside]
        pixels = int(np.count_nonzero(part & own[: part.shape[0], : part.shape[1]]))
        if pixels < limit:
            specks.append(pixels)
    return specks


def _overlaps(masks: Mapping[str, NDArray[np.bool_]], boxes: Mapping[str, list[int]]) -> Iterator[tuple[str, str, int]]:
    """Pairs of parts that overlap but normally do not, with the number of shared pixels."""
    placed = [(group, name) for group in _APART for name in group if name in boxes]
    for (group, one), (other_group, other) in itertools.combinations(placed, 2):
        if group is other_group:
            continue
        left, top, right, bottom = (
            choose(pair)
            for choose, pair in zip((max, max, min, min), zip(boxes[one], boxes[other], strict=True), strict=True)
        )
        if left >= right or top >= bottom:
            continue
        inside = np.s_[top:bottom, left:right]
        shared = masks[one][inside] & masks[other][inside]
        limit = _MAX_SHARED * min(int(np.count_nonzero(masks[name])) for name in (one, other)) if shared.any() else 0
        for worn in _WORN:
            if np.count_nonzero(shared) > limit and worn in boxes:
                shared &= ~masks[worn][inside]
        if (count := int(np.count_nonzero(shared))) > limit:
            yield one, other, count
