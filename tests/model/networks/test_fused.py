"""Frozen models: the same faces as the layers that they stand for."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from facesynth.model.networks.encoder import BasicUnit, ResidualUnit
from facesynth.model.networks.fused import FrozenBasicUnit, FrozenConv, FrozenStyledLayer, FrozenUnit, fuse
from facesynth.model.networks.layers import StyledLayer
from facesynth.model.networks.psp import PSP

from ..recipe import normal, tiny_config


def lively(model: nn.Module) -> nn.Module:
    """Batch norms, biases and noise that are not what they start as."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        values = normal(name, *tensor.shape)
        with torch.no_grad():
            if name.endswith("running_var"):
                tensor.copy_(1 + 0.3 * values.abs())
            elif name.endswith(("running_mean", "noise_strength", "noise", "latent_avg")):
                tensor.copy_(0.5 * values)
            elif name.endswith("bias"):
                tensor.add_(0.3 * values)
            elif "norm" in name or name.endswith(("stem.1.weight", "shortcut.1.weight")):
                tensor.copy_(1 + 0.3 * values)
    return model.eval()


@pytest.mark.parametrize("upsampling", [False, True])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("width", [4, 48])
def test_a_frozen_layer_is_the_layer(upsampling: bool, samples: int, width: int) -> None:
    layer = lively(StyledLayer(width, 6, 8, 16, upsampling=upsampling))
    features = normal("features", samples, width, *(8, 8) if upsampling else (16, 16))
    style, noise = normal("style", samples, 8), normal("noise", samples, 1, 16, 16)
    own = FrozenStyledLayer(layer)
    with torch.no_grad():
        for given in (noise, noise[0, 0], None):
            torch.testing.assert_close(own(features, style, given), layer(features, style, given), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("size", [(2, 2), (2, 5), (3, 3), (6, 7)])
def test_a_batch_norm_before_a_convolution_sees_its_padding(size: tuple[int, int]) -> None:
    conv, norm = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(3)
    lively(nn.ModuleDict({"conv": conv, "norm": norm}))
    features = normal("features", 2, 3, *size)
    with torch.no_grad():
        torch.testing.assert_close(FrozenConv(conv, before=norm)(features), conv(norm(features)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("in_channels", "stride"), [(8, 1), (8, 2), (4, 1), (4, 2)])
def test_a_frozen_unit_is_the_unit(in_channels: int, stride: int) -> None:
    unit = lively(ResidualUnit(in_channels, 8, stride))
    features = normal("features", 2, in_channels, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(FrozenUnit(unit)(features), unit(features), rtol=1e-4, atol=1e-5)
    unit = lively(BasicUnit(in_channels, 8, stride))
    with torch.no_grad():
        torch.testing.assert_close(FrozenBasicUnit(unit)(features), unit(features), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("output_size", [32, 64])
@pytest.mark.parametrize(
    ("kind", "trunk"),
    [
        ("gradual", "ir-se"),
        ("last-layer-heads", "ir-se"),
        ("last-layer-w", "ir-se"),
        ("last-layer-w-plus", "ir-se"),
        ("gradual", "resnet"),
        ("last-layer-w", "resnet"),
    ],
)
def test_a_frozen_model_makes_the_same_faces(samples: int, output_size: int, kind: str, trunk: str) -> None:
    model = lively(PSP(tiny_config(output_size=output_size, encoder_kind=kind, encoder_trunk=trunk)))
    condition = normal("condition", samples, 19, 32, 32)
    with torch.no_grad():
        codes, face = model.encode(condition), model(condition)
        own = fuse(copy.deepcopy(model))
        torch.testing.assert_close(own.encode(condition), codes, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(own(condition), face, rtol=1e-4, atol=1e-4)
        styles = own.generator.mapping(normal("z", 1, 16))
        mixed = model(condition, styles=styles, alpha=0.5)
        torch.testing.assert_close(own(condition, styles=styles, alpha=0.5), mixed, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(mixed, face, atol=1e-2)


@pytest.mark.slow
def test_a_compiled_model_makes_the_same_faces() -> None:
    model = lively(PSP(tiny_config(output_size=32)))
    condition = normal("condition", 2, 19, 32, 32)
    with torch.no_grad():
        face = model(condition)
        frozen = fuse(model)
        frozen.generator.compile(backend="eager", fullgraph=True)  # an unbroken graph
        torch.testing.assert_close(frozen(condition), face, rtol=1e-4, atol=1e-4)
