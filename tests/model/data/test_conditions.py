from __future__ import annotations

import os
import socket
import tracemalloc

import cv2
import numpy as np
import pytest
from PIL import Image

from facesynth import images
from facesynth.errors import InputError, PictureError, WrongKindError
from facesynth.labels import CELEBAMASK_HQ
from facesynth.model.data.conditions import (
    INVERTED,
    ON_GLASS,
    SketchReading,
    is_inverted,
    read_condition,
)
from facesynth.paper import LEVELLED


def read(source, kind, size=64):
    condition = read_condition(source, kind, CELEBAMASK_HQ, size)
    return condition.pixels, condition.note


def drawing(size: int = 64, width: int = 1) -> np.ndarray:
    """A face of lines on white."""
    paper = np.full((size, size), 255, np.uint8)
    scale = size / 64
    cv2.ellipse(paper, (size // 2, size // 2), (int(20 * scale), int(26 * scale)), 0, 0, 360, 0, width)
    for x in (24, 40):
        cv2.circle(paper, (int(x * scale), int(26 * scale)), int(4 * scale), 0, width)
    cv2.line(paper, (int(24 * scale), int(44 * scale)), (int(40 * scale), int(44 * scale)), 0, width)
    return paper


def saved(tmp_path, picture: Image.Image, name: str = "a.png"):
    picture.save(tmp_path / name)
    return tmp_path / name


# ------------------------------------------------------------------------------------------------------------- label maps


def labels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 19, (64, 64), np.uint8)


@pytest.mark.parametrize("given", ["grey", "palette", "rgb", "rgba"])
@pytest.mark.parametrize("way", ["file", "picture", "array"])
def test_label_maps_of_ids_or_colours(tmp_path, given, way):
    ids = labels()
    colours = images.colourise(ids, CELEBAMASK_HQ)
    picture = Image.fromarray(ids)
    if given == "palette":
        picture = Image.frombytes("P", picture.size, ids.tobytes())
        picture.putpalette(np.array(CELEBAMASK_HQ.colours, np.uint8).tobytes())
    elif given != "grey":
        picture = Image.fromarray(colours).convert(given.upper())
    source = {"file": saved(tmp_path, picture), "picture": picture, "array": np.asarray(picture)}[way]
    array, note = read(source, "labels")
    np.testing.assert_array_equal(array, ids)
    assert note == ""


@pytest.mark.parametrize("way", ["file", "picture"])
@pytest.mark.parametrize(
    ("picture", "says"),
    [
        (Image.new("RGB", (8, 8), (1, 2, 3)), r"64 of 64 pixels in colours of no class .*#010203"),
        (Image.new("L", (8, 8), 19), "holds the value 19"),
        (Image.new("RGBA", (8, 8), (204, 0, 0, 100)), "transparent|RGBA picture"),
    ],
)
def test_what_is_no_label_map(tmp_path, way, picture, says):
    with pytest.raises(WrongKindError, match=says):
        read(saved(tmp_path, picture) if way == "file" else picture, "labels")


def test_label_maps_keep_their_ids_when_resized():
    ids = labels()
    array, _ = read(ids, "labels", size=32)
    assert set(np.unique(array)) <= set(np.unique(ids))
    wide, _ = read(np.full((10, 30), 1, np.uint8), "labels", size=30)
    assert (wide[:10].max(), wide[10:20].min(), wide[20:].max()) == (0, 1, 0)


# --------------------------------------------------------------------------------------------------------------- sketches


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "P", "I;16"])
def test_sketches_of_any_mode(tmp_path, mode):
    lines = drawing()
    picture = Image.fromarray(lines.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(lines).convert(mode)
    array, note = read(saved(tmp_path, picture), "sketch")
    np.testing.assert_array_equal(array, lines)
    assert note == ""


def test_dark_lines_on_transparent_paper_are_on_white():
    lines = drawing()
    glass = np.dstack([np.zeros((64, 64, 3), np.uint8), 255 - lines])
    array, note = read(glass, "sketch")
    np.testing.assert_array_equal(array, lines)
    assert note == ""


def test_light_lines_on_transparent_paper_are_turned_round():
    lines = drawing()
    glass = np.dstack([np.full((64, 64, 3), 255, np.uint8), 255 - lines])
    array, note = read(glass, "sketch")
    np.testing.assert_array_equal(array, lines)
    assert note == ON_GLASS


@pytest.mark.parametrize("size", [64, 256, 1000])
@pytest.mark.parametrize("share", [1 / 100, 1 / 25])
def test_light_lines_on_dark_are_turned_round(size, share):
    lines = drawing(size, max(1, round(size * share)))
    array, note = read(255 - lines, "sketch", size=size)
    np.testing.assert_array_equal(array, lines)
    assert note == INVERTED
    assert read(lines, "sketch", size=size)[1] == ""


def test_a_light_face_before_a_dark_background_stays():
    sketch = np.zeros((128, 128), np.uint8)
    cv2.ellipse(sketch, (64, 64), (28, 40), 0, 0, 360, 255, -1)
    cv2.line(sketch, (50, 80), (78, 80), 0, 2)
    assert sketch.mean() < 100
    assert not is_inverted(sketch)


@pytest.mark.parametrize("value", [0, 127, 128, 255])
def test_one_tone_is_not_inverted(value):
    assert not is_inverted(np.full((32, 32), value, np.uint8))


@pytest.mark.parametrize(
    ("tone", "inverted"), [("auto", (False, True)), ("keep", (False, False)), ("invert", (True, True))]
)
def test_the_tone_can_be_chosen(tone, inverted):
    for source, is_turned in zip((drawing(), 255 - drawing()), inverted, strict=True):
        found = read_condition(source, "sketch", CELEBAMASK_HQ, 64, sketches=SketchReading(tone=tone, paper="keep"))
        np.testing.assert_array_equal(found.pixels, 255 - source if is_turned else source)
        assert found.note == (INVERTED if is_turned else "")


def test_light_lines_on_transparent_paper_can_be_inverted_or_kept():
    lines = drawing()
    glass = np.dstack([np.full((64, 64, 3), 255, np.uint8), 255 - lines])
    for tone, wanted, note in (("invert", lines, ON_GLASS), ("keep", np.full_like(lines, 255), "")):
        found = read_condition(glass, "sketch", CELEBAMASK_HQ, 64, sketches=SketchReading(tone=tone))
        np.testing.assert_array_equal(found.pixels, wanted)
        assert found.note == note


def test_photographed_paper_is_levelled_unless_it_is_to_be_kept():
    photo = (drawing() * 0.7).astype(np.uint8)
    levelled, note = read(photo, "sketch")
    assert (note, int(levelled[2, 2])) == (LEVELLED, 255)
    kept = read_condition(photo, "sketch", CELEBAMASK_HQ, 64, sketches=SketchReading(paper="keep"))
    np.testing.assert_array_equal(kept.pixels, photo)
    board, note = read((255 - 0.8 * drawing()).astype(np.uint8), "sketch")
    assert (note, int(board[2, 2])) == (f"{INVERTED}, {LEVELLED}", 255)


@pytest.mark.parametrize("wrong", [{"tone": "dark"}, {"paper": "yes"}])
def test_a_reading_that_there_is_not(wrong):
    with pytest.raises(InputError, match=r"is '\w+'; needed: auto, keep"):
        SketchReading(**wrong)


def test_a_pencil_of_colour_will_do():
    lines = drawing()
    blue = np.dstack([lines, lines, np.full_like(lines, 255)])
    array, note = read(blue, "sketch")
    assert note == ""
    assert array[lines == 0].max() < 64
    assert array[lines == 255].min() == 255


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (np.full((16, 16), 18, np.uint8), "no value above 31: that is a label map"),
        (
            np.tile(np.array([200, 120, 90], np.uint8), (16, 16, 1)),
            "coloured over most of it: a photo or a colour-coded",
        ),
    ],
)
def test_what_is_no_sketch(source, says):
    with pytest.raises(WrongKindError, match=says):
        read(source, "sketch")


