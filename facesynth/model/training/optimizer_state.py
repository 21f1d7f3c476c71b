"""The state of optimisers in checkpoints: an optimiser in, named tensors and numbers out, and back.

Parameters are identified by their index in the optimiser, so the names in a checkpoint are ``<optimiser>.<index>.<key>``. A run
with a single optimiser calls it ``optimizer``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from facesynth.model.checkpoints.native import Checkpoint, GeneratorState


def pack_optimizer(optimizer: Optimizer, prefix: str = "optimizer") -> tuple[dict[str, Tensor], dict[str, float]]:
    """An optimiser's state for a checkpoint.

    Parameters
    ----------
    optimizer
    prefix
        The optimiser's name in the checkpoint.

    Returns
    -------
    tensors : dict of str to tensor
        By ``<prefix>.<index>.<key>``, of the shapes and dtypes that the optimiser keeps.
    numbers : dict of str to float
        By ``<index>.<key>``, for the checkpoint's ``info``.
    """
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
    """Restore an optimiser's state saved by :func:`pack_optimizer`.

    Parameters
    ----------
    optimizer
        An optimiser of the same parameters in the same order; changed in place.
    state
        Its tensors are in the checkpoint's tensors, its numbers in ``info``, both under ``prefix``.
    prefix
        The optimiser's name in the checkpoint.
    """
    values: dict[int, dict[str, Any]] = {}
    for name, value in state.state_of(prefix).items():
        index, key = name.split(".", 1)
        values.setdefault(int(index), {})[key] = value
    for name, number in state.info[prefix].items():
        index, key = name.split(".", 1)
        values.setdefault(int(index), {})[key] = number
    optimizer.load_state_dict({"state": values, "param_groups": optimizer.state_dict()["param_groups"]})
