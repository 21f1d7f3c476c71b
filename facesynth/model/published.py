"""State dicts of the published pSp models <-> ours: names and shapes change, values do not.

A published file holds ``{"state_dict": ..., "opts": ..., "latent_avg": ...}``. What flows through here is its
``state_dict`` with the gradual encoder (``encoder.*``) and the generator (``decoder.*``); ``latent_avg`` lies beside
it, so neither side of the mapping has it. The published layout also stores the resampling filter in every upsampling
layer. We keep no such constant: it is compared on the way in and written on the way out.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from facesynth.errors import CheckpointError, InputError
from facesynth.model.config import Condition, ModelConfig
from facesynth.model.psp import PSP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_NAMED_AT_MOST = 4
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


class _Place(NamedTuple):
    """Where a tensor of ours lies in the published layout, and how many axes of length 1 precede its own there."""

    key: str
    leading_axes: int = 0


def from_published(state_dict: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Our names and shapes for a published state dict.

    Parameters
    ----------
    state_dict
        ``state_dict`` of a published checkpoint with the gradual encoder.
    config
        The model's sizes; :func:`config_from_published` reads them off the same state dict.

    Returns
    -------
    dict[str, Tensor]
        State dict of :class:`facesynth.model.psp.PSP`, all but ``latent_avg``. The tensors share the given ones'
        memory.

    Raises
    ------
    CheckpointError
        If a key is missing or not expected, a shape does not fit ``config``, or a stored filter is not [1, 3, 3, 1].
    """
    shapes = _our_shapes(config)
    places = _places(config, shapes)
    kernels = _kernel_keys(config)
    expected = {place.key for place in places.values()} | set(kernels)
    missing = [key for key in (*(place.key for place in places.values()), *kernels) if key not in state_dict]
    unexpected = [key for key in state_dict if key not in expected]
    if missing:
        raise CheckpointError(f"the published state dict lacks {_listed(missing)}; needed for {_sizes(config)}")
    if unexpected:
        raise CheckpointError(
            f"the published state dict has unexpected {_listed(unexpected)}; needed: {_sizes(config)}"
        )

    ours: dict[str, Tensor] = {}
    for key, place in places.items():
        needed = (1,) * place.leading_axes + shapes[key]
        tensor = state_dict[place.key]
        if tuple(tensor.shape) != needed:
            raise CheckpointError(f"{place.key} has shape {tuple(tensor.shape)}; needed: {needed} for {_sizes(config)}")
        ours[key] = tensor.reshape(shapes[key])
    for key in kernels:
        kernel = state_dict[key]
        if kernel.shape != (4, 4) or not torch.allclose(kernel.float().cpu(), _published_kernel(), atol=1e-6):
            raise CheckpointError(f"{key} is not the [1, 3, 3, 1] filter; no other resampling filter is supported")
    return ours


