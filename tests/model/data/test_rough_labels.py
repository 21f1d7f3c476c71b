from __future__ import annotations

import cv2
import numpy as np
import pytest

from facesynth.labels import CELEBAMASK_HQ, SCHEMES, LabelScheme
from facesynth.model.data import rough_labels

NAMES = CELEBAMASK_HQ.classes
SKIN, HAIR, EYE, OTHER_EYE, NOSE = (NAMES.index(name) for name in ("skin", "hair", "l_eye", "r_eye", "nose"))


def face(size: int = 128) -> np.ndarray:
    """A round head with hair on top, two eyes and a nose."""
    labels = np.zeros((size, size), np.uint8)
    middle, unit = size // 2, size // 32
    cv2.circle(labels, (middle, middle - 3 * unit), 10 * unit, HAIR, -1)
    cv2.circle(labels, (middle, middle), 9 * unit, SKIN, -1)
    cv2.circle(labels, (middle + 4 * unit, middle - 2 * unit), 2 * unit, EYE, -1)
    cv2.circle(labels, (middle - 4 * unit, middle - 2 * unit), 2 * unit, OTHER_EYE, -1)
    cv2.rectangle(labels, (middle - unit, middle), (middle + unit, middle + 4 * unit), NOSE, -1)
    return labels


def place(labels: np.ndarray, part: int) -> np.ndarray:
    return np.argwhere(labels == part).mean(axis=0)


