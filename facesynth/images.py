"""Reading, writing and resizing pictures.

Pictures are numpy arrays, rows first: photos (H, W, 3) uint8 RGB, sketches (H, W) uint8 grey with 255 as paper, label maps
(H, W) uint8 class ids. Bytes are decoded in :mod:`facesynth.decoding`; what masks and label maps hold is read in
:mod:`facesynth.label_maps`.
"""

from __future__ import annotations

import io
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from facesynth import _jpeg, _png
from facesynth.decoding import (
    decode,
    decode_flat,
    is_lossy,
    naming,
    photo_size,
    read_bytes,
    to_flat,
    to_rgb,
    with_depth,
)
from facesynth.errors import InputError, WrongKindError
from facesynth.files import sha256, write_bytes
from facesynth.kinds import recognise
from facesynth.label_maps import (
    ARRAY_START,
    LabelMap,
    colourise,
    decode_array,
    encode_labels,
    read_label_map,
    read_part_mask,
    to_class_ids,
    to_part_mask,
    write_labels,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.labels import LabelScheme


__all__ = [
    "Picture",
    "colourise",
    "decode",
    "decode_labels",
    "encode_jpeg",
    "encode_labels",
    "encode_png",
    "limit_size",
    "photo_size",
    "read_any_labels",
    "read_bytes",
    "read_labels",
    "read_part_mask",
    "read_photo",
    "read_sketch",
    "resize",
    "to_part_mask",
    "to_rgb",
    "to_sketch",
    "write_labels",
    "write_png",
]


class Picture:
    """A picture that is read once and decoded once, whatever it turns out to be.

    Parameters
    ----------
    data : bytes
        The file's content.
    path : Path
        Where it came from, for messages.
    """

    def __init__(self, data: bytes, path: Path) -> None:
        self.data, self.path = data, path

    @classmethod
    def read(cls, path: Path) -> Picture:
        """The picture of a file.

        Raises
        ------
        PictureError
            If it cannot be read.
        """
        return cls(read_bytes(path), path)

    @classmethod
    def of(cls, source: Path | Image.Image | NDArray[np.uint8]) -> Picture:
        """The picture of a file, or one that is in memory already.

        Parameters
        ----------
        source : Path, Pillow picture, or (H, W), (H, W, 3) or (H, W, 4) uint8 array

        Raises
        ------
        InputError
            If an array is of another type or shape.
        PictureError
            If a file cannot be read.
        """
        if isinstance(source, Path):
            return cls.read(source)
        if isinstance(source, np.ndarray):
            shape: tuple[int, ...] = source.shape
            has_shape = len(shape) == 2 or (len(shape) == 3 and shape[-1] in (3, 4))
            if source.dtype != np.uint8 or not has_shape or not source.size:
                needed = "uint8 of shape (H, W), (H, W, 3) or (H, W, 4)"
                raise InputError(f"the picture is {source.dtype} of shape {shape}; needed: {needed}")
            source = Image.fromarray(source)
        picture = cls(b"", Path("the picture"))
        picture.pillow = source
        return picture

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file's content."""
        return sha256(self.data)

    @cached_property
    def pillow(self) -> Image.Image:
        """The picture as Pillow decodes it (see :func:`decode`)."""
        return decode(self.data, self.path)

    @property
    def is_array(self) -> bool:
        """Whether it is a ``.npy`` file, which can only be a label map."""
        return self.data.startswith(ARRAY_START)

    @cached_property
    def _flat(self) -> _png.Decoded:
        if self.is_array:
            return decode_array(self.data, self.path)
        if "pillow" in self.__dict__:
            with naming(self.path):
                return with_depth(to_flat(self.pillow), self.data)
        return decode_flat(self.data, self.path)

    def labels(self, scheme: LabelScheme) -> NDArray[np.uint8]:
        """The label map of class ids, (H, W) uint8 (see :func:`read_labels`)."""
        return to_class_ids(self._flat, self.path, scheme)

    def label_map(self, scheme: LabelScheme, *, void: int | None = None) -> LabelMap:
        """The label map in whatever form (see :func:`facesynth.label_maps.read_label_map`), and how it was read."""
        return read_label_map(self._flat, self.path, scheme, void=void, lossy=is_lossy(self.data))

    def any_labels(self, scheme: LabelScheme) -> NDArray[np.uint8]:
        """The label map of class ids or of colours, (H, W) uint8 ids (see :func:`read_any_labels`)."""
        return self.label_map(scheme).ids

    def sketch(self) -> NDArray[np.uint8]:
        """The drawing, (H, W) uint8, 255 the paper (see :func:`to_sketch`)."""
        return to_sketch(self.pillow, self.path)

    def rgb(self) -> NDArray[np.uint8]:
        """The picture upright, on white, (H, W, 3) uint8."""
        with naming(self.path):
            return to_rgb(self.pillow)


def read_photo(path: Path) -> NDArray[np.uint8]:
    """Read a photo, turned upright by its EXIF orientation.

    Parameters
    ----------
    path : Path

    Returns
    -------
    (H, W, 3) uint8 array
        RGB, 0..255.

    Raises
    ------
    PictureError
        If it cannot be read or decoded completely.
    """
    data = read_bytes(path)
    with naming(path):
        return _jpeg.decode(data) if _jpeg.plain_size(data) else to_rgb(decode(data, path))


def read_labels(path: Path, scheme: LabelScheme) -> NDArray[np.uint8]:
    """Read a label map of class ids.

    In an 8- or 16-bit grey picture the values are the ids, and in a palette picture the indices. But if all colours that a
    palette picture uses are colours of the scheme, each pixel has the class of its colour.

    Parameters
    ----------
    path : Path
    scheme : LabelScheme
        The scheme of the label map.

    Returns
    -------
    (H, W) uint8 array
        Class ids.

    Raises
    ------
    PictureError
        As :func:`decode` does.
    WrongKindError
        If it is another kind of picture, or holds an id that ``scheme`` does not have.
    """
    return Picture.read(path).labels(scheme)


def decode_labels(data: bytes, path: Path, scheme: LabelScheme) -> NDArray[np.uint8]:
    """Decode a label map of class ids (see :func:`read_labels`).

    Parameters
    ----------
    data : bytes
        Content of the file.
    path : Path
        Its name, for the message.
    scheme : LabelScheme
        The scheme of the label map.

    Returns
    -------
    (H, W) uint8 array
        Class ids.

    Raises
    ------
    PictureError, WrongKindError
        As :func:`read_labels` does.
    """
    return Picture(data, path).labels(scheme)


def read_any_labels(path: Path, scheme: LabelScheme) -> NDArray[np.uint8]:
    """Read a label map in whatever form (see :func:`facesynth.label_maps.read_label_map`).

    Parameters
    ----------
    path : Path
    scheme : LabelScheme
        The scheme of the label map.

    Returns
    -------
    (H, W) uint8 array
        Class ids.

    Raises
    ------
    PictureError
        As :func:`decode` does.
    WrongKindError
        If it is another kind of picture, or holds an id or a colour that ``scheme`` does not have.
    """
    return Picture.read(path).any_labels(scheme)


def to_sketch(picture: Image.Image, path: Path) -> NDArray[np.uint8]:
    """Convert a picture to a sketch.

    Parameters
    ----------
    picture : PIL.Image.Image
    path : Path
        Its name, for the message.

    Returns
    -------
    (H, W) uint8 array
        Grey, 255 is paper.

    Raises
    ------
    WrongKindError
        If it is so dark that it must be a label map, or a palette picture recognised as one.
    """
    with naming(path):
        rgb = to_rgb(picture)
    grey = np.asarray(Image.fromarray(rgb).convert("L"))
    is_palette = picture.mode == "P" and bool(np.ptp(rgb, axis=2).any())
    values = np.asarray(picture) if picture.mode == "L" or is_palette else grey
    if int(values.max(initial=0)) < 32 and not (is_palette and recognise(Picture.of(picture)).kind != "labels"):
        raise WrongKindError(
            f"{path} has no value above 31: that is a label map; needed: a sketch, dark lines on light paper"
        )
    return grey


def read_sketch(path: Path) -> NDArray[np.uint8]:
    """Read a sketch (see :func:`to_sketch`).

    Parameters
    ----------
    path : Path

    Returns
    -------
    (H, W) uint8 array
        Grey, 255 is paper.

    Raises
    ------
    PictureError, WrongKindError
        As :func:`decode` and :func:`to_sketch` do.
    """
    return Picture.read(path).sketch()


def resize(array: NDArray[Any], size: tuple[int, int], *, labels: bool = False) -> NDArray[Any]:
    """Resize a picture: label maps by nearest neighbour, others by area when shrinking and bicubic when enlarging.

    Parameters
    ----------
    array : (H, W) or (H, W, C) array
        Any type that OpenCV resizes, such as uint8 or float32.
    size : (int, int)
        New height and width, pixels.
    labels : bool
        The values are class ids, which must not be averaged.

    Returns
    -------
    (height, width) or (height, width, C) array
        Of the same dtype; the same array if it has that size already.

    Examples
    --------
    >>> resize(np.eye(2, dtype=np.uint8), (4, 2), labels=True).tolist()
    [[1, 0], [1, 0], [0, 1], [0, 1]]
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


def limit_size(picture: NDArray[Any], size: int | None) -> NDArray[Any]:
    """Shrink a picture, by area averaging, so that its longer side is at most ``size``.

    Parameters
    ----------
    picture : (H, W) or (H, W, C) array
        uint8 or float32.
    size : int, optional
        Longest side, pixels; None leaves the picture unchanged.

    Returns
    -------
    (h, w) or (h, w, C) array
        Of the same dtype; the same array if it is not larger.

    Examples
    --------
    >>> limit_size(np.zeros((100, 50), np.uint8), 10).shape
    (10, 5)
    """
    height, width = picture.shape[:2]
    longer = max(height, width)
    if size is None or longer <= size:
        return picture
    return resize(picture, (max(1, round(height * size / longer)), max(1, round(width * size / longer))))


def encode_png(array: NDArray[np.uint8]) -> bytes:
    """Encode a picture as PNG.

    Parameters
    ----------
    array : (H, W) or (H, W, 3) uint8 array
        Grey or RGB.

    Returns
    -------
    bytes
        Content of the file.
    """
    _, encoded = cv2.imencode(".png", array if array.ndim == 2 else array[..., ::-1])
    return encoded.tobytes()


def encode_jpeg(array: NDArray[np.uint8], *, quality: int = 95) -> bytes:
    """Encode a picture as JPEG without chroma subsampling.

    Parameters
    ----------
    array : (H, W, 3) uint8 array
        RGB.
    quality : int
        Pillow's quality, 1 to 100.

    Returns
    -------
    bytes
        Content of the file.
    """
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def write_png(path: Path, array: NDArray[np.uint8]) -> bytes:
    """Write a PNG atomically.

    Parameters
    ----------
    path : Path
        The file to write.
    array : (H, W) or (H, W, 3) uint8 array
        Grey or RGB.

    Returns
    -------
    bytes
        Content of the file.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    data = encode_png(array)
    write_bytes(path, data)
    return data
