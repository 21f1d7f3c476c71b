"""Sketch filters: dodge blend, XDoG, flow-based XDoG, Sobel edges, and the contours of a label map.

The filters map float arrays in [0, 1] to float arrays in [0, 1], where 1 is paper; lengths are in pixels. Pictures are
mirrored at their borders without repeating the edge pixel. :func:`draw_all` draws the sketches that :func:`resolve` returns
at any size of photo: their lengths are in pixels of a picture 512 wide and are scaled with the photo's width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from facesynth.errors import InputError
from facesynth.images import limit_size, read_photo, resize
from facesynth.prep.sketches.flow import average_along, blur, edge_tangents, sharpen_across
from facesynth.prep.sketches.presets import METHODS, PRESETS, REFERENCE_WIDTH, Method, Sketch, resolve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Grey = NDArray[np.floating[Any]]
    Drawing = NDArray[np.float32]

__all__ = [
    "METHODS",
    "PRESETS",
    "REFERENCE_WIDTH",
    "Method",
    "Sketch",
    "contours",
    "dodge",
    "draw",
    "draw_all",
    "fxdog",
    "luma",
    "read_grey",
    "resolve",
    "sobel",
    "xdog",
]

Background = Literal["keep", "blank"]
BACKGROUNDS: tuple[Background, ...] = ("keep", "blank")

OUTLINE = 3.0
"""Distance from the person at which a blank background begins, so that the outline stays; pixels at a width of 512."""
FADE = 2.0
"""Width of the transition from drawing to paper beyond it; pixels at a width of 512."""

_ROWS = 32


def luma(photo: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Rec. 601 luma of a photo.

    Parameters
    ----------
    photo : (H, W, 3) uint8 array
        RGB, 0..255.

    Returns
    -------
    (H, W) float32 array
        In [0, 1].

    Raises
    ------
    InputError
        If ``photo`` is not such an array.

    Examples
    --------
    >>> luma(np.full((1, 1, 3), 255, np.uint8)).round(3).tolist()
    [[1.0]]
    """
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
        raise InputError(f"photo is a {photo.dtype} array of shape {photo.shape}; needed: (H, W, 3) uint8")
    weights = np.array([0.299, 0.587, 0.114], np.float32) / np.float32(255)
    grey = np.empty(photo.shape[:2], np.float32)
    for start in range(0, len(photo), _ROWS):  # a band of rows fits into the processor's cache
        band = slice(start, start + _ROWS)
        np.matmul(photo[band].astype(np.float32), weights, out=grey[band])
    return grey


def read_grey(path: Path, *, size: int | None = None) -> NDArray[np.float32]:
    """The luma of a photo file, reduced if it is larger than ``size``.

    Luma is computed from the decoded colours and area-averaged before anything is rounded. Faster ways (decoding a JPEG as grey
    or at half size, reducing 8-bit colours) change strokes visibly, because the filters amplify small differences.

    Parameters
    ----------
    path : Path
        A photo; it is turned upright by its EXIF orientation.
    size : int, optional
        Longer side, pixels; a smaller photo is not enlarged.

    Returns
    -------
    (H, W) float32 array
        In [0, 1].

    Raises
    ------
    PictureError
        If the file cannot be read.
    """
    _keep_freed_memory()
    return limit_size(luma(read_photo(path)), size)


@cache
def _keep_freed_memory() -> None:
    """Make the C library keep freed memory for the next photo instead of returning it to the system.

    glibc sets its threshold to the largest block freed so far. This block is never written to, so it costs nothing.
    """
    np.empty(31 << 20, np.uint8)


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
    sharpened = cv2.addWeighted(blur(grey32, sigma), 1 + p, blur(grey32, k * sigma), -p, 0)
    return _threshold(np.asarray(sharpened, np.float32), epsilon, phi)


def _threshold(sharpened: Drawing, epsilon: float, phi: float) -> Drawing:
    """1 at and above ``epsilon``; below it a fall to 0 by a hyperbolic tangent."""
    below: Drawing = np.subtract(sharpened, np.float32(epsilon), out=sharpened)
    below *= np.float32(phi)
    np.minimum(below, 0, out=below)
    np.tanh(below, out=below)
    below += 1
    return below


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
    return _threshold(average_along(sharpened, tangents, sigma=sigma_flow), epsilon, phi)


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


def draw(
    photo: NDArray[np.uint8] | NDArray[np.float32] | None,
    sketch: Sketch,
    *,
    labels: NDArray[np.uint8] | None = None,
    background: Background = "keep",
) -> NDArray[np.uint8]:
    """Draw one sketch of a photo.

    Parameters
    ----------
    photo : (H, W, 3) uint8 array, or (H, W) float32 array, or None
        As for :func:`draw_all`.
    sketch : Sketch
        What to draw.
    labels, background
        As for :func:`draw_all`.

    Returns
    -------
    (H, W) uint8 array
        0..255, 255 is paper.

    Raises
    ------
    InputError
        As :func:`draw_all` does.
    """
    return draw_all(photo, [sketch], labels=labels, background=background)[sketch.name]


