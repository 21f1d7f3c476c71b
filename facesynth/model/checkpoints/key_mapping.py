"""How a state dict lies in a published layout: every tensor of ours under another key, perhaps with other axes of length 1.

A layout is a mapping of our names to places, and the keys under which it stores the resampling filter. We keep no such
constant: it is compared on the way in and written on the way out. Values never change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from facesynth.errors import CheckpointError
from facesynth.model.checkpoints.unpickler import shown

_NAMED_AT_MOST = 4


class Place(NamedTuple):
    """Where a tensor of ours lies in a published layout, and which axes of length 1 it has there and here."""

    key: str
    leading_axes: int = 0
    """Axes before its own that it has there alone."""
    trailing_axes: int = 0
    """Axes at its end that it has here alone."""

    def shape_there(self, ours: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that a tensor with this shape here has there."""
        return (1,) * self.leading_axes + ours[: len(ours) - self.trailing_axes]


def to_ours(
    theirs: Mapping[str, Tensor],
    places: Mapping[str, Place],
    shapes: Mapping[str, tuple[int, ...]],
    filters: Mapping[str, Tensor],
    *,
    what: str,
    sizes: str,
) -> dict[str, Tensor]:
    """Our names and shapes for a published state dict.

    Parameters
    ----------
    theirs
        The published state dict.
    places
        By our names.
    shapes
        Ours, by our names.
    filters
        The resampling filter under each key where the layout stores it.
    what, sizes
        For messages: what ``theirs`` is, and the sizes it should have.

    Returns
    -------
    dict[str, Tensor]
        Sharing the given tensors' memory.

    Raises
    ------
    CheckpointError
        If a key is missing or not expected, a shape does not fit, or a stored filter is another one.
    """
    needed_keys = [*(place.key for place in places.values()), *filters]
    _check_keys(theirs, needed_keys, what, sizes)
    ours: dict[str, Tensor] = {}
    for name, place in places.items():
        needed = place.shape_there(shapes[name])
        tensor = theirs[place.key]
        if tuple(tensor.shape) != needed:
            raise CheckpointError(f"{place.key} has shape {tuple(tensor.shape)}; needed: {needed} for {sizes}")
        ours[name] = tensor.reshape(shapes[name])
    for key, needed_filter in filters.items():
        stored = theirs[key]
        if stored.shape != (4, 4) or not torch.allclose(stored.float().cpu(), needed_filter, atol=1e-6):
            raise CheckpointError(f"{key} is not the [1, 3, 3, 1] filter; no other resampling filter is supported")
    return ours


def to_theirs(
    ours: Mapping[str, Tensor],
    places: Mapping[str, Place],
    shapes: Mapping[str, tuple[int, ...]],
    filters: Mapping[str, Tensor],
    *,
    sizes: str,
) -> dict[str, Tensor]:
    """The published names and shapes for a state dict of ours; the parameters are those of :func:`to_ours`.

    Raises
    ------
    CheckpointError
        If a key is missing or not expected, or a shape does not fit.
    """
    _check_keys(ours, list(places), "the state dict", sizes)
    theirs: dict[str, Tensor] = {}
    for name, place in places.items():
        tensor = ours[name]
        if tuple(tensor.shape) != shapes[name]:
            raise CheckpointError(f"{name} has shape {tuple(tensor.shape)}; needed: {shapes[name]} for {sizes}")
        theirs[place.key] = tensor.reshape(place.shape_there(shapes[name]))
    return theirs | {key: value.clone() for key, value in filters.items()}


def resampling_filter(total: float) -> Tensor:
    """The (4, 4) filter [1, 3, 3, 1] x [1, 3, 3, 1], scaled to this sum."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) * (total / 64.0)


def listed(keys: Sequence[str]) -> str:
    """The keys in one line, the first few by name."""
    rest = len(keys) - _NAMED_AT_MOST
    return ", ".join(map(shown, keys[:_NAMED_AT_MOST])) + (f" and {rest} more" if rest > 0 else "")


def _check_keys(given: Mapping[str, Tensor], needed: Sequence[str], what: str, sizes: str) -> None:
    missing = [key for key in needed if key not in given]
    expected = set(needed)
    unexpected = [key for key in given if key not in expected]
    if missing:
        raise CheckpointError(f"{what} lacks {listed(missing)}; needed for {sizes}")
    if unexpected:
        raise CheckpointError(f"{what} has unexpected {listed(unexpected)}; needed: {sizes}")
