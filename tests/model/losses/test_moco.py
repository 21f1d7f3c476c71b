from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from facesynth.errors import CheckpointError, InputError
from facesynth.model.checkpoints.conversion import describe
from facesynth.model.losses.moco import MoCo, load_moco

from .. import recipe

UNITS, WIDTHS = (3, 4, 6, 3), (64, 128, 256, 512)


def convolution(state, key, out_channels, in_channels, size):
    shape = (out_channels, in_channels, size, size)
    state[key] = recipe.normal(f"moco.{key}", *shape) * math.sqrt(2 / math.prod(shape[1:]))


def norm(state, key, channels):
    state[f"{key}.weight"] = 0.6 + 0.05 * recipe.normal(f"moco.{key}.weight", channels)
    state[f"{key}.bias"] = 0.05 * recipe.normal(f"moco.{key}.bias", channels)
    state[f"{key}.running_mean"] = 0.1 * recipe.normal(f"moco.{key}.running_mean", channels)
    state[f"{key}.running_var"] = 1 + 0.2 * recipe.normal(f"moco.{key}.running_var", channels).abs()
    state[f"{key}.num_batches_tracked"] = torch.tensor(7)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Weights of a ResNet-50 without its last layer, by torchvision's names."""
    state: dict[str, torch.Tensor] = {}
    convolution(state, "conv1.weight", 64, 3, 7)
    norm(state, "bn1", 64)
    width = 64
    for stage, (units, narrow) in enumerate(zip(UNITS, WIDTHS, strict=True), start=1):
        for unit in range(units):
            key = f"layer{stage}.{unit}"
            for n, (out, into, size) in enumerate(
                [(narrow, width, 1), (narrow, narrow, 3), (4 * narrow, narrow, 1)], 1
            ):
                convolution(state, f"{key}.conv{n}.weight", out, into, size)
                norm(state, f"{key}.bn{n}", out)
            if unit == 0:
                convolution(state, f"{key}.downsample.0.weight", 4 * narrow, width, 1)
                norm(state, f"{key}.downsample.1", 4 * narrow)
            width = 4 * narrow
    return state


def plain_features(state, pictures):
    """ResNet-50 (He et al. 2016, stride in the 3 x 3 convolution) up to its average pooling, scaled to length 1."""

    def normed(x, key):
        parts = (state[f"{key}.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *parts, training=False)

    rows = torch.arange(224) * pictures.shape[2] // 224  # nearest neighbours
    x = pictures[:, :, rows][:, :, :, rows]
    x = F.max_pool2d(normed(F.conv2d(x, state["conv1.weight"], stride=2, padding=3), "bn1").relu(), 3, 2, 1)
    for stage, units in enumerate(UNITS, start=1):
        for unit in range(units):
            key, stride = f"layer{stage}.{unit}", 2 if unit == 0 and stage > 1 else 1
            y = normed(F.conv2d(x, state[f"{key}.conv1.weight"]), f"{key}.bn1").relu()
            y = normed(F.conv2d(y, state[f"{key}.conv2.weight"], stride=stride, padding=1), f"{key}.bn2").relu()
            y = normed(F.conv2d(y, state[f"{key}.conv3.weight"]), f"{key}.bn3")
            if unit == 0:
                x = normed(F.conv2d(x, state[f"{key}.downsample.0.weight"], stride=stride), f"{key}.downsample.1")
            x = (x + y).relu()
    features = x.mean(dim=(2, 3))
    return features / features.norm(dim=1, keepdim=True)


def published(state) -> dict[str, object]:
    """The published file: both encoders with their embeddings, and the queue."""
    encoder = {f"module.encoder_q.{key}": value for key, value in state.items()}
    encoder |= {f"module.encoder_q.fc.{n}.weight": torch.ones(2, 2) for n in (0, 2)}
    other = {"module.encoder_k.conv1.weight": torch.zeros(64, 3, 7, 7), "module.queue": torch.zeros(2, 4)}
    return {"epoch": 800, "arch": "resnet50", "state_dict": {**encoder, **other}, "optimizer": {"state": {}}}


@pytest.fixture(scope="module")
def file(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("moco") / "moco_v2_800ep_pretrain.pth.tar"
    torch.save(published(state), path, _use_new_zipfile_serialization=False)
    return path


@pytest.mark.slow
def test_the_published_file_gives_the_features_of_a_plain_resnet(state, file):
    moco = load_moco(file).train()
    a = recipe.picture("loss-a").requires_grad_()
    b = (2 * recipe.sketch().expand(2, 3, -1, -1) - 1).requires_grad_()
    with torch.no_grad():
        of_a, of_b = plain_features(state, a), plain_features(state, b)
        torch.testing.assert_close(moco.features(b), of_b, atol=1e-5, rtol=0)
    loss = moco(a, b)
    torch.testing.assert_close(loss, 1 - (of_a * of_b).sum(dim=1).mean(), atol=1e-5, rtol=0)
    assert loss > 0.01
    loss.backward()
    assert a.grad.abs().max() > 0
    assert b.grad is None
    assert all(parameter.grad is None for parameter in moco.parameters())
    assert moco(a, a).item() == pytest.approx(0, abs=1e-6)


def test_what_the_file_is(file, state):
    lines = dict(describe(file))
    assert (lines["format"], lines["holds"]) == ("moco (MoCo v2's ResNet-50)", "a network")
    assert lines["numbers"] == f"{sum(value.numel() for value in state.values()):,}"


def test_other_files(state, tmp_path):
    hollow = {key: torch.zeros((), dtype=value.dtype).expand(value.shape) for key, value in state.items()}
    short = {key: value for key, value in hollow.items() if key != "layer4.2.bn3.bias"}
    with pytest.raises(CheckpointError, match=r"lacks layer4\.2\.bn3\.bias; needed for MoCo v2's ResNet-50"):
        MoCo(short)
    with pytest.raises(CheckpointError, match=r"has unexpected fc\.bias"):
        MoCo({**hollow, "fc.bias": torch.zeros(3)})
    with pytest.raises(CheckpointError, match=r"conv1\.weight has shape \(2,\); needed: \(64, 3, 7, 7\)"):
        MoCo({**hollow, "conv1.weight": torch.zeros(2)})
    torch.save({"state_dict": {"module.encoder_q.conv1.weight": torch.zeros(2)}}, tmp_path / "cut.pth")
    with pytest.raises(CheckpointError, match=r"cut\.pth: the network lacks bn1"):
        load_moco(tmp_path / "cut.pth")
    torch.save({"output_layer.3.weight": torch.zeros(2, 2)}, tmp_path / "ir_se50.pth")
    with pytest.raises(CheckpointError, match=r"holds ArcFace's IR-SE50; needed: MoCo v2's ResNet-50"):
        load_moco(tmp_path / "ir_se50.pth")
    with pytest.raises(InputError, match=r"pictures has shape \(2, 1, 8, 8\); needed: \(N, 3, H, W\)"):
        MoCo(hollow).features(torch.zeros(2, 1, 8, 8))
