from __future__ import annotations

import gzip
import json
from functools import partial

import numpy as np
import pytest
import torch

from facesynth.errors import CheckpointError, InputError
from facesynth.model.checkpoints.ir_se50 import recogniser_from_ir_se50
from facesynth.model.checkpoints.load import load_trunk
from facesynth.model.config.model import ModelConfig
from facesynth.model.losses.identity import Identity, load_identity
from facesynth.model.networks.encoder import Trunk

from .. import recipe


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    keys = json.loads(gzip.decompress((recipe.DATA / "published_ir_se50_keys.json.gz").read_bytes()))
    tensors = {
        key: recipe.published_tensor(f"encoder.{key}", tuple(shape), dtype) for key, (shape, dtype) in keys.items()
    }
    return {key: tensors[key] for key in keys}


@pytest.mark.slow
def test_published_features_and_loss(published):
    identity = Identity(recogniser_from_ir_se50(published)).train()
    a, b = recipe.picture("loss-a").requires_grad_(), recipe.picture("loss-b")
    with np.load(recipe.DATA / "ir_se50.npz") as arrays:
        expected_a, expected_b = (torch.from_numpy(arrays[f"features_{name}"]) for name in "ab")
    with torch.no_grad():
        torch.testing.assert_close(identity.features(b), expected_b, atol=1e-4, rtol=0)
    loss = identity(a, b)
    torch.testing.assert_close(loss, 1 - (expected_a * expected_b).sum(dim=1).mean(), atol=1e-4, rtol=0)
    loss.backward()
    outside = a.grad.clone()
    outside[:, :, 35:223, 32:220] = 0
    assert a.grad.abs().max() > 0
    assert outside.abs().max() == 0
    assert all(parameter.grad is None for parameter in identity.parameters())


@pytest.mark.slow
def test_larger_pictures_are_those_of_256_px(published):
    identity = Identity(recogniser_from_ir_se50(published))
    small = recipe.picture("loss-a")[:1]
    large = small.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    with torch.no_grad():
        torch.testing.assert_close(identity.features(large), identity.features(small), atol=1e-5, rtol=0)
    with pytest.raises(
        InputError, match=r"pictures has shape \(1, 3, 128, 128\); needed: \(N, 3, H, H\), H at least 256"
    ):
        identity.features(small[:, :, ::2, ::2])


@pytest.mark.slow
def test_its_trunk_is_that_of_an_encoder(published, tmp_path):
    torch.save(published, tmp_path / "ir_se50.pth")
    assert load_trunk(tmp_path / "ir_se50.pth", input_channels=19).keys() == load_trunk(
        tmp_path / "ir_se50.pth", input_channels=3
    ).keys() - {"stem.0.weight"}
    with torch.device("meta"):
        trunk = Trunk(ModelConfig(condition="photo", input_channels=3))
    trunk.load_state_dict(load_trunk(tmp_path / "ir_se50.pth", input_channels=3), assign=True)
    assert torch.equal(trunk.stages[3][2].conv_out.weight, published["body.23.res_layer.3.weight"])
    assert torch.equal(trunk.stages[1][0].shortcut[1].running_var, published["body.3.shortcut_layer.1.running_var"])
    assert torch.equal(trunk.stem[0].weight, published["input_layer.0.weight"])


def test_other_files(published, tmp_path):
    hollow = {key: torch.zeros((), dtype=value.dtype).expand(value.shape) for key, value in published.items()}
    del hollow["output_layer.4.bias"]
    with pytest.raises(CheckpointError, match=r"the network lacks output_layer\.4\.bias; needed for an IR-SE50"):
        recogniser_from_ir_se50(hollow)
    torch.save({"output_layer.3.weight": torch.zeros(2, 2)}, tmp_path / "small.pth")
    with pytest.raises(CheckpointError, match=r"small\.pth: the network lacks input_layer\.0\.weight"):
        load_identity(tmp_path / "small.pth")
    torch.save({"features.0.weight": torch.zeros(2, 2)}, tmp_path / "alexnet.pth")
    for load in (load_identity, partial(load_trunk, input_channels=3)):
        with pytest.raises(
            CheckpointError, match=r"alexnet\.pth holds torchvision's AlexNet; needed: ArcFace's IR-SE50"
        ):
            load(tmp_path / "alexnet.pth")
