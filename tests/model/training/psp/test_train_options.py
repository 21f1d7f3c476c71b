"""What a run can be told to do otherwise, and what it leaves for others to read."""

from __future__ import annotations

import csv
import dataclasses
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from facesynth import images
from facesynth.errors import DivergenceError, InputError
from facesynth.manifest import read_dataset
from facesynth.model.checkpoints import native
from facesynth.model.data.low_resolution import lowered
from facesynth.model.data.pairs import PairedFaces
from facesynth.model.data.tensors import photo_tensor, to_pictures
from facesynth.model.training.optimizers import make_optimizer
from facesynth.model.training.psp.train import _Run, train
from facesynth.model.training.psp.validation import Validation

from ....runs import assert_same_outcome, cell_of, save_model, small_run
from ....trees import contents
from ...recipe import tiny_config

pytestmark = pytest.mark.usefixtures("no_curves")


def run(faces, out, config, **options):
    return train(faces, out, config, **({"device": "cpu", "workers": 0} | options))


def rows_of(root: Path, split: str) -> list[dict[str, str]]:
    rows = csv.DictReader((root / "metrics.csv").read_text().splitlines())
    return [row for row in rows if row["split"] == split]


def state_of(root: Path, step: int) -> native.Checkpoint:
    return native.load(root / f"checkpoints/step-{step:08d}.safetensors")


@pytest.fixture(scope="module")
def undisturbed(faces, tmp_path_factory, no_curves):
    root = tmp_path_factory.mktemp("undisturbed") / "run"
    run(faces, root, small_run())
    return root


# ------------------------------------------------------------------------------------------------------ how steps are made


@pytest.mark.slow
def test_parts_of_a_step_add_up_to_its_gradient(faces, tmp_path):
    """Two parts of one photo each; with the photo twice in the batch, they are the whole."""
    shutil.copytree(faces, tmp_path / "data")
    rows = read_dataset(faces).rows
    only = rows[(rows["split"] == "val") | (rows["id"] == rows[rows["split"] == "train"]["id"].iloc[0])]
    only.to_csv(tmp_path / "data/manifest.csv", index=False)
    given = save_model(tmp_path / "given.safetensors")  # whose layers add no noise
    config = small_run(train_generator=False, flip=False, steps=3, interval=3)
    for parts in (1, 2):
        changed = dataclasses.replace(config, accumulate=parts)
        run(tmp_path / "data", tmp_path / str(parts), changed, generator=given)
    whole, in_parts = (rows_of(tmp_path / name, "train") for name in "12")
    for name in ("loss", "l2", "w_norm", "gradient_norm"):
        assert float(in_parts[0][name]) == pytest.approx(float(whole[0][name]), rel=1e-4)
    for one, two in zip(whole, in_parts, strict=True):  # rounding grows from step to step
        assert float(two["loss"]) == pytest.approx(float(one["loss"]), rel=2e-3)
    batches = [state_of(tmp_path / name, 3).tensors["model.encoder.trunk.stem.1.num_batches_tracked"] for name in "12"]
    assert [int(batch) for batch in batches] == [3, 6]  # batch norm sees the parts one by one


@pytest.mark.slow
def test_long_gradients_are_clipped(faces, tmp_path):
    given = save_model(tmp_path / "given.safetensors")
    first = native.load(given).tensors
    moved = {}
    for limit in (0.0, 1e-13):
        config = small_run(train_generator=False, steps=1, interval=1, clip_norm=limit)
        run(faces, tmp_path / str(limit), config, generator=given)
        tensors = state_of(tmp_path / str(limit), 1).state_of("model")
        moved[limit] = tensors["encoder.trunk.stem.0.weight"]
    norms = [float(rows_of(tmp_path / str(limit), "train")[0]["gradient_norm"]) for limit in moved]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)
    assert norms[0] > 1e-3
    begun = train_start(faces, tmp_path / "begun", given)
    assert (moved[1e-13] - begun).abs().max() < 1e-5
    assert (moved[0.0] - begun).abs().max() > 1e-3
    assert set(first) >= {"latent_avg"}


def train_start(faces, out, given) -> torch.Tensor:
    """The first convolution before any step."""

    class Stop(Exception):
        pass

    def stop(split, step, terms):
        raise Stop

    with pytest.raises(Stop):
        run(faces, out, small_run(train_generator=False, steps=1, interval=1), generator=given, report=stop)
    return state_of(out, 0).state_of("model")["encoder.trunk.stem.0.weight"]


