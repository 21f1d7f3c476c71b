"""Sketch filters: dodge blend, XDoG, flow-based XDoG, Sobel and Canny edges, and the contours of a label map.

The filters map float arrays in [0, 1] to float arrays in [0, 1], where 1 is paper; lengths are in pixels. Pictures are
mirrored at their borders without repeating the edge pixel. :mod:`facesynth.prep.sketches.drawing` applies them to photos.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from facesynth.errors import InputError
from facesynth.prep.sketches.flow import average_along, blur, edge_tangents, sharpen_across
from facesynth.prep.sketches.presets import METHODS
from facesynth.xdog import difference, threshold

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Grey = NDArray[np.floating[Any]]
    Drawing = NDArray[np.float32]


def _checked(method: str, grey: Grey, **parameters: float) -> Drawing:
    if grey.ndim != 2 or not np.issubdtype(grey.dtype, np.floating):
        raise InputError(f"grey is a {grey.dtype} array of shape {grey.shape}; needed: (H, W) float in [0, 1]")
    _check(method, parameters)
    return np.asarray(grey, np.float32)


def _check(method: str, parameters: dict[str, float]) -> None:
    for name, value in parameters.items():
        METHODS[method].parameters[name].check(name, value)


def dodge(grey: Grey, *, sigma: float = 10.0, strength: float = 1.0) -> Drawing:
    """Dodge-blend pencil sketch: the picture divided by its blur.

    This is the colour dodge of the picture with its blurred negative. Even areas turn white; what is darker than its
    surroundings stays.

    Parameters
    ----------
    grey : (H, W) float array
        In [0, 1].
    sigma : float
        Standard deviation of the Gaussian blur, pixels.
    strength : float
        Exponent of the quotient, more than 0; above 1 the drawing is darker.

    Returns
    -------
    (H, W) float32 array
        ``min(1, grey / blur(grey)) ** strength``; 1 is paper, also where both are 0.

    Raises
    ------
    InputError
        If ``grey`` is not such an array, or a parameter is out of its range.

    Examples
    --------
    >>> dodge(np.full((8, 8), 0.3)).min().round(3).item()
    1.0
    """
    grey32 = _checked("dodge", grey, sigma=sigma, strength=strength)
    blurred = blur(grey32, sigma)
    drawing = np.ones_like(grey32)
    np.divide(grey32, blurred, out=drawing, where=blurred > grey32)
    return drawing if strength == 1 else np.asarray(np.power(drawing, np.float32(strength)))


def xdog(
    grey: Grey, *, sigma: float = 1.4, k: float = 1.6, p: float = 40.0, epsilon: float = 0.15, phi: float = 2.0
) -> Drawing:
    """Extended difference of Gaussians with a soft threshold.

    Parameters
    ----------
    grey : (H, W) float array
        In [0, 1].
    sigma : float
        Standard deviation of the finer Gaussian, pixels; sets the line width.
    k : float
        Ratio of the coarser standard deviation to the finer one, more than 1.
    p : float
        Weight of the edges against the tones, at least 0.
    epsilon : float
        Threshold of the sharpened grey; at and above it the paper stays white.
    phi : float
        Steepness of the fall to black below the threshold, more than 0.

    Returns
    -------
    (H, W) float32 array
        In [0, 1], 1 is paper.

    Raises
    ------
    InputError
        If ``grey`` is not such an array, or a parameter is out of its range.

    References
    ----------
    Winnemöller, Kyprianidis, Olsen, "XDoG: an eXtended difference-of-Gaussians compendium including advanced image
    stylization", Computers & Graphics 36(6), 2012, sections 2.3 to 2.5.

    Examples
    --------
    >>> xdog(np.full((8, 8), 0.9)).min().item()
    1.0
    """
    grey32 = _checked("xdog", grey, sigma=sigma, k=k, p=p, epsilon=epsilon, phi=phi)
    return threshold(difference(blur(grey32, sigma), blur(grey32, k * sigma), p), epsilon, phi)


def fxdog(
    grey: Grey,
    *,
    sigma: float = 1.4,
    k: float = 1.6,
    p: float = 40.0,
    epsilon: float = 0.15,
    phi: float = 2.0,
    sigma_tensor: float = 2.0,
    sigma_flow: float = 3.0,
    tangents: NDArray[np.float32] | None = None,
) -> Drawing:
    """Flow-based XDoG: :func:`xdog` across the edges only, then averaged along them.

    Strokes follow the edges, and noise, which has no direction, averages out.

    Parameters
    ----------
    grey : (H, W) float array
        In [0, 1].
    sigma, k, p, epsilon, phi : float
        As for :func:`xdog`.
    sigma_tensor : float
        Standard deviation of the Gaussian that smooths the structure tensor, pixels; larger values give calmer strokes.
    sigma_flow : float
        Standard deviation of the Gaussian along the stroke, pixels.
    tangents : (H, W, 2) float32 array, optional
        Unit vectors along the strokes; by default those of ``grey``.

    Returns
    -------
    (H, W) float32 array
        In [0, 1], 1 is paper.

    Raises
    ------
    InputError
        If ``grey`` is not such an array, or a parameter is out of its range.

    References
    ----------
    Kang, Lee, Chui, "Coherent line drawing", NPAR 2007. Kyprianidis, Döllner, "Image abstraction by structure adaptive
    filtering", TPCG 2008. Winnemöller, Kyprianidis, Olsen, "XDoG", Computers & Graphics 36(6), 2012, section 2.6.

    Examples
    --------
    >>> fxdog(np.full((8, 8), 0.9)).min().item()
    1.0
    """
    lengths = {"sigma_tensor": sigma_tensor, "sigma_flow": sigma_flow}
    grey32 = _checked("fxdog", grey, sigma=sigma, k=k, p=p, epsilon=epsilon, phi=phi, **lengths)
    if tangents is None:
        tangents = edge_tangents(grey32, sigma=sigma, sigma_tensor=sigma_tensor)
    sharpened = sharpen_across(grey32, tangents, sigma=sigma, k=k, p=p)
    return threshold(average_along(sharpened, tangents, sigma=sigma_flow), epsilon, phi)


def sobel(grey: Grey, *, sigma: float = 0.8, strength: float = 0.75, scale: float = 1.0) -> Drawing:
    """Gradient magnitude, dark on white: pSp's sketches before a network simplifies them.

    Parameters
    ----------
    grey : (H, W) float array
        In [0, 1].
    sigma : float
        Standard deviation of the Gaussian before the gradient, pixels.
    strength : float
        Factor of the gradient magnitude of the 3 x 3 Sobel operator, more than 0.
    scale : float
        Ratio of the picture's width to the one that ``strength`` is meant for: edges are less steep in a larger picture.

    Returns
    -------
    (H, W) float32 array
        ``max(0, 1 - strength * scale * gradient)``, in [0, 1]; 1 is paper.

    Raises
    ------
    InputError
        If ``grey`` is not such an array, or a parameter is out of its range.

    References
    ----------
    Richardson et al., "Encoding in style: a StyleGAN encoder for image-to-image translation", CVPR 2021.

    Examples
    --------
    >>> sobel(np.eye(2)).round(2).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    grey32 = _checked("sobel", grey, sigma=sigma, strength=strength)
    smooth = blur(grey32, sigma)
    dx, dy = (cv2.Sobel(smooth, cv2.CV_32F, *order, borderType=cv2.BORDER_REFLECT_101) for order in ((1, 0), (0, 1)))
    return np.asarray(np.maximum(1 - np.float32(strength * scale) * cv2.magnitude(dx, dy), 0), np.float32)


