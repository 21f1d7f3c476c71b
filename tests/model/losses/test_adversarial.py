from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from facesynth.errors import InputError
from facesynth.model.config import gan
from facesynth.model.losses import adversarial
from facesynth.model.networks.generator import Generator

from ..recipe import normal


class LinearGenerator:
    """Pictures (N, 3, S, S) that are a matrix times the latent's layers laid end to end."""

    def __init__(self, n_styles: int = 4, style_dim: int = 5, size: int = 8) -> None:
        self.size, self.shape = size, (n_styles, style_dim)
        self.matrix = normal("matrix", 3 * size * size, n_styles * style_dim).double().requires_grad_()

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        return (latents.flatten(1) @ self.matrix.t()).view(-1, 3, self.size, self.size)


# ---------------------------------------------------------------------------------------------------------------- losses


def test_losses_are_the_logarithms_of_the_paper():
    real, fake = normal("real", 7).double(), normal("fake", 5).double()
    expected = -torch.sigmoid(real).log().mean() - (1 - torch.sigmoid(fake)).log().mean()
    torch.testing.assert_close(adversarial.discriminator_loss(real, fake).double(), expected, atol=1e-6, rtol=1e-6)
    saturating_not = -torch.sigmoid(fake).log().mean()
    torch.testing.assert_close(adversarial.generator_loss(fake).double(), saturating_not, atol=1e-6, rtol=1e-6)


def test_a_generator_that_is_seen_through_still_learns():
    scores = torch.full((3,), -50.0, requires_grad=True)
    adversarial.generator_loss(scores).backward()
    torch.testing.assert_close(scores.grad, torch.full((3,), -1 / 3))


def test_losses_that_sigmoids_would_overflow_are_finite():
    far = torch.tensor([1000.0, -1000.0])
    assert adversarial.discriminator_loss(far, far).item() == pytest.approx(1000.0)
    assert adversarial.generator_loss(far).item() == pytest.approx(500.0)


# -------------------------------------------------------------------------------------------------------------------- R1


def test_the_penalty_of_a_linear_discriminator_is_the_square_of_its_weights():
    weights = normal("weights", 3, 8, 8).requires_grad_()
    pictures = normal("pictures", 5, 3, 8, 8).requires_grad_()
    penalty = adversarial.gradient_penalty((pictures * weights).sum(dim=(1, 2, 3)) + 3.0, pictures)
    torch.testing.assert_close(penalty, weights.square().sum())
    penalty.backward()
    torch.testing.assert_close(weights.grad, 2 * weights.detach())


def test_the_penalty_of_a_quadratic_discriminator_is_averaged_over_the_pictures():
    pictures = normal("pictures", 4, 3, 6, 6).requires_grad_()
    scale = torch.tensor(0.7, requires_grad=True)
    penalty = adversarial.gradient_penalty(scale * pictures.square().sum(dim=(1, 2, 3)) / 2, pictures)
    norms = pictures.detach().square().sum(dim=(1, 2, 3))
    torch.testing.assert_close(penalty, 0.7**2 * norms.mean())
    (gradient,) = torch.autograd.grad(penalty, scale)
    torch.testing.assert_close(gradient, 2 * 0.7 * norms.mean())


def test_the_default_weight():
    assert gan.default_r1_weight(1024, 32) == pytest.approx(6.5536)
    assert gan.default_r1_weight(256, 16) == pytest.approx(2 * gan.default_r1_weight(256, 32))


# ----------------------------------------------------------------------------------------------------------- path length


def test_path_lengths_of_a_linear_generator():
    generator = LinearGenerator()
    latents = normal("latents", 6, 4, 5).double().requires_grad_()
    noise = normal("noise", 6, 3, 8, 8).double()
    lengths = adversarial.path_lengths(generator(latents), latents, noise)
    rows = noise.flatten(1) @ generator.matrix.detach()  # J^T y, where the Jacobian is the matrix
    expected = rows.square().sum(dim=1).div(4).sqrt() / 8  # 4 layers, 8 px
    torch.testing.assert_close(lengths.double(), expected, atol=1e-5, rtol=1e-5)


