"""State dicts of the published IR-SE50 face recogniser with facesynth's keys: keys and shapes change, values do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from facesynth.model.checkpoints.key_mapping import PublishedKey, import_state
from facesynth.model.checkpoints.pixel2style2pixel import trunk_modules
from facesynth.model.networks.recogniser import FaceRecogniser

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


_HEAD = {"norm_in": "output_layer.0", "linear": "output_layer.3", "norm_out": "output_layer.4"}


def recogniser_from_ir_se50(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a published IR-SE50 with facesynth's keys.

    Parameters
    ----------
    state_dict : mapping of str to tensor
        Of ArcFace's IR-SE50 with 112 px input; tensors of any dtype.

    Returns
    -------
    dict of str to tensor
        State dict of :class:`facesynth.model.networks.recogniser.FaceRecogniser`, of its shapes; dtypes are unchanged and
        memory is shared with ``state_dict``.

    Raises
    ------
    CheckpointError
        If a key is missing or unexpected, or a shape differs.
    """
    with torch.device("meta"):
        recogniser = FaceRecogniser()
    shapes = {key: tuple(tensor.shape) for key, tensor in recogniser.state_dict().items()}
    modules = dict(trunk_modules(recogniser.config, "trunk.", "")) | _HEAD
    keys = {}
    for key in shapes:
        module, _, leaf = key.rpartition(".")
        keys[key] = PublishedKey(f"{modules[module]}.{leaf}")
    return import_state(state_dict, keys, shapes, {}, what="the network", sizes="an IR-SE50 of 112 px")
