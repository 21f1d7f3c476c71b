"""Who wears glasses in a set of aligned photos, and where the lenses are.

The eyes are cut out as a strip of one size. A line across the bridge of the nose tells glasses well enough for a first
guess; from that a linear discriminant on histograms of gradients (Dalal and Triggs, CVPR 2005) is taken a few times over,
each time from those that the last was sure of. It needs a few hundred photos, some of them with glasses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Area = NDArray[np.bool_]
    Floats = NDArray[np.float32]

WIDTH, HEIGHT = 128, 64
LEFT, RIGHT, LINE = 24, 104, 24
"""Where the outer corners of the eyes are in a strip: the person's right one at (LEFT, LINE)."""
BRIDGE = slice(59, 69)
GUESSED, SURELY_NOT = 0.08, 0.6
"""Shares of the photos that the first guess takes for wearers and for others."""
RIDGE, LEAST_GAP, FEWEST = 2.0, 4.0, 200


def _to_strip(mesh: Floats) -> NDArray[np.float64]:
    right, left = mesh[33], mesh[263]
    across = left - right
    source = np.stack([right, left, right + np.array([-across[1], across[0]])]).astype(np.float32)
    target = np.array([[LEFT, LINE], [RIGHT, LINE], [LEFT, LINE + RIGHT - LEFT]], np.float32)
    return cv2.getAffineTransform(source, target)


def cut_strip(photo: NDArray[np.uint8], mesh: Floats) -> Floats:
    """Lightness around the eyes, (HEIGHT, WIDTH), 0 to 100."""
    strip = cv2.warpAffine(photo, _to_strip(mesh), (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
    return cv2.cvtColor(strip.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 0]


def _histograms(strip: Floats) -> Floats:
    """Gradients by direction in cells of 4 pixels, both halves of the face together."""
    gx, gy = (cv2.Sobel(strip, cv2.CV_32F, *order, ksize=3) / 8 for order in ((1, 0), (0, 1)))
    strength, bin_ = np.hypot(gx, gy), np.arctan2(gy, gx) % np.pi / np.pi * 8
    cells = []
    for number in range(8):
        away = np.abs(bin_ - number)
        part = np.maximum(0, 1 - np.minimum(away, 8 - away)) * strength
        cells.append(
            cv2.resize(cv2.GaussianBlur(part, (0, 0), 2), (WIDTH // 4, HEIGHT // 4), interpolation=cv2.INTER_AREA)
        )
    each = np.stack(cells)
    each = np.sqrt(each / (cv2.GaussianBlur(each.sum(0), (0, 0), 2.5) + 2))
    return ((each + each[[0, 7, 6, 5, 4, 3, 2, 1]][:, :, ::-1]) / 2)[:, :, : WIDTH // 8].ravel()


def _bridge(strip: Floats) -> Floats:
    """How much of a line there is across the nose, by rows from 11 on, against the strip's contrast."""
    profile = cv2.GaussianBlur(strip[8:44, BRIDGE].mean(1, keepdims=True), (1, 5), 1)[:, 0]
    return np.abs(2 * profile[3:-3] - profile[:-6] - profile[6:]) / (strip.std() + 1)


def find_wearers(strips: Sequence[Floats]) -> Area:
    """Which of (N,) strips show glasses; none if there are too few photos, or no two kinds of them."""
    count = len(strips)
    if count < FEWEST:
        return np.zeros(count, bool)
    cells = np.stack([_histograms(strip) for strip in strips]).astype(np.float64)
    cells -= cells.mean(0)
    order = np.argsort([-_bridge(strip).max() for strip in strips], kind="stable")
    wearers, others = order[: int(GUESSED * count)], order[int((1 - SURELY_NOT) * count) :]
    score, middle = np.zeros(count), 0.0
    for _ in range(5):
        if min(len(wearers), len(others)) < 2:
            return np.zeros(count, bool)
        inner = np.concatenate([cells[each] - cells[each].mean(0) for each in (wearers, others)])
        spread = inner.T @ inner / len(inner)
        spread += RIDGE * np.trace(spread) / len(spread) * np.eye(len(spread))
        weights = np.linalg.solve(spread, cells[wearers].mean(0) - cells[others].mean(0))
        score = cells @ (weights / np.sqrt(weights @ spread @ weights))
        middle = float(np.median(score))
        for _ in range(50):
            middle = (score[score > middle].mean() + score[score <= middle].mean()) / 2
        gap = score[score > middle].mean() - score[score <= middle].mean()
        if gap < LEAST_GAP:
            return np.zeros(count, bool)
        wearers, others = np.flatnonzero(score > middle + 0.15 * gap), np.flatnonzero(score < middle - 0.1 * gap)
    return score > middle


def lenses(strip: Floats, mesh: Floats, size: int) -> Area:
    """Lenses, bridge and temples as an area of the photo, by the rows of their edges."""
    smooth = cv2.GaussianBlur(strip, (9, 3), 2)
    rows = np.abs(np.gradient(smooth, axis=0))
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    bridge = 11 + int(_bridge(strip)[:20].argmax())
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    spans = [slice(22, 50), slice(78, 106)]
    lower = 36 + int(np.mean([rows[36:56, span].mean(1) for span in spans], 0).argmax())
    upper = 6 + int(np.mean([rows[6:18, span].mean(1) for span in spans], 0).argmax())
    top, bottom = min(upper, bridge - 2), max(lower, bridge + 14)
    for centre in (34.5, 93.5):
        inside = (np.abs(x - centre) / 22) ** 3.5 + (
            np.abs(y - (top + bottom) / 2) / ((bottom - top) / 2 + 1)
        ) ** 3.5 < 1
        mask[inside] = 1
    mask[(np.abs(y - bridge) <= 2) & (x > 54) & (x < 74)] = 1
    mask[(np.abs(y - bridge) <= 1) & ((x < 16) | (x > 112))] = 1
    back = cv2.warpAffine(mask, _to_strip(mesh), (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return back > 0.5
