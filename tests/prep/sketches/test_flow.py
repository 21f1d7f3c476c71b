"""The flow that guides strokes, and the wide blurs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from facesynth.prep.sketches import flow
from facesynth.prep.sketches.drawing import luma
from facesynth.prep.sketches.methods import fxdog, xdog

if TYPE_CHECKING:
    from numpy.typing import NDArray

GREY = np.random.default_rng(3).random((24, 30))


def test_a_blur_at_a_smaller_size_is_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = luma(astronaut()[:300, :401])
    for sigma in (40.0, 1e6):
        exact = flow.blur(grey, sigma)
        monkeypatch.setattr(flow, "MOST_WORK", 2**20)
        fast = flow.blur(grey, sigma)
        monkeypatch.undo()
        assert 0 < np.abs(fast - exact).max() < 1e-2
        assert np.abs(fast - exact).mean() < 2e-3


def edge(degrees: float) -> NDArray[np.float64]:
    """A soft straight edge through the middle."""
    y, x = np.mgrid[:80, :80] - 39.5
    across = x * math.cos(math.radians(degrees)) + y * math.sin(math.radians(degrees))
    return 0.5 + 0.3 * np.tanh(across / 1.5)


@pytest.mark.parametrize(("degrees", "worst"), [(0, 1e-4), (90, 1e-4), (30, 0.04), (45, 0.04)])
def test_on_a_straight_edge_the_flow_changes_nothing(degrees: float, worst: float) -> None:
    shape = {"p": 20, "epsilon": 0.5, "phi": 1}
    plain, guided = (filter_(edge(degrees), **shape)[20:60, 20:60] for filter_ in (xdog, fxdog))
    assert plain.std() > 0.2
    assert np.abs(guided - plain).max() < worst
    assert np.abs(guided - plain).mean() < worst / 10


def coherence(drawing: NDArray[np.float32]) -> float:
    """How much of the gradients' energy agrees with its neighbours' on a direction, 0 to 1."""
    dx, dy = (cv2.Sobel(drawing, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    xx, yy, xy = (cv2.GaussianBlur(product, (0, 0), 3) for product in (dx * dx, dy * dy, dx * dy))
    return float(np.sqrt((xx - yy) ** 2 + 4 * xy**2).sum() / (xx + yy).sum())


def test_strokes_hold_together_in_noise() -> None:
    y, x = np.mgrid[:128, :128] - 63.5
    rings = 0.6 + 0.3 * np.sin(np.hypot(x, y) / 5)
    noisy = np.clip(rings + np.random.default_rng(5).normal(0, 0.1, rings.shape), 0, 1)
    plain, guided = (filter_(noisy, epsilon=0.4) for filter_ in (xdog, fxdog))
    assert coherence(plain) < 0.5
    assert coherence(guided) > 0.8
    pieces = [cv2.connectedComponents((drawing < 0.5).astype(np.uint8))[0] for drawing in (plain, guided)]
    assert pieces[1] < pieces[0] / 2
    like_clean = [np.corrcoef(drawing.ravel(), xdog(rings, epsilon=0.4).ravel())[0, 1] for drawing in (plain, guided)]
    assert like_clean[1] > like_clean[0] + 0.1


def test_flow_guided_drawing_turns_with_the_picture() -> None:
    grey = cv2.GaussianBlur(np.random.default_rng(5).random((60, 44)), (0, 0), 2)
    grey = (grey - grey.min()) / np.ptp(grey)
    drawing = fxdog(grey)
    assert drawing.std() > 0.2
    np.testing.assert_allclose(np.rot90(drawing), fxdog(np.rot90(grey)), atol=1e-3)
    np.testing.assert_allclose(drawing[:, ::-1], fxdog(grey[:, ::-1]), atol=1e-3)


def test_bands_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fxdog(GREY, epsilon=0.4)
    monkeypatch.setattr(flow, "BAND_PIXELS", 7 * GREY.shape[1])
    np.testing.assert_array_equal(fxdog(GREY, epsilon=0.4), whole)


@pytest.mark.slow
def test_steps_grow_where_many_would_be_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    sample = flow._sample

    def counting(*arguments):
        taken.append(1)
        return sample(*arguments)

    monkeypatch.setattr(flow, "_sample", counting)
    drawing = fxdog(np.tile(GREY, (20, 20)), sigma=1e9, k=1e9, sigma_flow=1e9, sigma_tensor=1e9)
    bands = -(-drawing.shape[0] // (flow.BAND_PIXELS // drawing.shape[1]))
    assert np.isfinite(drawing).all()
    assert len(taken) <= bands * (flow.MOST_STEPS + 1) * (2 + 2 * 3)
