"""Published networks that are parts of a pSp model <-> ours: rosinality's generator and the IR-SE50 face recogniser.

rosinality's ``g_ema`` has the keys of a published pSp ``decoder``. IR-SE50 has those of its encoder's trunk, and a head
that turns the last map into 512 numbers: :mod:`facesynth.model.identity` is the whole of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from facesynth.model.identity import FaceRecogniser
from facesynth.model.layouts import Place, to_ours, to_theirs
from facesynth.model.published import (
    generator_config,
    generator_filters,
    generator_places,
    generator_shapes,
    trunk_modules,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from facesynth.model.config import GeneratorConfig

_HEAD = {"norm_in": "output_layer.0", "linear": "output_layer.3", "norm_out": "output_layer.4"}


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
        State dict of :class:`facesynth.model.stylegan2.Generator`, sharing the given tensors' memory.

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


def recogniser_from_ir_se50(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of :class:`facesynth.model.identity.FaceRecogniser` for a published IR-SE50.

    Raises
    ------
    CheckpointError
        If a key is missing or not expected, or a shape is another one.
    """
    with torch.device("meta"):
        recogniser = FaceRecogniser()
    shapes = {key: tuple(tensor.shape) for key, tensor in recogniser.state_dict().items()}
    modules = dict(trunk_modules(recogniser.config, "trunk.", "")) | _HEAD
    places = {}
    for key in shapes:
        module, _, leaf = key.rpartition(".")
        places[key] = Place(f"{modules[module]}.{leaf}")
    return to_ours(state_dict, places, shapes, {}, what="the network", sizes="an IR-SE50 of 112 px")


def _sizes(config: GeneratorConfig) -> str:
    return f"a generator of {config.output_size} px, style_dim {config.style_dim}"
