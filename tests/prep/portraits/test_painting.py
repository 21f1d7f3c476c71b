"""Drawn portraits: repeatable, one geometry for photo and masks, plausible parts, photo and labels in agreement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from facesynth.errors import InputError
from facesynth.labels import CELEBAMASK_HQ
from facesynth.prep.portraits.draw import REACHES_UNDER, Portrait, draw_portrait

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED = 7
COUNT = 300
SIDE = 128
FACE_PARTS = ("nose", "l_eye", "r_eye", "l_brow", "r_brow", "u_lip", "l_lip")
ALWAYS = {"skin", "neck", "cloth", *FACE_PARTS}


@cache
def portrait(index: int) -> Portrait:
    return draw_portrait(SEED, index, size=SIDE, mask_size=SIDE)


@cache
def merged(index: int) -> NDArray[np.uint8]:
    """The label map of ``portrait(index)``."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    for name, mask in portrait(index).parts.items():
        labels[mask] = CELEBAMASK_HQ.classes.index(name)
    return labels


def shown(index: int, name: str) -> NDArray[np.uint8]:
    """The pixels of ``portrait(index)`` where its label map says ``name``, (n, 3)."""
    return portrait(index).photo[merged(index) == CELEBAMASK_HQ.classes.index(name)]


def middle(mask: NDArray[np.bool_]) -> tuple[float, float]:
    y, x = np.nonzero(mask)
    return float(x.mean()), float(y.mean())


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / max((one | other).sum(), 1))


def same(one: Portrait, other: Portrait) -> bool:
    return (
        np.array_equal(one.photo, other.photo)
        and list(one.parts) == list(other.parts)
        and all(np.array_equal(one.parts[name], other.parts[name]) for name in one.parts)
    )


# --- the contract ---


@pytest.mark.parametrize(("size", "mask_size"), [(64, 64), (96, 200), (256, 512), (1024, 64)])
def test_shapes_and_types(size: int, mask_size: int) -> None:
    drawn = draw_portrait(SEED, 0, size=size, mask_size=mask_size)
    assert drawn.photo.shape == (size, size, 3)
    assert drawn.photo.dtype == np.uint8
    for mask in drawn.parts.values():
        assert mask.shape == (mask_size, mask_size)
        assert mask.dtype == np.bool_
        assert mask.any()


def test_parts_come_in_paint_order() -> None:
    order = CELEBAMASK_HQ.parts
    for index in range(COUNT):
        names = list(portrait(index).parts)
        assert names == sorted(names, key=order.index)


def test_a_part_reaches_only_under_parts_painted_later() -> None:
    order = CELEBAMASK_HQ.parts
    for name, covers in REACHES_UNDER.items():
        assert all(order.index(cover) > order.index(name) for cover in covers)


def test_same_call_same_portrait_in_any_order() -> None:
    first = {index: draw_portrait(SEED, index, size=96, mask_size=96) for index in (3, 0, 8)}
    np.random.default_rng(1).random(5)
    for index in (0, 8, 3):
        assert same(first[index], draw_portrait(SEED, index, size=96, mask_size=96))


def test_seed_and_index_each_matter() -> None:
    base = draw_portrait(SEED, 0, size=64, mask_size=64)
    assert not same(base, draw_portrait(SEED, 1, size=64, mask_size=64))
    assert not same(base, draw_portrait(SEED + 1, 0, size=64, mask_size=64))
    assert not same(draw_portrait(1, 2, size=64, mask_size=64), draw_portrait(2, 1, size=64, mask_size=64))


def test_numpy_integers_are_fine() -> None:
    assert same(
        draw_portrait(SEED, 4, size=64, mask_size=64), draw_portrait(np.int64(SEED), np.int32(4), size=64, mask_size=64)
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("index", [0, 12, 15, 17, 24, 44])
def test_one_geometry_at_every_size(index: int) -> None:
    small = draw_portrait(SEED, index, size=128, mask_size=256)
    large = draw_portrait(SEED, index, size=256, mask_size=512)
    assert set(small.parts) == set(large.parts)
    for name, mask in small.parts.items():
        shrunk = cv2.resize(large.parts[name].astype(np.float32), (256, 256), interpolation=cv2.INTER_AREA) > 0.5
        fine = name in {"ear_r", "neck_l", "eye_g"}
        thin = mask.sum() < 120
        assert overlap(mask, shrunk) > (0.55 if fine or thin else 0.84), name
    photo = cv2.resize(large.photo, (128, 128), interpolation=cv2.INTER_AREA)
    assert np.abs(photo.astype(int) - small.photo).mean() < 3.0


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"size": 63}, "size"),
        ({"size": 1025}, "size"),
        ({"size": 128.0}, "size"),
        ({"mask_size": 32}, "mask_size"),
        ({"mask_size": True}, "mask_size"),
        ({"index": -1}, "index"),
        ({"index": "0"}, "index"),
        ({"seed": -3}, "seed"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], name: str) -> None:
    call: dict[str, object] = {"seed": 0, "index": 0, "size": 64, "mask_size": 64} | arguments
    with pytest.raises(InputError, match=rf"^{name} is {arguments[name]!r}; give a whole number") as caught:
        draw_portrait(**call)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


