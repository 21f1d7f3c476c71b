"""Part masks and label maps: decoded pictures in, bool masks or class ids out, and label maps as PNGs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facesynth import _png
from facesynth.colour_tables import VOID, decode_near, find_table
from facesynth.decoding import decode_flat, naming, palette_colours, read_bytes
from facesynth.errors import InputError, PictureError, WrongKindError, reason_of
from facesynth.files import write_bytes
from facesynth.label_checks import EXCHANGED, better_order, interpolated, parts_of

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


ARRAY_SUFFIX = ".npy"
"""Of label maps that numpy wrote."""
ARRAY_START = b"\x93NUMPY"
_MOST_PIXELS = 1 << 26
"""Of a label map in such a file; those of pictures have the same bound."""
_MOST_BLURRED = 64
"""A grey picture with lossy compression and no higher value holds class ids that it changed."""


@dataclass(frozen=True)
class LabelMap:
    """A label map, and how it was read.

    Attributes
    ----------
    ids : (H, W) uint8 array
        Class ids.
    notes : tuple of (str, str)
        What was changed, and doubts: each a kind of finding and a line of text.
    """

    ids: NDArray[np.uint8]
    notes: tuple[tuple[str, str], ...] = ()


def check_void(void: int | None, scheme: LabelScheme) -> None:
    """Check that a value may be taken for background.

    Raises
    ------
    InputError
        If it is no value of a pixel, or a class of ``scheme``.
    """
    if void is not None and not len(scheme) <= void <= 255:
        raise InputError(f"void is {void}; needed: {len(scheme)} to 255, a value that is no class of {scheme.name}")


def read_label_map(
    decoded: _png.Decoded, path: Path, scheme: LabelScheme, *, void: int | None = None, lossy: bool = False
) -> LabelMap:
    """The label map that a picture holds in whatever form: class ids in one channel or in equal ones, or colours.

    Parameters
    ----------
    decoded : Decoded
        The picture, of any mode.
    path : Path
        Where it came from, for messages.
    scheme : LabelScheme
        Of the class ids.
    void : int, optional
        The value of pixels that an annotation leaves out; they become background.
    lossy : bool
        The file has a lossy compression.

    Returns
    -------
    LabelMap
        Pixels that are not opaque are background.

    Raises
    ------
    InputError
        If ``void`` is a class.
    WrongKindError
        If it is another kind of picture, or holds an id or a colour that ``scheme`` does not have.
    """
    check_void(void, scheme)
    notes: list[tuple[str, str]] = []
    opaque = None
    if decoded.mode in ("LA", "RGBA"):
        opaque = decoded.pixels[..., -1] > 127
        decoded = _png.Decoded(decoded.mode[:-1], decoded.pixels[..., :-1])
        if decoded.mode == "L":
            decoded = decoded._replace(pixels=decoded.pixels[..., 0])
        if opaque.all():
            opaque = None
        elif not opaque.any():
            raise WrongKindError(f"{path} is transparent everywhere; needed: a label map with classes")
    if decoded.mode == "P":
        decoded = _in_known_colours(decoded, scheme)
    if decoded.mode == "RGB":
        rgb = decoded.pixels if opaque is None else np.where(opaque[..., None], decoded.pixels, np.uint8(0))
        if not _has_own_colours(rgb, scheme) and not np.ptp(rgb, axis=2).any():
            decoded = _png.Decoded("L", np.ascontiguousarray(rgb[..., 0]))
    if decoded.mode == "RGB":
        found = decode_near(decoded.pixels, scheme, opaque=opaque, source=path)
        ids, opaque = found.ids, None
        if found.table.name != scheme.name:
            notes.append(("other-colours", f"read in the colours of {found.table.name}"))
        if found.changed:
            count = f"{found.changed} of {ids.size} pixels do not have a class's exact colour (smoothed, or stored as JPEG?)"
            notes.append(("near-colours", f"{count}: read as the nearest class around them"))
        if len(scheme) <= VOID and (left_out := int(np.count_nonzero(ids == VOID))):
            if void is None:
                raise WrongKindError(
                    f"{path} has {left_out} pixels in PASCAL VOC's colour of no class; --void {VOID} takes them for background"
                )
            ids[ids == VOID] = 0
    else:
        if lossy and decoded.mode == "L" and int(decoded.pixels.max(initial=0)) < _MOST_BLURRED:
            raise WrongKindError(
                f"{path} seems to hold class ids, which its lossy compression has changed; needed: a label map stored "
                "without loss, such as a PNG"
            )
        if void is not None and decoded.mode in ("L", "P", "I", "I;16"):
            decoded = decoded._replace(pixels=np.where(decoded.pixels == void, 0, decoded.pixels))
        if opaque is not None:
            decoded = decoded._replace(pixels=np.where(opaque, decoded.pixels, 0))
        ids = to_class_ids(decoded, path, scheme)
    return LabelMap(ids, (*notes, *doubts(ids, scheme)))


def doubts(labels: NDArray[np.uint8], scheme: LabelScheme) -> list[tuple[str, str]]:
    """What speaks against the ids of a label map (see :mod:`facesynth.label_checks`): kinds of findings, and lines of text."""
    found = []
    if text := interpolated(labels, scheme):
        found.append(("interpolated", text))
    if order := better_order(parts_of(labels, scheme)[None], scheme):
        found.append(("exchanged" if order == EXCHANGED else "other-order", order_text(order, scheme)))
    return found


def order_text(order: str, scheme: LabelScheme) -> str:
    """A line on maps that have another order than their scheme's (see :func:`facesynth.label_checks.better_order`)."""
    if order == EXCHANGED:
        return f"the parts lie as with {order}: l_ is the person's left, on the picture's right"
    name = order.rpartition(" ")[2]
    return f"the parts lie as in {order}, not {scheme.name}: `facesynth prep remap --from {name} --to {scheme.name}` converts"


