"""Photographs and scans of drawings: grey pictures of paper in, dark lines on white paper out.

In photographs and scans the paper is grey, in a tone that changes from place to place, and around it there may be a table or
the black of the scanner. :func:`clean_paper` does what a picture needs, in this order: cut out the sheet, remove ruled lines,
and divide the grey values by the local tone of the paper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Grey = NDArray[np.uint8]
    Floats = NDArray[np.float32]

PaperMode = Literal["auto", "keep", "level"]
"""auto: level what is not on white paper; keep: take pictures as they are; level: level all of them."""

LEVELLED = "paper levelled"
CROPPED = "cropped to the sheet"
UNRULED = "ruled lines removed"

_WHITE, _WHITE_PIXELS = 250, 0.05
_LIGHT_PAPER = 228
"""At least this fraction of a clean drawing's pixels has at least this grey value, and in more than half of it the paper has at
least this tone. Drawings that programs make, also shaded ones, meet both."""
_COARSE = 320
"""The tone of the paper is estimated on a picture whose longer side has this many pixels."""
_WIDEST_STROKE = 1 / 14
"""Dark strokes narrower than this fraction of the longer side are lines, not paper."""
_LEAST_SHEET = 0.2
"""The smallest part of a picture that may be the sheet."""
_RATIOS, _NEAR_RATIO = (1.0, 11 / 8.5, 4 / 3, 2**0.5, 1.5, 16 / 9), 0.05
"""Width to height of usual sheets, or the reverse: square, US letter, drawing pads, A4, photo paper; how near, as a difference
of logarithms, a measured ratio must be."""
_FOCAL = (0.6, 4.0, 0.75)
"""Least, greatest and a phone's focal length of a camera, as fractions of the longer side of its pictures."""
_PARALLEL = 1e-3
"""If two opposite sides are as parallel as this, the corners do not determine the focal length, and a phone's is taken."""
_FEWEST_RULES = 6
_DARKEST_PAPER = 12
"""Grey values below this carry too few steps to be divided by."""


def clean_paper(grey: Grey, mode: PaperMode = "auto") -> tuple[Grey, list[str]]:
    """A drawing on white paper.

    Parameters
    ----------
    grey : (H, W) uint8 array
        Dark lines on lighter paper.
    mode : str
        auto, keep or level.

    Returns
    -------
    drawing : (H, W) uint8 array
        The same array if nothing had to be done; smaller if the sheet was cut out.
    notes : list of str
        What was done.

    Examples
    --------
    >>> sheet = np.full((64, 64), 180, np.uint8)
    >>> sheet[20:44, 30:32] = 60
    >>> drawing, notes = clean_paper(sheet)
    >>> int(drawing[5, 5]), int(drawing[30, 30]), notes
    (255, 0, ['paper levelled'])
    """
    if mode == "keep" or min(grey.shape) < 16:
        return grey, []
    notes = []
    sheet = crop_to_sheet(grey)
    if sheet is not None:
        grey = sheet
        notes.append(CROPPED)
    tone = paper_tone(grey)
    without = remove_ruling(grey, tone)
    if without is not None:
        grey = without
        notes.append(UNRULED)
    if mode == "level" or not is_clean(grey, tone):
        grey = level(grey, tone)
        notes.append(LEVELLED)
    return grey, notes


def is_clean(grey: Grey, tone: Floats) -> bool:
    """Whether a drawing is on white paper already.

    Parameters
    ----------
    grey : (H, W) uint8 array
    tone : (H, W) float32 array
        From :func:`paper_tone`.
    """
    return bool(np.mean(grey >= _WHITE) >= _WHITE_PIXELS and np.median(tone) >= _LIGHT_PAPER)


def level(grey: Grey, tone: Floats) -> Grey:
    """Divide a picture by the local tone of its paper, so that paper becomes 255 and the darkest lines 0.

    Parameters
    ----------
    grey : (H, W) uint8 array
    tone : (H, W) float32 array
        From :func:`paper_tone`.

    Returns
    -------
    (H, W) uint8 array
    """
    ratio = grey / np.maximum(tone, _DARKEST_PAPER)
    paper = ratio[ratio > 0.8]
    if not paper.size:
        return grey
    centre = float(np.median(paper))
    spread = 1.4826 * float(np.median(np.abs(paper - centre)))
    white = centre - max(3 * spread, 0.03)
    black = min(float(np.quantile(ratio, 0.002)), white - 0.1)
    drawing: Grey = (np.clip((ratio - black) / (white - black), 0, 1) * 255).round().astype(np.uint8)
    return drawing


