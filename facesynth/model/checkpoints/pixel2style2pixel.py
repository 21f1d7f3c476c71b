"""State dicts of pSp models between pixel2style2pixel's layout and facesynth's: keys and shapes change, values do not.

A published file holds ``{"state_dict": ..., "opts": ..., "latent_avg": ...}``. This module maps its ``state_dict``, which
holds an encoder (``encoder.*``) and the generator (``decoder.*``); ``latent_avg`` is stored beside it, so neither side of the
mapping has it. The published layout also stores the resampling filter in every upsampling layer. facesynth stores no such
constant: the filter is compared on import and written on export.

==================  =======================================  =====================================================
kind                the published class                      its keys besides those of the trunk
==================  =======================================  =====================================================
gradual             GradualStyleEncoder, Encoder4Editing     ``styles.<layer>``, ``latlayer1``, ``latlayer2``
last-layer-heads    BackboneEncoder,                         ``styles.<layer>``
                    ProgressiveBackboneEncoder
last-layer-w        BackboneEncoderUsingLastLayerIntoW       ``linear``
last-layer-w-plus   BackboneEncoderUsingLastLayerIntoWPlus   ``output_layer_2.0`` (norm) and ``.3``, ``linear``
==================  =======================================  =====================================================

e4e (encoder4editing) and ReStyle use this layout too. Their encoders have the keys of others, so only the class that ``opts``
names tells that codes are offsets from layer 0's (Encoder4Editing, ProgressiveBackboneEncoder) or that there are several passes
(ReStyle's): :data:`ENCODER_CLASSES`. ReStyle's classes with a ResNet-34 are named after those with an IR-SE50.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from facesynth.errors import CheckpointError, InputError
from facesynth.model.checkpoints.key_mapping import PublishedKey, export_state, import_state, resampling_filter
from facesynth.model.config.model import (
    FACE_CHANNELS,
    Condition,
    EncoderKind,
    EncoderTrunk,
    GeneratorConfig,
    ModelConfig,
)
from facesynth.model.networks.generator import Generator
from facesynth.model.networks.psp import PSP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LAST_LAYER_INPUT_SIZE = 256
"""Input size of a published last-layer encoder, pixels: no tensor depends on it, and the published code has no other."""
PASSES = 5
"""Passes of a ReStyle model whose options do not say how many; the published code's default."""
_LONGEST_SERIES = 200
_UNIT_MODULES = {
    "norm_in": "res_layer.0",
    "conv_in": "res_layer.1",
    "activation": "res_layer.2",
    "conv_out": "res_layer.3",
    "norm_out": "res_layer.4",
    "attention.squeeze": "res_layer.5.fc1",
    "attention.excite": "res_layer.5.fc2",
    "shortcut.0": "shortcut_layer.0",
    "shortcut.1": "shortcut_layer.1",
}
_RESNET_UNIT_MODULES = {
    "conv_in": "conv1",
    "norm_in": "bn1",
    "conv_out": "conv2",
    "norm_out": "bn2",
    "shortcut.0": "downsample.0",
    "shortcut.1": "downsample.1",
}
_STEM = ("input_layer.0", "input_layer.1", "input_layer.2")
_RESNET_STEM = ("conv1", "bn1", "relu")


class EncoderClass(NamedTuple):
    """What a published class of encoders is in a :class:`~facesynth.model.config.model.ModelConfig`."""

    kind: EncoderKind
    trunk: EncoderTrunk = "ir-se"
    layer_offsets: bool = False
    refines: bool = False
    """Whether the class is ReStyle's, with several passes; GradualStyleEncoder is both pSp's and ReStyle's."""


ENCODER_CLASSES: Mapping[str, EncoderClass] = MappingProxyType(
    {
        "GradualStyleEncoder": EncoderClass("gradual"),
        "BackboneEncoderUsingLastLayerIntoW": EncoderClass("last-layer-w"),
        "BackboneEncoderUsingLastLayerIntoWPlus": EncoderClass("last-layer-w-plus"),
        "Encoder4Editing": EncoderClass("gradual", layer_offsets=True),
        "BackboneEncoder": EncoderClass("last-layer-heads", refines=True),
        "ProgressiveBackboneEncoder": EncoderClass("last-layer-heads", layer_offsets=True, refines=True),
        "ResNetGradualStyleEncoder": EncoderClass("gradual", "resnet", refines=True),
        "ResNetBackboneEncoder": EncoderClass("last-layer-heads", "resnet", refines=True),
        "ResNetProgressiveBackboneEncoder": EncoderClass(
            "last-layer-heads", "resnet", layer_offsets=True, refines=True
        ),
    }
)
"""The encoders of pixel2style2pixel, e4e and ReStyle, by the name in ``opts``."""