@pytest.mark.slow
def test_muon_moves_the_encoders_kernels_as_a_whole_and_adam_muon_does_not(faces, tmp_path):
    """By the learning rate in the mean square, in directions that weigh about the same; Adam moves every weight by itself."""
    given = save_model(tmp_path / "given.safetensors")
    begun = train_start(faces, tmp_path / "begun", given)
    moved = {}
    for optimizer in ("muon", "adam-muon", "adam"):
        config = small_run(train_generator=False, steps=1, interval=1, optimizer=optimizer, learning_rate=1e-2)
        run(faces, tmp_path / optimizer, config, generator=given)
        kernel = state_of(tmp_path / optimizer, 1).state_of("model")["encoder.trunk.stem.0.weight"]
        moved[optimizer] = (kernel - begun).flatten(1)
    assert float(moved["muon"].square().mean().sqrt()) == pytest.approx(config.learning_rate, rel=0.3)
    values = torch.linalg.svdvals(moved["muon"])
    assert float(values.max() / values.min()) < 2.5
    torch.testing.assert_close(moved["adam-muon"], moved["adam"])
    assert float(moved["adam"].abs().max()) == pytest.approx(config.learning_rate, rel=0.01)


class Stop(Exception):
    pass


@pytest.mark.slow
def test_rates_fall_towards_the_last_step_wherever_the_run_was_stopped(faces, tmp_path, monkeypatch):
    optimizers, rates = [], []
    make = make_optimizer

    def watched(*arguments):
        optimizers.append(make(*arguments))
        return optimizers[-1]

    def note(split, step, terms):
        if split == "train":
            rates.append([group["lr"] for group in optimizers[-1].param_groups])

    def note_and_stop(split, step, terms):
        note(split, step, terms)
        if (split, step) == ("train", 3):
            raise Stop

    monkeypatch.setattr("facesynth.model.training.psp.train.make_optimizer", watched)
    config = small_run(steps=4, interval=2, cooldown=0.75, generator_learning_rate=1e-2)
    run(faces, tmp_path / "whole", config, report=note)
    shares = np.array([1, 1, 2 / 3, 1 / 3])
    np.testing.assert_allclose(rates, shares[:, None] * [config.learning_rate, config.generator_learning_rate])
    with pytest.raises(Stop):
        run(faces, tmp_path / "halves", config, report=note_and_stop)
    assert run(faces, tmp_path / "halves", config, report=note).started == 2
    assert rates[4:] == [*rates[:3], *rates[2:4]]
    assert_same_outcome(tmp_path / "halves", tmp_path / "whole")
    run(faces, tmp_path / "constant", dataclasses.replace(config, cooldown=0.0))
    name = "model.encoder.trunk.stem.0.weight"
    fallen, constant = (state_of(tmp_path / run, 4).tensors[name] for run in ("whole", "constant"))
    assert (fallen - constant).abs().max() > config.learning_rate / 2  # the last two steps went less far
    del rates[:]
    longer = dataclasses.replace(config, steps=8)  # carried further, they go by the longer run
    run(faces, tmp_path / "whole", longer, report=note)
    np.testing.assert_allclose([first for first, _ in rates], config.learning_rate * np.array([4, 3, 2, 1]) / 6)


@pytest.mark.slow
def test_reduced_precision_is_near_and_leaves_full_weights(faces, tmp_path, undisturbed):
    run(faces, tmp_path, small_run(precision="bf16"))
    for rough, exact in zip(rows_of(tmp_path, "val"), rows_of(undisturbed, "val"), strict=True):
        assert float(rough["l2"]) == pytest.approx(float(exact["l2"]), rel=0.1)
    assert rows_of(tmp_path, "train")[0]["l2"] != rows_of(undisturbed, "train")[0]["l2"]
    floats = [value for value in state_of(tmp_path, 6).tensors.values() if value.is_floating_point()]
    assert {value.dtype for value in floats} == {torch.float32}


@pytest.mark.slow
def test_compiled_networks_are_the_same_networks(faces, tmp_path, undisturbed, monkeypatch):
    compiled = []

    def compile_nothing(function, *arguments, **options):
        compiled.append(function)
        return function

    monkeypatch.setattr(torch, "compile", compile_nothing)
    run(faces, tmp_path / "run", small_run(), compile=True)
    assert {function.__name__ for function in compiled} == {"_call_impl", "synthesise"}
    assert_same_outcome(tmp_path / "run", undisturbed)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"compiling needs a C\+\+ compiler, and \S+ is not to be found: install one"):
        run(faces, tmp_path / "other", small_run(), compile=True)


# -------------------------------------------------------------------------------------------------------- photos go in


def test_photos_go_in_at_low_resolution(faces, tmp_path):
    model = tiny_config(condition="photo", input_channels=3)
    config = small_run("photo2face", model, steps=2, interval=2, low_resolution=(4, 8))
    run(faces, tmp_path, config)
    sheet = images.read_photo(tmp_path / "samples/step-00000002.png")
    pairs = PairedFaces(read_dataset(faces), "photo", "val", model)
    for row, factor in enumerate((4, 8, 4)):  # the same for the same photo at every interval
        photo = pairs[row][2]
        small = to_pictures(lowered(photo_tensor(torch.from_numpy(photo)[None]), [factor]))[0]
        np.testing.assert_array_equal(cell_of(sheet, row, 0, 128), images.resize(small, (128, 128)))
        np.testing.assert_array_equal(cell_of(sheet, row, 2, 128), images.resize(photo, (128, 128)))
    given = native.load(native.find(tmp_path))
    assert (given.task, given.config.condition, given.config.input_channels) == ("photo2face", "photo", 3)


