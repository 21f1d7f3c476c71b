"""The memory that autograd saves for a backward pass: a forward pass in, bytes per storage out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


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
