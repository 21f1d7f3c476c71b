"""Warping pictures by an affine map or a smooth displacement field, with a single resampling.

Label maps are sampled at the nearest pixel, so that no new class appears. Beyond its border a picture continues as its own
mirror image, including the edge pixel: this is the same at every size, so a condition and its photo continue alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Motion:
    """An affine motion: mirroring, then rotation and scaling about the centre, then translation.

    No field is in pixels, so one motion applies to pictures of different sizes.

    Attributes
    ----------
    flipped : bool
        Mirror left and right.
    angle : float
        Rotation, degrees counterclockwise.
    scale : float
        Scale factor, more than 0.
    right, down : float
        Translation, as fractions of the width.
    """

    flipped: bool = False
    angle: float = 0.0
    scale: float = 1.0
    right: float = 0.0
    down: float = 0.0

    @property
    def only_flips(self) -> bool:
        """Whether nothing but mirroring happens, so that no resampling is needed."""
        return (self.angle, self.scale, self.right, self.down) == (0, 1, 0, 0)

    def source(self, height: int, width: int) -> NDArray[np.float64]:
        """The (2, 3) matrix that maps pixel coordinates (x, y) of the warped picture to those of the original."""
        cosine, sine = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        inverse = np.array([[cosine, -sine], [sine, cosine]]) / self.scale  # the y axis points down
        if self.flipped:
            inverse[0] *= -1
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        shift = width * np.array([self.right, self.down])
        return np.hstack([inverse, (centre - inverse @ (centre + shift))[:, None]])


def move(picture: NDArray[np.uint8], motion: Motion, *, labels: bool = False) -> NDArray[np.uint8]:
    """A picture warped by an affine motion.

    Parameters
    ----------
    picture : (H, W) or (H, W, 3) uint8 array
    motion : Motion
    labels : bool
        The values are class ids, which must not be interpolated. Ids do not change: after mirroring, the classes of left
        and right must be swapped separately.

    Returns
    -------
    uint8 array of the same shape

    Examples
    --------
    >>> move(np.array([[1, 2, 3]], np.uint8), Motion(flipped=True)).tolist()
    [[3, 2, 1]]
    """
    if motion.only_flips:
        return np.ascontiguousarray(picture[:, ::-1]) if motion.flipped else picture
    height, width = picture.shape[:2]
    if labels:
        return _nearest(picture, *_source_grid(height, width, motion))
    moved = cv2.warpAffine(
        picture,
        motion.source(height, width),
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    return np.asarray(moved, np.uint8)


def _source_grid(height: int, width: int, motion: Motion) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The original's x and y, each (H, W) float32 in pixels, for every pixel of the warped picture."""
    (a, b, c), (d, e, f) = motion.source(height, width).astype(np.float32)
    x, y = _grid(height, width)
    return a * x + b * y + c, d * x + e * y + f


def smooth_noise(shape: tuple[int, int], cell: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Isotropic noise that varies over about ``cell`` pixels: a grid of normal values, interpolated by cubic B-splines.

    Parameters
    ----------
    shape : (int, int)
        Height and width, pixels.
    cell : float
        Grid spacing, pixels, more than 0.
    rng : Generator

    Returns
    -------
    (H, W) float32 array
        Zero mean and unit variance at every pixel.
    """
    across, along = (_splines(length, cell, rng.random()) for length in shape)
    values = rng.standard_normal((across.shape[1], along.shape[1]), np.float32)
    return np.asarray(across @ values @ along.T, np.float32)


def _splines(length: int, cell: float, offset: float) -> NDArray[np.float32]:
    """The (length, n) B-spline weights of ``n`` grid values at ``length`` pixels; the squares of each row sum to 1."""
    positions = np.arange(length) / cell + 1 + offset  # a random offset, so that the grid is not tied to the corners
    distance = np.abs(positions[:, None] - np.arange(math.ceil(positions[-1]) + 2))
    weights = np.where(distance < 1, (4 - 6 * distance**2 + 3 * distance**3), np.maximum(2 - distance, 0) ** 3)
    return np.asarray(weights / np.sqrt(np.square(weights).sum(axis=1, keepdims=True)), np.float32)


def wobble(
    picture: NDArray[np.uint8], amplitude: float, cell: float, rng: np.random.Generator, *, labels: bool = False
) -> NDArray[np.uint8]:
    """A picture warped by a smooth random displacement field, as an unsteady hand would draw it.

    Parameters
    ----------
    picture : (H, W) or (H, W, 3) uint8 array
    amplitude : float
        The largest displacement, pixels; 0 or less returns the picture unchanged.
    cell : float
        Distance over which the displacement varies, pixels, more than 0.
    rng : Generator
    labels : bool
        The values are class ids, which must not be interpolated.

    Returns
    -------
    uint8 array of the same shape
    """
    if amplitude <= 0:
        return picture
    height, width = picture.shape[:2]
    right, down = (smooth_noise((height, width), cell, rng) for _ in range(2))
    farthest = float(cv2.magnitude(right, down).max())
    x, y = _grid(height, width)
    x, y = (axis + np.float32(amplitude / farthest) * offset for axis, offset in ((x, right), (y, down)))
    if labels:
        return _nearest(picture, x, y)
    warped = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(warped, np.uint8)


def _nearest(labels: NDArray[np.uint8], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.uint8]:
    sampled = cv2.remap(labels, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(sampled, np.uint8)


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The coordinates of every pixel: x as (1, W) and y as (H, 1)."""
    return np.arange(width, dtype=np.float32)[None], np.arange(height, dtype=np.float32)[:, None]
