"""pSp's identity loss: two batches of faces in, one minus the cosine similarity of a face recogniser's embeddings out.

The network is passed as a state dict; :func:`facesynth.model.losses.identity.load_identity` reads it from a file.

References: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019, section 3 (IR-SE50);
Richardson et al., "Encoding in Style", CVPR 2021, section 3 (the loss).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesynth.errors import InputError
from facesynth.model.checkpoints.load import recogniser_state
from facesynth.model.losses.pixel import face_crop
from facesynth.model.networks.recogniser import FACE_SIZE, FaceRecogniser

SMALLEST_SIDE = 256
"""Smallest height and width of the pictures, pixels."""


class Identity(nn.Module):
    """The dissimilarity of the persons in two batches of pictures.

    The network is frozen and always in evaluation mode; gradients reach the pictures only.

    Parameters
    ----------
    state
        State dict of :class:`FaceRecogniser`.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        with torch.device("meta"):
            self.recogniser = FaceRecogniser()
        self.recogniser.to_empty(device="cpu").load_state_dict(dict(state))
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Identity:  # noqa: ARG002 - the statistics must not change
        """Does nothing: the network always stays in evaluation mode."""
        return super().train(False)

    def features(self, pictures: Tensor) -> Tensor:
        """Faces to their embeddings.

        Parameters
        ----------
        pictures
            (N, 3, H, H) in [-1, 1], H at least 256, aligned as in CelebA-HQ; downsampled to 256 px if larger, then cropped to
            the face.

        Returns
        -------
        Tensor
            (N, 512), each of norm 1.

        Raises
        ------
        InputError
            If ``pictures`` has another shape.
        """
        if pictures.ndim != 4 or pictures.shape[1] != 3 or min(pictures.shape[2:]) < SMALLEST_SIDE:
            raise InputError(f"pictures has shape {tuple(pictures.shape)}; needed: (N, 3, H, H), H at least 256")
        if pictures.shape[2:] != (SMALLEST_SIDE, SMALLEST_SIDE):
            pictures = F.adaptive_avg_pool2d(pictures, SMALLEST_SIDE)
        features: Tensor = self.recogniser(F.adaptive_avg_pool2d(face_crop(pictures), FACE_SIZE))
        return features

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """One minus the cosine similarity of the embeddings, averaged over the batch.

        Parameters
        ----------
        a, b
            (N, 3, H, H) in [-1, 1], as for :meth:`features`.

        Returns
        -------
        Tensor
            A scalar, 0 to 2.
        """
        return 1.0 - (self.features(a) * self.features(b)).sum(dim=1).mean()


def load_identity(path: Path | str) -> Identity:
    """The identity loss with a published IR-SE50 (``model_ir_se50.pth``).

    Raises
    ------
    CheckpointError
        If the file is not an IR-SE50, or is damaged.
    """
    return Identity(recogniser_state(path))
