"""Conditions: a label map, sketch or photo in any form in, 8-bit pixels of the model's input size out.

Every condition is read here, by training and by inference alike. Training reads what `facesynth prep` wrote, strictly. What
people draw or find is read with more latitude: label maps may be in the scheme's colours, paper may be transparent or
photographed, and lines may be light on dark. The note says where pixels were changed for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import cv2
import numpy as np

from facesynth import images
from facesynth.decoding import naming
from facesynth.errors import InputError, WrongKindError
from facesynth.images import Picture
from facesynth.model.data.tensors import BACKGROUND, square_at
from facesynth.paper import PaperMode, clean_paper

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image

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
Tone = Literal["auto", "keep", "invert"]
"""auto: invert drawings with light lines on dark; keep: no drawing; invert: all of them."""
INVERTED = "light lines on dark: read as dark on light"
ON_GLASS = "light lines on transparent paper: read as dark on light"


@dataclass(frozen=True, kw_only=True)
class SketchReading:
    """How sketches that people draw are read."""

    tone: Tone = "auto"
    """Whether light lines on dark are inverted."""
    paper: PaperMode = "auto"
    """Whether photographs and scans of paper are levelled, and cropped to the sheet."""

    def __post_init__(self) -> None:
        for name, value, choices in (("tone", self.tone, get_args(Tone)), ("paper", self.paper, get_args(PaperMode))):
            if value not in choices:
                raise InputError(f"{name} is {value!r}; needed: {', '.join(choices)}")


@dataclass(frozen=True)
class ReadCondition:
    """A condition at the model's input size, and how it was read.

    Attributes
    ----------
    pixels : (S, S) uint8 array; (S, S, 3) for a photo
        Class ids; a sketch, 255 the paper; or RGB.
    kind : str
        labels, sketch or photo.
    note : str
        What was changed so that it could be read; empty where nothing was.
    path : Path
        Where it came from, for messages.
    """

    pixels: NDArray[np.uint8]
    kind: Condition
    note: str
    path: Path


def read_condition(
    source: Picture | Path | Image.Image | NDArray[np.uint8],
    kind: Condition,
    scheme: LabelScheme,
    size: int,
    *,
    strict: bool = False,
    sketches: SketchReading | None = None,
    void: int | None = None,
) -> ReadCondition:
    """A condition, made square and resized to what the model takes.

    Parameters
    ----------
    source : Picture, Path, Pillow picture, or (H, W), (H, W, 3) or (H, W, 4) uint8 array
        What is not square is centred on background, paper or black.
    kind : str
        labels, sketch or photo.
    scheme : LabelScheme
        Of the label maps.
    size : int
        Height and width of the condition, pixels.
    strict : bool
        Take only what `facesynth prep` writes: label maps of class ids, sketches as they are.
    sketches : SketchReading, optional
        How sketches are read, unless strictly.
    void : int, optional
        The value that stands for no class in label maps; it becomes background.

    Raises
    ------
    InputError
        If an array is of another type or shape.
    PictureError
        If it cannot be read.
    WrongKindError
        If it is another kind of picture.
    """
    picture = source if isinstance(source, Picture) else Picture.of(source)
    note = ""
    with naming(picture.path):
        if kind == "labels":
            pixels, note = (picture.labels(scheme), "") if strict else _labels(picture, scheme, void)
        elif kind == "sketch":
            pixels, note = (picture.sketch(), "") if strict else _sketch(picture, sketches or SketchReading())
        else:
            pixels = images.read_photo(picture.path) if strict else _photo(picture)
        square = square_at(pixels, BACKGROUND[kind], size, labels=kind == "labels")
    return ReadCondition(square, kind, note, picture.path)


def _labels(picture: Picture, scheme: LabelScheme, void: int | None) -> tuple[NDArray[np.uint8], str]:
    """The class ids, and what was changed or speaks against them."""
    found = picture.label_map(scheme, void=void)
    return found.ids, "; ".join(text for _, text in found.notes)


def _sketch(picture: Picture, reading: SketchReading) -> tuple[NDArray[np.uint8], str]:
    """The drawing as dark lines on white paper, and what was done to it."""
    if reading.tone != "keep" and picture.pillow.has_transparency_data:
        alpha = np.asarray(picture.pillow.convert("RGBA"))[..., 3]
        if int(alpha.min()) < _DARK <= int(alpha.max()) and int(picture.rgb().min()) >= 2 * _DARK - _COLOURED:
            return 255 - alpha, ON_GLASS
    sketch = picture.sketch()
    if 2 * np.count_nonzero(np.ptp(picture.rgb(), axis=2) > _COLOURED) > sketch.size:
        raise WrongKindError(
            f"{picture.path} is coloured over most of it: a photo or a colour-coded label map; needed: a sketch, dark lines on "
            "light paper, as `facesynth prep sketches` makes of photos"
        )
    notes = []
    if reading.tone == "invert" or (reading.tone == "auto" and is_inverted(sketch)):
        sketch = 255 - sketch
        notes.append(INVERTED)
    sketch, changes = clean_paper(sketch, reading.paper)
    return sketch, ", ".join([*notes, *changes])


def is_inverted(sketch: NDArray[np.uint8]) -> bool:
    """Whether a drawing has light lines on dark paper: most is dark, and most of what is light is thin.

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
    kernel = [min(width, 2 * side) for side in sketch.shape]  # one twice as large as the picture sees all of it
    areas = cv2.morphologyEx(light.astype(np.uint8), cv2.MORPH_OPEN, np.ones(kernel, np.uint8))
    return 2 * int(np.count_nonzero(areas)) < int(count)


def _photo(picture: Picture) -> NDArray[np.uint8]:
    rgb = picture.rgb()
    colours = len(np.unique(rgb.reshape(-1, 3) @ np.array([1 << 16, 1 << 8, 1], np.uint32)))
    if colours <= _FEWEST_COLOURS < rgb[..., 0].size // 4:
        has = f"{colours} colour{'s' if colours > 1 else ''} only"
        raise WrongKindError(f"{picture.path} has {has}: a label map or a drawing; needed: a photo")
    return rgb
