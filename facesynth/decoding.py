"""Decoding pictures: a file's bytes in, pixels out, upright and complete, or an error.

Reading is strict: a picture that does not decode to its last pixel is an error, never a grey remainder.
"""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image, JpegImagePlugin, TiffImagePlugin, UnidentifiedImageError

from facesynth import _jpeg, _png
from facesynth.errors import FacesynthError, PictureError, reason_of
from facesynth.files import read_file

if TYPE_CHECKING:
    from numpy.typing import NDArray


MOST_BYTES = 1 << 30
"""The largest file that is read as a picture."""


def decode(data: bytes, path: Path) -> Image.Image:
    """Decode a picture completely.

    Parameters
    ----------
    data : bytes
        Content of the file.
    path : Path
        Its name, for the message.

    Returns
    -------
    PIL.Image.Image

    Raises
    ------
    PictureError
        If it is empty, truncated, not a picture, or unreasonably large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata of an intact picture
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if data.startswith(_png.SIGNATURE):
                _png.check(data)
            picture = _open(data)
            with silent() if picture.format == "TIFF" else nullcontext():
                picture.load()
            if picture.format == "JPEG" and picture.mode in ("L", "RGB"):
                _jpeg.check(data)
    except UnidentifiedImageError as error:
        raise PictureError(f"{path} {_unidentified(data, path)}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(f"{path} is too large to be a face picture: {error}") from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise PictureError(f"{path} cannot be decoded: {reason_of(error)}") from error
    return picture


_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_RAW_SUFFIXES = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf")
FULL_SIZE = "full_size"
"""Entry of ``Image.info``: width and height of a picture that was reduced while decoding."""
_MOST_JPEG_PIXELS = 1 << 30


def _open(data: bytes) -> Image.Image:
    """A picture, not yet decoded; a JPEG that is too large will be decoded at a half, a quarter or an eighth of its size."""
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        with suppress(ImportError):
            from pillow_heif import register_heif_opener

            register_heif_opener()
    try:
        return Image.open(io.BytesIO(data))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        if not data.startswith(b"\xff\xd8\xff"):
            raise
        picture = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
        width, height = size = picture.size
        if width * height > _MOST_JPEG_PIXELS:
            raise
        most = Image.MAX_IMAGE_PIXELS or 1 << 26
        scale = next((each for each in (2, 4) if width * height <= most * each**2), 8)
        picture.draft(None, (width // scale, height // scale))  # takes effect once
        picture.info[FULL_SIZE] = size
        return picture


def _unidentified(data: bytes, path: Path) -> str:
    """Why Pillow knows no such picture, and what to do, for the end of a message."""
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        try:
            import pillow_heif  # noqa: F401
        except ImportError:
            return "is a HEIC picture; reading it needs pillow-heif: pip install 'facesynth[heif]'"
        return "is a HEIC picture that is damaged"
    if path.suffix.lower() in (".svg", ".svgz") or b"<svg" in data[:1024]:
        return "is an SVG drawing; needed: pixels; export it as a PNG"
    if path.suffix.lower() in _RAW_SUFFIXES:
        return "is a camera's raw file; needed: a picture; export it as a JPEG or PNG"
    return "is not a picture, or is damaged in its first bytes"


def is_lossy(data: bytes) -> bool:
    r"""Whether a file is a picture whose compression changes values: a JPEG, a lossy WebP, an AVIF or a HEIC file.

    Examples
    --------
    >>> is_lossy(b"\xff\xd8\xff\xe0"), is_lossy(_png.SIGNATURE)
    (True, False)
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return b"VP8 " in data[12:64]
    return data.startswith(b"\xff\xd8\xff") or data[4:8] == b"ftyp"


_ERRORS = threading.RLock()


@contextmanager
def silent() -> Iterator[None]:
    """Keep from standard error what C libraries, such as libtiff, write there of odd files: the exception is enough."""
    with _ERRORS:
        try:
            kept = os.dup(2)
        except OSError:  # there is no standard error
            yield
            return
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(null)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn whatever a library raises on a picture into an error that names it.

    Raises
    ------
    PictureError
        If anything but one of facesynth's own errors is raised, such as by too little memory.
    """
    try:
        yield
    except FacesynthError:
        raise
    except Exception as error:
        raise PictureError(f"{path} cannot be decoded: {reason_of(error)}") from error


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises
    ------
    PictureError
        If it cannot be read.
    """
    try:
        return read_file(path, MOST_BYTES)
    except (OSError, ValueError, MemoryError) as error:  # a ValueError means an impossible file name
        raise PictureError(f"cannot read {path}: {getattr(error, 'strerror', None) or reason_of(error)}") from error


def on_white(picture: Image.Image) -> Image.Image:
    """The picture composited on white if it has transparency, else unchanged."""
    if not picture.has_transparency_data:
        return picture
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


