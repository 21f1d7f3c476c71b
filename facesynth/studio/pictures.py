"""Pictures that people bring along: a file's bytes in, a document of the page out, 512 px sketches or label maps.

A picture is decoded once its size is known to be within bounds, and cropped to the square that the page asks for. Nothing is
kept. All but the parser works beside the engine's thread, so that faces need not wait for a large picture.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from facesynth import LabelScheme, get_scheme, images
from facesynth.errors import InputError, PictureError
from facesynth.labels import remap
from facesynth.paper import clean_paper
from facesynth.prep import all_sketches, draw, draw_portrait, resolve
from facesynth.studio import frames
from facesynth.studio.engine import SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.studio.engine import Engine, Model

MOST_PIXELS = 50_000_000
"""The most pixels of a picture."""
_NAME = Path("the picture")
_DARK = 110
PORTRAIT_SEED = 0
"""Seed of the drawn portraits that a map can start from."""
USES = ("paper", "photo", "labels", "drawn")


def check_pixels(data: bytes) -> None:
    """Refuse a picture that would take too much memory, by its header alone.

    Raises
    ------
    PictureError
        If it says that it has more than :data:`MOST_PIXELS`.
    """
    with suppress(OSError, ValueError, SyntaxError):  # what is no picture is refused where it is decoded
        try:
            with Image.open(io.BytesIO(data)) as picture:
                width, height = picture.size
        except Image.DecompressionBombError as error:
            raise PictureError(f"the picture is too large; needed: at most {MOST_PIXELS} pixels") from error
        if width * height > MOST_PIXELS:
            raise PictureError(f"the picture has {width} x {height} pixels; needed: at most {MOST_PIXELS}")


def sketch_methods() -> list[str]:
    """The sketch methods and their presets, as `facesynth prep sketches --method` names them."""
    return [sketch.name.replace("-", ":", 1) for sketch in all_sketches(labels=True)]


async def document_of(engine: Engine, model: Model, header: Mapping[str, Any], data: bytes) -> NDArray[np.uint8]:
    """A picture as a document for a model.

    Parameters
    ----------
    engine : Engine
    model : Model
        Sketches are made for one that takes sketches, label maps for one that takes label maps.
    header : mapping
        ``use``: paper, a drawing on paper; photo; labels, a label map; drawn, a sketch on white, as it is. ``method``: of a
        photo's sketch. ``crop``: the left, top and side of a square, pixels; by default the smallest around the picture.
    data : bytes
        The file.

    Returns
    -------
    (512, 512) uint8 array
        A sketch, 255 the paper; or class ids of the model's scheme.

    Raises
    ------
    InputError
        If the picture cannot be read as such.
    """
    use = frames.text(header, "use", choices=USES)
    wants_labels = model.translator.config.condition == "labels"
    if wants_labels != (use == "labels") and use != "photo":
        kind = "label maps" if wants_labels else "sketches"
        raise InputError(f"the picture comes as {use}, but {model.name} takes {kind}")
    check_pixels(data)
    picture = images.Picture(data, _NAME)
    scheme = model.translator.scheme
    if use == "labels":
        labels = await asyncio.to_thread(picture.any_labels, scheme)
        return square(labels, header, 0, labels=True)
    if use in ("paper", "drawn"):
        grey = await asyncio.to_thread(picture.sketch)
        if use == "drawn":
            return square(grey, header, 255)
        return await asyncio.to_thread(on_white, square(grey, header, int(np.median(grey))))
    photo = square(await asyncio.to_thread(picture.rgb), header, 0)
    if wants_labels:
        return as_scheme(await engine.run(engine.parser.parse, photo), engine.parser.scheme, scheme)
    sketch = resolve(frames.text(header, "method", "xdog"))
    parts = await engine.run(engine.parser.parse, photo) if sketch.needs_labels else None
    return await asyncio.to_thread(draw, photo, sketch, labels=parts)


def on_white(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A photographed drawing as dark lines on white: turned over if it is light on dark, levelled, cropped to its sheet."""
    if np.median(grey) < _DARK:
        grey = 255 - grey
    drawing, _ = clean_paper(grey, "level")
    side = max(drawing.shape)
    return square(drawing, {"crop": [-((side - drawing.shape[1]) // 2), -((side - drawing.shape[0]) // 2), side]}, 255)


def square(
    pixels: NDArray[np.uint8], header: Mapping[str, Any], fill: int, *, labels: bool = False
) -> NDArray[np.uint8]:
    """A square of a picture at 512 px; what lies outside the picture is filled.

    Parameters
    ----------
    pixels : (H, W) or (H, W, 3) uint8 array
    header : mapping
        ``crop``: left, top and side, whole numbers.
    fill : int
        0..255.
    labels : bool
        The values are class ids.

    Raises
    ------
    InputError
        If the crop is no square that shares pixels with the picture, or is more than four times as large.

    Examples
    --------
    >>> square(np.full((2, 4), 7, np.uint8), {}, 0, labels=True)[[0, 200, 511], 0].tolist()
    [0, 7, 0]
    """
    height, width = pixels.shape[:2]
    longer = max(height, width)
    crop = header.get("crop") or [-((longer - width) // 2), -((longer - height) // 2), longer]
    if not isinstance(crop, list) or len(crop) != 3 or not all(type(value) is int for value in crop):
        raise InputError("crop is no square; needed: left, top and side, whole numbers")
    left, top, side = crop
    if not 1 <= side <= 4 * longer or not (-side < left < width and -side < top < height):
        raise InputError(f"crop is {crop}; needed: a square that shows some of the {width} x {height} pixels")
    inside = pixels[max(top, 0) : top + side, max(left, 0) : left + side]
    scale = SIDE / side
    offset = (max(0, round(-top * scale)), max(0, round(-left * scale)))
    size = tuple(
        min(max(1, round(length * scale)), SIDE - start) for length, start in zip(inside.shape[:2], offset, strict=True)
    )
    document = np.full((SIDE, SIDE, *pixels.shape[2:]), fill, np.uint8)
    resized = images.resize(np.ascontiguousarray(inside), (size[0], size[1]), labels=labels)
    document[offset[0] : offset[0] + size[0], offset[1] : offset[1] + size[1]] = resized
    return document


def as_scheme(labels: NDArray[np.uint8], source: LabelScheme, target: LabelScheme) -> NDArray[np.uint8]:
    """A label map in ids of another scheme, classes matched by name; those that it lacks become the background.

    Raises
    ------
    InputError
        If the schemes share no class but the background.
    """
    shared = [name for name in source.classes[1:] if name in target.classes]
    if not shared:
        raise InputError(
            f"{target.name} shares no class with {source.name}, which photos and portraits are labelled in"
        )
    lacking = {name: target.classes[0] for name in source.classes[1:] if name not in target.classes}
    return remap(labels, source, target, classes=lacking)


def portrait_map(number: int, scheme: LabelScheme) -> NDArray[np.uint8]:
    """The label map of a drawn portrait, (512, 512) uint8, in ids of a scheme.

    Parameters
    ----------
    number : int
        Selects the portrait, at least 0.
    scheme : LabelScheme

    Raises
    ------
    InputError
        If the scheme shares no class with CelebAMask-HQ's.
    """
    known = get_scheme("celebamask-hq")
    parts = draw_portrait(PORTRAIT_SEED, number, size=64, mask_size=SIDE).parts
    labels = np.zeros((SIDE, SIDE), np.uint8)
    for name in known.paint_order:
        if name in parts:
            labels[parts[name]] = known.classes.index(name)
    return as_scheme(labels, known, scheme)
