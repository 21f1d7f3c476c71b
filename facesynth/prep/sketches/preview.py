"""Preview sheets for choosing a sketch method: one row per photo, one column per method or preset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from facesynth import images
from facesynth.errors import InputError
from facesynth.files import inside, pictures_in, write_bytes
from facesynth.labels import CELEBAMASK_HQ, LabelScheme
from facesynth.manifest import is_dataset, iter_rows, read_info
from facesynth.prep.sketches.drawing import Background, draw_all, luma
from facesynth.prep.sketches.presets import Sketch, all_sketches

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZES = (32, 1024)
"""Smallest and largest size of a picture on the sheet."""
BAND = 2048
"""Width at which columns continue in a further band below, pixels."""
GAP = 6
"""Pixels between pictures."""
HEADING = 28
"""Height of the captions, pixels."""


@dataclass(frozen=True)
class _Photo:
    """A photo to draw and its label map."""

    path: Path
    labels: Path | None


def make_preview(
    source: Path,
    out: Path,
    *,
    sketches: Sequence[Sketch] = (),
    count: int = 3,
    labels: Path | None = None,
    scheme: LabelScheme | None = None,
    size: int = 256,
    background: Background = "keep",
) -> list[str]:
    """Draw some photos in several ways on one sheet.

    Parameters
    ----------
    source : Path
        A picture, a folder of pictures, or a dataset folder.
    out : Path
        The sheet to write: .png, .jpg or .jpeg.
    sketches : sequence of Sketch
        What to draw; by default every method and preset that the pictures allow.
    count : int
        Largest number of photos; the first by name, or by id.
    labels : Path, optional
        A folder of label maps with the names of the photos: ``a.png`` for ``a.jpg``. ``00001.png`` also matches ``1.jpg`` if
        the numbers are equal and unique. A dataset folder has its own label maps.
    scheme : LabelScheme, optional
        The scheme of these label maps; by default CelebAMask-HQ's.
    size : int
        Longer side of the pictures, pixels. Photos are drawn at that size, so drawings are shown pixel for pixel.
    background : str
        ``keep`` or ``blank``, as for :func:`facesynth.prep.sketches.drawing.draw_all`.

    Returns
    -------
    list of str
        The captions of the columns.

    Raises
    ------
    InputError
        If there is nothing to draw, a required label map is missing, or a picture cannot be read.
    OutputError
        If ``out`` cannot be written.
    """
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"the sheet is called {out}; needed: a name that ends in .png or .jpg")
    if not SIZES[0] <= size <= SIZES[1]:
        raise InputError(f"size is {size}; needed: {SIZES[0]} to {SIZES[1]} pixels")
    if count < 1:
        raise InputError(f"count is {count}; needed: at least 1 photo")
    photos, scheme = _find(source, labels, scheme, count)
    have_labels = all(photo.labels for photo in photos)
    chosen = list(sketches) or all_sketches(labels=have_labels)
    for photo in photos:
        if photo.labels is None and (background == "blank" or any(sketch.needs_labels for sketch in chosen)):
            what = "a blank background needs" if background == "blank" else "contours need"
            raise InputError(f"{what} a label map, and there is none for {photo.path}; give their folder as --labels")
    captions = ["photo", *(sketch.name.replace("-", ":", 1) for sketch in chosen)]
    rows = []
    for photo in photos:
        pixels = images.read_photo(photo.path)
        grey = images.limit_size(luma(pixels), size)
        areas = images.read_labels(photo.labels, scheme) if photo.labels else None
        drawings = draw_all(grey, chosen, labels=areas, background=background)
        rows.append([images.resize(pixels, grey.shape), *(drawings[sketch.name] for sketch in chosen)])
    sheet = _sheet(rows, captions, cell=size)
    data = images.encode_png(sheet) if out.suffix.lower() == ".png" else images.encode_jpeg(sheet, quality=85)
    write_bytes(out, data)
    return captions


def _find(
    source: Path, labels: Path | None, scheme: LabelScheme | None, count: int
) -> tuple[list[_Photo], LabelScheme]:
    """The photos to draw with their label maps, and the scheme of the label maps."""
    if is_dataset(source):
        for name, value in (("labels", labels), ("scheme", scheme)):
            if value is not None:
                raise InputError(f"{source} is a dataset folder and has its own label maps; leave out --{name}")
        rows = list(islice((row for row in iter_rows(source) if row["photo"]), count))
        if not rows:
            raise InputError(f"the manifest of {source} names no photo; make some with `facesynth prep masks`")
        photos_of_rows = [
            _Photo(inside(source, row["photo"]), inside(source, row["labels"]) if row.get("labels") else None)
            for row in rows
        ]
        return photos_of_rows, read_info(source)[0]
    if scheme is not None and labels is None:
        raise InputError(f"the label scheme {scheme.name} came without label maps; give their folder as --labels")
    photos = pictures_in([source])
    maps = _maps_of(photos, pictures_in([labels])) if labels else {}
    return [_Photo(path, maps.get(path)) for path in photos[:count]], scheme or CELEBAMASK_HQ


def _maps_of(photos: Sequence[Path], maps: Sequence[Path]) -> dict[Path, Path]:
    """The label map of every photo that has one: that of the same name, else a unique one with the same number."""
    named = {path.stem: path for path in maps}
    photo_names = {photo.stem for photo in photos}
    numbered: dict[int, list[Path]] = {}
    for path in maps:
        if path.stem.isdecimal() and path.stem not in photo_names:
            numbered.setdefault(int(path.stem), []).append(path)
    numbers = Counter(int(photo.stem) for photo in photos if photo.stem.isdecimal() and photo.stem not in named)
    matched = {photo: named[photo.stem] for photo in photos if photo.stem in named}
    for photo in photos:
        if photo not in matched and photo.stem.isdecimal():
            number = int(photo.stem)
            if numbers[number] == len(numbered.get(number, ())) == 1:
                matched[photo] = numbered[number][0]
    return matched


def _sheet(rows: Sequence[Sequence[NDArray[np.uint8]]], captions: Sequence[str], *, cell: int) -> NDArray[np.uint8]:
    """Pictures in a grid on white, with captions; each band of columns begins with the first column."""
    widest = max(2, (BAND - GAP) // (cell + GAP))
    bands = -(-(len(captions) - 1) // (widest - 1))
    per_band = -(-(len(captions) - 1) // bands)
    height = HEADING + len(rows) * (cell + GAP)
    sheet = Image.new("RGB", (GAP + (per_band + 1) * (cell + GAP), bands * height), "white")
    pen = ImageDraw.Draw(sheet)
    for band in range(bands):
        columns = [0, *range(1 + band * per_band, min(1 + (band + 1) * per_band, len(captions)))]
        for position, column in enumerate(columns):
            x, y = GAP + position * (cell + GAP), band * height
            middle = (x + cell // 2, y + HEADING // 2)
            pen.text(middle, captions[column], fill=(40, 40, 40), anchor="mm", font=_font(captions[column], cell))
            for number, row in enumerate(rows):
                picture = Image.fromarray(row[column])
                across, down = (cell - picture.width) // 2, (cell - picture.height) // 2
                sheet.paste(picture, (x + across, y + HEADING + number * (cell + GAP) + down))
    return np.asarray(sheet)


def _font(caption: str, cell: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The largest readable font in which the caption fits its column."""
    for height in range(17, 8, -1):
        font = ImageFont.load_default(height)
        if font.getlength(caption) <= cell:
            return font
    return font
