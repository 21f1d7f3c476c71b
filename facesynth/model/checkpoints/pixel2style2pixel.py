"""State dicts of the published pSp models <-> ours: names and shapes change, values do not.

A published file holds ``{"state_dict": ..., "opts": ..., "latent_avg": ...}``. What flows through here is its
``state_dict`` with one of the three encoders (``encoder.*``) and the generator (``decoder.*``); ``latent_avg`` lies beside
it, so neither side of the mapping has it. The published layout also stores the resampling filter in every upsampling
layer. We keep no such constant: it is compared on the way in and written on the way out.

==================  =======================================  =====================================================
kind                the published class                      its keys beside the trunk's
==================  =======================================  =====================================================
gradual             GradualStyleEncoder                      ``styles.<layer>``, ``latlayer1``, ``latlayer2``
last-layer-w        BackboneEncoderUsingLastLayerIntoW       ``linear``
last-layer-w-plus   BackboneEncoderUsingLastLayerIntoWPlus   ``output_layer_2.0`` (norm) and ``.3``, ``linear``
==================  =======================================  =====================================================
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from facesynth.errors import CheckpointError, InputError
from facesynth.model.checkpoints.key_mapping import Place, resampling_filter, to_ours, to_theirs
from facesynth.model.config.model import Condition, EncoderKind, GeneratorConfig, ModelConfig
from facesynth.model.networks.generator import Generator
from facesynth.model.networks.psp import PSP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

LAST_LAYER_INPUT_SIZE = 256
"""Input size of a published last-layer encoder, pixels: no tensor tells it, and the published code has no other."""
_LONGEST_SERIES = 200
_UNIT_PARTS = {
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


def from_published(state_dict: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Our names and shapes for a published state dict.

    Parameters
    ----------
    state_dict
        ``state_dict`` of a published checkpoint.
    config
        The model's sizes; :func:`config_from_published` reads them off the same state dict.

    Returns
    -------
    dict[str, Tensor]
        State dict of :class:`facesynth.model.networks.psp.PSP`, all but ``latent_avg``. The tensors share the given ones'
        memory.

    Raises
    ------
    CheckpointError
        If a key is missing or not expected, a shape does not fit ``config``, or a stored filter is not [1, 3, 3, 1].
    """
    shapes = _our_shapes(config)
    return to_ours(
        state_dict,
        _places(config, shapes),
        shapes,
        generator_filters(config, "decoder."),
        what="the published state dict",
        sizes=_sizes(config),
    )


def to_published(state_dict: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """The published names and shapes for a state dict of ours.

    Parameters
    ----------
    state_dict
        State dict of :class:`facesynth.model.networks.psp.PSP`; ``latent_avg``, which lies beside a published one, is left out.
    config
        The model's sizes.

    Returns
    -------
    dict[str, Tensor]
        A published ``state_dict``. The tensors share the given ones' memory, but for the filters.

    Raises
    ------
    CheckpointError
        If a key is missing or not expected, or a shape does not fit ``config``.
    """
    shapes = _our_shapes(config)
    ours = {name: value for name, value in state_dict.items() if name != "latent_avg"}
    return to_theirs(ours, _places(config, shapes), shapes, generator_filters(config, "decoder."), sizes=_sizes(config))


def config_from_published(state_dict: Mapping[str, Tensor], *, label_channels: int = 0) -> ModelConfig:
    """The sizes of a published model, read off its tensors.

    The condition follows from the input channels: 1 is a sketch, 3 a photo, any other number labels. The trunk's stages
    are told apart by their channels. The input size of an encoder on the last map is :data:`LAST_LAYER_INPUT_SIZE`.

    Parameters
    ----------
    state_dict
        ``state_dict`` of a published checkpoint.
    label_channels
        ``label_nc`` of the checkpoint's options: with 3 of them, 3 input channels are labels.

    Returns
    -------
    ModelConfig
        Sizes for :func:`from_published`, which does the full check.

    Raises
    ------
    CheckpointError
        If a tensor that the sizes are read off is missing, or the trunk has other than four widths.
    """
    extent, count = partial(axis_length, state_dict), partial(_count, state_dict)
    kind = _encoder_kind(state_dict)
    input_channels = extent("encoder.input_layer.0.weight", 1)
    conditions: dict[int, Condition] = {1: "sketch", 3: "labels" if label_channels == 3 else "photo"}
    unit_key = "encoder.body.{}.res_layer.3.weight"
    stages = Counter(extent(unit_key.format(i), 0) for i in range(count(unit_key)))
    if len(stages) != 4:
        raise CheckpointError(f"the published trunk has units of {list(stages)} channels; needed: four widths")
    if kind == "gradual":
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
            style_resolution=min(64, sizes.output_size),
            **asdict(sizes),
            encoder_units=_four(stages.values()),
            encoder_channels=_four(stages),
        )
    except InputError as error:
        raise CheckpointError(f"the published state dict is of no usable model: {error}") from error


def _encoder_kind(state_dict: Mapping[str, Tensor]) -> EncoderKind:
    if "encoder.styles.0.convs.0.weight" not in state_dict:
        if "encoder.output_layer_2.3.weight" in state_dict:
            return "last-layer-w-plus"
        if "encoder.linear.weight" in state_dict:
            return "last-layer-w"
    return "gradual"


