from __future__ import annotations

import pytest
import torch
from torch import nn

from facesynth.errors import InputError
from facesynth.model.encoder import Encoder, ResidualUnit, SqueezeExcitation, feature_taps, head_taps

from . import recipe


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(recipe.tiny_config()).eval()


def conditions(n: int) -> torch.Tensor:
    return torch.rand(n, 19, 32, 32, generator=torch.Generator().manual_seed(1))


def test_taps_have_the_channels_and_strides_they_declare(encoder):
    maps = encoder.trunk(conditions(2))
    assert list(maps) == ["fine", "middle", "coarse"]
    for tap in encoder.taps:
        assert maps[tap.name].shape == (2, tap.channels, 32 // tap.stride, 32 // tap.stride)


def test_published_taps_and_heads():
    config = recipe.tiny_config(
        output_size=1024, encoder_units=(3, 4, 14, 3), encoder_channels=(64, 128, 256, 512), channel_base=1024
    )
    assert feature_taps(config) == (("fine", 128, 4), ("middle", 256, 8), ("coarse", 512, 16))
    assert [tap.name for tap in head_taps(config)] == ["coarse"] * 3 + ["middle"] * 4 + ["fine"] * 11


@pytest.mark.parametrize(("input_size", "convs"), [(32, (1, 2, 3)), (128, (3, 4, 5))])
def test_heads_go_down_to_one_pixel(input_size, convs):
    config = recipe.tiny_config(input_size=input_size)
    encoder = Encoder(config).eval()
    counts = [sum(isinstance(part, nn.Conv2d) for part in head.convs) for head in encoder.heads]
    assert counts == [convs[0]] * 3 + [convs[1]] * 4 + [convs[2]]
    assert encoder(torch.rand(1, 19, input_size, input_size)).shape == (1, 8, 16)


@pytest.mark.parametrize("channels", [1, 8, 15, 16, 64])
def test_squeeze_keeps_at_least_one_channel(channels):
    attention = SqueezeExcitation(channels)
    assert attention.squeeze.weight.shape[0] == max(1, channels // 16)
    features = torch.rand(2, channels, 4, 4)
    out = attention(features)
    assert out.gt(0).all()
    assert out.lt(features).all()


def test_residual_unit_shortcuts():
    features = torch.randn(2, 8, 6, 6)
    same = ResidualUnit(8, 8, 2).eval()
    nn.init.zeros_(same.norm_out.weight)
    assert torch.equal(same(features), features[..., ::2, ::2])
    assert ResidualUnit(8, 12, 1)(features).shape == (2, 12, 6, 6)


def test_pyramid_adds_the_coarser_maps(encoder):
    condition = conditions(1)
    maps = encoder.trunk(condition)
    joined = encoder.pyramid(maps)
    assert torch.equal(joined["coarse"], maps["coarse"])
    changed = encoder.pyramid({**maps, "coarse": maps["coarse"] + 1.0})
    for name in ("middle", "fine"):
        torch.testing.assert_close(changed[name], joined[name] + 1.0)


def test_a_trunk_narrower_than_the_styles_gets_a_lateral_convolution():
    encoder = Encoder(recipe.tiny_config(style_dim=24)).eval()
    assert encoder(conditions(2)).shape == (2, 8, 24)


def test_a_sample_does_not_depend_on_its_batch(encoder):
    condition = conditions(3)
    together = encoder(condition)
    for i in range(3):
        torch.testing.assert_close(encoder(condition[i : i + 1])[0], together[i], atol=1e-5, rtol=1e-5)


def test_every_parameter_learns(encoder):
    encoder.train()
    encoder(conditions(4)).square().mean().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_bfloat16_autocast(encoder):
    condition = conditions(2)
    exact = encoder(condition)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = encoder(condition)
    assert (rough.float() - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.parametrize(
    ("condition", "named"),
    [
        (torch.zeros(1, 1, 32, 32), "condition has 1 channels; this model needs 19"),
        (torch.zeros(1, 19, 64, 32), "condition is 64 x 32 px; this model needs 32 x 32"),
        (torch.zeros(19, 32, 32), r"condition has shape \(19, 32, 32\); needed: \(N, 19, 32, 32\)"),
        (torch.zeros(1, 19, 32, 32, dtype=torch.int64), "condition holds torch.int64"),
    ],
)
def test_errors_name_what_came_and_what_was_needed(encoder, condition, named):
    with pytest.raises(InputError, match=named):
        encoder(condition)


def test_a_stage_without_units_is_an_error():
    with pytest.raises(InputError, match="encoder_units"):
        Encoder(recipe.tiny_config(encoder_units=(1, 0, 1, 1)))
