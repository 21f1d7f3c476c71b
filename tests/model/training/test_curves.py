from __future__ import annotations

import numpy as np
import pytest

from facesynth import images
from facesynth.errors import InputError
from facesynth.model.training.curves import COLOURS, compare_runs, plot_losses
from facesynth.model.training.metrics_log import Metrics

from ...trees import contents
from .test_metrics_log import terms


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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("values", [[], [0.0], [0.0, 1.0], [2.0] * 40])
def test_short_and_flat_runs_can_be_plotted(tmp_path, values):
    metrics = Metrics(written(tmp_path / "a.csv", values), 1000)
    metrics.add(len(values), "val", terms(0.5), 1)
    metrics.write()
    plot_losses(tmp_path / "a.csv", tmp_path / "a.png")
    assert count_like(images.read_photo(tmp_path / "a.png"), VALIDATION) > 3


@pytest.mark.slow
def test_four_terms_and_more_are_laid_out_in_rows(tmp_path):
    metrics = Metrics(tmp_path / "a.csv", -1)
    for step in range(20):
        metrics.add(step, "train", {"loss": 1, "l2": 2, "lpips": 3, "laplacian": 4, "w_norm": 5 + step}, step)
    metrics.write()
    plot_losses(tmp_path / "a.csv", tmp_path / "a.png")
    picture = images.read_photo(tmp_path / "a.png")
    below = np.array_split(np.array_split(picture, 2, axis=0)[1], 3, axis=1)
    assert [count_like(panel, SMOOTHED) > 150 for panel in below] == [
        True,
        True,
        False,
    ]  # five terms: the last is empty


def colour_of(number):
    return tuple(int(COLOURS[number][place : place + 2], 16) for place in (1, 3, 5))


@pytest.mark.slow
def test_several_runs_are_drawn_over_each_other(tmp_path):
    runs = [tmp_path / name for name in ("plain/run", "styled/run")]
    for run, last in zip(runs, (0.1, 0.01), strict=True):
        run.mkdir(parents=True)
        written(run / "metrics.csv", np.geomspace(1, last, 60))
    for n in (1, 2):
        compare_runs(runs[:n], tmp_path / f"{n}.png")
        picture = images.read_photo(tmp_path / f"{n}.png")
        assert [count_like(picture, colour_of(number)) > 300 for number in range(2)] == [True, n == 2]
    before = contents(tmp_path)
    with pytest.raises(
        InputError, match=r"there is no .*none/metrics\.csv; give folders that `facesynth train --out` made"
    ):
        compare_runs([runs[0], tmp_path / "none"], tmp_path / "3.png")
    with pytest.raises(InputError, match="9 runs came to compare; needed: 1 to 8"):
        compare_runs([runs[0]] * 9, tmp_path / "3.png")
    for content, says in (
        (b"a,b\n1,2\n", "lacks the columns step, split and seconds"),
        (b"", "cannot be read as a run's"),
        (b"step,split,loss,seconds\n1,train,x,1\n", "'loss' is no column of numbers"),
        (b"step,split,\x1b[2J,seconds\n1,train,1,1\n", "is no column of numbers"),
    ):
        (tmp_path / "metrics.csv").write_bytes(content)
        with pytest.raises(InputError, match=says):
            compare_runs([tmp_path], tmp_path / "3.png")
    (tmp_path / "metrics.csv").unlink()
    assert contents(tmp_path) == before
