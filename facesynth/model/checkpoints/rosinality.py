"""State dicts of rosinality's generator and discriminator between stylegan2-pytorch's layout and facesynth's.

Keys and shapes change, values do not. ``g_ema`` has the keys of a published pSp ``decoder``. ``d`` numbers the blocks from 1,
starting at the size of the picture; a convolution that halves the size is preceded by its filter, so its modules are numbered
0 to 2.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch

from facesynth.errors import CheckpointError, InputError
from facesynth.model.checkpoints.key_mapping import PublishedKey, export_state, import_state, resampling_filter
from facesynth.model.checkpoints.pixel2style2pixel import (
    axis_length,
    generator_config,
    generator_filters,
    generator_keys,
    generator_shapes,
)
from facesynth.model.config.model import DiscriminatorConfig
from facesynth.model.networks.discriminator import Discriminator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from facesynth.model.config.model import GeneratorConfig


def generator_from_rosinality(state_dict: Mapping[str, Tensor]) -> tuple[GeneratorConfig, dict[str, Tensor]]:
    """The generator in a file of stylegan2-pytorch.

    Parameters
    ----------
    state_dict : mapping of str to tensor
        The file's ``g_ema``; tensors of any dtype.

    Returns
    -------
    config : GeneratorConfig
        Its sizes, inferred from the shapes of its tensors.
    state : dict of str to tensor
        State dict of :class:`facesynth.model.networks.generator.Generator`, of its shapes; dtypes are unchanged and memory
        is shared with ``state_dict``.

    Raises
    ------
    CheckpointError
        If a key is missing or unexpected, a shape does not fit, or a stored filter is not [1, 3, 3, 1].
    """
    config = generator_config(state_dict)
    state = import_state(
        state_dict,
        dict(generator_keys(config, "", "")),
        generator_shapes(config),
        generator_filters(config, ""),
        what="g_ema",
        sizes=_sizes(config),
    )
    return config, state


def generator_to_rosinality(state: Mapping[str, Tensor], config: GeneratorConfig) -> dict[str, Tensor]:
    """A generator's state dict in stylegan2-pytorch's layout.

    Parameters
    ----------
    state : mapping of str to tensor
        State dict of :class:`facesynth.model.networks.generator.Generator`, of its shapes and any dtype.
    config : GeneratorConfig
        Its sizes.

    Returns
    -------
    dict of str to tensor
        ``g_ema``. The filters are new tensors; all others share their memory with ``state``.

    Raises
    ------
    CheckpointError
        If a key is missing or unexpected, or a shape does not fit ``config``.
    """
    keys = dict(generator_keys(config, "", ""))
    filters = generator_filters(config, "")
    return export_state(state, keys, generator_shapes(config), filters, sizes=_sizes(config))


def discriminator_from_rosinality(state_dict: Mapping[str, Tensor]) -> tuple[DiscriminatorConfig, dict[str, Tensor]]:
    """The discriminator in a file of stylegan2-pytorch.

    Parameters
    ----------
    state_dict : mapping of str to tensor
        The file's ``d``; tensors of any dtype.

    Returns
    -------
    config : DiscriminatorConfig
        Its sizes, inferred from the shapes of its tensors; the group size is 4, as in stylegan2-pytorch's code.
    state : dict of str to tensor
        State dict of :class:`facesynth.model.networks.discriminator.Discriminator`, of its shapes; dtypes are unchanged and
        memory is shared with ``state_dict``.

    Raises
    ------
    CheckpointError
        If a key is missing or unexpected, a shape does not fit, or a stored filter is not [1, 3, 3, 1].
    """
    numbers = (re.match(r"convs\.(\d{1,2})\.", key) for key in state_dict)
    n_blocks = max((int(number[1]) for number in numbers if number), default=0)
    size = 4 << n_blocks
    widths = {size: axis_length(state_dict, "convs.0.0.weight", 0)}
    for block in range(1, n_blocks + 1):
        widths[size >> block] = axis_length(state_dict, f"convs.{block}.conv2.1.weight", 0)
    config = discriminator_config(widths, group_size=4)
    state = import_state(
        state_dict,
        dict(_discriminator_keys(config)),
        discriminator_shapes(config),
        _discriminator_filters(config),
        what="d",
        sizes=_discriminator_sizes(config),
    )
    return config, state


def discriminator_to_rosinality(state: Mapping[str, Tensor], config: DiscriminatorConfig) -> dict[str, Tensor]:
    """A discriminator's state dict in stylegan2-pytorch's layout.

    Parameters
    ----------
    state : mapping of str to tensor
        State dict of :class:`facesynth.model.networks.discriminator.Discriminator`, of its shapes and any dtype.
    config : DiscriminatorConfig
        Its sizes.

    Returns
    -------
    dict of str to tensor
        ``d``. The filters are new tensors; all others share their memory with ``state``.

    Raises
    ------
    CheckpointError
        If a key is missing or unexpected, or a shape does not fit ``config``.
    """
    keys, shapes = dict(_discriminator_keys(config)), discriminator_shapes(config)
    return export_state(state, keys, shapes, _discriminator_filters(config), sizes=_discriminator_sizes(config))


def discriminator_config(widths: Mapping[int, int], *, group_size: int) -> DiscriminatorConfig:
    """The sizes of a discriminator from its channels by resolution.

    Parameters
    ----------
    widths : mapping of int to int
        The channels at each resolution in pixels, from 4 up.
    group_size : int
        Pictures over which the minibatch standard deviation is taken.

    Raises
    ------
    CheckpointError
        If no discriminator has these sizes.
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
    """The shapes of all tensors of a discriminator with these sizes, by key; no tensor is allocated."""
    with torch.device("meta"):
        discriminator = Discriminator(config)
    return {key: tuple(tensor.shape) for key, tensor in discriminator.state_dict().items()}


def _discriminator_keys(config: DiscriminatorConfig) -> Iterator[tuple[str, PublishedKey]]:
    """The key of each tensor in facesynth and in the published layout."""
    yield "from_rgb.weight", PublishedKey("convs.0.0.weight")
    yield "from_rgb.bias", PublishedKey("convs.0.1.bias")
    for block in range(_n_blocks(config)):
        module, published = f"blocks.{block}", f"convs.{block + 1}"
        yield f"{module}.refine.weight", PublishedKey(f"{published}.conv1.0.weight")
        yield f"{module}.refine.bias", PublishedKey(f"{published}.conv1.1.bias")
        yield f"{module}.reduce.weight", PublishedKey(f"{published}.conv2.1.weight")
        yield f"{module}.reduce.bias", PublishedKey(f"{published}.conv2.2.bias")
        yield f"{module}.shortcut.weight", PublishedKey(f"{published}.skip.1.weight")
    yield "last_conv.weight", PublishedKey("final_conv.0.weight")
    yield "last_conv.bias", PublishedKey("final_conv.1.bias")
    for module, published in (("hidden", "final_linear.0"), ("score", "final_linear.1")):
        for leaf in ("weight", "bias"):
            yield f"{module}.{leaf}", PublishedKey(f"{published}.{leaf}")


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
