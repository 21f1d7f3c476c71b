"""The choice of a device by name."""

from __future__ import annotations

import torch

from facesynth.errors import InputError

DEVICES = ("auto", "cpu", "cuda", "mps")


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
