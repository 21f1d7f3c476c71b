from __future__ import annotations

import numpy as np
import pytest

from facesynth import images
from facesynth.model.curves import plot_losses
from facesynth.model.metrics import Metrics

from ..trees import contents
from .test_metrics import terms


def written(path, values):
    metrics = Metrics(path, -1)
    for step, value in enumerate(values):
        metrics.add(step, "train", terms(value), step)
        if step % 10 == 0:
            metrics.add(step, "val", terms(value * 1.5), step)
    metrics.write()
    return path


def count_like(picture, colour):
    return int((np.abs(picture.astype(int) - colour).max(axis=2) < 40).sum())


SMOOTHED, VALIDATION = (0x1F, 0x6F, 0xB2), (0xD1, 0x49, 0x5B)


def test_the_plot_shows_a_panel_a_term_with_both_curves(tmp_path):
    plot_losses(written(tmp_path / "a.csv", np.geomspace(1, 0.01, 60)), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    picture = images.read_photo(tmp_path / "a.png")
    assert picture.shape[1] > 2.5 * picture.shape[0]  # three terms side by side, none for lpips
    for panel in np.array_split(picture, 3, axis=1):
        assert count_like(panel, SMOOTHED) > 150
        assert count_like(panel, VALIDATION) > 60
    plot_losses(written(tmp_path / "b.csv", np.geomspace(0.01, 1, 60)), tmp_path / "b.png")
    assert (images.read_photo(tmp_path / "b.png") != picture).any()
    assert set(contents(tmp_path)) == {"a.csv", "a.png", "b.csv", "b.png"}


@pytest.mark.parametrize("values", [[], [0.0], [0.0, 1.0], [2.0] * 40])
def test_short_and_flat_runs_can_be_plotted(tmp_path, values):
    metrics = Metrics(written(tmp_path / "a.csv", values), 1000)
    metrics.add(len(values), "val", terms(0.5), 1)
    metrics.write()
    plot_losses(tmp_path / "a.csv", tmp_path / "a.png")
    assert count_like(images.read_photo(tmp_path / "a.png"), VALIDATION) > 3
