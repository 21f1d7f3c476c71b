"""The terms of pSp's training loss: pictures or latents in, one number out.

Pretrained networks are handed in; :func:`load_lpips` is the one reader of files, and it never downloads.

References: Richardson et al., "Encoding in Style", CVPR 2021, section 3 (loss functions); Zhang et al., "The
Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018, section 3 (LPIPS, v0.1).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesynth.errors import CheckpointError, InputError
from facesynth.model.foreign import read_state

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

_ALEXNET_CHANNELS = (64, 192, 384, 256, 256)
_HEAD_KEYS = tuple(f"lin{i}.model.1.weight" for i in range(5))
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_SMALLEST_SIDE = 32
_ALEXNET_FILE = "alexnet-owt-7be5be79.pth"


def l2(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference.

    Parameters
    ----------
    a, b
        Pictures of one shape, any range.

    Returns
    -------
    Tensor
        A scalar.
    """
    _check_same_shape(a, b)
    return (a - b).square().mean()


def w_norm(latents: Tensor, latent_avg: Tensor | None = None) -> Tensor:
    """How far W+ latents are from the average latent: the L2 norm over layers and dimensions, averaged over the batch.

    Parameters
    ----------
    latents
        (N, n_styles, style_dim).
    latent_avg
        (n_styles, style_dim); zero if not given.

    Returns
    -------
    Tensor
        A scalar.
    """
    if latents.ndim != 3:
        raise InputError(f"latents has shape {tuple(latents.shape)}; needed: (N, n_styles, style_dim)")
    offsets = latents if latent_avg is None else latents - latent_avg
    norms: Tensor = torch.linalg.vector_norm(offsets, dim=(1, 2))
    return norms.mean()


