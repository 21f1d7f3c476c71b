from __future__ import annotations

import pytest

from facesynth.errors import InputError
from facesynth.model.config.train import MOST_CHANGED, TrainConfig
from facesynth.model.data.augment import Augmentation
from facesynth.model.data.freehand import Roughness

from ...runs import small_model, small_run
from ..recipe import tiny_config


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
    with pytest.raises(InputError, match="every term weighs 0; needed: one of l2, l1, l2_crop, "):
        small_run(l2=0.0, w_norm=0.0)


def test_a_task_needs_its_own_condition():
    with pytest.raises(InputError, match="task sketch2face needs a model for sketch, not for labels"):
        TrainConfig(task="sketch2face", model=small_model("seg2face"))


def test_styles_of_photos_need_a_generator_in_training():
    with pytest.raises(InputError, match="style_probability needs train_generator"):
        small_run(train_generator=False, style_probability=0.5)


def test_low_resolution_divides_the_input():
    with pytest.raises(InputError, match=r"low_resolution is \(1, 3\); needed: divisors of input_size, 32"):
        TrainConfig(task="photo2face", model=tiny_config(condition="photo", input_channels=3), low_resolution=(1, 3))


@pytest.mark.parametrize(
    "wrong",
    [{"seed": -1}, {"seed": 2**32}, {"l2": float("inf")}, {"ema": 1.0}, {"metric": "beauty"}, {"metric": "laplacian"}],
)
def test_values_that_fit_no_run_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        TrainConfig(task="seg2face", model=tiny_config(), **wrong)


def test_the_strongest_changes_are_within_range():
    assert Augmentation().scaled(MOST_CHANGED, flip=True).moves
    assert Roughness().scaled(MOST_CHANGED).erased == 1


def test_models_that_refine_are_not_trained():
    with pytest.raises(InputError, match=r"refinements is 5; needed: 0, since training takes one pass"):
        TrainConfig(task="photo2face", model=tiny_config(condition="photo", input_channels=3, refinements=5))
