"""Validation of a generator: the averaged generator and photos in; distances, losses and a sheet of samples out.

The z, their noise and the photos are the same at every validation. The metrics:

======================  =============================================================================================
swd, swd_<size>         sliced Wasserstein distance from the validation photos, mean and at each scale
                        (:mod:`facesynth.model.losses.sliced_wasserstein`)
generator_loss,         of the discriminator on pictures and validation photos, without augmentation
discriminator_loss
real_score, fake_score  its mean scores of validation photos and pictures
overfitting             0 if it scores training and validation photos alike, 1 if it scores validation photos like
                        generated pictures
======================  =============================================================================================

Reference: Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020, section 3 (r_v).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from facesynth.model.data.contact_sheet import contact_sheet
from facesynth.model.data.tensors import photo_tensor, to_pictures
from facesynth.model.losses.sliced_wasserstein import PatchDistance
from facesynth.model.training.distributed import noise_sources

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facesynth.model.config.gan import GANConfig
    from facesynth.model.data.photos import Photos
    from facesynth.model.training.gan.discriminators import Opponent
    from facesynth.model.training.gan.networks import Adversaries

MOST_PHOTOS = 500
"""The most photos of a split that are used, from its beginning."""
ROWS, COLUMNS = 4, 6
"""Rows and columns of a sheet of samples."""
_SMALLEST_CELL = 96
_STREAM = 1 << 62
"""Stream of the validation noise, which no training step reaches."""


class GeneratorValidation:
    """Measures a generator and discriminator on the photos of both splits, with fixed z.

    Parameters
    ----------
    train, val
        The photos of the training and the validation split.
    config
    device
        The device for the computation.
    """

    def __init__(self, train: Photos, val: Photos, config: GANConfig, device: torch.device) -> None:
        self.train, self.val, self.config, self.device = train, val, config, device
        self.count = min(len(val), MOST_PHOTOS)
        self.batch_size = config.batch_size // config.accumulate
        rng = torch.Generator().manual_seed(config.seed)
        self.z = torch.randn(max(self.count, ROWS * COLUMNS), config.generator.style_dim, generator=rng)
        self.distance = PatchDistance(self._photos(val), config.seed)

    def terms(self) -> tuple[str, ...]:
        """The metrics of :meth:`measure` that training steps lack, in order."""
        return (*self.config.distances, "overfitting")

    @torch.no_grad()
    def measure(self, adversaries: Adversaries) -> dict[str, float]:
        """The metrics that the module's docstring lists, for the averaged generator and the discriminator."""
        distances = self.distance(pictures.clamp(-1, 1) for pictures in self._generated(adversaries))
        opponent = adversaries.opponent
        with opponent.frozen():
            of_fake = _scores(opponent, self._generated(adversaries))
            of_train, of_val = (_scores(opponent, self._photos(split)) for split in (self.train, self.val))
        fake, train, val = (opponent.picture_scores(scores) for scores in (of_fake, of_train, of_val))
        margin = float(train.mean() - fake.mean())
        return {
            "generator_loss": float(opponent.generator_loss(of_fake)),
            "discriminator_loss": float(opponent.discriminator_loss(of_val, of_fake)),
            "real_score": float(val.mean()),
            "fake_score": float(fake.mean()),
            "swd": sum(distances.values()) / len(distances),
            **{f"swd_{size}": distance for size, distance in distances.items()},
            "overfitting": float(train.mean() - val.mean()) / margin if margin else 0.0,
        }

    @torch.no_grad()
    def sheet(self, adversaries: Adversaries) -> NDArray[np.uint8]:
        """A sheet of the averaged generator's pictures for the first z, with its constant noise: (H, W, 3) uint8."""
        count = ROWS * COLUMNS
        batches = [self.z[first : min(first + self.batch_size, count)] for first in range(0, count, self.batch_size)]
        pictures = [picture for z in batches for picture in to_pictures(self._generate(adversaries, z, None))]
        rows = [pictures[first : first + COLUMNS] for first in range(0, len(pictures), COLUMNS)]
        cell = max(_SMALLEST_CELL, self.config.generator.output_size // 2)
        return contact_sheet(rows, [""] * COLUMNS, cell=cell)

    def _photos(self, photos: Photos) -> Iterator[Tensor]:
        count = min(len(photos), self.count)
        for first in range(0, count, self.batch_size):
            last = min(first + self.batch_size, count)
            batch = [torch.from_numpy(photos[index][1]) for index in range(first, last)]
            yield photo_tensor(torch.stack(batch).to(self.device))

    def _generated(self, adversaries: Adversaries) -> Iterator[Tensor]:
        for first in range(0, self.count, self.batch_size):
            indices = range(first, min(first + self.batch_size, self.count))
            noise = noise_sources(self.config.seed, _STREAM, indices, self.device)
            yield self._generate(adversaries, self.z[indices.start : indices.stop], noise)

    def _generate(self, adversaries: Adversaries, z: Tensor, noise: list[torch.Generator] | None) -> Tensor:
        generator = adversaries.averaged
        latents = generator.mapping(z.to(self.device))[:, None].expand(-1, generator.n_styles, -1)
        pictures: Tensor = generator(latents, noise="constant" if noise is None else "random", rng=noise)
        return pictures


def _scores(opponent: Opponent, batches: Iterable[Tensor]) -> list[Tensor]:
    """The scores of the pictures of all batches, on the CPU."""
    return [torch.cat(scores).cpu() for scores in zip(*map(opponent.scores, batches), strict=True)]
