"""Distances of a picture to the true one that need no network: two pictures in, one number out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from facesynth.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

WINDOW, SIGMA = 11, 1.5
"""Side and standard deviation of SSIM's Gaussian window, pixels."""
_K = (0.01, 0.03)
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""The exponents of MS-SSIM, the finest scale first."""
SMALLEST_MS_SSIM = (WINDOW - 1) * 2 ** (len(_SCALES) - 1) + 1
"""Smallest height and width for MS-SSIM, pixels: the coarsest scale still holds a window."""


def l1(made: Picture, true: Picture) -> float:
    """Mean absolute difference of pictures whose values are scaled to [-1, 1].

    Parameters
    ----------
    made, true : (H, W, 3) uint8 array

    Returns
    -------
    float
        0 to 2.

    Raises
    ------
    InputError
        If the shapes differ.

    Examples
    --------
    >>> l1(np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8))
    2.0
    """
    return float(np.abs(_difference(made, true)).mean() / 127.5)


def l2(made: Picture, true: Picture) -> float:
    """Mean squared difference of pictures whose values are scaled to [-1, 1].

    Parameters
    ----------
    made, true : (H, W, 3) uint8 array

    Returns
    -------
    float
        0 to 4.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    return float(np.square(_difference(made, true)).mean() / 127.5**2)


def psnr(made: Picture, true: Picture) -> float:
    """Peak signal-to-noise ratio, decibels, over all pixels and channels.

    Parameters
    ----------
    made, true : (H, W, 3) uint8 array

    Returns
    -------
    float
        Infinite for equal pictures.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    from skimage.metrics import peak_signal_noise_ratio

    _difference(made, true)
    return math.inf if np.array_equal(made, true) else float(peak_signal_noise_ratio(true, made, data_range=255))


def ssim(made: Picture, true: Picture) -> float:
    """Structural similarity with a Gaussian window, mean over the three channels, without the window's margin.

    Parameters
    ----------
    made, true : (H, W, 3) uint8 array
        Sides of at least 11 px.

    Returns
    -------
    float
        -1 to 1; 1 for equal pictures.

    Raises
    ------
    InputError
        If the shapes differ or the pictures are too small.

    References
    ----------
    Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", IEEE TIP 13(4), 2004, section III.
    """
    from skimage.metrics import structural_similarity

    _check_sides(made, true, WINDOW)
    return float(
        structural_similarity(
            made, true, channel_axis=2, data_range=255, gaussian_weights=True, sigma=SIGMA, use_sample_covariance=False
        )
    )


def ms_ssim(made: Picture, true: Picture) -> float:
    """Multi-scale structural similarity over five scales, mean over the three channels.

    Parameters
    ----------
    made, true : (H, W, 3) uint8 array
        Sides of at least 161 px.

    Returns
    -------
    float
        0 to 1; 1 for equal pictures. A negative contrast term counts as 0.

    Raises
    ------
    InputError
        If the shapes differ or the pictures are too small.

    References
    ----------
    Wang, Simoncelli, Bovik, "Multi-scale Structural Similarity for Image Quality Assessment", Asilomar 2003, section 3.
    """
    _check_sides(made, true, SMALLEST_MS_SSIM)
    a, b = made.astype(np.float64), true.astype(np.float64)
    product = np.ones(3)
    for place, exponent in enumerate(_SCALES):
        luminance, contrast = _terms(a, b)
        term = contrast if place < len(_SCALES) - 1 else luminance * contrast
        product *= np.maximum(term.mean((0, 1)), 0.0) ** exponent
        a, b = _halved(a), _halved(b)
    return float(product.mean())


def _terms(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The luminance and the contrast-structure term of SSIM at every pixel that has a whole window."""
    edge = WINDOW // 2
    first, second = ((k * 255) ** 2 for k in _K)
    mean_a, mean_b, aa, bb, ab = (
        cv2.GaussianBlur(x, (WINDOW, WINDOW), SIGMA)[edge:-edge, edge:-edge] for x in (a, b, a * a, b * b, a * b)
    )
    variances, covariance = aa - mean_a**2 + bb - mean_b**2, ab - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + first) / (mean_a**2 + mean_b**2 + first)
    return luminance, (2 * covariance + second) / (variances + second)


def _halved(picture: NDArray[Any]) -> NDArray[Any]:
    """Means of 2 x 2 pixels; an odd last row or column is left out."""
    height, width = (side - side % 2 for side in picture.shape[:2])
    even = picture[:height, :width]
    halved: NDArray[Any] = (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
    return halved


def sharpness(picture: Picture) -> float:
    """Variance of the Laplacian of the grey picture, without an eighth of its side at each edge.

    Parameters
    ----------
    picture : (H, W, 3) uint8 array
    """
    edges = [side // 8 for side in picture.shape[:2]]
    laplacian = cv2.Laplacian(picture.mean(axis=2), cv2.CV_64F)
    return float(laplacian[edges[0] : picture.shape[0] - edges[0], edges[1] : picture.shape[1] - edges[1]].var())


def _difference(made: Picture, true: Picture) -> NDArray[np.float64]:
    if made.shape != true.shape:
        raise InputError(f"the face has shape {made.shape} and the photo {true.shape}; needed: one shape")
    return made.astype(np.float64) - true


def _check_sides(made: Picture, true: Picture, smallest: int) -> None:
    if made.shape != true.shape or min(made.shape[:2]) < smallest:
        raise InputError(
            f"the face has shape {made.shape} and the photo {true.shape}; needed: one shape, sides of at least {smallest} px"
        )
