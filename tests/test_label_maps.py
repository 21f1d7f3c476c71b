"""Label maps in the forms in which they come: channels, arrays, void, lossy files, and doubts about their ids."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from facesynth.errors import InputError, PictureError, WrongKindError
from facesynth.images import Picture, encode_png
from facesynth.label_maps import LabelMap
from facesynth.labels import CELEBAMASK_HQ, get_scheme, remap, voc_colours

from .test_colour_tables import OURS, VOC, a_face, painted

FACE = a_face()
ORDERS = ("face-parsing", "celebamask-hq-older")


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def read(data: bytes, void: int | None = None, name: str = "m.png") -> LabelMap:
    return Picture(data, Path(name)).label_map(CELEBAMASK_HQ, void=void)


def kinds(found: LabelMap) -> list[str]:
    return [kind for kind, _ in found.notes]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_ids_in_equal_channels(channels: int) -> None:
    picture = np.repeat(FACE[..., None], channels, axis=2)
    if channels in (2, 4):
        picture[..., -1] = 255
    found = read(png(picture.squeeze()))
    np.testing.assert_array_equal(found.ids, FACE)
    assert found.notes == ()


@pytest.mark.parametrize("kind", ["ids", "colours"])
def test_transparent_ground_is_background(kind: str) -> None:
    shown = np.repeat(FACE[..., None], 3, axis=2) if kind == "ids" else painted(FACE, OURS)
    shown[FACE == 0] = 17  # what lies below
    picture = np.dstack([shown, np.where(FACE == 0, 0, 255).astype(np.uint8)])
    np.testing.assert_array_equal(read(png(picture)).ids, FACE)


def test_a_map_that_is_transparent_everywhere() -> None:
    with pytest.raises(WrongKindError, match="transparent everywhere"):
        read(png(np.zeros((8, 8, 4), np.uint8)))


def test_a_palette_of_another_program_in_any_order() -> None:
    order = np.random.default_rng(0).permutation(19)
    picture = Image.fromarray(np.argsort(order).astype(np.uint8)[FACE])
    picture.putpalette(np.array(list(VOC.values()), np.uint8)[order].tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    found = read(buffer.getvalue())
    np.testing.assert_array_equal(found.ids, FACE)
    assert found.notes == (("other-colours", "read in the colours of PASCAL VOC"),)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
@pytest.mark.parametrize("axes", [(), (0,), (2,)])
def test_arrays(dtype: type, axes: tuple[int, ...]) -> None:
    found = read(npy(np.expand_dims(FACE, axes).astype(dtype)), name="m.npy")
    np.testing.assert_array_equal(found.ids, FACE)
    assert found.ids.dtype == np.uint8


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((19, 8, 8), np.uint8), r"of shape \(19, 8, 8\); needed: a label map"),
        (np.zeros(8, np.uint8), r"of shape \(8,\)"),
        (np.full((8, 8), 0.5), "other numbers than whole ones"),
        (np.full((8, 8), -1), "other numbers than whole ones"),
        (np.full((8, 8), np.nan), "other numbers than whole ones"),
        (np.array([["a"]]), "<U1 of shape"),
        (np.array([[{}]]), "object of shape"),
    ],
)
def test_arrays_that_are_no_map(array: np.ndarray, says: str) -> None:
    with pytest.raises(PictureError, match=rf"^m\.npy .*{says}"):
        read(npy(array), name="m.npy")


@pytest.mark.parametrize("damage", ["cut", "header", "size"])
def test_damaged_arrays(damage: str) -> None:
    data = npy(FACE)
    data = {
        "cut": data[:-9],
        "header": data[:20] + b"\0" * 40 + data[60:],
        "size": data.replace(b"(128, 128)", b"(9999999,999999)"[:10] + b"", 1),
    }[damage]
    with pytest.raises(PictureError, match=r"^m\.npy (cannot be read|holds)"):
        read(data, name="m.npy")


def test_an_array_of_more_pixels_than_a_map_has_is_not_allocated() -> None:
    header = npy(np.zeros((1, 1), np.uint8))[:128].replace(b"(1, 1), }         ", b"(999999, 999999), }")[:128]
    with pytest.raises(PictureError, match=r"^m\.npy (cannot be read|holds)"):
        read(header, name="m.npy")


# --- void ---


def with_void(value: int) -> np.ndarray:
    picture = FACE.copy()
    picture[60:70, 5:9] = value
    return picture


@pytest.mark.parametrize("way", ["grey", "rgb", "npy", "voc"])
def test_void_becomes_background(way: str) -> None:
    void, expected = with_void(255), with_void(0)
    colours = np.zeros((256, 3), np.uint8)
    colours[:19], colours[255] = voc_colours(19), (224, 224, 192)
    data = {"grey": png(void), "rgb": png(np.dstack([void] * 3)), "npy": npy(void), "voc": png(colours[void])}[way]
    np.testing.assert_array_equal(read(data, 255).ids, expected)
    with pytest.raises(WrongKindError, match="--void 255 takes them for background"):
        read(data)


def test_void_is_no_class() -> None:
    np.testing.assert_array_equal(read(png(with_void(77)), 77).ids, with_void(0))
    for wrong in (18, -1, 256):
        with pytest.raises(InputError, match=f"void is {wrong}; needed: 19 to 255"):
            read(png(FACE), wrong)


def test_a_sketch_is_no_map_with_void() -> None:
    with pytest.raises(WrongKindError, match=r"is it a sketch or a photo\?"):
        read(png(np.where(FACE > 0, 255, 0).astype(np.uint8)))


# --- files that lose values ---


@pytest.mark.parametrize(
    ("kind", "options"), [("JPEG", {"quality": 90}), ("WEBP", {"quality": 90}), ("AVIF", {"quality": 60})]
)
def test_ids_with_lossy_compression_are_refused(kind: str, options: dict[str, int]) -> None:
    buffer = io.BytesIO()
    Image.fromarray(FACE).save(buffer, kind, **options)
    with pytest.raises(WrongKindError, match="lossy compression has changed; needed: a label map stored without loss"):
        read(buffer.getvalue())


def test_ids_in_a_lossless_webp_are_read() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.dstack([FACE] * 3)).save(buffer, "WEBP", lossless=True)
    np.testing.assert_array_equal(read(buffer.getvalue()).ids, FACE)


def test_colours_with_lossy_compression_are_read_and_counted() -> None:
    buffer = io.BytesIO()
    Image.fromarray(painted(FACE, OURS)).save(buffer, "JPEG", quality=90)
    found = read(buffer.getvalue())
    assert (found.ids == FACE).mean() > 0.97
    assert kinds(found) == ["near-colours"]
    assert "of 16384 pixels do not have a class's exact colour" in found.notes[0][1]


# --- doubts ---


@pytest.mark.parametrize("side", [96, 128, 300])
@pytest.mark.parametrize("library", ["cv2", "pillow"])
def test_interpolated_ids_are_found_and_their_classes_named(side: int, library: str) -> None:
    face = a_face(256)
    if library == "cv2":
        smoothed = cv2.resize(face, (side, side), interpolation=cv2.INTER_LINEAR)
    else:
        smoothed = np.asarray(Image.fromarray(face).resize((side, side), Image.Resampling.BILINEAR))
    found = read(encode_png(smoothed))
    assert kinds(found) == ["interpolated"]
    assert "eye_g" in found.notes[0][1]  # id 3, which the face does not have
    np.testing.assert_array_equal(found.ids, smoothed)
    assert read(encode_png(a_face(side))).notes == ()


@pytest.mark.parametrize("order", ORDERS)
def test_the_order_of_another_scheme_is_named(order: str) -> None:
    found = read(png(remap(FACE, CELEBAMASK_HQ, get_scheme(order))))
    assert kinds(found) == ["other-order"]
    assert f"`facesynth prep remap --from {order} --to celebamask-hq`" in found.notes[0][1]
    assert (
        Picture(png(remap(FACE, CELEBAMASK_HQ, get_scheme(order))), Path("m")).label_map(get_scheme(order)).notes == ()
    )


@pytest.mark.parametrize("way", ["ids", "picture"])
def test_left_and_right_exchanged_are_found(way: str) -> None:
    exchanged = np.array(CELEBAMASK_HQ.mirror, np.uint8)[FACE] if way == "ids" else FACE[:, ::-1].copy()
    found = read(png(exchanged))
    assert kinds(found) == ["exchanged"]
    assert "l_ is the person's left, on the picture's right" in found.notes[0][1]


def test_a_map_of_few_classes_tells_no_order() -> None:
    ids = np.zeros((64, 64), np.uint8)
    ids[10:50, 10:50], ids[20:24, 20:24] = 17, 4
    assert read(png(ids)).notes == ()
