from __future__ import annotations

import csv
import dataclasses
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from facesynth import images
from facesynth.errors import CheckpointError, DatasetError, DivergenceError, FacesynthError, InputError, OutputError
from facesynth.manifest import read_dataset
from facesynth.model.checkpoints import native, state_dict
from facesynth.model.data.pairs import PairedFaces
from facesynth.model.data.tensors import condition_tensor, photo_tensor
from facesynth.model.losses import pixel
from facesynth.model.networks.generator import Generator
from facesynth.model.networks.psp import PSP
from facesynth.model.training.psp.train import _Run, train

from ....runs import (
    assert_same_outcome,
    cell_of,
    outcome,
    reading_processes,
    resplit,
    save_model,
    shuffle_rows,
    small_disk,
    small_model,
    small_run,
)
from ....trees import contents, leftovers

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_curves")]

STYLED = small_run(style_probability=0.5)


class Stop(Exception):
    pass


def run(faces, out, config=STYLED, **options):
    return train(faces, out, config, **({"device": "cpu", "workers": 0} | options))


def rows_of(root: Path) -> list[dict[str, str]]:
    header, *lines = (root / "metrics.csv").read_text().splitlines()
    return [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]


def stop_at(step: int, split: str = "train"):
    def report(now: str, steps: int, terms: dict[str, float]) -> None:
        if (now, steps) == (split, step):
            raise Stop

    return report


@pytest.fixture(scope="module")
def undisturbed(faces, tmp_path_factory, no_curves):
    """A run of six steps with an interval of three, never interrupted."""
    root = tmp_path_factory.mktemp("undisturbed") / "run"
    run(faces, root)
    return root


# ---------------------------------------------------------------------------------------------------- what a run leaves


def test_what_a_run_leaves(undisturbed):
    assert set(contents(undisturbed)) == {
        "README.md",
        "config.yaml",
        "losses.png",
        "metrics.csv",
        "model.safetensors",
        *(f"samples/step-{step:08d}.png" for step in (0, 3, 6)),
        *(f"checkpoints/step-{step:08d}.safetensors" for step in (3, 6)),
    }
    rows = rows_of(undisturbed)
    steps = [(0, "val"), *((n, "train") for n in (1, 2, 3)), (3, "val"), *((n, "train") for n in (4, 5, 6)), (6, "val")]
    assert [(int(row["step"]), row["split"]) for row in rows] == steps
    seconds = [float(row["seconds"]) for row in rows]
    assert seconds == sorted(seconds)
    config = STYLED
    for row in rows:
        assert float(row["loss"]) == pytest.approx(float(row["l2"]) + config.w_norm * float(row["w_norm"]), rel=1e-4)
        assert (row["lpips"], row["laplacian"]) == ("", "")
    noted = yaml.safe_load((undisturbed / "config.yaml").read_text())
    assert (noted["task"], noted["column"], noted["steps"]) == ("seg2face", "labels", 6)
    assert noted["model"]["encoder_units"] == [1, 1, 1, 1]


def test_the_best_model_is_that_of_the_lowest_validation_l2(undisturbed, faces, tmp_path):
    reports = []
    done = run(faces, tmp_path, report=lambda split, step, terms: reports.append((split, step, terms)))
    validated = {step: terms["l2"] for split, step, terms in reports if split == "val"}
    assert (done.started, done.best) == (0, min(validated.values()))
    assert validated[done.best_step] == done.best
    assert done.first == pytest.approx(validated[0], rel=1e-5)
    best = native.load(native.find(tmp_path))
    assert (best.kind, best.info["step"], best.info["val"]["l2"]) == ("model", done.best_step, done.best)
    assert [step for split, step, _ in reports if split == "train"] == [1, 2, 3, 4, 5, 6]
    assert_same_outcome(tmp_path, undisturbed)  # and telling about it changes nothing


