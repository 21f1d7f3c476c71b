from __future__ import annotations

import cv2
import numpy as np
import pytest

from facesynth.labels import CELEBAMASK_HQ
from facesynth.paper import (
    CROPPED,
    LEVELLED,
    UNRULED,
    clean_paper,
    crop_to_sheet,
    is_clean,
    level,
    paper_tone,
    sheet_ratio,
)
from facesynth.prep.portraits.draw import draw_portrait
from facesynth.prep.sketches.drawing import draw
from facesynth.prep.sketches.presets import PRESETS, resolve

SIZE = 256


def drawing(line: int = 0) -> np.ndarray:
    """A head of thin lines on white."""
    sheet = np.full((SIZE, SIZE), 255, np.uint8)
    cv2.ellipse(sheet, (128, 130), (60, 80), 0, 0, 360, line, 2, cv2.LINE_AA)
    for x in (105, 151):
        cv2.ellipse(sheet, (x, 115), (12, 6), 0, 0, 360, line, 2, cv2.LINE_AA)
    cv2.ellipse(sheet, (128, 165), (22, 10), 0, 0, 180, line, 2, cv2.LINE_AA)
    cv2.line(sheet, (128, 125), (122, 145), line, 2, cv2.LINE_AA)
    return sheet


def photographed(sheet: np.ndarray, light: np.ndarray | float, noise: float = 2.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.clip(sheet * light + rng.normal(0, noise, sheet.shape), 0, 255).astype(np.uint8)


def slope(bright: float, dark: float) -> np.ndarray:
    return np.linspace(bright, dark, SIZE)[None] * np.linspace(1, dark / bright, SIZE)[:, None]


LIGHTS = {"even": 0.7, "dim": 0.35, "from a side": slope(0.9, 0.5), "warm lamp": slope(0.85, 0.7)}


@pytest.mark.parametrize("light", LIGHTS.values(), ids=LIGHTS.keys())
def test_photographed_paper_becomes_white_and_lines_stay(light):
    clean = drawing()
    found, notes = clean_paper(photographed(clean, light))
    assert notes == [LEVELLED]
    assert np.mean(found[clean == 255] >= 250) > 0.97
    assert np.median(found[clean == 0]) <= 30
    assert np.abs(found.astype(int) - clean).mean() < 3


def test_faint_pencil_becomes_dark():
    found, _ = clean_paper(photographed(drawing(line=170), 0.8, noise=1.0))
    assert np.median(found[drawing() == 0]) < 80


@pytest.mark.parametrize("shade", [0, 120])
def test_a_clean_drawing_stays_as_it_is(shade):
    sheet = drawing()
    sheet[:60] = np.minimum(sheet[:60], 255 - shade)  # hair that reaches the border
    found, notes = clean_paper(sheet)
    assert is_clean(sheet, paper_tone(sheet))
    assert (found is sheet, notes) == (True, [])


@pytest.mark.parametrize(
    "name", [f"{method}:{preset}" if preset else method for method in PRESETS for preset in ("", *PRESETS[method])]
)
def test_no_sketch_of_preparing_is_taken_for_a_photographed_one(name):
    for index in range(2):
        portrait = draw_portrait(3, index, size=SIZE, mask_size=SIZE)
        labels = np.zeros((SIZE, SIZE), np.uint8)
        for part, mask in portrait.parts.items():
            labels[mask] = CELEBAMASK_HQ.classes.index(part)
        sketch = draw(portrait.photo, resolve(name), labels=labels)
        assert clean_paper(sketch)[1] == []


def test_keep_and_level_are_obeyed():
    sheet = photographed(drawing(), 0.7)
    assert clean_paper(sheet, "keep")[0] is sheet
    assert clean_paper(drawing(), "level")[1] == [LEVELLED]


def test_black_margins_of_a_scan_are_cut_off():
    scan = np.full((SIZE + 40, SIZE + 25), 8, np.uint8)
    scan[10 : 10 + SIZE, :SIZE] = drawing()
    found, notes = clean_paper(scan)
    np.testing.assert_array_equal(found, drawing())
    assert notes == [CROPPED]


def test_a_sheet_on_a_table_is_cut_out_and_straightened():
    target = np.array([[70, 50], [330, 75], [345, 340], [55, 320]], np.float32)
    corners = np.array([[0, 0], [SIZE, 0], [SIZE, SIZE], [0, SIZE]], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, target)
    table = np.full((400, 400), 60, np.uint8)
    on_it = cv2.warpPerspective(photographed(drawing(), 0.85), matrix, (400, 400), borderValue=0)
    covered = cv2.warpPerspective(np.ones((SIZE, SIZE), np.uint8), matrix, (400, 400)) > 0
    found, notes = clean_paper(np.where(covered, on_it, table))
    assert notes == [CROPPED, LEVELLED]
    found = cv2.resize(found, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    wanted = cv2.GaussianBlur(drawing(), (0, 0), 3).astype(float)
    assert np.corrcoef(cv2.GaussianBlur(found, (0, 0), 3).ravel(), wanted.ravel())[0, 1] > 0.85


def corners_in_a_photo(ratio: float, angles: tuple[float, float, float], focal: float) -> np.ndarray:
    """Where a camera with 640 x 480 pixels sees the corners of a sheet (4, 2), clockwise from the top left."""
    sheet = np.array([[-ratio, -1, 0], [ratio, -1, 0], [ratio, 1, 0], [-ratio, 1, 0]]) / 2
    seen = sheet @ cv2.Rodrigues(np.array(angles))[0].T + [0.05, -0.1, 2.2 * focal / 640]
    return seen[:, :2] / seen[:, 2:] * focal + [320, 240]


@pytest.mark.parametrize("ratio", [1.0, 2**0.5, 0.75, 1.62, 0.45])
@pytest.mark.parametrize(
    ("angles", "focal"),
    [
        ((0.0, 0.0, 0.1), 900),
        ((0.3, -0.35, 0.1), 480),
        ((0.3, -0.35, 0.1), 900),
        ((-0.2, 0.45, -0.15), 700),
        ((0.4, 0.0, 0.0), 480),  # corners do not tell the focal length, which is a phone's
    ],
)
def test_corners_tell_the_ratio_of_the_sides_at_any_angle(ratio, angles, focal):
    assert sheet_ratio(corners_in_a_photo(ratio, angles, focal), (640, 480)) == pytest.approx(ratio, rel=0.01)


def test_a_ratio_near_a_usual_one_is_taken_for_it():
    corners = np.array([[100, 100], [402, 102], [400, 304], [99, 302]], float)
    assert sheet_ratio(corners, (640, 480)) == 1.5


def test_a_sheet_seen_at_an_angle_keeps_its_drawing_in_place():
    clean = np.full((400, 400), 255, np.uint8)
    dots = [(80, 80), (320, 90), (200, 200), (100, 330), (310, 300)]
    for dot in dots:
        cv2.circle(clean, dot, 8, 0, -1)
    corners = corners_in_a_photo(1.0, (0.35, -0.3, 0.05), 700)
    edges = np.array([[0, 0], [400, 0], [400, 400], [0, 400]], np.float32)
    matrix = cv2.getPerspectiveTransform(edges, corners.astype(np.float32))
    photo = cv2.warpPerspective(clean, matrix, (640, 480), borderValue=40, flags=cv2.INTER_AREA)
    sheet = crop_to_sheet(photo)
    height, width = sheet.shape
    assert width / height == pytest.approx(1, abs=0.01)
    found = cv2.connectedComponentsWithStats((sheet < 128).astype(np.uint8))[3][1:] / width
    for dot in dots:
        assert np.linalg.norm(found - np.array(dot) / 400, axis=1).min() < 0.004


def test_a_dark_drawing_is_no_sheet_on_a_table():
    hair = drawing()
    cv2.ellipse(hair, (128, 60), (90, 60), 0, 0, 360, 0, -1)
    assert crop_to_sheet(hair) is None


@pytest.mark.parametrize("grid", [False, True])
def test_ruled_lines_are_removed(grid):
    clean = drawing()
    ruled = clean.copy()
    for at in range(12, SIZE, 16):
        ruled[at] = np.minimum(ruled[at], 190)
        if grid:
            ruled[:, at] = np.minimum(ruled[:, at], 190)
    found, notes = clean_paper(ruled)
    assert notes == [UNRULED]
    assert np.mean(found[clean == 255] > 245) > 0.99
    assert np.median(found[clean == 0]) < 90


def test_few_straight_lines_of_a_drawing_stay():
    sheet = drawing()
    for at in (20, 60, 200, 230):
        sheet[at, 20:-20] = 0
    found, notes = clean_paper(sheet)
    assert (found is sheet, notes) == (True, [])


def test_an_empty_sheet_has_no_lines():
    sheet = photographed(np.full((SIZE, SIZE), 255, np.uint8), 0.7)
    found = level(sheet, paper_tone(sheet))
    assert np.mean(found > 200) > 0.95
