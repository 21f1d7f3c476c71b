"""Edge flow: the direction of the edges at every pixel, and filters across and along it.

The tangents are eigenvectors of the smoothed structure tensor (Brox et al. 2006; Kyprianidis and Döllner 2008). They have no
sign: a tangent points either way along its edge, and the filters give the same result for both.
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
"""Largest cost of a blur at full size: pixels times standard deviation."""

BAND_PIXELS = 2**14
"""Pixels that are filtered at a time."""

MOST_STEPS = 64
"""Most samples to one side of a pixel; a wider average takes longer steps instead of more."""


def blur(grey: Field, sigma: float) -> Field:
    """Gaussian blur.

    A standard deviation of more than twice the larger side is reduced to that: such a blur leaves only the mean. Expensive
    blurs are computed at a reduced size, at which the blur is still many pixels wide.

    Parameters
    ----------
    grey : (H, W) float32 array
        Any range.
    sigma : float
        Standard deviation, pixels; more than 0.

    Returns
    -------
    (H, W) float32 array
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
        In [0, 1].
    sigma : float
        Standard deviation of the Gaussian before the gradient, pixels.
    sigma_tensor : float
        Standard deviation of the Gaussian that smooths the structure tensor, pixels.

    Returns
    -------
    (H, W, 2) float32 array
        x and y; the sign is arbitrary. Vertical where there is no direction.

    References
    ----------
    Brox, Weickert, Burgeth, Mrázek, "Nonlinear structure tensors", Image and Vision Computing 24(1), 2006. Kyprianidis,
    Döllner, "Image abstraction by structure adaptive filtering", TPCG 2008.
    """
    smooth = blur(grey, sigma)
    dx, dy = (cv2.Scharr(smooth, cv2.CV_32F, *order, borderType=BORDER) for order in ((1, 0), (0, 1)))
    along_x, along_y, mixed = (blur(np.asarray(product), sigma_tensor) for product in (dx * dx, dy * dy, dx * dy))
    across = 0.5 * np.arctan2(2 * mixed, along_x - along_y)
    return np.asarray(cv2.merge([-np.sin(across), np.cos(across)]), np.float32)


def _gaussian(sigma: float, offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights at the given offsets from 0 up, normalised so that those of both sides sum to 1."""
    weights = np.exp(-((offsets / sigma) ** 2) / 2)
    return np.asarray(weights / (2 * weights.sum() - weights[0]))


def _offsets(sigma: float, size: tuple[int, ...], reach: float) -> tuple[float, NDArray[np.float64]]:
    """The standard deviation, limited by the size of the picture, and the sample offsets to one side."""
    sigma = min(max(sigma, 0.05), 0.5 * max(size))
    count = max(1, math.ceil(reach * sigma))
    step = max(1.0, count / MOST_STEPS)
    return sigma, np.arange(0, count + step / 2, step)


def _bands(shape: tuple[int, ...]) -> Iterator[tuple[slice, Field, Field]]:
    """Bands of rows that fit into the processor's cache, with the x and y coordinates of their pixels."""
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
    """Difference of Gaussians, ``(1 + p) G(sigma) - p G(k sigma)``, one-dimensional and across the edges.

    Parameters
    ----------
    grey : (H, W) float32 array
        In [0, 1].
    tangents : (H, W, 2) float32 array
        Unit vectors, as :func:`edge_tangents` returns them.
    sigma, k, p : float
        As for :func:`facesynth.prep.sketches.methods.xdog`; sigma in pixels.

    Returns
    -------
    (H, W) float32 array
        Not limited to [0, 1].

    References
    ----------
    Kang, Lee, Chui, "Coherent line drawing", NPAR 2007. Winnemöller, Kyprianidis, Olsen, "XDoG", Computers & Graphics 36(6),
    2012, section 2.6.
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
    """Gaussian average along the streamlines of the tangents (line integral convolution).

    Parameters
    ----------
    values : (H, W) float32 array
        Any range.
    tangents : (H, W, 2) float32 array
        Unit vectors, as :func:`edge_tangents` returns them.
    sigma : float
        Standard deviation along the line, pixels.

    Returns
    -------
    (H, W) float32 array

    References
    ----------
    Kang, Lee, Chui, "Coherent line drawing", NPAR 2007. Winnemöller, Kyprianidis, Olsen, "XDoG", Computers & Graphics 36(6),
    2012, section 2.6.
    """
    sigma, offsets = _offsets(sigma, values.shape, 3.0)
    weights = _gaussian(sigma, offsets)
    step = np.float32(offsets[1])
    tangent_x, tangent_y = (np.ascontiguousarray(tangents[..., axis]) for axis in (0, 1))
    total: Field = values * np.float32(weights[0])
    for signed_step in (step, -step):
        for band, x, y in _bands(values.shape):
            dx, dy = tangent_x[band] * signed_step, tangent_y[band] * signed_step
            for number, weight in enumerate(weights[1:], start=1):
                x += dx
                y += dy
                total[band] += _sample(values, x, y) * np.float32(weight)
                if number < len(weights) - 1:
                    next_x, next_y = (
                        _sample(component, x, y, cv2.INTER_NEAREST) for component in (tangent_x, tangent_y)
                    )
                    consistent_step = np.copysign(step, next_x * dx + next_y * dy)
                    dx, dy = next_x * consistent_step, next_y * consistent_step
    return total
