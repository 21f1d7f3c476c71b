from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from facesynth.prep import align
from facesynth.prep.align import LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE


class StandIn:
    """Finds a face in photos that aren't black."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def __call__(self, photo):
        mesh = np.zeros((478, 2), np.float32)
        mesh[list(RIGHT_EYE)], mesh[list(LEFT_EYE)], mesh[list(MOUTH_CORNERS)] = (24, 28), (40, 28), (32, 44)
        return [mesh] if photo.any() else []


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (64, 64), (90, 60, 50)).save(folder / "anna.jpg")
    Image.new("RGB", (64, 64)).save(folder / "night.jpg")
    return folder


def test_crops_and_what_was_refused(facesynth, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(align, "MeshDetector", StandIn)
    out = tmp_path / "out"
    code, told, errors = facesynth("prep", "align", photos, "--out", out, "--size", 32, "-q")
    assert (code, told) == (1, f"faces in {out}: 1 written, 1 photos refused\n")
    assert errors.splitlines() == [
        "night: no face found in night.jpg; needed: one, of a good part of the photo's height",
        f"1 refused (all in {out / 'report.csv'})",
    ]
    with Image.open(out / "anna.png") as crop:
        assert crop.size == (32, 32)
    assert facesynth("prep", "align", photos / "anna.jpg", "--out", out, "-q")[0] == 0


def test_pairs_takes_it_from_there(facesynth, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(align, "MeshDetector", StandIn)
    facesynth("prep", "align", photos / "anna.jpg", "--out", tmp_path / "out", "--size", 32, "-q")
    (tmp_path / "labels").mkdir()
    Image.fromarray(np.ones((32, 32), np.uint8)).save(tmp_path / "labels" / "anna.png")
    folders = (tmp_path / "out", tmp_path / "labels")
    assert facesynth("prep", "pairs", *folders, "--kind", "labels", "--out", tmp_path / "data", "-q", "-j", 1)[0] == 0


def test_without_mediapipe(facesynth, photos, tmp_path, monkeypatch):
    for name in ("mediapipe", "mediapipe.python.solutions.face_mesh"):
        monkeypatch.setitem(sys.modules, name, None)
    code, told, errors = facesynth("prep", "align", photos, "--out", tmp_path / "out", "-q")
    assert (code, told) == (2, "")
    assert errors.splitlines() == [
        "facesynth: finding faces needs mediapipe 0.10.21, for Python below 3.13: pip install 'facesynth[align]'"
    ]