def laplacian(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of two batches' Laplacian pyramids, every level weighing the same.

    It sees edges at every scale where L2 sees mostly areas, and needs no trained network.

    Parameters
    ----------
    a, b
        (N, C, H, W), any range; H and W powers of two, at least 8.

    Returns
    -------
    Tensor
        A scalar.

    References
    ----------
    The Lap1 loss of Bojanowski et al., "Optimizing the Latent Space of Generative Networks", ICML 2018, section 3.2, with
    2 x 2 means in place of its Gaussian kernel.
    """
    _check_same_shape(a, b)
    difference = a - b  # the pyramid is linear: one of the difference is the difference of two
    total, levels = difference.new_zeros(()), 0
    while difference.shape[-1] > 4:
        coarse = F.avg_pool2d(difference, 2)
        total = total + (difference - F.interpolate(coarse, scale_factor=2.0, mode="nearest")).abs().mean()
        difference, levels = coarse, levels + 1
    return (total + difference.abs().mean()) / (levels + 1)


def _check_same_shape(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise InputError(f"a has shape {tuple(a.shape)} and b {tuple(b.shape)}; needed: one shape")


class LPIPS(nn.Module):
    """Perceptual distance: weighted squared differences of AlexNet's normalised features.

    The network is frozen; gradients reach the pictures only.

    Parameters
    ----------
    backbone
        State dict of torchvision's AlexNet, whole or its ``features.*`` alone.
    heads
        ``lin0.model.1.weight`` to ``lin4.model.1.weight``, each (1, C, 1, 1): the weight of every channel.

    Raises
    ------
    CheckpointError
        If a key is missing or not expected, or a tensor has the wrong shape.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: Mapping[str, Tensor], heads: Mapping[str, Tensor]) -> None:
        super().__init__()
        from torchvision.models import alexnet  # here, because it is slow to import and only this class needs it

        with torch.device("meta"):
            features: nn.Sequential = alexnet(weights=None).features
        weights = {key: value for key, value in backbone.items() if not key.startswith("classifier.")}
        needed = {f"features.{key}": tuple(value.shape) for key, value in features.state_dict().items()}
        _check_tensors("AlexNet backbone", weights, needed)
        _check_tensors(
            "LPIPS heads", heads, {key: (1, n, 1, 1) for key, n in zip(_HEAD_KEYS, _ALEXNET_CHANNELS, strict=True)}
        )
        features.to_empty(device="cpu")
        features.load_state_dict({key.removeprefix("features."): value for key, value in weights.items()})
        self.features = features
        self.heads = nn.ParameterList(heads[key].detach().float().clone() for key in _HEAD_KEYS)
        self.register_buffer("shift", torch.tensor(_SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(_SCALE)[:, None, None])
        self.requires_grad_(False)

    def _normalised_features(self, pictures: Tensor) -> list[Tensor]:
        """The output of each of the five ReLUs, every pixel's channels scaled to unit length."""
        maps: list[Tensor] = []
        features = (pictures - self.shift) / self.scale
        for layer in self.features:
            features = layer(features)
            if isinstance(layer, nn.ReLU):
                values = features.float()
                maps.append(values / (torch.linalg.vector_norm(values, dim=1, keepdim=True) + 1e-10))
            if len(maps) == len(_HEAD_KEYS):
                break
        return maps

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The distance between pictures, averaged over the batch.

        Parameters
        ----------
        a, b
            (N, 3, H, W) in [-1, 1], at least 32 px a side.

        Returns
        -------
        Tensor
            A scalar, at least 0 with the published heads.
        """
        _check_same_shape(a, b)
        if a.ndim != 4 or a.shape[1] != 3 or min(a.shape[2:]) < _SMALLEST_SIDE:
            raise InputError(f"a has shape {tuple(a.shape)}; needed: (N, 3, H, W) with sides of at least 32 px")
        total = a.new_zeros(())
        for head, map_a, map_b in zip(
            self.heads, self._normalised_features(a), self._normalised_features(b), strict=True
        ):
            total = total + F.conv2d((map_a - map_b).square(), head).mean()
        return total


def load_lpips(
    backbone_path: str | PathLike[str] | None = None, heads_path: str | PathLike[str] | None = None
) -> LPIPS:
    """LPIPS from files that are already here; nothing is downloaded.

    Parameters
    ----------
    backbone_path
        torchvision's AlexNet weights, .pth or .safetensors. Not given: the file in torchvision's own download cache.
    heads_path
        The published heads (``alex.pth`` of LPIPS v0.1), .pth or .safetensors. Not given: those inside the installed
        ``lpips`` package.

    Returns
    -------
    LPIPS
        On the CPU, frozen.

    Raises
    ------
    CheckpointError
        If a file is missing, unreadable or holds something else; the text says what was looked for.
    """
    backbone = _default_backbone() if backbone_path is None else Path(backbone_path)
    if not backbone.is_file():
        raise CheckpointError(
            f"LPIPS needs AlexNet's weights, but there is no file {backbone}; on a connected machine, fetch "
            f"https://download.pytorch.org/models/{_ALEXNET_FILE}, then put it there or give its path"
        )
    heads = _default_heads() if heads_path is None else Path(heads_path)
    if heads is None or not heads.is_file():
        looked = "no lpips package is installed" if heads is None else f"there is no file {heads}"
        raise CheckpointError(
            f"LPIPS needs its heads, but {looked}; pip install --no-deps lpips, "
            "or give the path of its file weights/v0.1/alex.pth"
        )
    return LPIPS(read_state(backbone), read_state(heads))


def _default_backbone() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / _ALEXNET_FILE


def _default_heads() -> Path | None:
    spec = importlib.util.find_spec("lpips")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "weights" / "v0.1" / "alex.pth"


def _check_tensors(what: str, tensors: Mapping[str, Tensor], needed: Mapping[str, tuple[int, ...]]) -> None:
    missing = [key for key in needed if key not in tensors]
    unexpected = [key for key in tensors if key not in needed]
    if missing:
        raise CheckpointError(f"{what}: {', '.join(missing)} missing")
    if unexpected:
        raise CheckpointError(f"{what}: {', '.join(unexpected)} not expected; needed: {', '.join(needed)}")
    for key, shape in needed.items():
        if tuple(tensors[key].shape) != shape:
            raise CheckpointError(f"{what}: {key} has shape {tuple(tensors[key].shape)}; needed: {shape}")