# --------------------------------------------------------------------------------------------------------- what it keeps


@pytest.mark.slow
@pytest.mark.parametrize(("keep", "steps"), [(1, (8,)), (3, (4, 6, 8))])
def test_the_newest_checkpoints_stay(faces, tmp_path, keep, steps):
    done = run(faces, tmp_path, small_run(steps=8, interval=2), keep=keep)
    assert set(contents(tmp_path / "checkpoints")) == {f"step-{step:08d}.safetensors" for step in steps}
    assert native.load(native.find(tmp_path)).info["step"] == done.best_step
    with pytest.raises(InputError, match="keep is 0; needed: at least 1"):
        run(faces, tmp_path, small_run(), keep=0)


def test_a_run_of_an_earlier_facesynth_goes_on(faces, tmp_path, undisturbed):
    shutil.copytree(undisturbed, tmp_path / "run")
    noted = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    for name in ("l2_crop", "lpips_crop", "lpips_network", "identity", "moco", "accumulate", "clip_norm", "precision"):
        del noted[name]
    (tmp_path / "run/config.yaml").write_text(yaml.safe_dump(noted, sort_keys=False))
    assert run(faces, tmp_path / "run", small_run(steps=7)).started == 6
    shutil.copytree(undisturbed, tmp_path / "other")
    (tmp_path / "other/config.yaml").write_text(yaml.safe_dump(noted, sort_keys=False))
    with pytest.raises(InputError, match=r"another clip_norm \(0\.0, now 1\.0\)"):
        run(faces, tmp_path / "other", small_run(clip_norm=1.0))


def test_the_readme_says_what_made_the_run(faces, tmp_path):
    run(faces, tmp_path, small_run(steps=1), command="facesynth train --data a --out 'b c'")
    text = (tmp_path / "README.md").read_text()
    assert "\nfacesynth train --data a --out 'b c'\n" in text
    assert f"| PyTorch, torchvision | {torch.__version__}, " in text
    assert "| device | cpu |" in text
    named = {line.split("`")[1].rstrip("/") for line in text.splitlines() if line.startswith("| `")}
    assert named == {path.name for path in tmp_path.iterdir()} - {"README.md"}
    for private in (socket.gethostname(), str(Path.home()), str(tmp_path), str(faces)):
        assert private not in text


@pytest.mark.slow
def test_tensorboard_is_told_every_term(faces, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = small_run(steps=4, interval=2)
    run(faces, tmp_path, dataclasses.replace(config, steps=2), trackers=["tensorboard"])
    run(faces, tmp_path, config, trackers=["tensorboard"])
    events = EventAccumulator(str(tmp_path / "events/facesynth"))
    events.Reload()
    told = {event.step: event.value for event in events.Scalars("train/l2")}
    assert told == {int(row["step"]): pytest.approx(float(row["l2"]), rel=1e-4) for row in rows_of(tmp_path, "train")}
    assert [event.step for event in events.Scalars("val/w_norm")] == [0, 2, 4]
    assert {"train/loss", "train/gradient_norm", "val/loss"} <= set(events.Tags()["scalars"])


# -------------------------------------------------------------------------------------------------------------- divergence


@pytest.mark.slow
def test_a_validation_that_is_no_number_leaves_what_was_there(faces, tmp_path, monkeypatch):
    run(faces, tmp_path, small_run(steps=3))
    before = contents(tmp_path / "checkpoints") | {"best": (tmp_path / "model.safetensors").read_bytes()}
    measure = Validation.measure
    monkeypatch.setattr(Validation, "measure", lambda *given: measure(*given) | {"l2": float("nan")})
    with pytest.raises(DivergenceError, match=r"the validation l2 is nan after step 6; the last checkpoint, .*00003\."):
        run(faces, tmp_path, small_run())
    assert contents(tmp_path / "checkpoints") | {"best": (tmp_path / "model.safetensors").read_bytes()} == before


def test_a_gradient_that_is_no_number_is_blamed_on_its_own_batch(faces, tmp_path, monkeypatch):
    monkeypatch.setattr(_Run, "_gradient_norm", lambda self: float("inf") if self.step == 1 else 1.0)
    with pytest.raises(DivergenceError, match=r"the gradient norm is inf at step 2, photos 0000\d, 0000\d; the last "):
        run(faces, tmp_path, small_run())
    assert [row["step"] for row in rows_of(tmp_path, "train")] == ["1"]  # how it came to that is written down
