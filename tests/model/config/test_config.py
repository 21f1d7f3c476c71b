from __future__ import annotations

import dataclasses

import pytest

from facesynth.errors import InputError
from facesynth.model.config.model import ModelConfig
from facesynth.model.config.presets import PRESETS, preset
from facesynth.model.config.train import CONDITIONS, MOST_CHANGED, TrainConfig
from facesynth.model.data.augment import Augmentation
from facesynth.model.data.freehand import Roughness

from ...runs import small_model, small_run
from ..recipe import tiny_config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("condition", "mask"),
        ("encoder_kind", "w"),
        ("input_channels", 0),
        ("input_size", 16),
        ("input_size", 48),
        ("input_size", 2048),
        ("output_size", 16),
        ("output_size", 100),
        ("output_size", 2048),
        ("style_dim", 0),
        ("mapping_depth", -1),
        ("channel_base", 0),
        ("channel_max", 0),
        ("style_resolution", 2),
        ("style_resolution", 0),
        ("style_resolution", 33),
    ],
)
def test_model_sizes_out_of_range(name, value):
    with pytest.raises(InputError, match=rf"^{name} is {value!r}; needed: "):
        ModelConfig(**{"condition": "labels", "input_channels": 19, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task", "face2face"),
        ("steps", 0),
        ("batch_size", 0),
        ("interval", -5),
        ("optimizer", "sgd"),
        ("learning_rate", 0.0),
        ("learning_rate", 1.0),
        ("learning_rate", float("nan")),
        ("generator_learning_rate", -1e-3),
        ("l2", -1.0),
        ("lpips", float("nan")),
        ("laplacian", -0.5),
        ("w_norm", -0.1),
        ("augment", -0.1),
        ("augment", float("nan")),
        ("rough", 5.5),
        ("l2_crop", -1.0),
        ("lpips_crop", float("inf")),
        ("identity", -1.0),
        ("moco", float("nan")),
        ("lpips_network", "squeeze"),
        ("accumulate", 0),
        ("accumulate", 3),
        ("clip_norm", -1.0),
        ("cooldown", -0.1),
        ("cooldown", 1.5),
        ("cooldown", float("nan")),
        ("precision", "fp8"),
        ("style_probability", 1.5),
        ("style_probability", -0.5),
    ],
)
def test_training_values_out_of_range(name, value):
    with pytest.raises(InputError, match=rf"^{name} is {value!r}; needed: "):
        small_run(**{"model": small_model(), name: value})


@pytest.mark.parametrize(
    ("cooldown", "shares"),
    [(0.0, [1, 1, 1, 1, 1]), (0.4, [1, 1, 1, 1, 0.5]), (1.0, [1, 0.8, 0.6, 0.4, 0.2]), (0.01, [1, 1, 1, 1, 1])],
)
def test_rates_stay_and_then_fall_in_a_line(cooldown, shares):
    config = small_run(steps=5, cooldown=cooldown)
    assert [config.rate_share(step) for step in range(5)] == pytest.approx(shares)


def test_terms_that_need_larger_faces_say_so():
    with pytest.raises(InputError, match=r"identity is 0\.1 but output_size 128; needed: at least 256 px, or 0"):
        small_run(model=small_model(output_size=128), identity=0.1)
    with pytest.raises(InputError, match=r"lpips_crop is 1\.0 but output_size 32; needed: at least 64 px, or 0"):
        small_run(lpips_crop=1.0)
    with pytest.raises(InputError, match="every term weighs 0; needed: one of l2, l2_crop, "):
        small_run(l2=0.0, w_norm=0.0)


def test_a_task_needs_its_own_condition():
    with pytest.raises(InputError, match="task sketch2face needs a model for sketch, not for labels"):
        TrainConfig(task="sketch2face", model=small_model("seg2face"))


def test_styles_of_photos_need_a_generator_in_training():
    with pytest.raises(InputError, match="style_probability needs train_generator"):
        small_run(train_generator=False, style_probability=0.5)


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


def test_low_resolution_divides_the_input():
    with pytest.raises(InputError, match=r"low_resolution is \(1, 3\); needed: divisors of input_size, 32"):
        TrainConfig(task="photo2face", model=tiny_config(condition="photo", input_channels=3), low_resolution=(1, 3))


def test_unknown_names_list_the_valid_ones():
    with pytest.raises(InputError, match=f"preset 'large' is not known; give one of: {', '.join(PRESETS)}"):
        preset("large", "seg2face", n_classes=19)
    with pytest.raises(InputError, match="task is 'faces'; needed: seg2face, sketch2face, photo2face"):
        preset("small", "faces", n_classes=19)


def test_preset_values_are_checked():
    with pytest.raises(InputError, match="batch_size is 0; needed: at least 1"):
        preset("small", "seg2face", n_classes=19, batch_size=0)


@pytest.mark.parametrize(
    ("output", "style", "n_styles", "layers"),
    [
        (1024, 64, 18, range(8, 18)),
        (512, 64, 16, range(8, 16)),
        (256, 64, 14, range(8, 14)),
        (256, 4, 14, range(14)),
        (64, 16, 10, range(4, 10)),
        (64, 64, 10, range(8, 10)),
        (32, 8, 8, range(2, 8)),
    ],
)
def test_w_plus_layers_by_size(output, style, n_styles, layers):
    config = small_model(output_size=output, style_resolution=style)
    assert config.n_styles == n_styles
    assert config.style_layers == tuple(layers)


@pytest.mark.parametrize(
    "wrong",
    [
        {"style_resolution": 64},
        {"encoder_units": (1, 1, 1)},
        {"encoder_channels": (8, 8, 16, 0)},
    ],
)
def test_sizes_that_fit_no_model_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        tiny_config(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"seed": -1}, {"seed": 2**32}, {"l2": float("inf")}, {"ema": 1.0}, {"metric": "beauty"}, {"metric": "laplacian"}],
)
def test_values_that_fit_no_run_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        TrainConfig(task="seg2face", model=tiny_config(), **wrong)


@pytest.mark.parametrize("task", ["seg2face", "sketch2face"])
def test_only_freehand_changes_pairs(task):
    for name in ("published", "small", "freehand"):
        config = preset(name, task, n_classes=19)
        assert ((config.augment, config.rough) == (0, 0)) == (name != "freehand")
    freehand = preset("freehand", task, n_classes=19, rough=0.5)
    assert (freehand.augment, freehand.rough) == (1, 0.5)
    published = preset("published", task, n_classes=19)
    assert dataclasses.replace(freehand, augment=0.0, rough=0.0) == published


def test_the_strongest_changes_are_within_range():
    assert Augmentation().scaled(MOST_CHANGED, flip=True).moves
    assert Roughness().scaled(MOST_CHANGED).erased == 1
