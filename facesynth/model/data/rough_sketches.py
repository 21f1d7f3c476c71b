"""What a hand does to the lines of a sketch: thinner or thicker, broken, left out, drawn twice, on paper of its own tone.

Sketches are (H, W) uint8 arrays, 255 the paper; lengths are pixels of the picture given.
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
    """Lines wider by ``width`` on either side; narrower, and the narrowest fainter or gone, where it is negative.

    Between two whole numbers of pixels it lies in proportion, so that it works in small pictures too.
    """
    morph = cv2.erode if width > 0 else cv2.dilate  # of light paper, so the lines grow
    radius = math.floor(abs(width))
    inner = np.asarray(morph(sketch, _disc(radius)), np.uint8) if radius else sketch
    share = abs(width) - radius
    if share <= 0:
        return inner
    return np.asarray(cv2.addWeighted(inner, 1 - share, morph(sketch, _disc(radius + 1)), share, 0), np.uint8)


def _disc(radius: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)), np.uint8)


def leave_out_shades(sketch: Sketch, reach: float, strength: float) -> Sketch:
    """Only what is darker than around it: shaded areas and filled ones keep their outlines alone.

    Parameters
    ----------
    sketch : (H, W) uint8 array
    reach : float
        How wide a line may be and stay, pixels: the standard deviation of what is meant by around.
    strength : float
        0 leaves the sketch as it is, 1 takes all shades away.
    """
    grey = sketch.astype(np.float32)
    around = cv2.GaussianBlur(grey, (0, 0), max(reach, 0.3), borderType=cv2.BORDER_REFLECT_101)
    lines = np.minimum(grey / np.maximum(around, 1), 1) * PAPER
    return np.asarray(cv2.addWeighted(grey, 1 - strength, lines, strength, 0).round(), np.uint8)


def restate(sketch: Sketch, amplitude: float, cell: float, strength: float, rng: np.random.Generator) -> Sketch:
    """Every line drawn a second time, fainter by the factor ``strength`` and a little aside (see :func:`~.warp.wobble`)."""
    again = wobble(sketch, amplitude, cell, rng)
    return np.minimum(sketch, cv2.addWeighted(again, strength, again, 0, PAPER * (1 - strength)))


def gaps(shape: tuple[int, int], share: float, size: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Places without lines, as patches of no particular form.

    Parameters
    ----------
    shape : (int, int)
        Height and width.
    share : float
        Of the area that is in patches, 0 to 1.
    size : float
        How wide patches are, pixels.
    rng : Generator

    Returns
    -------
    (H, W) float32 array
        What is kept of the lines: 0 in the patches, 1 outside, a narrow slope between them.
    """
    noise = smooth_noise(shape, size, rng)
    if share <= 0:
        return np.ones(shape, np.float32)
    limit = np.quantile(noise[:: max(1, shape[0] // 64), :: max(1, shape[1] // 64)], share)
    return np.asarray(np.clip((noise - limit) * 8 + 0.5, 0, 1), np.float32)


def erase(sketch: Sketch, kept: NDArray[np.float32]) -> Sketch:
    """The sketch with its ink multiplied by ``kept``, an (H, W) array in [0, 1]."""
    return np.asarray(PAPER - (PAPER - sketch.astype(np.float32)) * kept, np.uint8)


def on_paper(
    sketch: Sketch, *, darkness: float, unevenness: float, grain: float, faintness: float, rng: np.random.Generator
) -> Sketch:
    """The sketch on paper that is not white, by a pencil that is not black.

    Parameters
    ----------
    sketch : (H, W) uint8 array
    darkness : float
        How far the paper is from white at most, 0 to 1.
    unevenness : float
        How much of that comes and goes across the sheet, as light falls on it, 0 to 1.
    grain : float
        Standard deviation of the paper's roughness, as a share of white.
    faintness : float
        How far black lines are from black, 0 to 1.
    rng : Generator
    """
    height, width = sketch.shape
    light = smooth_noise((height, width), max(height, width) / 2, rng)
    paper = 1 - darkness * (1 - unevenness * (0.5 + 0.5 * np.clip(light, -1, 1)))
    if grain > 0:
        paper = paper + grain * rng.standard_normal((height, width), np.float32)
    tone = PAPER - (PAPER - sketch.astype(np.float32)) * (1 - faintness)
    return np.asarray(np.clip(tone * paper, 0, PAPER).round(), np.uint8)


def soften(sketch: Sketch, sigma: float) -> Sketch:
    """The sketch out of focus by a Gaussian of standard deviation ``sigma``, pixels."""
    if sigma < 0.1:
        return sketch
    return np.asarray(cv2.GaussianBlur(sketch, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), np.uint8)
