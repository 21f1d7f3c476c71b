"""Photos to pencil sketches: dodge-blend and XDoG.

Grey pictures are float arrays in [0, 1]; so are the sketches, 1 the paper. Blurs mirror the picture at its borders without
repeating the edge pixel.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from facesynth.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def luma(photo: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Rec. 601 luma of an (H, W, 3) uint8 RGB photo, (H, W) in [0, 1]."""
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
        raise InputError(f"photo is a {photo.dtype} array of shape {photo.shape}; needed: (H, W, 3) uint8")
    weights = np.array([0.299, 0.587, 0.114], np.float32) / np.float32(255)
    return np.asarray(photo.astype(np.float32) @ weights)


def _blur(grey: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    sigma = min(sigma, 2.0 * max(grey.shape))  # which leaves no more than the mean, as any wider blur would
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), np.float32)


def _check(grey: NDArray[Any], **positive: float) -> NDArray[np.float32]:
    if grey.ndim != 2 or not np.issubdtype(grey.dtype, np.floating):
        raise InputError(f"grey is a {grey.dtype} array of shape {grey.shape}; needed: (H, W) float in [0, 1]")
    for name, value in positive.items():
        if not 0 < value < math.inf:
            raise InputError(f"{name} is {value}; needed: a number more than 0")
    return np.asarray(grey, np.float32)


def dodge(grey: NDArray[np.floating[Any]], *, sigma: float = 10.0) -> NDArray[np.float32]:
    """Dodge-blend pencil sketch: the picture divided by its blur.

    That is the colour dodge of the picture with its blurred negative inverted: even areas turn white, whatever is darker
    than its surroundings stays.

    Parameters
    ----------
    grey : (H, W) float array
        In [0, 1].
    sigma : float
        Standard deviation of the Gaussian blur, pixels.

    Returns
    -------
    (H, W) float32 array
        ``min(1, grey / blur(grey))``, 1 the paper, also where both are 0.

    Examples
    --------
    >>> dodge(np.full((8, 8), 0.3)).min().round(3).item()
    1.0
    """
    grey32 = _check(grey, sigma=sigma)
    blurred = _blur(grey32, sigma)
    return np.divide(grey32, blurred, out=np.ones_like(grey32), where=blurred > grey32)


def xdog(
    grey: NDArray[np.floating[Any]],
    *,
    sigma: float = 1.4,
    k: float = 1.6,
    p: float = 40.0,
    epsilon: float = 0.15,
    phi: float = 2.0,
) -> NDArray[np.float32]:
    """Extended difference of Gaussians, soft-thresholded.

    Parameters
    ----------
    grey : (H, W) float array
        In [0, 1].
    sigma : float
        Standard deviation of the finer Gaussian, pixels: the width of the lines.
    k : float
        Ratio of the coarser Gaussian's to the finer one's, more than 1.
    p : float
        Strength of the edges against the tones.
    epsilon : float
        Sharpened grey from which on the paper stays white.
    phi : float
        Steepness of the fall to black below it.

    Returns
    -------
    (H, W) float32 array
        In [0, 1], 1 the paper.

    References
    ----------
    Winnemöller, Kyprianidis, Olsen, "XDoG: an eXtended difference-of-Gaussians compendium including advanced image
    stylization", Computers & Graphics 36(6), 2012, sections 2.3 to 2.5.

    Examples
    --------
    >>> xdog(np.full((8, 8), 0.9)).min().item()
    1.0
    """
    grey32 = _check(grey, sigma=sigma, phi=phi)
    if not 1 < k < math.inf:
        raise InputError(f"k is {k}; needed: a number more than 1, the coarser blur over the finer one")
    if not 0 <= p < math.inf:
        raise InputError(f"p is {p}; needed: a number, at least 0")
    if not math.isfinite(epsilon):
        raise InputError(f"epsilon is {epsilon}; needed: a number")
    sharpened = (1 + p) * _blur(grey32, sigma) - p * _blur(grey32, k * sigma)
    return 1 + np.tanh(np.minimum(phi * (sharpened - epsilon), 0))