def canny(grey: Grey, *, sigma: float = 2.0, low: float = 0.02, high: float = 0.05, width: float = 1.5) -> Drawing:
    """Edges by Canny's method as lines of one width: no tones and no shading.

    Parameters
    ----------
    grey : (H, W) float array
        In [0, 1].
    sigma : float
        Standard deviation of the Gaussian before the gradient, pixels; larger values leave fewer, smoother lines.
    low, high : float
        Thresholds of ``sigma`` times the gradient magnitude (grey levels), at least 0: a line begins where ``high`` is reached
        and continues down to ``low``. A step from black to white has 0.4.
    width : float
        Line width, pixels.

    Returns
    -------
    (H, W) float32 array
        In [0, 1], 1 is paper.

    Raises
    ------
    InputError
        If ``grey`` is not such an array, or a parameter is out of its range.

    References
    ----------
    Canny, "A computational approach to edge detection", IEEE TPAMI 8(6), 1986. Lindeberg, "Edge detection and ridge detection
    with automatic scale selection", IJCV 30(2), 1998, section 4 (the factor ``sigma``).

    Examples
    --------
    >>> canny(np.full((8, 8), 0.3)).min().item()
    1.0
    """
    grey32 = _checked("canny", grey, sigma=sigma, low=low, high=high, width=width)
    smooth = blur(grey32, sigma)
    unit = _CANNY_LEVELS * sigma / 8  # the Sobel operator is 8 times the gradient
    dx, dy = (
        np.rint(
            cv2.Sobel(smooth, cv2.CV_32F, *order, scale=unit, borderType=cv2.BORDER_REFLECT_101).clip(-32767, 32767)
        ).astype(np.int16)
        for order in ((1, 0), (0, 1))
    )
    edges = cv2.Canny(dx, dy, low * _CANNY_LEVELS, high * _CANNY_LEVELS, L2gradient=True)
    distance = cv2.distanceTransform(255 - edges, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.clip(distance + np.float32(0.5 - width / 2), 0, 1), np.float32)


