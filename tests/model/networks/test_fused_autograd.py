"""Training through a frozen generator: the same pictures and gradients, less kept; large maps made again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from facesynth.model.networks.fused_autograd import freeze_for_training
from facesynth.model.networks.generator import Generator
from facesynth.model.networks.psp import PSP

from ..recipe import normal, tiny_config
from .test_fused import lively


def sources() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in (3, 4)]


def picture_and_gradient(generator: Generator, rng: Sequence[torch.Generator] | None) -> tuple[Tensor, Tensor]:
    latents = normal("latents", 2, generator.n_styles, 16).requires_grad_()
    picture = generator(latents, noise="random" if rng else "constant", rng=rng)
    (picture * normal("weights", *picture.shape)).sum().backward()
    assert latents.grad is not None
    return picture.detach(), latents.grad


@pytest.mark.parametrize("random", [False, True])
def test_pictures_and_gradients_are_those_of_the_layers(random: bool) -> None:
    generator = lively(PSP(tiny_config(output_size=64)).generator)
    picture, gradient = picture_and_gradient(generator, sources() if random else None)
    twin = freeze_for_training(generator.requires_grad_(requires_grad=False))
    own, own_gradient = picture_and_gradient(twin, sources() if random else None)
    torch.testing.assert_close(own, picture, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(own_gradient, gradient, rtol=1e-4, atol=1e-4 * gradient.abs().max().item())


def test_weights_are_shared_and_have_no_gradients() -> None:
    generator = lively(PSP(tiny_config(output_size=32)).generator).requires_grad_(requires_grad=False)
    before = dict(generator.state_dict())
    twin: Any = freeze_for_training(generator)
    picture_and_gradient(twin, None)
    assert all(weight.grad is None for weight in [*generator.parameters(), *twin.parameters()])
    assert twin.blocks[0].refine.conv.weight.data_ptr() == generator.blocks[0].refine.conv.weight.data_ptr()
    assert generator.state_dict().keys() == before.keys()


@pytest.mark.slow
def test_maps_made_again_give_the_same_gradients_and_statistics() -> None:
    results = []
    for recomputes in (False, True):
        torch.manual_seed(0)
        encoder = lively(PSP(tiny_config(output_size=32)).encoder).train()
        encoder.trunk.recomputes = recomputes
        for _ in range(2):
            encoder(normal("condition", 2, 19, 32, 32)).square().sum().backward()
        results.append((encoder.state_dict(), {name: value.grad for name, value in encoder.named_parameters()}))
    for kept, again in zip(*results, strict=True):
        assert kept.keys() == again.keys()
        for name, value in kept.items():
            assert torch.equal(value, again[name]), name


def test_maps_made_again_are_not_kept() -> None:
    sizes = []
    for recomputes in (False, True):
        encoder = PSP(tiny_config(output_size=32)).encoder.train()
        encoder.trunk.recomputes = recomputes
        kept: dict[int, int] = {}

        def keep(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            encoder(normal("condition", 2, 19, 32, 32))
        sizes.append(sum(kept.values()))
    assert sizes[1] < 0.8 * sizes[0]
