"""The PNG codec: what it decodes is what Pillow decodes, and what is damaged is never taken for a picture."""

from __future__ import annotations

import io
import itertools
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from facesynth import _png

QUICK = settings(
    max_examples=300, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4, "P": 1, "1": 1}
COLOUR = {"L": 0, "RGB": 2, "RGBA": 6, "P": 3, "1": 0, "P1": 3}
PALETTE = bytes(range(256)) * 3


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def filtered(rows: np.ndarray, kinds: np.ndarray, bpp: int) -> bytes:
    """Rows of bytes, each with one of the filters 0 to 4, as the specification defines them."""
    height, stride = rows.shape
    padded = np.zeros((height + 1, stride + bpp), int)
    padded[1:, bpp:] = rows
    left, above, corner = padded[1:, :stride], padded[:-1, bpp:], padded[:-1, :stride]
    guess = left + above - corner
    distances = np.stack([abs(guess - left), abs(guess - above), abs(guess - corner)])
    paeth = np.choose(distances.argmin(axis=0), [left, above, corner])
    predicted = [np.zeros_like(left), left, above, (left + above) // 2, paeth]
    return b"".join(
        bytes([kind]) + ((rows[y].astype(int) - predicted[kind][y]) & 255).astype(np.uint8).tobytes()
        for y, kind in enumerate(kinds.tolist())
    )


def png(rows: np.ndarray, kinds: np.ndarray, mode: str, width: int, *, more: bytes = b"", pieces: int = 1) -> bytes:
    """A PNG of packed rows."""
    depth = 1 if mode in ("1", "P1") else 8
    header = struct.pack(">IIBBBBB", width, len(rows), depth, COLOUR[mode], 0, 0, 0)
    packed = zlib.compress(filtered(rows, kinds, CHANNELS.get(mode, 1)))
    cuts = [len(packed) * number // pieces for number in range(pieces + 1)]
    data = b"".join(chunk(b"IDAT", packed[start:end]) for start, end in itertools.pairwise(cuts))
    colours = chunk(b"PLTE", PALETTE if mode == "P" else PALETTE[:6]) if mode in ("P", "P1") else b""
    return _png.SIGNATURE + chunk(b"IHDR", header) + colours + more + data + chunk(b"IEND", b"")


@st.composite
def pictures(draw: st.DrawFn) -> tuple[bytes, str]:
    mode = draw(st.sampled_from(["L", "RGB", "RGBA", "P", "1", "P1"]))
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 20))
    stride = (width + 7) // 8 if mode in ("1", "P1") else width * CHANNELS[mode]
    values = draw(
        st.sampled_from([st.integers(0, 255), st.sampled_from([0, 255]), st.sampled_from([0, 1]), st.just(0)])
    )
    rows = draw(hnp.arrays(np.uint8, (height, stride), elements=values))
    if mode == "RGB" and draw(st.booleans()):
        rows = rows[:, ::3].repeat(3, axis=1)
    kinds = draw(hnp.arrays(np.uint8, height, elements=st.integers(0, 4)))
    return png(rows, kinds, mode, width, pieces=draw(st.integers(1, 3))), mode


def pillow(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


@pytest.mark.slow
@QUICK
@given(pictures(), st.booleans())
def test_decodes_as_pillow_does(made: tuple[bytes, str], one_grey: bool) -> None:
    data, _ = made
    decoded, expected = _png.decode(data, one_grey=one_grey), pillow(data)
    assert decoded is not None
    pixels = np.asarray(expected)
    if one_grey and expected.mode == "RGB" and (np.ptp(pixels, axis=2) == 0).all():
        assert decoded.mode == "L"
        pixels = pixels[..., 0]
    else:
        assert decoded.mode == expected.mode
    np.testing.assert_array_equal(decoded.pixels, pixels)
    if expected.mode == "P":
        assert decoded.palette == bytes(expected.getpalette())


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_masks_of_one_filter(kind: int, mode: str) -> None:
    y, x = np.indices((60, 90))
    mask = ((y - 30) ** 2 + (x - 40) ** 2 < 500) | ((y == 50) & (x > 70))
    rows = (mask * np.uint8(255)).repeat(CHANNELS[mode], axis=1)
    data = png(rows, np.full(60, kind), mode, 90)
    decoded = _png.decode(data, one_grey=True)
    assert decoded is not None
    np.testing.assert_array_equal(decoded.pixels, mask * 255)


def test_many_slow_rows_are_left_to_pillow() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)
    assert _png.decode(png(rows, np.full(200, 3), "L", 200)) is None
    np.testing.assert_array_equal(_png.decode(png(rows, np.full(200, 2), "L", 200)).pixels, rows)


def test_more_than_one_block() -> None:
    rows = np.zeros((1500, 900), np.uint8)
    rows[700:1499, 100:800] = 255
    kinds = np.random.default_rng(0).integers(0, 3, 1500)
    np.testing.assert_array_equal(_png.decode(png(rows, kinds, "RGB", 300)).pixels.reshape(1500, 900), rows)


# --- what it leaves to Pillow ---