# ------------------------------------------------------------------------------------------------------------ left out


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_what_takes_the_place_of_each_class(scheme):
    ground = dict(zip(scheme.classes, (scheme.classes[number] for number in rough_labels.grounds(scheme)), strict=True))
    within = {"nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "mouth", "u_lip", "l_lip", "skin"}
    assert {name for name, other in ground.items() if other == "skin"} == within
    assert {name for name, other in ground.items() if other == "background"} == set(scheme.classes) - within


@pytest.mark.parametrize(
    ("classes", "ground"),
    [
        (("none", "skin", "left_eye", "beard"), (0, 1, 1, 0)),
        (("paper", "face", "eye"), (0, 0, 0)),
        (("void", "background", "mouth", "Skin"), (1, 1, 3, 3)),
    ],
)
def test_other_schemes_go_by_their_names(classes, ground):
    assert rough_labels.grounds(LabelScheme("mine", classes)) == ground


def test_dropped_parts_leave_skin_or_background():
    labels = face()
    dropped = rough_labels.drop(labels, {EYE, HAIR}, CELEBAMASK_HQ)
    assert (dropped[labels == EYE] == SKIN).all()
    assert (dropped[labels == HAIR] == 0).all()
    others = ~np.isin(labels, (EYE, HAIR))
    np.testing.assert_array_equal(dropped[others], labels[others])
    np.testing.assert_array_equal(rough_labels.drop(labels, (), CELEBAMASK_HQ), labels)


# ---------------------------------------------------------------------------------------------------- size and position


@pytest.mark.parametrize("size", [64, 128, 512])
@pytest.mark.parametrize("width", [-2.0, -0.4, 0.4, 1.0, 3.0])
def test_a_part_grows_and_shrinks_by_the_width_asked_for(size, width):
    labels = np.zeros((size, size), np.uint8)
    cv2.circle(labels, (size // 2, size // 2), size // 4, 1, -1)
    radius = np.sqrt([(array == 1).sum() / np.pi for array in (labels, rough_labels.grow(labels, 1, width))])
    assert radius[1] - radius[0] == pytest.approx(width, abs=0.6)


def test_growing_stops_at_smaller_parts():
    labels = face()
    grown = rough_labels.grow(labels, SKIN, 5.0)
    for part in (EYE, OTHER_EYE, NOSE):
        np.testing.assert_array_equal(grown == part, labels == part)
    grown = rough_labels.grow(labels, EYE, 3.0)
    assert (grown == EYE).sum() > 1.5 * (labels == EYE).sum()
    assert set(np.unique(labels[grown == EYE])) == {EYE, SKIN}


def test_a_shrunken_part_leaves_its_pixels_to_its_neighbours():
    labels = face()
    shrunken = rough_labels.grow(labels, EYE, -2.0)
    assert 0 < (shrunken == EYE).sum() < 0.7 * (labels == EYE).sum()
    assert set(np.unique(shrunken[labels == EYE])) == {EYE, SKIN}


def test_parts_too_narrow_to_shrink_or_not_there_stay():
    labels = face(64)
    for changed in (
        rough_labels.grow(labels, EYE, -20.0),
        rough_labels.grow(labels, 14, 4.0),
        rough_labels.grow(labels, EYE, 0.0),
    ):
        np.testing.assert_array_equal(changed, labels)
    for changed in (rough_labels.shift(labels, 14, 4, 4), rough_labels.shift(labels, EYE, 0, 0)):
        np.testing.assert_array_equal(changed, labels)


def test_a_part_moves_by_the_pixels_asked_for():
    labels = face()
    shifted = rough_labels.shift(labels, EYE, 3, -5)
    np.testing.assert_allclose(place(shifted, EYE) - place(labels, EYE), [-5, 3])
    assert (shifted == EYE).sum() == (labels == EYE).sum()
    assert (shifted[(labels == EYE) & (shifted != EYE)] == SKIN).all()


@pytest.mark.parametrize(("right", "down"), [(0, -4), (5, 0), (-5, 0), (3, 6)])
def test_a_part_at_the_border_goes_on_beyond_it(right, down):
    labels = np.zeros((40, 40), np.uint8)
    labels[25:] = 18  # clothes, as wide as the picture
    shifted = rough_labels.shift(labels, 18, right, down)
    assert (shifted[25 + down :] == 18).all()
    assert (shifted[: 25 + down] == 0).all()


def test_pixels_given_away_go_to_the_nearest():
    labels = np.array([[3, 3, 9, 9, 9, 9, 5]], np.uint8)
    assert rough_labels.fill_from_nearest(labels, labels == 9).tolist() == [[3, 3, 3, 3, 5, 5, 5]]
    assert rough_labels.fill_from_nearest(labels, labels == 4).tolist() == labels.tolist()
    assert (
        rough_labels.fill_from_nearest(labels, labels > 0).tolist() == labels.tolist()
    )  # there is nobody to give them to


# ------------------------------------------------------------------------------------------------------------ polygons


@pytest.mark.parametrize("size", [64, 128, 512])
@pytest.mark.parametrize("tolerance", [0.01, 0.03])
def test_polygons_keep_the_area_of_every_part(size, tolerance):
    labels = face(size)
    simple = rough_labels.polygons(labels, tolerance * size)
    before, after = (np.bincount(array.ravel(), minlength=19) for array in (labels, simple))
    assert set(np.unique(simple)) == set(np.unique(labels))
    for part in np.unique(labels):
        assert after[part] == pytest.approx(before[part], rel=0.3, abs=6)
    assert (labels == simple).mean() > 0.9


def test_polygons_have_few_corners():
    disc = cv2.circle(np.zeros((256, 256), np.uint8), (128, 128), 100, 1, -1)
    corners = []
    for tolerance in (0.5, 3.0, 10.0):
        simple = rough_labels.polygons(disc, tolerance)
        (outline,), _ = cv2.findContours(simple, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        corners.append(len(cv2.approxPolyDP(outline, 1.0, closed=True)))
        apart = cv2.distanceTransform((disc == 0).astype(np.uint8), cv2.DIST_L2, 5)[simple == 1].max()
        assert apart <= tolerance + 1
    assert corners[0] > corners[1] > corners[2]
    assert corners[2] <= 10


def test_straight_borders_and_holes_stay():
    labels = np.zeros((60, 60), np.uint8)
    labels[10:50, 10:50] = 1
    labels[20:40, 20:40] = 0  # a hole, through which the background is seen
    np.testing.assert_array_equal(rough_labels.polygons(labels, 2.0), labels)
    np.testing.assert_array_equal(rough_labels.polygons(face(), 0.0), face())


def test_what_lies_in_a_ring_stays():
    labels = np.zeros((90, 90), np.uint8)
    cv2.circle(labels, (45, 45), 35, HAIR, -1)
    cv2.circle(labels, (45, 45), 32, SKIN, -1)
    labels[40:50, 40:50] = HAIR  # within what the other hair goes around
    simple = rough_labels.polygons(labels, 2.0)
    for part in (0, HAIR, SKIN):
        assert (simple == part).sum() == pytest.approx((labels == part).sum(), rel=0.15)
    np.testing.assert_array_equal(simple[40:50, 40:50], labels[40:50, 40:50])


def test_small_parts_are_drawn_with_more_care():
    labels = face(64)
    labels[20:22, 40:42] = 6
    simple = rough_labels.polygons(labels, 16.0)
    assert (simple[20:22, 40:42] == 6).all()
    assert (simple == EYE).sum() > 0.5 * (labels == EYE).sum()
