from __future__ import annotations

import numpy as np
import pytest

from facesynth.errors import InputError
from facesynth.labels import CELEBAMASK_HQ
from facesynth.model.config.model import COLOURED
from facesynth.model.data.style_colours import (
    MOST,
    colour_of,
    measure_colours,
    numbers_of,
    parse_colours,
    to_lab,
    to_rgb,
)


@pytest.mark.parametrize("region", COLOURED)
def test_numbers_and_colours_are_each_others_inverse(region):
    for numbers in np.random.default_rng(0).uniform(-1.3, 1.3, (50, 3)).astype(np.float32):
        assert numbers_of(region, colour_of(region, numbers)) == pytest.approx(numbers, abs=1e-3)


@pytest.mark.parametrize("region", COLOURED)
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (0, 255, 0), (255, 0, 255), (255, 0, 0)])
def test_any_colour_has_numbers_within_the_range_of_random_ones(region, colour):
    numbers = numbers_of(region, to_lab(np.array([[colour]], np.uint8))[0, 0])
    assert np.isfinite(numbers).all()
    assert np.abs(numbers).max() <= MOST


def test_random_numbers_give_hair_from_black_to_white_red_to_yellow():
    numbers = np.random.default_rng(1).standard_normal((500, 3)).astype(np.float32)
    lab = to_lab(to_rgb(np.stack([colour_of("hair", each) for each in numbers])[None]))[0]
    assert lab[:, 0].min() < 10
    assert lab[:, 0].max() > 85
    assert (lab[:, 1:] > -3).all()  # neither green nor blue
    hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1]))[np.hypot(lab[:, 1], lab[:, 2]) > 10]
    assert hue.min() < 48
    assert hue.max() > 75


def test_mean_colours_by_region():
    photo = np.zeros((20, 20, 3), np.uint8)
    labels = np.zeros((20, 20), np.uint8)
    photo[:] = (10, 20, 200)
    photo[5:10] = (200, 100, 50)
    labels[5:10] = CELEBAMASK_HQ.classes.index("hair")
    labels[15, 15] = CELEBAMASK_HQ.classes.index("skin")  # a quarter of the least area
    found = measure_colours(photo, labels, CELEBAMASK_HQ, COLOURED)
    assert found == {"hair": "#c86432", "background": "#0a14c8"}


def test_colours_as_people_write_them():
    regions = ("hair", "cloth")
    by_code, by_name = (parse_colours({"cloth": text}, regions) for text in ("#000080", "Navy"))
    assert list(by_code) == [1]
    assert np.array_equal(by_code[1], by_name[1])
    assert by_code[1][2] < -1  # blue


@pytest.mark.parametrize(
    ("colours", "says"),
    [
        ({"hair": "blond"}, "colour of hair is 'blond'; needed: #rrggbb, or a name such as navy"),
        ({"hair": ""}, "colour of hair is ''; needed"),
        ({"hare": "red"}, "colour is given for 'hare'; this model has them for: hair, cloth"),
        ({"skin": "red"}, "colour is given for 'skin'"),
    ],
)
def test_what_is_no_colour_or_no_region_is_refused(colours, says):
    with pytest.raises(InputError, match=says):
        parse_colours(colours, ("hair", "cloth"))
