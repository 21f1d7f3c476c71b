"""Moving the pixels of a picture: by one affine map, or by a smooth displacement field, in one resampling.

Label maps are sampled at the nearest pixel, so that no class comes up that was not there. What lies beyond the border is
the picture's own mirror image, edge pixel included: it lies the same at every size, so that a condition and its photo go on
alike.
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
    """Where a picture goes: mirrored first, then turned and scaled about its middle, then shifted.

    Nothing in it is in pixels, so pictures of several sizes move together.

    Attributes
    ----------
    flipped : bool
        Left and right are swapped.
    angle : float
        Turn, degrees counterclockwise.
    scale : float
        Factor of all lengths, more than 0.
    right, down : float
        Shift, as shares of the width.
    """

    flipped: bool = False
    angle: float = 0.0
    scale: float = 1.0
    right: float = 0.0
    down: float = 0.0

    @property
    def only_flips(self) -> bool:
        """Whether every pixel keeps its value and its row."""
        return (self.angle, self.scale, self.right, self.down) == (0, 1, 0, 0)

    def source(self, height: int, width: int) -> NDArray[np.float64]:
        """The (2, 3) matrix from pixels (x, y) of the moved picture to those of the picture it is made of."""
        cosine, sine = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        back = np.array([[cosine, -sine], [sine, cosine]]) / self.scale  # rows count downwards
        if self.flipped:
            back[0] *= -1
        middle = np.array([(width - 1) / 2, (height - 1) / 2])
        shift = width * np.array([self.right, self.down])
        return np.hstack([back, (middle - back @ (middle + shift))[:, None]])


def move(picture: NDArray[np.uint8], motion: Motion, *, labels: bool = False) -> NDArray[np.uint8]:
    """A picture moved.

    Parameters
    ----------
    picture : (H, W) or (H, W, 3) uint8 array
    motion : Motion
    labels : bool
        The values are class ids, which must not be averaged; they stay, so mirrored sides are to be renamed apart.

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
        return _nearest(picture, *_places(height, width, motion))
    moved = cv2.warpAffine(
        picture,
        motion.source(height, width),
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    return np.asarray(moved, np.uint8)


def _places(height: int, width: int, motion: Motion) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    (a, b, c), (d, e, f) = motion.source(height, width).astype(np.float32)
    x, y = _grid(height, width)
    return a * x + b * y + c, d * x + e * y + f


def smooth_noise(shape: tuple[int, int], cell: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise without direction that changes over about ``cell`` pixels: normal values on a grid, joined by cubic B-splines.

    Parameters
    ----------
    shape : (int, int)
        Height and width.
    cell : float
        Distance of the values on the grid, pixels, more than 0.
    rng : Generator

    Returns
    -------
    (H, W) float32 array
        Everywhere of mean 0 and unit variance.
    """
    across, along = (_splines(length, cell, rng.random()) for length in shape)
    values = rng.standard_normal((across.shape[1], along.shape[1]), np.float32)
    return np.asarray(across @ values @ along.T, np.float32)


def _splines(length: int, cell: float, offset: float) -> NDArray[np.float32]:
    """The weights (length, n) of ``n`` values at ``length`` pixels, their squares summing up to 1."""
    places = np.arange(length) / cell + 1 + offset  # the grid lies anywhere, not always on the corners
    distance = np.abs(places[:, None] - np.arange(math.ceil(places[-1]) + 2))
    weights = np.where(distance < 1, (4 - 6 * distance**2 + 3 * distance**3), np.maximum(2 - distance, 0) ** 3)
    return np.asarray(weights / np.sqrt(np.square(weights).sum(axis=1, keepdims=True)), np.float32)


def wobble(
    picture: NDArray[np.uint8], amplitude: float, cell: float, rng: np.random.Generator, *, labels: bool = False
) -> NDArray[np.uint8]:
    """A picture bent as an unsteady hand would: every pixel from a little aside, neighbours from nearly the same way off.

    Parameters
    ----------
    picture : (H, W) or (H, W, 3) uint8 array
    amplitude : float
        The farthest that any point moves, pixels, at least 0.
    cell : float
        Distance over which the direction changes, pixels.
    rng : Generator
    labels : bool
        The values are class ids, which must not be averaged.

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
    bent = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(bent, np.uint8)


def _nearest(labels: NDArray[np.uint8], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.uint8]:
    sampled = cv2.remap(labels, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(sampled, np.uint8)


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Every pixel's own place: (1, W) columns and (H, 1) rows."""
    return np.arange(width, dtype=np.float32)[None], np.arange(height, dtype=np.float32)[:, None]
