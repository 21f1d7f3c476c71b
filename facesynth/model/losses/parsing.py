"""Where the parts of a face are: the parsing term of the loss. Pictures in, numbers out.

References: Milletari, Navab, Ahmadi, "V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image Segmentation",
3DV 2016, section 3 (the Dice loss); Yao et al., "Feature-Style Encoder for Style-Based GAN Inversion", 2022 (a frozen face
parser in the loss of an encoder).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from facesynth.errors import InputError
from facesynth.model.checkpoints import native
from facesynth.model.checkpoints.load import load_parser_network
from facesynth.model.losses.pixel import check_same_shape

_LEAST = 8
"""Pixels that a part has at least where it is said to be in a picture."""


class Parsing(nn.Module):
    """How far the parts of two faces are from covering each other.

    The parser is frozen, in evaluation mode whatever the mode around it; gradients reach the first picture only.

    Parameters
    ----------
    network
        Of photos (N, 3, H, H) in [-1, 1] to the classes' scores, as :class:`~facesynth.model.networks.parser.ParserNetwork`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Parsing:  # noqa: ARG002 - the statistics stay as they are
        """Does nothing: the network is always evaluated."""
        return super().train(False)

    def shares(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, H) in [-1, 1] to (N, n_classes, S, S): what share of a pixel is of which class."""
        if pictures.ndim != 4 or pictures.shape[1] != 3:
            raise InputError(f"pictures has shape {tuple(pictures.shape)}; needed: (N, 3, H, H)")
        scores: Tensor = self.network(pictures)
        return scores.float().softmax(1)

    def forward(self, faces: Tensor, photos: Tensor) -> Tensor:
        """The Dice loss of the parts in ``faces`` against those that the parser sees in ``photos``; a scalar, 0 to 1."""
        check_same_shape(faces, photos)
        with torch.no_grad():
            wanted = self.shares(photos)
        return dice_loss(self.shares(faces), wanted)


def dice_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """1 less the Dice coefficient, the mean over every picture's classes.

    Parameters
    ----------
    found, wanted
        (N, n_classes, H, W): what share of a pixel is of which class. Classes count that are the likeliest of at least eight
        pixels of ``wanted``.

    Returns
    -------
    Tensor
        A scalar, 0 to 1.
    """
    is_likeliest = wanted == wanted.amax(1, keepdim=True)
    is_there = (is_likeliest.sum((2, 3)) >= _LEAST).float()
    both = 2 * (found * wanted).sum((2, 3))
    dice = both / (found.square().sum((2, 3)) + wanted.square().sum((2, 3))).clamp(min=1e-6)
    return 1.0 - (dice * is_there).sum() / is_there.sum()


def load_parsing(path: Path | str = "portrait-parser") -> Parsing:
    """The parsing term on a checkpoint's face parser; by default the one that comes along, which knows drawn portraits.

    Raises
    ------
    CheckpointError
        If the file holds no face parser, or is damaged.
    """
    return Parsing(load_parser_network(native.load_parser(native.find(Path(path)))))
