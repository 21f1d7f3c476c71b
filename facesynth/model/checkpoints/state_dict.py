"""State dicts against networks: what must be in one, in which shape and finite, and filling a network with it."""

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
    """See that all weights are finite numbers.

    Raises
    ------
    CheckpointError
        If one is not; the message names its tensor.
    """
    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value.sum()) or torch.isfinite(value).all()):
            raise CheckpointError(
                f"{path} has values in {shown(name)!r} that are no finite numbers; give a checkpoint from before that"
            )


def check_state(own: Mapping[str, Tensor], state: Mapping[str, Tensor], path: Path) -> None:
    """See that a state dict fits a model's own.

    Raises
    ------
    CheckpointError
        If a key is missing, unexpected or of another shape, or a value is no finite number; the message names it.
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
    """Load a state dict strictly.

    Raises
    ------
    CheckpointError
        As :func:`check_state` does; the model is then as it was.
    """
    check_state(model.state_dict(), state, path)
    model.load_state_dict(dict(state))


class unfilled(TorchFunctionMode):  # noqa: N801 - it is used as a function
    """In this context weights are made without values, which takes no time; they are to come from :func:`fill`."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """No random numbers, nor what is made of them."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name.endswith(("uniform_", "normal_")) or name in ("div", "__truediv__"):
            unfilled: Tensor = args[0] if args else kwargs["tensor"]
            return unfilled
        return (torch.empty if func is torch.randn else func)(*args, **kwargs)


def fill(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Have a model take a state dict's tensors as its own, strictly and in float32.

    Raises
    ------
    CheckpointError
        As :func:`check_state` does.
    """
    check_state(model.state_dict(), state, path)
    model.load_state_dict(
        {name: value.float() if value.is_floating_point() else value for name, value in state.items()}, assign=True
    )
