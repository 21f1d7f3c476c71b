from __future__ import annotations

import numpy as np
import pytest

from facesynth import images
from facesynth.errors import InputError
from facesynth.files import write_text
from facesynth.model.metrics import COLUMNS, Metrics, plot_losses

from ..trees import contents

HEADER = "step,split,loss,l2,l2_crop,lpips,lpips_crop,identity,moco,laplacian,w_norm,seconds"


def terms(value: float) -> dict[str, float]:
    return {"loss": 2 * value, "l2": value, "w_norm": 10 * value}


def test_rows_and_header(tmp_path):
    metrics = Metrics(tmp_path / "metrics.csv", -1)
    metrics.add(0, "val", terms(0.5), 0.0)
    metrics.add(1, "train", terms(1 / 3) | {"lpips": 1e-7, "laplacian": 2.0}, 1.256)
    assert not metrics.path.exists()
    metrics.write()
    assert metrics.path.read_text() == (
        f"{HEADER}\n0,val,1,0.5,,,,,,,5,0.00\n1,train,0.666667,0.333333,,1e-07,,,,2,3.33333,1.26\n"
    )
    assert ",".join(COLUMNS) == HEADER


@pytest.mark.parametrize(("last", "kept", "seconds"), [(-1, 0, 0.0), (0, 1, 1.5), (3, 3, 4.5), (9, 5, 7.5)])
def test_going_on_drops_the_rows_of_later_steps(tmp_path, last, kept, seconds):
    rows = [f"{step},{split},1,1,,,,,,,1,{1.5 * (place + 1):.2f}" for place, (step, split) in enumerate(
        [(0, "val"), (2, "train"), (3, "val"), (4, "train"), (5, "train")]
    )]  # fmt: skip
    write_text(tmp_path / "metrics.csv", "\n".join([HEADER, *rows]) + "\n")
    metrics = Metrics(tmp_path / "metrics.csv", last)
    assert metrics.lines == rows[:kept]
    assert metrics.seconds == seconds
    metrics.add(last + 1, "train", terms(1), metrics.seconds + 1)
    metrics.write()
    assert metrics.path.read_text().splitlines() == [
        HEADER,
        *rows[:kept],
        f"{last + 1},train,2,1,,,,,,,10,{seconds + 1:.2f}",
    ]


def test_rows_of_an_earlier_facesynth_get_the_columns_of_today(tmp_path):
    write_text(tmp_path / "metrics.csv", "step,split,loss,l2,lpips,laplacian,w_norm,seconds\n0,val,4,3,2,,1,9.50\n")
    metrics = Metrics(tmp_path / "metrics.csv", 0)
    assert (metrics.lines, metrics.seconds) == (["0,val,4,3,,2,,,,,1,9.50"], 9.5)
    assert metrics.validation("lpips") == [2.0]


@pytest.mark.parametrize("content", [b"step\nabc\n", b"step\n1\n", b"\xff\xfe\n\xff"])
def test_another_file_in_its_place(tmp_path, content):
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"metrics\.csv cannot be read as a run's metrics: .*; remove it"):
        Metrics(tmp_path / "metrics.csv", 5)


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
