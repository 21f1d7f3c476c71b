"""Renaming state dicts between facesynth's layout and a published one: keys and axes of length 1 change, values do not.

A published layout is described by a mapping from facesynth's keys to published keys, and by the keys under which it stores
the resampling filter. facesynth stores no such constant: the filter is compared on import and written on export.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from facesynth.errors import CheckpointError
from facesynth.model.checkpoints.unpickler import shown

_MOST_KEYS_NAMED = 4


class PublishedKey(NamedTuple):
    """The key of a tensor in a published layout, and the axes of length 1 by which its shape there differs."""

    key: str
    leading_axes: int = 0
    """Leading axes of length 1 that only the published tensor has."""
    trailing_axes: int = 0
    """Trailing axes of length 1 that only facesynth's tensor has."""

    def published_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The published shape of a tensor that has this shape in facesynth."""
        return (1,) * self.leading_axes + shape[: len(shape) - self.trailing_axes]


def import_state(
    published: Mapping[str, Tensor],
    keys: Mapping[str, PublishedKey],
    shapes: Mapping[str, tuple[int, ...]],
    filters: Mapping[str, Tensor],
    *,
    what: str,
    sizes: str,
) -> dict[str, Tensor]:
    """A published state dict with facesynth's keys and shapes.

    Parameters
    ----------
    published : mapping of str to tensor
        The published state dict; tensors of any dtype.
    keys : mapping of str to PublishedKey
        The published key of each of facesynth's keys.
    shapes : mapping of str to tuple of int
        The shape of each tensor in facesynth, by facesynth's keys.
    filters : mapping of str to (4, 4) tensor
        The resampling filter under each published key that stores it.
    what, sizes : str
        For messages: what ``published`` is, and the sizes it should have.

    Returns
    -------
    dict of str to tensor
        By facesynth's keys, of the shapes ``shapes``; dtypes are unchanged and memory is shared with ``published``.

    Raises
    ------
    CheckpointError
        If a key is missing or unexpected, a shape differs, or a stored filter is not the expected one.
    """
    _check_keys(published, [*(target.key for target in keys.values()), *filters], what, sizes)
    state: dict[str, Tensor] = {}
    for name, target in keys.items():
        needed = target.published_shape(shapes[name])
        tensor = published[target.key]
        if tuple(tensor.shape) != needed:
            raise CheckpointError(f"{target.key} has shape {tuple(tensor.shape)}; needed: {needed} for {sizes}")
        state[name] = tensor.reshape(shapes[name])
    for key, needed_filter in filters.items():
        stored = published[key]
        if stored.shape != (4, 4) or not torch.allclose(stored.float().cpu(), needed_filter, atol=1e-6):
            raise CheckpointError(f"{key} is not the [1, 3, 3, 1] filter; no other resampling filter is supported")
    return state


def export_state(
    state: Mapping[str, Tensor],
    keys: Mapping[str, PublishedKey],
    shapes: Mapping[str, tuple[int, ...]],
    filters: Mapping[str, Tensor],
    *,
    sizes: str,
) -> dict[str, Tensor]:
    """A state dict of facesynth's with the published keys and shapes.

    Parameters
    ----------
    state : mapping of str to tensor
        By facesynth's keys, of the shapes ``shapes`` and any dtype.
    keys, shapes, filters, sizes
        As in :func:`import_state`.

    Returns
    -------
    dict of str to tensor
        By the published keys, with a copy of each filter; the other tensors share their memory with ``state``.

    Raises
    ------
    CheckpointError
        If a key is missing or unexpected, or a shape differs.
    """
    _check_keys(state, list(keys), "the state dict", sizes)
    published: dict[str, Tensor] = {}
    for name, target in keys.items():
        tensor = state[name]
        if tuple(tensor.shape) != shapes[name]:
            raise CheckpointError(f"{name} has shape {tuple(tensor.shape)}; needed: {shapes[name]} for {sizes}")
        published[target.key] = tensor.reshape(target.published_shape(shapes[name]))
    return published | {key: value.clone() for key, value in filters.items()}


def resampling_filter(total: float) -> Tensor:
    """The (4, 4) float32 filter [1, 3, 3, 1] x [1, 3, 3, 1], scaled so that its values sum to ``total``."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) * (total / 64.0)


def listed(keys: Sequence[str]) -> str:
    """The keys on one line: the first four by name, the rest as a count."""
    rest = len(keys) - _MOST_KEYS_NAMED
    return ", ".join(map(shown, keys[:_MOST_KEYS_NAMED])) + (f" and {rest} more" if rest > 0 else "")


def _check_keys(state: Mapping[str, Tensor], needed: Sequence[str], what: str, sizes: str) -> None:
    missing = [key for key in needed if key not in state]
    expected = set(needed)
    unexpected = [key for key in state if key not in expected]
    if missing:
        raise CheckpointError(f"{what} lacks {listed(missing)}; needed for {sizes}")
    if unexpected:
        raise CheckpointError(f"{what} has unexpected {listed(unexpected)}; needed: {sizes}")
