"""Reading, writing and resizing pictures.

Pictures are numpy arrays, rows first: photos (H, W, 3) uint8 RGB, sketches (H, W) uint8 grey with 255 as paper, label maps
(H, W) uint8 class ids. Reading is strict: a picture that does not decode to its last pixel is an error.
"""

from __future__ import annotations

import io
import struct
import warnings
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from facesynth import _jpeg, _png
from facesynth.errors import ColourError, InputError, PictureError, WrongKindError
from facesynth.files import sha256, write_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.labels import LabelScheme


_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, TypeError, struct.error)
"""The exceptions that Pillow raises on damaged files."""


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
            picture = Image.open(io.BytesIO(data))
            picture.load()
            if picture.format == "JPEG" and picture.mode in ("L", "RGB"):
                _jpeg.check(data)
    except UnidentifiedImageError as error:
        raise PictureError(f"{path} is not a picture, or is damaged in its first bytes") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(f"{path} is too large to be a face picture: {error}") from error
    except _DAMAGE as error:
        raise PictureError(f"{path} cannot be decoded: {error}") from error
    return picture


def read_bytes(path: Path) -> bytes:
    """The content of a file.

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
    except _DAMAGE:
        return picture
    return picture.transpose(_EXIF_TRANSPOSES[orientation]) if orientation in _EXIF_TRANSPOSES else picture


def _eight_bit(picture: Image.Image) -> Image.Image:
    """The picture with 16-bit grey scaled to 8 bits; Pillow would clip it at 255."""
    if not picture.mode.startswith("I"):
        return picture
    return Image.fromarray(np.clip(np.asarray(picture) // 257, 0, 255).astype(np.uint8))


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

    @cached_property
    def _flat(self) -> _png.Decoded:
        if "pillow" in self.__dict__:
            return _with_depth(_flat(self.pillow), self.data)
        return _decode_flat(self.data, self.path)

    def labels(self, scheme: LabelScheme) -> NDArray[np.uint8]:
        """The label map of class ids (see :func:`read_labels`)."""
        return _to_labels(self._flat, self.path, scheme)

    def any_labels(self, scheme: LabelScheme) -> NDArray[np.uint8]:
        """The label map of class ids or of the scheme's colours (see :func:`read_any_labels`)."""
        decoded = self._flat
        if decoded.mode not in ("RGB", "RGBA"):
            return _to_labels(decoded, self.path, scheme)
        if decoded.mode == "RGBA" and int(decoded.pixels[..., 3].min(initial=255)) < 255:
            raise WrongKindError(f"{self.path} is partly transparent; needed: a label map with a class for every pixel")
        return decode_colours(decoded.pixels[..., :3], scheme, source=self.path)

    def sketch(self) -> NDArray[np.uint8]:
        """The drawing, (H, W) uint8, 255 the paper (see :func:`to_sketch`)."""
        return to_sketch(self.pillow, self.path)

    def rgb(self) -> NDArray[np.uint8]:
        """The picture upright, on white, (H, W, 3) uint8."""
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
    if not _jpeg.plain_size(data):
        return to_rgb(decode(data, path))
    try:
        return _jpeg.decode(data)
    except ValueError as error:
        raise PictureError(f"{path} cannot be decoded: {error}") from error


def _decode_flat(data: bytes, path: Path, *, one_grey: bool = False) -> _png.Decoded:
    """Decode masks or class ids: by :mod:`facesynth._png` if it is a common kind of PNG, else by :func:`decode`."""
    try:
        decoded = _png.decode(data, one_grey=one_grey)
    except ValueError as error:
        raise PictureError(f"{path} cannot be decoded: {error}") from error
    if decoded:
        return decoded
    return _with_depth(_flat(decode(data, path)), data)


def _with_depth(decoded: _png.Decoded, data: bytes) -> _png.Decoded:
    """What Pillow decoded, grey pictures of fewer than 8 bits marked as such: they were scaled to 8, so hold no ids."""
    if decoded.mode == "L" and data.startswith(_png.SIGNATURE) and data[24] < 8:
        return decoded._replace(mode=f"L;{data[24]}")
    return decoded


def _flat(picture: Image.Image) -> _png.Decoded:
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


# ------------------------------------------------------------------------------------------------------------ part masks


_NOISE = 32
"""Largest value of an empty mask after lossy compression, of 255."""
_TOLERANCE = 12
"""Largest deviation from black and white by lossy compression, of 255."""


def read_part_mask(path: Path) -> NDArray[np.bool_]:
    """Read a part mask (see :func:`to_part_mask`).

    Parameters
    ----------
    path : Path

    Returns
    -------
    (H, W) bool array

    Raises
    ------
    PictureError
        As :func:`decode` does.
    """
    return to_part_mask(read_bytes(path), path)[0]


