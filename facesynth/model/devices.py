"""The choice of a device and of a precision by name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch

from facesynth.errors import InputError

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("float32", "bfloat16", "float16")


def choose_device(name: str = "auto") -> torch.device:
    """The device called ``name``; ``auto`` takes cuda, else mps, else the cpu.

    Raises
    ------
    InputError
        If this machine does not have it.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    have = [device for device, is_there in there.items() if is_there]
    if name == "auto":
        return torch.device(have[0])
    if name not in have:
        raise InputError(f"device {name!r} is not to be had here; this machine has: {', '.join(have)}")
    return torch.device(name)


def precise(name: str, device: torch.device) -> Callable[[], AbstractContextManager[None]]:
    """Makes contexts in which convolutions and products are computed in the precision called ``name``.

    Raises
    ------
    InputError
        If there is no such precision.
    """
    if name not in PRECISIONS:
        raise InputError(f"precision is {name!r}; needed: {', '.join(PRECISIONS)}")
    if name == "float32":
        return nullcontext
    return partial(torch.autocast, device.type, dtype=getattr(torch, name))
