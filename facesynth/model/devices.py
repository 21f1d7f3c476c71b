"""The choice of a device and of a precision by name."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch

from facesynth.errors import InputError

DEVICES = ("auto", "cpu", "cuda", "mps")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Names of settings in glibc's malloc.h."""
_LARGEST = 2**30
"""A tensor of more bytes is given back all the same."""
PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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

    On the device ``meta``, which computes nothing, they change nothing.

    Raises
    ------
    InputError
        If there is no such precision.
    """
    if name not in PRECISIONS:
        raise InputError(f"precision is {name!r}; needed: {', '.join(PRECISIONS)}")
    if name == "float32" or device.type == "meta":  # autocast does not know it
        return nullcontext
    return partial(torch.autocast, device.type, dtype=PRECISIONS[name])


def need_compiler() -> None:
    """See that :func:`torch.compile` finds the C++ compiler that it needs for a CPU: what CXX names, else g++ or clang++.

    Raises
    ------
    InputError
        If there is none.
    """
    name = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(name) is None:
        raise InputError(
            f"compiling needs a C++ compiler, and {name} is not to be found: install one (on Debian: apt-get install g++), "
            "set CXX, or leave compiling away"
        )


def keep_memory() -> None:
    """Make this process keep the memory of tensors that it frees, for those that come; on Linux, for the CPU.

    Otherwise glibc returns that of every large map to the system and asks for it again at the next layer, and the system clears
    it page by page, which can take as long as the arithmetic. The commands do this; who translates or trains in Python
    on a CPU may.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST)
    mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST - 1)
