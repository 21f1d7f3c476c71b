"""Pictures: strict reading, the kinds that are refused, sizes, and writing."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesynth import decoding, images
from facesynth.errors import OutputError, PictureError, WrongKindError
from facesynth.labels import CELEBAMASK_HQ, SCHEMES, LabelScheme, remap

from .trees import contents

RNG = np.random.default_rng(0)
PHOTO = np.repeat(np.repeat(RNG.integers(0, 256, (6, 8, 3), np.uint8), 8, 0), 8, 1)
LABELS = RNG.integers(0, 19, (12, 16), np.uint8)
MASK = RNG.random((12, 16)) < 0.5


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def saved(path: Path, picture: Image.Image | np.ndarray, **options: object) -> Path:
    picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    picture.save(path, **options)
    return path


def palette(indices: np.ndarray, colours: list[int]) -> Image.Image:
    picture = Image.fromarray(indices, "L").copy()
    picture.putpalette(colours)
    return picture


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.1, 0.3, 0.5, 0.8, 0.9, 0.95])
def test_truncated_pictures_are_refused(tmp_path: Path, kind: str, share: float) -> None:
    whole = encoded(Image.fromarray(RNG.integers(0, 256, PHOTO.shape, np.uint8)), kind)
    path = tmp_path / "cut.img"
    path.write_bytes(whole)
    assert images.read_photo(path).shape == PHOTO.shape
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(PictureError) as raised:
        images.read_photo(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_damaged_pictures_raise_nothing_else(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x8769] = 6, "a description", {0x9003: "2020:01:01"}
    whole = encoded(Image.fromarray(PHOTO), kind, **({"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}))
    rng, refused = np.random.default_rng(1), 0
    for _ in range(300):
        damaged = bytearray(whole)
        for at in rng.integers(0, min(len(whole), 400), 3):
            damaged[at] = rng.integers(256)
        try:
            images.to_rgb(images.decode(bytes(damaged), Path("damaged")))
        except PictureError:
            refused += 1
    assert refused


@pytest.mark.parametrize("content", [b"", b"not a picture at all\n", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.png"
    path.write_bytes(content)
    with pytest.raises(PictureError, match=r"notes\.png (is not a picture|cannot be decoded)"):
        images.read_photo(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"cannot read .*absent"):
        images.read_photo(tmp_path / "absent")
    with pytest.raises(PictureError, match="cannot read"):
        images.read_photo(tmp_path)


@pytest.mark.parametrize("side", [12_000, 60_000])
def test_decompression_bomb_is_refused_by_its_header(side: int) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(PictureError, match=r"bomb\.png is too large"):
        images.decode(bomb, Path("bomb.png"))


# --- kinds ---


@pytest.mark.parametrize(
    "make",
    [
        lambda: Image.fromarray(LABELS),
        lambda: palette(LABELS, list(range(57))),
        lambda: Image.fromarray(LABELS.astype(np.uint16)),
    ],
    ids=["grey", "palette", "16 bits"],
)
def test_label_map_is_read_as_ids(tmp_path: Path, make) -> None:
    np.testing.assert_array_equal(images.read_labels(saved(tmp_path / "a.png", make()), CELEBAMASK_HQ), LABELS)


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (images.colourise(LABELS, CELEBAMASK_HQ), "is a RGB picture; a label map is an 8-bit grey or palette"),
        (np.array([[3, 19]], np.uint8), r"holds the value 19; .* 0 to 18"),
        (LABELS.astype(np.uint16) * 257, "is a I;16 picture; a label map is an 8-bit grey or palette"),
        (MASK, "is a 1 picture"),
    ],
    ids=["colours", "id too high", "16 bits", "1 bit"],
)
def test_what_is_no_label_map(tmp_path: Path, picture: np.ndarray, reason: str) -> None:
    with pytest.raises(WrongKindError, match=reason):
        images.read_labels(saved(tmp_path / "a.png", picture), CELEBAMASK_HQ)


def test_transparent_sketch_lies_on_white(tmp_path: Path) -> None:
    drawing = np.zeros((4, 5, 4), np.uint8)
    drawing[1, :, 3] = 255
    drawing[2, :, 3] = 128
    read = images.read_sketch(saved(tmp_path / "a.png", drawing))
    assert read.dtype == np.uint8
    np.testing.assert_allclose(read[:, 0], [255, 0, 127, 255], atol=1)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_black_and_white_sketch_in_any_mode(tmp_path: Path, mode: str) -> None:
    grey = MASK.astype(np.uint8) * 255
    if mode == "I;16":
        picture = Image.fromarray(MASK.astype(np.uint16) * 65535)
    elif mode == "P":
        picture = palette(MASK.astype(np.uint8), [0, 0, 0, 255, 255, 255])
    else:
        picture = Image.fromarray(grey).convert(mode)
    np.testing.assert_array_equal(images.read_sketch(saved(tmp_path / "a.png", picture)), grey)


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(LABELS),
        palette(LABELS, np.array(CELEBAMASK_HQ.colours).ravel().tolist()),
        palette(LABELS, np.arange(19).repeat(3).tolist()),
    ],
    ids=["grey", "palette of colours", "palette of greys"],
)
def test_label_map_is_no_sketch(tmp_path: Path, picture: Image.Image) -> None:
    with pytest.raises(WrongKindError, match="that is a label map"):
        images.read_sketch(saved(tmp_path / "a.png", picture))


def test_grey_of_16_bits_is_scaled(tmp_path: Path) -> None:
    grey = np.array([[0, 257 * 10, 257 * 128, 65535]], np.uint16)
    path = saved(tmp_path / "a.png", grey)
    assert images.read_sketch(path).tolist() == [[0, 10, 128, 255]]
    assert images.read_photo(path)[0, :, 1].tolist() == [0, 10, 128, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photo_is_turned_upright(tmp_path: Path, orientation: int) -> None:
    turned = {
        1: PHOTO,
        2: PHOTO[:, ::-1],
        3: PHOTO[::-1, ::-1],
        4: PHOTO[::-1],
        5: PHOTO.swapaxes(0, 1),
        6: np.rot90(PHOTO, 1),
        7: PHOTO[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(PHOTO, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.png", np.ascontiguousarray(turned), exif=exif)
    np.testing.assert_array_equal(images.read_photo(path), PHOTO)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
def test_part_mask_in_any_mode(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(MASK.astype(np.uint8) * 255).convert(mode)
    read = images.read_part_mask(saved(tmp_path / "a.png", picture))
    assert read.dtype == np.bool_
    np.testing.assert_array_equal(read, MASK)


def test_part_mask_of_a_palette_with_transparency(tmp_path: Path) -> None:
    picture = palette(MASK.astype(np.uint8), [0, 0, 0, 255, 255, 255])
    path = saved(tmp_path / "a.png", picture, transparency=bytes([200, 255]))
    np.testing.assert_array_equal(images.read_part_mask(path), MASK)


def encoded_mask(form: str) -> Image.Image:
    """MASK in one of the forms in which part masks circulate."""
    grey = MASK.astype(np.uint8) * 255
    ink = np.zeros((*MASK.shape, 4), np.uint8)
    ink[..., 3] = grey
    on_ground = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    paint = np.dstack([grey, np.zeros_like(grey), np.zeros_like(grey)])
    return {
        "RGBA, opaque": lambda: Image.fromarray(on_ground),
        "RGBA, see-through throughout": lambda: Image.fromarray(np.dstack([grey, grey, grey, np.zeros_like(grey)])),
        "RGBA, black ink": lambda: Image.fromarray(ink),
        "RGBA, white ink": lambda: Image.fromarray(ink | np.array([255, 255, 255, 0], np.uint8)),
        "RGBA, white and black with a clear edge": lambda: Image.fromarray(
            np.where(np.arange(16)[None, :, None] == 15, np.uint8(0), on_ground)
        ),
        "0 and 1": lambda: Image.fromarray(MASK.astype(np.uint8)),
        "RGB, 0 and 1": lambda: Image.fromarray(MASK.astype(np.uint8)[..., None].repeat(3, 2)),
        "16 bits": lambda: Image.fromarray(MASK.astype(np.uint16) * 65535),
        "16 bits, 0 and 255": lambda: Image.fromarray(MASK.astype(np.uint16) * 255),
        "16 bits, 0 and 1": lambda: Image.fromarray(MASK.astype(np.uint16)),
        "grey on black": lambda: Image.fromarray(MASK.astype(np.uint8) * 100),
        "blue on black": lambda: Image.fromarray(paint[..., ::-1] // 10),
        "palette of 0 and 1": lambda: palette(MASK.astype(np.uint8), [0, 0, 0, 1, 1, 1]),
        "palette, turned round": lambda: palette((~MASK).astype(np.uint8), [255, 255, 255, 0, 0, 0]),
    }[form]()


FORMS = [
    *("RGBA, opaque", "RGBA, see-through throughout", "RGBA, black ink", "RGBA, white ink"),
    *("RGBA, white and black with a clear edge", "0 and 1", "RGB, 0 and 1", "16 bits", "16 bits, 0 and 255"),
    *("16 bits, 0 and 1", "grey on black", "blue on black", "palette of 0 and 1", "palette, turned round"),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_part_mask_in_every_form(form: str, kind: str) -> None:
    mask, greys = images.to_part_mask(encoded(encoded_mask(form), kind), Path("a"))
    expected = MASK & (np.arange(16) < 15) if "edge" in form else MASK
    np.testing.assert_array_equal(mask, expected)
    assert (mask.dtype, greys) == (np.bool_, 0)


@pytest.mark.parametrize("value", [0, 1, 255, 65535])
def test_part_mask_of_one_value(value: int) -> None:
    pixels = np.full((4, 5), value, np.uint8 if value < 256 else np.uint16)
    mask, greys = images.to_part_mask(encoded(Image.fromarray(pixels), "PNG"), Path("a"))
    assert (mask.tolist(), greys) == (np.full((4, 5), value > 0).tolist(), 0)


@pytest.mark.parametrize("white", [255, 200])
def test_part_mask_with_greys_is_cut_at_half_of_its_white(white: int) -> None:
    pixels = np.array([[0, 5, white // 2 - 5, white // 2 + 5, white - 5, white]], np.uint8)
    mask, greys = images.to_part_mask(encoded(Image.fromarray(pixels), "PNG"), Path("a"))
    assert mask.tolist() == [[False, False, False, True, True, True]]
    assert greys == 2


def test_part_mask_that_was_a_jpeg() -> None:
    y, x = np.indices((64, 64))
    circle = (y - 30) ** 2 + (x - 30) ** 2 < 300
    mask, greys = images.to_part_mask(encoded(Image.fromarray(circle.astype(np.uint8) * 255), "JPEG"), Path("a"))
    assert np.count_nonzero(mask != circle) < 10
    assert greys > 0
    noise = np.random.default_rng(0).integers(0, 8, (64, 64), np.uint8)
    mask, greys = images.to_part_mask(encoded(Image.fromarray(noise), "PNG"), Path("a"))
    assert (mask.any(), greys) == (np.False_, 0)


def test_damaged_png_is_no_picture(tmp_path: Path) -> None:
    whole = encoded(Image.fromarray(PHOTO), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:])
    for read in (images.read_photo, images.read_part_mask, images.read_sketch):
        with pytest.raises(PictureError, match=r"a\.png cannot be decoded: the checksum of its 'IDAT' chunk"):
            read(path)


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16", "LA"])
def test_damaged_png_is_never_another_picture(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(MASK.astype(np.uint8) * 255)
    whole = encoded(Image.fromarray(MASK.astype(np.uint16) * 65535) if mode == "I;16" else grey.convert(mode), "PNG")
    rng, refused = np.random.default_rng(2), 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.integers(8, len(whole))] ^= 1 << rng.integers(8)
        damaged = damaged[: rng.integers(8, len(whole))] if rng.random() < 0.3 else damaged
        try:
            mask, greys = images.to_part_mask(bytes(damaged), Path("a"))
        except PictureError:
            refused += 1
        else:
            assert greys == 0
            np.testing.assert_array_equal(mask, MASK)
    assert refused > 200


# --- label maps by their colours ---


COLOURS = np.array(CELEBAMASK_HQ.colours, np.uint8)


@pytest.mark.parametrize("in_colours", [False, True])
def test_written_label_map(tmp_path: Path, in_colours: bool) -> None:
    path = tmp_path / "a.png"
    data = images.write_labels(path, LABELS, CELEBAMASK_HQ, palette=in_colours)
    assert contents(tmp_path) == {"a.png": data}
    np.testing.assert_array_equal(images.read_labels(path, CELEBAMASK_HQ), LABELS)
    with Image.open(path) as picture:
        assert picture.mode == ("P" if in_colours else "L")
        np.testing.assert_array_equal(np.asarray(picture), LABELS)
        if in_colours:
            np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), COLOURS[LABELS])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_palette_of_another_order_is_read_by_its_colours(tmp_path: Path, scheme: str) -> None:
    images.write_labels(tmp_path / "a.png", LABELS, CELEBAMASK_HQ, palette=True)
    expected = remap(LABELS, CELEBAMASK_HQ, SCHEMES[scheme])
    np.testing.assert_array_equal(images.read_labels(tmp_path / "a.png", SCHEMES[scheme]), expected)


def test_palette_of_an_optimiser_keeps_the_ids(tmp_path: Path) -> None:
    used, indices = np.unique(LABELS, return_inverse=True)
    packed = palette(indices[..., ::-1].reshape(LABELS.shape).astype(np.uint8), used.repeat(3).tolist())
    path = saved(tmp_path / "a.png", packed)
    np.testing.assert_array_equal(images.read_labels(path, CELEBAMASK_HQ), used[np.asarray(packed)])


@pytest.mark.parametrize("step", [1, 13])
def test_palette_of_greys_holds_ids(tmp_path: Path, step: int) -> None:
    path = saved(tmp_path / "a.png", palette(LABELS, (np.arange(19) * step).repeat(3).tolist()))
    np.testing.assert_array_equal(images.read_labels(path, CELEBAMASK_HQ), LABELS)


def test_palette_with_an_id_too_high(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", palette(LABELS + np.uint8(10), np.arange(90).tolist()))
    with pytest.raises(WrongKindError, match="holds the value 28"):
        images.read_labels(path, CELEBAMASK_HQ)


@pytest.mark.parametrize("bits", [2, 4])
def test_shallow_grey_is_no_label_map(tmp_path: Path, bits: int) -> None:
    rows = zlib.compress(bytes([0, 0b00010001]) * 2)
    header = struct.pack(">IIBBBBB", 2, 2, bits, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )
    )
    with pytest.raises(WrongKindError, match=f"is a L;{bits} picture"):
        images.read_labels(tmp_path / "a.png", CELEBAMASK_HQ)


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA"])
def test_any_label_map(tmp_path: Path, mode: str) -> None:
    make = {"L": Image.fromarray(LABELS), "P": palette(LABELS, COLOURS.ravel().tolist())}
    picture = make.get(mode) or Image.fromarray(COLOURS[LABELS]).convert(mode)
    path = saved(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(images.read_any_labels(path, CELEBAMASK_HQ), LABELS)
    if mode.startswith("RGB"):
        with pytest.raises(WrongKindError, match="`facesynth prep remap` converts a map"):
            images.read_labels(path, CELEBAMASK_HQ)


# --- the size of a photo ---


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_is_that_of_the_photo_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(PHOTO), kind, exif=exif)
    height, width = images.to_rgb(images.decode(data, Path("a"))).shape[:2]
    assert images.photo_size(data, Path("a")) == (width, height)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_size_of_a_jpeg_in_any_mode(mode: str) -> None:
    assert images.photo_size(encoded(Image.fromarray(PHOTO).convert(mode), "JPEG"), Path("a")) == (64, 48)


@pytest.mark.parametrize("progressive", [False, True])
def test_size_is_refused_where_decoding_is(progressive: bool) -> None:
    whole = encoded(Image.fromarray(PHOTO), "JPEG", progressive=progressive, quality=95)
    for share in (0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97):
        cut = whole[: int(len(whole) * share)]
        for read in (images.decode, images.photo_size):
            with pytest.raises(PictureError, match=r"cut\.jpg (cannot be decoded|is not a picture)"):
                read(cut, Path("cut.jpg"))


def test_damaged_jpegs_are_judged_as_decoding_does() -> None:
    whole = encoded(Image.fromarray(PHOTO), "JPEG")
    rng, judged = np.random.default_rng(1), set()
    for _ in range(300):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), 2):
            damaged[at] = rng.integers(256)
        outcomes = []
        for read in (lambda data, path: decoding.upright(images.decode(data, path)).size, images.photo_size):
            try:
                outcomes.append(read(bytes(damaged), Path("a.jpg")))
            except PictureError:
                outcomes.append(None)
        assert outcomes[0] == outcomes[1]
        judged.add(outcomes[0] is None)
    assert judged == {True, False}


# --- sizes ---


@pytest.mark.parametrize("size", [(5, 7), (12, 16), (31, 30), (12, 40), (100, 3)])
def test_resized_label_map_has_no_new_ids(size: tuple[int, int]) -> None:
    labels = np.where(LABELS % 2, LABELS, 18).astype(np.uint8)
    resized = images.resize(labels, size, labels=True)
    assert resized.shape == size
    assert resized.dtype == np.uint8
    assert set(np.unique(resized)) <= set(np.unique(labels))


@pytest.mark.parametrize("factor", [2, 3])
def test_resized_label_map_is_not_shifted(factor: int) -> None:
    large = images.resize(LABELS, (12 * factor, 16 * factor), labels=True)
    np.testing.assert_array_equal(large, LABELS.repeat(factor, 0).repeat(factor, 1))
    np.testing.assert_array_equal(images.resize(large, LABELS.shape, labels=True), LABELS)


def test_shrinking_averages() -> None:
    checks = np.indices((8, 8)).sum(0).astype(np.uint8) % 2 * 200
    assert np.unique(images.resize(checks, (4, 4))).tolist() == [100]


@pytest.mark.parametrize("size", [(24, 24), (96, 128)])
def test_resized_photo_keeps_its_mean(size: tuple[int, int]) -> None:
    resized = images.resize(PHOTO, size)
    assert resized.shape == (*size, 3)
    np.testing.assert_allclose(resized.mean((0, 1)), PHOTO.mean((0, 1)), atol=1)


# --- writing ---


@pytest.mark.parametrize("array", [PHOTO, LABELS], ids=["photo", "labels"])
def test_png_comes_back(tmp_path: Path, array: np.ndarray) -> None:
    data = images.write_png(tmp_path / "a.png", array)
    assert contents(tmp_path) == {"a.png": data}
    with Image.open(tmp_path / "a.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), array)


def test_jpeg_is_close_in_every_channel() -> None:
    read = images.to_rgb(images.decode(images.encode_jpeg(PHOTO), Path("a.jpg")))
    assert np.abs(read.astype(int) - PHOTO).mean() < 3


def test_picture_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*a\.png"):
        images.write_png(tmp_path / "a.png", LABELS)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_colours_of_a_label_map() -> None:
    coloured = images.colourise(np.array([[0, 1, 18]], np.uint8), CELEBAMASK_HQ)
    assert coloured.tolist() == [[[0, 0, 0], [0xCC, 0, 0], [0, 0xCC, 0]]]


# --- what only looked right ---


def test_palette_map_of_a_grey_scheme_is_read_by_its_colours(tmp_path: Path) -> None:
    scheme = LabelScheme("cats", ("paper", "cat"), colours=((255, 255, 255), (0, 0, 0)))
    indices = np.array([[0, 1], [1, 1]], np.uint8)
    picture = Image.frombytes("P", (2, 2), indices.tobytes())
    picture.putpalette([0, 0, 0, 255, 255, 255])
    picture.save(tmp_path / "cat.png")
    np.testing.assert_array_equal(images.read_labels(tmp_path / "cat.png", scheme), 1 - indices)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_part_mask_on_a_ground_of_a_transparent_colour(tmp_path: Path, mode: str) -> None:
    shape = np.zeros((16, 16), bool)
    shape[4:9, 3:12] = True
    picture = Image.fromarray(np.where(shape, 0, 255).astype(np.uint8)).convert(mode)
    picture.save(tmp_path / "hair.png", transparency=(255, 255, 255) if mode == "RGB" else 255)
    np.testing.assert_array_equal(images.read_part_mask(tmp_path / "hair.png"), shape)


def test_what_libtiff_says_is_not_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    picture.save(tmp_path / "a.tiff", compression="tiff_lzw")
    data = bytearray((tmp_path / "a.tiff").read_bytes())
    refused = 0
    for place in range(8, len(data), 97):
        (tmp_path / "b.tiff").write_bytes(bytes(data[:place]) + b"\xff\x00\xff" + bytes(data[place + 3 :]))
        try:
            images.read_photo(tmp_path / "b.tiff")
        except PictureError:
            refused += 1
    assert refused > 10
    assert capfd.readouterr() == ("", "")
