from __future__ import annotations

import pytest
import torch
from torch import nn

from facesynth.errors import InputError
from facesynth.model.config.model import TRUNK_UNITS
from facesynth.model.networks.encoder import (
    ENCODERS,
    Encoder,
    GradualEncoder,
    ResidualUnit,
    SqueezeExcitation,
    Trunk,
    feature_taps,
    head_taps,
    window_means,
)

from .. import recipe

KINDS = list(ENCODERS)


def encoder_of(kind: str, **sizes: object) -> Encoder:
    torch.manual_seed(0)
    return ENCODERS[kind](recipe.tiny_config(encoder_kind=kind, **sizes)).eval()


@pytest.fixture
def encoder() -> Encoder:
    return encoder_of("gradual")


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
    encoder = GradualEncoder(config).eval()
    counts = [sum(isinstance(part, nn.Conv2d) for part in head.convs) for head in encoder.heads]
    assert counts == [convs[0]] * 3 + [convs[1]] * 4 + [convs[2]]
    assert encoder(torch.rand(1, 19, input_size, input_size)).shape == (1, 8, 16)


def test_a_resnet_has_maps_of_the_same_sizes():
    encoder = encoder_of("gradual", encoder_trunk="resnet", encoder_units=(2, 1, 1, 1))
    maps = encoder.trunk(conditions(2))
    assert [tuple(value.shape) for value in maps.values()] == [(2, 8, 8, 8), (2, 16, 4, 4), (2, 16, 2, 2)]
    assert encoder.trunk.stem(conditions(1)).shape == (1, 8, 16, 16)
    assert encoder(conditions(2)).shape == (2, 8, 16)


def test_heads_on_the_last_map_alone():
    encoder = encoder_of("last-layer-heads")
    assert set(encoder.head_taps) == {"coarse"}
    assert len(encoder.heads) == 8
    names = {name.partition(".")[0] for name in encoder.state_dict()}
    assert names == {"trunk", "heads"}
    assert encoder_of("last-layer-heads", style_dim=24)(conditions(2)).shape == (2, 8, 24)


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
    encoder = encoder_of("gradual", style_dim=24)
    assert encoder(conditions(2)).shape == (2, 8, 24)


@pytest.mark.parametrize(("depth", "units"), [(50, (3, 4, 14, 3)), (100, (3, 13, 30, 3)), (152, (3, 8, 36, 3))])
def test_taps_lie_at_the_ends_of_stages_in_trunks_of_every_depth(depth, units):
    assert TRUNK_UNITS[depth] == units
    channels = (2, 4, 6, 8)
    trunk = Trunk(recipe.tiny_config(encoder_units=units, encoder_channels=channels, input_size=64)).eval()
    ends = []
    for stage in trunk.stages:
        stage[-1].register_forward_hook(lambda module, args, output: ends.append(output))
    maps = trunk(torch.rand(1, 19, 64, 64))
    assert [len(stage) for stage in trunk.stages] == list(units)
    assert {name: tuple(map_.shape[1:]) for name, map_ in maps.items()} == {
        "fine": (4, 16, 16),
        "middle": (6, 8, 8),
        "coarse": (8, 4, 4),
    }
    assert [next(k for k, end in enumerate(ends) if end is map_) for map_ in maps.values()] == [1, 2, 3]


@pytest.mark.parametrize("sizes", [{}, {"style_dim": 24}, {"input_size": 256, "output_size": 64}, {"input_size": 64}])
def test_last_layer_encoders_read_the_last_map_alone(sizes):
    condition = torch.rand(2, 19, *2 * [sizes.get("input_size", 32)])
    for kind in ("last-layer-w", "last-layer-w-plus"):
        encoder = encoder_of(kind, **sizes)
        config = recipe.tiny_config(**sizes)
        one = kind == "last-layer-w"
        codes = encoder(condition)
        assert codes.shape == ((2, config.style_dim) if one else (2, config.n_styles, config.style_dim))
        coarse = encoder.trunk(condition)["coarse"]
        torch.testing.assert_close(encoder.codes({"coarse": coarse}), codes)
        head = encoder.head
        vectors = coarse.mean(dim=(2, 3))
        if not one:
            vectors = nn.functional.adaptive_avg_pool2d(head.norm(coarse), 7).flatten(1) @ head.reduce.weight.t()
            vectors = vectors + head.reduce.bias
        expected = vectors @ head.linear.weight.t() / vectors.shape[1] ** 0.5 + head.linear.bias
        torch.testing.assert_close(codes, expected.reshape(codes.shape), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [2, 4, 7, 8, 16, 64])
def test_windows_are_those_of_adaptive_pooling(size):
    row = torch.arange(1.0, size + 1) ** 2
    pooled = nn.functional.adaptive_avg_pool1d(row[None], 7)[0]
    torch.testing.assert_close(window_means(size, 7) @ row, pooled)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_does_not_depend_on_its_batch(kind):
    encoder = encoder_of(kind)
    condition = conditions(3)
    together = encoder(condition)
    for i in range(3):
        torch.testing.assert_close(encoder(condition[i : i + 1])[0], together[i], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_learns(kind):
    encoder = encoder_of(kind).train()
    encoder(conditions(4)).square().mean().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_autocast(kind):
    encoder = encoder_of(kind)
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
@pytest.mark.parametrize("kind", KINDS)
def test_errors_name_what_came_and_what_was_needed(kind, condition, named):
    with pytest.raises(InputError, match=named):
        encoder_of(kind)(condition)


def test_a_stage_without_units_is_an_error():
    with pytest.raises(InputError, match="encoder_units"):
        encoder_of("last-layer-w", encoder_units=(1, 0, 1, 1))
