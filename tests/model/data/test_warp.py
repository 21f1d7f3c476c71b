from __future__ import annotations

import cv2
import numpy as np
import pytest

from facesynth.model.data.warp import Motion, move, smooth_noise, wobble


def blob(size: int, x: float, y: float) -> np.ndarray:
    """A soft spot at a place given in shares of the width."""
    row, column = np.mgrid[:size, :size]
    distance = np.hypot((column + 0.5) / size - x, (row + 0.5) / size - y)
    return (255 * np.exp(-((distance / 0.05) ** 2))).astype(np.uint8)


def middle_of(picture: np.ndarray) -> np.ndarray:
    """Where its weight lies, in shares of the width."""
    row, column = np.mgrid[: picture.shape[0], : picture.shape[1]]
    weight = picture / picture.sum()
    return np.array([((column + 0.5) * weight).sum(), ((row + 0.5) * weight).sum()]) / picture.shape[1]


@pytest.mark.parametrize("size", [64, 100, 256])
def test_where_a_point_goes(size):
    spot = blob(size, 0.7, 0.4)  # 0.2 to the right of the middle, 0.1 above it
    motion = Motion(flipped=True, angle=90, scale=1.5, right=0.05, down=-0.1)
    # mirrored to (-0.2, -0.1), a quarter counterclockwise to (-0.1, 0.2), scaled to (-0.15, 0.3), shifted
    np.testing.assert_allclose(middle_of(move(spot, motion)), [0.5 - 0.15 + 0.05, 0.5 + 0.3 - 0.1], atol=0.003)


@pytest.mark.parametrize(
    "motion", [Motion(angle=7), Motion(scale=0.9), Motion(right=0.1, down=0.03), Motion(angle=-20)]
)
def test_pictures_of_two_sizes_and_label_maps_move_alike(motion):
    small, large = blob(64, 0.6, 0.45), blob(256, 0.6, 0.45)
    places = [middle_of(move(small, motion)), middle_of(move(large, motion))]
    places.append(middle_of(move(np.uint8(large > 100), motion, labels=True)))
    for place in places[1:]:
        np.testing.assert_allclose(place, places[0], atol=0.002)


def test_a_flip_alone_moves_no_value():
    picture = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    np.testing.assert_array_equal(move(picture, Motion(flipped=True)), picture[:, ::-1])
    np.testing.assert_array_equal(move(picture, Motion()), picture)


def test_label_maps_get_no_new_class():
    labels = np.random.default_rng(1).choice(np.array([3, 11, 18], np.uint8), (40, 40))
    for moved in (
        move(labels, Motion(angle=33, scale=1.1), labels=True),
        wobble(labels, 4.0, 9.0, np.random.default_rng(2), labels=True),
    ):
        assert set(np.unique(moved)) == {3, 11, 18}
        assert (moved != labels).any()


def test_what_comes_in_is_the_mirror_image():
    picture = np.tile(np.arange(10, dtype=np.uint8), (10, 1))
    for labels in (True, False):
        moved = move(picture, Motion(right=0.3), labels=labels)
        assert moved[5].tolist() == [2, 1, 0, 0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("cell", [3.0, 20.0, 200.0])
def test_noise_is_as_smooth_as_asked(cell):
    rng = np.random.default_rng(3)
    noise = np.stack([smooth_noise((50, 80), cell, rng) for _ in range(300)])
    assert noise.shape == (300, 50, 80)
    assert abs(noise.mean()) < 0.1
    np.testing.assert_allclose(noise.std(axis=0), 1, atol=0.25)
    steps = np.abs(np.diff(noise, axis=2)).mean()
    assert 0.5 / cell < steps < 1.5 / cell


@pytest.mark.parametrize("amplitude", [0.5, 2.0, 6.0])
def test_a_wobble_moves_lines_no_farther_than_asked(amplitude):
    line = np.full((128, 128), 255, np.uint8)
    line[:, 64] = 0
    farthest = 0.0
    for seed in range(5):
        bent = wobble(line, amplitude, 20.0, np.random.default_rng(seed))
        assert (bent.min(axis=1) < 200).all()  # the line goes through from top to bottom
        inked = np.abs(np.nonzero(bent < 255)[1] - 64)
        farthest = max(farthest, inked.max())
        assert inked.max() <= np.ceil(amplitude) + 1
    assert farthest >= amplitude / 3


def test_no_wobble_and_the_same_wobble():
    picture = cv2.circle(np.full((60, 60), 255, np.uint8), (30, 30), 20, 0)
    np.testing.assert_array_equal(wobble(picture, 0.0, 9.0, np.random.default_rng(0)), picture)
    once, again, other = (wobble(picture, 3.0, 9.0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()
