from __future__ import annotations

import pytest

from facesynth.errors import InputError
from facesynth.files import write_text
from facesynth.model.training.metrics_log import Metrics

HEADER = (
    "step,split,loss,l2,l1,l2_crop,lpips,lpips_crop,identity,moco,laplacian,lines,parsing,w_norm,gradient_norm,"
    "seconds,images_per_second"
)


def terms(value: float) -> dict[str, float]:
    return {"loss": 2 * value, "l2": value, "w_norm": 10 * value}


def test_rows_and_header(tmp_path):
    metrics = Metrics(tmp_path / "metrics.csv", -1)
    metrics.add(0, "val", terms(0.5), 0.0)
    metrics.add(1, "train", terms(1 / 3) | {"lpips": 1e-7, "laplacian": 2.0, "gradient_norm": 0.25}, 1.256, 12.3456)
    assert not metrics.path.exists()
    metrics.write()
    assert metrics.path.read_text() == (
        f"{HEADER}\n0,val,1,0.5,,,,,,,,,,5,,0.00,\n1,train,0.666667,0.333333,,,1e-07,,,,2,,,3.33333,0.25,1.26,12.35\n"
    )


def test_another_kind_of_run_has_its_own_terms(tmp_path):
    metrics = Metrics(tmp_path / "metrics.csv", -1, ("r1", "swd"))
    metrics.add(0, "val", {"swd": 12.5}, 0.0)
    metrics.add(1, "train", {"r1": 0.25}, 1.0, 8.0)
    metrics.write()
    assert metrics.path.read_text() == (
        "step,split,r1,swd,seconds,images_per_second\n0,val,,12.5,0.00,\n1,train,0.25,,1.00,8\n"
    )
    assert metrics.validation("swd") == [12.5]


@pytest.mark.parametrize(("last", "kept", "seconds"), [(-1, 0, 0.0), (0, 1, 1.5), (3, 3, 4.5), (9, 5, 7.5)])
def test_going_on_drops_the_rows_of_later_steps(tmp_path, last, kept, seconds):
    rows = [f"{step},{split},1,1,,,,,,,,,,1,,{1.5 * (place + 1):.2f}," for place, (step, split) in enumerate(
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
        f"{last + 1},train,2,1,,,,,,,,,,10,,{seconds + 1:.2f},",
    ]


def test_rows_of_an_earlier_facesynth_get_the_columns_of_today(tmp_path):
    write_text(tmp_path / "metrics.csv", "step,split,loss,l2,lpips,laplacian,w_norm,seconds\n0,val,4,3,2,,1,9.50\n")
    metrics = Metrics(tmp_path / "metrics.csv", 0)
    assert (metrics.lines, metrics.seconds) == (["0,val,4,3,,,2,,,,,,,1,,9.50,"], 9.5)
    assert metrics.validation("lpips") == [2.0]


@pytest.mark.parametrize("content", [b"step\nabc\n", b"step\n1\n", b"\xff\xfe\n\xff"])
def test_another_file_in_its_place(tmp_path, content):
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"metrics\.csv cannot be read as a run's metrics: .*; remove it"):
        Metrics(tmp_path / "metrics.csv", 5)


@pytest.mark.parametrize("row", ["1,train", "x,val,1", "1,val,1,1,,,,,,,,,,1,,soon,"])
def test_damaged_rows_are_one_line(tmp_path, row):
    write_text(tmp_path / "metrics.csv", f"{HEADER}\n{row}\n")
    with pytest.raises(InputError, match=r"metrics\.csv cannot be read as a run's metrics: .*; remove it$"):
        Metrics(tmp_path / "metrics.csv", 5)
