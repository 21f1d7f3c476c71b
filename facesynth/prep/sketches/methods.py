"""Photos to sketches: dodge-blend, XDoG, flow-guided XDoG, Sobel, and the contours of a label map.

The filters take and give float arrays in [0, 1], 1 the paper, and lengths in pixels. Blurs mirror the picture at its
borders without repeating the edge pixel. :func:`draw_all` draws what :func:`resolve` names, at any size of photo: its
lengths are pixels of a picture 512 wide and grow with the photo's width.
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
from facesynth.images import no_longer, read_photo, resize
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
"""How far outside the person a blanked background begins, so that the outline stays; pixels of a picture 512 wide."""
FADE = 2.0
"""How far from there on drawing turns into paper; pixels of a picture 512 wide."""

_ROWS = 32


def luma(photo: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Rec. 601 luma of an (H, W, 3) uint8 RGB photo, (H, W) in [0, 1]."""
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
        raise InputError(f"photo is a {photo.dtype} array of shape {photo.shape}; needed: (H, W, 3) uint8")
    weights = np.array([0.299, 0.587, 0.114], np.float32) / np.float32(255)
    grey = np.empty(photo.shape[:2], np.float32)
    for start in range(0, len(photo), _ROWS):  # a few rows at a time stay in the processor's cache
        band = slice(start, start + _ROWS)
        np.matmul(photo[band].astype(np.float32), weights, out=grey[band])
    return grey


def read_grey(path: Path, *, size: int | None = None) -> NDArray[np.float32]:
    """The luma of a photo file, (H, W) in [0, 1], made smaller if it is larger than wanted.

    Luma is taken from the decoded colours and averaged over areas before anything is rounded. The shorter ways, a JPEG
    decoded as grey or at half size, or colours made smaller in 8 bits, change strokes visibly: the filters multiply
    small differences.

    Parameters
    ----------
    path : Path
        A photo, turned upright by its EXIF orientation.
    size : int, optional
        Longer side wanted, pixels; a smaller photo stays as it is.

    Raises
    ------
    PictureError
        If it cannot be read.
    """
    _keep_freed_memory()
    return no_longer(luma(read_photo(path)), size)


@cache
def _keep_freed_memory() -> None:
    """Have the C library keep the memory that a photo leaves for the next one, not return it to the system each time.

    glibc sets its limit by the largest block freed so far; this one is never written to, so it costs nothing.
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

    That is the colour dodge of the picture with its blurred negative inverted: even areas turn white, whatever is darker
    than its surroundings stays.

    Parameters
    ----------
    grey : (H, W) float array
        In [0, 1].
    sigma : float
        Standard deviation of the Gaussian blur, pixels.
    strength : float
        Power that the quotient is raised to, more than 0: above 1 the drawing is darker.

    Returns
    -------
    (H, W) float32 array
        ``min(1, grey / blur(grey)) ** strength``, 1 the paper, also where both are 0.

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
    grey32 = _checked("xdog", grey, sigma=sigma, k=k, p=p, epsilon=epsilon, phi=phi)
    sharpened = cv2.addWeighted(blur(grey32, sigma), 1 + p, blur(grey32, k * sigma), -p, 0)
    return _threshold(np.asarray(sharpened, np.float32), epsilon, phi)


def _threshold(sharpened: Drawing, epsilon: float, phi: float) -> Drawing:
    """White from ``epsilon`` on, below it falling to black as a hyperbolic tangent does."""
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
    """Flow-guided XDoG: :func:`xdog` taken across the edges only, then averaged along them.

    Strokes follow the edges, and noise, which has no direction, is averaged away.

    Parameters
    ----------
    grey : (H, W) float array
        In [0, 1].
    sigma, k, p, epsilon, phi : float
        As of :func:`xdog`.
    sigma_tensor : float
        Standard deviation of the Gaussian that smooths the structure tensor, pixels: how calmly strokes turn.
    sigma_flow : float
        Standard deviation of the Gaussian along the stroke, pixels.
    tangents : (H, W, 2) float32 array, optional
        The directions of the strokes, if they are known; by default those of ``grey``.

    Returns
    -------
    (H, W) float32 array
        In [0, 1], 1 the paper.

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
    """Steepness of the picture, dark on white: what pSp's sketches are before a network simplifies them.

    Parameters
    ----------
    grey : (H, W) float array
        In [0, 1].
    sigma : float
        Standard deviation of the Gaussian before the gradient, pixels.
    strength : float
        Factor of the gradient as the 3 x 3 Sobel operator gives it.
    scale : float
        Size of the picture against the one that ``strength`` is meant for: edges are less steep in a larger one.

    Returns
    -------
    (H, W) float32 array
        ``max(0, 1 - strength * scale * gradient)``, 1 the paper.

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

    Every class is blurred; a line runs where the two strongest are equal, and how far a pixel is from it follows from
    their difference. So lines are anti-aliased, of one width, and free of the map's stairs.

    Parameters
    ----------
    labels : (H, W) uint8 array
        Class ids.
    width : float
        Width of the lines, pixels.
    smoothing : float
        Standard deviation of the blur, pixels: how far stairs and corners are rounded. A part narrower than about 1.4
        times that vanishes. At least a quarter of ``width`` is taken.

    Returns
    -------
    (H, W) float32 array
        In [0, 1], 1 the paper.

    Examples
    --------
    >>> contours(np.repeat(np.arange(2, dtype=np.uint8), 8)[None]).round(1).tolist()
    [[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]
    """
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise InputError(f"labels is a {labels.dtype} array of shape {labels.shape}; needed: (H, W) uint8 class ids")
    _check("contours", {"width": width, "smoothing": smoothing})
    most = 0.5 * max(labels.shape)
    width = min(width, most)
    sigma = min(max(smoothing, width / 4, 0.6), most + 1)
    first = np.zeros(labels.shape, np.float32)
    second = np.zeros(labels.shape, np.float32)
    for number in np.flatnonzero(np.bincount(labels.ravel())):
        share = blur((labels == number).astype(np.float32), sigma)
        np.maximum(second, np.minimum(first, share), out=second)
        np.maximum(first, share, out=first)
    distance = np.interp(first - second, _DIFFERENCES, _DISTANCES) * sigma
    return np.asarray(np.clip(distance + (0.5 - width / 2), 0, 1), np.float32)