def _has_own_colours(rgb: NDArray[np.uint8], scheme: LabelScheme) -> bool:
    """Whether all colours of a picture are the scheme's, and not black alone."""
    weights = np.array([1 << 16, 1 << 8, 1], np.uint32)
    used = np.unique(rgb @ weights)
    return bool(used.any() and np.isin(used, np.array(scheme.colours, np.uint32) @ weights).all())


def _in_known_colours(decoded: _png.Decoded, scheme: LabelScheme) -> _png.Decoded:
    """A palette picture as RGB if the colours that it uses are all those of another program; else unchanged."""
    used = np.unique(decoded.pixels)
    colours = palette_colours(decoded)[:, :3]
    table = find_table(colours[used][None], scheme)
    if table is None or table.name == scheme.name or not np.ptp(colours[used], axis=1).any():
        return decoded
    known = {tuple(colour) for colour in table.colours.tolist()}
    if not all(tuple(colour) in known for colour in colours[used].tolist()):
        return decoded
    return _png.Decoded("RGB", colours[decoded.pixels])


def decode_array(data: bytes, path: Path) -> _png.Decoded:
    """The label map in a ``.npy`` file, in the form of a grey picture.

    Parameters
    ----------
    data : bytes
        Content of the file.
    path : Path
        Its name, for the message.

    Returns
    -------
    Decoded
        Of mode L.

    Raises
    ------
    PictureError
        If the file cannot be read, or holds anything but (H, W) whole numbers of 0 to 255; axes of length 1 are left out.
    """
    needed = "a label map of whole numbers 0 to 255, of shape (H, W)"
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
        sides = tuple(side for side in shape if side != 1) if len(shape) > 2 else shape
        if len(sides) != 2 or not 0 < sides[0] * sides[1] <= _MOST_PIXELS or dtype.kind not in "biuf":
            raise PictureError(f"{path} holds {dtype} of shape {shape}; needed: {needed}")
        file.seek(0)
        array = np.lib.format.read_array(file, allow_pickle=False).reshape(sides)
    except PictureError:
        raise
    except Exception as error:  # a damaged header raises nearly anything
        raise PictureError(f"{path} cannot be read as {needed}: {reason_of(error)}") from error
    with np.errstate(invalid="ignore"):
        ids = array.astype(np.uint8)
    if not np.array_equal(ids, array):
        raise PictureError(f"{path} holds other numbers than whole ones of 0 to 255; needed: {needed}")
    return _png.Decoded("L", ids)


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
        others = labels[labels < highest]
        if highest == VOID and others.size and int(others.max()) < len(scheme) and len(np.unique(others)) > 1:
            raise WrongKindError(
                f"{path} holds the value {VOID} besides class ids of {scheme.name}; if it stands for pixels without a class, "
                f"--void {VOID} takes them for background"
            )
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
