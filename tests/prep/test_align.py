"""Faces cut out as FFHQ's are: where eyes and mouth land, upright, with soft ends; the mesh's finder is a stand-in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from facesynth import images
from facesynth.errors import InputError
from facesynth.prep.align import (
    LEFT_EYE,
    MOUTH_CORNERS,
    RIGHT_EYE,
    Aligned,
    align_photos,
    crop_square,
    face_square,
    moved,
    read_landmarks,
    square_to_crop,
)

EYES, MOUTH = np.array([[40.0, 50.0], [60.0, 50.0]]), np.array([[42.0, 70.0], [58.0, 70.0]])
CYAN, MAGENTA, YELLOW = (0, 255, 255), (255, 0, 255), (255, 255, 0)


def mesh_of(right: Any, left: Any, mouth: Any) -> np.ndarray:
    mesh = np.full((478, 2), 5.0, np.float32)
    mesh[list(RIGHT_EYE)], mesh[list(LEFT_EYE)], mesh[list(MOUTH_CORNERS)] = right, left, mouth
    return mesh


def face(size: int = 200, angle: float = 0.0, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A grey photo with a dot of its own colour on each eye and one on the mouth, and the mesh."""
    turn = cv2.getRotationMatrix2D((50, 60), angle, scale)
    turn[:, 2] += size / 2 - np.array([50, 60])
    right, left, *mouth = moved(np.concatenate([EYES, MOUTH]), turn)
    photo = np.full((size, size, 3), 128, np.uint8)
    for place, colour in ((right, CYAN), (left, MAGENTA), (np.mean(mouth, 0), YELLOW)):
        cv2.circle(photo, tuple(round(16 * float(value)) for value in place), 48, colour, -1, cv2.LINE_AA, 4)
    return photo, mesh_of(right, left, np.stack(mouth))


