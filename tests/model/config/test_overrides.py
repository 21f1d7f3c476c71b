from __future__ import annotations

import dataclasses

import pytest
import yaml

from facesynth.errors import InputError
from facesynth.model.config.overrides import resolve
from facesynth.model.config.presets import preset
from facesynth.model.training.run_folder import plain


def resolved(tmp_path, text, **options):
    (tmp_path / "train.yaml").write_text(text)
    return resolve(**({"task": "seg2face", "n_classes": 19, "file": tmp_path / "train.yaml"} | options))


def test_an_option_counts_more_than_the_file_and_the_file_more_than_the_preset(tmp_path):
    text = "preset: published\nsteps: 70\nbatch_size: 4\nlearning_rate: 1e-3\nmodel: {output_size: 512}\n"
    config = resolved(tmp_path, text, options={"batch_size": 2, "accumulate": 2}, sizes={"style_dim": "256"})
    assert (config.steps, config.batch_size, config.accumulate, config.learning_rate) == (70, 2, 2, 1e-3)
    assert (config.lpips, config.interval) == (0.8, 2500)  # the preset's
    assert (config.model.output_size, config.model.style_dim, config.model.input_channels) == (512, 256, 19)
    assert resolved(tmp_path, text, name="small").model.encoder_channels == (8, 16, 32, 64)


def test_without_anything_it_is_the_small_preset():
    assert resolve("sketch2face", n_classes=19) == preset("small", "sketch2face", n_classes=19)


def test_a_task_may_come_from_the_file(tmp_path):
    text = "task: photo2face\nlow_resolution: [1, 2]\nmodel:\n  encoder_units: [1, 1, 1, 1]\n"
    config = resolved(tmp_path, text, task=None)
    assert (config.task, config.low_resolution, config.model.encoder_units) == ("photo2face", (1, 2), (1, 1, 1, 1))
    with pytest.raises(InputError, match="there is no task; give --task seg2face, sketch2face or photo2face"):
        resolved(tmp_path, "steps: 1\n", task=None)


def test_lists_may_be_given_with_commas():
    config = resolve(
        "photo2face", n_classes=19, options={"low_resolution": "1,2,4"}, sizes={"encoder_units": "1,2,3,4"}
    )
    assert (config.low_resolution, config.model.encoder_units) == ((1, 2, 4), (1, 2, 3, 4))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stepps: 3\n", "stepps is not a setting; needed: train_generator, steps, batch_size"),
        ("model: {colour: 3}\n", "colour is not a size of the model; needed: input_size, output_size"),
        ("model: {condition: photo, width: 1}\n", "width is not a size of the model"),
        ("model: 3\n", "model is 3; needed: sizes by name"),
        ("steps: many\n", "steps is 'many'; needed: a whole number"),
        ("steps: 1.5\n", "steps is 1.5; needed: a whole number"),
        ("steps: true\n", "steps is True; needed: a whole number"),
        ("l2: [1]\n", r"l2 is \[1\]; needed: a number"),
        ("flip: 3\n", "flip is 3; needed: true or false"),
        ("metric: 3\n", "metric is 3; needed: a word"),
        ("low_resolution: [a]\n", "low_resolution is 'a'; needed: a whole number"),
        ("steps: 0\n", "steps is 0; needed: at least 1"),
        ("preset: huge\n", "preset 'huge' is not known; give one of: published, freehand, super-resolution, small"),
        ("- a\n", "holds no settings; needed: YAML with a value by name"),
        ("", "holds no settings"),
        ("{", "cannot be read as settings"),
        ("steps: " + "[" * 60_000, "nested too deeply"),
        ("model: {encoder_channels: [8, 8, 8, 99999999999]}", "encoder_channels is .*99999999999.; needed: at most"),
        (f"model: {{spatial_channels: [{'8,' * 100}8]}}", "spatial_channels has 101 numbers; needed: at most 32"),
        ("steps: " + "9" * 15, "steps is 9.*; needed: at most 1000000000"),
        ("steps: [[[[[[[[[1]]]]]]]]]", "steps is .*; needed: a whole number"),
        ("learning_rate: .inf", "the number inf; needed: finite numbers"),
        ("x" * 1000 + ": 1", "is not a setting"),
    ],
)
def test_files_that_are_wrong(tmp_path, text, says):
    with pytest.raises(InputError, match=says) as caught:
        resolved(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value).removeprefix(str(tmp_path))) < 1200


def test_files_that_are_missing_or_no_text(tmp_path):
    for content in (None, b"\xff\xfe\xff"):
        if content:
            (tmp_path / "a.yaml").write_bytes(content)
        with pytest.raises(InputError, match=r"a\.yaml cannot be read as settings"):
            resolve("seg2face", n_classes=19, file=tmp_path / "a.yaml")


def test_a_runs_own_file_gives_its_settings_again(tmp_path):
    config = preset("small", "photo2face", n_classes=19, low_resolution=(2, 4), learning_rate=1e-4)
    notes = {"column": "photo", "label_scheme": "celebamask-hq", "pairs": {"train": "a"}, "generator": None}
    text = yaml.safe_dump({**notes, **plain(dataclasses.asdict(config))}, sort_keys=False)
    assert resolved(tmp_path, text, task=None) == config