_EXIF_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(picture: Image.Image) -> Image.Image:
    """The picture turned by its EXIF orientation; unchanged if that cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            orientation = picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged metadata of an intact picture
        return picture
    return picture.transpose(_EXIF_TRANSPOSES[orientation]) if orientation in _EXIF_TRANSPOSES else picture


_MAX_SAMPLE_VALUE = 281
"""TIFF's tag of the largest value."""


def _eight_bit(picture: Image.Image) -> Image.Image:
    """The picture with grey of more than 8 bits, or of floats, scaled to 8; Pillow would clip it at 255.

    Floats are 0 to 1, or 0 to 255 if there are larger ones. Whole numbers have the bits that TIFF's MaxSampleValue says, or the
    fewest of 10, 12, 14 and 16 that hold the largest.
    """
    if picture.mode == "F":
        values = np.nan_to_num(np.asarray(picture), nan=0.0, posinf=0.0, neginf=0.0)
        largest = float(values.max(initial=0))
        white = 1.0 if largest <= 1 else max(255.0, largest)
        return Image.fromarray(np.rint(np.clip(values, 0, white) * (255 / white)).astype(np.uint8))
    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture)
    largest = int(values.max(initial=0))
    stated = picture.tag_v2.get(_MAX_SAMPLE_VALUE) if isinstance(picture, TiffImagePlugin.TiffImageFile) else None
    white = int(stated[0] if isinstance(stated, tuple) else stated or 0)
    if not 255 < white <= 65535 or white < largest:
        white = next((1 << bits) - 1 for bits in (10, 12, 14, 16, 32) if largest < 1 << bits or bits == 32)
        white = 65535 if largest < 256 or white > 65535 else white
    return Image.fromarray(
        np.clip(values // ((white + 1) // 256) if white < 65535 else values // 257, 0, 255).astype(np.uint8)
    )


def to_rgb(picture: Image.Image) -> NDArray[np.uint8]:
    """Convert a picture to RGB, turned upright and composited on white.

    Parameters
    ----------
    picture : PIL.Image.Image

    Returns
    -------
    (H, W, 3) uint8 array
        RGB, 0..255.
    """
    picture = on_white(_eight_bit(upright(picture)))
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def decode_flat(data: bytes, path: Path, *, one_grey: bool = False) -> _png.Decoded:
    """Decode masks or class ids: by :mod:`facesynth._png` if it is a common kind of PNG, else by :func:`decode`."""
    with naming(path):
        return _png.decode(data, one_grey=one_grey) or with_depth(to_flat(decode(data, path)), data)


def with_depth(decoded: _png.Decoded, data: bytes) -> _png.Decoded:
    """What Pillow decoded, grey pictures of fewer than 8 bits marked as such: they were scaled to 8, so hold no ids."""
    if decoded.mode == "L" and data.startswith(_png.SIGNATURE) and data[24] < 8:
        return decoded._replace(mode=f"L;{data[24]}")
    return decoded


def to_flat(picture: Image.Image) -> _png.Decoded:
    """What Pillow decoded, in the form of :mod:`facesynth._png`; also of the modes LA, I and F."""
    if picture.mode == "P" and picture.palette and picture.palette.mode == "RGB":
        alphas = picture.info.get("transparency", b"")
        if isinstance(alphas, int):
            alphas = bytes([255] * alphas + [0])
        return _png.Decoded("P", np.asarray(picture), bytes(picture.getpalette() or ()), alphas)
    if picture.mode[0] in "IF":
        return _png.Decoded(picture.mode, np.clip(np.asarray(picture), 0, None))
    if picture.mode in ("1", "L", "RGB") and "transparency" in picture.info:
        picture = picture.convert("LA" if picture.mode == "L" else "RGBA")
    if picture.mode not in ("1", "L", "LA", "RGB", "RGBA"):
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    return _png.Decoded(picture.mode, np.asarray(picture).view(np.uint8))


def palette_colours(decoded: _png.Decoded) -> NDArray[np.uint8]:
    """(256, 4) uint8 RGBA colours of a palette; missing entries are opaque black."""
    colours = np.zeros((256, 4), np.uint8)
    colours[:, 3] = 255
    entries = np.frombuffer(decoded.palette, np.uint8).reshape(-1, 3)[:256]
    colours[: len(entries), :3] = entries
    alphas = np.frombuffer(decoded.alphas, np.uint8)[:256]
    colours[: len(alphas), 3] = alphas
    return colours


def photo_size(data: bytes, path: Path) -> tuple[int, int]:
    """Width and height of a photo after EXIF rotation; the photo is decoded completely as a check.

    Parameters
    ----------
    data : bytes
        Content of the file.
    path : Path
        Its name, for the message.

    Returns
    -------
    (int, int)
        Width and height, pixels.

    Raises
    ------
    PictureError
        As :func:`decode` does.
    """
    with naming(path):
        if not (size := _jpeg.plain_size(data)):
            picture = decode(data, path)
            width, height = picture.info.get(FULL_SIZE, picture.size)
            is_turned = picture.size != upright(picture).size
            return (height, width) if is_turned else (width, height)
        _jpeg.check(data)
        return size
