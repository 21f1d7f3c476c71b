from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from facesynth import images
from facesynth.errors import InputError
from facesynth.labels import CELEBAMASK_HQ, LabelScheme
from facesynth.manifest import read_dataset
from facesynth.model.data.freehand import Roughness, roughen

NOTHING = Roughness().scaled(0)


@pytest.fixture(scope="module")
def conditions(faces):
    """A label map and a sketch of the same portrait, 64 px."""
    data = read_dataset(faces)
    row = data.rows.iloc[1]
    return {
        "labels": images.read_labels(data.root / row["labels"], data.scheme),
        "sketch": images.read_sketch(data.root / row["sketch_xdog"]),
    }


def resized(array, kind, size):
    return images.resize(array, (size, size), labels=kind == "labels")


def rough(array, kind, roughness, seed, scheme=CELEBAMASK_HQ):
    return roughen(array, kind, roughness, np.random.default_rng(seed), scheme)


@pytest.mark.parametrize("size", [64, 256, 512])
@pytest.mark.parametrize("kind", ["labels", "sketch"])
def test_rough_conditions_are_still_those_of_the_face(conditions, kind, size):
    whole = resized(conditions[kind], kind, size)
    changed = []
    for seed in range(8):
        drawn = rough(whole, kind, Roughness(), seed)
        assert (drawn.shape, drawn.dtype) == (whole.shape, np.uint8)
        if kind == "labels":
            assert set(np.unique(drawn)) <= set(np.unique(whole))
            changed.append((drawn != whole).mean())
        else:
            changed.append(np.abs(drawn.astype(float) - whole).mean() / 255)
    assert 0.01 < np.mean(changed) < 0.25
    assert max(changed) > 3 * min(changed)  # from careful hands to careless ones


@pytest.mark.parametrize("kind", ["labels", "sketch"])
def test_roughness_looks_the_same_at_every_size(conditions, kind):
    """What a small picture becomes is, but for its pixels, what a large one does."""
    small, large = (resized(conditions[kind], kind, size) for size in (64, 512))
    for seed in range(4):
        fine = images.resize(rough(large, kind, NO_CHANCES, seed), (64, 64), labels=kind == "labels")
        coarse = rough(small, kind, NO_CHANCES, seed)
        apart = (fine != coarse).mean() if kind == "labels" else np.abs(fine.astype(float) - coarse).mean() / 255
        assert apart < 0.06


NO_CHANCES = Roughness(growth=0, shift=0, corners=0, dropped=0, shades=0, twice=0, breaks=0, paper=0, width=0)
"""What is left are bends and blurs, which draw as many numbers at every size."""


@pytest.mark.parametrize("kind", ["labels", "sketch"])
def test_the_generator_is_all_that_is_random(conditions, kind):
    once, again, other = (rough(conditions[kind], kind, Roughness(), seed) for seed in ([1, 2], [1, 2], [1, 3]))
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()


@pytest.mark.parametrize("kind", ["labels", "sketch"])
def test_nothing_rough_changes_nothing(conditions, kind):
    for seed in range(3):
        np.testing.assert_array_equal(rough(conditions[kind], kind, NOTHING, seed), conditions[kind])


def test_photos_are_nobodys_drawings():
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    np.testing.assert_array_equal(rough(photo, "photo", Roughness(), 0), photo)


EFFECTS = {
    "labels": ("proportions", "tremor", "corners", "growth", "shift", "dropped"),
    "sketch": ("proportions", "tremor", "width", "shades", "twice", "breaks", "erased", "faintness", "paper", "blur"),
}


@pytest.mark.parametrize(
    ("kind", "effect"), [(kind, effect) for kind, effects in EFFECTS.items() for effect in effects]
)
def test_every_effect_grows_with_its_strength(conditions, kind, effect):
    whole = resized(conditions[kind], kind, 192)

    def change(strength):
        one = dataclasses.replace(NOTHING, **{effect: strength})
        if effect == "twice":
            one = dataclasses.replace(one, tremor=2.5)  # a second line lies apart by as much as the hand wavers
        drawn = [rough(whole, kind, one, seed) for seed in range(12)]
        return np.mean([(array != whole).mean() for array in drawn])

    most = getattr(Roughness(), effect)
    assert change(most / 4) < change(most)
    other = next(name for name in EFFECTS if name != kind)
    if effect not in EFFECTS[other]:
        untouched = dataclasses.replace(NOTHING, **{effect: most})
        np.testing.assert_array_equal(rough(conditions[other], other, untouched, 1), conditions[other])


def test_both_of_a_pair_are_left_out_together(conditions):
    labels = conditions["labels"]
    classes = CELEBAMASK_HQ.classes
    eyes = {classes.index("l_eye"), classes.index("r_eye")} & set(np.unique(labels))
    assert len(eyes) == 2
    left = []
    for seed in range(40):
        drawn = rough(labels, "labels", dataclasses.replace(NOTHING, dropped=1.0), seed)
        left.append(len(eyes & set(np.unique(drawn))))
        gone = [number for number in np.unique(labels) if number not in drawn]
        assert classes.index("skin") not in gone
        for number in gone:
            within = any(word in classes[number] for word in ("eye", "brow", "nose", "lip", "mouth"))
            assert set(np.unique(drawn[labels == number])) == {1 if within else 0}
    assert set(left) == {0, 2}


def test_label_maps_of_other_schemes(conditions):
    few = np.minimum(conditions["labels"], 2)
    scheme = LabelScheme("few", ("nothing", "face", "rest"))
    seen = {tuple(np.unique(rough(few, "labels", Roughness(dropped=1.0), seed, scheme))) for seed in range(20)}
    assert (0, 1, 2) in seen
    assert seen <= {(0,), (0, 1), (0, 2), (0, 1, 2)}
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("name", "value", "most"),
    [("tremor", -0.1, 128), ("erased", 1.1, 1), ("blur", 200, 128), ("shift", float("nan"), 128)],
)
def test_strengths_out_of_range(name, value, most):
    with pytest.raises(InputError, match=f"^{name} is {value}; needed: 0 to {most}$"):
        Roughness(**{name: value})


def test_strengths_scale_together():
    twice = Roughness().scaled(2)
    assert (twice.tremor, twice.corners) == (2 * Roughness().tremor, 2 * Roughness().corners)
    assert twice.shades == 1
    with pytest.raises(InputError, match="the factor of the roughness is -1; needed: a number, at least 0"):
        Roughness().scaled(-1)
    with pytest.raises(InputError, match=r"^proportions is .*; needed: 0 to 128"):
        Roughness().scaled(100)