def to_published(state_dict: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """The published names and shapes for a state dict of ours.

    Parameters
    ----------
    state_dict
        State dict of :class:`facesynth.model.psp.PSP`; ``latent_avg``, which lies beside a published one, is left out.
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
    places = _places(config, shapes)
    missing = [key for key in places if key not in state_dict]
    unexpected = [key for key in state_dict if key not in places and key != "latent_avg"]
    if missing:
        raise CheckpointError(f"the state dict lacks {_listed(missing)}; needed for {_sizes(config)}")
    if unexpected:
        raise CheckpointError(f"the state dict has unexpected {_listed(unexpected)}; needed: {_sizes(config)}")

    published: dict[str, Tensor] = {}
    for key, place in places.items():
        tensor = state_dict[key]
        if tuple(tensor.shape) != shapes[key]:
            raise CheckpointError(f"{key} has shape {tuple(tensor.shape)}; needed: {shapes[key]} for {_sizes(config)}")
        published[place.key] = tensor.reshape((1,) * place.leading_axes + shapes[key])
    for key in _kernel_keys(config):
        published[key] = _published_kernel()
    return published


def config_from_published(state_dict: Mapping[str, Tensor]) -> ModelConfig:
    """The sizes of a published model, read off its tensors.

    The condition follows from the input channels: 1 is a sketch, 3 a photo, any other number labels. The trunk's stages
    are told apart by their channels.

    Parameters
    ----------
    state_dict
        ``state_dict`` of a published checkpoint with the gradual encoder.

    Returns
    -------
    ModelConfig
        Sizes for :func:`from_published`, which does the full check.

    Raises
    ------
    CheckpointError
        If a tensor that the sizes are read off is missing, or the trunk has other than four widths.
    """

    def extent(key: str, axis: int) -> int:
        if key not in state_dict:
            raise CheckpointError(f"the published state dict lacks {key}; needed: a gradual encoder and a generator")
        shape = tuple(state_dict[key].shape)
        if len(shape) <= axis:
            raise CheckpointError(f"{key} has shape {shape}; needed: more than {axis} axes")
        return shape[axis]

    def count(template: str, start: int = 0, step: int = 1) -> int:
        indices = itertools.count(start, step)
        return sum(1 for _ in itertools.takewhile(lambda i: template.format(i) in state_dict, indices))

    input_channels = extent("encoder.input_layer.0.weight", 1)
    conditions: dict[int, Condition] = {1: "sketch", 3: "photo"}
    unit_key = "encoder.body.{}.res_layer.3.weight"
    stages = Counter(extent(unit_key.format(i), 0) for i in range(count(unit_key)))
    if len(stages) != 4:
        raise CheckpointError(f"the published trunk has units of {list(stages)} channels; needed: four widths")
    style_dim = extent("encoder.styles.0.convs.0.weight", 0)
    n_blocks = count("decoder.to_rgbs.{}.conv.weight")
    widths = {4: extent("decoder.input.input", 1)}
    widths |= {8 << i: extent(f"decoder.convs.{2 * i}.conv.weight", 1) for i in range(n_blocks)}
    try:
        return ModelConfig(
            condition=conditions.get(input_channels, "labels"),
            input_channels=input_channels,
            input_size=16 << count("encoder.styles.0.convs.{}.weight", step=2),
            output_size=4 << n_blocks,
            style_resolution=min(64, 4 << n_blocks),
            style_dim=style_dim,
            mapping_depth=count("decoder.style.{}.weight", start=1),
            channel_base=max(resolution * width for resolution, width in widths.items()),
            channel_max=max(widths.values()),
            encoder_units=_four(stages.values()),
            encoder_channels=_four(stages),
        )
    except InputError as error:
        raise CheckpointError(f"the published state dict is of no usable model: {error}") from error


def _four(values: Iterable[int]) -> tuple[int, int, int, int]:
    first, second, third, fourth = values
    return first, second, third, fourth


def _our_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a PSP with these sizes but ``latent_avg``, without making the tensors."""
    with torch.device("meta"):
        state_dict = PSP(config).state_dict()
    return {key: tuple(tensor.shape) for key, tensor in state_dict.items() if key != "latent_avg"}


def _places(config: ModelConfig, our_keys: Mapping[str, object]) -> dict[str, _Place]:
    """The place of every tensor of ours in the published layout."""
    modules = dict(_encoder_modules(config))
    places = dict(_generator_places(config))
    for key in our_keys:
        if key not in places:
            module, _, leaf = key.rpartition(".")
            if module not in modules:
                raise CheckpointError(
                    f"the published layout has no place for {key}; needed: a style_dim ({config.style_dim}) equal to "
                    f"the channels of the trunk's last stage ({config.encoder_channels[-1]})"
                )
            places[key] = _Place(f"{modules[module]}.{leaf}")
    return places


def _encoder_modules(config: ModelConfig) -> Iterator[tuple[str, str]]:
    """Our and the published name of every module of the encoder that may hold tensors."""
    for i in range(3):
        yield f"encoder.trunk.stem.{i}", f"encoder.input_layer.{i}"
    index = 0
    for stage, n_units in enumerate(config.encoder_units):
        for unit in range(n_units):
            for ours, published in _UNIT_PARTS.items():
                yield f"encoder.trunk.stages.{stage}.{unit}.{ours}", f"encoder.body.{index}.{published}"
            index += 1
    yield "encoder.pyramid.lateral.middle", "encoder.latlayer1"
    yield "encoder.pyramid.lateral.fine", "encoder.latlayer2"
    n_halvings = config.input_size.bit_length() - 1
    for layer in range(config.n_styles):
        for conv in range(0, 2 * n_halvings, 2):
            yield f"encoder.heads.{layer}.convs.{conv}", f"encoder.styles.{layer}.convs.{conv}"
        yield f"encoder.heads.{layer}.linear", f"encoder.styles.{layer}.linear"


def _generator_places(config: ModelConfig) -> Iterator[tuple[str, _Place]]:
    """Our name and the published place of every tensor of the generator."""
    for i in range(config.mapping_depth):
        for leaf in ("weight", "bias"):
            yield f"generator.mapping.layers.{i}.{leaf}", _Place(f"decoder.style.{i + 1}.{leaf}")
    yield "generator.constant", _Place("decoder.input.input", 1)
    yield from _layer_places("generator.first", "decoder.conv1", 0)
    yield from _to_rgb_places("generator.first_to_rgb", "decoder.to_rgb1")
    for block in range(_n_blocks(config)):
        for offset, name in enumerate(("enlarge", "refine")):
            index = 2 * block + offset
            yield from _layer_places(f"generator.blocks.{block}.{name}", f"decoder.convs.{index}", index + 1)
        yield from _to_rgb_places(f"generator.blocks.{block}.to_rgb", f"decoder.to_rgbs.{block}")


def _layer_places(ours: str, published: str, noise_index: int) -> Iterator[tuple[str, _Place]]:
    yield from _conv_places(ours, published)
    yield f"{ours}.bias", _Place(f"{published}.activate.bias")
    yield f"{ours}.noise_strength", _Place(f"{published}.noise.weight", 1)
    yield f"{ours}.noise", _Place(f"decoder.noises.noise_{noise_index}", 2)


def _to_rgb_places(ours: str, published: str) -> Iterator[tuple[str, _Place]]:
    yield from _conv_places(ours, published)
    yield f"{ours}.bias", _Place(f"{published}.bias", 1)


def _conv_places(ours: str, published: str) -> Iterator[tuple[str, _Place]]:
    yield f"{ours}.conv.weight", _Place(f"{published}.conv.weight", 1)
    for leaf in ("weight", "bias"):
        yield f"{ours}.conv.modulation.{leaf}", _Place(f"{published}.conv.modulation.{leaf}")


def _kernel_keys(config: ModelConfig) -> list[str]:
    """The published names of the stored resampling filters."""
    blurs = [f"decoder.convs.{2 * block}.conv.blur.kernel" for block in range(_n_blocks(config))]
    return blurs + [f"decoder.to_rgbs.{block}.upsample.kernel" for block in range(_n_blocks(config))]


def _n_blocks(config: ModelConfig) -> int:
    return config.output_size.bit_length() - 3


def _published_kernel() -> Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) / 16.0


def _listed(keys: list[str]) -> str:
    """The keys in one line, the first few by name."""
    rest = len(keys) - _NAMED_AT_MOST
    return ", ".join(keys[:_NAMED_AT_MOST]) + (f" and {rest} more" if rest > 0 else "")


def _sizes(config: ModelConfig) -> str:
    return (
        f"a model of {config.input_channels} x {config.input_size} px in, {config.output_size} px out, "
        f"style_dim {config.style_dim}"
    )
