"""Several processes on a CPU, and the shares that they take."""

from __future__ import annotations

import csv
import os
import socket
import subprocess
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from facesynth.errors import InputError
from facesynth.model.checkpoints import native
from facesynth.model.config.gan import DISCRIMINATORS
from facesynth.model.config.gan import preset as generator_preset
from facesynth.model.config.presets import preset
from facesynth.model.data.order import TrainingOrder
from facesynth.model.losses.lpips import load_lpips
from facesynth.model.training import distributed
from facesynth.model.training.distributed import MicroBatches, micro_batch_indices, noise_sources
from facesynth.model.training.gan.networks import TRAINING_TERMS
from facesynth.model.training.gan.train import train_generator
from facesynth.model.training.psp.train import train

from ...runs import small_run, write_lpips
from ...trees import COMMAND, PATIENCE, leftovers

pytestmark = pytest.mark.usefixtures("no_curves")


@pytest.mark.parametrize(("n_processes", "n_micro_batches"), [(1, 1), (2, 1), (1, 3), (3, 2)])
def test_the_shares_of_a_step_are_its_batch(n_processes, n_micro_batches):
    order = TrainingOrder(10, 6, seed=1, start=2, stop=5)
    batches = list(order)
    shares = [list(MicroBatches(order, process, n_processes, n_micro_batches)) for process in range(n_processes)]
    for process, share in enumerate(shares):
        assert len(share) == len(MicroBatches(order, process, n_processes, n_micro_batches)) == 3 * n_micro_batches
    for step, batch in enumerate(batches):
        parts = [share[step * n_micro_batches + part] for part in range(n_micro_batches) for share in shares]
        assert [index for part in parts for index in part] == batch
    assert sorted(
        place
        for process in range(n_processes)
        for part in micro_batch_indices(6, process, n_processes, n_micro_batches)
        for place in part
    ) == list(range(6))