def to_part_mask(data: bytes, path: Path) -> tuple[NDArray[np.bool_], int]:
    """Decode a part mask, whichever way it is stored.

    Supported are white on black in any mode and depth, values 0 and 1, and a shape on a transparent background.

    Parameters
    ----------
    data : bytes
        Content of the file.
    path : Path
        Its name, for the message.

    Returns
    -------
    mask : (H, W) bool array
        True where the picture is brighter than half of its maximum.
    greys : int
        Number of pixels that are neither black nor white, apart from small deviations by lossy compression.

    Raises
    ------
    PictureError
        As :func:`decode` does.
    """
    decoded = _decode_flat(data, path, one_grey=True)
    values, alpha = decoded.pixels, None
    if decoded.mode == "P":
        colours = _palette_colours(decoded)[values]
        values, alpha = colours[..., :3].max(axis=2), colours[..., 3]
    elif values.ndim == 3:
        values, alpha = decoded.pixels[..., :3].max(axis=2), decoded.pixels[..., 3] if values.shape[2] == 4 else None
        if decoded.mode == "LA":
            values, alpha = decoded.pixels[..., 0], decoded.pixels[..., 1]
    if alpha is not None and alpha.size and alpha.min() < alpha.max():
        opaque = values[alpha > 127]
        uniform = not opaque.size or opaque.min() == opaque.max()
        values = alpha if uniform else np.where(alpha > 127, values, 0)
    return _threshold(values)


def _threshold(values: NDArray[Any]) -> tuple[NDArray[np.bool_], int]:
    """Threshold grey values at half of their maximum, and count those far from both black and white."""
    mask = np.zeros(values.shape, np.bool_)
    rows = np.flatnonzero(values.any(axis=1))
    if not rows.size:
        return mask, 0
    occupied = np.s_[rows[0] : rows[-1] + 1]
    mask[occupied], greys = _threshold_rows(values[occupied])
    return mask, greys


def _threshold_rows(values: NDArray[Any]) -> tuple[NDArray[np.bool_], int]:
    white = values.max()
    if white == 255 and values.dtype == np.uint8:
        # 255 wraps around to a small value, so that white is not counted.
        greys = int(np.count_nonzero(values + np.uint8(_TOLERANCE) > 2 * _TOLERANCE))
        return values > 127, greys
    if white <= 1:
        return values > 0, 0
    between = values[(values > 0) & (values < white)]
    if between.size and white < (_NOISE if values.dtype == np.uint8 else _NOISE * 257):
        return np.zeros(values.shape, np.bool_), 0
    near = white * (_TOLERANCE / 255)
    return values > white / 2, int(np.count_nonzero((between > near) & (between < white - near)))


def _palette_colours(decoded: _png.Decoded) -> NDArray[np.uint8]:
    """(256, 4) uint8 RGBA colours of a palette; missing entries are opaque black."""
    colours = np.zeros((256, 4), np.uint8)
    colours[:, 3] = 255
    entries = np.frombuffer(decoded.palette, np.uint8).reshape(-1, 3)[:256]
    colours[: len(entries), :3] = entries
    alphas = np.frombuffer(decoded.alphas, np.uint8)[:256]
    colours[: len(alphas), 3] = alphas
    return colours


