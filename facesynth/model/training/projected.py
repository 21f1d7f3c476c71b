"""Training with projected discriminators: their scores in, hinge losses and a score of each picture out.

The networks are in :mod:`facesynth.model.networks.projected`. Each discriminator has the hinge loss, and the losses are summed.

References: Lim & Ye, "Geometric GAN", 2017, section 3 (the hinge); Sauer et al., "Projected GANs Converge Faster", NeurIPS
2021, section 3 (several discriminators).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from facesynth.model.losses import adversarial

MAX_SIZE = 256
"""Larger pictures are reduced to this size, pixels."""


class Projection(Protocol):
    """A frozen network whose feature maps the discriminators see, such as :class:`facesynth.model.losses.lpips.LPIPS`."""

    @property
    def channels(self) -> Sequence[int]:
        """Channels of each feature map."""

    def maps(self, pictures: Tensor, /) -> list[Tensor]:
        """Pictures (N, 3, H, W) near [-1, 1] to feature maps (N, C, H', W')."""


def reduce(pictures: Tensor) -> Tensor:
    """Pictures (N, 3, S, S) averaged to at most :data:`MAX_SIZE` pixels."""
    return F.adaptive_avg_pool2d(pictures, MAX_SIZE) if pictures.shape[2] > MAX_SIZE else pictures


def generator_loss(scores: Sequence[Tensor]) -> Tensor:
    """The generator's hinge loss: the negative sum of the discriminators' mean scores of generated pictures.

    Parameters
    ----------
    scores
        Of each discriminator, (N, 1, H, W), from :class:`facesynth.model.networks.projected.ProjectedDiscriminator`.

    Returns
    -------
    Tensor
        A float32 scalar of any sign.
    """
    return torch.stack([adversarial.hinge_generator_loss(each) for each in scores]).sum()


def discriminator_loss(real_scores: Sequence[Tensor], fake_scores: Sequence[Tensor]) -> Tensor:
    """The sum of the discriminators' hinge losses.

    Parameters
    ----------
    real_scores, fake_scores
        Of each discriminator, (N, 1, H, W) and (M, 1, H, W).

    Returns
    -------
    Tensor
        A float32 scalar, at least 0; 2 for each discriminator that scores everything 0.
    """
    pairs = zip(real_scores, fake_scores, strict=True)
    return torch.stack([adversarial.hinge_discriminator_loss(real, fake) for real, fake in pairs]).sum()


def picture_scores(scores: Sequence[Tensor]) -> Tensor:
    """The score of each picture: the mean over all patches of a discriminator, and over the discriminators.

    Parameters
    ----------
    scores
        Of each discriminator, (N, 1, H, W).

    Returns
    -------
    Tensor
        (N,) float32, without gradients.
    """
    return torch.stack([score.detach().float().mean(dim=(1, 2, 3)) for score in scores]).mean(dim=0)
