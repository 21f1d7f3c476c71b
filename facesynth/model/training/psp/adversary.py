"""The adversary of a model in training: photos, generated faces and their conditions in; a term of the model's loss out.

Before the discriminators see them, photos and faces get the same random translations and changes of brightness and contrast,
and conditions the same translations, so that the discriminators cannot memorise a small set of photos. The discriminators have
their own optimiser and are updated with the same faces as the model.

References: those of :mod:`facesynth.model.networks.projected`, :mod:`facesynth.model.training.projected` and
:mod:`facesynth.model.training.ada`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from facesynth.errors import InputError
from facesynth.model.checkpoints import state_dict
from facesynth.model.networks.projected import ProjectedDiscriminator
from facesynth.model.training import projected
from facesynth.model.training.ada import Controller, Transforms, draw_transforms, warp
from facesynth.model.training.optimizer_state import pack_optimizer, restore_optimizer

if TYPE_CHECKING:
    from accelerate import Accelerator

    from facesynth.model.checkpoints.native import Checkpoint
    from facesynth.model.config.train import TrainConfig
    from facesynth.model.training.projected import Projection

ADVERSARY_TERMS = ("adversarial", "discriminator_loss", "augment_p")
"""The metrics of a step: the term of the model's loss, before its weight; the discriminators' loss; the augmentation
probability."""
TRANSFORMS = ("integer_translation", "brightness", "contrast")
"""The transformations of :mod:`facesynth.model.training.ada` that are used."""
_AUGMENT_SPEED = 100_000
"""Number of photos in which the augmentation probability can change from 0 to 1."""
_SEED_OFFSET = 1
"""Added to the run's seed for the discriminators' initial weights."""


class Adversary:
    """The discriminators, their optimiser and the controller of their augmentation.

    For each step: :meth:`begin_step` once, :meth:`loss` for every micro-batch, :meth:`finish_step` once.

    Parameters
    ----------
    config
    projection
        On the accelerator's device.
    accelerator
        Determines the device, the precision and the processes.
    """

    def __init__(self, config: TrainConfig, projection: Projection, accelerator: Accelerator) -> None:
        self.config, self.projection, self.accelerator = config, projection, accelerator
        self.network = first_discriminator(config, projection).to(accelerator.device).train()
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=config.discriminator_learning_rate, betas=(0.0, 0.99)
        )
        self.controller = Controller(
            p=0.0 if config.augment_target else 1.0, target=config.augment_target, speed=_AUGMENT_SPEED
        )
        # in fp16 the discriminators' gradients would need their own loss scale
        self._precise = nullcontext if config.precision == "fp16" else accelerator.autocast
        self._photo_scores: list[Tensor] = []
        self._loss = torch.zeros(())

    def begin_step(self, rng: torch.Generator) -> Transforms:
        """Draw the transformations of the whole step's pictures.

        Parameters
        ----------
        rng
            On the CPU.

        Returns
        -------
        Transforms
            One for each of the step's ``batch_size`` pictures.
        """
        self._photo_scores, self._loss = [], torch.zeros((), device=self.accelerator.device)
        config = self.config
        size = min(config.model.output_size, projected.MAX_SIZE)
        return draw_transforms(config.batch_size, self.controller.p, size, rng, only=TRANSFORMS)

    def loss(self, faces: Tensor, photos: Tensor, condition: Tensor, transforms: Transforms) -> Tensor:
        """The term of the model's loss for a micro-batch; also adds up the discriminators' gradients.

        Parameters
        ----------
        faces
            (N, 3, S, S) near [-1, 1], with gradients.
        photos
            (N, 3, S, S) in [-1, 1].
        condition
            (N, input_channels, T, T).
        transforms
            Those from :meth:`begin_step` for these pictures.

        Returns
        -------
        Tensor
            A scalar: the negative sum of the discriminators' mean scores of the faces.
        """
        faces, photos = transforms(projected.reduce(faces.float())), transforms(projected.reduce(photos.float()))
        with torch.no_grad():
            condition = warp(condition.float(), transforms.geometry)
        with self._precise():
            with torch.no_grad():
                of_photos = self.projection.maps(photos)
            of_faces = self.projection.maps(faces)
            self._add_gradients(of_faces, of_photos, faces, photos, condition)
            self.network.eval().requires_grad_(requires_grad=False)
            scores = self.network(of_faces, faces, condition)
            self.network.train().requires_grad_(requires_grad=True)
        return projected.generator_loss(scores)

    def _add_gradients(
        self, of_faces: Sequence[Tensor], of_photos: Sequence[Tensor], faces: Tensor, photos: Tensor, condition: Tensor
    ) -> None:
        """Backpropagate the discriminators' loss; photos and faces form one batch, because no layer mixes samples."""
        maps = [torch.cat([real, fake.detach()]) for real, fake in zip(of_photos, of_faces, strict=True)]
        scores = self.network(maps, torch.cat([photos, faces.detach()]), torch.cat([condition, condition]))
        real, fake = ([score.chunk(2)[half] for score in scores] for half in (0, 1))
        loss = projected.discriminator_loss(real, fake) / self.config.accumulate
        loss.backward()  # type: ignore[no-untyped-call]
        self._loss = self._loss + loss.detach()
        self._photo_scores.append(projected.picture_scores(real))

    def finish_step(self) -> dict[str, Tensor | float]:
        """Update the discriminators and the augmentation probability at the end of a step.

        Returns
        -------
        dict
            ``discriminator_loss``, a scalar tensor of this process, and ``augment_p``, the probability used in this step.
        """
        if self.accelerator.num_processes > 1:
            for weight in self.network.parameters():
                if weight.grad is not None:
                    weight.grad = self.accelerator.reduce(weight.grad, reduction="mean")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        metrics: dict[str, Tensor | float] = {"discriminator_loss": self._loss, "augment_p": self.controller.p}
        if self.config.augment_target:
            self.controller.update(self.accelerator.gather(torch.cat(self._photo_scores)))
        return metrics

    # ------------------------------------------------------------------------------------------------ saving and resuming

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that a resumed run needs: tensors, and values for the ``info`` of a training state."""
        tensors = {f"discriminator.{name}": value for name, value in self.network.state_dict().items()}
        of_optimizer, numbers = pack_optimizer(self.optimizer, "discriminator_optimizer")
        info = {"discriminator_optimizer": numbers, "controller": dataclasses.asdict(self.controller)}
        return tensors | of_optimizer, info

    def restore(self, state: Checkpoint) -> None:
        """Restore the content that :meth:`pack` returned from a training state.

        Raises
        ------
        CheckpointError
            If it does not fit the discriminators or their optimiser.
        """
        state_dict.load_into(self.network, state.state_of("discriminator"), state.path)
        restore_optimizer(self.optimizer, state, "discriminator_optimizer")
        self.controller = Controller(**state.info["controller"])


def first_discriminator(config: TrainConfig, projection: Projection) -> ProjectedDiscriminator:
    """The discriminators at the start of a run, on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed + _SEED_OFFSET)
        return ProjectedDiscriminator(projection.channels, config.model.input_channels)


def projection_of(config: TrainConfig, networks: Any) -> Projection:
    """The frozen network whose feature maps the discriminators of a run see.

    Parameters
    ----------
    config
    networks : mapping of str to module
        The networks of the loss terms, by name; needed: ``lpips``.

    Raises
    ------
    InputError
        If it is missing.
    """
    if "lpips" not in networks:
        raise InputError(
            f"adversarial has a weight of {config.adversarial}, but its lpips network is missing; provide it, "
            "or set the weight to 0"
        )
    projection: Projection = networks["lpips"]
    return projection