@pytest.mark.parametrize(("optimizer", "task"), [("adam", "seg2face"), ("ranger", "sketch2face"), ("muon", "seg2face")])
def test_the_loss_falls_on_a_few_photos(faces, tmp_path, optimizer, task):
    config = small_run(
        task, steps=20, interval=20, batch_size=3, optimizer=optimizer, learning_rate=5e-3, flip=False, laplacian=0.5
    )
    run(faces, tmp_path, config, sketch="xdog" if task == "sketch2face" else None)
    values = [float(row["loss"]) for row in rows_of(tmp_path) if row["split"] == "train"]
    assert np.mean(values[-3:]) < 0.8 * np.mean(values[:3])
    assert float(rows_of(tmp_path)[-1]["laplacian"]) > 0


def test_the_sample_sheet_shows_condition_face_and_photo(undisturbed, faces):
    sheet = images.read_photo(undisturbed / "samples/step-00000006.png")
    pairs = PairedFaces(read_dataset(faces), "labels", "val", small_model())
    for row in range(3):
        _, labels, photo = pairs[row]
        shown = images.colourise(labels, pairs.scheme)
        np.testing.assert_array_equal(cell_of(sheet, row, 0, 128), images.resize(shown, (128, 128)))
        np.testing.assert_array_equal(cell_of(sheet, row, 2, 128), images.resize(photo, (128, 128)))
        assert cell_of(sheet, row, 1, 128).std() > 1
    first = images.read_photo(undisturbed / "samples/step-00000000.png")
    assert (cell_of(first, 0, 1, 128) != cell_of(sheet, 0, 1, 128)).any()
    np.testing.assert_array_equal(cell_of(first, 0, 2, 128), cell_of(sheet, 0, 2, 128))


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_validation_is_the_mean_over_all_photos_as_they_are(faces, tmp_path, batch_size):
    done = run(faces, tmp_path, small_run(steps=1, interval=1, batch_size=batch_size))
    given = native.load(tmp_path / "checkpoints/step-00000001.safetensors")
    model = PSP(given.config).eval()
    state_dict.load_into(model, given.model_state(), given.path)
    pairs = PairedFaces(read_dataset(faces), "labels", "val", given.config)
    values = []
    with torch.no_grad():
        for _, labels, photo in pairs:
            condition = condition_tensor(torch.from_numpy(labels)[None], "labels", 19)
            values.append(pixel.l2(model(condition), photo_tensor(torch.from_numpy(photo)[None])).item())
    assert len(values) == 3
    row = rows_of(tmp_path)[-1]
    assert (row["step"], row["split"]) == ("1", "val")
    assert float(row["l2"]) == pytest.approx(np.mean(values), rel=1e-4)
    assert done.best <= done.first * 1.0001


def test_flips_reach_training_alone(faces, tmp_path):
    for flip in (False, True):
        run(faces, tmp_path / str(flip), small_run(steps=4, interval=4, flip=flip))
    plain, flipped = rows_of(tmp_path / "False"), rows_of(tmp_path / "True")
    assert plain[0]["l2"] == flipped[0]["l2"]  # validation before the first step
    assert [row["l2"] for row in plain[1:5]] != [row["l2"] for row in flipped[1:5]]


@pytest.mark.parametrize("change", ["augment", "rough"])
def test_changed_pairs_reach_training_alone(faces, tmp_path, change, undisturbed):
    plain = rows_of(undisturbed)
    run(faces, tmp_path, dataclasses.replace(STYLED, **{change: 1.0}))
    changed = rows_of(tmp_path)
    assert plain[0]["l2"] == changed[0]["l2"]  # validation before the first step
    assert [row["l2"] for row in plain[1:4]] != [row["l2"] for row in changed[1:4]]


def test_a_run_on_rough_sketches_goes_on_where_it_was_whoever_reads(faces, tmp_path, monkeypatch):
    config = small_run("sketch2face", augment=1.0, rough=1.0)
    run(faces, tmp_path / "whole", config)
    with pytest.raises(Stop):
        run(faces, tmp_path / "run", config, report=stop_at(4))
    monkeypatch.setattr("facesynth.model.data.pairs.CACHE_BYTES", 0)
    run(faces, tmp_path / "run", config, workers=2)
    assert_same_outcome(tmp_path / "run", tmp_path / "whole")
    noted = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert noted["column"] == "sketch_dodge,sketch_xdog"  # all that there are, where none is chosen
    with pytest.raises(InputError, match=r"holds a run with another rough \(1\.0, now 2\.0\)"):
        run(faces, tmp_path / "run", dataclasses.replace(config, rough=2.0))


