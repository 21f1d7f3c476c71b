from __future__ import annotations

import dataclasses

import pytest
import yaml

from facesynth.errors import InputError
from facesynth.model.config import model
from facesynth.model.config.gan import GANConfig, preset
from facesynth.model.training.gan.overrides import resolve_generator
from facesynth.model.training.gan.plan import InitialNetworks
from facesynth.model.training.run_folder import plain


def resolve(file=None, **options) -> GANConfig:
    return resolve_generator(InitialNetworks(), file=file, **options)


def test_a_runs_own_settings_are_taken_again(tmp_path):
    config = preset("small", 128, generator_sizes={"style_dim": 48}, seed=5, r1_weight=0.25, augment_target=0.0)
    noted = {"task": "generator", "photos": {"train": "a", "val": "b"}, "start": {"generator": None}}
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({**noted, **plain(dataclasses.asdict(config))}))
    assert resolve(file) == config
    assert resolve(file, size=64).discriminator.input_size == 64
    assert resolve(file, options={"seed": 6}) == dataclasses.replace(config, seed=6)


def test_options_count_more_than_a_file_and_that_more_than_a_preset(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("preset: published\nbatch_size: 8\nsteps: 100\ndiscriminator: {group_size: 2}\n")
    config = resolve(file, size=256, options={"steps": 200}, sizes={"channel_base": "16384"})
    assert (config.batch_size, config.steps, config.generator.style_dim) == (8, 200, 512)
    assert config.discriminator == model.DiscriminatorConfig(
        input_size=256, channel_base=16384, channel_max=512, group_size=2
    )
    assert config.generator.channel_base == 16384


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lpips: 1", "lpips is not a setting; needed: discriminator_kind, lpips_network, steps, batch_size"),
        ("steps: many", "steps is 'many'; needed: a whole number"),
        ("task: seg2face", "has the task 'seg2face'; needed: settings of `facesynth train-generator`"),
        ("generator: 3", "generator is 3; needed: sizes by name"),
        ("generator: {width: 3}", "width is not a size of the generator; needed: output_size"),
        ("- 1", "holds no settings"),
    ],
)
def test_files_that_are_wrong(tmp_path, text, says):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=says):
        resolve(file)


def test_sizes_by_a_wrong_name():
    with pytest.raises(
        InputError, match="depth is not a size of the networks; needed: channel_base, channel_max, group"
    ):
        resolve(sizes={"depth": "3"})


def test_a_projected_discriminator_has_no_sizes_and_no_r1(tmp_path):
    projected = {"discriminator_kind": "projected"}
    config = resolve(options={**projected, "lpips_network": "vgg"}, sizes={"channel_max": "32"})
    assert (config.discriminator, config.r1_weight, config.lpips_network) == (None, 0.0, "vgg")
    assert config.generator.channel_max == 32
    with pytest.raises(InputError, match="a projected discriminator has no group_size to choose; leave it out"):
        resolve(options=projected, sizes={"group_size": "2"})
    with pytest.raises(InputError, match=r"r1_weight is 2\.0; needed: 0, because a projected discriminator has no R1"):
        resolve(options={**projected, "r1_weight": 2.0})


def test_a_files_settings_of_another_kind_of_discriminator_are_not_used(tmp_path):
    classic, projected = preset("small", r1_weight=0.25), preset("small", discriminator_kind="projected")
    file = tmp_path / "config.yaml"
    for given, other in ((classic, projected), (projected, preset("small"))):
        file.write_text(yaml.safe_dump(plain(dataclasses.asdict(given))))
        assert resolve(file) == given
        assert resolve(file, options={"discriminator_kind": other.discriminator_kind}) == other
    old = plain(dataclasses.asdict(classic))  # of a run from before there was a choice
    del old["discriminator_kind"], old["lpips_network"]
    file.write_text(yaml.safe_dump(old))
    assert resolve(file) == classic
