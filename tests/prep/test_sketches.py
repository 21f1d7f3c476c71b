"""Sketch filters against the formula's own results, their properties, and parameters that are refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from skimage.data import astronaut

from facesynth.errors import InputError
from facesynth.prep.sketches import dodge, luma, xdog

if TYPE_CHECKING:
    from numpy.typing import NDArray

GOLDEN = Path(__file__).parents[1] / "data" / "sketches.npz"
FILTERS = pytest.mark.parametrize("draw", [dodge, xdog])
GREY = np.random.default_rng(3).random((24, 30))


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("dodge_sigma4", lambda grey: dodge(grey, sigma=4)),
        ("dodge_sigma10", lambda grey: dodge(grey, sigma=10)),
        ("xdog_0", lambda grey: xdog(grey, sigma=1.4, k=1.6, p=20, epsilon=0.7, phi=10)),
        ("xdog_1", lambda grey: xdog(grey, sigma=0.8, k=1.6, p=10, epsilon=0.5, phi=5)),
        ("xdog_2", lambda grey: xdog(grey, sigma=2.0, k=1.6, p=30, epsilon=0.6, phi=3)),
    ],
)
def test_agreement_with_the_golden_results(name: str, draw: Callable[..., NDArray[np.float32]]) -> None:
    with np.load(GOLDEN) as golden:
        expected = golden[name]
    difference = np.abs(draw(luma(astronaut()))[40:168, 160:288] - expected)
    print(f"{name}: differs by {difference.mean():.1e} in the mean, {difference.max():.1e} at worst")
    assert expected.std() > 0.05
    assert difference.mean() <= 2e-4
    assert difference.max() <= 5e-3


def test_luma_of_pure_colours() -> None:
    photo = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0]]], np.uint8)
    np.testing.assert_allclose(luma(photo), [[0.299, 0.587, 0.114, 1, 0]], atol=1e-6)


@FILTERS
@pytest.mark.parametrize("level", [0.0, 0.02, 0.3, 1.0])
def test_even_picture_gives_an_even_drawing(draw: Callable[..., NDArray[np.float32]], level: float) -> None:
    drawing = draw(np.full((20, 30), level))
    assert drawing.dtype == np.float32
    assert drawing.shape == (20, 30)
    assert np.ptp(drawing) < 1e-5
    if draw is dodge:
        np.testing.assert_allclose(drawing, 1, atol=1e-5)
    else:
        np.testing.assert_allclose(drawing, 1 + math.tanh(min(2 * (level - 0.15), 0)), atol=1e-5)


@FILTERS
@pytest.mark.parametrize("sigma", [0.01, 0.5, 5.0, 100.0, 1e9])
def test_drawing_is_from_black_to_white(draw: Callable[..., NDArray[np.float32]], sigma: float) -> None:
    for grey in (GREY, GREY.round(), np.zeros_like(GREY), GREY * (GREY > 0.8)):
        drawing = draw(grey, sigma=sigma)
        assert np.isfinite(drawing).all()
        assert drawing.min() >= 0
        assert drawing.max() <= 1


def test_a_very_wide_blur_is_the_mean() -> None:
    np.testing.assert_allclose(dodge(GREY, sigma=1e9), np.minimum(GREY / GREY.mean(), 1), atol=0.03)


def test_dark_line_on_light_paper_stays() -> None:
    grey = np.full((40, 40), 0.9)
    grey[:, 19:21] = 0.1
    for drawing in (dodge(grey), xdog(grey)):
        assert drawing[:, 19:21].max() < 0.5
        assert drawing[:, :10].min() > 0.99


def test_one_pixel() -> None:
    assert dodge(np.ones((1, 1))).tolist() == xdog(np.ones((1, 1))).tolist() == [[1.0]]


@pytest.mark.parametrize("number", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize(
    ("draw", "name"), [(dodge, "sigma"), (xdog, "sigma"), (xdog, "phi"), (xdog, "k"), (xdog, "p"), (xdog, "epsilon")]
)
def test_parameters_out_of_range(draw: Callable[..., NDArray[np.float32]], name: str, number: float) -> None:
    if (name == "epsilon" and math.isfinite(number)) or (name, number) == ("p", 0):
        assert np.isfinite(draw(GREY, **{name: number})).all()
    else:
        with pytest.raises(InputError, match=f"^{name} is {number}; needed"):
            draw(GREY, **{name: number})


def test_k_must_be_more_than_1() -> None:
    with pytest.raises(InputError, match=r"k is 1\.0; needed"):
        xdog(GREY, k=1.0)


@FILTERS
@pytest.mark.parametrize("grey", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_what_is_no_grey_picture(draw: Callable[..., NDArray[np.float32]], grey: NDArray) -> None:
    with pytest.raises(InputError, match=r"needed: \(H, W\) float in \[0, 1\]"):
        draw(grey)


@pytest.mark.parametrize("photo", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)])
def test_what_is_no_photo(photo: NDArray) -> None:
    with pytest.raises(InputError, match=r"needed: \(H, W, 3\) uint8"):
        luma(photo)


def test_blur_mirrors_the_border_without_its_edge_pixel() -> None:
    at = np.arange(-8, 9)
    kernel = np.exp(-(at**2) / (2 * 1.5**2))
    blurred = GREY
    for axis in (0, 1):
        width = [(8, 8) if axis == other else (0, 0) for other in (0, 1)]
        padded = np.pad(blurred, width, mode="reflect")
        blurred = np.apply_along_axis(np.convolve, axis, padded, kernel / kernel.sum(), "valid")
    np.testing.assert_allclose(dodge(GREY, sigma=1.5), np.minimum(GREY / blurred, 1), atol=2e-3)
