"""Effects that make sketches look hand-drawn: lines thinner, thicker, broken, missing or drawn twice, and toned paper.

Sketches are (H, W) uint8 arrays in which white paper is 255; lengths are in pixels of the sketch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facesynth.model.data.warp import smooth_noise, wobble

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Sketch = NDArray[np.uint8]

PAPER = 255


def thicken(sketch: Sketch, width: float) -> Sketch:
    """A sketch with its lines made thicker or thinner.

    Fractional widths interpolate between whole numbers of pixels, so that small sketches can be changed as well. Thinning
    makes the narrowest lines fainter or removes them.

    Parameters
    ----------
    sketch : (H, W) uint8 array
    width : float
        By how much lines grow on either side, pixels; negative to make them thinner.

    Returns
    -------
    (H, W) uint8 array
    """
    morph = cv2.erode if width > 0 else cv2.dilate  # eroding the light paper dilates the dark lines
    radius = math.floor(abs(width))
    inner = np.asarray(morph(sketch, _disc(radius)), np.uint8) if radius else sketch
    share = abs(width) - radius
    if share <= 0:
        return inner
    return np.asarray(cv2.addWeighted(inner, 1 - share, morph(sketch, _disc(radius + 1)), share, 0), np.uint8)


def _disc(radius: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)), np.uint8)


def leave_out_shades(sketch: Sketch, reach: float, strength: float) -> Sketch:
    """A sketch without its shading: of shaded and filled areas only the outlines remain.

    Each pixel is divided by its Gaussian-weighted neighbourhood, so that only what is darker than its surroundings stays.

    Parameters
    ----------
    sketch : (H, W) uint8 array
    reach : float
        Standard deviation of the neighbourhood, pixels: about the width of the widest lines that stay.
    strength : float
        0 leaves the sketch unchanged, 1 removes all shading.

    Returns
    -------
    (H, W) uint8 array
    """
    grey = sketch.astype(np.float32)
    surroundings = cv2.GaussianBlur(grey, (0, 0), max(reach, 0.3), borderType=cv2.BORDER_REFLECT_101)
    lines = np.minimum(grey / np.maximum(surroundings, 1), 1) * PAPER
    return np.asarray(cv2.addWeighted(grey, 1 - strength, lines, strength, 0).round(), np.uint8)


def restate(sketch: Sketch, amplitude: float, cell: float, strength: float, rng: np.random.Generator) -> Sketch:
    """A sketch with every line drawn a second time, fainter and displaced.

    Parameters
    ----------
    sketch : (H, W) uint8 array
    amplitude, cell : float
        The displacement, pixels (see :func:`~facesynth.model.data.warp.wobble`).
    strength : float
        Opacity of the second lines, 0 to 1.
    rng : Generator

    Returns
    -------
    (H, W) uint8 array
    """
    again = wobble(sketch, amplitude, cell, rng)
    return np.minimum(sketch, cv2.addWeighted(again, strength, again, 0, PAPER * (1 - strength)))


def gaps(shape: tuple[int, int], share: float, size: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A random mask of irregular patches in which lines are missing, for :func:`erase`.

    Parameters
    ----------
    shape : (int, int)
        Height and width, pixels.
    share : float
        Fraction of the area that patches cover, 0 to 1.
    size : float
        Width of the patches, pixels.
    rng : Generator

    Returns
    -------
    (H, W) float32 array
        0 in the patches, 1 outside, with a narrow transition between them.
    """
    noise = smooth_noise(shape, size, rng)
    if share <= 0:
        return np.ones(shape, np.float32)
    limit = np.quantile(noise[:: max(1, shape[0] // 64), :: max(1, shape[1] // 64)], share)
    return np.asarray(np.clip((noise - limit) * 8 + 0.5, 0, 1), np.float32)


def erase(sketch: Sketch, mask: NDArray[np.float32]) -> Sketch:
    """A sketch with its darkness multiplied by a mask.

    Parameters
    ----------
    sketch : (H, W) uint8 array
    mask : (H, W) float32 array
        In [0, 1]; 0 erases.

    Returns
    -------
    (H, W) uint8 array
    """
    return np.asarray(PAPER - (PAPER - sketch.astype(np.float32)) * mask, np.uint8)


def on_paper(
    sketch: Sketch, *, darkness: float, unevenness: float, grain: float, faintness: float, rng: np.random.Generator
) -> Sketch:
    """A sketch with grey paper and grey lines.

    Parameters
    ----------
    sketch : (H, W) uint8 array
    darkness : float
        The paper's largest distance from white, 0 to 1.
    unevenness : float
        Fraction of the darkness that varies across the sheet, like uneven light, 0 to 1.
    grain : float
        Standard deviation of the paper's grain, as a fraction of white.
    faintness : float
        How far black lines are from black, 0 to 1.
    rng : Generator

    Returns
    -------
    (H, W) uint8 array
    """
    height, width = sketch.shape
    light = smooth_noise((height, width), max(height, width) / 2, rng)
    paper = 1 - darkness * (1 - unevenness * (0.5 + 0.5 * np.clip(light, -1, 1)))
    if grain > 0:
        paper = paper + grain * rng.standard_normal((height, width), np.float32)
    tone = PAPER - (PAPER - sketch.astype(np.float32)) * (1 - faintness)
    return np.asarray(np.clip(tone * paper, 0, PAPER).round(), np.uint8)


def soften(sketch: Sketch, sigma: float) -> Sketch:
    """A sketch blurred by a Gaussian.

    Parameters
    ----------
    sketch : (H, W) uint8 array
    sigma : float
        Standard deviation, pixels; less than 0.1 returns the sketch unchanged.

    Returns
    -------
    (H, W) uint8 array
    """
    if sigma < 0.1:
        return sketch
    return np.asarray(cv2.GaussianBlur(sketch, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), np.uint8)
