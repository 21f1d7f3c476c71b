from __future__ import annotations

import colorsys

import numpy as np
import pytest

from facesynth.errors import InputError
from facesynth.labels import CELEBAMASK_HQ
from facesynth.model.data.augment import Augmentation, augment, draw_motion, recolour, recolouring

STILL = Augmentation().scaled(0, flip=False)
LEFT, RIGHT = CELEBAMASK_HQ.classes.index("l_eye"), CELEBAMASK_HQ.classes.index("r_eye")


def scene(size: int) -> np.ndarray:
    """Five patches of label map: skin on background, eyes and a mouth."""
    labels = np.zeros((size, size), np.uint8)
    eighth = size // 8
    labels[eighth:, eighth:-eighth] = 1
    labels[3 * eighth : 4 * eighth, 2 * eighth : 3 * eighth] = RIGHT
    labels[3 * eighth : 4 * eighth, 5 * eighth : 6 * eighth] = LEFT
    labels[6 * eighth : 7 * eighth, 3 * eighth : 5 * eighth] = 11
    return labels


COLOURS = np.array(CELEBAMASK_HQ.colours, np.uint8)


@pytest.mark.parametrize(("size", "photo_size"), [(64, 64), (64, 256), (256, 128)])
def test_condition_and_photo_move_as_one(size, photo_size):
    augmentation = Augmentation(
        rotation=15, scale=0.2, shift=0.1, brightness=0, contrast=0, saturation=0, hue=0, flip=True
    )
    unsided = np.arange(19)  # nothing is renamed, so the photo in the map's colours must stay in them
    for seed in range(6):
        labels, photo = augment(
            scene(size), COLOURS[scene(photo_size)], "labels", augmentation, np.random.default_rng(seed), mirror=unsided
        )
        assert (labels != scene(size)).any()
        nearest = np.arange(photo_size) * size // photo_size
        fitting = labels[np.ix_(nearest, nearest)]
        wrong = np.abs(COLOURS[fitting].astype(int) - photo).max(axis=2) > 100
        assert wrong.mean() < 0.06  # within a pixel of the borders


def test_sides_swap_their_classes_where_pairs_are_mirrored():
    augmentation = Augmentation().scaled(0, flip=True)
    seen = set()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        labels, photo = augment(scene(64), COLOURS[scene(64)], "labels", augmentation, rng, mirror=CELEBAMASK_HQ.mirror)
        np.testing.assert_array_equal(labels, scene(64))  # each eye stays on its own side of the picture
        mirrored = (photo != COLOURS[scene(64)]).any()
        if mirrored:
            np.testing.assert_array_equal(photo, COLOURS[scene(64)][:, ::-1])
        seen.add(bool(mirrored))
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("given", "kind", "moved"),
    [
        ([[LEFT, 13, 0, RIGHT]], "labels", [[LEFT, 0, 13, RIGHT]]),
        ([[4, 200, 255, 7]], "sketch", [[7, 255, 200, 4]]),
    ],
)
def test_what_a_flip_does_to_each_kind(given, kind, moved):
    condition, photo = np.array(given, np.uint8), np.arange(12, dtype=np.uint8).reshape(1, 4, 3)
    rng = np.random.default_rng(next(seed for seed in range(9) if np.random.default_rng(seed).random() < 0.5))
    flipped, mirrored = augment(
        condition, photo, kind, Augmentation().scaled(0, flip=True), rng, mirror=CELEBAMASK_HQ.mirror
    )
    assert flipped.tolist() == moved
    assert mirrored[0, :, 0].tolist() == [9, 6, 3, 0]


def test_nothing_to_do_changes_nothing():
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    condition, same = augment(scene(32), photo, "labels", STILL, np.random.default_rng(0), mirror=CELEBAMASK_HQ.mirror)
    np.testing.assert_array_equal(condition, scene(32))
    np.testing.assert_array_equal(same, photo)


def test_a_sketch_keeps_its_greys_and_a_photo_as_condition_gets_the_same_colours():
    augmentation = Augmentation(flip=False, rotation=0, scale=0, shift=0, brightness=0.5, hue=30)
    photo = np.random.default_rng(0).integers(40, 200, (32, 32, 3), np.uint8)
    sketch, coloured = augment(photo[..., 0], photo, "sketch", augmentation, np.random.default_rng(1))
    np.testing.assert_array_equal(sketch, photo[..., 0])
    assert (coloured != photo).any()
    condition, coloured = augment(photo, photo, "photo", augmentation, np.random.default_rng(1))
    np.testing.assert_array_equal(condition, coloured)
    assert (coloured != photo).any()


def test_motions_lie_within_their_strengths_and_reach_them():
    augmentation = Augmentation(rotation=20, scale=0.25, shift=0.1)
    motions = [draw_motion(augmentation, np.random.default_rng(seed)) for seed in range(300)]
    for values, most in (
        ([motion.angle for motion in motions], 20),
        ([motion.right for motion in motions], 0.1),
        ([motion.down for motion in motions], 0.1),
        ([np.log(motion.scale) for motion in motions], np.log(1.25)),
    ):
        assert 0.9 * most < max(values) <= most
        assert -most <= min(values) < -0.9 * most
        assert abs(np.mean(values)) < 0.15 * most
    assert 0.4 < np.mean([motion.flipped for motion in motions]) < 0.6


# ------------------------------------------------------------------------------------------------------------- colours


def coloured(rgb: tuple[int, int, int], **changes: float) -> list[int]:
    return recolour(np.array([[rgb]], np.uint8), recolouring(100, **changes))[0, 0].tolist()


def test_what_each_change_of_colour_does():
    assert coloured((40, 60, 80), brightness=1.5) == [60, 90, 120]
    assert coloured((100, 60, 140), contrast=0.5) == [100, 80, 120]
    grey = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    assert coloured((200, 100, 50), saturation=0) == [grey] * 3
    assert coloured((10, 250, 90), brightness=2) == [20, 255, 180]  # clipped
    assert coloured((37, 148, 201)) == [37, 148, 201]


def test_hue_turns_colours_and_leaves_greys():
    assert coloured((90, 90, 90), hue=70) == [90, 90, 90]
    assert coloured((70, 30, 200), hue=120) == [200, 70, 30]  # red turns to green, green to blue
    assert coloured((70, 30, 200), hue=-120) == [30, 200, 70]
    before = colorsys.rgb_to_hsv(*np.array((200, 90, 90)) / 255)[0]
    after = colorsys.rgb_to_hsv(*np.array(coloured((200, 90, 90), hue=20)) / 255)[0]
    assert 360 * (after - before) == pytest.approx(20, abs=4)


@pytest.mark.parametrize(
    ("name", "value"), [("rotation", -1), ("rotation", 46), ("scale", 0.6), ("shift", float("nan")), ("hue", 200)]
)
def test_strengths_out_of_range(name, value):
    with pytest.raises(InputError, match=f"^{name} is {value}; needed: 0 to "):
        Augmentation(**{name: value})


def test_strengths_scale_together():
    twice = Augmentation().scaled(2, flip=False)
    assert (twice.rotation, twice.hue, twice.flip) == (10, 8, False)
    assert (STILL.moves, STILL.recolours, twice.moves, twice.recolours) == (False, False, True, True)
    with pytest.raises(InputError, match=r"^rotation is 50\.0; needed: 0 to 45"):
        Augmentation().scaled(10, flip=True)
