from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from facesynth.errors import InputError
from facesynth.model.networks.generator import Generator, MappingNetwork, truncate
from facesynth.model.networks.layers import EqualizedLinear, ModulatedConv, pixel_norm, scaled_leaky_relu, upsample


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    generator = Generator(32, 16, 2, 512, 16)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.3)
    return generator


def latents(n: int) -> torch.Tensor:
    return torch.randn(n, 8, 16, generator=torch.Generator().manual_seed(1))


def literal_modulated_conv(conv: ModulatedConv, features: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
    """Equations 1 and 3 of the StyleGAN2 paper, one weight a sample; upsampling by zeros put in and an explicit FIR."""
    outputs = []
    for sample, scales in zip(features, conv.modulation(style), strict=True):
        weight = conv.weight * conv.gain * scales[None, :, None, None]
        if conv.demodulate:
            weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if conv.upsampling:
            channels, height, width = sample.shape
            spread = torch.zeros(channels, 2 * height, 2 * width)
            spread[:, ::2, ::2] = sample
            # The transposed convolution is a plain one with a mirrored kernel on the map with zeros put in.
            full = F.conv2d(F.pad(spread, (2, 1, 2, 1))[None], weight.flip(2, 3))
            taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
            kernel = torch.outer(taps, taps).expand(full.shape[1], 1, 4, 4)
            outputs.append(
                F.conv2d(F.pad(full, (1, 2, 1, 2)), kernel, groups=full.shape[1])[..., : 2 * height, : 2 * width]
            )
        else:
            outputs.append(F.conv2d(sample[None], weight, padding=conv.padding))
    return torch.cat(outputs)


@pytest.mark.parametrize(
    ("kernel_size", "demodulate", "upsampling"), [(3, True, False), (1, False, False), (3, True, True)]
)
def test_scaling_input_and_output_is_modulating_each_samples_weight(kernel_size, demodulate, upsampling):
    torch.manual_seed(0)
    conv = ModulatedConv(6, 5, kernel_size, 4, demodulate=demodulate, upsampling=upsampling)
    features, style = torch.randn(3, 6, 8, 8), torch.randn(3, 4)
    expected = literal_modulated_conv(conv, features, style)
    torch.testing.assert_close(conv(features, style), expected, atol=1e-5, rtol=1e-5)


def test_demodulation_undoes_a_common_factor():
    torch.manual_seed(0)
    conv = ModulatedConv(6, 5, 3, 4)
    features, scales = torch.randn(2, 6, 8, 8), torch.rand(2, 6) + 0.5
    assert torch.allclose(conv.demodulation(scales), 7 * conv.demodulation(7 * scales), rtol=1e-4)
    assert conv(features, torch.zeros(2, 4)).std().item() == pytest.approx(1.0, abs=0.3)


def test_upsampling_keeps_flat_areas_and_doubles_the_size():
    flat = torch.full((2, 3, 8, 8), 0.7)
    large = upsample(flat)
    assert large.shape == (2, 3, 16, 16)
    torch.testing.assert_close(large[..., 1:-1, 1:-1], torch.full((2, 3, 14, 14), 0.7))
    row = upsample(torch.eye(5)[2].expand(1, 1, 5, 5))[0, 0, 4]
    torch.testing.assert_close(row, torch.tensor([0.0, 0, 0, 0.25, 0.75, 0.75, 0.25, 0, 0, 0]))


def test_small_pieces():
    normed = pixel_norm(5 * torch.randn(4, 64))
    torch.testing.assert_close(normed.square().mean(dim=1), torch.ones(4))
    assert scaled_leaky_relu(torch.tensor([-1.0, 1.0])).tolist() == pytest.approx([-0.2 * 2**0.5, 2**0.5])
    linear = EqualizedLinear(8, 4, bias_init=1.0, lr_multiplier=0.01)
    torch.testing.assert_close(linear(torch.zeros(1, 8)), torch.ones(1, 4))


def test_first_weights_are_the_papers():
    torch.manual_seed(0)
    generator = Generator(32, 16, 2, 2048, 64)
    layer = generator.blocks[0].enlarge
    assert layer.conv.weight.std().item() == pytest.approx(1.0, abs=0.02)
    assert layer.conv.modulation.bias.eq(1).all()
    assert layer.noise_strength == 0
    assert layer.bias.eq(0).all()
    assert generator.constant.std().item() == pytest.approx(1.0, abs=0.1)
    assert generator.mapping.layers[0].weight.std().item() == pytest.approx(100.0, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("size", [32, 64, 1024])
def test_sizes_layers_and_channels(size):
    generator = Generator(size, 16, 2, 4096, 64)
    with torch.no_grad():
        picture = generator(torch.zeros(1, generator.n_styles, 16))
    assert picture.shape == (1, 3, size, size)
    assert generator.n_styles == 2 * (size.bit_length() - 1) - 2
    for k, block in enumerate(generator.blocks, start=1):
        assert block.refine.conv.weight.shape[0] == min(64, 4096 // (4 << k))


def test_every_w_plus_layer_feeds_its_convolution_and_to_rgb(generator):
    codes = latents(1).requires_grad_()
    read: dict[str, list[int]] = {}

    def note(name):
        def hook(module, args, output):
            (gradient,) = torch.autograd.grad(args[1].sum(), codes, retain_graph=True)
            read.setdefault(name, []).extend(gradient.abs().sum(dim=(0, 2)).nonzero().flatten().tolist())

        return hook

    for name, module in generator.named_modules():
        if isinstance(module, ModulatedConv):
            module.register_forward_hook(note(name))
    generator(codes)
    assert read["first.conv"] == [0]
    assert read["first_to_rgb.conv"] == [1]
    for k in (1, 2, 3):
        assert read[f"blocks.{k - 1}.enlarge.conv"] == [2 * k - 1]
        assert read[f"blocks.{k - 1}.refine.conv"] == [2 * k]
        assert read[f"blocks.{k - 1}.to_rgb.conv"] == [2 * k + 1]


def test_a_sample_does_not_depend_on_its_batch(generator):
    codes = latents(3)
    together = generator(codes)
    for i in range(3):
        torch.testing.assert_close(generator(codes[i : i + 1])[0], together[i], atol=1e-5, rtol=1e-5)


def test_noise_modes(generator):
    codes = latents(2)
    constant, none = generator(codes), generator(codes, noise="none")
    assert torch.equal(constant, generator(codes, noise="constant"))
    assert not torch.allclose(constant, none, atol=1e-3)
    first = generator(codes, noise="random", rng=torch.Generator().manual_seed(5))
    again = generator(codes, noise="random", rng=torch.Generator().manual_seed(5))
    other = generator(codes, noise="random", rng=torch.Generator().manual_seed(6))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-3)
    same = generator(codes[:1].expand(2, -1, -1), noise="random")
    assert not torch.allclose(same[0], same[1], atol=1e-3)


def test_random_noise_with_rng_leaves_the_global_state_alone(generator):
    before = torch.random.get_rng_state()
    generator(latents(1), noise="random", rng=torch.Generator().manual_seed(5))
    assert torch.equal(before, torch.random.get_rng_state())


def test_frozen_generator_passes_gradients_but_gets_none(generator):
    generator.requires_grad_(False)
    codes = latents(1).requires_grad_()
    generator(codes).square().mean().backward()
    assert codes.grad.abs().sum(dim=(0, 2)).gt(0).all()
    assert all(parameter.grad is None for parameter in generator.parameters())


def test_every_parameter_of_the_synthesis_learns(generator):
    generator(generator.mapping(torch.randn(2, 16))[:, None].expand(-1, 8, -1)).square().mean().backward()
    assert [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_bfloat16_autocast(generator):
    codes = latents(2)
    exact = generator(codes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = generator(codes)
    assert rough.dtype == torch.float32
    assert (rough - exact).abs().max() < 0.05 * exact.abs().max()


def test_mapping_normalises_z_and_keeps_samples_apart():
    torch.manual_seed(0)
    mapping = MappingNetwork(16, 2)
    z = torch.randn(3, 16)
    torch.testing.assert_close(mapping(4 * z), mapping(z))
    torch.testing.assert_close(mapping(z)[1:2], mapping(z[1:2]))


def test_mean_latent_is_an_average_and_seeded(generator):
    assert torch.equal(generator.mean_latent(100, 3), generator.mean_latent(100, 3))
    assert not torch.equal(generator.mean_latent(100, 3), generator.mean_latent(100, 4))
    z = torch.randn(100, 16, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(generator.mean_latent(100, 3), generator.mapping(z).mean(dim=0))
    assert not generator.mean_latent(5000, 3).requires_grad


@pytest.mark.parametrize("average", [torch.randn(16), torch.randn(8, 16)])
def test_truncation_draws_towards_the_average(average):
    codes = latents(3)
    kept = codes.clone()
    assert torch.equal(truncate(codes, average, 1.0, cutoff=0), codes)
    torch.testing.assert_close(truncate(codes, average, 0.0), average.expand(3, 8, 16))
    halfway = truncate(codes, average, 0.5, cutoff=3)
    torch.testing.assert_close(halfway[:, :3], (codes + average)[:, :3] / 2)
    assert torch.equal(halfway[:, 3:], codes[:, 3:])
    torch.testing.assert_close(truncate(codes, average, 0.5, cutoff=8), truncate(codes, average, 0.5))
    torch.testing.assert_close(truncate(codes, average, -1.0), 2 * average - codes)
    assert torch.equal(codes, kept)
    w, one = codes[:, 0], torch.randn(16)
    torch.testing.assert_close(truncate(w, one, 0.7), one + 0.7 * (w - one))


@pytest.mark.parametrize(
    ("latents", "average", "psi", "cutoff", "named"),
    [
        ((16,), (16,), 0.5, None, r"latents has shape \(16,\) and average \(16,\); needed: \(N, style_dim\)"),
        ((2, 16), (8, 16), 0.5, None, r"latents has shape \(2, 16\) and average \(8, 16\)"),
        ((2, 8, 16), (7, 16), 0.5, None, r"average \(7, 16\)"),
        ((2, 8, 16), (1, 16), 0.5, None, r"average \(1, 16\)"),
        ((2, 8, 16), (16,), float("nan"), None, "psi is nan; needed: a finite number"),
        ((2, 8, 16), (16,), 0.5, 9, "cutoff is 9; needed: 0 to 8"),
        ((2, 8, 16), (16,), 0.5, -1, "cutoff is -1; needed: 0 to 8"),
        ((2, 16), (16,), 0.5, 1, "cutoff is 1; needed: none, since the latents have no layers"),
    ],
)
def test_what_cannot_be_truncated(latents, average, psi, cutoff, named):
    with pytest.raises(InputError, match=named):
        truncate(torch.zeros(latents), torch.zeros(average), psi, cutoff=cutoff)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda g: g(torch.zeros(1, 14, 16)), r"latents has shape \(1, 14, 16\); needed: \(N, 8, 16\)"),
        (lambda g: g(torch.zeros(1, 8, 16), noise="const"), "noise is 'const'; needed: constant, random, none"),
        (lambda g: g.mapping(torch.zeros(1, 8)), r"z has shape \(1, 8\); needed: \(N, 16\)"),
        (lambda g: g.mean_latent(0, 1), "n_samples is 0"),
        (lambda g: Generator(48, 16, 2, 512, 16), "size is 48"),
        (lambda g: Generator(64, 16, 2, 32, 16), "channel_base is 32"),
    ],
)
def test_errors_name_what_came_and_what_was_needed(generator, call, named):
    with pytest.raises(InputError, match=named):
        call(generator)
