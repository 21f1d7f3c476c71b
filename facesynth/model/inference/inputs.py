"""Conditions from users: files, pictures or arrays in; 8-bit arrays of the model's input size out.

Training reads the files of `facesynth prep`; this module reads pictures from any source. Label maps may use the scheme's
colours, paper may be transparent, and lines may be light on dark. A note states any such conversion.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from facesynth import images
from facesynth.errors import InputError, PictureError, WrongKindError
from facesynth.model.data.tensors import BACKGROUND, to_square

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.labels import LabelScheme
    from facesynth.model.config.model import Condition

_DARK = 128
"""Grey values below this are dark."""
_COLOURED = 32
"""A pixel whose channels differ by more than this is coloured."""
_WIDEST_LINE = 1 / 12
"""Anything wider than this fraction of a picture's longer side is an area, not a line."""
_FEWEST_COLOURS = 64
"""A picture with this many colours or fewer is not a photo."""
INVERTED = "light lines on dark: read as dark on light"
ON_GLASS = "light lines on transparent paper: read as dark on light"


def read_input(
    source: Path | Image.Image | NDArray[np.uint8], kind: Condition, scheme: LabelScheme, size: int
) -> tuple[NDArray[np.uint8], str]:
    """A condition padded to a square and resized to the model's input size, and a note on any other conversion.

    Parameters
    ----------
    source : Path, Pillow picture, or (H, W), (H, W, 3) or (H, W, 4) uint8 array
    kind : str
        labels, sketch or photo.
    scheme : LabelScheme
        The label maps' classes.
    size : int
        Height and width of the result, pixels.

    Returns
    -------
    condition : (size, size) uint8 array; (size, size, 3) for a photo
        Class ids; a sketch with lines of 0 on paper of 255; or RGB.
    note : str
        How the picture was converted; empty if it was not.

    Raises
    ------
    PictureError
        If the picture cannot be read.
    WrongKindError
        If it is a picture of another kind.
    """
    note = ""
    if kind == "labels" and isinstance(source, Path):
        array = images.read_any_labels(source, scheme)
    else:
        picture, path = _picture(source)
        if kind == "labels":
            array = _labels(picture, path, scheme)
        elif kind == "sketch":
            array, note = _sketch(picture, path)
        else:
            array = _photo(picture, path)
    return images.resize(to_square(array, BACKGROUND[kind]), (size, size), labels=kind == "labels"), note


def kind_of(path: Path, scheme: LabelScheme) -> Condition:
    """Whether a file is a label map or a sketch.

    Parameters
    ----------
    path : Path
    scheme : LabelScheme
        Of the label maps.

    Raises
    ------
    PictureError
        If it cannot be read.
    WrongKindError
        If it is neither.
    """
    picture = images.decode(images.read_bytes(path), path)
    try:
        images.read_any_labels(path, scheme)
    except PictureError:
        try:
            _sketch(picture, path)
        except WrongKindError as error:
            raise WrongKindError(
                f"{path} is neither a label map in the ids or colours of {scheme.name} nor a sketch, which the shipped models "
                "translate; for photos give --checkpoint"
            ) from error
        return "sketch"
    return "labels"


def _picture(source: Path | Image.Image | NDArray[np.uint8]) -> tuple[Image.Image, Path]:
    """The picture, and its name for messages."""
    if isinstance(source, Path):
        return images.decode(images.read_bytes(source), source), source
    if isinstance(source, np.ndarray):
        shape: tuple[int, ...] = source.shape
        has_shape = len(shape) == 2 or (len(shape) == 3 and shape[-1] in (3, 4))
        if source.dtype != np.uint8 or not has_shape or not source.size:
            needed = "uint8 of shape (H, W), (H, W, 3) or (H, W, 4)"
            raise InputError(f"the picture is {source.dtype} of shape {shape}; needed: {needed}")
        source = Image.fromarray(source)
    return source, Path("the picture")


def _labels(picture: Image.Image, path: Path, scheme: LabelScheme) -> NDArray[np.uint8]:
    if picture.mode == "RGB" or (picture.mode == "RGBA" and picture.getchannel(3).getextrema() == (255, 255)):
        return images.decode_colours(picture, scheme, source=path)
    return images.to_labels(picture, path, scheme)


def _sketch(picture: Image.Image, path: Path) -> tuple[NDArray[np.uint8], str]:
    if picture.has_transparency_data:
        alpha = np.asarray(picture.convert("RGBA"))[..., 3]
        on_white = images.to_rgb(picture)
        if int(alpha.min()) < _DARK <= int(alpha.max()) and int(on_white.min()) >= 2 * _DARK - _COLOURED:
            return 255 - alpha, ON_GLASS
    sketch = images.to_sketch(picture, path)
    rgb = images.to_rgb(picture)
    if 2 * np.count_nonzero(np.ptp(rgb, axis=2) > _COLOURED) > sketch.size:
        raise WrongKindError(
            f"{path} is coloured over most of it: a photo or a colour-coded label map; needed: a sketch, dark lines on light "
            "paper, as `facesynth prep sketches` makes of photos"
        )
    if is_inverted(sketch):
        return 255 - sketch, INVERTED
    return sketch, ""


def is_inverted(sketch: NDArray[np.uint8]) -> bool:
    """Whether a drawing has light lines on dark paper: most pixels are dark, and most light pixels belong to thin lines.

    Parameters
    ----------
    sketch : (H, W) uint8 array

    Examples
    --------
    >>> drawing = np.full((64, 64), 255, np.uint8)
    >>> drawing[20:22, 10:50] = 0
    >>> is_inverted(drawing), is_inverted(255 - drawing)
    (False, True)
    """
    light = sketch >= _DARK
    count = np.count_nonzero(light)
    if not 0 < 2 * count < sketch.size:
        return False
    width = max(3, round(max(sketch.shape) * _WIDEST_LINE))
    areas = cv2.morphologyEx(light.astype(np.uint8), cv2.MORPH_OPEN, np.ones((width, width), np.uint8))
    return 2 * int(np.count_nonzero(areas)) < int(count)


def _photo(picture: Image.Image, path: Path) -> NDArray[np.uint8]:
    rgb = images.to_rgb(picture)
    colours = len(np.unique(rgb.reshape(-1, 3) @ np.array([1 << 16, 1 << 8, 1], np.uint32)))
    if colours <= _FEWEST_COLOURS < rgb[..., 0].size // 4:
        has = f"{colours} colour{'s' if colours > 1 else ''} only"
        raise WrongKindError(f"{path} has {has}: a label map or a drawing; needed: a photo")
    return rgb
