from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from facesynth import images, kinds
from facesynth.errors import PictureError
from facesynth.images import Picture
from facesynth.kinds import recognise
from facesynth.labels import CELEBAMASK_HQ, LabelScheme, numbered_scheme

from .looks import face, face_map, photo


def recognised(picture: Image.Image | np.ndarray, kind: str = "PNG", **options):
    file = io.BytesIO()
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(file, kind, **options)
    return recognise(Picture(file.getvalue(), Path("a")))


def few(picture: np.ndarray, colours: int) -> Image.Image:
    return Image.fromarray(picture).convert("RGB").quantize(colours)


SKETCHES = {
    "grey": (face(), "PNG"),
    "small": (face(96), "PNG"),
    "RGBA": (Image.fromarray(face()).convert("RGBA"), "PNG"),
    "one bit": (Image.fromarray(face()).convert("1"), "PNG"),
    "2 colours": (few(face(), 2), "PNG"),
    "12 colours": (few(face(), 12), "PNG"),
    "16 colours of a GIF": (few(face(), 16), "GIF"),
    "blue ink": (few(np.dstack([face(), face() // 2 + 128, face() // 8 + 223]), 12), "PNG"),
    "12 of 16 bits": (face().astype(np.uint16) * 16, "TIFF"),
    "floats": (face().astype(np.float32) / 255, "TIFF"),
    "JPEG": (face(), "JPEG"),
    "light on dark": (255 - face(), "PNG"),
    "grey paper": ((face() * np.linspace(0.9, 0.6, 256)).astype(np.uint8), "JPEG"),
}


@pytest.mark.parametrize("name", SKETCHES)
def test_sketches_in_every_mode_of_files(name):
    found = recognised(*SKETCHES[name])
    assert found.kind == "sketch", found
    assert "lines" in found.reason


def indexed(colours: np.ndarray) -> Image.Image:
    picture = Image.fromarray(face_map())
    picture.putpalette(np.asarray(colours, np.uint8).tobytes())
    return picture


OWN = np.array(CELEBAMASK_HQ.colours, np.uint8)
VOC = np.array(numbered_scheme(19).colours, np.uint8)
OTHER = np.random.default_rng(5).permutation(
    np.array([[r, g, b] for r in (20, 120, 230) for g in (30, 130, 220) for b in (40, 140, 240)], np.uint8)
)
LABELS = {
    "ids": (face_map(), "class ids 0 to 18"),
    "ids, 16 bits": (face_map().astype(np.uint16), "class ids 0 to 18"),
    "ids in equal channels": (np.dstack([face_map()] * 3), "class ids 0 to 18"),
    "ids, opaque": (np.dstack([*[face_map()] * 3, np.full((256, 256), 255, np.uint8)]), "class ids 0 to 18"),
    "ids, grey palette": (indexed(np.repeat(np.arange(256)[:, None], 3, axis=1)), "class ids 0 to 18"),
    "void": (np.where(np.arange(256) % 64 < 2, 255, face_map()).astype(np.uint8), "255 for no class"),
    "ids of another scheme": (face_map() + np.uint8(10) * (face_map() > 0), "no value above 28"),
    "colours": (OWN[face_map()], "100% of it in the colours of celebamask-hq"),
    "palette": (indexed(OWN), "colours of celebamask-hq"),
    "colours, smooth": (cv2.resize(OWN[face_map()], (300, 300), interpolation=cv2.INTER_CUBIC), "celebamask-hq"),
    "VOC": (VOC[face_map()], "100% of it in the colours of PASCAL VOC"),
    "VOC palette": (indexed(VOC), "PASCAL VOC"),
    "unknown colours": (OTHER[face_map()], "areas of one colour"),
    "unknown palette": (indexed(OTHER), "areas of one colour"),
}


def array_file(array: np.ndarray) -> Picture:
    file = io.BytesIO()
    np.save(file, array)
    return Picture(file.getvalue(), Path("a.npy"))


def test_an_array_is_a_label_map_or_nothing():
    assert recognise(array_file(face_map().astype(np.int64))).kind == "labels"
    with pytest.raises(PictureError, match=r"a\.npy holds float32 of shape \(18, 512\)|holds other numbers than whole"):
        recognise(array_file(np.full((18, 512), 0.5, np.float32)))


@pytest.mark.parametrize("name", LABELS)
def test_label_maps_in_ids_and_colours(name):
    picture, reason = LABELS[name]
    found = recognised(picture)
    assert found.kind == "labels", found
    assert reason in found.reason


def test_label_maps_of_a_scheme_with_other_colours():
    pair = LabelScheme("two", ("none", "face"), ((0, 0, 0), (255, 255, 255)))
    assert recognise(Picture.of((face_map() > 0).astype(np.uint8)), pair).reason == "class ids 0 to 1 in areas"
    assert recognised(OWN[face_map()], "JPEG", quality=80).kind == "labels"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda rgb: rgb, "PNG"),
        (lambda rgb: rgb, "JPEG"),
        (lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), "PNG"),
        (lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255, "TIFF"),
        (lambda rgb: few(rgb, 256), "GIF"),
        (lambda rgb: cv2.resize(rgb, (700, 900)), "JPEG"),
    ],
)
def test_photos(change, kind):
    found = recognised(change(photo()), kind)
    assert found.kind == "photo", found


def sheets():
    rng = np.random.default_rng(0)
    light = np.add.outer(np.linspace(0.5, 0.4, 200), np.linspace(0.5, 0.3, 300))
    return {
        "white": np.full((64, 64), 255, np.uint8),
        "black": np.zeros((64, 64), np.uint8),
        "grey": np.full((200, 300, 3), 128, np.uint8),
        "colour": np.full((64, 64, 3), (200, 30, 40), np.uint8),
        "transparent": np.zeros((64, 64, 4), np.uint8),
        "noise": np.clip(rng.normal(240, 4, (300, 200)), 0, 255).astype(np.uint8),
        "dark noise": np.clip(rng.normal(3, 3, (300, 200)), 0, 255).astype(np.uint8),
        "slope of light": (255 * light).astype(np.uint8),
    }


@pytest.mark.parametrize("name", sheets())
def test_blank_sheets(name):
    assert recognised(sheets()[name]).kind == "blank"


def test_a_few_faint_strokes_are_a_drawing():
    sheet = np.full((256, 256), 250, np.uint8)
    cv2.ellipse(sheet, (128, 128), (60, 80), 0, 0, 360, 200, 1)
    assert recognised(sheet).kind == "sketch"


def test_unsure_tells_both_kinds(monkeypatch):
    fitted = kinds._classifier()
    monkeypatch.setattr(kinds, "_classifier", lambda: fitted._replace(sure=1.01))
    found = recognised(photo())
    assert found.kind == "unsure"
    assert found.reason.startswith("a photo by ")
    assert "of the evidence, a" in found.reason


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (3000, 1), (2, 2)])
def test_narrow_and_tiny_pictures_have_an_answer(shape):
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert recognise(Picture.of(noise)).kind in ("labels", "sketch", "photo", "blank", "unsure")


def test_damaged_pictures_are_named(tmp_path):
    (tmp_path / "a.png").write_bytes(images.encode_png(face())[:200])
    with pytest.raises(PictureError, match=r"a\.png"):
        recognise(Picture.read(tmp_path / "a.png"))
