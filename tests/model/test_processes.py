"""Several processes on a CPU, and the shares that they take."""

from __future__ import annotations

import csv
import os
import socket
import subprocess
from pathlib import Path

import pytest
import torch

from facesynth.errors import InputError
from facesynth.model import checkpoint, processes
from facesynth.model.data import TrainingOrder
from facesynth.model.processes import Shares, noise_sources, places
from facesynth.model.training import train

from ..runs import assert_same_outcome, save_model, small_run
from ..trees import COMMAND, leftovers


@pytest.mark.parametrize(("n_processes", "n_parts"), [(1, 1), (2, 1), (1, 3), (3, 2)])
def test_the_shares_of_a_step_are_its_batch(n_processes, n_parts):
    order = TrainingOrder(10, 6, seed=1, start=2, stop=5)
    batches = list(order)
    shares = [list(Shares(order, process, n_processes, n_parts)) for process in range(n_processes)]
    for process, share in enumerate(shares):
        assert len(share) == len(Shares(order, process, n_processes, n_parts)) == 3 * n_parts
    for step, batch in enumerate(batches):
        parts = [share[step * n_parts + part] for part in range(n_parts) for share in shares]
        assert [index for part in parts for index in part] == batch
    assert sorted(
        place for process in range(n_processes) for part in places(6, process, n_processes, n_parts) for place in part
    ) == list(range(6))


def test_the_noise_of_a_photo_depends_on_seed_step_and_place_alone():
    def drawn(seed, step, places):
        return [
            torch.randn(2, generator=source).tolist()
            for source in noise_sources(seed, step, places, torch.device("cpu"))
        ]

    whole = drawn(3, 7, range(4))
    assert drawn(3, 7, [2, 3]) == whole[2:]
    everything = [*whole, *drawn(3, 8, range(4)), *drawn(4, 7, range(4))]
    assert len({tuple(values) for values in everything}) == 12


def launched(n_processes: int, *arguments: object) -> list[subprocess.CompletedProcess[str]]:
    """The command in so many processes, as `torchrun` starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = []
    for rank in range(n_processes):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": n_processes, "LOCAL_WORLD_SIZE": n_processes}
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
        environment = {**os.environ, **{name: str(value) for name, value in (place | meeting).items()}}
        running.append(
            subprocess.Popen(
                [COMMAND, *map(str, arguments)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    results = []
    for process in running:
        out, err = process.communicate(timeout=200)
        results.append(subprocess.CompletedProcess(process.args, process.returncode, out, err))
    return results


def command(data: Path, out: Path, *options: object) -> list[object]:
    fixed = ("--task", "seg2face", "--train-generator", "--lpips", 0, "--device", "cpu", "-q", "--learning-rate", 1e-4)
    return ["train", "--data", data, "--out", out, *fixed, "--batch-size", 4, "--interval", 2, *options]


def rows_of(root: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((root / "metrics.csv").read_text().splitlines()))


def test_two_processes_train_as_one_does(faces, tmp_path):
    options = ("--steps", 4, "--optimizer", "adam")
    for count, name in ((1, "one"), (2, "two")):
        for done in launched(count, *command(faces, tmp_path / name, *options)):
            assert (done.returncode, done.stderr) == (0, "")
    assert leftovers(tmp_path / "two") == []
    assert "| device | cpu, 2 processes |" in (tmp_path / "two/README.md").read_text()
    terms = ("loss", "l2", "laplacian", "w_norm", "gradient_norm")
    rows, others = rows_of(tmp_path / "one"), rows_of(tmp_path / "two")
    assert [(row["step"], row["split"]) for row in rows] == [(row["step"], row["split"]) for row in others]
    assert len(rows) == 7
    for row, other in zip(rows, others, strict=True):
        for name in terms:
            if row[name]:
                assert float(other[name]) == pytest.approx(float(row[name]), rel=1e-3), (row["step"], name)
    states = [checkpoint.load(tmp_path / name / "checkpoints/step-00000004.safetensors") for name in ("one", "two")]
    for name, value in states[0].state_of("model").items():
        if "running" in name:  # each process alone would have other statistics
            torch.testing.assert_close(states[1].tensors[f"model.{name}"], value, atol=2e-3, rtol=2e-3, msg=name)
    told = [done.stdout for done in launched(2, *command(faces, tmp_path / "two", *options))]
    assert [bool(out) for out in told] == [True, False]  # what there is to say, the first process says


def test_two_processes_go_on_where_they_were(faces, tmp_path):
    for done in launched(2, *command(faces, tmp_path / "whole", "--steps", 4)):
        assert done.returncode == 0
    for steps in (2, 4):
        for done in launched(2, *command(faces, tmp_path / "halves", "--steps", steps)):
            assert (done.returncode, done.stderr) == (0, "")
    assert_same_outcome(tmp_path / "halves", tmp_path / "whole")


def test_a_batch_that_cannot_be_shared_out(faces, tmp_path):
    for done in launched(2, *command(faces, tmp_path / "run", "--batch-size", 3)):
        assert done.returncode == 2
        assert done.stderr == "facesynth: batch_size is 3; needed: a multiple of 2 processes with 1 parts each\n"
    assert not (tmp_path / "run").exists()


def test_gradients_of_parts_add_up(faces, tmp_path):
    """With a model that has no batch norm in training, parts are the whole: here one photo, several times over."""
    given = save_model(tmp_path / "given.safetensors")
    config = small_run(train_generator=False, steps=2, interval=2, batch_size=2, flip=False)
    for accumulate in (1, 2):
        out = tmp_path / str(accumulate)
        train(
            faces,
            out,
            small_run(**{**_values(config), "accumulate": accumulate}),
            generator=given,
            device="cpu",
            workers=0,
        )
    one, two = rows_of(tmp_path / "1"), rows_of(tmp_path / "2")
    assert float(one[0]["l2"]) == float(two[0]["l2"])
    assert float(one[1]["l2"]) == pytest.approx(float(two[1]["l2"]), rel=0.05)  # batch norm sees one photo at a time
    assert one[1]["l2"] != two[1]["l2"]


def _values(config):
    return {name: getattr(config, name) for name in ("train_generator", "steps", "interval", "batch_size", "flip")}


@pytest.mark.parametrize(
    ("options", "changes", "says"),
    [
        ({"device": "cpu"}, {"precision": "fp16"}, "precision is 'fp16' but the device cpu; needed: cuda, or another"),
        ({"trackers": ["visdom"]}, {}, "tracker 'visdom' is not known; give one of: tensorboard, wandb"),
    ],
)
def test_what_cannot_be_started(tmp_path, options, changes, says):
    with pytest.raises(InputError, match=says):
        processes.start(**{"device": "cpu", "config": small_run(**changes), "out": tmp_path, **options})


def test_a_tracker_that_is_not_installed_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"tracker 'wandb' needs its package; pip install 'facesynth\[wandb\]'"):
        processes.start("cpu", small_run(), tmp_path, ["wandb"])
