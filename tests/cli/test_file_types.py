"""What people hand in besides PNG and JPEG, from end to end: arrays, values of no class, HEIC, and SVG."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesynth import images
from facesynth.labels import CELEBAMASK_HQ
from facesynth.prep.masks import merge_masks
from facesynth.prep.portraits.draw import Portrait, draw_portrait

from ..runs import save_model
from ..trees import contents

SIZE = 64
NAMES = ("anna", "bob", "carl", "dora", "eve")
SVG = '<svg xmlns="http://www.w3.org/2000/svg"/>'
SAYS_SVG = "is an SVG drawing; needed: pixels; export it as a PNG"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(save_model(tmp_path_factory.mktemp("models") / "seg.safetensors", "seg2face"))


@pytest.fixture(scope="module")
def portraits() -> dict[str, Portrait]:
    return {name: draw_portrait(0, number, size=SIZE, mask_size=SIZE) for number, name in enumerate(NAMES)}


def labels_of(portrait: Portrait) -> np.ndarray:
    return merge_masks(portrait.parts, CELEBAMASK_HQ)


def with_void(labels: np.ndarray) -> np.ndarray:
    """A copy with 255 in a corner that is background."""
    assert not labels[:6, :6].any()
    labels = labels.copy()
    labels[:6, :6] = 255
    return labels


@pytest.fixture
def own(tmp_path: Path, portraits: dict[str, Portrait]) -> Path:
    """Photos as PNG; label maps with void as PNG, as an array of int64, and without void; and two as SVG."""
    for folder in ("photos", "maps"):
        (tmp_path / folder).mkdir()
    for name, portrait in portraits.items():
        Image.fromarray(portrait.photo).save(tmp_path / "photos" / f"{name}.png")
    anna, bob, carl = (labels_of(portraits[name]) for name in NAMES[:3])
    Image.fromarray(with_void(anna)).save(tmp_path / "maps/anna.png")
    np.save(tmp_path / "maps/bob.npy", with_void(bob).astype(np.int64))
    np.save(tmp_path / "maps/carl.npy", carl)
    for name in NAMES[3:]:
        (tmp_path / "maps" / f"{name}.svg").write_text(SVG)
    return tmp_path


def report(data: Path) -> list[tuple[str, str, str]]:
    with (data / "report.csv").open(encoding="utf-8", newline="") as stream:
        return [(row["id"], row["finding"], row["detail"]) for row in csv.DictReader(stream)]


def test_pairs_of_arrays_and_void_with_svg_named_and_counted(
    own: Path, portraits: dict[str, Portrait], facesynth: Run
) -> None:
    command = ("prep", "pairs", own / "photos", own / "maps", "--kind", "labels", "--out", own / "data", "-q", "-j", 1)
    code, out, err = facesynth(*command, "--void", 255)
    assert code == 1
    assert out.startswith(f"pairs in {own / 'data'}: 3 written, 0 already there, 2 failed; manifest: ")
    assert err.splitlines() == [
        f"dora: maps/dora.svg {SAYS_SVG}",
        f"eve: maps/eve.svg {SAYS_SVG}",
        f"2 failed (all in {own / 'data/report.csv'})",
    ]
    assert [row[:2] for row in report(own / "data")] == [("dora", "unreadable"), ("eve", "unreadable")]
    for name in NAMES[:3]:
        read = images.read_labels(own / "data/labels" / f"{name}.png", CELEBAMASK_HQ)
        np.testing.assert_array_equal(read, labels_of(portraits[name]))


def test_pairs_with_void_that_is_not_named(own: Path, facesynth: Run) -> None:
    command = ("prep", "pairs", own / "photos", own / "maps", "--kind", "labels", "--out", own / "data", "-q", "-j", 1)
    code, out, err = facesynth(*command)
    assert (code, out.split(", ")[0]) == (1, f"pairs in {own / 'data'}: 1 written")
    for name in ("anna.png", "bob.npy"):
        assert f"maps/{name} holds the value 255 besides class ids" in err
    assert err.count("--void 255 takes them for background") == 2


def test_faces_of_arrays_and_void_with_svg_named_and_counted(
    own: Path, portraits: dict[str, Portrait], model: Path, facesynth: Run
) -> None:
    command = ("translate", "--checkpoint", model, "--device", "cpu", "--quiet")
    code, out, err = facesynth(*command, own / "maps", "--void", 255, "--out", own / "faces")
    assert code == 1
    assert out == f"faces in {own / 'faces'}: 3 written, 0 already there, 2 inputs failed\n"
    assert err.splitlines() == [f"{name}: {own / 'maps'}/{name}.svg {SAYS_SVG}" for name in ("dora", "eve")]
    (own / "plain").mkdir()
    for name in NAMES[:3]:
        Image.fromarray(labels_of(portraits[name])).save(own / "plain" / f"{name}.png")
    assert facesynth(*command, own / "plain", "--out", own / "same")[0] == 0
    faces, same = contents(own / "faces"), contents(own / "same")
    for name in NAMES[:3]:
        assert faces[f"{name}.png"] == same[f"{name}.png"]
    assert len({same[f"{name}.png"] for name in NAMES[:3]}) == 3


def test_svg_beside_a_picture_of_its_name_is_passed_over(own: Path, facesynth: Run) -> None:
    for name in NAMES[3:]:
        Image.fromarray(np.arange(SIZE * SIZE, dtype=np.uint8).reshape(SIZE, SIZE) % 3).save(own / f"maps/{name}.png")
    command = ("prep", "pairs", own / "photos", own / "maps", "--kind", "labels", "--out", own / "data", "-q", "-j", 1)
    code, out, err = facesynth(*command, "--void", 255)
    assert (code, err) == (0, "")
    assert out.startswith(f"pairs in {own / 'data'}: 5 written, 0 already there, 0 failed")


def test_heic_photos_are_paired_and_parsed_to_faces(
    own: Path, portraits: dict[str, Portrait], model: Path, facesynth: Run
) -> None:
    heif = pytest.importorskip("pillow_heif")
    photo = own / "photos/anna.heic"
    (own / "photos/anna.png").unlink()
    heif.from_pillow(Image.fromarray(portraits["anna"].photo)).save(photo, quality=90)
    command = ("prep", "pairs", own / "photos", own / "maps", "--kind", "labels", "--out", own / "data", "-q", "-j", 1)
    assert "3 written" in facesynth(*command, "--void", 255)[1]
    assert (own / "data/photos/anna.heic").read_bytes() == photo.read_bytes()
    assert facesynth("prep", "check", own / "data", "-q", "-j", 1)[:2] == (
        0,
        f"{own / 'data'}: 3 photos, 6 files, no problems\n",
    )
    code, out, _ = facesynth(
        "translate", photo, "--kind", "photo", "--checkpoint", model, "--device", "cpu", "--out", own / "faces", "-q"
    )
    assert (code, out) == (0, f"faces in {own / 'faces'}: 1 written, 0 already there, 0 inputs failed\n")
