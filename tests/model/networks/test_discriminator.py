from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from torch.nn import functional as F

from facesynth.errors import InputError
from facesynth.model.config.model import DiscriminatorConfig
from facesynth.model.networks.discriminator import Discriminator, EqualizedConv, low_pass, minibatch_deviation

from ..recipe import normal

TINY = DiscriminatorConfig(input_size=32, channel_base=128, channel_max=8)


def lively(config: DiscriminatorConfig = TINY) -> Discriminator:
    """With biases that are not 0."""
    discriminator = Discriminator(config)
    with torch.no_grad():
        for name, parameter in discriminator.named_parameters():
            parameter.copy_(normal(name, *parameter.shape) * (0.3 if name.endswith("bias") else 1.0))
    return discriminator


# ---------------------------------------------------------------------------------------------------------------- the pieces


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_downsampling_is_filtering_then_every_other_pixel_of_a_convolution(kernel_size):
    conv = EqualizedConv(5, 4, kernel_size, downsampling=True)
    with torch.no_grad():
        conv.bias.copy_(normal("bias", 4))
    features = normal("features", 2, 5, 8, 6)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    edge = 1 + kernel_size // 2
    rows = F.pad(features, (edge, edge, edge, edge)).unfold(2, 4, 1) @ taps
    filtered = rows.unfold(3, 4, 1) @ taps
    expected = F.conv2d(filtered, conv.weight / (5 * kernel_size**2) ** 0.5)[:, :, ::2, ::2] + conv.bias[:, None, None]
    assert expected.shape == (2, 4, 4, 3)
    torch.testing.assert_close(conv(features), expected, atol=1e-5, rtol=1e-5)


def test_the_filter_keeps_flat_areas_and_drops_what_alternates():
    flat = low_pass(torch.full((1, 2, 8, 8), 0.7), padding=0)
    torch.testing.assert_close(flat, torch.full((1, 2, 5, 5), 0.7))
    stripes = torch.tensor([1.0, -1.0]).repeat(4).expand(1, 2, 8, 8)
    torch.testing.assert_close(low_pass(stripes, padding=0), torch.zeros(1, 2, 5, 5))


