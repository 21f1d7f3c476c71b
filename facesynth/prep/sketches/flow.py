"""Flow of edges: the direction in which lines run at every pixel, and averages across it and along it.

The tangents come from the smoothed structure tensor (Brox et al. 2006; Kyprianidis and Döllner 2008), so they have no sign:
one points either way along its edge, and everything here is the same for both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Field = NDArray[np.float32]

BORDER = cv2.BORDER_REFLECT_101
"""Pictures are mirrored at their borders without repeating the edge pixel."""

MOST_WORK = 2**26
"""Most that a blur at full size may take: pixels times its standard deviation."""

BAND_PIXELS = 2**14
"""Pixels that are followed at a time."""

MOST_STEPS = 64
"""Most samples to one side of a pixel; a wider average takes longer steps, not more of them."""


def blur(grey: Field, sigma: float) -> Field:
    """Gaussian blur; one too wide for the picture leaves no more than its mean, as any wider one would.

    What would take long is blurred at a smaller size, where the blur is still many pixels wide.
    """
    rows, columns = grey.shape
    sigma = min(sigma, 2.0 * max(rows, columns))
    shrink = math.ceil((rows * columns * sigma / MOST_WORK) ** (1 / 3))
    if shrink <= 1:
        return np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma, borderType=BORDER), np.float32)
    small = cv2.resize(grey, (-(-columns // shrink), -(-rows // shrink)), interpolation=cv2.INTER_AREA)
    sigmas = (sigma * small.shape[1] / columns, sigma * small.shape[0] / rows)
    small = cv2.GaussianBlur(small, (0, 0), *sigmas, borderType=BORDER)
    return np.asarray(cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR), np.float32)


def edge_tangents(grey: Field, *, sigma: float, sigma_tensor: float) -> Field:
    """Unit vectors along the edges.

    Parameters
    ----------
    grey : (H, W) float32 array
    sigma : float
        Scale at which edges are looked for, pixels.
    sigma_tensor : float
        Standard deviation of the Gaussian that averages the structure tensor, pixels.

    Returns
    -------
    (H, W, 2) float32 array
        x and y; of either sign. Where nothing has a direction they are vertical.
    """
    smooth = blur(grey, sigma)
    dx, dy = (cv2.Scharr(smooth, cv2.CV_32F, *order, borderType=BORDER) for order in ((1, 0), (0, 1)))
    along_x, along_y, mixed = (blur(np.asarray(product), sigma_tensor) for product in (dx * dx, dy * dy, dx * dy))
    across = 0.5 * np.arctan2(2 * mixed, along_x - along_y)
    return np.asarray(cv2.merge([-np.sin(across), np.cos(across)]), np.float32)


def _gaussian(sigma: float, offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights at offsets 0 and up, so that those of both sides sum to 1."""
    weights = np.exp(-((offsets / sigma) ** 2) / 2)
    return np.asarray(weights / (2 * weights.sum() - weights[0]))


def _offsets(sigma: float, size: tuple[int, ...], reach: float) -> tuple[float, NDArray[np.float64]]:
    """The standard deviation, made sensible for the picture, and the offsets of samples to one side."""
    sigma = min(max(sigma, 0.05), 0.5 * max(size))
    count = max(1, math.ceil(reach * sigma))
    step = max(1.0, count / MOST_STEPS)
    return sigma, np.arange(0, count + step / 2, step)


def _bands(shape: tuple[int, ...]) -> Iterator[tuple[slice, Field, Field]]:
    """Some rows at a time, and the x and y of their pixels: as many as a processor's cache holds."""
    rows, columns = shape
    height = max(1, BAND_PIXELS // columns)
    for start in range(0, rows, height):
        band = slice(start, min(start + height, rows))
        y, x = np.mgrid[band, :columns].astype(np.float32)
        yield band, x, y


def _sample(values: Field, x: Field, y: Field, method: int = cv2.INTER_LINEAR) -> Field:
    border = cv2.BORDER_REPLICATE if method == cv2.INTER_NEAREST else BORDER
    return np.asarray(cv2.remap(values, x, y, method, borderMode=border))


def sharpen_across(grey: Field, tangents: Field, *, sigma: float, k: float, p: float) -> Field:
    """``(1 + p) G(sigma) - p G(k sigma)`` of the picture, both blurs one-dimensional and across the edges.

    Parameters
    ----------
    grey : (H, W) float32 array
    tangents : (H, W, 2) float32 array
        As :func:`edge_tangents` gives them.
    sigma, k, p : float
        As of :func:`facesynth.prep.sketches.methods.xdog`.

    Returns
    -------
    (H, W) float32 array
    """
    coarse, offsets = _offsets(k * sigma, grey.shape, 4.0)
    fine, _ = _offsets(sigma, grey.shape, 4.0)
    weights = (1 + p) * _gaussian(fine, offsets) - p * _gaussian(coarse, offsets)
    if offsets[1] > 1:
        grey = blur(grey, offsets[1] / 2)
    tangent_x, tangent_y = (np.ascontiguousarray(tangents[..., axis]) for axis in (0, 1))
    total: Field = grey * np.float32(weights[0])
    for band, x, y in _bands(grey.shape):
        across_x, across_y = tangent_y[band], -tangent_x[band]
        for offset, weight in zip(offsets[1:], weights[1:], strict=True):
            dx, dy = across_x * np.float32(offset), across_y * np.float32(offset)
            both = _sample(grey, x + dx, y + dy) + _sample(grey, x - dx, y - dy)
            total[band] += both * np.float32(weight)
    return total


def average_along(values: Field, tangents: Field, *, sigma: float) -> Field:
    """Gaussian average of values along the lines that the tangents make.

    Parameters
    ----------
    values : (H, W) float32 array
    tangents : (H, W, 2) float32 array
    sigma : float
        Standard deviation, pixels along the line.

    Returns
    -------
    (H, W) float32 array
    """
    sigma, offsets = _offsets(sigma, values.shape, 3.0)
    weights = _gaussian(sigma, offsets)
    step = np.float32(offsets[1])
    tangent_x, tangent_y = (np.ascontiguousarray(tangents[..., axis]) for axis in (0, 1))
    total: Field = values * np.float32(weights[0])
    for way in (step, -step):
        for band, x, y in _bands(values.shape):
            dx, dy = tangent_x[band] * way, tangent_y[band] * way
            for number, weight in enumerate(weights[1:], start=1):
                x += dx
                y += dy
                total[band] += _sample(values, x, y) * np.float32(weight)
                if number < len(weights) - 1:
                    next_x, next_y = (_sample(part, x, y, cv2.INTER_NEAREST) for part in (tangent_x, tangent_y))
                    same_way = np.copysign(step, next_x * dx + next_y * dy)
                    dx, dy = next_x * same_way, next_y * same_way
    return total
