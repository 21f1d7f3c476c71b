"""Validation of a model: a model and the validation split in, the terms of the loss and a sheet of samples out.

Nothing is augmented, random or left out; every process handles a contiguous range of the split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from facesynth.model.data.contact_sheet import contact_sheet, show_condition
from facesynth.model.data.tensors import to_pictures
from facesynth.model.training.psp.network import chosen_factors, network_inputs

if TYPE_CHECKING:
    import numpy as np
    from accelerate import Accelerator
    from numpy.typing import NDArray

    from facesynth.model.config.train import TrainConfig
    from facesynth.model.data.pairs import PairedFaces
    from facesynth.model.losses.objective import Objective
    from facesynth.model.networks.psp import PSP

SAMPLES = 6
"""Validation photos on a sample sheet."""
_SMALLEST_CELL = 128


class Validation:
    """Measures a model on the validation split.

    Parameters
    ----------
    pairs
    config
    objective
        The loss, on the device where it is used.
    accelerator
        Gives the device, the precision and the rank of this process.
    """

    def __init__(self, pairs: PairedFaces, config: TrainConfig, objective: Objective, accelerator: Accelerator) -> None:
        self.pairs, self.config, self.objective, self.accelerator = pairs, config, objective, accelerator

    @torch.no_grad()
    def measure(self, model: PSP) -> dict[str, float]:
        """Every term of the loss, averaged over the whole split, the same in every process."""
        process, count = self.accelerator.process_index, self.accelerator.num_processes
        first, last = (len(self.pairs) * edge // count for edge in (process, process + 1))
        names = ["loss", *self.objective.terms]
        sums = torch.zeros(len(names), dtype=torch.float64)
        stretch = Subset(self.pairs, range(first, last))
        for _, conditions, photos in DataLoader(stretch, batch_size=self.config.batch_size) if first < last else ():
            faces, _, photo, latents = self._translate(model, first, conditions, photos)
            terms = self.objective(faces, photo, latents, model.latent_avg)[1]
            sums += torch.stack([terms[name] for name in names]).double().cpu() * len(photos)
            first += len(photos)
        totals = self.accelerator.reduce(sums.float().to(self.accelerator.device)) if count > 1 else sums
        return {name: total / len(self.pairs) for name, total in zip(names, totals.tolist(), strict=True)}

    @torch.no_grad()
    def sheet(self, model: PSP) -> NDArray[np.uint8]:
        """A sheet with condition, face and photo of the first pairs: (H, W, 3) uint8."""
        pairs = [self.pairs[index] for index in range(min(SAMPLES, len(self.pairs)))]
        kind, size, at_once = self.config.model.condition, self.config.model.output_size, self.config.batch_size
        rows: list[list[NDArray[np.uint8]]] = []
        for first in range(0, len(pairs), at_once):  # no more of them than a step has, for memory's sake
            part = pairs[first : first + at_once]
            conditions, photos = (torch.stack([torch.from_numpy(pair[place]) for pair in part]) for place in (1, 2))
            faces, seen, _, _ = self._translate(model, first, conditions, photos)
            shown = to_pictures(seen) if kind == "photo" else conditions.numpy()
            rows += [
                [show_condition(condition, kind, self.pairs.scheme), face, photo]
                for condition, face, photo in zip(shown, to_pictures(faces), photos.numpy(), strict=True)
            ]
        return contact_sheet(rows, ["condition", "face", "photo"], cell=max(_SMALLEST_CELL, size // 2))

    def _translate(
        self, model: PSP, first: int, conditions: Tensor, photos: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Faces, conditions, photos and latents of pairs; ``first`` is the index of the first one in the split."""
        model.eval()
        factors = chosen_factors(self.config, range(first, first + len(photos)))
        condition, photo = network_inputs(self.config, conditions, photos, factors, self.accelerator.device)
        with self.accelerator.autocast():
            latents = model.encode(condition)
            faces = model.generator(latents, spatial=model.spatial_maps(condition))
        return faces.float(), condition, photo, latents.float()