def test_a_run_from_before_pairs_were_changed_goes_on(faces, tmp_path, undisturbed):
    shutil.copytree(undisturbed, tmp_path / "run")
    path = tmp_path / "run/config.yaml"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith(("augment:", "rough:"))))
    assert len(path.read_text().splitlines()) == len(lines) - 2
    assert run(faces, tmp_path / "run").started == 6


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_pairs_are_left_out_if_allowed(faces, tmp_path, monkeypatch, caplog, workers):
    monkeypatch.setattr("facesynth.model.data.pairs.CACHE_BYTES", 0)
    shutil.copytree(faces, tmp_path / "data")
    for name in ("photos/00002.jpg", "labels/00003.png"):  # one of each split
        (tmp_path / "data" / name).write_bytes(b"")
    config = small_run(steps=3)
    with pytest.raises(DatasetError, match=r"^id 0000[23]: "):
        run(tmp_path / "data", tmp_path / "run", config, workers=workers)
    run(tmp_path / "data", tmp_path / "run", config, workers=workers, skip_bad=1)
    assert rows_of(tmp_path / "run")[-1]["step"] == "3"
    assert "skipped 1 of at most 1 bad pairs: id 00003: " in caplog.text
    assert reading_processes() == []


def test_the_seed_is_all_that_is_random(faces, tmp_path):
    config = small_run(steps=1, interval=1, style_probability=0.5)
    with torch.random.fork_rng(devices=[]):
        run(faces, tmp_path / "a", config)
        torch.manual_seed(4)
        np.random.seed(4)  # noqa: NPY002 - the global state is what must not matter
        run(faces, tmp_path / "b", config)
        run(faces, tmp_path / "c", dataclasses.replace(config, seed=1))
    assert_same_outcome(tmp_path / "a", tmp_path / "b")
    assert outcome(tmp_path / "a")["metrics.csv"] != outcome(tmp_path / "c")["metrics.csv"]


def test_the_order_of_the_manifest_does_not_matter(faces, tmp_path, undisturbed):
    shutil.copytree(faces, tmp_path / "data")
    shuffle_rows(tmp_path / "data")
    run(tmp_path / "data", tmp_path / "run")
    assert_same_outcome(tmp_path / "run", undisturbed)


def test_pictures_read_by_other_processes_give_the_same_run(faces, tmp_path, undisturbed, monkeypatch):
    monkeypatch.setattr("facesynth.model.data.pairs.CACHE_BYTES", 0)
    run(faces, tmp_path)
    assert_same_outcome(tmp_path, undisturbed)


