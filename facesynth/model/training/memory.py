"""Memory: what autograd saves for a backward pass, in bytes per storage, and whether weights fit at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from facesynth.errors import InputError


@contextlib.contextmanager
def kept_by_autograd(known: Iterable[int]) -> Iterator[dict[int, int]]:
    """The sizes of the storages that autograd saves within the context, filled in as the forward pass runs.

    Parameters
    ----------
    known
        Addresses of storages that are not counted, such as those of weights.

    Yields
    ------
    dict of int to int
        Bytes by the address of the storage.
    """
    bytes_of: dict[int, int] = {}
    alive: list[Tensor] = []
    excluded = set(known)

    def keep(tensor: Tensor) -> Tensor:
        if (address := _place(tensor)) not in excluded:
            bytes_of[address] = tensor.untyped_storage().nbytes()
            alive.append(tensor)  # so that its address is not reused
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield bytes_of


def _place(tensor: Tensor) -> int:
    """The address of a tensor's storage."""
    address: int = tensor.untyped_storage()._cdata
    return address


def check_fits(make: Callable[[], nn.Module], copies: int = 1) -> None:
    """Check that a network's weights fit into this machine's memory before they are made: systems promise more than they have.

    Parameters
    ----------
    make
        Makes the network.
    copies
        How many of it are made, such as 2 with an average of the weights.

    Raises
    ------
    InputError
        If they do not.
    """
    with torch.device("meta"):
        needed = copies * sum(weight.nbytes for weight in make().parameters())
    if needed > (present := _memory()):
        raise InputError(
            f"the weights take {needed / 1e9:.1f} GB, and this machine has {present / 1e9:.1f} GB; give smaller sizes"
        )


def _memory() -> float:
    """Bytes of this machine's memory; infinite if the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return float("inf")
