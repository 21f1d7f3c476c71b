"""Discriminators in the layouts of stylegan2-pytorch and StyleGAN2-ADA."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from facesynth.errors import CheckpointError
from facesynth.model.checkpoints.load import load_discriminator
from facesynth.model.checkpoints.rosinality import discriminator_from_rosinality, discriminator_to_rosinality
from facesynth.model.config.model import DiscriminatorConfig
from facesynth.model.networks.discriminator import Discriminator

from ..recipe import normal
from .hostile import ada_discriminator_tensors, ada_pickle, ada_tensors

CONFIG = DiscriminatorConfig(input_size=64, channel_base=512, channel_max=16)
SIZES = {"size": 64, "base": 512, "most": 16}
GENERATOR = {"size": 32, "style_dim": 8, "depth": 1, "base": 64, "most": 4}


@pytest.fixture
def rosinality() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return discriminator_to_rosinality(Discriminator(CONFIG).state_dict(), CONFIG)


def saved(folder: Path, d: Any) -> Path:
    torch.save({"g": {}, "g_ema": {}, "d": d, "d_optim": {}}, folder / "run.pt")
    return folder / "run.pt"


def pickled(folder: Path, tensors: dict[str, torch.Tensor], **changes: Any) -> Path:
    path = folder / "network.pkl"
    path.write_bytes(ada_pickle(ada_tensors(**GENERATOR), discriminator=tensors, **changes))
    return path


def test_rosinality_keys_and_shapes():
    with torch.device("meta"):
        config = DiscriminatorConfig(input_size=256, channel_base=32768, channel_max=512)
        state = discriminator_to_rosinality(Discriminator(config).state_dict(), config)
    shapes = {key: tuple(tensor.shape) for key, tensor in state.items()}
    blocks = [(128, 256), (256, 512), *[(512, 512)] * 4]
    expected: dict[str, tuple[int, ...]] = {"convs.0.0.weight": (128, 3, 1, 1), "convs.0.1.bias": (128,)}
    for number, (wide, narrow) in enumerate(blocks, start=1):
        expected |= {
            f"convs.{number}.conv1.0.weight": (wide, wide, 3, 3),
            f"convs.{number}.conv1.1.bias": (wide,),
            f"convs.{number}.conv2.0.kernel": (4, 4),
            f"convs.{number}.conv2.1.weight": (narrow, wide, 3, 3),
            f"convs.{number}.conv2.2.bias": (narrow,),
            f"convs.{number}.skip.0.kernel": (4, 4),
            f"convs.{number}.skip.1.weight": (narrow, wide, 1, 1),
        }
    expected |= {"final_conv.0.weight": (512, 513, 3, 3), "final_conv.1.bias": (512,)}
    expected |= {"final_linear.0.weight": (512, 8192), "final_linear.0.bias": (512,)}
    expected |= {"final_linear.1.weight": (1, 512), "final_linear.1.bias": (1,)}
    assert shapes == expected


def test_rosinality_there_and_back(tmp_path, rosinality):
    config, state = load_discriminator(saved(tmp_path, rosinality))
    assert config.channels == CONFIG.channels
    own = Discriminator(config)
    own.load_state_dict(state)
    torch.manual_seed(0)
    pictures = normal("pictures", 4, 3, 64, 64)
    assert torch.equal(own(pictures), Discriminator(CONFIG)(pictures))
    again = discriminator_to_rosinality(state, config)
    assert again.keys() == rosinality.keys()
    assert all(torch.equal(again[key], rosinality[key]) for key in again)


@pytest.mark.parametrize(("base", "most", "group_size"), [(512, 16, 4), (64, 64, 8), (2048, 4, 1)])
def test_ada_networks(tmp_path, base, most, group_size):
    tensors = ada_discriminator_tensors(64, base, most)
    path = pickled(tmp_path, tensors, attributes={"b4.mbstd": {"group_size": group_size}})
    config, state = load_discriminator(path)
    assert config.channels == tuple(min(most, base // (4 << k)) for k in range(5))
    assert config.group_size == group_size
    kept = [value for key, value in tensors.items() if not key.endswith("resample_filter")]
    assert sorted(float(value.sum()) for value in kept) == sorted(float(value.sum()) for value in state.values())
    assert torch.equal(state["from_rgb.bias"], tensors["b64.fromrgb.bias"])
    assert torch.equal(state["blocks.1.shortcut.weight"], tensors["b32.skip.weight"])
    assert torch.equal(state["blocks.3.refine.weight"], tensors["b8.conv0.weight"])
    assert torch.equal(state["hidden.weight"], tensors["b4.fc.weight"])
    own = Discriminator(config)
    own.load_state_dict(state)
    scores = own(normal("pictures", 4, 3, 64, 64))
    assert scores.isfinite().all()
    assert scores.std() > 1e-3
    written = discriminator_to_rosinality(state, config)
    assert discriminator_from_rosinality(written)[1].keys() == state.keys()


@pytest.mark.parametrize(
    "key",
    [
        "convs.0.1.bias",
        "convs.2.conv1.0.weight",
        "convs.1.conv2.0.kernel",
        "convs.4.skip.1.weight",
        "final_linear.1.bias",
    ],
)
def test_rosinality_tensors_are_named(tmp_path, rosinality, key):
    for value in (None, torch.zeros(5, 7)):
        changed = {name: tensor for name, tensor in {**rosinality, key: value}.items() if tensor is not None}
        path = saved(tmp_path, changed)
        with pytest.raises(CheckpointError, match=rf"^{path}: .*{re.escape(key)}"):
            load_discriminator(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "key", ["b64.fromrgb.weight", "b32.conv1.bias", "b16.skip.weight", "b8.skip.resample_filter", "b4.out.weight"]
)
def test_ada_tensors_are_named(tmp_path, key):
    tensors = ada_discriminator_tensors(**SIZES)
    for value in (None, torch.zeros(5, 7)):
        changed = {name: tensor for name, tensor in {**tensors, key: value}.items() if tensor is not None}
        path = pickled(tmp_path, changed)
        with pytest.raises(CheckpointError, match=rf"^{path}: .*{re.escape(key)}"):
            load_discriminator(path)


@pytest.mark.parametrize(
    ("tensors", "attributes", "says"),
    [
        ({"b8.extra.weight": torch.ones(1, 1)}, {}, "has unexpected b8.extra.weight; needed: a StyleGAN2-ADA discr"),
        ({"b4.out.bias": torch.tensor([torch.nan])}, {}, "non-finite values in 'score.bias'"),
        ({}, {"": {"c_dim": 3}}, "is conditional: it takes a class as well; needed: .* discriminator of RGB pictures"),
        ({}, {"": {"img_channels": 1}}, "its pictures have 1 channels; needed: .* discriminator of RGB pictures"),
        ({}, {"b16": {"architecture": "skip"}}, "b16 has the architecture skip; needed: resnet"),
        ({}, {"b4.fc": {"weight_gain": 1.0}}, r"b4\.fc has the weight_gain 1\.0; needed: 0\.0"),
        ({}, {"b4.mbstd": {"group_size": None}}, r"b4\.mbstd has the group_size None; needed: a number"),
        ({}, {"b4.mbstd": {"group_size": 0}}, "group_size is 0; needed: at least 1"),
    ],
)
def test_ada_networks_of_another_kind(tmp_path, tensors, attributes, says):
    path = pickled(tmp_path, {**ada_discriminator_tensors(**SIZES), **tensors}, attributes=attributes)
    with pytest.raises(CheckpointError, match=says) as caught:
        load_discriminator(path)
    assert str(caught.value).startswith(str(path))


def test_files_without_a_discriminator(tmp_path, rosinality):
    contents = {
        "run.pt": {"g_ema": {}},
        "odd.pt": {"g_ema": {}, "d": 3},
        "net.pth": {"output_layer.3.weight": torch.ones(1)},
    }
    for name, content in contents.items():
        torch.save(content, tmp_path / name)
        says = "its d is no state dict" if name == "odd.pt" else "it holds no discriminator; needed: a file with"
        with pytest.raises(CheckpointError, match=f"^{tmp_path / name}: {says}"):
            load_discriminator(tmp_path / name)
    (tmp_path / "a.pkl").write_bytes(ada_pickle(ada_tensors(**GENERATOR)))
    with pytest.raises(CheckpointError, match=r"a\.pkl: it holds no discriminator"):
        load_discriminator(tmp_path / "a.pkl")
