from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from facesynth.errors import CheckpointError
from facesynth.model.checkpoints import torch_save
from facesynth.model.checkpoints.load import load_generator
from facesynth.model.checkpoints.stylegan2_ada import generator_from_ada
from facesynth.model.config.model import GeneratorConfig
from facesynth.model.networks.generator import Generator, truncate

from .. import recipe
from .hostile import ada_pickle, ada_tensors

SIZES = {"size": 32, "style_dim": 16, "depth": 2, "base": 256, "most": 16}


def written(folder: Path, data: bytes) -> Path:
    path = folder / "network.pkl"
    path.write_bytes(data)
    return path


def generator_of(path: Path) -> tuple[Generator, torch.Tensor]:
    given = load_generator(path)
    generator = Generator(*dataclasses.astuple(given.config))
    generator.load_state_dict(given.tensors)
    return generator.requires_grad_(False), given.latent_avg


def test_published_outputs(tmp_path):
    data = ada_pickle(ada_tensors(size=64, style_dim=512, depth=2, base=2048, most=64), source="import os")
    generator, average = generator_of(written(tmp_path, data))
    with np.load(recipe.DATA / "ada_64.npz") as arrays:
        expected = {name: torch.from_numpy(arrays[name]) for name in arrays}

    def pictures(w: torch.Tensor) -> torch.Tensor:
        return generator(w[:, None].expand(-1, generator.n_styles, -1))

    w = generator.mapping(expected["z"])
    nearer = truncate(w, average[0], 0.7)
    for actual, name, tolerance in (
        (w, "w", 1e-4),
        (pictures(w[:1]), "image", 2e-3),
        (nearer, "w_psi07", 1e-4),
        (F.avg_pool2d(pictures(nearer), 4), "image_psi07_16", 2e-3),
    ):
        torch.testing.assert_close(actual, expected[name], atol=tolerance, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "base", "most", "depth"),
    [(32, 512, 8, 8), (64, 64, 512, 1), (128, 512, 16, 2), (256, 256, 8, 2), (512, 1024, 4, 2), (1024, 2048, 8, 2)],
)
def test_sizes_are_read_off(tmp_path, size, base, most, depth):
    tensors = ada_tensors(size=size, style_dim=8, depth=depth, base=base, most=most)
    record = torch_save.read(written(tmp_path, ada_pickle(tensors)))["G_ema"]
    config, state, average = generator_from_ada(record)
    # Of the bases and maxima that give the same channels, the smallest that any does.
    widths = {4 << k: min(most, base // (4 << k)) for k in range(size.bit_length() - 2)}
    assert {r: min(config.channel_max, config.channel_base // r) for r in widths} == widths
    assert (config.output_size, config.style_dim, config.mapping_depth) == (size, 8, depth)
    Generator(*dataclasses.astuple(config)).load_state_dict(state)
    assert torch.equal(average, tensors["mapping.w_avg"])
    last = f"synthesis.b{size}"
    assert torch.equal(state[f"blocks.{size.bit_length() - 4}.refine.noise"], tensors[f"{last}.conv1.noise_const"])
    assert torch.equal(state[f"blocks.{size.bit_length() - 4}.to_rgb.bias"].flatten(), tensors[f"{last}.torgb.bias"])


def test_tensors_are_those_of_the_file(tmp_path):
    tensors = ada_tensors(**SIZES)
    record = torch_save.read(written(tmp_path, ada_pickle(tensors)))["G_ema"]
    config, state, _ = generator_from_ada(record)
    assert config == GeneratorConfig(output_size=32, style_dim=16, mapping_depth=2, channel_base=256, channel_max=16)
    kept = [value for key, value in tensors.items() if not key.endswith(("resample_filter", "w_avg"))]
    assert sorted(float(value.sum()) for value in kept) == sorted(float(value.sum()) for value in state.values())


def test_a_network_without_an_average(tmp_path):
    tensors = ada_tensors(**SIZES)
    del tensors["mapping.w_avg"]
    generator, average = generator_of(written(tmp_path, ada_pickle(tensors)))
    assert average.shape == (8, 16)
    w = generator.mapping(torch.randn(20_000, 16, generator=torch.Generator().manual_seed(4))).mean(dim=0)
    assert (average - w).abs().max() < 0.1
    assert average.std(dim=1).min() > 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    "key",
    [
        "mapping.fc0.bias",
        "synthesis.b4.const",
        "synthesis.b8.conv0.noise_const",
        "synthesis.b16.conv1.noise_strength",
        "synthesis.b32.torgb.affine.weight",
        "synthesis.b32.resample_filter",
        "synthesis.b8.conv0.resample_filter",
    ],
)
def test_missing_and_misshapen_tensors_are_named(tmp_path, key):
    tensors = ada_tensors(**SIZES)
    for value, says in (
        (torch.zeros(3, 5), f"{key} (has shape|is not the)"),
        (None, f"the network lacks {key}; needed"),
    ):
        changed = {name: tensor for name, tensor in {**tensors, key: value}.items() if tensor is not None}
        path = written(tmp_path, ada_pickle(changed))
        with pytest.raises(CheckpointError, match=f"^{path}: {says}"):
            load_generator(path)


@pytest.mark.parametrize(
    ("tensors", "attributes", "says"),
    [
        (
            {"synthesis.b8.extra.weight": torch.ones(1, 1)},
            {},
            "has unexpected synthesis.b8.extra.weight; needed: a Style",
        ),
        ({"synthesis.input.freqs": torch.ones(2)}, {}, "is one of StyleGAN3; needed: an unconditional StyleGAN2"),
        ({"mapping.w_avg": torch.ones(3)}, {}, r"mapping\.w_avg has shape \(3,\); needed: \(16,\)"),
        ({"synthesis.b4.const": torch.full((16, 4, 4), torch.nan)}, {}, "non-finite values in 'constant'"),
        ({"synthesis.b32.conv1.resample_filter": torch.eye(4)}, {}, "is not the .* filter"),
        ({"synthesis.b64.conv1.weight": torch.ones(8, 8, 3, 3)}, {}, "lacks synthesis.b64.conv0.weight"),
        ({"synthesis.b2048.conv1.weight": torch.ones(1, 1, 3, 3)}, {}, "output_size is 2048"),
        (
            {},
            {"mapping": {"c_dim": 10}},
            "is conditional: it takes a class as well; needed: .* generator of RGB pictures",
        ),
        ({}, {"": {"img_channels": 1}}, "its pictures have 1 channels; needed: .* generator of RGB pictures"),
        ({}, {"synthesis.b8": {"architecture": "resnet"}}, r"synthesis\.b8 has the architecture resnet; needed: skip"),
        ({}, {"mapping.fc1": {"bias_gain": 1.0}}, r"mapping\.fc1 has the bias_gain 1\.0; needed: 0\.01"),
        ({}, {"mapping.fc0": {"weight_gain": 0.25}}, r"mapping\.fc0 has the weight_gain 0\.25; needed: 0\.0025"),
        ({}, {"synthesis": {"_modules": {"b4": 3}}}, "the part b4 of the network is no module"),
        ({}, {"": {"_modules": {}}}, "the network is a Generator; needed: an unconditional"),
    ],
)
def test_networks_of_another_kind(tmp_path, tensors, attributes, says):
    path = written(tmp_path, ada_pickle({**ada_tensors(**SIZES), **tensors}, attributes=attributes))
    with pytest.raises(CheckpointError, match=says) as caught:
        load_generator(path)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).isprintable()


def test_another_network_of_the_same_program(tmp_path):
    path = written(tmp_path, ada_pickle(ada_tensors(**SIZES), class_name="Discriminator"))
    with pytest.raises(CheckpointError, match="the network is a Discriminator; needed: an unconditional StyleGAN2"):
        load_generator(path)


def test_a_network_that_holds_itself_many_times(tmp_path):
    record = torch_save.Record("Layer", {})
    for _ in range(40):
        record = torch_save.Record("Generator", {"_modules": {"synthesis": record, "mapping": record}})
    with pytest.raises(CheckpointError, match="has more than 1000 modules"):
        generator_from_ada(record)
