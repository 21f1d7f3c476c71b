"""Generator and discriminator in training: photos in, one update of each, and what is told of it, out.

A step is an update of the generator by its loss, one by the path lengths where that is due, one of the discriminator by its
loss, one by R1 where that is due, and the running average of the generator. All that is random is drawn for the whole step
from the seed and the step's number, then shared out to parts and processes; gradients and what is told are means over them.

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
from facesynth.model.networks.discriminator import Discriminator
from facesynth.model.networks.generator import Generator
from facesynth.model.training.ada import Controller, draw_changes
from facesynth.model.training.distributed import noise_sources
from facesynth.model.training.ema import move_average
from facesynth.model.training.optimizer_state import pack_optimizer, restore_optimizer

if TYPE_CHECKING:
    from accelerate import Accelerator

    from facesynth.model.checkpoints.native import GeneratorCheckpoint, GeneratorState
    from facesynth.model.config.gan import GANConfig
    from facesynth.model.config.model import GeneratorConfig

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
"""What is told of a step: losses without penalties; the squared gradient and the path length before they are weighed, where
they are due; mean scores; the mean sign of photos' scores at the last change of augmentation, and its probability."""
MEAN_LATENT_SAMPLES = 10_000


class _Pass(IntEnum):
    """The passes of a step that draw something."""

    GENERATOR = 0
    PATH = 1
    DISCRIMINATOR = 2
    PHOTOS = 3


def new_generator(config: GeneratorConfig) -> Generator:
    """A generator of these sizes, with the weights that training starts from."""
    return Generator(
        config.output_size, config.style_dim, config.mapping_depth, config.channel_base, config.channel_max
    )