# --- the parts ---


def test_every_part_occurs_in_its_share() -> None:
    share = {name: sum(name in portrait(i).parts for i in range(COUNT)) / COUNT for name in CELEBAMASK_HQ.parts}
    for name in ALWAYS:
        assert share[name] == 1, name
    bounds = {
        "hair": (0.9, 0.999),
        "hat": (0.05, 0.2),
        "eye_g": (0.05, 0.22),
        "ear_r": (0.08, 0.35),
        "neck_l": (0.05, 0.25),
        "mouth": (0.2, 0.6),
        "l_ear": (0.2, 0.85),
        "r_ear": (0.2, 0.85),
    }
    assert set(bounds) | ALWAYS == set(CELEBAMASK_HQ.parts)
    for name, (low, high) in bounds.items():
        assert low <= share[name] <= high, (name, share[name])


@dataclass(frozen=True)
class Bounds:
    """Smallest and largest share of the picture, in a hundred."""

    low: float
    high: float


AREAS = {
    "skin": Bounds(12, 34),
    "nose": Bounds(0.8, 2.6),
    "eye_g": Bounds(0.5, 5),
    "l_eye": Bounds(0.15, 1.0),
    "r_eye": Bounds(0.15, 1.0),
    "l_brow": Bounds(0.05, 1.0),
    "r_brow": Bounds(0.05, 1.0),
    "l_ear": Bounds(0.0, 1.6),
    "r_ear": Bounds(0.0, 1.6),
    "mouth": Bounds(0.1, 1.2),
    "u_lip": Bounds(0.12, 0.9),
    "l_lip": Bounds(0.15, 1.0),
    "hair": Bounds(0.3, 50),
    "hat": Bounds(6, 24),
    "ear_r": Bounds(0.0, 0.6),
    "neck_l": Bounds(0.03, 1.0),
    "neck": Bounds(1.0, 9),
    "cloth": Bounds(1.0, 22),
}


def test_areas_are_plausible() -> None:
    assert tuple(AREAS) == CELEBAMASK_HQ.parts
    for index in range(COUNT):
        for name, mask in portrait(index).parts.items():
            share = 100 * mask.mean()
            low = 0.02 if name.endswith("brow") and is_under_hair(mask, portrait(index)) else AREAS[name].low
            assert low <= share <= AREAS[name].high, (index, name, share)


def is_under_hair(mask: NDArray[np.bool_], drawn: Portrait) -> bool:
    """Whether hair goes on where a part ends, of which it then shows a corner at least."""
    return "hair" in drawn.parts and bool(
        (cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & drawn.parts["hair"]).any()
    )


def test_features_lie_where_a_face_has_them() -> None:
    for index in range(COUNT):
        parts = portrait(index).parts
        at = {name: middle(mask) for name, mask in parts.items()}
        assert at["l_eye"][0] > at["r_eye"][0] + 0.12 * SIDE, index
        assert at["l_brow"][0] > at["r_brow"][0], index
        for side in "lr":
            assert at[f"{side}_brow"][1] < at[f"{side}_eye"][1], index
            assert 0.36 < at[f"{side}_eye"][1] / SIDE < 0.52, index
        assert at["r_eye"][0] < at["nose"][0] < at["l_eye"][0], index
        eyes = 0.5 * (at["l_eye"][1] + at["r_eye"][1])
        assert eyes < at["nose"][1] < at["u_lip"][1] < at["l_lip"][1] < at["neck"][1], index
        if "l_ear" in parts and "r_ear" in parts:
            assert at["l_ear"][0] > at["r_ear"][0], index
        if "hat" in parts:
            assert at["hat"][1] < eyes, index
        if "neck_l" in parts:
            assert at["neck_l"][1] > at["l_lip"][1], index


