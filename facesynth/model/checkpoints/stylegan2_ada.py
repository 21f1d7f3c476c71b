"""Networks in StyleGAN2-ADA's network pickles: the record of ``G_ema`` or ``D`` in, sizes and facesynth's state dict out.

The input is a :class:`~facesynth.model.checkpoints.torch_save.Record`, which stands for a pickled module; StyleGAN3's code
writes StyleGAN2 networks in the same layout. The layers correspond to facesynth's under other names: ``conv0`` is
``enlarge``, ``conv1`` is ``refine``, ``affine`` is ``modulation``, ``fc<i>`` is a layer of the mapping network; in a
discriminator ``conv0`` is ``refine`` and ``conv1`` is ``reduce``. The weights' values do not change; their gains are compared,
because facesynth's are fixed.

Reference: Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020; the networks are those
of "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, a generator with the skip architecture and a residual
discriminator.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from facesynth.errors import CheckpointError
from facesynth.model.checkpoints.key_mapping import PublishedKey, import_state, resampling_filter
from facesynth.model.checkpoints.pixel2style2pixel import config_of_widths, generator_shapes
from facesynth.model.checkpoints.rosinality import discriminator_config, discriminator_shapes
from facesynth.model.checkpoints.torch_save import Record
from facesynth.model.checkpoints.unpickler import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from facesynth.model.config.model import DiscriminatorConfig, GeneratorConfig

_MOST_MODULES = 1000
_LONGEST_NAME = 64
_W_AVG = "mapping.w_avg"
_MAPPING_LR_MULTIPLIER = 0.01
_NEEDED = {
    "Generator": "an unconditional StyleGAN2 generator of RGB pictures",
    "Discriminator": "an unconditional StyleGAN2 discriminator of RGB pictures",
}


def generator_from_ada(record: Record) -> tuple[GeneratorConfig, dict[str, Tensor], Tensor | None]:
    """The generator of a network pickle.

    Parameters
    ----------
    record : Record
        The pickle's ``G_ema``, or its ``G``.

    Returns
    -------
    config : GeneratorConfig
        Its sizes, inferred from the shapes of its tensors.
    state : dict of str to tensor
        State dict of :class:`facesynth.model.networks.generator.Generator`, of its shapes; dtypes as stored.
    w_avg : (style_dim,) tensor or None
        The average w, if the network stores it.

    Raises
    ------
    CheckpointError
        If the network is of another kind (StyleGAN3, conditional, with residual connections), a key is missing or
        unexpected, or a shape, filter or gain differs.
    """
    modules = dict(_modules(record))
    if "synthesis.input" in modules:
        raise CheckpointError(f"the network is one of StyleGAN3; needed: {_NEEDED['Generator']}")
    _check_kind(modules, "Generator", required=("mapping", "synthesis"), architecture="skip")
    tensors = _tensors(modules)
    config = _config(tensors)
    sizes = f"a StyleGAN2-ADA generator of {config.output_size} px, style_dim {config.style_dim}"
    w_avg = tensors.pop(_W_AVG, None)
    if w_avg is not None and tuple(w_avg.shape) != (config.style_dim,):
        raise CheckpointError(f"{_W_AVG} has shape {tuple(w_avg.shape)}; needed: {(config.style_dim,)} for {sizes}")
    state = import_state(
        tensors, dict(_keys(config)), generator_shapes(config), _filters(config), what="the network", sizes=sizes
    )
    _check_gains(modules)
    return config, state, w_avg


def discriminator_from_ada(record: Record) -> tuple[DiscriminatorConfig, dict[str, Tensor]]:
    """The discriminator of a network pickle.

    Parameters
    ----------
    record : Record
        The pickle's ``D``.

    Returns
    -------
    config : DiscriminatorConfig
        Its sizes, inferred from the shapes of its tensors, and its group size.
    state : dict of str to tensor
        State dict of :class:`facesynth.model.networks.discriminator.Discriminator`, of its shapes; dtypes as stored.

    Raises
    ------
    CheckpointError
        If the network is of another kind (conditional, without residual connections), a key is missing or unexpected, or a
        shape, filter or gain differs.
    """
    modules = dict(_modules(record))
    _check_kind(modules, "Discriminator", required=("b4", "b4.mbstd"), architecture="resnet")
    tensors = _tensors(modules)
    widths = {}
    for key, value in tensors.items():
        match = re.fullmatch(r"b(\d{1,4})\.(?:conv0|conv)\.weight", key)
        if match and value.ndim == 4:
            widths[int(match[1])] = value.shape[0]
    if not widths:
        raise CheckpointError(f"the network has no convolutions; needed: {_NEEDED['Discriminator']}")
    group_size = modules["b4.mbstd"].state.get("group_size")
    if not isinstance(group_size, int):
        raise CheckpointError(f"b4.mbstd has the group_size {shown(group_size)}; needed: a number")
    config = discriminator_config(widths, group_size=group_size)
    sizes = f"a StyleGAN2-ADA discriminator of {config.input_size} px"
    keys, shapes = dict(_discriminator_keys(config)), discriminator_shapes(config)
    state = import_state(tensors, keys, shapes, _discriminator_filters(config), what="the network", sizes=sizes)
    _check_gains(modules)
    return config, state


def _tensors(modules: Mapping[str, Record]) -> dict[str, Tensor]:
    return {
        f"{name}.{leaf}".lstrip("."): value for name, module in modules.items() for leaf, value in _own_tensors(module)
    }


def _modules(record: Record) -> Iterator[tuple[str, Record]]:
    """A module and all its submodules, by dotted name; a shared submodule comes under each of its names."""
    counted = 0
    pending = [("", record)]
    while pending:
        name, record = pending.pop()
        counted += 1
        if counted > _MOST_MODULES:
            raise CheckpointError(f"the network has more than {_MOST_MODULES} modules; needed: a StyleGAN2 network")
        yield name, record
        children = record.state.get("_modules", {})
        for key, child in children.items() if isinstance(children, dict) else ():
            if not isinstance(child, Record) or len(str(key)) > _LONGEST_NAME:
                raise CheckpointError(f"the part {shown(key)} of the network is no module; needed: a StyleGAN2 network")
            pending.append((f"{name}.{key}".lstrip("."), child))


def _own_tensors(module: Record) -> Iterator[tuple[str, Tensor]]:
    for kind in ("_parameters", "_buffers"):
        own = module.state.get(kind, {})
        for leaf, value in own.items() if isinstance(own, dict) else ():
            if isinstance(value, Tensor) and isinstance(leaf, str):
                yield leaf, value


def _check_kind(modules: Mapping[str, Record], kind: str, *, required: tuple[str, ...], architecture: str) -> None:
    def attribute(name: str, key: str, default: Any) -> Any:
        return modules[name].state.get(key, default) if name in modules else default

    needed = f"needed: {_NEEDED[kind]}"
    if modules[""].class_name != kind or set(required) - modules.keys():
        raise CheckpointError(f"the network is a {shown(modules[''].class_name)}; {needed}")
    if attribute("mapping", "c_dim", 0) or attribute("", "c_dim", 0):
        raise CheckpointError(f"the network is conditional: it takes a class as well; {needed}")
    if attribute("", "img_channels", 3) != 3:
        raise CheckpointError(f"its pictures have {shown(attribute('', 'img_channels', 3))} channels; {needed}")
    for name in modules:
        came = attribute(name, "architecture", architecture)
        if came != architecture:
            raise CheckpointError(f"{shown(name)} has the architecture {shown(came)}; needed: {architecture}")


def _check_gains(modules: Mapping[str, Record]) -> None:
    """Check that weights are scaled as in facesynth: by the learning rate multiplier over the square root of the fan-in."""
    for name, module in modules.items():
        weight = dict(_own_tensors(module)).get("weight")
        if weight is None:
            continue
        multiplier = _MAPPING_LR_MULTIPLIER if name.startswith("mapping.") else 1.0
        gains = {"weight_gain": multiplier / math.sqrt(math.prod(weight.shape[1:])), "bias_gain": multiplier}
        for key, needed in gains.items():
            gain = module.state.get(key, needed)
            if not isinstance(gain, float | int) or not math.isclose(gain, needed, rel_tol=1e-5):
                raise CheckpointError(f"{name} has the {key} {shown(gain)}; needed: {needed:.6g}")


def _config(tensors: dict[str, Tensor]) -> GeneratorConfig:
    """The sizes, inferred from the shapes of some tensors; the full check comes later."""
    widths = {}
    for key, value in tensors.items():
        match = re.fullmatch(r"synthesis\.b(\d{1,4})\.conv1\.weight", key)
        if match and value.ndim == 4:
            widths[int(match[1])] = value.shape[0]
    depth = sum(1 for key in tensors if re.fullmatch(r"mapping\.fc\d+\.weight", key))
    affine = tensors.get("synthesis.b4.conv1.affine.weight", torch.empty(0))
    if not widths or affine.ndim != 2:
        raise CheckpointError("the network has no synthesis.b4.conv1; needed: a StyleGAN2 generator")
    return config_of_widths(widths, style_dim=affine.shape[1], mapping_depth=depth)


def _keys(config: GeneratorConfig) -> Iterator[tuple[str, PublishedKey]]:
    """The key of each tensor in facesynth and in the published layout."""
    for i in range(config.mapping_depth):
        for leaf in ("weight", "bias"):
            yield f"mapping.layers.{i}.{leaf}", PublishedKey(f"mapping.fc{i}.{leaf}")
    yield "constant", PublishedKey("synthesis.b4.const")
    yield from _layer_keys("first", "synthesis.b4.conv1")
    yield from _conv_keys("first_to_rgb", "synthesis.b4.torgb")
    for block in range(config.output_size.bit_length() - 3):
        published = f"synthesis.b{8 << block}"
        yield from _layer_keys(f"blocks.{block}.enlarge", f"{published}.conv0")
        yield from _layer_keys(f"blocks.{block}.refine", f"{published}.conv1")
        yield from _conv_keys(f"blocks.{block}.to_rgb", f"{published}.torgb")


def _filters(config: GeneratorConfig) -> dict[str, Tensor]:
    """The resampling filter, which sums to 1 in this layout, under each published key that stores it."""
    keys = [f"synthesis.b{4 << k}{leaf}" for k in range(config.output_size.bit_length() - 2) for leaf in ("", ".conv1")]
    keys += [f"synthesis.b{8 << block}.conv0" for block in range(config.output_size.bit_length() - 3)]
    return {f"{key}.resample_filter": resampling_filter(1.0) for key in keys}


def _layer_keys(module: str, published: str) -> Iterator[tuple[str, PublishedKey]]:
    yield from _conv_keys(module, published)
    yield f"{module}.noise", PublishedKey(f"{published}.noise_const")
    yield f"{module}.noise_strength", PublishedKey(f"{published}.noise_strength")


def _conv_keys(module: str, published: str) -> Iterator[tuple[str, PublishedKey]]:
    yield f"{module}.conv.weight", PublishedKey(f"{published}.weight")
    yield f"{module}.bias", PublishedKey(f"{published}.bias", trailing_axes=2 if module.endswith("to_rgb") else 0)
    for leaf in ("weight", "bias"):
        yield f"{module}.conv.modulation.{leaf}", PublishedKey(f"{published}.affine.{leaf}")


def _discriminator_keys(config: DiscriminatorConfig) -> Iterator[tuple[str, PublishedKey]]:
    """The key of each tensor in facesynth and in the published layout."""
    modules = {"from_rgb": f"b{config.input_size}.fromrgb"}
    for block, resolution in enumerate(_block_sizes(config)):
        for module, published in (("refine", "conv0"), ("reduce", "conv1"), ("shortcut", "skip")):
            modules[f"blocks.{block}.{module}"] = f"b{resolution}.{published}"
    modules |= {"last_conv": "b4.conv", "hidden": "b4.fc", "score": "b4.out"}
    for module, published in modules.items():
        for leaf in ("weight",) if module.endswith("shortcut") else ("weight", "bias"):
            yield f"{module}.{leaf}", PublishedKey(f"{published}.{leaf}")


def _discriminator_filters(config: DiscriminatorConfig) -> dict[str, Tensor]:
    """The resampling filter, which sums to 1 in this layout, under each published key that stores it."""
    keys = [f"b{config.input_size}.fromrgb", "b4.conv"]
    keys += [f"b{size}{leaf}" for size in _block_sizes(config) for leaf in ("", ".conv0", ".conv1", ".skip")]
    return {f"{key}.resample_filter": resampling_filter(1.0) for key in keys}


def _block_sizes(config: DiscriminatorConfig) -> list[int]:
    """The sizes, in pixels, of the feature maps that the blocks take, in order."""
    return [config.input_size >> block for block in range(config.input_size.bit_length() - 3)]
