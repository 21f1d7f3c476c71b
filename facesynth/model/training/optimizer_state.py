"""What a run needs to go on, as tensors and numbers: the state of its optimisers, packed for a checkpoint and back.

Parameters are told by their place in the optimiser, so the names in a checkpoint are ``<optimiser>.<place>.<key>``; a run with
one optimiser calls it ``optimizer``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from facesynth.model.checkpoints.native import Checkpoint, GeneratorState


def pack_optimizer(optimizer: Optimizer, prefix: str = "optimizer") -> tuple[dict[str, Tensor], dict[str, float]]:
    """An optimiser's state: the tensors by their names in a checkpoint, and the numbers."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, float] = {}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{prefix}.{index}.{name}"] = value
            else:
                numbers[f"{index}.{name}"] = value
    return tensors, numbers


def restore_optimizer(optimizer: Optimizer, state: Checkpoint | GeneratorState, prefix: str = "optimizer") -> None:
    """Take over what :func:`pack_optimizer` packed; the numbers are in the state's ``info``, under the prefix."""
    values: dict[int, dict[str, Any]] = {}
    for name, value in state.state_of(prefix).items():
        index, key = name.split(".", 1)
        values.setdefault(int(index), {})[key] = value
    for name, number in state.info[prefix].items():
        index, key = name.split(".", 1)
        values.setdefault(int(index), {})[key] = number
    optimizer.load_state_dict({"state": values, "param_groups": optimizer.state_dict()["param_groups"]})
