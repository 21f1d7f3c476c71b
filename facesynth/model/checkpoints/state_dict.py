"""State dicts checked against a network (keys, shapes, finite values) and loaded into it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from facesynth.errors import CheckpointError
from facesynth.model.checkpoints.unpickler import shown

if TYPE_CHECKING:
    from torch import Tensor, nn


def check_finite(state: Mapping[str, Tensor], path: Path) -> None:
    """Check that all floating-point values are finite.

    Parameters
    ----------
    state : mapping of str to tensor
        A state dict; tensors of any shape and dtype. Integer and boolean tensors are not checked.
    path : Path
        The checkpoint file, for messages.

    Raises
    ------
    CheckpointError
        If a value is not finite; the message names its tensor.
    """
    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value.sum()) or torch.isfinite(value).all()):
            raise CheckpointError(f"{path} has non-finite values in {shown(name)!r}; give an earlier checkpoint")


def check_state(own: Mapping[str, Tensor], state: Mapping[str, Tensor], path: Path) -> None:
    """Check a checkpoint's state dict against that of the model it is to be loaded into.

    Parameters
    ----------
    own : mapping of str to tensor
        The model's state dict; its tensors may be on the ``meta`` device.
    state : mapping of str to tensor
        The checkpoint's state dict: the same keys, each tensor of the same shape, of any dtype.
    path : Path
        The checkpoint file, for messages.

    Raises
    ------
    CheckpointError
        If a key is missing or unexpected, a tensor has another shape, or a value is not finite; the message names it.
    """
    for problem, names in (("lacks", own.keys() - state.keys()), ("has an unexpected", state.keys() - own.keys())):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise CheckpointError(f"{path} {problem} {shown(min(names))!r}{more}; it does not fit its own config")
    for name, value in state.items():
        if value.shape != own[name].shape:
            shapes = f"{tuple(value.shape)}; needed: {tuple(own[name].shape)}"
            raise CheckpointError(f"{path} has {name!r} of shape {shapes}; it does not fit its own config")
    check_finite(state, path)


def load_into(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load a state dict strictly, copying its values into the model's tensors.

    Parameters
    ----------
    model : Module
    state : mapping of str to tensor
        The same keys and shapes as the model's state dict; values are converted to the model's dtypes.
    path : Path
        The checkpoint file, for messages.

    Raises
    ------
    CheckpointError
        As :func:`check_state`; the model is then unchanged.
    """
    check_state(model.state_dict(), state, path)
    model.load_state_dict(dict(state))


class unfilled(TorchFunctionMode):  # noqa: N801 - it is used as a function
    """Context in which new modules allocate their weights without initialising them; :func:`fill` sets the values.

    Skipping the initialisation saves the time that it takes.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Skip the drawing of random numbers and the scaling of the results."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name.endswith(("uniform_", "normal_")) or name in ("div", "__truediv__"):
            unfilled: Tensor = args[0] if args else kwargs["tensor"]
            return unfilled
        return (torch.empty if func is torch.randn else func)(*args, **kwargs)


def fill(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Assign a state dict's tensors to a model, strictly and in float32.

    Parameters
    ----------
    model : Module
        Usually built under :class:`unfilled`.
    state : mapping of str to tensor
        The same keys and shapes as the model's state dict. Floating-point tensors are converted to float32; tensors that
        are float32 already share their memory with the model.
    path : Path
        The checkpoint file, for messages.

    Raises
    ------
    CheckpointError
        As :func:`check_state`.
    """
    check_state(model.state_dict(), state, path)
    model.load_state_dict(
        {name: value.float() if value.is_floating_point() else value for name, value in state.items()}, assign=True
    )