_CANNY_LEVELS = 8192.0
"""Whole numbers per grey level of the gradients, which OpenCV takes as int16."""


def contours(labels: NDArray[np.uint8], *, width: float = 2.0, smoothing: float = 1.5) -> Drawing:
    """Lines on the borders between the classes of a label map.

    The mask of every class is blurred. A line runs where the two largest values are equal; their difference gives the
    distance of a pixel from it. So lines are anti-aliased, of constant width, and free of the map's staircase edges.

    Parameters
    ----------
    labels : (H, W) uint8 array
        Class ids.
    width : float
        Line width, pixels.
    smoothing : float
        Standard deviation of the blur, pixels; rounds stairs and corners. A part narrower than about 1.4 times this value
        disappears. At least a quarter of ``width`` is used.

    Returns
    -------
    (H, W) float32 array
        In [0, 1], 1 is paper.

    Raises
    ------
    InputError
        If ``labels`` is not such an array, or a parameter is out of its range.

    Examples
    --------
    >>> contours(np.repeat(np.arange(2, dtype=np.uint8), 8)[None]).round(1).tolist()
    [[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]
    """
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise InputError(f"labels is a {labels.dtype} array of shape {labels.shape}; needed: (H, W) uint8 class ids")
    _check("contours", {"width": width, "smoothing": smoothing})
    limit = 0.5 * max(labels.shape)
    width = min(width, limit)
    sigma = min(max(smoothing, width / 4, 0.6), limit + 1)
    largest = np.zeros(labels.shape, np.float32)
    second = np.zeros(labels.shape, np.float32)
    for number in np.flatnonzero(np.bincount(labels.ravel())):
        share = blur((labels == number).astype(np.float32), sigma)
        np.maximum(second, np.minimum(largest, share), out=second)
        np.maximum(largest, share, out=largest)
    distance = np.interp(largest - second, _DIFFERENCES, _DISTANCES) * sigma
    return np.asarray(np.clip(distance + (0.5 - width / 2), 0, 1), np.float32)


_DISTANCES = np.linspace(0, 4, 401)
_DIFFERENCES = np.array([math.erf(distance / math.sqrt(2)) for distance in _DISTANCES])
"""Difference of two blurred half planes as a function of the distance from their border, in standard deviations."""


# ------------------------------------------------------------------------------------------------------------- drawing