def test_the_mean_square_path_length_tells_the_size_of_the_jacobian():
    """E |J^T y|^2 is J's squared Frobenius norm, over layers and pixels."""
    generator = LinearGenerator()
    latents = torch.zeros(4000, 4, 5, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(4000, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    lengths = adversarial.path_lengths(generator(latents), latents, noise)
    assert lengths.square().mean().item() == pytest.approx(generator.matrix.square().sum().item() / 4 / 64, rel=0.03)


def test_the_weight_of_two_is_the_papers_at_every_resolution():
    """The paper sums squares over a w that all layers share, and neither divides the noise nor averages over layers."""
    for size in (32, 256, 1024):
        n_styles = 2 * int(math.log2(size)) - 2
        by_paper = math.log(2) / (size**2 * (math.log(size) - math.log(2)))
        assert 2 / (size**2 * n_styles) == pytest.approx(by_paper)


def test_the_penalty_pulls_lengths_to_their_running_mean():
    lengths = torch.tensor([1.0, 3.0], requires_grad=True)
    penalty, mean = adversarial.path_penalty(lengths, torch.tensor(4.0), decay=0.75)
    assert mean.item() == pytest.approx(4 * 0.75 + 2 * 0.25)
    assert penalty.item() == pytest.approx(((1 - 3.5) ** 2 + (3 - 3.5) ** 2) / 2)
    penalty.backward()
    torch.testing.assert_close(lengths.grad, torch.tensor([1 - 3.5, 3 - 3.5]))  # the mean counts as given


def test_the_running_mean_has_the_decay_of_the_paper():
    mean = torch.tensor(0.0)
    for _ in range(100):
        _, mean = adversarial.path_penalty(torch.ones(4), mean)
    assert mean.item() == pytest.approx(1 - 0.99**100, rel=1e-4)
    assert not mean.requires_grad


def test_a_generator_learns_shorter_paths_from_the_penalty():
    generator = LinearGenerator()
    optimizer = torch.optim.SGD([generator.matrix], lr=5.0)
    found = []
    for step in range(40):
        latents = torch.zeros(16, 4, 5, dtype=torch.float64, requires_grad=True)
        lengths = adversarial.path_lengths(generator(latents), latents, normal(f"noise {step}", 16, 3, 8, 8).double())
        penalty, _ = adversarial.path_penalty(lengths, torch.tensor(0.0, dtype=lengths.dtype), decay=1.0)
        optimizer.zero_grad()
        penalty.backward()
        optimizer.step()
        found.append(lengths.mean().item())
    assert found[-1] < 0.5 * found[0]


def test_path_lengths_of_the_real_generator_reach_its_weights():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = Generator(32, 8, 2, 128, 8)
        z = torch.randn(2, 8)
    latents = generator.mapping(z)[:, None].expand(-1, generator.n_styles, -1)
    lengths = adversarial.path_lengths(generator(latents), latents, normal("noise", 2, 3, 32, 32))
    penalty, _ = adversarial.path_penalty(lengths, torch.tensor(0.0))
    penalty.backward()
    silent = {name for name, weight in generator.named_parameters() if weight.grad is None or not weight.grad.any()}
    assert silent == {name for name, _ in generator.named_parameters() if name.endswith("to_rgb.bias")}


def test_noise_of_another_shape():
    latents = torch.zeros(2, 4, 5, dtype=torch.float64, requires_grad=True)
    with pytest.raises(
        InputError, match=r"noise has shape \(1, 3, 8, 8\); needed: that of the pictures, \(2, 3, 8, 8\)"
    ):
        adversarial.path_lengths(LinearGenerator()(latents), latents, torch.zeros(1, 3, 8, 8))


# ------------------------------------------------------------------------------------------------------ lazy regularisers


def test_adam_is_corrected_for_the_steps_that_regularisers_add():
    assert adversarial.lazy_adam(0.002, 16) == {
        "lr": pytest.approx(0.002 * 16 / 17),
        "betas": (0.0, pytest.approx(0.99 ** (16 / 17))),
        "eps": 1e-8,
    }
    assert adversarial.lazy_adam(0.002, 0, (0.5, 0.9)) == {"lr": 0.002, "betas": (0.5, 0.9), "eps": 1e-8}


def test_the_correction_keeps_how_far_a_constant_gradient_moves_a_weight():
    """Over k steps of the loss, k + 1 corrected steps go as far and forget as much as k plain ones."""
    k = 4
    lazy, plain = adversarial.lazy_adam(0.01, k, (0.9, 0.99)), adversarial.lazy_adam(0.01, 0, (0.9, 0.99))
    assert (k + 1) * lazy["lr"] == pytest.approx(k * plain["lr"])
    for corrected, beta in zip(lazy["betas"], plain["betas"], strict=True):
        assert corrected ** (k + 1) == pytest.approx(beta**k)
    moved = []
    for settings, steps in ((lazy, 10 * (k + 1)), (plain, 10 * k)):
        weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
        optimizer = torch.optim.Adam([weight], **settings)
        for _ in range(steps):
            weight.grad = torch.ones_like(weight)
            optimizer.step()
        moved.append(weight.item())
    assert moved[0] == pytest.approx(moved[1], rel=1e-6)


# ---------------------------------------------------------------------------------------------------------- style mixing


def test_a_latent_changes_over_at_its_layer():
    first, second = normal("first", 3, 4), normal("second", 3, 4)
    mixed = adversarial.cross_over(first, second, torch.tensor([1, 3, 5]), 5)
    assert mixed.shape == (3, 5, 4)
    for sample, crossover in enumerate((1, 3, 5)):
        for layer in range(5):
            expected = first if layer < crossover else second
            assert torch.equal(mixed[sample, layer], expected[sample])


def test_gradients_go_to_each_w_by_its_layers():
    first, second = torch.zeros(1, 4, requires_grad=True), torch.zeros(1, 4, requires_grad=True)
    adversarial.cross_over(first, second, torch.tensor([2]), 5).sum().backward()
    assert first.grad.eq(2).all()
    assert second.grad.eq(3).all()


def test_crossovers_are_even_and_as_many_as_asked():
    crossovers = adversarial.draw_crossovers(20_000, 10, 0.9, torch.Generator().manual_seed(3))
    counts = torch.bincount(crossovers, minlength=11)
    assert counts[0] == 0
    assert counts[10].item() == pytest.approx(2000, rel=0.1)
    assert all(count.item() == pytest.approx(2000, rel=0.1) for count in counts[1:10])
    rng = torch.Generator().manual_seed(3)
    assert adversarial.draw_crossovers(100, 10, 0.0, rng).eq(10).all()
    assert adversarial.draw_crossovers(100, 10, 1.0, rng).max() == 9


# ------------------------------------------------------------------------------------------------------ running averages


def test_the_average_forgets_half_in_its_half_life():
    decay = adversarial.averaging_decay(32, 10**9, half_life=10_000)
    assert decay ** (10_000 / 32) == pytest.approx(0.5)
    assert adversarial.averaging_decay(64, 10**9, half_life=10_000) == pytest.approx(decay**2)


def test_the_half_life_grows_with_the_run():
    early = adversarial.averaging_decay(32, 3200, half_life=10_000, ramp=0.05)
    assert early == pytest.approx(0.5 ** (32 / 160))
    late = adversarial.averaging_decay(32, 10**6, half_life=10_000, ramp=0.05)
    assert late == adversarial.averaging_decay(32, 10**6, half_life=10_000)
    assert adversarial.averaging_decay(32, 32, half_life=0) == 0.0
