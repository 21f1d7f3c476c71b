from __future__ import annotations

import cv2
import numpy as np
import pytest

from facesynth.model.data import rough_sketches


def drawing(size: int = 128, thickness: int = 3) -> np.ndarray:
    """Two circles and a stroke on white paper."""
    sketch = np.full((size, size), 255, np.uint8)
    cv2.circle(sketch, (size // 2, size // 2), size // 3, 0, thickness)
    cv2.circle(sketch, (size // 2, size // 2), size // 6, 0, thickness)
    cv2.line(sketch, (size // 8, size // 9), (7 * size // 8, size // 9), 0, thickness)
    return sketch


def ink(sketch: np.ndarray) -> float:
    return float((255 - sketch.astype(float)).sum())


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("size", [64, 128, 512])
def test_thicker_lines_have_more_ink_and_thinner_ones_less(size):
    sketch = drawing(size, thickness=5)
    inks = [ink(rough_sketches.thicken(sketch, width)) for width in (-3.5, -1.5, -0.6, -0.2, 0.0, 0.2, 0.6, 1.5, 3.5)]
    assert inks == sorted(set(inks))
    assert inks[0] < 0.15 * ink(sketch)  # next to nothing is left of a line narrower than that
    assert inks[4] == ink(sketch)


@pytest.mark.parametrize("width", [0.5, 1.0, 1.7, 2.0])
def test_a_line_gets_as_much_wider_as_asked(width):
    line = np.full((40, 40), 255, np.uint8)
    line[:, 18:23] = 0
    thick, thin = (rough_sketches.thicken(line, sign * width)[20] for sign in (1, -1))
    assert ink(thick) / 255 == pytest.approx(5 + 2 * width, abs=0.02)
    assert ink(thin) / 255 == pytest.approx(5 - 2 * width, abs=0.02)


def test_shades_are_left_out_and_lines_stay():
    sketch = np.full((128, 128), 255, np.uint8)
    sketch[20:100, 20:60] = 120  # an area in grey
    sketch[:, 90:92] = 0  # a line
    flat = rough_sketches.leave_out_shades(sketch, 3.0, 1.0)
    assert flat[60, 40] == 255
    assert flat[60, 21] < 230  # its outline
    assert flat[60, 91] < 60
    assert flat[10, 110] == 255
    np.testing.assert_array_equal(rough_sketches.leave_out_shades(sketch, 3.0, 0.0), sketch)
    half = rough_sketches.leave_out_shades(sketch, 3.0, 0.5)
    assert 180 < half[60, 40] < 195


def test_lines_drawn_twice_keep_the_first_and_add_a_fainter_one():
    sketch = drawing()
    twice = rough_sketches.restate(sketch, 4.0, 30.0, 0.5, rng())
    assert (twice <= sketch).all()
    assert 1.1 * ink(sketch) < ink(twice) < 1.6 * ink(sketch)
    assert twice[sketch == 255].min() >= 126
    reach = cv2.erode(sketch, np.ones((13, 13), np.uint8))
    assert (twice[reach == 255] == 255).all()


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7])
@pytest.mark.parametrize("size", [8.0, 60.0])
def test_gaps_take_their_share_of_the_area_in_patches_of_their_size(share, size):
    kept = [rough_sketches.gaps((256, 256), share, size, rng(seed)) for seed in range(8)]
    assert np.mean([1 - mask.mean() for mask in kept]) == pytest.approx(share, abs=0.04)
    crossings = np.mean([(np.diff(mask > 0.5, axis=1) != 0).sum(axis=1).mean() for mask in kept])
    assert 0.1 * 256 / size < crossings < 2 * 256 / size
    assert min(mask.min() for mask in kept) == 0
    assert max(mask.max() for mask in kept) == 1


def test_no_gaps():
    assert (rough_sketches.gaps((20, 30), 0.0, 5.0, rng()) == np.ones((20, 30))).all()


def test_erasing_leaves_the_rest_of_the_ink():
    sketch = drawing()
    kept = np.ones(sketch.shape, np.float32)
    kept[:, :64] = 0
    erased = rough_sketches.erase(sketch, kept)
    assert (erased[:, :64] == 255).all()
    np.testing.assert_array_equal(erased[:, 64:], sketch[:, 64:])


def test_paper_and_pencil_have_the_tones_asked_for():
    sketch = drawing()
    even = rough_sketches.on_paper(sketch, darkness=0.2, unevenness=0, grain=0, faintness=0.4, rng=rng())
    assert set(np.unique(even)) == {round(255 * 0.8), round(255 * 0.4 * 0.8)}
    uneven = rough_sketches.on_paper(sketch, darkness=0.4, unevenness=1, grain=0, faintness=0, rng=rng())
    paper = uneven[sketch == 255]
    assert round(255 * 0.6) <= paper.min() < paper.max() - 20
    grainy = rough_sketches.on_paper(sketch, darkness=0.3, unevenness=0, grain=0.05, faintness=0, rng=rng())
    assert grainy[sketch == 255].std() == pytest.approx(0.05 * 255, rel=0.1)
    plain = rough_sketches.on_paper(sketch, darkness=0, unevenness=1, grain=0, faintness=0, rng=rng())
    np.testing.assert_array_equal(plain, sketch)


def test_out_of_focus_lines_keep_their_ink_and_lose_their_edges():
    sketch = drawing()
    soft = rough_sketches.soften(sketch, 2.0)
    assert ink(soft) == pytest.approx(ink(sketch), rel=0.02)
    assert np.abs(np.diff(soft.astype(int), axis=1)).max() < 100
    np.testing.assert_array_equal(rough_sketches.soften(sketch, 0.0), sketch)
