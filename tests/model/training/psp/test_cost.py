from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from facesynth.errors import InputError
from facesynth.model.data.tensors import condition_tensor
from facesynth.model.losses.objective import Objective
from facesynth.model.networks.psp import PSP
from facesynth.model.training import memory
from facesynth.model.training.memory import kept_by_autograd
from facesynth.model.training.optimizers import make_optimizer
from facesynth.model.training.psp.cost import cost
from facesynth.model.training.psp.network import Translation, freeze_untrained, is_lean

from ....runs import small_run

CONFIGS = {
    "generator trained": small_run(style_probability=0.5, batch_size=4, laplacian=1.0),
    "generator frozen": small_run(train_generator=False, batch_size=4, optimizer="ranger"),
    "averaged": small_run(ema=0.9, batch_size=4, optimizer="muon"),
}


def count(modules) -> int:
    return sum(weight.numel() for weight in modules)


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_memory_is_what_a_real_step_keeps(config):
    """The same step with values: bytes of weights, of gradients, of the optimiser's state and of what autograd keeps."""
    objective = Objective(config, {})
    taken = cost(config, objective, n_photos=9)
    model = PSP(config.model)
    codes = torch.nn.Parameter(torch.randn(9 if config.style_probability else 0, config.model.style_dim))
    freeze_untrained(model, config)
    network = Translation(model, codes, lean=is_lean(config, compiled=False)).train()
    weights = [*network.parameters(), *network.buffers()]
    labels = torch.randint(19, (4, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    condition, photos = condition_tensor(labels, "labels", 19), torch.zeros(4, 3, 32, 32)
    styled = torch.ones(4, dtype=torch.bool) if config.style_probability else None
    known = {tensor.untyped_storage()._cdata for tensor in weights}
    with kept_by_autograd(known) as kept:
        faces, latents = network(condition, torch.arange(4), styled, None)
        loss, _ = objective(faces, photos, latents, model.latent_avg)
    assert taken.activations == pytest.approx(sum(kept.values()) + 4 * (condition.numel() + photos.numel()), rel=0.02)
    optimizer = make_optimizer(config, model, codes)
    loss.backward()
    optimizer.step()
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    assert taken.gradients == 4 * count(gradients)
    state = [value for values in optimizer.state.values() for value in values.values() if torch.is_tensor(value)]
    assert taken.optimizer == 4 * count(state)
    copies = 2 if config.ema else 1
    assert taken.weights == copies * sum(tensor.numel() * tensor.element_size() for tensor in weights)
    assert taken.encoder == count(model.encoder.parameters())
    assert taken.generator == count(model.generator.parameters())
    assert taken.memory == taken.weights + taken.gradients + taken.optimizer + taken.activations


@pytest.mark.slow
def test_how_the_memory_grows():
    config = CONFIGS["generator trained"]
    objective = Objective(config, {})
    one = cost(config, objective, n_photos=9)
    parts = cost(dataclasses.replace(config, accumulate=4), objective, n_photos=9)
    two = cost(config, objective, n_photos=9, n_processes=2)
    half = cost(dataclasses.replace(config, precision="bf16"), objective, n_photos=9)
    assert parts.activations == pytest.approx(one.activations / 4, rel=0.1)
    assert two.activations == pytest.approx(one.activations / 2, rel=0.1)
    assert (
        one.activations / 2 < half.activations < 0.75 * one.activations
    )  # large maps are kept in bf16, made again in float32
    assert (one.steps_per_epoch, one.epochs) == (3, 2.0)


def test_weights_that_do_not_fit_are_refused(monkeypatch):
    monkeypatch.setattr(memory, "_memory", lambda: 4 * 1000.0)
    memory.check_fits(lambda: nn.Linear(10, 90, bias=False))
    memory.check_fits(lambda: nn.Linear(10, 50, bias=False), copies=2)
    with pytest.raises(
        InputError, match=r"^the weights take 0\.0 GB, and this machine has 0\.0 GB; give smaller sizes$"
    ):
        memory.check_fits(lambda: nn.Linear(10, 51, bias=False), copies=2)


def test_memory_of_this_machine():
    assert 1e8 < memory._memory() < 1e15