def dot(crop: np.ndarray, colour: tuple[int, ...]) -> np.ndarray:
    """The middle of a dot, (x, y)."""
    near = np.abs(crop.astype(int) - colour).sum(2) < 200
    return np.argwhere(near).mean(0)[::-1]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("anna", "nobody", "two"):
        Image.fromarray(face()[0]).save(folder / f"{name}.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def finder(faces: dict[int, list[np.ndarray]]) -> Any:
    """Gives the faces of the first, second, ... photo that it is shown."""
    shown = iter(range(99))
    return lambda photo: faces.get(next(shown), [face()[1]])


def findings(out: Path) -> list[list[str]]:
    return pd.read_csv(out / "report.csv", dtype=str, keep_default_na=False).to_numpy().tolist()


# -------------------------------------------------------------------------------------------------------------- geometry


def published_square(right: np.ndarray, left: np.ndarray, mouth: np.ndarray) -> np.ndarray:
    """The paper's formula, as it is written there."""
    eyes, to_mouth = (right + left) / 2, mouth - (right + left) / 2
    x = (left - right) - np.array([-to_mouth[1], to_mouth[0]])
    x /= np.hypot(*x)
    x *= max(np.hypot(*(left - right)) * 2.0, np.hypot(*to_mouth) * 1.8)
    y = np.array([-x[1], x[0]])
    c = eyes + to_mouth * 0.1
    return np.stack([c - x - y, c - x + y, c + x + y, c + x - y])


@pytest.mark.parametrize("seed", range(5))
def test_the_square_is_the_papers(seed):
    rng = np.random.default_rng(seed)
    right, left, mouth = np.array([[30, 40], [70, 40], [50, 80]]) + rng.normal(0, 8, (3, 2))
    np.testing.assert_allclose(
        face_square(mesh_of(right, left, mouth)), published_square(right, left, mouth), rtol=1e-5
    )


@pytest.mark.parametrize("angle", [0, 17, -40, 90, 180])
@pytest.mark.parametrize("scale", [0.7, 1.6])
def test_features_land_in_their_places_upright(angle, scale):
    photo, mesh = face(400, angle, scale)
    square = face_square(mesh)
    crop = crop_square(photo, square, 256)
    # Eyes 20 apart in a square of 80, in the middle across and 38 of 80 down; the mouth 20 further down.
    places = {CYAN: (96, 121.6), MAGENTA: (160, 121.6), YELLOW: (128, 185.6)}
    for colour, place in places.items():
        np.testing.assert_allclose(dot(crop, colour), np.array(place) - 0.5, atol=1)
    landed = moved(mesh, square_to_crop(square, 256))
    np.testing.assert_allclose(landed[list(RIGHT_EYE)].mean(0), dot(crop, CYAN), atol=0.5)


def test_a_mouth_far_from_the_eyes_decides_the_size():
    square = face_square(mesh_of((40, 50), (60, 50), (50, 90)))
    assert np.hypot(*(square[3] - square[0])) == pytest.approx(2 * 1.8 * 40)


@pytest.mark.parametrize(
    ("mesh", "told"),
    [
        (np.zeros((68, 2)), "shape"),
        (np.zeros((478, 3)), "shape"),
        (np.zeros((478, 2)), "coincide"),
        (np.full((478, 2), np.nan), "finite"),
    ],
)
def test_no_square_without_a_face(mesh, told):
    with pytest.raises(InputError, match=told):
        face_square(mesh)


@pytest.mark.parametrize("shift", [0, 7])
def test_a_square_along_the_pixels_is_cut_out_exactly(shift):
    photo = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    low, high = shift - 0.5, shift + 19.5
    square = np.array([[low, low], [low, high], [high, high], [high, low]])
    np.testing.assert_array_equal(crop_square(photo, square, 20), photo[shift : shift + 20, shift : shift + 20])


def test_a_shrunk_crop_averages():
    photo = np.zeros((128, 128, 3), np.uint8)
    photo[::2] = 200
    whole = np.array([[-0.5, -0.5], [-0.5, 127.5], [127.5, 127.5], [127.5, -0.5]])
    assert np.abs(crop_square(photo, whole, 16)[1:-1].astype(int) - 100).max() <= 2


def test_beyond_its_end_a_photo_is_reflected_and_fades():
    rng = np.random.default_rng(0)
    photo = cv2.resize(rng.integers(0, 256, (30, 30, 3), np.uint8), (120, 120), interpolation=cv2.INTER_NEAREST)
    square = np.array([[-60.5, -0.5], [-60.5, 119.5], [59.5, 119.5], [59.5, -0.5]])
    crop = crop_square(photo, square, 120).astype(float)
    np.testing.assert_array_equal(crop[:, 60:], photo[:, :60])  # what is inside stays as it is
    reflected = photo[:, 60:0:-1]
    assert np.abs(crop[:, 59] - reflected[:, 59]).mean() < 15  # next to the end, a mirror
    assert crop[:, 30:45].std() < 0.7 * reflected[:, 30:45].std()  # further away, blurred
    np.testing.assert_allclose(
        crop[:, 0], np.broadcast_to(np.median(photo, (0, 1)), (120, 3)), atol=1
    )  # then one colour


def test_a_square_far_outside_is_one_colour():
    photo = np.full((20, 20, 3), 90, np.uint8)
    photo[:8] = 10
    far = np.array([[200, 200], [200, 220], [220, 220], [220, 200]])
    assert (crop_square(photo, far, 16) == 90).all()


# ----------------------------------------------------------------------------------------------------------------- stage


def test_others_are_done_where_photos_are_refused(photos, tmp_path):
    # in order of their names: anna, broken (which is not shown), nobody, two
    done = align_photos([photos], tmp_path / "out", size=64, detector=finder({1: [], 2: [face()[1], face()[1] + 50]}))
    assert isinstance(done, Aligned)
    assert done.written == 1
    assert [row[:4] for row in findings(tmp_path / "out")] == [
        ["align", "broken", "error", "unreadable"],
        ["align", "nobody", "error", "no-face"],
        ["align", "two", "error", "several-faces"],
    ]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["anna.png", "landmarks.npz", "report.csv"]
    photo, mesh = face()
    square = face_square(mesh)
    np.testing.assert_array_equal(images.read_photo(tmp_path / "out" / "anna.png"), crop_square(photo, square, 64))
    kept = read_landmarks(tmp_path / "out")
    assert list(kept) == ["anna"]
    np.testing.assert_allclose(kept["anna"], moved(mesh, square_to_crop(square, 64)), atol=1e-4)


def test_a_photo_that_is_refused_now_leaves_no_crop_of_an_earlier_run(photos, tmp_path):
    align_photos([photos / "anna.png"], tmp_path / "out", detector=finder({}))
    align_photos([photos / "anna.png"], tmp_path / "out", detector=finder({0: []}))
    assert not (tmp_path / "out" / "anna.png").exists()
    assert read_landmarks(tmp_path / "out") == {}


def test_photos_of_one_name_in_two_folders(photos, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(face()[0]).save(other / "anna.jpg")
    done = align_photos([photos / "anna.png", other], tmp_path / "out", detector=finder({}))
    assert done.written == 2
    assert sorted(read_landmarks(tmp_path / "out")) == ["other-anna", "photos-anna"]


@pytest.mark.parametrize("size", [0, 15, 5000])
def test_sizes_that_cannot_be(photos, tmp_path, size):
    with pytest.raises(InputError, match=f"size is {size}"):
        align_photos([photos], tmp_path / "out", size=size, detector=finder({}))


def test_nothing_is_written_where_the_photos_are(photos):
    with pytest.raises(InputError, match="another folder"):
        align_photos([photos], photos, detector=finder({}))


def test_no_landmarks(tmp_path):
    with pytest.raises(InputError, match="prep align"):
        read_landmarks(tmp_path)
    (tmp_path / "landmarks.npz").write_bytes(b"no arrays")
    with pytest.raises(InputError, match="cannot read"):
        read_landmarks(tmp_path)


# ---------------------------------------------------------------------------------------------------------- command line


def test_without_mediapipe_one_line_says_how_to_get_it(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    monkeypatch.setitem(sys.modules, "mediapipe.python.solutions.face_mesh", None)
    with pytest.raises(InputError, match=r"pip install 'facesynth\[align\]'"):
        align_photos([photos], tmp_path / "out")
    assert not (tmp_path / "out").exists()
