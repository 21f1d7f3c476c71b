"""The MoCo similarity loss: two batches of pictures in, one minus the cosine similarity of their features out.

The features are those of a network trained without labels. pSp uses this loss instead of the identity loss for subjects other
than faces. The network is passed as a state dict; :func:`facesynth.model.losses.moco.load_moco` reads it from the published
file.

References: Chen et al., "Improved Baselines with Momentum Contrastive Learning", 2020 (MoCo v2's ResNet-50); Tov et al.,
"Designing an Encoder for StyleGAN Image Manipulation", SIGGRAPH 2021 (the loss).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesynth.errors import CheckpointError, InputError
from facesynth.model.checkpoints import state_dict
from facesynth.model.checkpoints.key_mapping import listed
from facesynth.model.checkpoints.load import moco_state
from facesynth.model.checkpoints.recognise import contents_of, naming, recognise
from facesynth.model.losses.pixel import check_same_shape

_SIZE = 224


class MoCo(nn.Module):
    """One minus the cosine similarity of the pictures' features before the embedding, averaged over the batch.

    The network is frozen and always in evaluation mode; gradients reach the first batch of pictures only.

    Parameters
    ----------
    state
        State dict of torchvision's ResNet-50 without ``fc``.

    Raises
    ------
    CheckpointError
        If a key is missing or unexpected, or a tensor has the wrong shape.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        from torchvision.models import resnet50  # here, because it is slow to import and only this class needs it

        with torch.device("meta"):
            network = resnet50(weights=None)
        network.fc = nn.Identity()
        _check(state, network.state_dict())
        network.to_empty(device="cpu").load_state_dict(dict(state))
        self.network = network
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> MoCo:  # noqa: ARG002 - the statistics must not change
        """Does nothing: the network always stays in evaluation mode."""
        return super().train(False)

    def features(self, pictures: Tensor) -> Tensor:
        """Pictures to their features.

        Parameters
        ----------
        pictures
            (N, 3, H, W) in [-1, 1]; resized to 224 px by nearest-neighbour interpolation, as in the published code.

        Returns
        -------
        Tensor
            (N, 2048), each of norm 1.

        Raises
        ------
        InputError
            If ``pictures`` has another shape.
        """
        if pictures.ndim != 4 or pictures.shape[1] != 3:
            raise InputError(f"pictures has shape {tuple(pictures.shape)}; needed: (N, 3, H, W)")
        return F.normalize(self.network(F.interpolate(pictures, size=(_SIZE, _SIZE))), dim=1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The loss of two batches of pictures.

        Parameters
        ----------
        a, b
            (N, 3, H, W) in [-1, 1]. Gradients reach ``a`` only.

        Returns
        -------
        Tensor
            A scalar, 0 to 2.

        Raises
        ------
        InputError
            If the shapes differ from each other or from the above.
        """
        check_same_shape(a, b)
        with torch.no_grad():
            target = self.features(b)
        return 1.0 - (self.features(a) * target).sum(dim=1).mean()


def _check(state: Mapping[str, Tensor], needed: Mapping[str, Tensor]) -> None:
    missing = [key for key in needed if key not in state]
    unexpected = [key for key in state if key not in needed]
    if missing:
        raise CheckpointError(f"the network lacks {listed(missing)}; needed for MoCo v2's ResNet-50")
    if unexpected:
        raise CheckpointError(f"the network has unexpected {listed(unexpected)}; needed: MoCo v2's ResNet-50")
    for key, value in needed.items():
        if state[key].shape != value.shape:
            raise CheckpointError(f"{key} has shape {tuple(state[key].shape)}; needed: {tuple(value.shape)}")


def load_moco(path: Path | str) -> MoCo:
    """The similarity loss with the published MoCo v2 (``moco_v2_800ep_pretrain.pth.tar``).

    Raises
    ------
    CheckpointError
        If the file is not this network, or is damaged.
    """
    found = recognise(Path(path))
    if found.format != "moco":
        raise CheckpointError(
            f"{found.path} holds {contents_of(found)}; needed: MoCo v2's ResNet-50 (moco_v2_800ep_pretrain.pth.tar)"
        )
    with naming(found.path):
        state = moco_state(found)
        network = MoCo(state)
    state_dict.check_finite(state, found.path)
    return network
