"""The merge: later classes cover earlier ones, whatever the order in which parts come."""

from __future__ import annotations

import numpy as np
import pytest

from facesynth.errors import InputError
from facesynth.labels import CELEBAMASK_HQ, SCHEMES, get_scheme
from facesynth.prep.masks import merge


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("scheme", SCHEMES)
def test_highest_id_at_a_pixel_wins(seed: int, scheme: str) -> None:
    rng, classes = np.random.default_rng(seed), get_scheme(scheme)
    names = rng.permutation(classes.parts)[: rng.integers(1, 19)]
    parts = {str(name): rng.random((9, 11)) < rng.choice([0.05, 0.3, 0.7]) for name in names}
    expected = np.max([mask * classes.classes.index(name) for name, mask in parts.items()], axis=0)
    merged = merge(parts, classes)
    assert merged.dtype == np.uint8
    np.testing.assert_array_equal(merged, expected)


def test_no_part_is_background() -> None:
    assert not merge({"skin": np.zeros((3, 4), bool)}, CELEBAMASK_HQ).any()


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({}, "no part mask to merge"),
        ({"skin": (2, 2), "beard": (2, 2)}, "part 'beard' is not in celebamask-hq, which has: skin, nose"),
        ({"background": (2, 2)}, "part 'background' is not in"),
        ({"skin": (2, 3), "nose": (4, 2)}, "differ in size: 3 x 2, 2 x 4"),
    ],
)
def test_what_cannot_be_merged(parts: dict[str, tuple[int, int]], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        merge({name: np.ones(shape, bool) for name, shape in parts.items()}, CELEBAMASK_HQ)