def generator_config(state_dict: Mapping[str, Tensor], prefix: str = "") -> GeneratorConfig:
    """The sizes of a published generator, read off its tensors.

    Parameters
    ----------
    state_dict
        With the keys of the published generator behind ``prefix``, and any others.
    prefix
        ``decoder.`` in a published pSp model.

    Raises
    ------
    CheckpointError
        If a tensor that the sizes are read off is missing, or they are those of no generator.
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
    """The sizes of a generator with these channels by resolution, from 4 px up.

    Raises
    ------
    CheckpointError
        If they are those of no generator.
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
    """How long an axis of a tensor is.

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
    """How many keys of a numbered series there are, without a gap."""
    indices = range(start, start + _LONGEST_SERIES * step, step)
    return sum(1 for _ in itertools.takewhile(lambda i: template.format(i) in state_dict, indices))


def _four(values: Iterable[int]) -> tuple[int, int, int, int]:
    first, second, third, fourth = values
    return first, second, third, fourth


def _our_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a PSP with these sizes but ``latent_avg``, without making the tensors."""
    with torch.device("meta"):
        state_dict = PSP(config).state_dict()
    return {key: tuple(tensor.shape) for key, tensor in state_dict.items() if key != "latent_avg"}


def generator_shapes(config: GeneratorConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a generator with these sizes, without making the tensors."""
    with torch.device("meta"):
        generator = Generator(
            config.output_size, config.style_dim, config.mapping_depth, config.channel_base, config.channel_max
        )
    return {key: tuple(tensor.shape) for key, tensor in generator.state_dict().items()}


def _places(config: ModelConfig, our_keys: Mapping[str, object]) -> dict[str, Place]:
    """The place of every tensor of ours in the published layout."""
    modules = dict(_encoder_modules(config))
    places = dict(generator_places(config, "generator.", "decoder."))
    for key in our_keys:
        if key not in places:
            module, _, leaf = key.rpartition(".")
            if module not in modules:
                raise CheckpointError(
                    f"the published layout has no place for {key}; needed: a style_dim ({config.style_dim}) equal to "
                    f"the channels of the trunk's last stage ({config.encoder_channels[-1]})"
                )
            places[key] = Place(f"{modules[module]}.{leaf}")
    return places


def trunk_modules(config: ModelConfig, ours: str, published: str) -> Iterator[tuple[str, str]]:
    """Our and the published name of every module of the trunk that may hold tensors, behind these prefixes."""
    for i in range(3):
        yield f"{ours}stem.{i}", f"{published}input_layer.{i}"
    index = 0
    for stage, n_units in enumerate(config.encoder_units):
        for unit in range(n_units):
            for our_part, part in _UNIT_PARTS.items():
                yield f"{ours}stages.{stage}.{unit}.{our_part}", f"{published}body.{index}.{part}"
            index += 1


def _encoder_modules(config: ModelConfig) -> Iterator[tuple[str, str]]:
    """Our and the published name of every module of the encoder that may hold tensors."""
    yield from trunk_modules(config, "encoder.trunk.", "encoder.")
    if config.encoder_kind != "gradual":
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


def generator_places(config: ModelConfig | GeneratorConfig, ours: str, published: str) -> Iterator[tuple[str, Place]]:
    """Our name and the published place of every tensor of the generator, behind these prefixes."""
    for i in range(config.mapping_depth):
        for leaf in ("weight", "bias"):
            yield f"{ours}mapping.layers.{i}.{leaf}", Place(f"{published}style.{i + 1}.{leaf}")
    yield f"{ours}constant", Place(f"{published}input.input", 1)
    yield from _layer_places(f"{ours}first", f"{published}conv1")
    yield f"{ours}first.noise", Place(f"{published}noises.noise_0", 2)
    yield from _to_rgb_places(f"{ours}first_to_rgb", f"{published}to_rgb1")
    for block in range(_n_blocks(config)):
        for offset, name in enumerate(("enlarge", "refine")):
            index = 2 * block + offset
            yield from _layer_places(f"{ours}blocks.{block}.{name}", f"{published}convs.{index}")
            yield f"{ours}blocks.{block}.{name}.noise", Place(f"{published}noises.noise_{index + 1}", 2)
        yield from _to_rgb_places(f"{ours}blocks.{block}.to_rgb", f"{published}to_rgbs.{block}")


def _layer_places(ours: str, published: str) -> Iterator[tuple[str, Place]]:
    yield from _conv_places(ours, published)
    yield f"{ours}.bias", Place(f"{published}.activate.bias")
    yield f"{ours}.noise_strength", Place(f"{published}.noise.weight", 1)


def _to_rgb_places(ours: str, published: str) -> Iterator[tuple[str, Place]]:
    yield from _conv_places(ours, published)
    yield f"{ours}.bias", Place(f"{published}.bias", 1)


def _conv_places(ours: str, published: str) -> Iterator[tuple[str, Place]]:
    yield f"{ours}.conv.weight", Place(f"{published}.conv.weight", 1)
    for leaf in ("weight", "bias"):
        yield f"{ours}.conv.modulation.{leaf}", Place(f"{published}.conv.modulation.{leaf}")


def generator_filters(config: ModelConfig | GeneratorConfig, published: str) -> dict[str, Tensor]:
    """The resampling filter under every published name, behind this prefix, that stores it."""
    blocks = range(_n_blocks(config))
    keys = [f"{published}convs.{2 * block}.conv.blur.kernel" for block in blocks]
    keys += [f"{published}to_rgbs.{block}.upsample.kernel" for block in blocks]
    return dict.fromkeys(keys, resampling_filter(4.0))


def _n_blocks(config: ModelConfig | GeneratorConfig) -> int:
    return config.output_size.bit_length() - 3


def _sizes(config: ModelConfig) -> str:
    return (
        f"a model of {config.input_channels} x {config.input_size} px in, {config.output_size} px out, "
        f"style_dim {config.style_dim}, encoder {config.encoder_kind}"
    )