class Brightness(nn.Module):
    """A perceptual distance that sees the mean brightness."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, a, b):
        return self.scale * (a.mean() - b.mean()).square()


def test_the_perceptual_distance_is_weighed_and_left_as_it_is(faces, tmp_path):
    config = small_run(lpips=0.5)
    with pytest.raises(
        InputError, match=r"lpips weighs 0\.5 but the lpips network is not there; give it, or weigh it 0"
    ):
        run(faces, tmp_path / "none", config)
    distance = Brightness()
    run(faces, tmp_path / "run", config, networks={"lpips": distance})
    assert distance.scale.item() == 3.0
    assert not distance.training
    for row in rows_of(tmp_path / "run"):
        total = float(row["l2"]) + 0.5 * float(row["lpips"]) + config.w_norm * float(row["w_norm"])
        assert float(row["loss"]) == pytest.approx(total, rel=1e-4)


# ------------------------------------------------------------------------------------------------------- the generator


def test_a_given_generator_stays_as_it_is(faces, tmp_path, monkeypatch):
    given = native.load(save_model(tmp_path / "given.safetensors"))
    calls = []
    forward = Generator.forward

    def watched(self, *arguments, **options):
        calls.append(
            {name for name, weight in self.named_parameters() if weight.requires_grad or weight.grad is not None}
        )
        return forward(self, *arguments, **options)

    monkeypatch.setattr(Generator, "forward", watched)
    config = small_run(train_generator=False)
    run(faces, tmp_path / "run", config, generator=tmp_path / "given.safetensors")
    assert calls
    assert set().union(*calls) == set()
    trained = native.load(tmp_path / "run/checkpoints/step-00000006.safetensors").model_state()
    changed = {name.split(".")[0] for name, value in given.tensors.items() if not torch.equal(trained[name], value)}
    assert changed == {"encoder"}  # the average latent is the given one too


def test_a_run_folder_serves_as_a_generator(faces, tmp_path, undisturbed):
    run(faces, tmp_path, small_run(train_generator=False, steps=1), generator=undisturbed)
    before = native.load(undisturbed / "model.safetensors").tensors
    after = native.load(tmp_path / "checkpoints/step-00000001.safetensors").model_state()
    assert all(torch.equal(after[name], before[name]) for name in before if name.startswith("generator."))


def test_a_generator_may_be_trained_further(faces, tmp_path):
    save_model(tmp_path / "given.safetensors")
    run(faces, tmp_path / "run", small_run(steps=2), generator=tmp_path / "given.safetensors")
    given = native.load(tmp_path / "given.safetensors").tensors
    trained = native.load(tmp_path / "run/checkpoints/step-00000002.safetensors").model_state()
    assert torch.equal(given["latent_avg"], trained["latent_avg"])
    assert any(not torch.equal(given[name], trained[name]) for name in given if name.startswith("generator."))


@pytest.mark.parametrize(
    ("name", "value", "needed"), [("output_size", 64, 32), ("style_dim", 8, 16), ("channel_max", 8, 16)]
)
def test_a_generator_of_another_size_is_refused(faces, tmp_path, name, value, needed):
    path = save_model(tmp_path / "given.safetensors", **{name: value})
    with pytest.raises(CheckpointError, match=f"the generator of {path} has {name} {value}, the model's is {needed}"):
        run(faces, tmp_path / "run", small_run(train_generator=False), generator=path)


def test_a_generator_of_the_same_channels_by_other_numbers(faces, tmp_path):
    path = save_model(tmp_path / "given.safetensors", channel_base=1024)  # channel_max is what counts at 32 px
    run(faces, tmp_path / "run", small_run(train_generator=False, steps=1), generator=path)
    given, kept = native.load(path).tensors, native.load(native.find(tmp_path / "run")).tensors
    assert all(torch.equal(kept[name], value) for name, value in given.items() if name.startswith("generator."))


def test_without_a_generator_there_is_no_training(faces, tmp_path):
    with pytest.raises(InputError, match="there is no generator: give --generator FILE, or --train-generator"):
        run(faces, tmp_path / "run", small_run(train_generator=False))
    assert not (tmp_path / "run").exists()


# --------------------------------------------------------------------------------------------------------- style codes


def test_style_codes_are_trained_and_kept(undisturbed):
    codes = [native.load(path).tensors["codes"] for path in sorted(undisturbed.glob("checkpoints/*"))]
    assert codes[0].shape == (3, 16)
    assert not torch.equal(codes[0], codes[1])
    assert "codes" not in native.load(undisturbed / "model.safetensors").tensors


def test_style_codes_are_restored(faces, tmp_path, undisturbed):
    shutil.copytree(undisturbed, tmp_path / "run")
    run(faces, tmp_path / "run", dataclasses.replace(STYLED, steps=7, interval=3))
    run(faces, tmp_path / "whole", dataclasses.replace(STYLED, steps=7, interval=3))
    one, other = (native.load(tmp_path / name / "checkpoints/step-00000007.safetensors") for name in ("run", "whole"))
    assert torch.equal(one.tensors["codes"], other.tensors["codes"])


def test_without_styles_there_are_no_codes(faces, tmp_path):
    run(faces, tmp_path, small_run(steps=1, interval=1))
    assert "codes" not in native.load(tmp_path / "checkpoints/step-00000001.safetensors").tensors


# ------------------------------------------------------------------------------------------------------------- going on


@pytest.mark.parametrize(
    "stops",
    [
        [stop_at(0, "val")],
        [stop_at(1)],
        [stop_at(3)],
        [stop_at(3, "val")],
        [stop_at(5)],
        [stop_at(6)],
        [stop_at(6, "val")],
        [stop_at(2), stop_at(2), stop_at(4), stop_at(6)],
    ],
    ids=["0-val", "1", "3", "3-val", "5", "6", "6-val", "2-2-4-6"],
)
def test_an_interrupted_run_ends_as_an_undisturbed_one(faces, tmp_path, undisturbed, stops):
    for stop in stops:
        with pytest.raises(Stop):
            run(faces, tmp_path, report=stop)
    run(faces, tmp_path)
    assert_same_outcome(tmp_path, undisturbed)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("optimizer", ["ranger", "muon"])
def test_every_optimizer_goes_on_where_it_was(faces, tmp_path, optimizer):
    config = small_run(optimizer=optimizer, steps=7, interval=4)
    run(faces, tmp_path / "whole", config)
    with pytest.raises(Stop):
        run(faces, tmp_path / "run", config, report=stop_at(5))
    assert run(faces, tmp_path / "run", config).started == 4
    assert_same_outcome(tmp_path / "run", tmp_path / "whole")


def test_a_finished_run_stays_as_it_is(faces, tmp_path, undisturbed):
    shutil.copytree(undisturbed, tmp_path / "run")
    done = run(faces, tmp_path / "run")
    assert done.started == 6
    assert done.first == pytest.approx(float(rows_of(undisturbed)[0]["l2"]))
    assert contents(tmp_path / "run") == contents(undisturbed)


def test_more_steps_extend_a_run(faces, tmp_path, undisturbed):
    shutil.copytree(undisturbed, tmp_path / "run")
    longer = dataclasses.replace(STYLED, steps=9)
    assert run(faces, tmp_path / "run", longer).started == 6
    run(faces, tmp_path / "whole", longer)
    assert_same_outcome(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("damage", [lambda whole: whole[:-100], lambda whole: whole[:50], lambda whole: b""])
def test_a_damaged_newest_checkpoint_is_passed_over(faces, tmp_path, undisturbed, caplog, damage):
    shutil.copytree(undisturbed, tmp_path / "run")
    newest = tmp_path / "run/checkpoints/step-00000006.safetensors"
    newest.write_bytes(damage(newest.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert run(faces, tmp_path / "run").started == 3
    assert f"skipping a damaged checkpoint: {newest}" in caplog.text
    assert_same_outcome(tmp_path / "run", undisturbed)


def test_a_run_killed_between_writing_and_moving_ends_as_an_undisturbed_one(faces, tmp_path, undisturbed, kill):
    kill(train, STYLED, "step-00000000.safetensors", "step-00000006.safetensors")
    run(faces, tmp_path / "run")
    assert_same_outcome(tmp_path / "run", undisturbed)
    assert leftovers(tmp_path / "run") == []


# -------------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"batch_size": 3}, r"another batch_size \(2, now 3\)"),
        ({"seed": 5}, r"another seed \(0, now 5\)"),
        ({"learning_rate": 0.25}, r"another learning_rate \(0\.002, now 0\.25\)"),
        ({"optimizer": "ranger"}, r"another optimizer \(adam, now ranger\)"),
        ({"interval": 2}, r"another interval \(3, now 2\)"),
        ({"model": small_model(style_dim=8)}, r"another model.*style_dim"),
    ],
)
def test_another_config_in_the_same_folder(faces, tmp_path, undisturbed, change, says):
    shutil.copytree(undisturbed, tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(InputError, match=f"holds a run with {says}") as caught:
        run(faces, tmp_path / "run", dataclasses.replace(STYLED, **change))
    assert "give the same options to continue it, or another --out" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert contents(tmp_path / "run") == before


def test_another_task_data_or_generator_in_the_same_folder(faces, dataset, tmp_path, undisturbed):
    shutil.copytree(undisturbed, tmp_path / "run")
    before = contents(tmp_path / "run")
    other = resplit(dataset, tmp_path / "data", "train train train val val val")
    given = save_model(tmp_path / "given.safetensors")
    with pytest.raises(InputError, match=r"another task \(seg2face, now sketch2face\)"):
        run(faces, tmp_path / "run", small_run("sketch2face"), sketch="xdog")
    with pytest.raises(InputError, match="another pairs"):
        run(other, tmp_path / "run")
    with pytest.raises(InputError, match=r"another generator \(None, now .*given\.safetensors"):
        run(faces, tmp_path / "run", generator=given)
    assert contents(tmp_path / "run") == before


@pytest.mark.parametrize("content", ["- a\n- b\n", "", "{", "text"])
def test_another_file_in_place_of_the_config(faces, tmp_path, content):
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.yaml cannot be read") as caught:
        run(faces, tmp_path)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "config.yaml").read_text() == content


def test_a_task_without_its_column(faces, tmp_path):
    with pytest.raises(DatasetError, match="holds the sketches dodge, xdog; choose one with --sketch"):
        run(faces, tmp_path / "run", small_run("sketch2face"))
    shutil.copytree(faces, tmp_path / "data")
    table = (faces / "manifest.csv").read_text()
    (tmp_path / "data/manifest.csv").write_text(table.replace("labels,labels_sha256", "other,other_sha256"))
    with pytest.raises(DatasetError, match="has no column 'labels'"):
        run(tmp_path / "data", tmp_path / "run")


def test_a_model_for_another_number_of_classes(faces, tmp_path):
    with pytest.raises(DatasetError, match=r"has 19 classes \(celebamask-hq\), the model takes 12"):
        run(faces, tmp_path / "run", small_run(model=dataclasses.replace(small_model(), input_channels=12)))


@pytest.mark.parametrize("identifier", ["00002", "00003"])
def test_a_bad_picture_is_named(faces, tmp_path, identifier):
    shutil.copytree(faces, tmp_path / "data")
    (tmp_path / f"data/photos/{identifier}.jpg").write_bytes(b"damaged")
    with pytest.raises(DatasetError, match=f"id {identifier}: .* is not a picture"):
        run(tmp_path / "data", tmp_path / "run")


def test_a_folder_that_another_run_holds(faces, tmp_path):
    def meet(split, step, terms):
        if step == 2:
            with pytest.raises(OutputError, match="is being written by another facesynth command"):
                run(faces, tmp_path)
            raise Stop

    with pytest.raises(Stop):
        run(faces, tmp_path, report=meet)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_run(faces, tmp_path, monkeypatch, bad):
    with pytest.raises(Stop):
        run(faces, tmp_path, report=stop_at(3, "val"))
    before = contents(tmp_path / "checkpoints") | {"best": (tmp_path / "model.safetensors").read_bytes()}
    seen = []
    steps = _Run.train_step

    def watched(self, parts):
        seen.append([self.pictures.ids[index] for indices, *_ in parts for index in indices.tolist()])
        return steps(self, parts)

    monkeypatch.setattr(_Run, "train_step", watched)
    plain = pixel.l2
    monkeypatch.setattr(pixel, "l2", lambda a, b: plain(a, b) * (bad if len(seen) == 2 else 1.0))
    with pytest.raises(DivergenceError, match=f"the loss is {bad} at step 5, photos ") as caught:
        run(faces, tmp_path)
    assert f"photos {', '.join(seen[-1])}; the last checkpoint, " in str(caught.value)
    assert "/checkpoints/step-00000003.safetensors, is from before that" in str(caught.value)
    assert str(caught.value).endswith("try a lower --learning-rate or --clip-norm in another --out")
    assert contents(tmp_path / "checkpoints") | {"best": (tmp_path / "model.safetensors").read_bytes()} == before


# ------------------------------------------------------------------------------------------------------------ full disks


@pytest.mark.parametrize("size", ["200k", "1200k", "2000k", "2600k"])
def test_a_full_disk_leaves_a_run_that_goes_on(faces, tmp_path, undisturbed, size):
    with small_disk(tmp_path / "disk", size) as disk:
        out = disk.root / "run"
        with pytest.raises(OutputError, match=r"cannot write .*: No space left on device") as caught:
            run(faces, out)
        assert isinstance(caught.value, FacesynthError)
        assert "\n" not in str(caught.value)
        assert leftovers(out) == []
        for path in out.rglob("*.safetensors"):
            native.load(path)
        disk.grow("20m")
        run(faces, out)
        assert_same_outcome(out, undisturbed)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(faces, tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="cannot write into"):
        run(faces, tmp_path)


def test_a_file_in_place_of_the_folder(faces, tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(OutputError, match="it is a file; give a folder"):
        run(faces, tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine"


def test_a_run_that_never_began_does_not_hold_its_folder(faces, tmp_path):
    other = save_model(tmp_path / "other.safetensors", channel_max=8)
    with pytest.raises(CheckpointError, match="channel_max 8, the model's is 16"):
        train(faces, tmp_path / "run", small_run(train_generator=False), generator=other)
    assert contents(tmp_path / "run") == {}
    done = train(faces, tmp_path / "run", small_run())
    assert done.best_step > 0


def test_the_difference_to_the_run_before_is_named_in_full(faces, tmp_path):
    train(faces, tmp_path, small_run(steps=1))
    with pytest.raises(InputError, match=r"another model\.style_dim \(16, now 32\)"):
        train(faces, tmp_path, small_run(steps=1, model=small_model(style_dim=32)))


def test_a_finished_run_without_its_metrics_is_still_finished(faces, tmp_path):
    done = train(faces, tmp_path, small_run(steps=1))
    (tmp_path / "metrics.csv").unlink()
    again = train(faces, tmp_path, small_run(steps=1))
    assert (again.best, again.best_step) == (done.best, done.best_step)


def test_a_checkpoint_too_many_is_removed(faces, tmp_path):
    train(faces, tmp_path, small_run())
    states = sorted((tmp_path / "checkpoints").iterdir())
    (tmp_path / "checkpoints" / "step-00000000.safetensors").write_bytes(states[0].read_bytes())
    train(faces, tmp_path, small_run())
    assert sorted((tmp_path / "checkpoints").iterdir()) == states


def test_a_bad_picture_read_by_a_worker_is_named_in_one_line(faces, tmp_path, monkeypatch):
    root = shutil.copytree(faces, tmp_path / "data")
    row = read_dataset(root).with_columns("labels", split="train").iloc[0]
    (root / row["labels"]).write_bytes(b"no picture")
    monkeypatch.setattr("facesynth.model.data.pairs.CACHE_BYTES", 0)
    with pytest.raises(DatasetError) as caught:
        train(root, tmp_path / "run", small_run(), workers=1)
    assert str(caught.value).startswith(f"id {row['id']}: {root / row['labels']} is not a picture")
    assert "\n" not in str(caught.value)


def test_the_averaged_weights_are_validated_kept_and_carried_on(faces, tmp_path):
    config = small_run(ema=0.9, steps=4, interval=2)
    train(faces, tmp_path / "whole", config)
    train(faces, tmp_path / "halves", dataclasses.replace(config, steps=2))
    train(faces, tmp_path / "halves", config)
    state = native.load(tmp_path / "whole/checkpoints/step-00000004.safetensors")
    again = native.load(tmp_path / "halves/checkpoints/step-00000004.safetensors")
    for name, value in state.tensors.items():
        assert torch.equal(value, again.tensors[name]), name
    averaged, last = state.state_of("averaged"), state.state_of("model")
    assert any(not torch.equal(averaged[name], last[name]) for name in last)
    assert all(torch.equal(state.model_state()[name], averaged[name]) for name in last)


def test_the_metric_chooses_the_model(faces, tmp_path):
    done = train(faces, tmp_path, small_run(metric="w_norm", steps=9))
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    validated = {int(row["step"]): float(row["w_norm"]) for row in rows if row["split"] == "val"}
    assert done.metric == "w_norm"
    assert validated[done.best_step] == min(validated.values()) == pytest.approx(done.best, rel=1e-5)
    assert native.load(native.find(tmp_path)).info["step"] == done.best_step


def test_first_codes_are_the_colours_of_the_photos(faces, tmp_path):
    train(faces, tmp_path, small_run(steps=1, style_probability=0.5, generator_learning_rate=1e-9))
    codes = native.load(tmp_path / "checkpoints/step-00000001.safetensors").tensors["codes"]
    assert codes.shape == (3, 16)
    components = codes[:, :2]  # of three photos there are two
    torch.testing.assert_close(components.mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(components.square().mean(0), torch.ones(2), atol=1e-4, rtol=0)
