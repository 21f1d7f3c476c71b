"""Drawing the sketches that :func:`facesynth.prep.sketches.presets.resolve` returns, at any size of photo.

Their lengths are in pixels of a picture 512 wide and are scaled with the photo's width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from facesynth.errors import InputError
from facesynth.images import limit_size, read_photo, resize
from facesynth.prep.sketches import methods
from facesynth.prep.sketches.flow import edge_tangents
from facesynth.prep.sketches.methods import contours, fxdog, sobel
from facesynth.prep.sketches.presets import REFERENCE_WIDTH, Sketch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Grey = NDArray[np.floating[Any]]
    Drawing = NDArray[np.float32]

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
    >>> from facesynth.prep.sketches.presets import resolve
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
        drawing = _draw(source, sketch)
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


_SPECIAL: dict[str, Callable[[_Source, Sketch], Drawing]] = {
    "fxdog": _draw_fxdog,
    "contours": _draw_contours,
    "sobel": _draw_sobel,
}
"""Methods that take more than the grey picture and their parameters."""


def _draw(source: _Source, sketch: Sketch) -> Drawing:
    if sketch.method in _SPECIAL:
        return _SPECIAL[sketch.method](source, sketch)
    drawing: Drawing = getattr(methods, sketch.method)(source.grey, **sketch.at_width(source.size[1]))
    return drawing


def _paper(labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Opacity of blank paper at each pixel: 0 on the person and its outline, 1 farther away."""
    scale = labels.shape[1] / REFERENCE_WIDTH
    outside = (labels == 0).astype(np.uint8)
    if outside.all():
        return np.ones(labels.shape, np.float32)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.asarray(np.clip((distance - OUTLINE * scale) / max(FADE * scale, 0.5), 0, 1), np.float32)
