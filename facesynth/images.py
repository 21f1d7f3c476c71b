"""Reading and writing pictures, and the one place that chooses an interpolation.

Pictures are numpy arrays, rows first: photos (H, W, 3) uint8 RGB, sketches (H, W) uint8 grey, label maps (H, W) uint8
class ids. Reading is strict: a picture that does not decode to its last pixel is an error, never a grey remainder.
"""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from facesynth.errors import PictureError, WrongKindError
from facesynth.files import write_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.labels import LabelScheme


_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, TypeError, struct.error)
"""What Pillow raises on damaged files."""


def decode(data: bytes, path: Path) -> Image.Image:
    """Decode a picture completely.

    Parameters
    ----------
    data : bytes
        The file's content.
    path : Path
        Where it came from, for the message.

    Raises
    ------
    PictureError
        If it is empty, truncated, no picture, or unreasonably large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata beside a whole picture
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data))
            picture.load()
    except UnidentifiedImageError as error:
        raise PictureError(f"{path} is not a picture, or is damaged in its first bytes") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(f"{path} is too large to be a face picture: {error}") from error
    except _DAMAGE as error:
        raise PictureError(f"{path} cannot be decoded: {error}") from error
    return picture


def read_bytes(path: Path) -> bytes:
    """The file's content.

    Raises
    ------
    PictureError
        If it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise PictureError(f"cannot read {path}: {error.strerror or error}") from error


def on_white(picture: Image.Image) -> Image.Image:
    """The picture without transparency, as it looks on white paper."""
    if not picture.has_transparency_data:
        return picture
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(picture: Image.Image) -> Image.Image:
    """The picture turned as its EXIF orientation says; as it is where that cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            orientation = picture.getexif().get(ExifTags.Base.Orientation)
    except _DAMAGE:
        return picture
    return picture.transpose(_TURNS[orientation]) if orientation in _TURNS else picture


def _eight_bit(picture: Image.Image) -> Image.Image:
    """The picture with 16-bit grey scaled to 8 bits; Pillow by itself cuts it off at 255."""
    if not picture.mode.startswith("I"):
        return picture
    return Image.fromarray(np.clip(np.asarray(picture) // 257, 0, 255).astype(np.uint8))


def to_rgb(picture: Image.Image) -> NDArray[np.uint8]:
    """The picture upright, on white, as an (H, W, 3) uint8 array."""
    return np.asarray(on_white(_eight_bit(upright(picture))).convert("RGB"))


def read_photo(path: Path) -> NDArray[np.uint8]:
    """A photo as an (H, W, 3) uint8 RGB array, turned upright by its EXIF orientation."""
    return to_rgb(decode(read_bytes(path), path))


def read_part_mask(path: Path) -> NDArray[np.bool_]:
    """A part mask as an (H, W) bool array: where the picture is at least half as bright as white."""
    picture = decode(read_bytes(path), path)
    if picture.mode == "P":
        picture = picture.convert("RGBA")
    return np.asarray(picture.convert("L")) > 127


def to_labels(picture: Image.Image, path: Path, scheme: LabelScheme) -> NDArray[np.uint8]:
    """The class ids of an 8-bit grey or palette picture as an (H, W) uint8 array.

    Raises
    ------
    WrongKindError
        If it is a colour picture, or holds an id that ``scheme`` does not have.
    """
    if picture.mode not in ("L", "P"):
        raise WrongKindError(
            f"{path} is a {picture.mode} picture; a label map is an 8-bit grey or palette PNG of class ids 0 to "
            f"{len(scheme) - 1} ({scheme.name}), as `facesynth prep masks` writes"
        )
    labels = np.asarray(picture)
    highest = int(labels.max(initial=0))
    if highest >= len(scheme):
        raise WrongKindError(
            f"{path} holds the value {highest}; a {scheme.name} label map has class ids 0 to {len(scheme) - 1} only "
            "(is it a sketch or a photo?)"
        )
    return labels


def read_labels(path: Path, scheme: LabelScheme) -> NDArray[np.uint8]:
    """A label map, checked against ``scheme`` (see :func:`to_labels`)."""
    return to_labels(decode(read_bytes(path), path), path, scheme)


def to_sketch(picture: Image.Image, path: Path) -> NDArray[np.uint8]:
    """A drawing as an (H, W) uint8 array, 255 the paper.

    Raises
    ------
    WrongKindError
        If it is so dark throughout that it must be a label map.
    """
    rgb = to_rgb(picture)
    grey = np.asarray(Image.fromarray(rgb).convert("L"))
    is_ids = picture.mode == "L" or (picture.mode == "P" and bool(np.ptp(rgb, axis=2).any()))  # or a palette of colours
    if int((np.asarray(picture) if is_ids else grey).max(initial=0)) < 32:
        raise WrongKindError(
            f"{path} has no value above 31: that is a label map; needed: a sketch, dark lines on light paper"
        )
    return grey


def read_sketch(path: Path) -> NDArray[np.uint8]:
    """A sketch as an (H, W) uint8 array, 255 the paper (see :func:`to_sketch`)."""
    return to_sketch(decode(read_bytes(path), path), path)


def resize(array: NDArray[Any], size: tuple[int, int], *, labels: bool = False) -> NDArray[Any]:
    """Resize a picture: label maps by nearest neighbour, the rest by area when shrinking and bicubic when growing.

    Parameters
    ----------
    array : (H, W) or (H, W, C) array
    size : (int, int)
        Height and width wanted.
    labels : bool
        The values are class ids, which must not be averaged.

    Returns
    -------
    array of ``size``, of the same type
    """
    height, width = size
    if array.shape[:2] == (height, width):
        return array
    if labels:
        method = cv2.INTER_NEAREST_EXACT
    elif height * width < array.shape[0] * array.shape[1]:
        method = cv2.INTER_AREA
    else:
        method = cv2.INTER_CUBIC
    return cv2.resize(array, (width, height), interpolation=method)


def encode_png(array: NDArray[np.uint8]) -> bytes:
    """A (H, W) grey or (H, W, 3) RGB picture as the bytes of a PNG."""
    _, encoded = cv2.imencode(".png", array if array.ndim == 2 else array[..., ::-1])
    return encoded.tobytes()


def encode_jpeg(array: NDArray[np.uint8], *, quality: int = 95) -> bytes:
    """A (H, W, 3) RGB picture as the bytes of a JPEG with full colour resolution."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def write_png(path: Path, array: NDArray[np.uint8]) -> bytes:
    """Write a PNG, whole or not at all, and return the bytes written."""
    data = encode_png(array)
    write_bytes(path, data)
    return data


def colourise(labels: NDArray[np.uint8], scheme: LabelScheme) -> NDArray[np.uint8]:
    """A label map in the scheme's colours, (H, W, 3) uint8, for people to look at."""
    return np.array(scheme.colours, np.uint8)[labels]
