from __future__ import annotations

import dataclasses

import pytest

from facesynth.errors import InputError
from facesynth.model.config import model, presets
from facesynth.model.config.gan import PRESETS, preset

SMALL = preset("small")


@pytest.mark.parametrize("name", PRESETS)
def test_the_generator_of_a_preset_fits_the_model_of_that_name(name):
    assert preset(name).generator == presets.preset(name, "seg2face", n_classes=19).model.generator


def test_the_published_preset_is_that_of_the_papers():
    config = preset("published", 1024)
    assert config.generator == model.GeneratorConfig(
        output_size=1024, style_dim=512, mapping_depth=8, channel_base=32768, channel_max=512
    )
    assert (config.batch_size, config.steps * config.batch_size) == (32, 25_000_000)
    assert (config.r1_interval, config.path_interval, config.path_weight, config.path_decay) == (16, 4, 2.0, 0.99)
    assert (config.mixing, config.average_half_life) == (0.9, 10_000)
    assert (config.augment_target, config.augment_speed, config.augment_interval) == (0.6, 500_000, 4)


def test_r1_follows_from_size_and_batch_unless_it_is_given():
    assert preset("published", 256, batch_size=16).r1_weight == pytest.approx(0.8192)
    assert preset("published", 256, r1_weight=3.0).r1_weight == 3.0


@pytest.mark.parametrize("size", [32, 64, 128, 256, 512, 1024])
def test_every_size(size):
    config = preset("small", size)
    assert config.discriminator.input_size == config.generator.output_size == size
    assert config.discriminator.channels == config.generator.channels
    assert config.distances[1:] == tuple(f"swd_{size >> k}" for k in range(size.bit_length() - 4 + 1 - 1))
    assert config.distances[-1] == "swd_16"


@pytest.mark.parametrize(
    ("field", "value", "needed"),
    [
        ("steps", 0, "at least 1"),
        ("r1_interval", 0, "at least 1"),
        ("path_shrink", 0, "at least 1"),
        ("augment_speed", -1, "at least 1"),
        ("generator_learning_rate", 0.0, "more than 0 and less than 1"),
        ("discriminator_learning_rate", float("nan"), "more than 0 and less than 1"),
        ("r1_weight", -1.0, "a number, at least 0"),
        ("path_weight", float("inf"), "a number, at least 0"),
        ("mixing", 1.5, "0 to 1"),
        ("augment_p", -0.1, "0 to 1"),
        ("augment_target", 1.0, "0 to less than 1"),
        ("accumulate", 3, "a multiple of accumulate, 3"),
        ("seed", -1, "0 to 4294967295"),
        ("precision", "fp16", "float32 or bf16"),
        ("metric", "fid", "swd, swd_64, swd_32, swd_16"),
        ("discriminator_kind", "patches", "stylegan2 or projected"),
        ("discriminator_kind", "projected", "None, because a projected discriminator has none to choose"),
        ("discriminator", None, "the sizes of StyleGAN2's discriminator"),
        ("lpips_network", "squeeze", "alex or vgg"),
    ],
)
def test_values_out_of_range(field, value, needed):
    with pytest.raises(InputError, match=f"needed: {needed}"):
        dataclasses.replace(SMALL, **{field: value})


def test_networks_of_two_sizes():
    with pytest.raises(InputError, match="input_size is 32; needed: the generator's output_size, 64"):
        preset("small", discriminator_sizes={"input_size": 32})


def test_sizes_out_of_range():
    with pytest.raises(InputError, match="output_size is 48; needed: a power of two from 32 to 1024"):
        preset("small", 48)
    with pytest.raises(InputError, match="preset 'huge' is not known; give one of: published, small"):
        preset("huge")
