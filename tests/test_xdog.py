import numpy as np

from facesynth.prep.sketches.drawing import draw
from facesynth.prep.sketches.presets import resolve
from facesynth.xdog import draw_photo


def test_a_photo_is_drawn_as_by_the_default_of_prep_sketches():
    photo = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8).repeat(12, axis=0).repeat(12, axis=1)
    expected = draw(photo, resolve("xdog"))
    assert np.ptp(expected) > 200
    assert np.abs(draw_photo(photo).astype(int) - expected).max() <= 1
