from __future__ import annotations

import math

import numpy as np
import pytest

from facesynth.errors import InputError
from facesynth.evaluation.metrics.colours import colours_apart
from facesynth.evaluation.metrics.lines import line_level, line_scores


def plain_scores(wanted: np.ndarray, found: np.ndarray, reach: float) -> tuple[float, float, float]:
    """By the distance of every line pixel to every other."""
    a, b = np.argwhere(wanted).astype(float), np.argwhere(found).astype(float)
    apart = np.sqrt(((a[:, None] - b[None]) ** 2).sum(2))
    recall, precision = (apart.min(1) <= reach).mean(), (apart.min(0) <= reach).mean()
    return precision, recall, 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize(("side", "reach"), [(64, 1), (128, 2), (200, 3)])
def test_the_reach_grows_with_the_width(side, reach):
    rng = np.random.default_rng(side)
    wanted, found = rng.random((2, side, side)) < 0.02
    assert line_scores(wanted, found) == pytest.approx(plain_scores(wanted, found, reach), rel=1e-4)


def test_no_lines_at_all():
    lines, none = np.eye(32, dtype=bool), np.zeros((32, 32), bool)
    assert all(math.isnan(score) for score in line_scores(none, lines))
    assert line_scores(lines, none) == (0, 0, 0)
    assert line_scores(lines, lines) == pytest.approx((1, 1, 1))
    with pytest.raises(InputError, match="one shape"):
        line_scores(lines, none[:-1])


def test_pencil_and_ink_have_their_own_level():
    ink, pencil, blank = np.full((3, 64, 64), 255, np.uint8)
    ink[10:12], pencil[10:12], blank[0, 0] = 0, 195, 240
    assert line_level(ink) == pytest.approx(127.5)
    assert line_level(pencil) == pytest.approx(225)
    assert line_level(blank) is None


def test_colours_apart_is_the_distance_in_lab():
    faces = np.zeros((2, 16, 16, 3), np.uint8)
    faces[1] = 255
    labels = np.zeros((16, 16), np.uint8)
    labels[:8] = 1
    apart = colours_apart(faces, labels, [0, 1, 2])
    assert apart[:2] == pytest.approx([100, 100], abs=0.01)  # from black to white
    assert math.isnan(apart[2])