def class_name(config: ModelConfig) -> str:
    """The published class of a model's encoder, a key of :data:`ENCODER_CLASSES`.

    Raises
    ------
    CheckpointError
        If no published class is such an encoder.
    """
    needed = EncoderClass(config.encoder_kind, config.encoder_trunk, config.layer_offsets, config.refinements > 0)
    for name, encoder in ENCODER_CLASSES.items():
        if encoder == needed or (name == "GradualStyleEncoder" and encoder == needed._replace(refines=False)):
            return name
    raise CheckpointError(
        f"no published encoder has encoder_kind {config.encoder_kind}, encoder_trunk {config.encoder_trunk}, layer_offsets "
        f"{config.layer_offsets} and refinements {config.refinements}"
    )


def passes_of(options: Mapping[str, Any]) -> int:
    """The passes of a published model's encoder from its options: 0 for pSp and e4e, ReStyle's ``n_iters_per_batch`` else.

    Parameters
    ----------
    options : mapping
        ``opts`` of the checkpoint.

    Raises
    ------
    CheckpointError
        If their number is no whole number of at least 1.
    """
    name, count = options.get("encoder_type"), options.get("n_iters_per_batch")
    encoder = ENCODER_CLASSES.get(str(name))
    if encoder is None or not (encoder.refines or (name == "GradualStyleEncoder" and count is not None)):
        return 0
    if count is None:
        return PASSES
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise CheckpointError(f"its opts have n_iters_per_batch {count!r}; needed: a whole number of at least 1")
    return count