def test_an_open_mouth_lies_between_the_lips() -> None:
    opened = [i for i in range(COUNT) if "mouth" in portrait(i).parts]
    assert len(opened) > 15
    for index in opened:
        parts = portrait(index).parts
        upper, inside, lower = (middle(parts[name])[1] for name in ("u_lip", "mouth", "l_lip"))
        assert upper < inside < lower, index
        ring = cv2.dilate(parts["mouth"].astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ~parts["mouth"]
        assert (parts["u_lip"] | parts["l_lip"])[ring].mean() > 0.7, index


def test_features_lie_on_the_skin() -> None:
    for index in range(COUNT):
        parts = portrait(index).parts
        for name in FACE_PARTS:
            assert (parts[name] & parts["skin"]).sum() >= 0.97 * parts[name].sum(), (index, name)


def test_skin_stays_off_neck_and_hair_stays_on_top() -> None:
    for index in range(COUNT):
        parts = portrait(index).parts
        assert not (parts["neck"] & parts["skin"]).any(), index
        for name in ("skin", "neck", "cloth", "l_ear", "r_ear"):
            if name in parts and "hair" in parts:
                both = parts["hair"] & parts[name]
                assert not (both & ~parts.get("ear_r", np.zeros_like(both))).any(), (index, name)


def test_the_face_fills_the_middle_of_the_picture() -> None:
    for index in range(COUNT):
        skin = portrait(index).parts["skin"]
        assert skin[int(0.55 * SIDE), int(0.5 * SIDE)], index
        width = skin.any(0).sum() / SIDE
        assert 0.36 < width < 0.62, index
        covered = merged(index) > 0
        assert 0.35 < covered.mean() < 0.85, index
        assert not covered[: SIDE // 12, : SIDE // 12].any(), index


# --- photo and labels ---


def test_photo_changes_where_labels_change() -> None:
    """Across the outline of hair, cloth and face the photo changes more than a few pixels beside it."""
    gains = []
    for index in range(0, COUNT, 4):
        drawn = portrait(index)
        grey = cv2.cvtColor(cv2.GaussianBlur(drawn.photo, (0, 0), 0.6), cv2.COLOR_RGB2LAB).astype(np.float32)
        steep = sum(np.abs(cv2.Sobel(grey[..., k], cv2.CV_32F, *axis)) for k in range(3) for axis in ((1, 0), (0, 1)))
        labels = merged(index)
        edge = cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        far = cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, 3) > 3
        gains.append(float(np.mean(steep[edge]) / np.mean(steep[far])))
    assert min(gains) > 2.0
    assert np.mean(gains) > 3.5


def test_labels_fit_the_photo_better_than_moved_labels() -> None:
    for index in range(0, COUNT, 4):
        drawn = portrait(index)
        labels = merged(index)
        rest = [spread(drawn.photo, np.roll(labels, move, (0, 1))) for move in ((0, 3), (0, -3), (3, 0), (-3, 0))]
        assert spread(drawn.photo, labels) < min(rest), index


def spread(photo: NDArray[np.uint8], labels: NDArray[np.uint8]) -> float:
    """Mean squared distance of pixels from the mean colour of their label."""
    total = 0.0
    for label in np.unique(labels):
        pixels = photo[labels == label].astype(np.float64)
        total += float(((pixels - pixels.mean(0)) ** 2).sum())
    return total / labels.size


def test_part_colours() -> None:
    apart = []
    for index in range(COUNT):
        pixels = {name: shown(index, name) for name in portrait(index).parts}
        colour = {name: found.mean(0) for name, found in pixels.items() if len(found)}
        skin = colour["skin"]
        assert skin[0] > skin[2], index
        assert np.abs(colour["neck"] - skin).max() < 110, index
        for name in ("u_lip", "l_lip"):
            assert colour[name][0] > colour[name][1], (index, name)
        if len(pixels.get("hair", ())) > 200:
            apart.append(float(np.abs(colour["hair"] - shown(index, "background").mean(0)).max()))
    assert np.mean(np.array(apart) > 15) > 0.85


def test_portraits_vary() -> None:
    skins = np.array([shown(i, "skin").mean() for i in range(COUNT)])
    assert skins.min() < 85
    assert skins.max() > 190
    photos = np.stack([portrait(i).photo[::8, ::8].ravel() for i in range(COUNT)]).astype(np.float32)
    assert min(float(np.abs(photos[:i] - photos[i]).mean(-1).min()) for i in range(1, COUNT)) > 5


def test_a_portrait_is_frozen() -> None:
    drawn = portrait(0)
    with pytest.raises(AttributeError):
        drawn.photo = drawn.photo  # type: ignore[misc]
    with pytest.raises(TypeError):
        drawn.parts["skin"] = drawn.parts["nose"]  # type: ignore[index]
    assert replace(drawn).photo is drawn.photo