class Adversaries:
    """A generator, its running average and a discriminator, with all that training carries from step to step.

    Parameters
    ----------
    config
    accelerator
        Gives the device, the precision and this process's place among others.
    places
        Where in a step's batch the images of each part of this process's share are.
    generator
        The generator to start from; a new one if not given.
    discriminator
        State dict of the discriminator to start from; a new one if not given.
    """

    def __init__(
        self,
        config: GANConfig,
        accelerator: Accelerator,
        places: Sequence[Sequence[int]],
        *,
        generator: GeneratorCheckpoint | None = None,
        discriminator: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.config, self.accelerator, self.places = config, accelerator, [list(part) for part in places]
        self.device: torch.device = accelerator.device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.generator, self.discriminator = new_generator(config.generator), Discriminator(config.discriminator)
        if generator is not None:
            self.generator.load_state_dict(generator.tensors)
        if discriminator is not None:
            self.discriminator.load_state_dict(dict(discriminator))
        self.generator.to(self.device).train()
        self.discriminator.to(self.device).train()
        self.averaged = copy.deepcopy(self.generator).requires_grad_(requires_grad=False).eval()
        """What is validated and kept."""
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

    def step(self, parts: Sequence[Tensor], number: int) -> dict[str, float]:
        """One step.

        Parameters
        ----------
        parts
            This process's photos in their parts, each (N, 3, S, S) in [-1, 1] on the device.
        number
            How many steps came before.

        Returns
        -------
        dict of str to float
            The terms of :data:`TRAINING_TERMS` that this step has, the same in every process.
        """
        config = self.config
        terms = {"generator_loss": self._train_generator(number)}
        if self._path_interval and number % self._path_interval == 0:
            terms["path_length"] = self._shorten_paths(number)
        shown = self._show(parts, number)
        terms |= self._train_discriminator(shown, number)
        if config.r1_weight and number % config.r1_interval == 0:
            terms["r1"] = self._flatten(shown)
        values = dict(zip(terms, self._means(torch.stack([*terms.values()])).tolist(), strict=True))
        if config.average_half_life:
            seen = (number + 1) * config.batch_size
            decay = adversarial.averaging_decay(config.batch_size, seen, config.average_half_life, config.average_ramp)
            move_average(self.averaged, self.generator, decay)
        else:
            self.averaged.load_state_dict(self.generator.state_dict())
        if self.config.is_augmenting:
            values["augment_p"] = self.controller.p
            if np.isfinite(self.controller.sign_mean):
                values["real_sign"] = self.controller.sign_mean
        return values

    def _train_generator(self, number: int) -> Tensor:
        draws = self._chance(number, _Pass.GENERATOR)
        latents = self._latents(draws)
        changes = draw_changes(self.config.batch_size, self.controller.p, self.config.generator.output_size, draws)
        losses = []
        self.discriminator.requires_grad_(requires_grad=False)
        for places in self.places:
            with self.accelerator.autocast():
                made = self._make(latents, number, _Pass.GENERATOR, places)
                loss = adversarial.generator_loss(self.discriminator(changes.of(places)(made.float())))
            self._backward(loss)
            losses.append(loss.detach())
        self.discriminator.requires_grad_(requires_grad=True)
        self._move("generator_optimizer")
        return torch.stack(losses).mean()

    def _shorten_paths(self, number: int) -> Tensor:
        """The update by path length regularisation, weighed for the steps that go without it."""
        config = self.config
        draws = self._chance(number, _Pass.PATH)
        z = self._latents(draws)
        found = []
        for places in self.places:
            chosen = places[: max(len(places) // config.path_shrink, 1)]
            latents = self._w_plus(z, chosen)
            noise = noise_sources(config.seed, self._stream(number, _Pass.PATH), chosen, self.device)
            pictures = self.generator(latents, noise="random", rng=noise)
            sources = [self._chance(number, _Pass.PATH, place) for place in chosen]
            along = torch.stack([torch.randn(pictures.shape[1:], generator=source) for source in sources])
            lengths = adversarial.path_lengths(pictures, latents, along.to(self.device))
            decay = config.path_decay ** (1 / len(self.places))
            found.append(lengths.detach().mean())
            penalty, self.path_mean = adversarial.path_penalty(
                lengths, self.path_mean, decay=decay, batch_mean=self._means(found[-1])
            )
            self._backward(config.path_weight * config.path_interval * penalty)
        self._move("generator_optimizer")
        return torch.stack(found).mean()

    def _show(self, parts: Sequence[Tensor], number: int) -> list[Tensor]:
        """The photos as the discriminator is to see them."""
        draws = self._chance(number, _Pass.PHOTOS)
        changes = draw_changes(self.config.batch_size, self.controller.p, self.config.generator.output_size, draws)
        return [changes.of(places)(photos) for places, photos in zip(self.places, parts, strict=True)]

    def _train_discriminator(self, shown: Sequence[Tensor], number: int) -> dict[str, Tensor]:
        draws = self._chance(number, _Pass.DISCRIMINATOR)
        latents = self._latents(draws)
        changes = draw_changes(self.config.batch_size, self.controller.p, self.config.generator.output_size, draws)
        losses, of_real, of_fake = [], [], []
        for places, photos in zip(self.places, shown, strict=True):
            with self.accelerator.autocast():
                with torch.no_grad():
                    made = changes.of(places)(self._make(latents, number, _Pass.DISCRIMINATOR, places).float())
                real, fake = self.discriminator(photos), self.discriminator(made)
                loss = adversarial.discriminator_loss(real, fake)
            self._backward(loss)
            losses.append(loss.detach())
            of_real.append(real.detach().float())
            of_fake.append(fake.detach().float())
        self._move("discriminator_optimizer")
        if self.config.augment_target:
            self.controller.see(self.accelerator.gather(torch.cat(of_real)))
        return {
            "discriminator_loss": torch.stack(losses).mean(),
            "real_score": torch.cat(of_real).mean(),
            "fake_score": torch.cat(of_fake).mean(),
        }

    def _flatten(self, shown: Sequence[Tensor]) -> Tensor:
        """The update by R1, weighed for the steps that go without it."""
        config = self.config
        found = []
        for photos in shown:
            seen = photos.detach().requires_grad_()
            penalty = adversarial.gradient_penalty(self.discriminator(seen), seen)
            self._backward(config.r1_weight / 2 * config.r1_interval * penalty)
            found.append(penalty.detach())
        self._move("discriminator_optimizer")
        return torch.stack(found).mean()

    # --------------------------------------------------------------------------------------------------------------- parts

    @staticmethod
    def _stream(number: int, which: _Pass) -> int:
        return number * len(_Pass) + which

    def _chance(self, number: int, which: _Pass, *place: int) -> torch.Generator:
        """A source on the CPU of what a pass draws for the whole step, or for the image at a place."""
        entropy = [self.config.seed, self._stream(number, which), len(place), *place, 1]
        value = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(value) >> 1)

    def _latents(self, draws: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Two z for every image of the step and where the second takes over."""
        config = self.config
        z, other = (torch.randn(config.batch_size, config.generator.style_dim, generator=draws) for _ in range(2))
        crossovers = adversarial.draw_crossovers(config.batch_size, config.generator.n_styles, config.mixing, draws)
        return z, other, crossovers

    def _w_plus(self, latents: tuple[Tensor, Tensor, Tensor], places: Sequence[int]) -> Tensor:
        z, other, crossovers = (value[list(places)].to(self.device) for value in latents)
        mapping = self.generator.mapping
        return adversarial.cross_over(mapping(z), mapping(other), crossovers, self.config.generator.n_styles)

    def _make(self, latents: tuple[Tensor, Tensor, Tensor], number: int, which: _Pass, places: Sequence[int]) -> Tensor:
        noise = noise_sources(self.config.seed, self._stream(number, which), places, self.device)
        made: Tensor = self.generator(self._w_plus(latents, places), noise="random", rng=noise)
        return made

    def _backward(self, loss: Tensor) -> None:
        (loss / len(self.places)).backward()  # type: ignore[no-untyped-call]

    def _move(self, name: str) -> None:
        """A step of an optimiser, on gradients that are means over all processes."""
        optimizer = self.optimizers[name]
        if self.accelerator.num_processes > 1:
            for group in optimizer.param_groups:
                for weight in group["params"]:
                    if weight.grad is not None:
                        weight.grad = self.accelerator.reduce(weight.grad, reduction="mean")
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _means(self, values: Tensor) -> Tensor:
        """Values that are means over all processes."""
        if self.accelerator.num_processes == 1:
            return values
        means: Tensor = self.accelerator.reduce(values, reduction="mean")
        return means

    # ------------------------------------------------------------------------------------------------ saving and going on

    def latent_avg(self) -> Tensor:
        """The averaged generator's average latent, (n_styles, style_dim)."""
        mean = self.averaged.mean_latent(MEAN_LATENT_SAMPLES, self.config.seed)
        return mean.expand(self.config.generator.n_styles, -1)

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that is needed to go on: tensors, and what goes into a state's ``info``."""
        tensors = {"path_mean": self.path_mean, "latent_avg": self.latent_avg()}
        info: dict[str, Any] = {"controller": dataclasses.asdict(self.controller)}
        for prefix, network in self._networks().items():
            tensors |= {f"{prefix}.{name}": value for name, value in network.state_dict().items()}
        for prefix, optimizer in self.optimizers.items():
            of_optimizer, info[prefix] = pack_optimizer(optimizer, prefix)
            tensors |= of_optimizer
        return tensors, info

    def restore(self, state: GeneratorState) -> None:
        """Take over what :meth:`pack` packed.

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
