"""Devices, precisions and memory settings: names in; torch devices, autocast contexts and allocator settings out."""

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
"""Parameters of mallopt, from glibc's malloc.h."""
_LARGEST = 2**30
"""Freed memory of tensors with more bytes than this is returned to the system in any case."""
PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str = "auto") -> torch.device:
    """The device called ``name``; ``auto`` takes cuda, else mps, else the cpu.

    Raises
    ------
    InputError
        If this machine does not have it.
    """
    is_available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    available = [device for device, is_there in is_available.items() if is_there]
    if name == "auto":
        return torch.device(available[0])
    if name not in available:
        raise InputError(f"device {name!r} is not available here; this machine has: {', '.join(available)}")
    return torch.device(name)


def precise(name: str, device: torch.device) -> Callable[[], AbstractContextManager[None]]:
    """A factory of contexts in which convolutions and matrix products are computed in the precision called ``name``.

    On the device ``meta``, which computes nothing, the contexts have no effect.

    Raises
    ------
    InputError
        If there is no such precision.
    """
    if name not in PRECISIONS:
        raise InputError(f"precision is {name!r}; needed: {', '.join(PRECISIONS)}")
    if name == "float32" or device.type == "meta":  # which autocast does not support
        return nullcontext
    return partial(torch.autocast, device.type, dtype=PRECISIONS[name])


def need_compiler() -> None:
    """Check that the C++ compiler that :func:`torch.compile` needs for a CPU is installed: that in CXX, else g++ or clang++.

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
    """Make this process keep the memory of freed CPU tensors for later ones, on Linux.

    Otherwise glibc returns the memory of every large tensor to the system and requests it again in the next layer, and the
    system clears it page by page, which can take as long as the computation. The commands call this function; Python programs
    that translate or train on a CPU may call it as well.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST)
    mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST - 1)


def release_memory() -> None:
    """Return the memory of freed CPU tensors to the system, on Linux; the counterpart of :func:`keep_memory`.

    Useful where large tensors were replaced by others that are kept: freed memory between tensors that remain is seldom of the
    right size for new ones.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
    if trim is not None:  # glibc
        trim(0)
