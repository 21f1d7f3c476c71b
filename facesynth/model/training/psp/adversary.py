"""The adversary of a model in training: photos, made faces and their conditions in; a term of the model's loss out.

Photos and faces go through the same changes of light, contrast and place, the condition along with them, before the
discriminators see them: so that a few photos can't be learnt by heart. What moves the discriminators is kept apart from what
moves the model; both come from the same faces.

References: those of :mod:`facesynth.model.networks.projected` and :mod:`facesynth.model.training.ada`; the hinge: Lim & Ye,
"Geometric GAN", 2017, section 3.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from facesynth.errors import InputError
from facesynth.model.checkpoints import state_dict
from facesynth.model.losses import adversarial
from facesynth.model.networks.projected import ProjectedDiscriminator
from facesynth.model.training.ada import Changes, Controller, draw_changes, move
from facesynth.model.training.optimizer_state import pack_optimizer, restore_optimizer

if TYPE_CHECKING:
    from accelerate import Accelerator

    from facesynth.model.checkpoints.native import Checkpoint
    from facesynth.model.config.train import TrainConfig

ADVERSARY_TERMS = ("adversarial", "discriminator_loss", "augment_p")
"""What is told of a step: what the model is to lower, before it is weighed; what the discriminators are to lower; and the
share of pictures that are changed."""
CHANGES = ("whole_pixels", "brightness", "contrast")
"""What befalls pictures, of the transformations of :mod:`facesynth.model.training.ada`."""
_AUGMENT_SPEED = 100_000
"""Photos in which the share of changed pictures goes from 0 to 1."""
_LARGEST = 256
"""Larger pictures are seen at this size, pixels, as the other terms see them."""
_SEED = 1
"""Added to the seed of the run, for the discriminators' first weights."""


class Projection(Protocol):
    """A frozen network whose maps are judged: :class:`facesynth.model.losses.lpips.LPIPS`, for one."""

    channels: Sequence[int]
    """Of its maps."""

    def maps(self, pictures: Tensor, /) -> list[Tensor]:
        """Pictures (N, 3, H, W) around [-1, 1] to maps (N, C, H', W')."""


class Adversary:
    """The discriminators, what moves them, and how often pictures are changed.

    Parameters
    ----------
    config
    projection
        On the accelerator's device.
    accelerator
        Gives the device, the precision and the other processes.
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
        # fp16's gradients would need a scale of their own
        self._precise = nullcontext if config.precision == "fp16" else accelerator.autocast
        self._seen: list[Tensor] = []
        self._loss = torch.zeros(())

    def begin(self, rng: torch.Generator) -> Changes:
        """What befalls the pictures of the next step, one change for each of the whole step.

        Parameters
        ----------
        rng
            On the CPU.
        """
        self._seen, self._loss = [], torch.zeros((), device=self.accelerator.device)
        config = self.config
        size = min(config.model.output_size, _LARGEST)
        return draw_changes(config.batch_size, self.controller.p, size, rng, only=CHANGES)

    def judge(self, faces: Tensor, photos: Tensor, condition: Tensor, changes: Changes) -> Tensor:
        """What the model is to lower, for a part of a step; the discriminators' gradients are made on the way.

        Parameters
        ----------
        faces
            (N, 3, S, S), through which gradients go.
        photos
            (N, 3, S, S) in [-1, 1].
        condition
            (N, input_channels, T, T).
        changes
            Those of these pictures, of :meth:`begin`'s.

        Returns
        -------
        Tensor
            A scalar: the sum over all discriminators of their mean scores, times -1.
        """
        faces, photos = changes(_shrunk(faces.float())), changes(_shrunk(photos.float()))
        with torch.no_grad():
            condition = move(condition.float(), changes.placement)
        with self._precise():
            with torch.no_grad():
                of_photos = self.projection.maps(photos)
            of_faces = self.projection.maps(faces)
            self._learn(of_faces, of_photos, faces, photos, condition)
            self.network.eval().requires_grad_(requires_grad=False)
            scores = self.network(of_faces, faces, condition)
            self.network.train().requires_grad_(requires_grad=True)
        return torch.stack([adversarial.hinge_generator_loss(each) for each in scores]).sum()

    def _learn(
        self, of_faces: Sequence[Tensor], of_photos: Sequence[Tensor], faces: Tensor, photos: Tensor, condition: Tensor
    ) -> None:
        """Make the discriminators' gradients; both kinds go through in one batch, as no layer looks beyond a picture."""
        maps = [torch.cat([true, made.detach()]) for true, made in zip(of_photos, of_faces, strict=True)]
        scores = self.network(maps, torch.cat([photos, faces.detach()]), torch.cat([condition, condition]))
        real, fake = ([score.chunk(2)[half] for score in scores] for half in (0, 1))
        losses = [adversarial.hinge_discriminator_loss(*pair) for pair in zip(real, fake, strict=True)]
        loss = torch.stack(losses).sum() / self.config.accumulate
        loss.backward()  # type: ignore[no-untyped-call]
        self._loss = self._loss + loss.detach()
        self._seen.append(torch.stack([score.detach().float().mean(dim=(1, 2, 3)) for score in real]).mean(dim=0))

    def move(self) -> dict[str, Tensor | float]:
        """Move the discriminators, at the end of a step.

        Returns
        -------
        dict
            ``discriminator_loss``, a scalar tensor of this process alone, and ``augment_p``.
        """
        if self.accelerator.num_processes > 1:
            for weight in self.network.parameters():
                if weight.grad is not None:
                    weight.grad = self.accelerator.reduce(weight.grad, reduction="mean")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        told: dict[str, Tensor | float] = {"discriminator_loss": self._loss, "augment_p": self.controller.p}
        if self.config.augment_target:
            self.controller.see(self.accelerator.gather(torch.cat(self._seen)))
        return told

    # ------------------------------------------------------------------------------------------------ saving and going on

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that is needed to go on: tensors, and what goes into a state's ``info``."""
        tensors = {f"discriminator.{name}": value for name, value in self.network.state_dict().items()}
        of_optimizer, numbers = pack_optimizer(self.optimizer, "discriminator_optimizer")
        info = {"discriminator_optimizer": numbers, "controller": dataclasses.asdict(self.controller)}
        return tensors | of_optimizer, info

    def restore(self, state: Checkpoint) -> None:
        """Take over what :meth:`pack` packed.

        Raises
        ------
        CheckpointError
            If it does not fit.
        """
        state_dict.load_into(self.network, state.state_of("discriminator"), state.path)
        restore_optimizer(self.optimizer, state, "discriminator_optimizer")
        self.controller = Controller(**state.info["controller"])


def first_discriminator(config: TrainConfig, projection: Projection) -> ProjectedDiscriminator:
    """The discriminators as a run begins with them, on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed + _SEED)
        return ProjectedDiscriminator(projection.channels, config.model.input_channels)


def projection_of(config: TrainConfig, networks: Any) -> Projection:
    """The frozen network that a config's adversary looks through, among those of the loss.

    Parameters
    ----------
    config
    networks
        By name: ``lpips``.

    Raises
    ------
    InputError
        If it is missing.
    """
    if "lpips" not in networks:
        raise InputError(
            f"adversarial weighs {config.adversarial} but the lpips network, which it looks through, is not there; give it, "
            "or weigh it 0"
        )
    projection: Projection = networks["lpips"]
    return projection


def _shrunk(pictures: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(pictures, _LARGEST) if pictures.shape[2] > _LARGEST else pictures
