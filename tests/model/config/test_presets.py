from __future__ import annotations

import dataclasses

import pytest

from facesynth.errors import InputError
from facesynth.model.config.model import ModelConfig
from facesynth.model.config.presets import PRESETS, preset
from facesynth.model.config.train import CONDITIONS, TrainConfig


@pytest.mark.parametrize("task", CONDITIONS)
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds_for_every_task(name, task):
    if name == "super-resolution" and task != "photo2face":
        with pytest.raises(InputError, match=rf"low_resolution is .* but the task is {task}; needed: photo2face"):
            preset(name, task, n_classes=12)
        return
    if name == "freehand" and task == "photo2face":
        with pytest.raises(
            InputError, match=r"rough is 1\.0 but the task is photo2face; needed: seg2face or sketch2face"
        ):
            preset(name, task, n_classes=12)
        return
    config = preset(name, task, n_classes=12, steps=77, train_generator=True)
    assert (config.task, config.steps, config.model.condition) == (task, 77, CONDITIONS[task])
    assert config.model.input_channels == {"seg2face": 12, "sketch2face": 1, "photo2face": 3}[task]
    assert config.model.style_layers  # random styles reach some layers


def test_published_is_the_default():
    config = preset("published", "seg2face", n_classes=19)
    model = ModelConfig(condition="labels", input_channels=19)
    assert config == TrainConfig(task="seg2face", model=model)


def test_published_settings_of_every_task():
    """The published commands: weights, batch size, optimiser, learning rate, and steps between validations."""
    common = {"l2": 1.0, "lpips": 0.8, "batch_size": 8, "optimizer": "ranger", "learning_rate": 1e-4, "interval": 2500}
    for name, task, identity, w_norm, factors in (
        ("published", "seg2face", 0.0, 0.005, ()),
        ("published", "sketch2face", 0.0, 0.005, ()),
        ("published", "photo2face", 0.1, 0.0, ()),
        ("super-resolution", "photo2face", 0.1, 0.005, (1, 2, 4, 8, 16, 32)),
    ):
        config = preset(name, task, n_classes=19)
        wanted = common | {"identity": identity, "w_norm": w_norm, "low_resolution": factors}
        assert {key: getattr(config, key) for key in wanted} == wanted
        others = ("l2_crop", "lpips_crop", "moco", "laplacian", "ema", "clip_norm", "cooldown")
        assert not any(getattr(config, key) for key in others)
        assert (config.model.input_size, config.model.output_size, config.train_generator) == (256, 256, False)


def test_unknown_names_list_the_valid_ones():
    with pytest.raises(InputError, match=f"preset 'large' is not known; give one of: {', '.join(PRESETS)}"):
        preset("large", "seg2face", n_classes=19)
    with pytest.raises(InputError, match="task is 'faces'; needed: seg2face, sketch2face, photo2face"):
        preset("small", "faces", n_classes=19)


def test_preset_values_are_checked():
    with pytest.raises(InputError, match="batch_size is 0; needed: at least 1"):
        preset("small", "seg2face", n_classes=19, batch_size=0)


@pytest.mark.parametrize("task", ["seg2face", "sketch2face"])
def test_only_freehand_changes_pairs(task):
    for name in ("published", "small", "freehand"):
        config = preset(name, task, n_classes=19)
        assert ((config.augment, config.rough) == (0, 0)) == (name != "freehand")
    freehand = preset("freehand", task, n_classes=19, rough=0.5)
    assert (freehand.augment, freehand.rough) == (1, 0.5)
    published = preset("published", task, n_classes=19)
    assert dataclasses.replace(freehand, augment=0.0, rough=0.0) == published