_DISTANCES = np.linspace(0, 4, 401)
_DIFFERENCES = np.array([math.erf(distance / math.sqrt(2)) for distance in _DISTANCES])
"""Difference of two blurred half planes by the distance from their border, in standard deviations of the blur."""


# ------------------------------------------------------------------------------------------------------------- drawing


def draw(
    photo: NDArray[np.uint8] | NDArray[np.float32] | None,
    sketch: Sketch,
    *,
    labels: NDArray[np.uint8] | None = None,
    background: Background = "keep",
) -> NDArray[np.uint8]:
    """One drawing of a photo, (H, W) uint8, 255 the paper (see :func:`draw_all`)."""
    return draw_all(photo, [sketch], labels=labels, background=background)[sketch.name]


def draw_all(
    photo: NDArray[np.uint8] | NDArray[np.float32] | None,
    sketches: Iterable[Sketch],
    *,
    labels: NDArray[np.uint8] | None = None,
    background: Background = "keep",
) -> dict[str, NDArray[np.uint8]]:
    """Several drawings of one photo, which share what they have in common.

    Parameters
    ----------
    photo : (H, W, 3) uint8 array, or (H, W) float32 array, or None
        RGB, or luma in [0, 1]. None will do where only label maps are drawn.
    sketches : iterable of Sketch
        What to draw.
    labels : (H, W) uint8 array, optional
        The label map; one of another size is resized.
    background : str
        ``keep`` leaves the drawing as it is; ``blank`` makes paper of what is outside the person (class 0), from a few
        pixels off, so that the outline stays a line where the filter drew one.

    Returns
    -------
    dict of str to (H, W) uint8 array
        By the sketches' names, 255 the paper; of the photo's size, or without one of the label map's.

    Raises
    ------
    InputError
        If ``photo`` or ``labels`` are no such arrays, or one that is needed is missing.

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
    paper = _paper(source.fitting_labels) if background == "blank" else None
    drawings = {}
    for sketch in sketches:
        if (labels if sketch.needs_labels else photo) is None:
            what = "the label map; give labels" if sketch.needs_labels else "the photo; give photo"
            raise InputError(f"{sketch.name} is drawn from {what}")
        drawing = _DRAW[sketch.method](source, sketch)
        if paper is not None:
            drawing = np.maximum(drawing, 0) * (1 - paper) + paper
        drawings[sketch.name] = np.asarray(cv2.convertScaleAbs(drawing, alpha=255), np.uint8)
    return drawings


class _Source:
    """A photo and its label map, with what several drawings have in common made once."""

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
    def fitting_labels(self) -> NDArray[np.uint8]:
        """The label map at the size of the drawings."""
        return resize(self.labels, self.size, labels=True)

    def tangents(self, sigma: float, sigma_tensor: float) -> NDArray[np.float32]:
        known = (sigma, sigma_tensor)
        if known not in self._tangents:
            self._tangents[known] = edge_tangents(self.grey, sigma=sigma, sigma_tensor=sigma_tensor)
        return self._tangents[known]


def _draw_fxdog(source: _Source, sketch: Sketch) -> Drawing:
    given = sketch.at_width(source.size[1])
    return fxdog(source.grey, **given, tangents=source.tangents(given["sigma"], given["sigma_tensor"]))


def _draw_sobel(source: _Source, sketch: Sketch) -> Drawing:
    width = source.size[1]
    return sobel(source.grey, **sketch.at_width(width), scale=width / REFERENCE_WIDTH)


def _draw_contours(source: _Source, sketch: Sketch) -> Drawing:
    """The contours at the larger of the two sizes, so that a small drawing shows all of a large label map."""
    labels = source.labels if source.labels.size > source.fitting_labels.size else source.fitting_labels
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
    """How much of each pixel is blank paper: 0 on the person and on its outline, 1 farther off."""
    scale = labels.shape[1] / REFERENCE_WIDTH
    outside = (labels == 0).astype(np.uint8)
    if outside.all():
        return np.ones(labels.shape, np.float32)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.asarray(np.clip((distance - OUTLINE * scale) / max(FADE * scale, 0.5), 0, 1), np.float32)