def saved(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG", **options)
    return buffer.getvalue()


ROWS = np.arange(48, dtype=np.uint8).reshape(4, 12)
PLAIN = png(ROWS, np.zeros(4, int), "L", 12)


def with_header(**fields: int) -> bytes:
    values = {
        "width": 12,
        "height": 4,
        "depth": 8,
        "colour": 0,
        "compression": 0,
        "method": 0,
        "interlaced": 0,
    } | fields
    return PLAIN[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", *values.values())) + PLAIN[33:]


@pytest.mark.parametrize(
    "data",
    {
        "16 bits": saved(ROWS.astype(np.uint16) * 300),
        "4 bits": with_header(depth=4),
        "grey and alpha": with_header(colour=4),
        "interlaced": with_header(interlaced=1),
        "another compression": with_header(compression=1),
        "fewer rows in it": with_header(height=5),
        "more rows in it": with_header(height=3),
        "enormous": with_header(width=1 << 20, height=1 << 20),
        "no pixel": with_header(width=0),
        "palette without colours": with_header(colour=3),
        "no end": PLAIN[:-12],
        "cut": PLAIN[:-20],
        "animated": PLAIN[:33] + chunk(b"acTL", bytes(8)) + PLAIN[33:],
        "unknown and needed": PLAIN[:33] + chunk(b"ABCD", b"") + PLAIN[33:],
        "text that is damaged": PLAIN[:33] + chunk(b"tEXt", b"a\0b")[:-1] + b"\0" + PLAIN[33:],
        "two headers": PLAIN[:33] + PLAIN[8:],
        "a colour that is transparent": PLAIN[:33] + chunk(b"tRNS", bytes(2)) + PLAIN[33:],
        "JPEG": b"\xff\xd8\xff",
        "signature": _png.SIGNATURE,
        "nothing": b"",
    }.items(),
    ids=lambda item: item[0],
)
def test_what_is_unusual_is_not_decoded(data: tuple[str, bytes]) -> None:
    assert _png.decode(data[1]) is None


@pytest.mark.parametrize("more", [chunk(b"tEXt", b"a\0b"), chunk(b"gAMA", bytes(4))])
def test_chunks_that_change_no_pixel(more: bytes) -> None:
    data = png(ROWS, np.zeros(4, int), "L", 12, more=more)
    np.testing.assert_array_equal(_png.decode(data).pixels, ROWS)
    np.testing.assert_array_equal(_png.decode(data + b"what comes after").pixels, ROWS)


# --- damage ---


@pytest.mark.parametrize("at", [20, 45, -13, -2])
def test_a_checksum_that_does_not_fit(at: int) -> None:
    damaged = bytearray(PLAIN)
    damaged[at] ^= 4
    for read in (_png.check, _png.decode):
        with pytest.raises(ValueError, match=r"the checksum of its '(IHDR|IDAT|IEND)' chunk does not match"):
            read(bytes(damaged))


def test_a_stream_that_is_damaged() -> None:
    packed = bytearray(zlib.compress(filtered(ROWS, np.zeros(4, int), 1)))
    for at in (0, 5, len(packed) - 1):
        damaged = packed.copy()
        damaged[at] ^= 0x55
        with pytest.raises(ValueError, match="cannot be inflated"):
            _png.decode(PLAIN[:33] + chunk(b"IDAT", bytes(damaged)) + chunk(b"IEND", b""))


def test_a_filter_that_there_is_not() -> None:
    rows = zlib.compress((b"\x05" + bytes(12)) * 4)
    with pytest.raises(ValueError, match="a row of filter 5"):
        _png.decode(PLAIN[:33] + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def test_more_pixels_than_the_header_says_are_not_inflated() -> None:
    bomb = zlib.compress(bytes(50_000_000), 9)
    assert _png.decode(PLAIN[:33] + chunk(b"IDAT", bomb) + chunk(b"IEND", b"")) is None


@pytest.mark.slow
@QUICK
@given(pictures(), st.data())
def test_damage_is_never_a_picture(made: tuple[bytes, str], data: st.DataObject) -> None:
    whole, _ = made
    expected = _png.decode(whole)
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else damaged
    try:
        decoded = _png.decode(bytes(damaged))
    except ValueError:
        return
    if decoded is not None:
        assert (decoded.mode, decoded.palette) == (expected.mode, expected.palette)
        np.testing.assert_array_equal(decoded.pixels, expected.pixels)


# --- encoding ---


@pytest.mark.slow
@QUICK
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_encoded_comes_back_from_pillow_and_from_itself(pixels: np.ndarray) -> None:
    grey, coloured = _png.encode(pixels), _png.encode(pixels, palette=PALETTE)
    assert (pillow(grey).mode, pillow(coloured).mode) == ("L", "P")
    for data in (grey, coloured):
        np.testing.assert_array_equal(np.asarray(pillow(data)), pixels)
        np.testing.assert_array_equal(_png.decode(data).pixels, pixels)
    assert bytes(pillow(coloured).getpalette()) == PALETTE


def test_a_label_map_is_small() -> None:
    y, x = np.indices((512, 512)) - 256
    labels = np.zeros((512, 512), np.uint8)
    for number, (middle, radius) in enumerate([(40, 200), (0, 150), (40, 30), (90, 25)], start=1):
        labels[(y - middle) ** 2 + (x * 1.2) ** 2 < radius**2] = number
    assert len(_png.encode(labels)) < 1.3 * len(cv2.imencode(".png", labels)[1])
