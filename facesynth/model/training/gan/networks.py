"""Generator and discriminator in training: photos in, updated networks and the step's metrics out.

A step consists of an update of the generator by its loss, one by path length regularisation if due, an update of the
discriminator (:mod:`facesynth.model.training.gan.discriminators`) by its loss, one by R1 if due, and an update of the
generator's moving average. All random numbers are drawn for the whole step from the seed and the step's number and then
distributed to micro-batches and processes. Gradients and metrics are means over these.

References: those of :mod:`facesynth.model.losses.adversarial` and :mod:`facesynth.model.training.ada`.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from facesynth.model.checkpoints import state_dict
from facesynth.model.losses import adversarial
from facesynth.model.networks.generator import Generator
from facesynth.model.training.ada import Controller, Transforms, draw_transforms
from facesynth.model.training.distributed import noise_sources
from facesynth.model.training.ema import move_average
from facesynth.model.training.gan.discriminators import new_opponent
from facesynth.model.training.optimizer_state import pack_optimizer, restore_optimizer

if TYPE_CHECKING:
    from accelerate import Accelerator

    from facesynth.model.checkpoints.native import GeneratorCheckpoint, GeneratorState
    from facesynth.model.config.gan import GANConfig
    from facesynth.model.config.model import GeneratorConfig
    from facesynth.model.training.projected import Projection

TRAINING_TERMS = (
    "generator_loss",
    "discriminator_loss",
    "r1",
    "path_length",
    "real_score",
    "fake_score",
    "real_sign",
    "augment_p",
)
"""The metrics of a step: losses without penalties; the unweighted R1 penalty and path length, if due; mean scores; the mean
sign of the photos' scores at the last change of the augmentation probability, and that probability. For scores of patches,
these are of the means over each picture."""


def training_terms(config: GANConfig) -> tuple[str, ...]:
    """The metrics of a run's steps: those of :data:`TRAINING_TERMS` that its discriminator has."""
    return tuple(name for name in TRAINING_TERMS if not (config.is_projected and name == "r1"))


class _Phase(IntEnum):
    """The phases of a step that draw random numbers."""

    GENERATOR = 0
    PATH = 1
    DISCRIMINATOR = 2
    PHOTOS = 3


def new_generator(config: GeneratorConfig) -> Generator:
    """A generator of these sizes with initial weights."""
    return Generator(
        config.output_size, config.style_dim, config.mapping_depth, config.channel_base, config.channel_max
    )


