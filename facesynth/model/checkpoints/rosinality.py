"""Published networks around a pSp model <-> ours: rosinality's generator and discriminator, the IR-SE50 face recogniser.

rosinality's ``g_ema`` has the keys of a published pSp ``decoder``. Its ``d`` numbers the blocks from 1, the picture's own
size first; a convolution that halves has its filter before it, so its parts are numbered 0 to 2 there. IR-SE50 has the keys
of a pSp encoder's trunk, and a head that turns the last map into 512 numbers: :mod:`facesynth.model.losses.identity` is the
whole of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch

from facesynth.errors import CheckpointError, InputError
from facesynth.model.checkpoints.key_mapping import Place, resampling_filter, to_ours, to_theirs
from facesynth.model.checkpoints.pixel2style2pixel import (
    axis_length,
    generator_config,
    generator_filters,
    generator_places,
    generator_shapes,
)
from facesynth.model.config.model import DiscriminatorConfig
from facesynth.model.networks.discriminator import Discriminator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from facesynth.model.config.model import GeneratorConfig


def generator_from_rosinality(state_dict: Mapping[str, Tensor]) -> tuple[GeneratorConfig, dict[str, Tensor]]:
    """The generator of a state dict of rosinality's.

    Parameters
    ----------
    state_dict
        The file's ``g_ema``.

    Returns
    -------
    config : GeneratorConfig
        Its sizes, read off its tensors.
    state : dict of str to tensor
        State dict of :class:`facesynth.model.networks.generator.Generator`, sharing the given tensors' memory.

    Raises
    ------
    CheckpointError
        If a key is missing or not expected, a shape does not fit, or a stored filter is not [1, 3, 3, 1].
    """
    config = generator_config(state_dict)
    state = to_ours(
        state_dict,
        dict(generator_places(config, "", "")),
        generator_shapes(config),
        generator_filters(config, ""),
        what="g_ema",
        sizes=_sizes(config),
    )
    return config, state


def generator_to_rosinality(state: Mapping[str, Tensor], config: GeneratorConfig) -> dict[str, Tensor]:
    """Rosinality's ``g_ema`` for a state dict of our generator.

    Raises
    ------
    CheckpointError
        If a key is missing or not expected, or a shape does not fit ``config``.
    """
    places = dict(generator_places(config, "", ""))
    filters = generator_filters(config, "")
    return to_theirs(state, places, generator_shapes(config), filters, sizes=_sizes(config))


def discriminator_from_rosinality(state_dict: Mapping[str, Tensor]) -> tuple[DiscriminatorConfig, dict[str, Tensor]]:
    """The discriminator of a state dict of rosinality's.

    Parameters
    ----------
    state_dict
        The file's ``d``.

    Returns
    -------
    config : DiscriminatorConfig
        Its sizes, read off its tensors; the group size is that of its code, 4.
    state : dict of str to tensor
        State dict of :class:`facesynth.model.networks.discriminator.Discriminator`, sharing the given tensors' memory.

    Raises
    ------
    CheckpointError
        If a key is missing or not expected, a shape does not fit, or a stored filter is not [1, 3, 3, 1].
    """
    numbers = (re.match(r"convs\.(\d{1,2})\.", key) for key in state_dict)
    n_blocks = max((int(number[1]) for number in numbers if number), default=0)
    size = 4 << n_blocks
    widths = {size: axis_length(state_dict, "convs.0.0.weight", 0)}
    for block in range(1, n_blocks + 1):
        widths[size >> block] = axis_length(state_dict, f"convs.{block}.conv2.1.weight", 0)
    config = discriminator_config(widths, group_size=4)
    state = to_ours(
        state_dict,
        dict(_discriminator_places(config)),
        discriminator_shapes(config),
        _discriminator_filters(config),
        what="d",
        sizes=_discriminator_sizes(config),
    )
    return config, state


def discriminator_to_rosinality(state: Mapping[str, Tensor], config: DiscriminatorConfig) -> dict[str, Tensor]:
    """Rosinality's ``d`` for a state dict of our discriminator.

    Raises
    ------
    CheckpointError
        If a key is missing or not expected, or a shape does not fit ``config``.
    """
    places, shapes = dict(_discriminator_places(config)), discriminator_shapes(config)
    return to_theirs(state, places, shapes, _discriminator_filters(config), sizes=_discriminator_sizes(config))


def discriminator_config(widths: Mapping[int, int], *, group_size: int) -> DiscriminatorConfig:
    """The sizes of a discriminator with these channels by resolution, from 4 px up.

    Raises
    ------
    CheckpointError
        If they are those of no discriminator.
    """
    try:
        return DiscriminatorConfig(
            input_size=max(widths),
            channel_base=max(resolution * width for resolution, width in widths.items()),
            channel_max=max(widths.values()),
            group_size=group_size,
        )
    except InputError as error:
        raise CheckpointError(f"its tensors make no usable discriminator: {error}") from error


def discriminator_shapes(config: DiscriminatorConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a discriminator with these sizes, without making the tensors."""
    with torch.device("meta"):
        discriminator = Discriminator(config)
    return {key: tuple(tensor.shape) for key, tensor in discriminator.state_dict().items()}


def _discriminator_places(config: DiscriminatorConfig) -> Iterator[tuple[str, Place]]:
    """Our name and the place of every tensor."""
    yield "from_rgb.weight", Place("convs.0.0.weight")
    yield "from_rgb.bias", Place("convs.0.1.bias")
    for block in range(_n_blocks(config)):
        ours, theirs = f"blocks.{block}", f"convs.{block + 1}"
        yield f"{ours}.refine.weight", Place(f"{theirs}.conv1.0.weight")
        yield f"{ours}.refine.bias", Place(f"{theirs}.conv1.1.bias")
        yield f"{ours}.reduce.weight", Place(f"{theirs}.conv2.1.weight")
        yield f"{ours}.reduce.bias", Place(f"{theirs}.conv2.2.bias")
        yield f"{ours}.shortcut.weight", Place(f"{theirs}.skip.1.weight")
    yield "last_conv.weight", Place("final_conv.0.weight")
    yield "last_conv.bias", Place("final_conv.1.bias")
    for ours, theirs in (("hidden", "final_linear.0"), ("score", "final_linear.1")):
        for leaf in ("weight", "bias"):
            yield f"{ours}.{leaf}", Place(f"{theirs}.{leaf}")


def _discriminator_filters(config: DiscriminatorConfig) -> dict[str, Tensor]:
    blocks = range(1, _n_blocks(config) + 1)
    keys = [f"convs.{block}.{part}.0.kernel" for block in blocks for part in ("conv2", "skip")]
    return dict.fromkeys(keys, resampling_filter(1.0))


def _n_blocks(config: DiscriminatorConfig) -> int:
    return config.input_size.bit_length() - 3


def _discriminator_sizes(config: DiscriminatorConfig) -> str:
    return f"a discriminator of {config.input_size} px"


def _sizes(config: GeneratorConfig) -> str:
    return f"a generator of {config.output_size} px, style_dim {config.style_dim}"