@pytest.mark.parametrize(
    ("n_samples", "groups"),
    [
        (1, [[0]]),
        (3, [[0, 1, 2]]),
        (4, [[0, 1, 2, 3]]),
        (5, [[0, 2, 4], [1, 3]]),
        (6, [[0, 2, 4], [1, 3, 5]]),
        (8, [[0, 2, 4, 6], [1, 3, 5, 7]]),
        (9, [[0, 3, 6], [1, 4, 7], [2, 5, 8]]),
    ],
)
def test_deviations_are_those_of_the_group(n_samples, groups):
    features = normal("features", n_samples, 3, 4, 4)
    out = minibatch_deviation(features, 4)
    assert torch.equal(out[:, :3], features)
    for group in groups:
        centred = features[group] - features[group].mean(dim=0)
        deviation = centred.square().mean(dim=0).sqrt().mean()
        torch.testing.assert_close(out[group, 3], deviation.expand(len(group), 4, 4), atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(("n_samples", "size"), [(8, 4), (12, 4), (6, 2), (2, 4)])
def test_groups_of_a_batch_that_they_divide_are_the_published_ones(n_samples, size):
    features = normal("features", n_samples, 3, 4, 4)
    grouped = features.reshape(min(size, n_samples), -1, 3, 4, 4)  # sample i in group i modulo their number
    deviations = grouped.var(dim=0, correction=0).add(1e-8).sqrt().mean(dim=(1, 2, 3))
    expected = deviations.repeat(min(size, n_samples))
    torch.testing.assert_close(minibatch_deviation(features, size)[:, 3, 0, 0], expected)


# ----------------------------------------------------------------------------------------------------------------- the whole


@pytest.mark.parametrize("size", [32, 64, 1024])
@pytest.mark.parametrize(("base", "most"), [(1024, 4), (2048, 512)])
def test_sizes_and_channels(size, base, most):
    config = DiscriminatorConfig(input_size=size, channel_base=base, channel_max=min(most, 16))
    discriminator = Discriminator(config)
    widths = [min(config.channel_max, base // resolution) for resolution in (4, 8, 16, 32, 64, 1024)]
    assert config.channels[:3] == tuple(widths[:3])
    assert discriminator.from_rgb.weight.shape == (config.channels[-1], 3, 1, 1)
    assert [block.reduce.weight.shape[:2] for block in discriminator.blocks] == [
        (narrow, wide) for wide, narrow in itertools.pairwise(config.channels[::-1])
    ]
    with torch.no_grad():
        assert discriminator(torch.zeros(1, 3, size, size)).shape == (1,)


def test_parameters_of_the_published_size():
    with torch.device("meta"):
        discriminator = Discriminator(DiscriminatorConfig(input_size=1024, channel_base=32768, channel_max=512))
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == 29_012_513


def test_a_plain_reference():
    """The same network as one expression a line, from the paper's figure 7."""
    own = lively()
    state = own.state_dict()
    pictures = normal("pictures", 3, 3, 32, 32)

    def conv(name: str, features: torch.Tensor, padding: int = 0, stride: int = 1) -> torch.Tensor:
        weight = state[f"{name}.weight"]
        scaled = weight / weight[0].numel() ** 0.5
        return F.conv2d(features, scaled, state.get(f"{name}.bias"), padding=padding, stride=stride)

    def active(features: torch.Tensor) -> torch.Tensor:
        return 2**0.5 * torch.where(features > 0, features, 0.2 * features)

    x = active(conv("from_rgb", pictures))
    for block in range(3):
        name = f"blocks.{block}"
        y = active(conv(f"{name}.refine", x, padding=1))
        y = active(conv(f"{name}.reduce", low_pass(y, padding=2), stride=2))
        x = (y + conv(f"{name}.shortcut", low_pass(x, padding=1), stride=2)) / 2**0.5
    deviation = (x.var(dim=0, correction=0) + 1e-8).sqrt().mean().expand(3, 1, 4, 4)
    x = active(conv("last_conv", torch.cat([x, deviation], dim=1), padding=1))
    x = active(x.reshape(3, -1) @ state["hidden.weight"].t() / 128**0.5 + state["hidden.bias"])
    expected = x @ state["score.weight"].t() / 8**0.5 + state["score.bias"]
    torch.testing.assert_close(own(pictures), expected[:, 0], atol=1e-5, rtol=1e-4)


def test_every_parameter_learns_and_scores_differ():
    discriminator = lively()
    scores = discriminator(normal("pictures", 4, 3, 32, 32))
    assert scores.std() > 0.01
    F.softplus(scores).mean().backward()
    assert [name for name, p in discriminator.named_parameters() if not p.grad.abs().sum() > 0] == []


def test_a_batch_of_one_face_many_times_is_told_by_its_deviation():
    discriminator = lively()
    one, many = normal("one", 1, 3, 32, 32).expand(4, -1, -1, -1), normal("many", 4, 3, 32, 32)
    channel = discriminator.config.channels[0]
    seen = []
    discriminator.last_conv.register_forward_pre_hook(lambda module, args: seen.append(args[0][:, channel].mean()))
    discriminator(one)
    discriminator(many)
    assert seen[0] < 1e-3 < 1e-2 < seen[1]


def test_gradients_of_the_score_and_of_their_penalty_are_those_of_finite_differences():
    discriminator = lively(dataclasses.replace(TINY, channel_base=64, channel_max=4)).double()
    parameters = list(discriminator.parameters())
    pictures = normal("pictures", 3, 3, 32, 32).double().requires_grad_()
    step = normal("step", 3, 3, 32, 32).double()
    steps = [normal(f"step {number}", *parameter.shape).double() for number, parameter in enumerate(parameters)]
    size = 1e-6

    def score() -> torch.Tensor:
        return discriminator(pictures).sum()

    def penalty() -> torch.Tensor:
        """R1: the mean squared norm of the score's gradient."""
        (gradient,) = torch.autograd.grad(score(), pictures, create_graph=True)
        return gradient.square().sum(dim=(1, 2, 3)).mean()

    def difference(what, tensors, along) -> float:
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                for tensor, direction in zip(tensors, along, strict=True):
                    tensor.add_(direction, alpha=sign * size)
            values.append(what().item())
            with torch.no_grad():
                for tensor, direction in zip(tensors, along, strict=True):
                    tensor.sub_(direction, alpha=sign * size)
        return (values[0] - values[1]) / (2 * size)

    def product(gradients, along) -> float:
        return sum((gradient * direction).sum() for gradient, direction in zip(gradients, along, strict=True)).item()

    first = torch.autograd.grad(score(), [pictures])
    assert product(first, [step]) == pytest.approx(difference(score, [pictures], [step]), rel=1e-5)
    second = torch.autograd.grad(penalty(), parameters, allow_unused=True)
    # The last bias alone does nothing to the score's gradient.
    assert [number for number, gradient in enumerate(second) if gradient is None] in ([], [len(parameters) - 1])
    known = [torch.zeros_like(p) if g is None else g for g, p in zip(second, parameters, strict=True)]
    assert all(gradient.isfinite().all() for gradient in known)
    assert product(known, steps) == pytest.approx(difference(penalty, parameters, steps), rel=1e-4)


def test_bfloat16_autocast():
    discriminator, pictures = lively(), normal("pictures", 4, 3, 32, 32)
    exact = discriminator(pictures)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = discriminator(pictures)
        F.softplus(rough).mean().backward()
    assert (rough.float() - exact).abs().max() < 0.1 * exact.abs().max()
    assert all(parameter.grad.isfinite().all() for parameter in discriminator.parameters())


@pytest.mark.parametrize(
    ("field", "value"),
    [("input_size", 16), ("input_size", 48), ("channel_max", 0), ("channel_base", 31), ("group_size", 0)],
)
def test_sizes_out_of_range(field, value):
    with pytest.raises(InputError, match=f"^{field} is {value}; needed: "):
        dataclasses.replace(TINY, **{field: value})


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 3, 64, 64), (0, 3, 32, 32)])
def test_pictures_of_another_shape(shape):
    with pytest.raises(InputError, match=r"pictures has shape .*; needed: \(N, 3, 32, 32\)"):
        Discriminator(TINY)(torch.zeros(shape))
