"""A PNG codec for flat pictures: part masks and label maps, whose decoding dominates preparation.

General decoders take as long for a mask of three eyelashes as for a photograph. This one inflates with zlib-ng and undoes the
filters only in rows that are not empty. It supports 8-bit grey, RGB, RGBA and palette pictures and 1-bit ones, without
interlacing; for anything else it returns None, and the caller uses Pillow.

Source: the PNG specification, third edition (W3C, 2025), chapters 5 (chunks), 7 (pixels), 9 (filters) and 11.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from zlib_ng import zlib_ng

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KINDS = {
    (8, 0): ("L", 1),
    (8, 2): ("RGB", 3),
    (8, 3): ("P", 1),
    (8, 6): ("RGBA", 4),
    (1, 0): ("1", 1),
    (1, 3): ("P", 1),
}
"""Mode and channels by bit depth and colour type."""
_MAX_PIXELS = 1 << 26
_MAX_ROWS = 1 << 16
"""Larger pictures are left to Pillow."""
_MAX_SLOW = 8192
"""Most bytes that are unfiltered one by one; with more Pillow is faster."""
_BLOCK = 1 << 16
"""Bytes to inflate at a time, at least."""
_InflateError: Any = zlib_ng.error  # typed as an instance in its stub
_NONE, _SUB, _UP, _AVERAGE, _PAETH = range(5)


class Decoded(NamedTuple):
    """A decoded picture.

    Attributes
    ----------
    mode : str
        Pillow's name: 1, L, P, RGB or RGBA.
    pixels : (H, W) or (H, W, C) uint8 array
        Values, or indices of the palette; in mode 1 they are 0 and 1.
    palette : bytes
        RGB triples in mode P, else empty.
    alphas : bytes
        Alpha values of the first colours of the palette.
    """

    mode: str
    pixels: Bytes
    palette: bytes = b""
    alphas: bytes = b""


def check(data: bytes) -> None:
    """Verify the checksums of the chunks that define the pixels of a PNG; Pillow does not.

    Raises
    ------
    ValueError
        If a checksum does not match.
    """
    for _ in _chunks(data):
        pass


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, bool]]:
    """Type and content of every complete chunk up to IEND, and whether its checksum matches.

    A wrong checksum is accepted only for a chunk that no pixel depends on.
    """
    view, start = memoryview(data), len(SIGNATURE)
    while start + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, start)
        end = start + 12 + length
        if end > len(data):
            return
        kind = data[start + 4 : start + 8]
        (needed,) = struct.unpack_from(">I", data, end - 4)
        is_valid = zlib_ng.crc32(view[start + 4 : end - 4]) == needed
        if not is_valid and (_is_critical(kind) or kind == b"tRNS"):
            raise ValueError(f"the checksum of its {kind.decode('ascii', 'replace')!r} chunk does not match")
        yield kind, view[start + 8 : end - 4], is_valid
        if kind == b"IEND":
            return
        start = end


def _is_critical(kind: bytes) -> bool:
    """Whether a decoder must know chunks of this type: the type begins with a capital letter."""
    return not kind[0] & 32


def decode(data: bytes, *, one_grey: bool = False) -> Decoded | None:
    """Decode a common kind of PNG; None if it is another kind or unusual in any way.

    Parameters
    ----------
    data : bytes
        Content of the file.
    one_grey : bool
        Return an RGB picture with equal channels as mode L.

    Returns
    -------
    Decoded or None
        Its pixels are an (H, W) or (H, W, C) uint8 array.

    Raises
    ------
    ValueError
        If it is damaged.

    Examples
    --------
    >>> decode(encode(np.eye(2, dtype=np.uint8))).pixels.tolist()
    [[1, 0], [0, 1]]
    """
    if not data.startswith(SIGNATURE):
        return None
    chunks: dict[bytes, list[memoryview]] = {}
    previous = b""
    for kind, content, is_valid in _chunks(data):
        if not is_valid or (_is_critical(kind) and kind not in (b"IHDR", b"PLTE", b"IDAT", b"IEND")):
            return None
        if kind in chunks and (kind in (b"IHDR", b"PLTE", b"tRNS") or (kind == b"IDAT" and kind != previous)):
            return None
        chunks.setdefault(kind, []).append(content)
        previous = kind
    order = [kind for kind in chunks if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")]
    if next(iter(chunks), b"") != b"IHDR" or order[-2:] != [b"IDAT", b"IEND"] or b"acTL" in chunks:
        return None
    (header,) = chunks[b"IHDR"]
    if len(header) != 13:
        return None
    width, height, depth, colour, compression, method, interlaced = struct.unpack(">IIBBBBB", header)
    if (
        (depth, colour) not in _KINDS
        or compression
        or method
        or interlaced
        or not 0 < width * height <= _MAX_PIXELS
        or height > _MAX_ROWS
    ):
        return None
    mode, channels = _KINDS[depth, colour]
    if mode != "P" and b"tRNS" in chunks:  # one transparent colour
        return None
    palette = b"".join(chunks.get(b"PLTE", []))
    if mode == "P" and (not palette or len(palette) % 3 or len(palette) > 768):
        return None
    stride = (width * channels * depth + 7) // 8
    filtered = _inflate(b"".join(chunks[b"IDAT"]), height, stride)
    rows = _unfilter(*filtered, channels, one_grey=one_grey and mode == "RGB") if filtered else None
    if rows is None:
        return None
    if depth == 1:
        rows = np.unpackbits(rows, axis=1, count=width)
    if mode == "P":
        return Decoded(mode, rows, palette, b"".join(chunks.get(b"tRNS", [])))
    if rows.shape[1] == width:
        return Decoded("L" if mode == "RGB" else mode, rows)
    return Decoded(mode, rows.reshape(height, width, channels))


def _inflate(data: bytes, height: int, stride: int) -> tuple[Bytes, NDArray[np.intp], Bytes] | None:
    """The filter of each row, the indices of the rows that are not empty, and their bytes; None if the length is wrong.

    Data is inflated in blocks that are discarded: touching new memory would take most of the time.
    """
    filters, nonempty, residuals = np.empty(height, np.uint8), [], []
    step = max(1, _BLOCK // (stride + 1), height // 8)
    stream = zlib_ng.decompressobj()
    for top in range(0, height, step):
        rows = min(step, height - top)
        size = rows * (stride + 1)
        try:
            # The last block asks for one byte more, so that the end of the stream is read.
            inflated = stream.decompress(data, size + (top + rows == height))
        except _InflateError as error:
            raise ValueError(f"its pixels cannot be inflated: {error}") from error
        if len(inflated) != size:
            return None
        data = stream.unconsumed_tail
        block = np.frombuffer(inflated, np.uint8).reshape(rows, stride + 1)
        filters[top : top + rows] = block[:, 0]
        rows_with_data = np.flatnonzero(np.bitwise_or.reduce(block[:, 1:], axis=1))
        nonempty.append(rows_with_data + top)
        residuals.append(block[rows_with_data, 1:])
    if not stream.eof or stream.unused_data:
        return None
    return filters, np.concatenate(nonempty), np.concatenate(residuals)


# --------------------------------------------------------------------------------------------------------------- filters


def _unfilter(
    filters: Bytes, nonempty: NDArray[np.intp], residuals: Bytes, channels: int, *, one_grey: bool
) -> Bytes | None:
    """Undo the filters of the rows that :func:`_inflate` returns.

    With ``one_grey``, three equal channels are returned as one. None if Pillow would be faster.
    """
    if int(filters.max()) > _PAETH:
        raise ValueError(f"it has a row of filter {int(filters.max())}; there are 0 to {_PAETH}")
    if one_grey:
        pixels = residuals.reshape(len(nonempty), residuals.shape[1] // channels, channels)
        first = pixels[..., 0]
        if np.array_equal(first, pixels[..., 1]) and np.array_equal(first, pixels[..., 2]):
            residuals, channels = np.ascontiguousarray(first), 1
    rows = np.zeros((len(filters), residuals.shape[1]), np.uint8)
    if not len(nonempty):
        return rows
    kinds = filters[nonempty]
    plain = kinds == _NONE
    if plain.any():
        rows[nonempty[plain]] = residuals[plain]
    sub = kinds == _SUB
    if sub.any():
        rows[nonempty[sub]] = _undo_sub(residuals[sub], channels)
    return rows if _undo_vertical(rows, filters, nonempty, residuals, channels) else None


def _undo_sub(residuals: Bytes, channels: int) -> Bytes:
    """Undo the filter Sub: each pixel is stored as the difference to its left neighbour."""
    pixels = residuals.reshape(len(residuals), -1, channels)
    return np.cumsum(pixels, axis=1, dtype=np.uint8).reshape(residuals.shape)


def _undo_vertical(rows: Bytes, filters: Bytes, nonempty: NDArray[np.intp], residuals: Bytes, channels: int) -> bool:
    """Undo, from the top, the filters that depend on the row above; false if Pillow would be faster."""
    if not (filters >= _UP).any():
        return True
    kinds, last = filters.tolist(), int(nonempty[-1])
    row_residuals = dict(zip(nonempty.tolist(), residuals, strict=True))
    zeros = np.zeros(rows.shape[1], np.uint8)
    upper: Bytes | None = None  # the row above, unless it is empty
    slow = 0
    for y in range(int(nonempty[0]), len(rows)):
        kind, residual = kinds[y], row_residuals.get(y)
        if residual is None and upper is None:
            if y > last:
                break
            continue
        row = rows[y]
        if kind < _UP:
            upper = None if residual is None else row
            continue
        residual, above = zeros if residual is None else residual, zeros if upper is None else upper
        if residual is zeros and kind != _AVERAGE:
            row[:] = above
        elif kind == _UP:
            np.add(residual, above, row)
        else:
            flat = _undo_flat_paeth(residual, above) if kind == _PAETH and channels == 1 else None
            if flat is None:
                slow += len(zeros)
                if slow > _MAX_SLOW:
                    return False
                undo = _undo_paeth if kind == _PAETH else _undo_average
                row[:] = undo(residual.tolist(), above.tolist(), channels)
            else:
                row[:] = flat
        upper = row
    return True


def _undo_flat_paeth(residual: Bytes, above: Bytes) -> Bytes | None:
    """Undo a grey Paeth row if it and the row above hold only 0 and one other value; else None.

    With two values the predictor is the upper pixel where that differs from the upper left one, else the left pixel. So a row
    consists of running sums that restart below every edge. If the result has only two values, every pixel was predicted
    correctly from those before it.
    """
    edges = (above[1:] != above[:-1]).nonzero()[0]
    sums = residual.cumsum(dtype=np.uint8)
    starts, ends = np.empty(len(edges) + 1, np.intp), np.empty(len(edges) + 1, np.intp)
    starts[0], ends[-1] = 0, len(sums)
    starts[1:] = ends[:-1] = edges + 1
    offsets = above[starts]
    offsets[1:] -= sums[edges]
    row: Bytes = sums + offsets.repeat(ends - starts)
    value = max(row.max(), above.max())
    flat = ((row == 0) | (row == value)).all() and ((above == 0) | (above == value)).all()
    return row if flat else None


def _undo_average(residual: list[int], above: list[int], channels: int) -> list[int]:
    row = [0] * channels
    for value, up in zip(residual, above, strict=True):
        row.append((value + (row[-channels] + up) // 2) & 255)
    return row[channels:]


def _undo_paeth(residual: list[int], above: list[int], channels: int) -> list[int]:
    row = [0] * channels
    for value, up, corner in zip(residual, above, [0] * channels + above, strict=False):
        left = row[-channels]
        to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
        nearest = up if to_up <= to_corner else corner
        if to_left <= to_up and to_left <= to_corner:
            nearest = left
        row.append((value + nearest) & 255)
    return row[channels:]


# -------------------------------------------------------------------------------------------------------------- encoding


def encode(pixels: Bytes, *, palette: bytes = b"") -> bytes:
    """Encode a flat picture as PNG.

    Parameters
    ----------
    pixels : (H, W) uint8 array
        Grey values, or indices of the palette.
    palette : bytes
        RGB triples; if given, a palette picture is written.

    Returns
    -------
    bytes
        Content of the file.

    Notes
    -----
    Uses no filter and the run-length strategy of zlib: for label maps of faces the files are smaller than with the usual
    settings and are written in a fraction of the time.
    """
    height, width = pixels.shape
    filtered = np.zeros((height, width + 1), np.uint8)
    filtered[:, 1:] = pixels
    compressor = zlib_ng.compressobj(6, zlib_ng.DEFLATED, 15, 9, zlib_ng.Z_RLE)
    compressed = compressor.compress(filtered) + compressor.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 3 if palette else 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"PLTE", palette), (b"IDAT", compressed), (b"IEND", b"")]
    return SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks if content or kind == b"IEND")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib_ng.crc32(kind + content))