def paper_tone(grey: Grey) -> Floats:
    """What a picture would be without lines.

    Parameters
    ----------
    grey : (H, W) uint8 array

    Returns
    -------
    (H, W) float32 array
        0..255.
    """
    filled, reach = _without_lines(grey, cv2.MORPH_ELLIPSE)
    tone = cv2.GaussianBlur(filled.astype(np.float32), (0, 0), reach / 4)
    return np.asarray(cv2.resize(tone, grey.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _without_lines(grey: Grey, shape: int) -> tuple[Grey, int]:
    """A small copy of a picture, its dark lines closed by a kernel of OpenCV's ``shape``, and the kernel's width."""
    height, width = grey.shape
    scale = min(1.0, _COARSE / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    reach = 2 * round(max(size) * _WIDEST_STROKE / 2) + 1
    kernel = cv2.getStructuringElement(shape, (reach, reach))
    return np.asarray(cv2.morphologyEx(cv2.medianBlur(small, 3), cv2.MORPH_CLOSE, kernel), np.uint8), reach


def crop_to_sheet(grey: Grey) -> Grey | None:
    """The sheet of paper in a picture that also shows what it lies on, seen from above; None if the picture is all paper.

    Parameters
    ----------
    grey : (H, W) uint8 array
    """
    corners = _sheet_corners(grey)
    if corners is None:
        cropped = _without_black_margins(grey)
        return None if cropped is grey else cropped
    corners = _exact(corners, grey)
    sides = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)
    across, down = max(sides[0], sides[2]), max(sides[1], sides[3])
    ratio = sheet_ratio(corners, (grey.shape[1], grey.shape[0]))
    width, height = round(max(across, down * ratio)), round(max(down, across / ratio))
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
    sheet = cv2.warpPerspective(grey, matrix, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    inset = max(1, round(0.01 * min(sheet.shape)))  # the sheet's own edge, which is filled up again to keep the size
    inside = sheet[inset:-inset, inset:-inset]
    return np.asarray(cv2.copyMakeBorder(inside, inset, inset, inset, inset, cv2.BORDER_REPLICATE), np.uint8)


def sheet_ratio(corners: NDArray[np.float64], size: tuple[int, int]) -> float:
    """The ratio of width to height of a rectangular sheet that is seen at an angle.

    It follows from the corners if the camera's axis passes through the middle of the picture (Zhang and He, "Whiteboard
    scanning and image enhancement", Digital Signal Processing 2007, section 4.1). A ratio near that of a usual sheet is
    replaced by it.

    Parameters
    ----------
    corners : (4, 2) float array
        (x, y), pixels, clockwise from the top left.
    size : (int, int)
        Width and height of the picture, pixels.
    """
    centred = np.column_stack([corners - np.array(size) / 2, np.ones(4)])
    first, second, last, third = centred  # across, opposite, down
    beside = np.cross(first, last)
    across = (beside @ third) / (np.cross(second, last) @ third) * second - first
    down = (beside @ second) / (np.cross(third, last) @ second) * third - first
    longest = float(max(size))
    bend = across[2] * down[2]
    squared = -float(across[:2] @ down[:2]) / bend if abs(bend) > _PARALLEL else 0.0
    least, most, usual_focal = (longest * factor for factor in _FOCAL)
    focal = min(max(squared**0.5, least), most) if squared > 0 else usual_focal
    scale = np.array([1 / focal, 1 / focal, 1.0])
    ratio = float(np.linalg.norm(across * scale) / np.linalg.norm(down * scale))
    usual = min((*_RATIOS, *(1 / each for each in _RATIOS)), key=lambda each: abs(np.log(ratio / each)))
    return usual if abs(np.log(ratio / usual)) < _NEAR_RATIO else ratio


def _exact(corners: NDArray[np.float64], grey: Grey) -> NDArray[np.float64]:
    """Corners to a fraction of a pixel: where lines through the steepest points of the sheet's four sides meet."""
    reach = np.arange(-2 * max(grey.shape) / _COARSE, 2 * max(grey.shape) / _COARSE + 1, 0.5)
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.0).astype(np.float32)
    lines = []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        way = (end - start) / np.linalg.norm(end - start)
        outward = np.array([way[1], -way[0]])
        along = start + np.linspace(0.05, 0.95, 90)[:, None] * (end - start)
        points = (along[:, None] + reach[:, None] * outward).astype(np.float32)
        x, y = np.ascontiguousarray(points[..., 0]), np.ascontiguousarray(points[..., 1])
        profile = cv2.remap(smooth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        steepest = np.argmin(np.diff(profile, axis=1), axis=1)
        edge = along + (reach[steepest] + 0.25)[:, None] * outward
        fitted = cv2.fitLine(edge.astype(np.float32), cv2.DIST_HUBER, 0, 0.01, 0.01).ravel().astype(np.float64)
        direction, point = fitted[:2], fitted[2:]
        lines.append(np.cross([*point, 1.0], [*(point + direction), 1.0]))
    meeting = np.array([np.cross(lines[side - 1], lines[side]) for side in range(4)])
    exact = meeting[:, :2] / meeting[:, 2:]
    is_near = np.linalg.norm(exact - corners, axis=1).max() < reach[-1] * 3
    return exact if is_near else corners


def _without_black_margins(grey: Grey) -> Grey:
    """The picture without rows and columns at its sides that are black, as a scanner's lid or the bars of a video."""
    paper = float(np.quantile(grey, 0.75))
    if paper < 64:
        return grey
    is_dark = grey < 0.3 * paper
    rows, columns = is_dark.mean(axis=1) > 0.85, is_dark.mean(axis=0) > 0.85
    if rows.all() or columns.all():
        return grey
    top, left = int(np.argmin(rows)), int(np.argmin(columns))
    bottom, right = len(rows) - int(np.argmin(rows[::-1])), len(columns) - int(np.argmin(columns[::-1]))
    kept = grey[top:bottom, left:right]
    if kept.shape == grey.shape or kept.size < _LEAST_SHEET * grey.size:
        return grey
    return kept


def _sheet_corners(grey: Grey) -> NDArray[np.float64] | None:
    """The corners of a light sheet on darker ground, clockwise from the top left, (4, 2) as (x, y)."""
    filled, _ = _without_lines(grey, cv2.MORPH_RECT)  # which keeps corners
    _, light = cv2.threshold(filled, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    ground, sheet = filled[light == 0], filled[light > 0]
    if not ground.size or not sheet.size or float(np.median(ground)) > 0.6 * float(np.median(sheet)):
        return None
    band = np.ones_like(light, bool)
    band[2:-2, 2:-2] = False
    if np.mean(light[band] > 0) > 0.35:  # the border is paper
        return None
    contours, _ = cv2.findContours(light, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outline = cv2.convexHull(max(contours, key=cv2.contourArea))
    area = cv2.contourArea(outline)
    if area < _LEAST_SHEET * filled.size:
        return None
    corners = cv2.approxPolyDP(outline, 0.03 * cv2.arcLength(outline, closed=True), closed=True)[:, 0].astype(
        np.float64
    )
    if len(corners) != 4 or cv2.contourArea(corners.astype(np.float32)) < 0.9 * area:
        return None
    first = int(np.argmin(corners.sum(axis=1)))
    corners = np.roll(corners, -first, axis=0)
    edges = corners[[1, 3]] - corners[0]
    if edges[0, 0] * edges[1, 1] - edges[0, 1] * edges[1, 0] < 0:
        corners = corners[[0, 3, 2, 1]]
    scales = np.array(filled.shape[::-1]) / np.array(grey.shape[::-1])
    return np.asarray((corners + 0.5) / scales - 0.5, np.float64)


def remove_ruling(grey: Grey, tone: Floats) -> Grey | None:
    """The drawing without the lines or the grid of ruled paper; None if there are none.

    Parameters
    ----------
    grey : (H, W) uint8 array
    tone : (H, W) float32 array
        From :func:`paper_tone`.
    """
    dark: Floats = np.clip(tone - grey, 0, None).astype(np.float32)
    ruling = np.zeros_like(dark)
    for is_across in (True, False):
        lines = dark if is_across else dark.T
        length = max(9, lines.shape[1] // 6)
        spans = cv2.morphologyEx(np.ascontiguousarray(lines), cv2.MORPH_OPEN, np.ones((1, length), np.uint8))
        rows = np.mean(spans > 0.04 * 255, axis=1) > 0.6
        starts = np.flatnonzero(np.diff(rows.astype(int), prepend=0) == 1)
        gaps = np.diff(starts)
        if len(starts) < _FEWEST_RULES or np.abs(gaps - np.median(gaps)).mean() > 0.15 * np.median(gaps):
            continue
        touched = cv2.dilate(rows.astype(np.uint8)[:, None], np.ones((3, 1), np.uint8))[:, 0] > 0
        level_of_row = np.median(lines, axis=1, keepdims=True)
        removed = np.where(touched[:, None], np.maximum(spans, np.minimum(level_of_row, lines)), 0)
        ruling = np.maximum(ruling, removed if is_across else removed.T)
    if not ruling.any():
        return None
    drawing: Grey = np.clip(tone - np.clip(dark - ruling, 0, None), 0, 255).round().astype(np.uint8)
    return drawing