class Adversaries:
    """A generator, its moving average and a discriminator, with all state that training carries from step to step.

    Parameters
    ----------
    config
    accelerator
        Gives the device, the precision and the rank of this process.
    micro_batches
        The indices, in a step's batch, of the images of each of this process's micro-batches.
    generator
        The generator to start from; a new one if not given.
    discriminator
        State dict of the discriminator to start from; a new one if not given.
    projection
        The frozen network of a projected discriminator; moved to the device.

    Raises
    ------
    InputError
        If the discriminator is a projected one and its frozen network is missing.
    """

    def __init__(
        self,
        config: GANConfig,
        accelerator: Accelerator,
        micro_batches: Sequence[Sequence[int]],
        *,
        generator: GeneratorCheckpoint | None = None,
        discriminator: Mapping[str, Tensor] | None = None,
        projection: Projection | None = None,
    ) -> None:
        self.config, self.accelerator = config, accelerator
        self.micro_batches = [list(indices) for indices in micro_batches]
        self.device: torch.device = accelerator.device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.generator, self.opponent = new_generator(config.generator), new_opponent(config, projection)
        self.discriminator = self.opponent.network
        if generator is not None:
            self.generator.load_state_dict(generator.tensors)
        if discriminator is not None:
            self.discriminator.load_state_dict(dict(discriminator))
        self.generator.to(self.device).train()
        self.opponent.to(self.device)
        self.averaged = copy.deepcopy(self.generator).requires_grad_(requires_grad=False).eval()
        """The moving average of the generator, which is validated and saved."""
        self.optimizers = {
            "generator_optimizer": self._adam(self.generator, config.generator_learning_rate, self._path_interval),
            "discriminator_optimizer": self._adam(
                self.discriminator, config.discriminator_learning_rate, config.r1_interval if config.r1_weight else 0
            ),
        }
        self.controller = Controller(
            p=config.augment_p,
            target=config.augment_target,
            speed=config.augment_speed,
            interval=config.augment_interval,
        )
        self.path_mean = torch.zeros((), device=self.device)

    @property
    def _path_interval(self) -> int:
        return self.config.path_interval if self.config.path_weight else 0

    @staticmethod
    def _adam(network: nn.Module, learning_rate: float, interval: int) -> torch.optim.Optimizer:
        settings: dict[str, Any] = adversarial.lazy_adam(learning_rate, interval)
        return torch.optim.Adam(network.parameters(), **settings)

    # -------------------------------------------------------------------------------------------------------------- a step

    def step(self, micro_batches: Sequence[Tensor], step: int) -> dict[str, float]:
        """One training step.

        Parameters
        ----------
        micro_batches
            This process's photos, each micro-batch (N, 3, S, S) in [-1, 1] on the device.
        step
            The number of steps done before.

        Returns
        -------
        dict of str to float
            The metrics of this step, by :data:`TRAINING_TERMS`, the same in every process.
        """
        config = self.config
        terms = {"generator_loss": self._generator_step(step)}
        if self._path_interval and step % self._path_interval == 0:
            terms["path_length"] = self._path_length_step(step)
        photos = self._augmented(micro_batches, step)
        terms |= self._discriminator_step(photos, step)
        if config.r1_weight and step % config.r1_interval == 0:
            terms["r1"] = self._r1_step(photos)
        values = dict(zip(terms, self._process_means(torch.stack([*terms.values()])).tolist(), strict=True))
        if config.average_half_life:
            seen = (step + 1) * config.batch_size
            decay = adversarial.averaging_decay(config.batch_size, seen, config.average_half_life, config.average_ramp)
            move_average(self.averaged, self.generator, decay)
        else:
            self.averaged.load_state_dict(self.generator.state_dict())
        if self.config.is_augmenting:
            values["augment_p"] = self.controller.p
            if np.isfinite(self.controller.sign_mean):
                values["real_sign"] = self.controller.sign_mean
        return values

    def _generator_step(self, step: int) -> Tensor:
        rng = self._rng(step, _Phase.GENERATOR)
        z = self._draw_z(rng)
        transforms = self._draw_transforms(rng)
        losses, opponent = [], self.opponent
        with opponent.frozen():
            for indices in self.micro_batches:
                with self.accelerator.autocast():
                    fake = self._generate(z, step, _Phase.GENERATOR, indices)
                    loss = opponent.generator_loss(opponent.scores(transforms.select(indices)(fake.float())))
                self._backward(loss)
                losses.append(loss.detach())
        self._optimizer_step("generator_optimizer")
        return torch.stack(losses).mean()

    def _path_length_step(self, step: int) -> Tensor:
        """The update by path length regularisation, weighted to make up for the steps without it."""
        config = self.config
        rng = self._rng(step, _Phase.PATH)
        z = self._draw_z(rng)
        mean_lengths = []
        for indices in self.micro_batches:
            subset = indices[: max(len(indices) // config.path_shrink, 1)]
            latents = self._w_plus(z, subset)
            noise = noise_sources(config.seed, self._stream(step, _Phase.PATH), subset, self.device)
            pictures = self.generator(latents, noise="random", rng=noise)
            rngs = [self._rng(step, _Phase.PATH, index) for index in subset]
            directions = torch.stack([torch.randn(pictures.shape[1:], generator=rng) for rng in rngs])
            lengths = adversarial.path_lengths(pictures, latents, directions.to(self.device))
            decay = config.path_decay ** (1 / len(self.micro_batches))
            mean_lengths.append(lengths.detach().mean())
            penalty, self.path_mean = adversarial.path_penalty(
                lengths, self.path_mean, decay=decay, batch_mean=self._process_means(mean_lengths[-1])
            )
            self._backward(config.path_weight * config.path_interval * penalty)
        self._optimizer_step("generator_optimizer")
        return torch.stack(mean_lengths).mean()

    def _augmented(self, micro_batches: Sequence[Tensor], step: int) -> list[Tensor]:
        """The photos of each micro-batch, augmented for the discriminator."""
        transforms = self._draw_transforms(self._rng(step, _Phase.PHOTOS))
        return [
            transforms.select(indices)(photos)
            for indices, photos in zip(self.micro_batches, micro_batches, strict=True)
        ]

    def _discriminator_step(self, micro_batches: Sequence[Tensor], step: int) -> dict[str, Tensor]:
        rng = self._rng(step, _Phase.DISCRIMINATOR)
        z = self._draw_z(rng)
        transforms = self._draw_transforms(rng)
        losses, real_scores, fake_scores, opponent = [], [], [], self.opponent
        for indices, photos in zip(self.micro_batches, micro_batches, strict=True):
            with self.accelerator.autocast():
                with torch.no_grad():
                    fake = self._generate(z, step, _Phase.DISCRIMINATOR, indices)
                    fake = transforms.select(indices)(fake.float())
                scores_of_photos, scores_of_fake = opponent.scores(photos), opponent.scores(fake)
                loss = opponent.discriminator_loss(scores_of_photos, scores_of_fake)
            self._backward(loss)
            losses.append(loss.detach())
            real_scores.append(opponent.picture_scores(scores_of_photos))
            fake_scores.append(opponent.picture_scores(scores_of_fake))
        self._optimizer_step("discriminator_optimizer")
        if self.config.augment_target:
            self.controller.update(self.accelerator.gather(torch.cat(real_scores)))
        return {
            "discriminator_loss": torch.stack(losses).mean(),
            "real_score": torch.cat(real_scores).mean(),
            "fake_score": torch.cat(fake_scores).mean(),
        }

    def _r1_step(self, micro_batches: Sequence[Tensor]) -> Tensor:
        """The update by the R1 penalty, weighted to make up for the steps without it."""
        config = self.config
        penalties = []
        for photos in micro_batches:
            inputs = photos.detach().requires_grad_()
            penalty = adversarial.gradient_penalty(self.discriminator(inputs), inputs)
            self._backward(config.r1_weight / 2 * config.r1_interval * penalty)
            penalties.append(penalty.detach())
        self._optimizer_step("discriminator_optimizer")
        return torch.stack(penalties).mean()

    # ------------------------------------------------------------------------------------------------------ random numbers

    @staticmethod
    def _stream(step: int, phase: _Phase) -> int:
        return step * len(_Phase) + phase

    def _rng(self, step: int, phase: _Phase, *index: int) -> torch.Generator:
        """A random number generator on the CPU for a phase of a step, or for the image with this index in the phase."""
        entropy = [self.config.seed, self._stream(step, phase), len(index), *index, 1]
        value = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(value) >> 1)

    def _draw_z(self, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Two z, (batch_size, style_dim), and the crossover layers, (batch_size,), for the images of the step."""
        config = self.config
        first, second = (torch.randn(config.batch_size, config.generator.style_dim, generator=rng) for _ in range(2))
        crossovers = adversarial.draw_crossovers(config.batch_size, config.generator.n_styles, config.mixing, rng)
        return first, second, crossovers

    def _draw_transforms(self, rng: torch.Generator) -> Transforms:
        return draw_transforms(self.config.batch_size, self.controller.p, self.config.generator.output_size, rng)

    def _w_plus(self, z: tuple[Tensor, Tensor, Tensor], indices: Sequence[int]) -> Tensor:
        first, second, crossovers = (value[list(indices)].to(self.device) for value in z)
        mapping = self.generator.mapping
        return adversarial.cross_over(mapping(first), mapping(second), crossovers, self.config.generator.n_styles)

    def _generate(self, z: tuple[Tensor, Tensor, Tensor], step: int, phase: _Phase, indices: Sequence[int]) -> Tensor:
        noise = noise_sources(self.config.seed, self._stream(step, phase), indices, self.device)
        pictures: Tensor = self.generator(self._w_plus(z, indices), noise="random", rng=noise)
        return pictures

    # ------------------------------------------------------------------------------------------------------------- updates

    def _backward(self, loss: Tensor) -> None:
        (loss / len(self.micro_batches)).backward()  # type: ignore[no-untyped-call]

    def _optimizer_step(self, name: str) -> None:
        """A step of an optimiser with gradients averaged over all processes."""
        optimizer = self.optimizers[name]
        if self.accelerator.num_processes > 1:
            for group in optimizer.param_groups:
                for weight in group["params"]:
                    if weight.grad is not None:
                        weight.grad = self.accelerator.reduce(weight.grad, reduction="mean")
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _process_means(self, values: Tensor) -> Tensor:
        """The means of values over all processes."""
        if self.accelerator.num_processes == 1:
            return values
        means: Tensor = self.accelerator.reduce(values, reduction="mean")
        return means

    # -------------------------------------------------------------------------------------------------- saving and resuming

    def latent_avg(self) -> Tensor:
        """The average latent of the averaged generator, (n_styles, style_dim) float32."""
        mean = self.averaged.mean_latent(seed=self.config.seed)
        return mean.expand(self.config.generator.n_styles, -1)

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The state needed to resume.

        Returns
        -------
        tensors : dict of str to tensor
            The networks' state dicts and the optimisers' tensors, each under a prefix; ``latent_avg``, (n_styles, style_dim);
            ``path_mean``, a scalar.
        info : dict
            Plain values for the ``info`` of the training state.
        """
        tensors = {"path_mean": self.path_mean, "latent_avg": self.latent_avg()}
        info: dict[str, Any] = {"controller": dataclasses.asdict(self.controller)}
        for prefix, network in self._networks().items():
            tensors |= {f"{prefix}.{name}": value for name, value in network.state_dict().items()}
        for prefix, optimizer in self.optimizers.items():
            optimizer_tensors, info[prefix] = pack_optimizer(optimizer, prefix)
            tensors |= optimizer_tensors
        return tensors, info

    def restore(self, state: GeneratorState) -> None:
        """Restore the state saved by :meth:`pack`.

        Raises
        ------
        CheckpointError
            If it does not fit.
        """
        for prefix, network in self._networks().items():
            state_dict.load_into(network, state.state_of(prefix), state.path)
        for prefix, optimizer in self.optimizers.items():
            restore_optimizer(optimizer, state, prefix)
        self.path_mean = state.tensors["path_mean"].to(self.device)
        self.controller = Controller(**state.info["controller"])

    def _networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "averaged": self.averaged, "discriminator": self.discriminator}
