"""Files that would run something if they were unpickled, and networks pickled as StyleGAN2-ADA pickles them."""

from __future__ import annotations

import math
import pickle
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import recipe


class Calls:
    """Something that calls a function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.what = function, arguments

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.what


class Module:
    """A persistent object of a network pickle."""

    def __init__(self, class_name: str, state: dict[str, Any], source: str = "") -> None:
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": source,
            "class_name": class_name,
            "state": state,
        }

    def __reduce__(self) -> Any:
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


@contextmanager
def written_elsewhere() -> Iterator[type]:
    """The modules that a network pickle names, importable while it is written and at no other time; gives EasyDict."""

    def _reconstruct_persistent_obj(meta: Any) -> None:
        raise AssertionError("never called")

    class EasyDict(dict):
        pass

    _reconstruct_persistent_obj.__module__, EasyDict.__module__ = "torch_utils.persistence", "dnnlib.util"
    _reconstruct_persistent_obj.__qualname__, EasyDict.__qualname__ = "_reconstruct_persistent_obj", "EasyDict"
    persistence, util = ModuleType("torch_utils.persistence"), ModuleType("dnnlib.util")
    persistence._reconstruct_persistent_obj, util.EasyDict = _reconstruct_persistent_obj, EasyDict
    modules = {"torch_utils": ModuleType("torch_utils"), "torch_utils.persistence": persistence}
    modules |= {"dnnlib": ModuleType("dnnlib"), "dnnlib.util": util}
    assert not modules.keys() & sys.modules.keys()
    sys.modules.update(modules)
    try:
        yield EasyDict
    finally:
        for name in modules:
            del sys.modules[name]


def ada_tensor(key: str, *shape: int) -> Tensor:
    """A tensor of the network under which StyleGAN2-ADA's own code was run."""
    leaf = key.rpartition(".")[2]
    if leaf == "resample_filter":
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
        return torch.outer(taps, taps) / 64
    values = recipe.normal(f"ada.{key}", *shape)
    if leaf == "bias":
        return 0.05 * values + float("affine" in key)
    if leaf == "weight" and key.startswith("mapping."):
        return values / 0.01
    return values * {"w_avg": 0.2, "noise_strength": 0.1}.get(leaf, 1.0)