def draw_all(
    photo: NDArray[np.uint8] | NDArray[np.float32] | None,
    sketches: Iterable[Sketch],
    *,
    labels: NDArray[np.uint8] | None = None,
    background: Background = "keep",
) -> dict[str, NDArray[np.uint8]]:
    """Draw several sketches of one photo; intermediate results are shared.

    Parameters
    ----------
    photo : (H, W, 3) uint8 array, or (H, W) float32 array, or None
        RGB, or luma in [0, 1]. None if only label maps are drawn.
    sketches : iterable of Sketch
        What to draw.
    labels : (H, W) uint8 array, optional
        The label map; resized by nearest neighbour if its size differs from the photo's.
    background : str
        ``keep`` leaves the drawing unchanged. ``blank`` turns everything outside the person (class 0) into paper, beginning a
        few pixels from the outline, so that a line there remains.

    Returns
    -------
    dict of str to (H, W) uint8 array
        By the sketches' names, 0..255, 255 is paper. Of the photo's size, or without a photo of the label map's.

    Raises
    ------
    InputError
        If ``photo`` or ``labels`` is not such an array, or a required one is missing.

    Examples
    --------
    >>> photo = np.full((32, 32, 3), 200, np.uint8)
    >>> {name: int(drawing.min()) for name, drawing in draw_all(photo, [resolve("dodge"), resolve("xdog:ink")]).items()}
    {'dodge': 255, 'xdog-ink': 255}
    """
    if background not in BACKGROUNDS:
        raise InputError(f"background is {background!r}; needed: {' or '.join(BACKGROUNDS)}")
    if labels is not None and (labels.ndim != 2 or labels.dtype != np.uint8):
        raise InputError(f"labels is a {labels.dtype} array of shape {labels.shape}; needed: (H, W) uint8 class ids")
    if labels is None and background == "blank":
        raise InputError("a blank background needs the label map; give labels")
    source = _Source(photo, labels)
    paper = _paper(source.labels_at_size) if background == "blank" else None
    drawings = {}
    for sketch in sketches:
        if (labels if sketch.needs_labels else photo) is None:
            source_name = "the label map; give labels" if sketch.needs_labels else "the photo; give photo"
            raise InputError(f"{sketch.name} is drawn from {source_name}")
        drawing = _DRAW[sketch.method](source, sketch)
        if paper is not None:
            drawing = np.maximum(drawing, 0) * (1 - paper) + paper
        drawings[sketch.name] = np.asarray(cv2.convertScaleAbs(drawing, alpha=255), np.uint8)
    return drawings


class _Source:
    """A photo and its label map; what several drawings need is computed once."""

    def __init__(self, photo: NDArray[Any] | None, labels: NDArray[np.uint8] | None) -> None:
        if photo is not None and not (photo.ndim == 2 and photo.dtype == np.float32):
            photo = luma(photo)
        self._grey: NDArray[np.float32] | None = photo
        self._labels = labels
        self._tangents: dict[tuple[float, float], NDArray[np.float32]] = {}

    @property
    def grey(self) -> NDArray[np.float32]:
        assert self._grey is not None
        return self._grey

    @property
    def labels(self) -> NDArray[np.uint8]:
        assert self._labels is not None
        return self._labels

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the drawings."""
        height, width = (self.labels if self._grey is None else self._grey).shape
        return height, width

    @property
    def labels_at_size(self) -> NDArray[np.uint8]:
        """The label map at the size of the drawings."""
        return resize(self.labels, self.size, labels=True)

    def tangents(self, sigma: float, sigma_tensor: float) -> NDArray[np.float32]:
        key = (sigma, sigma_tensor)
        if key not in self._tangents:
            self._tangents[key] = edge_tangents(self.grey, sigma=sigma, sigma_tensor=sigma_tensor)
        return self._tangents[key]


def _draw_fxdog(source: _Source, sketch: Sketch) -> Drawing:
    parameters = sketch.at_width(source.size[1])
    tangents = source.tangents(parameters["sigma"], parameters["sigma_tensor"])
    return fxdog(source.grey, **parameters, tangents=tangents)


def _draw_sobel(source: _Source, sketch: Sketch) -> Drawing:
    width = source.size[1]
    return sobel(source.grey, **sketch.at_width(width), scale=width / REFERENCE_WIDTH)


def _draw_contours(source: _Source, sketch: Sketch) -> Drawing:
    """Contours drawn at the larger of the two sizes, so that a small drawing shows all of a large label map."""
    labels = source.labels if source.labels.size > source.labels_at_size.size else source.labels_at_size
    drawing: Drawing = resize(contours(labels, **sketch.at_width(labels.shape[1])), source.size)
    return drawing


_DRAW: dict[str, Callable[[_Source, Sketch], Drawing]] = {
    "dodge": lambda source, sketch: dodge(source.grey, **sketch.at_width(source.size[1])),
    "xdog": lambda source, sketch: xdog(source.grey, **sketch.at_width(source.size[1])),
    "fxdog": _draw_fxdog,
    "contours": _draw_contours,
    "sobel": _draw_sobel,
}


def _paper(labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Opacity of blank paper at each pixel: 0 on the person and its outline, 1 farther away."""
    scale = labels.shape[1] / REFERENCE_WIDTH
    outside = (labels == 0).astype(np.uint8)
    if outside.all():
        return np.ones(labels.shape, np.float32)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.asarray(np.clip((distance - OUTLINE * scale) / max(FADE * scale, 0.5), 0, 1), np.float32)
