"""The cost of a run before it starts: a config in; parameters, steps per epoch and the memory of a step out.

The memory is computed, not estimated: the forward pass of a step runs on tensors without values (PyTorch's ``meta`` device),
and the sizes of all tensors that autograd saves for the backward pass are summed, as are those of the optimiser's state.
Weights, their average, the networks of the loss, and gradients are added.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from facesynth.model.networks.projected import ProjectedDiscriminator
from facesynth.model.networks.psp import PSP
from facesynth.model.training.memory import _place, kept_by_autograd
from facesynth.model.training.optimizers import make_optimizer
from facesynth.model.training.psp.adversary import projection_of
from facesynth.model.training.psp.network import Translation, freeze_untrained, is_lean

if TYPE_CHECKING:
    from facesynth.model.config.train import TrainConfig
    from facesynth.model.losses.objective import Objective

_HALF = {"float32": 1.0, "bf16": 0.5, "fp16": 0.5}


@dataclass(frozen=True)
class Cost:
    """The cost of a run.

    Attributes
    ----------
    encoder, generator, trained : int
        Number of parameters of each network, and of all trained parameters, including the style codes.
    steps_per_epoch : int
    epochs : float
        Number of passes over the training photos.
    weights, gradients, optimizer, activations : int
        Bytes in one process: all weights, including their average and the loss's networks; gradients; the optimiser's state;
        and the tensors that the backward pass of one micro-batch needs from its forward pass.
    spatial, discriminators : int
        Number of parameters of the spatial path and of the adversary; 0 without.
    """

    encoder: int
    generator: int
    trained: int
    steps_per_epoch: int
    epochs: float
    weights: int
    gradients: int
    optimizer: int
    activations: int
    spatial: int = 0
    discriminators: int = 0

    @property
    def memory(self) -> int:
        """Bytes at the peak, the sum of all of these: most gradients are those of the style heads, computed first."""
        return self.weights + self.gradients + self.optimizer + self.activations


def cost(config: TrainConfig, objective: Objective, *, n_photos: int, n_processes: int = 1) -> Cost:
    """The cost of a run.

    Parameters
    ----------
    config
    objective
        The loss, with its networks.
    n_photos
        Number of training pairs.
    n_processes
        Number of processes.
    """
    with torch.device("meta"):
        model = PSP(config.model)
        codes = nn.Parameter(torch.empty(n_photos if config.style_probability else 0, config.model.style_dim))
    freeze_untrained(model, config)
    network = Translation(model, codes, lean=is_lean(config, compiled=False)).train()
    all_weights = [*network.parameters(), *network.buffers()]
    of_adversary = discriminators_of(config, objective)
    of_loss = [*objective.parameters(), *objective.buffers()]
    trained = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
    copies = 2 if config.ema else 1
    part = config.batch_size // (n_processes * config.accumulate)
    steps_per_epoch = -(-n_photos // config.batch_size)
    return Cost(
        encoder=sum(weight.numel() for weight in model.encoder.parameters()),
        generator=sum(weight.numel() for weight in model.generator.parameters()),
        trained=trained,
        steps_per_epoch=steps_per_epoch,
        epochs=config.steps / steps_per_epoch,
        weights=copies * _bytes(all_weights) + _bytes(of_loss) + 4 * of_adversary,
        gradients=4 * (trained * (2 if n_processes > 1 else 1) + of_adversary),
        optimizer=_kept_by_optimizer(config, network) + 2 * 4 * of_adversary,
        activations=_kept(config, network, objective, part),
        spatial=sum(weight.numel() for weight in model.spatial.parameters()) if model.spatial is not None else 0,
        discriminators=of_adversary,
    )


def discriminators_of(config: TrainConfig, objective: Objective) -> int:
    """Number of parameters of the discriminators; 0 without an adversary, or if the network that it needs is missing."""
    if not config.adversarial or "lpips" not in objective.networks:
        return 0
    with torch.device("meta"):
        network = ProjectedDiscriminator(
            projection_of(config, objective.networks).channels, config.model.input_channels
        )
    return sum(weight.numel() for weight in network.parameters())


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _kept_by_optimizer(config: TrainConfig, network: Translation) -> int:
    """Bytes of the optimiser's state after a step."""
    for weight in network.parameters():
        weight.grad = torch.empty_like(weight) if weight.requires_grad else None
    optimizer = make_optimizer(config, network.model, network.codes)
    optimizer.step()
    return _bytes(value for noted in optimizer.state.values() for value in noted.values() if isinstance(value, Tensor))


def _kept(config: TrainConfig, network: Translation, objective: Objective, n_photos: int) -> int:
    """Bytes that autograd saves in a forward pass with ``n_photos`` photos, without weights."""
    sizes = config.model
    with torch.device("meta"):
        condition = torch.empty(n_photos, sizes.input_channels, sizes.input_size, sizes.input_size)
        photos = torch.empty(n_photos, 3, sizes.output_size, sizes.output_size)
        indices = torch.zeros(n_photos, dtype=torch.int64)
        styled = torch.zeros(n_photos, dtype=torch.bool) if config.style_probability else None
    of_loss = {name: value.to("meta") for name, value in objective.state_dict().items()}
    known = {*map(_place, network.parameters()), *map(_place, network.buffers()), *map(_place, of_loss.values())}
    with kept_by_autograd(known) as kept_by_networks:
        faces, latents = network(condition, indices, styled, None)
    with kept_by_autograd(known | kept_by_networks.keys()) as kept_by_loss:
        torch.func.functional_call(objective, of_loss, (faces, photos, latents, network.model.latent_avg))
    passed = _bytes([condition, photos])
    in_networks = sum(kept_by_networks.values()) * _HALF[config.precision]
    return round(in_networks) + sum(kept_by_loss.values()) + passed