def ada_tensors(size: int, style_dim: int, depth: int, base: int, most: int) -> dict[str, Tensor]:
    """Every tensor of a StyleGAN2-ADA generator by its name."""
    shapes: dict[str, tuple[int, ...]] = {"mapping.w_avg": (style_dim,)}
    for i in range(depth):
        shapes |= {f"mapping.fc{i}.weight": (style_dim, style_dim), f"mapping.fc{i}.bias": (style_dim,)}
    width, resolution = min(most, base // 4), 4
    while resolution <= size:
        block, out = f"synthesis.b{resolution}", min(most, base // resolution)
        shapes[f"{block}.resample_filter"] = (4, 4)
        if resolution == 4:
            shapes[f"{block}.const"] = (out, 4, 4)
        for name in ("conv1",) if resolution == 4 else ("conv0", "conv1"):
            shapes |= {
                f"{block}.{name}.weight": (out, width, 3, 3),
                f"{block}.{name}.noise_strength": (),
                f"{block}.{name}.bias": (out,),
                f"{block}.{name}.resample_filter": (4, 4),
                f"{block}.{name}.noise_const": (resolution, resolution),
                f"{block}.{name}.affine.weight": (width, style_dim),
                f"{block}.{name}.affine.bias": (width,),
            }
            width = out
        shapes |= {
            f"{block}.torgb.weight": (3, out, 1, 1),
            f"{block}.torgb.bias": (3,),
            f"{block}.torgb.affine.weight": (out, style_dim),
            f"{block}.torgb.affine.bias": (out,),
        }
        resolution *= 2
    return {key: ada_tensor(key, *shape) for key, shape in shapes.items()}


def ada_discriminator_tensors(size: int, base: int, most: int) -> dict[str, Tensor]:
    """Every tensor of a StyleGAN2-ADA discriminator by its name."""

    def width(resolution: int) -> int:
        return min(most, base // resolution)

    def conv(name: str, wide: int, narrow: int, side: int) -> dict[str, tuple[int, ...]]:
        bias = {} if name.endswith("skip") else {f"{name}.bias": (narrow,)}
        return {f"{name}.weight": (narrow, wide, side, side), **bias, f"{name}.resample_filter": (4, 4)}

    shapes = conv(f"b{size}.fromrgb", 3, width(size), 1)
    resolution = size
    while resolution > 4:
        block, wide, narrow = f"b{resolution}", width(resolution), width(resolution // 2)
        shapes[f"{block}.resample_filter"] = (4, 4)
        shapes |= conv(f"{block}.conv0", wide, wide, 3) | conv(f"{block}.conv1", wide, narrow, 3)
        shapes |= conv(f"{block}.skip", wide, narrow, 1)
        resolution //= 2
    last = width(4)
    shapes |= conv("b4.conv", last + 1, last, 3)
    shapes |= {
        "b4.fc.weight": (last, last * 16),
        "b4.fc.bias": (last,),
        "b4.out.weight": (1, last),
        "b4.out.bias": (1,),
    }
    return {key: ada_tensor(key, *shape) for key, shape in shapes.items()}


BUFFERS = ("resample_filter", "noise_const", "w_avg")


def _module(
    tensors: Mapping[str, Tensor], name: str, attributes: Mapping[str, Mapping[str, Any]], source: str
) -> Module:
    below = {key: value for key, value in tensors.items() if not name or key.startswith(f"{name}.")}
    leaves = {key.removeprefix(f"{name}.").lstrip("."): value for key, value in below.items()}
    own = {leaf: value for leaf, value in leaves.items() if "." not in leaf}
    named = [leaf.partition(".")[0] for leaf in leaves if "." in leaf]
    named += [other.rpartition(".")[2] for other in attributes if other and other.rpartition(".")[0] == name]
    parts = dict.fromkeys(named)  # those without tensors are there for their attributes
    state: dict[str, Any] = {
        "training": False,
        "_parameters": {key: torch.nn.Parameter(value) for key, value in own.items() if key not in BUFFERS},
        "_buffers": {key: value for key, value in own.items() if key in BUFFERS},
        "_non_persistent_buffers_set": set(),
        "_backward_hooks": OrderedDict(),
        "_forward_hooks": OrderedDict(),
        "_is_full_backward_hook": None,
        "_modules": {part: _module(tensors, f"{name}.{part}".lstrip("."), attributes, source) for part in parts},
        "_init_args": (),
        **attributes.get(name, {}),
    }
    if "weight" in own:
        multiplier = 0.01 if name.startswith("mapping.") else 1.0
        state |= {"weight_gain": multiplier / np.sqrt(math.prod(own["weight"].shape[1:])), "bias_gain": multiplier}
    state |= {"architecture": "skip"} if name.startswith("synthesis.b") and name.count(".") == 1 else {}
    classes = {"": "Generator", "synthesis": "SynthesisNetwork", "mapping": "MappingNetwork"}
    return Module(classes.get(name, "Layer"), {**state, **attributes.get(name, {})}, source)


def ada_pickle(
    tensors: Mapping[str, Tensor],
    *,
    attributes: Mapping[str, Mapping[str, Any]] | None = None,
    class_name: str = "Generator",
    discriminator: Mapping[str, Tensor] | None = None,
    source: str = "",
    protocol: int = 4,
) -> bytes:
    """The file of a network with these tensors.

    Parameters
    ----------
    tensors
        By name.
    attributes
        Attributes of modules that differ from a usual network's, by the module's name: the discriminator's, if there is one.
    class_name
        Of the whole.
    discriminator
        The tensors of ``D``, if there is one.
    source
        The source text that comes with every object.
    protocol
        Of pickle.
    """
    with written_elsewhere() as easy_dict:
        network = _module(tensors, "", {} if discriminator else attributes or {}, source)
        network.meta["class_name"] = class_name
        network.meta["state"]["_init_kwargs"] = easy_dict(mapping_kwargs=easy_dict(num_layers=math.inf))
        described = easy_dict(class_name="training.dataset.ImageFolderDataset")
        judge = None
        if discriminator is not None:
            usual = {"b4.mbstd": {"group_size": 4, "num_channels": 1}}
            judge = _module(discriminator, "", usual | dict(attributes or {}), source)
            judge.meta["class_name"] = "Discriminator"
        content = {"G": None, "D": judge, "G_ema": network, "training_set_kwargs": described, "augment_pipe": None}
        return pickle.dumps(content, protocol=protocol)
