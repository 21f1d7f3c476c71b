"""Validation of a generator: the running average's pictures beside photos, into distances, losses and a sheet of samples.

The z, their noise and the photos are the same at every interval. What is told:

======================  =============================================================================================
swd, swd_<size>         sliced Wasserstein distance from the validation photos, mean and at each scale
                        (:mod:`facesynth.model.losses.sliced_wasserstein`)
generator_loss,         of the discriminator on pictures and validation photos as they are
discriminator_loss
real_score, fake_score  its mean scores of them
overfitting             how much more it trusts training photos: 0 as much as validation photos, 1 these no more than
                        made pictures
======================  =============================================================================================

Reference: Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020, section 3 (r_v).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from facesynth.model.data.contact_sheet import contact_sheet
from facesynth.model.data.tensors import photo_tensor, to_pictures
from facesynth.model.losses import adversarial
from facesynth.model.losses.sliced_wasserstein import PatchDistance
from facesynth.model.training.distributed import noise_sources

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facesynth.model.config.gan import GANConfig
    from facesynth.model.data.photos import Photos
    from facesynth.model.training.gan.networks import Adversaries

MOST_PHOTOS = 500
"""Photos of a split that are looked at, from its beginning."""
ROWS, COLUMNS = 4, 6
"""Pictures on a sheet of samples."""
_SMALLEST_CELL = 96
_STREAM = 1 << 62
"""Of the noise; steps don't get as far."""


class GeneratorValidation:
    """Photos of both splits, and the z whose pictures are compared with them.

    Parameters
    ----------
    train, val
        The photos.
    config
    device
        Where to compute.
    """

    def __init__(self, train: Photos, val: Photos, config: GANConfig, device: torch.device) -> None:
        self.train, self.val, self.config, self.device = train, val, config, device
        self.count = min(len(val), MOST_PHOTOS)
        self.batch = config.batch_size // config.accumulate
        rng = torch.Generator().manual_seed(config.seed)
        self.z = torch.randn(max(self.count, ROWS * COLUMNS), config.generator.style_dim, generator=rng)
        self.distance = PatchDistance(self._photos(val), config.seed)

    def terms(self) -> tuple[str, ...]:
        """What :meth:`measure` tells, in order."""
        return (*self.config.distances, "overfitting")

    @torch.no_grad()
    def measure(self, adversaries: Adversaries) -> dict[str, float]:
        """The averaged generator's pictures and the discriminator, told as the module's first lines say."""
        distances = self.distance(pictures.clamp(-1, 1) for pictures in self._made(adversaries))
        discriminator = adversaries.discriminator
        fake = torch.cat([discriminator(pictures) for pictures in self._made(adversaries)]).cpu()
        seen, unseen = (
            torch.cat([discriminator(photos) for photos in self._photos(split)]).cpu()
            for split in (self.train, self.val)
        )
        certainty = float(seen.mean() - fake.mean())
        return {
            "generator_loss": float(adversarial.generator_loss(fake)),
            "discriminator_loss": float(adversarial.discriminator_loss(unseen, fake)),
            "real_score": float(unseen.mean()),
            "fake_score": float(fake.mean()),
            "swd": sum(distances.values()) / len(distances),
            **{f"swd_{size}": distance for size, distance in distances.items()},
            "overfitting": float(seen.mean() - unseen.mean()) / certainty if certainty else 0.0,
        }

    @torch.no_grad()
    def sheet(self, adversaries: Adversaries) -> NDArray[np.uint8]:
        """The averaged generator's pictures of the first z, with its constant noise."""
        count = ROWS * COLUMNS
        parts = [self.z[first : min(first + self.batch, count)] for first in range(0, count, self.batch)]
        made = [to_pictures(self._make(adversaries, part, None)) for part in parts]
        pictures = [picture for part in made for picture in part]
        rows = [pictures[first : first + COLUMNS] for first in range(0, len(pictures), COLUMNS)]
        cell = max(_SMALLEST_CELL, self.config.generator.output_size // 2)
        return contact_sheet(rows, [""] * COLUMNS, cell=cell)

    def _photos(self, photos: Photos) -> Iterator[Tensor]:
        count = min(len(photos), self.count)
        for first in range(0, count, self.batch):
            chosen = [torch.from_numpy(photos[index][1]) for index in range(first, min(first + self.batch, count))]
            yield photo_tensor(torch.stack(chosen).to(self.device))

    def _made(self, adversaries: Adversaries) -> Iterator[Tensor]:
        for first in range(0, self.count, self.batch):
            places = range(first, min(first + self.batch, self.count))
            noise = noise_sources(self.config.seed, _STREAM, places, self.device)
            yield self._make(adversaries, self.z[places.start : places.stop], noise)

    def _make(self, adversaries: Adversaries, z: Tensor, noise: list[torch.Generator] | None) -> Tensor:
        generator = adversaries.averaged
        latents = generator.mapping(z.to(self.device))[:, None].expand(-1, generator.n_styles, -1)
        made: Tensor = generator(latents, noise="constant" if noise is None else "random", rng=noise)
        return made