def from_published(state_dict: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """A published state dict with facesynth's keys and shapes.

    Parameters
    ----------
    state_dict : mapping of str to tensor
        ``state_dict`` of a published checkpoint; tensors of any dtype.
    config : ModelConfig
        The model's sizes; :func:`config_from_published` infers them from the same state dict.

    Returns
    -------
    dict of str to tensor
        State dict of :class:`facesynth.model.networks.psp.PSP`, of its shapes, without ``latent_avg``; dtypes are unchanged
        and memory is shared with ``state_dict``.

    Raises
    ------
    CheckpointError
        If a key is missing or unexpected, a shape does not fit ``config``, or a stored filter is not [1, 3, 3, 1].
    """
    shapes = _shapes(config)
    return import_state(
        state_dict,
        _keys(config, shapes),
        shapes,
        generator_filters(config, "decoder."),
        what="the published state dict",
        sizes=_sizes(config),
    )


def to_published(state_dict: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """A state dict of facesynth's with the published keys and shapes.

    Parameters
    ----------
    state_dict : mapping of str to tensor
        State dict of :class:`facesynth.model.networks.psp.PSP`, of its shapes and any dtype. ``latent_avg``, which a
        published file stores beside its state dict, is left out.
    config : ModelConfig
        The model's sizes.

    Returns
    -------
    dict of str to tensor
        A published ``state_dict``. The filters are new tensors; all others share their memory with ``state_dict``.

    Raises
    ------
    CheckpointError
        If a key is missing or unexpected, or a shape does not fit ``config``.
    """
    shapes = _shapes(config)
    state = {name: value for name, value in state_dict.items() if name != "latent_avg"}
    return export_state(
        state, _keys(config, shapes), shapes, generator_filters(config, "decoder."), sizes=_sizes(config)
    )


def config_from_published(
    state_dict: Mapping[str, Tensor], *, label_channels: int = 0, layer_offsets: bool = False, refinements: int = 0
) -> ModelConfig:
    """The sizes of a published model, inferred from the shapes of its tensors.

    The condition follows from the number of input channels: 1 is a sketch, 3 a photo, any other number labels; a model with
    ``refinements`` takes photos. The trunk's stages are distinguished by their channels. The input size of an encoder without
    style heads is :data:`LAST_LAYER_INPUT_SIZE`.

    Parameters
    ----------
    state_dict : mapping of str to tensor
        ``state_dict`` of a published checkpoint.
    label_channels : int
        ``label_nc`` in the checkpoint's options: if it is 3, 3 input channels are labels.
    layer_offsets : bool
        Whether the encoder's class has it, by the checkpoint's options (:data:`ENCODER_CLASSES`).
    refinements : int
        The encoder's passes, by the checkpoint's options (:func:`passes_of`).

    Returns
    -------
    ModelConfig
        Sizes for :func:`from_published`, which does the full check.

    Raises
    ------
    CheckpointError
        If a tensor that determines a size is missing, the trunk does not have exactly four widths, or the encoder does not
        have the channels or heads that ``refinements`` and ``layer_offsets`` need.
    """
    extent, count = partial(axis_length, state_dict), partial(_count, state_dict)
    kind = _encoder_kind(state_dict)
    is_resnet = "encoder.conv1.weight" in state_dict
    first = f"encoder.{(_RESNET_STEM if is_resnet else _STEM)[0]}.weight"
    input_channels = extent(first, 1)
    if refinements:
        if input_channels != 2 * FACE_CHANNELS:
            raise CheckpointError(
                f"{first} takes {input_channels} channels; needed: {2 * FACE_CHANNELS}, a photo and a face, for ReStyle"
            )
        input_channels = FACE_CHANNELS
    conditions: dict[int, Condition] = {1: "sketch", 3: "labels" if label_channels == 3 else "photo"}
    unit_key = f"encoder.body.{{}}.{(_RESNET_UNIT_MODULES if is_resnet else _UNIT_MODULES)['conv_out']}.weight"
    stages = Counter(extent(unit_key.format(i), 0) for i in range(count(unit_key)))
    if len(stages) != 4:
        raise CheckpointError(f"the published trunk has units of {list(stages)} channels; needed: four widths")
    if kind in ("gradual", "last-layer-heads"):
        extent("encoder.styles.0.convs.0.weight", 0)
        input_size = 16 << count("encoder.styles.0.convs.{}.weight", step=2)
    else:
        input_size = LAST_LAYER_INPUT_SIZE
    sizes = generator_config(state_dict, "decoder.")
    try:
        return ModelConfig(
            condition=conditions.get(input_channels, "labels"),
            input_channels=input_channels,
            input_size=input_size,
            encoder_kind=kind,
            encoder_trunk="resnet" if is_resnet else "ir-se",
            layer_offsets=layer_offsets,
            refinements=refinements,
            style_resolution=min(64, sizes.output_size),
            **asdict(sizes),
            encoder_units=_four_of(stages.values()),
            encoder_channels=_four_of(stages),
        )
    except InputError as error:
        raise CheckpointError(f"the published state dict is of no usable model: {error}") from error


def _encoder_kind(state_dict: Mapping[str, Tensor]) -> EncoderKind:
    if "encoder.styles.0.convs.0.weight" not in state_dict:
        if "encoder.output_layer_2.3.weight" in state_dict:
            return "last-layer-w-plus"
        if "encoder.linear.weight" in state_dict:
            return "last-layer-w"
    if "encoder.latlayer1.weight" in state_dict:
        return "gradual"
    # The heads of layers 0 and 3 have as many convolutions if both are on the last map.
    depths = [_count(state_dict, f"encoder.styles.{layer}.convs.{{}}.weight", step=2) for layer in (0, 3)]
    return "last-layer-heads" if depths[0] == depths[1] > 0 else "gradual"


def generator_config(state_dict: Mapping[str, Tensor], prefix: str = "") -> GeneratorConfig:
    """The sizes of a published generator, inferred from the shapes of its tensors.

    Parameters
    ----------
    state_dict : mapping of str to tensor
        Holds the keys of the published generator after ``prefix``; other keys are ignored.
    prefix : str
        ``decoder.`` in a published pSp model.

    Raises
    ------
    CheckpointError
        If a tensor that determines a size is missing, or no generator has these sizes.
    """
    extent, count = partial(axis_length, state_dict), partial(_count, state_dict)
    n_blocks = count(prefix + "to_rgbs.{}.conv.weight")
    widths = {4: extent(f"{prefix}input.input", 1)}
    widths |= {8 << i: extent(f"{prefix}convs.{2 * i}.conv.weight", 1) for i in range(n_blocks)}
    return config_of_widths(
        widths,
        style_dim=extent(f"{prefix}conv1.conv.modulation.weight", 1),
        mapping_depth=count(prefix + "style.{}.weight", start=1),
    )


def config_of_widths(widths: Mapping[int, int], *, style_dim: int, mapping_depth: int) -> GeneratorConfig:
    """The sizes of a generator from its channels by resolution.

    Parameters
    ----------
    widths : mapping of int to int
        The channels at each resolution in pixels, from 4 up.
    style_dim, mapping_depth : int

    Raises
    ------
    CheckpointError
        If no generator has these sizes.
    """
    try:
        return GeneratorConfig(
            output_size=max(widths),
            style_dim=style_dim,
            mapping_depth=mapping_depth,
            channel_base=max(resolution * width for resolution, width in widths.items()),
            channel_max=max(widths.values()),
        )
    except InputError as error:
        raise CheckpointError(f"its tensors make no usable generator: {error}") from error


def axis_length(state_dict: Mapping[str, Tensor], key: str, axis: int) -> int:
    """The length of one axis of a tensor in a state dict.

    Parameters
    ----------
    state_dict : mapping of str to tensor
        Tensors of any shape.
    key : str
        The tensor's key.
    axis : int
        At least 0.

    Raises
    ------
    CheckpointError
        If there is no such tensor or axis.
    """
    if key not in state_dict:
        raise CheckpointError(f"the published state dict lacks {key}; needed to tell the sizes")
    shape = tuple(state_dict[key].shape)
    if len(shape) <= axis:
        raise CheckpointError(f"{key} has shape {shape}; needed: more than {axis} axes")
    return shape[axis]


def _count(state_dict: Mapping[str, Tensor], template: str, start: int = 0, step: int = 1) -> int:
    """The number of keys in a numbered series, up to the first gap."""
    indices = range(start, start + _LONGEST_SERIES * step, step)
    return sum(1 for _ in itertools.takewhile(lambda i: template.format(i) in state_dict, indices))


def _four_of(values: Iterable[int]) -> tuple[int, int, int, int]:
    first, second, third, fourth = values
    return first, second, third, fourth


def _shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of all tensors of a PSP with these sizes, without ``latent_avg``; no tensor is allocated."""
    with torch.device("meta"):
        state_dict = PSP(config).state_dict()
    return {key: tuple(tensor.shape) for key, tensor in state_dict.items() if key != "latent_avg"}


def generator_shapes(config: GeneratorConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of all tensors of a generator with these sizes, by key; no tensor is allocated."""
    with torch.device("meta"):
        generator = Generator(
            config.output_size, config.style_dim, config.mapping_depth, config.channel_base, config.channel_max
        )
    return {key: tuple(tensor.shape) for key, tensor in generator.state_dict().items()}


def _keys(config: ModelConfig, names: Mapping[str, object]) -> dict[str, PublishedKey]:
    """The published key of each of facesynth's keys."""
    modules = dict(_encoder_modules(config))
    keys = dict(generator_keys(config, "generator.", "decoder."))
    for name in names:
        if name not in keys:
            module, _, leaf = name.rpartition(".")
            if module not in modules:
                raise CheckpointError(
                    f"the published layout has no key for {name}; needed: a style_dim ({config.style_dim}) equal to "
                    f"the channels of the trunk's last stage ({config.encoder_channels[-1]})"
                )
            keys[name] = PublishedKey(f"{modules[module]}.{leaf}")
    return keys


def trunk_modules(config: ModelConfig, prefix: str, published_prefix: str) -> Iterator[tuple[str, str]]:
    """The name of each module of the trunk that may hold tensors, in facesynth and as published, with these prefixes."""
    is_resnet = config.encoder_trunk == "resnet"
    for i, published_name in enumerate(_RESNET_STEM if is_resnet else _STEM):
        yield f"{prefix}stem.{i}", f"{published_prefix}{published_name}"
    index = 0
    for stage, n_units in enumerate(config.encoder_units):
        for unit in range(n_units):
            for name, published_name in (_RESNET_UNIT_MODULES if is_resnet else _UNIT_MODULES).items():
                yield f"{prefix}stages.{stage}.{unit}.{name}", f"{published_prefix}body.{index}.{published_name}"
            index += 1


def _encoder_modules(config: ModelConfig) -> Iterator[tuple[str, str]]:
    """The name of each module of the encoder that may hold tensors, in facesynth and as published."""
    yield from trunk_modules(config, "encoder.trunk.", "encoder.")
    if config.encoder_kind in ("last-layer-w", "last-layer-w-plus"):
        yield "encoder.head.linear", "encoder.linear"
        yield "encoder.head.norm", "encoder.output_layer_2.0"
        yield "encoder.head.reduce", "encoder.output_layer_2.3"
        return
    yield "encoder.pyramid.lateral.middle", "encoder.latlayer1"
    yield "encoder.pyramid.lateral.fine", "encoder.latlayer2"
    n_halvings = config.input_size.bit_length() - 1
    for layer in range(config.n_styles):
        for conv in range(0, 2 * n_halvings, 2):
            yield f"encoder.heads.{layer}.convs.{conv}", f"encoder.styles.{layer}.convs.{conv}"
        yield f"encoder.heads.{layer}.linear", f"encoder.styles.{layer}.linear"


def generator_keys(
    config: ModelConfig | GeneratorConfig, prefix: str, published_prefix: str
) -> Iterator[tuple[str, PublishedKey]]:
    """The key of each tensor of the generator in facesynth and in the published layout, with these prefixes."""
    for i in range(config.mapping_depth):
        for leaf in ("weight", "bias"):
            yield f"{prefix}mapping.layers.{i}.{leaf}", PublishedKey(f"{published_prefix}style.{i + 1}.{leaf}")
    yield f"{prefix}constant", PublishedKey(f"{published_prefix}input.input", 1)
    yield from _layer_keys(f"{prefix}first", f"{published_prefix}conv1")
    yield f"{prefix}first.noise", PublishedKey(f"{published_prefix}noises.noise_0", 2)
    yield from _to_rgb_keys(f"{prefix}first_to_rgb", f"{published_prefix}to_rgb1")
    for block in range(_n_blocks(config)):
        for offset, name in enumerate(("enlarge", "refine")):
            index = 2 * block + offset
            yield from _layer_keys(f"{prefix}blocks.{block}.{name}", f"{published_prefix}convs.{index}")
            noise = PublishedKey(f"{published_prefix}noises.noise_{index + 1}", 2)
            yield f"{prefix}blocks.{block}.{name}.noise", noise
        yield from _to_rgb_keys(f"{prefix}blocks.{block}.to_rgb", f"{published_prefix}to_rgbs.{block}")


def _layer_keys(module: str, published: str) -> Iterator[tuple[str, PublishedKey]]:
    yield from _conv_keys(module, published)
    yield f"{module}.bias", PublishedKey(f"{published}.activate.bias")
    yield f"{module}.noise_strength", PublishedKey(f"{published}.noise.weight", 1)


def _to_rgb_keys(module: str, published: str) -> Iterator[tuple[str, PublishedKey]]:
    yield from _conv_keys(module, published)
    yield f"{module}.bias", PublishedKey(f"{published}.bias", 1)


def _conv_keys(module: str, published: str) -> Iterator[tuple[str, PublishedKey]]:
    yield f"{module}.conv.weight", PublishedKey(f"{published}.conv.weight", 1)
    for leaf in ("weight", "bias"):
        yield f"{module}.conv.modulation.{leaf}", PublishedKey(f"{published}.conv.modulation.{leaf}")


def generator_filters(config: ModelConfig | GeneratorConfig, prefix: str) -> dict[str, Tensor]:
    """The (4, 4) float32 resampling filter under each published key, with this prefix, that stores it."""
    blocks = range(_n_blocks(config))
    keys = [f"{prefix}convs.{2 * block}.conv.blur.kernel" for block in blocks]
    keys += [f"{prefix}to_rgbs.{block}.upsample.kernel" for block in blocks]
    return dict.fromkeys(keys, resampling_filter(4.0))


def _n_blocks(config: ModelConfig | GeneratorConfig) -> int:
    return config.output_size.bit_length() - 3


def _sizes(config: ModelConfig) -> str:
    return (
        f"a model of {config.encoder_input_channels} x {config.input_size} px in, {config.output_size} px out, "
        f"style_dim {config.style_dim}, encoder {config.encoder_kind}"
    )
