"""Label schemes: the classes of the contract, their colours, mirrors, and the way from one scheme to another."""

from __future__ import annotations

import numpy as np
import pytest

from facesynth.errors import InputError
from facesynth.labels import CELEBAMASK_HQ, SCHEMES, LabelScheme, get_scheme, remap

from .trees import CLASSES

COLOURS = [
    "000000",
    "cc0000",
    "4c9900",
    "cccc00",
    "3333ff",
    "cc00cc",
    "00ffff",
    "ffcccc",
    "663300",
    "ff0000",
    "66cc00",
    "ffff00",
    "000099",
    "0000cc",
    "ff3399",
    "00cccc",
    "003300",
    "ff9933",
    "00cc00",
]
EACH = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


def test_ids_of_the_contract() -> None:
    assert list(CELEBAMASK_HQ.classes) == CLASSES
    assert CELEBAMASK_HQ.parts == tuple(CLASSES[1:])
    assert len(CELEBAMASK_HQ) == 19


def test_colours_of_the_contract() -> None:
    assert ["".join(f"{value:02x}" for value in colour) for colour in CELEBAMASK_HQ.colours] == COLOURS


@EACH
def test_schemes_hold_the_same_classes_and_colours(scheme: LabelScheme) -> None:
    assert sorted(scheme.classes) == sorted(CLASSES)
    assert scheme.classes[0] == "background"
    assert dict(zip(scheme.classes, scheme.colours, strict=True)) == dict(
        zip(CLASSES, CELEBAMASK_HQ.colours, strict=True)
    )


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("face-parsing", {"skin": 1, "l_brow": 2, "r_eye": 5, "eye_g": 6, "nose": 10, "cloth": 16, "hat": 18}),
        ("celebamask-hq-older", {"skin": 1, "neck": 2, "hat": 3, "hair": 5, "l_eye": 9, "nose": 13, "l_lip": 18}),
    ],
)
def test_ids_of_other_schemes(name: str, ids: dict[str, int]) -> None:
    assert {part: get_scheme(name).classes.index(part) for part in ids} == ids


def test_mirror_pairs_of_the_contract() -> None:
    pairs = {frozenset(pair) for pair in enumerate(CELEBAMASK_HQ.mirror) if pair[0] != pair[1]}
    assert pairs == {frozenset(pair) for pair in ((4, 5), (6, 7), (8, 9))}


@EACH
def test_mirror_twice_is_nothing(scheme: LabelScheme) -> None:
    assert [scheme.mirror[scheme.mirror[number]] for number in range(len(scheme))] == list(range(len(scheme)))


@EACH
@pytest.mark.parametrize("other", SCHEMES)
def test_remap_keeps_names_and_comes_back(scheme: LabelScheme, other: str) -> None:
    target = get_scheme(other)
    labels = np.arange(len(scheme), dtype=np.uint8)[None].repeat(2, axis=0)
    there = remap(labels, scheme, target)
    assert there.dtype == np.uint8
    assert [target.classes[number] for number in there[1]] == list(scheme.classes)
    np.testing.assert_array_equal(remap(there, target, scheme), labels)


def test_remap_of_an_empty_map() -> None:
    assert remap(np.zeros((0, 4), np.uint8), CELEBAMASK_HQ, get_scheme("face-parsing")).shape == (0, 4)


def test_remap_refuses_an_id_too_high() -> None:
    with pytest.raises(InputError, match="id 19; celebamask-hq has 0 to 18"):
        remap(np.array([[3, 19]], np.uint8), CELEBAMASK_HQ, get_scheme("face-parsing"))


def test_remap_refuses_other_classes() -> None:
    with pytest.raises(InputError, match=r"celebamask-hq and cats .* whiskers"):
        remap(np.zeros((1, 1), np.uint8), CELEBAMASK_HQ, LabelScheme("cats", ("background", "whiskers")))


def test_unknown_scheme_lists_the_known() -> None:
    with pytest.raises(InputError, match=r"'celeba' is not known.*celebamask-hq, face-parsing, celebamask-hq-older"):
        get_scheme("celeba")
