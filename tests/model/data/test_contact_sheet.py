from __future__ import annotations

import numpy as np
import pytest

from facesynth import images
from facesynth.labels import CELEBAMASK_HQ
from facesynth.model.data.contact_sheet import contact_sheet, show_condition

from ...runs import cell_of


def noise(seed: int, size: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, (size, size, 3), np.uint8)


def test_every_picture_is_in_its_cell():
    rows = [[noise(0), noise(1)], [noise(2), None], [noise(4), noise(5, 40)]]
    sheet = contact_sheet(rows, ["condition", "face"], cell=20)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            expected = np.full((20, 20, 3), 255) if picture is None else images.resize(picture, (20, 20))
            np.testing.assert_array_equal(cell_of(sheet, y, x, 20), expected)
    assert sheet.shape == (22 + 3 * 24, 4 + 2 * 24, 3)


def test_between_the_cells_it_is_white():
    sheet = contact_sheet([[noise(0), noise(1)]] * 2, ["a", "b"], cell=20).copy()
    for y in range(2):
        for x in range(2):
            cell_of(sheet, y, x, 20)[:] = 255
    assert (sheet[22:] == 255).all()


def test_every_column_has_a_heading_of_its_own():
    sheet = contact_sheet([[noise(0)] * 3], ["face", "", "photo"], cell=60)
    dark = [(sheet[:22, 4 + x * 64 : 64 + x * 64] < 128).any(axis=2) for x in range(3)]
    assert [bool(ink.any()) for ink in dark] == [True, False, True]
    assert (dark[0] != dark[2]).any()


def test_conditions_as_people_see_them():
    labels = np.array([[0, 1, 13]], np.uint8)
    shown = show_condition(labels, "labels", CELEBAMASK_HQ)
    assert shown.tolist() == [[[0, 0, 0], [0xCC, 0, 0], [0, 0, 0xCC]]]
    assert show_condition(labels, "sketch", CELEBAMASK_HQ).tolist() == [[[0] * 3, [1] * 3, [13] * 3]]
    photo = noise(3)
    np.testing.assert_array_equal(show_condition(photo, "photo", CELEBAMASK_HQ), photo)


@pytest.mark.parametrize("cell", [16, 64])
def test_pictures_are_shown_at_the_size_of_the_cell(cell):
    sheet = contact_sheet([[np.full((32, 32, 3), 77, np.uint8)]], [""], cell=cell)
    assert (cell_of(sheet, 0, 0, cell) == 77).all()
    assert (sheet == 77).all(axis=2).sum() == cell * cell
