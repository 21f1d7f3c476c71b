"""The parsing loss: two batches of faces in, the Dice loss of their segmentations by a frozen face parser out.

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

_FEWEST_PIXELS = 8
"""The fewest pixels of a class for it to count as present in a picture."""


class Parsing(nn.Module):
    """The Dice loss between the segmentations of two batches of faces.

    The parser is frozen and always in evaluation mode; gradients reach the first batch of pictures only.

    Parameters
    ----------
    network
        Maps photos (N, 3, H, H) in [-1, 1] to class scores (N, n_classes, S, S), as
        :class:`~facesynth.model.networks.parser.ParserNetwork`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Parsing:  # noqa: ARG002 - the statistics must not change
        """Does nothing: the network always stays in evaluation mode."""
        return super().train(False)

    def probabilities(self, pictures: Tensor) -> Tensor:
        """The class probabilities of every pixel.

        Parameters
        ----------
        pictures
            (N, 3, H, H) in [-1, 1].

        Returns
        -------
        Tensor
            (N, n_classes, S, S), float32, 0 to 1; the classes of a pixel sum to 1.

        Raises
        ------
        InputError
            If ``pictures`` has another shape.
        """
        if pictures.ndim != 4 or pictures.shape[1] != 3:
            raise InputError(f"pictures has shape {tuple(pictures.shape)}; needed: (N, 3, H, H)")
        scores: Tensor = self.network(pictures)
        return scores.float().softmax(1)

    def forward(self, faces: Tensor, photos: Tensor) -> Tensor:
        """The Dice loss between the segmentations of faces and photos.

        Parameters
        ----------
        faces, photos
            (N, 3, H, H) in [-1, 1]. Gradients reach ``faces`` only.

        Returns
        -------
        Tensor
            A scalar, 0 to 1.

        Raises
        ------
        InputError
            If the shapes differ from each other or from the above.
        """
        check_same_shape(faces, photos)
        with torch.no_grad():
            target = self.probabilities(photos)
        return dice_loss(self.probabilities(faces), target)


def dice_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """1 minus the Dice coefficient, averaged over the classes that are present in each picture of ``target``.

    Parameters
    ----------
    predicted, target
        (N, n_classes, H, W), floating point, 0 to 1: class probabilities. A class is present if it is the most likely one at
        eight or more pixels of ``target``.

    Returns
    -------
    Tensor
        A scalar, 0 to 1.

    References
    ----------
    Milletari, Navab, Ahmadi, "V-Net", 3DV 2016, section 3.
    """
    is_likeliest = target == target.amax(1, keepdim=True)
    is_present = (is_likeliest.sum((2, 3)) >= _FEWEST_PIXELS).float()
    overlap = 2 * (predicted * target).sum((2, 3))
    dice = overlap / (predicted.square().sum((2, 3)) + target.square().sum((2, 3))).clamp(min=1e-6)
    return 1.0 - (dice * is_present).sum() / is_present.sum()


def load_parsing(path: Path | str = "portrait-parser") -> Parsing:
    """The parsing loss with the face parser of a checkpoint, by default the one that comes with facesynth.

    That one was trained on drawn portraits.

    Raises
    ------
    CheckpointError
        If the file holds no face parser, or is damaged.
    """
    return Parsing(load_parser_network(native.load_parser(native.find(Path(path)))))
