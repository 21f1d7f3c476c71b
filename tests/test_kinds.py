from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from facesynth import images
from facesynth.errors import PictureError
from facesynth.images import Picture
from facesynth.kinds import recognise
from facesynth.labels import CELEBAMASK_HQ, LabelScheme, numbered_scheme


def face(size: int = 256) -> np.ndarray:
    """A drawing of a face in lines on white."""
    paper = np.full((size, size), 255, np.uint8)

    def at(*numbers: float) -> tuple[int, ...]:
        return tuple(round(number * size) for number in numbers)

    width = max(1, size // 128)
    cv2.ellipse(paper, at(0.5, 0.52), at(0.28, 0.38), 0, 0, 360, 30, width)
    for x in (0.38, 0.62):
        cv2.ellipse(paper, at(x, 0.45), at(0.06, 0.03), 0, 0, 360, 30, width)
        cv2.circle(paper, at(x, 0.45), width + 1, 30, -1)
        cv2.line(paper, at(x - 0.07, 0.38), at(x + 0.07, 0.37), 30, width)
    cv2.ellipse(paper, at(0.5, 0.7), at(0.1, 0.04), 0, 0, 180, 30, width)
    cv2.line(paper, at(0.5, 0.5), at(0.47, 0.6), 30, width)
    return paper


def face_map(size: int = 256) -> np.ndarray:
    """A label map of a face."""
    ids = np.zeros((size, size), np.uint8)

    def ellipse(name: str, x: float, y: float, width: float, height: float) -> None:
        numbers = [round(number * size) for number in (x, y, width, height)]
        cv2.ellipse(ids, numbers[:2], numbers[2:], 0, 0, 360, CELEBAMASK_HQ.classes.index(name), -1)

    for name, place in {
        "cloth": (0.5, 1.05, 0.5, 0.25),
        "neck": (0.5, 0.85, 0.13, 0.15),
        "hair": (0.5, 0.4, 0.36, 0.36),
        "skin": (0.5, 0.52, 0.27, 0.36),
        "l_eye": (0.62, 0.45, 0.06, 0.03),
        "r_eye": (0.38, 0.45, 0.06, 0.03),
        "nose": (0.5, 0.57, 0.05, 0.08),
        "u_lip": (0.5, 0.71, 0.1, 0.03),
    }.items():
        ellipse(name, *place)
    return ids


def photo(size: int = 256) -> np.ndarray:
    """Soft shapes in light and shade with the grain of a sensor."""
    rng = np.random.default_rng(0)
    tones = {0: (150, 160, 175), 1: (205, 160, 135), 13: (70, 45, 30), 17: (190, 145, 120), 18: (60, 70, 110)}
    base = np.zeros((size, size, 3), np.float32)
    ids = face_map(size)
    for number in np.unique(ids):
        base[ids == number] = tones.get(int(number), (150, 90, 85))
    soft = cv2.GaussianBlur(base, (0, 0), size / 80)
    y, x = np.mgrid[:size, :size] / size
    shade = 0.65 + 0.35 * np.exp(-6 * ((x - 0.4) ** 2 + (y - 0.5) ** 2)) + 0.08 * np.sin(9 * x + 5 * y)
    return np.clip(soft * shade[..., None] + rng.normal(0, 3, base.shape), 0, 255).astype(np.uint8)


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
    monkeypatch.setattr("facesynth.kinds._SURE", 1.01)
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