def test_the_noise_of_a_photo_depends_on_seed_step_and_place_alone():
    def drawn(seed, step, indices):
        return [
            torch.randn(2, generator=source).tolist()
            for source in noise_sources(seed, step, indices, torch.device("cpu"))
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
        out, err = process.communicate(timeout=PATIENCE)
        results.append(subprocess.CompletedProcess(process.args, process.returncode, out, err))
    return results


@pytest.mark.slow
def test_two_processes_train_as_one_does(faces, tmp_path):
    """Two processes, which stop halfway and go on, against one in one go, on pairs changed at random:
    losses, and the statistics of the batch norms."""
    config = preset(
        "small", "seg2face", n_classes=19, train_generator=True, lpips=0.0, optimizer="adam", learning_rate=1e-4,
        batch_size=4, interval=2, steps=4, augment=1.0, rough=1.0,
    )  # fmt: skip
    train(faces, tmp_path / "one", config, device="cpu", workers=0)
    fixed = ("--data", faces, "--task", "seg2face", "--out", tmp_path / "two", "--train-generator", "--lpips", 0, "-q")
    options = ("--optimizer", "adam", "--learning-rate", 1e-4, "--batch-size", 4, "--interval", 2, "--device", "cpu")
    changed = ("--augment", 1, "--rough", 1, "--skip-bad", 1)
    for steps in (2, 4):
        first, second = launched(2, "train", *fixed, *options, *changed, "--steps", steps)
        assert [(done.returncode, done.stderr) for done in (first, second)] == [(0, ""), (0, "")]
        assert (bool(first.stdout), second.stdout) == (True, "")  # what there is to say, the first process says
    assert leftovers(tmp_path / "two") == []
    assert "| device | cpu, 2 processes |" in (tmp_path / "two/README.md").read_text()
    rows, others = rows_of(tmp_path / "one"), rows_of(tmp_path / "two")
    assert [(row["step"], row["split"]) for row in rows] == [(row["step"], row["split"]) for row in others]
    assert len(rows) == 7
    for row, other in zip(rows, others, strict=True):
        for name in ("loss", "l2", "laplacian", "w_norm", "gradient_norm"):
            if row[name]:
                assert float(other[name]) == pytest.approx(float(row[name]), rel=1e-3), (row["step"], name)
    one, two = (native.load(tmp_path / name / "checkpoints/step-00000004.safetensors") for name in ("one", "two"))
    for name, value in one.state_of("model").items():
        if "running" in name:  # each process alone would have other statistics
            torch.testing.assert_close(two.tensors[f"model.{name}"], value, atol=2e-3, rtol=2e-3, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", DISCRIMINATORS)
def test_two_processes_train_a_generator_as_one_does(faces, tmp_path, kind):
    """Each alone would have other gradients, path lengths and signs of scores. No sample is compared with others here."""
    sizes = {"style_dim": 8, "mapping_depth": 2, "channel_base": 256, "channel_max": 8}
    of_discriminator = {} if kind == "projected" else {"group_size": 1}
    config = generator_preset(
        "small", 32, generator_sizes=sizes, discriminator_kind=kind, discriminator_sizes=of_discriminator, batch_size=4,
        interval=2, steps=4, path_interval=2, path_shrink=1, r1_interval=2, augment_p=0.5, augment_speed=40,
        augment_interval=1, generator_learning_rate=1e-4, discriminator_learning_rate=1e-4,
    )  # fmt: skip
    backbone = write_lpips(tmp_path / "alexnet.safetensors") if kind == "projected" else None
    projection = load_lpips(backbone) if backbone else None
    train_generator(faces, tmp_path / "one", config, device="cpu", workers=0, projection=projection)
    fixed = (
        "--data",
        faces,
        "--out",
        tmp_path / "two",
        "--config",
        tmp_path / "one/config.yaml",
        "--device",
        "cpu",
        "-q",
        *(("--lpips-backbone", backbone) if backbone else ()),
    )
    for steps in (2, 4):
        first, second = launched(2, "train-generator", *fixed, "--steps", steps)
        assert [(done.returncode, done.stderr) for done in (first, second)] == [(0, ""), (0, "")]
        assert (bool(first.stdout), second.stdout) == (True, "")
    rows, others = rows_of(tmp_path / "one"), rows_of(tmp_path / "two")
    assert len(rows) == len(others) == 7
    for row, other in zip(rows, others, strict=True):
        for name in (*TRAINING_TERMS, "swd"):
            if row.get(name):
                assert float(other[name]) == pytest.approx(float(row[name]), rel=2e-3, abs=1e-4), (row["step"], name)
    assert {row["augment_p"] for row in rows} > {""}
    assert {row["path_length"] for row in rows} > {""}
    one, two = (
        native.load_generator_state(tmp_path / name / "checkpoints/step-00000004.safetensors")
        for name in ("one", "two")
    )
    for name, value in one.tensors.items():
        if name.endswith("exp_avg_sq"):  # of the gradients of all
            torch.testing.assert_close(two.tensors[name], value, atol=1e-6, rtol=2e-2, msg=name)


def rows_of(root: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((root / "metrics.csv").read_text().splitlines()))


def test_a_batch_that_cannot_be_shared_out(faces, tmp_path, monkeypatch):
    monkeypatch.setattr(Accelerator, "num_processes", 2)
    with pytest.raises(
        InputError, match="batch_size is 3; needed: a multiple of 2 processes with 1 micro-batches each"
    ):
        train(faces, tmp_path / "run", small_run(batch_size=3), device="cpu", workers=0)
    with pytest.raises(
        InputError, match="batch_size is 6; needed: a multiple of 2 processes with 2 micro-batches each"
    ):
        train(faces, tmp_path / "run", small_run(batch_size=6, accumulate=2), device="cpu", workers=0)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "changes", "says"),
    [
        ({"device": "cpu"}, {"precision": "fp16"}, "precision is 'fp16' but the device cpu; needed: cuda, or another"),
        ({"trackers": ["visdom"]}, {}, "tracker 'visdom' is not known; give one of: tensorboard, wandb"),
    ],
)
def test_what_cannot_be_started(tmp_path, options, changes, says):
    with pytest.raises(InputError, match=says):
        distributed.start(**{"device": "cpu", "config": small_run(**changes), "out": tmp_path, **options})


def test_a_tracker_that_is_not_installed_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"tracker 'wandb' needs its package; pip install 'facesynth\[wandb\]'"):
        distributed.start("cpu", small_run(), tmp_path, ["wandb"])


class Tracked:
    """What Accelerate is asked to begin."""

    is_main_process = True

    def __init__(self, *names: str) -> None:
        self.log_with, self.begun = names, []

    def init_trackers(self, name, config, init_kwargs) -> None:
        self.begun.append((config, init_kwargs))


def test_a_run_that_goes_on_is_the_same_for_its_trackers(tmp_path):
    accelerator = Tracked("tensorboard", "wandb")
    for step in (0, 7):
        distributed.track(accelerator, tmp_path / "run", {"steps": 9, "model": {"size": 3}, "generator": None}, step)
    (settings, first), (_, second) = accelerator.begun
    assert settings == {"steps": 9, "model": "{'size': 3}", "generator": "None"}  # trackers take plain values
    assert [begun["tensorboard"]["purge_step"] for begun in (first, second)] == [1, 8]
    assert first["wandb"] == second["wandb"]
    assert (first["wandb"]["name"], first["wandb"]["resume"]) == ("run", "allow")
    distributed.track(accelerator, tmp_path / "other", {}, 0)
    assert accelerator.begun[-1][1]["wandb"]["id"] != first["wandb"]["id"]
    alone = Tracked("tensorboard")
    distributed.track(alone, tmp_path / "third", {}, 0)
    assert "wandb" not in alone.begun[0][1]
    assert not (tmp_path / "third").exists()