# ----------------------------------------------------------------------------------------------------------------- photos


def test_photos(tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    array, note = read(saved(tmp_path, Image.fromarray(photo)), "photo")
    np.testing.assert_array_equal(array, photo)
    assert note == ""


@pytest.mark.parametrize("source", [labels(), images.colourise(labels(), CELEBAMASK_HQ), drawing()])
def test_what_is_no_photo(source):
    with pytest.raises(WrongKindError, match=r"has \d+ colours only: a label map or a drawing; needed: a photo"):
        read(source, "photo")


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8), np.zeros(4, np.uint8)]
)
def test_arrays_of_another_kind(array):
    with pytest.raises(InputError, match=r"the picture is .*; needed: uint8 of shape \(H, W\)"):
        read(array, "sketch")


# ------------------------------------------------------------------------------------------------------- odd pictures


@pytest.mark.parametrize("shape", [(60_000, 1), (1, 300_000)])
@pytest.mark.parametrize("kind", ["labels", "sketch", "photo"])
def test_narrow_pictures(tmp_path, shape, kind):
    pixels = (
        np.zeros(shape, np.uint8) if kind == "labels" else np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    )
    path = saved(tmp_path, Image.fromarray(pixels))
    tracemalloc.start()
    array, _ = read(path, kind)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert array.shape[:2] == (64, 64)
    assert peak < 100 * pixels.size + 1_000_000


def test_lines_on_narrow_paper_are_told_as_on_square_paper():
    paper = np.full((4, 4000), 255, np.uint8)
    paper[1:3, ::50] = 0
    assert not is_inverted(paper)
    assert is_inverted(255 - paper)


@pytest.mark.parametrize("kind", ["labels", "sketch", "photo"])
@pytest.mark.parametrize("error", [AssertionError, MemoryError, RuntimeError, ValueError, cv2.error])
def test_whatever_a_decoder_raises_names_the_picture(tmp_path, monkeypatch, kind, error):
    path = saved(tmp_path, Image.fromarray(drawing()).convert("P"), "a.tif")

    def load(_: Image.Image) -> None:
        raise error

    monkeypatch.setattr("PIL.TiffImagePlugin.TiffImageFile.load", load)
    with pytest.raises(PictureError, match=rf"a\.tif cannot be decoded: {error.__name__}"):
        read(path, kind)


@pytest.mark.parametrize("kind", ["labels", "sketch", "photo"])
def test_palette_picture_without_a_palette(tmp_path, kind):
    path = saved(tmp_path, Image.fromarray(labels()).convert("P"))
    data = path.read_bytes()
    start = data.index(b"PLTE") - 4
    path.write_bytes(data[:start] + data[start + 12 + int.from_bytes(data[start : start + 4], "big") :])
    with pytest.raises(PictureError, match=r"a\.png"):
        read(path, kind)


@pytest.mark.parametrize("what", ["pipe", "device", "folder", "socket"])
def test_only_regular_files_are_opened(tmp_path, what):
    path = tmp_path / "a.png"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(os.path.relpath(path))
    with pytest.raises(PictureError, match=f"cannot read .*it is a {what}; needed: a regular file"):
        read(path, "labels")
