"""A trained face parser: photos in, label maps of the same size out.

The network is a U-Net (:mod:`facesynth.model.networks.parser`). Photos of any size are resized to the size for which it was
trained, and its scores are resized back.

Reference: Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015, section 2.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from facesynth import images
from facesynth.errors import InputError
from facesynth.model.checkpoints import native
from facesynth.model.checkpoints.load import load_parser_network
from facesynth.model.data.tensors import NARROW, photo_tensor, square_at, to_square
from facesynth.model.devices import choose_device

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.model.checkpoints.native import ParserCheckpoint


SHIPPED_PARSER = "photo-parser"
"""The parser of photos that comes with the package."""


class Parser:
    """A trained parser, ready to use.

    Parameters
    ----------
    given : ParserCheckpoint
        A checkpoint from :func:`facesynth.model.checkpoints.native.load_parser`.
    device : str
        auto, cpu, cuda or mps.
    """

    def __init__(self, given: ParserCheckpoint, *, device: str = "auto") -> None:
        self.device = choose_device(device)
        self.path, self.config, self.scheme, self.info = given.path, given.config, given.scheme, given.info
        self.network = load_parser_network(given).to(self.device)

    @classmethod
    def from_pretrained(cls, source: Path | str, *, device: str = "auto") -> Parser:
        """A parser by name, ``photo-parser`` or ``portrait-parser``, or from a checkpoint file.

        Parameters
        ----------
        source : Path or str
        device : str
            auto, cpu, cuda or mps.

        Raises
        ------
        CheckpointError
            If there is no such parser, or it is damaged.
        """
        return cls(native.load_parser(native.find(Path(source))), device=device)

    @torch.inference_mode()
    def scores(self, photos: Tensor) -> Tensor:
        """The class scores.

        Parameters
        ----------
        photos : (N, 3, H, H) float tensor
            In [-1, 1], of any size.

        Returns
        -------
        (N, n_classes, S, S) float32 tensor
            At the parser's own size.
        """
        scores: Tensor = self.network(photos.to(self.device)).float()
        return scores

    @torch.inference_mode()
    def parse(self, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The label map of a photo.

        Parameters
        ----------
        photo : (H, W, 3) uint8 array
            RGB. A photo that is not square is padded with black, as in training.

        Returns
        -------
        (H, W) uint8 array
            Class ids of :attr:`scheme`.

        Raises
        ------
        InputError
            If the photo has another dtype or shape.
        """
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
            raise InputError(f"the photo is {photo.dtype} of shape {photo.shape}; needed: uint8 of shape (H, W, 3)")
        height, width = photo.shape[:2]
        if max(height, width) > NARROW * min(height, width):
            return self._parse_narrow(photo)
        square = to_square(photo, 0)
        size = square.shape[0]
        scores = self.scores(photo_tensor(torch.from_numpy(np.ascontiguousarray(square))[None]))
        labels = F.interpolate(scores, (size, size), mode="bilinear", align_corners=False)[0].argmax(0)
        top, left = (size - height) // 2, (size - width) // 2
        return labels[top : top + height, left : left + width].to(torch.uint8).cpu().numpy()

    def _parse_narrow(self, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The label map of a photo whose square would take much more memory: that of the network's size, enlarged."""
        height, width = photo.shape[:2]
        size = self.config.input_size
        square = square_at(photo, 0, size)
        labels = self.scores(photo_tensor(torch.from_numpy(square)[None]))[0].argmax(0).to(torch.uint8).cpu().numpy()
        across, down = (max(1, round(side * size / max(height, width))) for side in (width, height))
        top, left = (size - down) // 2, (size - across) // 2
        return images.resize(labels[top : top + down, left : left + across], (height, width), labels=True)
