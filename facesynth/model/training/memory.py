"""The memory that autograd keeps for a backward pass, counted while a forward pass runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


@contextlib.contextmanager
def kept_by_autograd(known: Iterable[int]) -> Iterator[dict[int, int]]:
    """The bytes of every storage that autograd keeps in the block, by its place, but those known already."""
    bytes_of: dict[int, int] = {}
    alive: list[Tensor] = []
    seen = set(known)

    def keep(tensor: Tensor) -> Tensor:
        if (place := _place(tensor)) not in seen:
            bytes_of[place] = tensor.untyped_storage().nbytes()
            alive.append(tensor)  # so that no other storage takes the place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield bytes_of


def _place(tensor: Tensor) -> int:
    place: int = tensor.untyped_storage()._cdata
    return place