# ------------------------------------------------------------------------------------------------------------ label maps


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
    """Read a label map of class ids (see :func:`read_labels`) or of the scheme's colours (see :func:`decode_colours`).

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


def _to_labels(decoded: _png.Decoded, path: Path, scheme: LabelScheme) -> NDArray[np.uint8]:
    if decoded.mode.startswith("I") and int(decoded.pixels.max(initial=0)) < len(scheme):
        return decoded.pixels.astype(np.uint8)
    if decoded.mode not in ("L", "P"):
        is_colour = decoded.mode in ("RGB", "RGBA")
        raise WrongKindError(
            f"{path} is a {decoded.mode} picture; a label map is an 8-bit grey or palette PNG of class ids 0 to "
            f"{len(scheme) - 1} ({scheme.name}), as `facesynth prep masks` writes"
            + ("; `facesynth prep remap` converts a map in the scheme's colours" if is_colour else "")
        )
    labels = decoded.pixels
    if decoded.mode == "P":
        labels = _by_colour(decoded, scheme)
    highest = int(labels.max(initial=0))
    if highest >= len(scheme):
        raise WrongKindError(
            f"{path} holds the value {highest}; a {scheme.name} label map has class ids 0 to {len(scheme) - 1} only "
            "(is it a sketch or a photo?)"
        )
    return labels


def _by_colour(decoded: _png.Decoded, scheme: LabelScheme) -> NDArray[np.uint8]:
    """Class ids of a palette picture: by colour if all colours that it uses are the scheme's, else its indices.

    A palette of greys that are ids is what lossless optimisers make of a grey map: the greys are the ids. Black alone does not
    identify a colour-coded map.
    """
    colours = _palette_colours(decoded)[:, :3]
    ids = {colour: number for number, colour in enumerate(scheme.colours)}
    used = np.unique(decoded.pixels).tolist()
    used_ids = [ids.get(tuple(colours[index].tolist()), -1) for index in used]
    if min(used_ids, default=-1) >= 0 and colours[used].any():
        table = np.zeros(256, np.uint8)
        table[used] = used_ids
        return table[decoded.pixels]
    greys = colours[: len(decoded.palette) // 3]
    if not np.ptp(greys, axis=1).any() and int(greys.max(initial=0)) < len(scheme):
        return colours[:, 0][decoded.pixels]
    return decoded.pixels


def decode_colours(
    picture: Image.Image | NDArray[np.uint8], scheme: LabelScheme, *, source: object = "the picture"
) -> NDArray[np.uint8]:
    """Decode a label map that is stored in the scheme's exact colours.

    Parameters
    ----------
    picture : PIL.Image.Image or (H, W, 3) uint8 array
        RGB.
    scheme : LabelScheme
        The scheme that the colours belong to.
    source : object
        Its name, for the message.

    Returns
    -------
    (H, W) uint8 array
        Class ids.

    Raises
    ------
    ColourError
        If pixels have a colour of no class; the message says how many.

    Examples
    --------
    >>> from facesynth.labels import CELEBAMASK_HQ
    >>> decode_colours(np.array([[[0, 0, 0], [204, 0, 0]]], np.uint8), CELEBAMASK_HQ).tolist()
    [[0, 1]]
    """
    rgb = np.asarray(picture.convert("RGB")) if isinstance(picture, Image.Image) else picture
    weights = np.array([1 << 16, 1 << 8, 1], np.uint32)
    codes = rgb @ weights
    known = np.array(scheme.colours, np.uint32) @ weights
    order = np.argsort(known)
    position = np.minimum(np.searchsorted(known[order], codes), len(known) - 1)
    unknown = known[order][position] != codes
    if count := int(np.count_nonzero(unknown)):
        first = rgb[unknown][0]
        raise ColourError(
            f"{source} has {count} of {codes.size} pixels in colours of no class of {scheme.name} (the first is "
            f"#{first.tobytes().hex()}); give the scheme of its colours, and a map that was not smoothed or stored as JPEG"
        )
    labels: NDArray[np.uint8] = order.astype(np.uint8)[position]
    return labels


# -------------------------------------------------------------------------------------------------------------- sketches


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
        If it is so dark that it must be a label map.
    """
    rgb = to_rgb(picture)
    grey = np.asarray(Image.fromarray(rgb).convert("L"))
    is_ids = picture.mode == "L" or (picture.mode == "P" and bool(np.ptp(rgb, axis=2).any()))  # or a colour palette
    if int((np.asarray(picture) if is_ids else grey).max(initial=0)) < 32:
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


def write_labels(path: Path, labels: NDArray[np.uint8], scheme: LabelScheme, *, palette: bool = False) -> bytes:
    """Write a label map as a PNG of class ids, atomically.

    Parameters
    ----------
    path : Path
        The file to write.
    labels : (H, W) uint8 array
        Class ids of ``scheme``.
    scheme : LabelScheme
        Its colours form the palette.
    palette : bool
        Write a palette picture, which viewers show in colours, instead of a grey one; the ids are the same.

    Returns
    -------
    bytes
        Content of the file.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    data = encode_labels(labels, scheme, palette=palette)
    write_bytes(path, data)
    return data


def encode_labels(labels: NDArray[np.uint8], scheme: LabelScheme, *, palette: bool = False) -> bytes:
    """Encode a label map as PNG (see :func:`write_labels`).

    Parameters
    ----------
    labels : (H, W) uint8 array
        Class ids of ``scheme``.
    scheme, palette
        As for :func:`write_labels`.

    Returns
    -------
    bytes
        Content of the file.
    """
    return _png.encode(labels, palette=np.array(scheme.colours, np.uint8).tobytes() if palette else b"")


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
    if not (size := _jpeg.plain_size(data)):
        width, height = upright(decode(data, path)).size
        return width, height
    try:
        _jpeg.check(data)
    except ValueError as error:
        raise PictureError(f"{path} cannot be decoded: {error}") from error
    return size


def colourise(labels: NDArray[np.uint8], scheme: LabelScheme) -> NDArray[np.uint8]:
    """Paint a label map in the scheme's colours.

    Parameters
    ----------
    labels : (H, W) uint8 array
        Class ids of ``scheme``.
    scheme : LabelScheme
        Its colours are used.

    Returns
    -------
    (H, W, 3) uint8 array
        RGB.

    Examples
    --------
    >>> from facesynth.labels import CELEBAMASK_HQ
    >>> colourise(np.array([[0, 1]], np.uint8), CELEBAMASK_HQ).tolist()
    [[[0, 0, 0], [204, 0, 0]]]
    """
    return np.array(scheme.colours, np.uint8)[labels]
