"""The published IR-SE50 face recogniser <-> ours: names and shapes change, values do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from facesynth.model.checkpoints.key_mapping import Place, to_ours
from facesynth.model.checkpoints.pixel2style2pixel import (
    trunk_modules,
)
from facesynth.model.networks.recogniser import FaceRecogniser

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


_HEAD = {"norm_in": "output_layer.0", "linear": "output_layer.3", "norm_out": "output_layer.4"}


def recogniser_from_ir_se50(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of :class:`facesynth.model.networks.recogniser.FaceRecogniser` for a published IR-SE50.

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
