"""The discriminators that a generator can be trained against: pictures in, scores and losses out.

===========  ==============================================================  =================  ==============
kind         network                                                         scores             loss
===========  ==============================================================  =================  ==============
stylegan2    :class:`facesynth.model.networks.discriminator.Discriminator`   (N,)               logistic
projected    :class:`facesynth.model.networks.projected.                     (N, 1, H, W) from  sum of hinges
             ProjectedDiscriminator`, without conditions                     each of them
===========  ==============================================================  =================  ==============

Reference for ``projected``: Sauer et al., "Projected GANs Converge Faster", NeurIPS 2021, section 3.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from facesynth.errors import InputError
from facesynth.model.losses import adversarial
from facesynth.model.networks.discriminator import Discriminator
from facesynth.model.networks.projected import ProjectedDiscriminator
from facesynth.model.training import projected

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from facesynth.model.config.gan import GANConfig
    from facesynth.model.config.model import DiscriminatorConfig
    from facesynth.model.training.projected import Projection


class Opponent(ABC):
    """A discriminator in training, with its loss and the generator's.

    Attributes
    ----------
    network : module
        What is trained and saved.
    """

    network: nn.Module

    @abstractmethod
    def scores(self, pictures: Tensor) -> list[Tensor]:
        """The scores of pictures, (N, 3, S, S) near [-1, 1], higher for photos; shapes as in the module's table."""

    @abstractmethod
    def generator_loss(self, fake: Sequence[Tensor]) -> Tensor:
        """The generator's loss by the scores of generated pictures, a float32 scalar."""

    @abstractmethod
    def discriminator_loss(self, real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
        """The discriminator's loss by the scores of photos and generated pictures, a float32 scalar, at least 0."""

    @abstractmethod
    def picture_scores(self, scores: Sequence[Tensor]) -> Tensor:
        """One score of each picture, (N,) float32, without gradients."""

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """A context in which neither the weights nor the buffers of the network change."""
        self.network.eval().requires_grad_(requires_grad=False)
        try:
            yield
        finally:
            self.network.train().requires_grad_(requires_grad=True)

    def to(self, device: torch.device) -> Opponent:
        """Move all networks to a device; the network is in training mode then."""
        self.network.to(device).train()
        return self

    def frozen_networks(self) -> tuple[nn.Module, ...]:
        """The networks that it needs besides the trained one."""
        return ()


class _StyleGAN2(Opponent):
    """StyleGAN2's discriminator.

    Parameters
    ----------
    config
        Its sizes.
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        self.network = Discriminator(config)

    def scores(self, pictures: Tensor) -> list[Tensor]:
        return [self.network(pictures)]

    def generator_loss(self, fake: Sequence[Tensor]) -> Tensor:
        return adversarial.generator_loss(*fake)

    def discriminator_loss(self, real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
        return adversarial.discriminator_loss(*real, *fake)

    def picture_scores(self, scores: Sequence[Tensor]) -> Tensor:
        (each,) = scores
        return each.detach().float()


class _Projected(Opponent):
    """Discriminators on the feature maps of a frozen network, and one that sees the pictures.

    Parameters
    ----------
    projection
        The frozen network.
    """

    def __init__(self, projection: Projection) -> None:
        self.projection, self.network = projection, ProjectedDiscriminator(projection.channels)

    def scores(self, pictures: Tensor) -> list[Tensor]:
        pictures = projected.reduce(pictures)
        scores: list[Tensor] = self.network(self.projection.maps(pictures), pictures)
        return scores

    def generator_loss(self, fake: Sequence[Tensor]) -> Tensor:
        return projected.generator_loss(fake)

    def discriminator_loss(self, real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
        return projected.discriminator_loss(real, fake)

    def picture_scores(self, scores: Sequence[Tensor]) -> Tensor:
        return projected.picture_scores(scores)

    def to(self, device: torch.device) -> Opponent:
        for network in self.frozen_networks():
            network.to(device)
        return super().to(device)

    def frozen_networks(self) -> tuple[nn.Module, ...]:
        return (cast("nn.Module", self.projection),)


def new_opponent(config: GANConfig, projection: Projection | None = None) -> Opponent:
    """The discriminator of a run, with initial weights drawn from PyTorch's random state.

    Parameters
    ----------
    config
    projection
        The frozen network of a projected discriminator, a module; for another one it is not used.

    Raises
    ------
    InputError
        If the discriminator is a projected one and its frozen network is missing.
    """
    if config.discriminator is not None:
        return _StyleGAN2(config.discriminator)
    return _Projected(require_projection(projection))


def require_projection(projection: Projection | None) -> Projection:
    """The frozen network of a projected discriminator.

    Raises
    ------
    InputError
        If it is missing.
    """
    if projection is None:
        raise InputError(
            "discriminator_kind is projected, but its frozen network is missing; provide it as projection, from "
            "facesynth.model.losses.lpips.load_lpips, or use stylegan2"
        )
    return projection
