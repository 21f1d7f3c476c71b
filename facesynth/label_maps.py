"""Part masks and label maps: decoded pictures in, bool masks or class ids out, and label maps as PNGs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from facesynth import _png
from facesynth.decoding import decode_flat, naming, palette_colours, read_bytes
from facesynth.errors import ColourError, WrongKindError
from facesynth.files import write_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.labels import LabelScheme

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
    decoded = decode_flat(data, path, one_grey=True)
    with naming(path):
        return _to_mask(decoded)


def _to_mask(decoded: _png.Decoded) -> tuple[NDArray[np.bool_], int]:
    values, alpha = decoded.pixels, None
    if decoded.mode == "P":
        colours = palette_colours(decoded)[values]
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


def to_class_ids(decoded: _png.Decoded, path: Path, scheme: LabelScheme) -> NDArray[np.uint8]:
    """The class ids that a decoded picture holds (see :func:`facesynth.images.read_labels`).

    Parameters
    ----------
    decoded : Decoded
        The picture, of any mode.
    path : Path
        Where it came from, for the message.
    scheme : LabelScheme
        The scheme of the label map.

    Returns
    -------
    (H, W) uint8 array
        Class ids.

    Raises
    ------
    WrongKindError
        If it is another kind of picture, or holds an id that ``scheme`` does not have.
    """
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
    colours = palette_colours(decoded)[:, :3]
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
