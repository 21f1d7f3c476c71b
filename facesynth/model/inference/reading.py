"""How what comes in becomes latents: by the encoder, as given, or on the way between two.

A reading takes a source to an item, a batch of items to W+ latents, and knows what a contact sheet shows of a source.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from facesynth import images
from facesynth.errors import WrongKindError
from facesynth.files import sha256
from facesynth.model.data.contact_sheet import show_condition
from facesynth.model.inference.inputs import read_input
from facesynth.model.inference.latents import SUFFIX, read_latents
from facesynth.model.inference.sources import Source

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from facesynth.model.inference.translator import Translator
    from facesynth.model.networks.spatial import SpatialMaps


class Reading(Protocol):
    """The interface."""

    def read(self, source: Source, /) -> tuple[Any, str]:
        """What is encoded of a source, and a note on how it was read; PictureError if it cannot be."""

    def encode(self, items: Sequence[Any], /) -> Tensor:
        """The latents (N, n_styles, style_dim) of items."""

    def maps(self, items: Sequence[Any], /) -> SpatialMaps | None:
        """What the faces of items follow beside their latents."""

    def shown(self, source: Source, /) -> NDArray[np.uint8] | None:
        """What a contact sheet shows of a source."""


class ConditionReading:
    """Pictures that the model encodes."""

    def __init__(self, translator: Translator) -> None:
        self.translator = translator

    def read(self, source: Source) -> tuple[NDArray[np.uint8], str]:
        """The condition at the model's input size."""
        return _read_condition(source.path, self.translator)

    def encode(self, items: Sequence[NDArray[np.uint8]]) -> Tensor:
        """By the encoder."""
        return self.translator.encode(np.stack(items))

    def maps(self, items: Sequence[NDArray[np.uint8]]) -> SpatialMaps | None:
        """By the spatial path, where the model has one."""
        return self.translator.spatial_maps(np.stack(items))

    def shown(self, source: Source) -> NDArray[np.uint8]:
        """The condition as people see it."""
        return show_condition(self.read(source)[0], self.translator.config.condition, self.translator.scheme)


class LatentsReading:
    """Files of latents."""

    def __init__(self, translator: Translator) -> None:
        self.translator = translator

    def read(self, source: Source) -> tuple[Tensor, str]:
        """The latents (n_styles, style_dim)."""
        return _read_latents(source.path, self.translator), ""

    def encode(self, items: Sequence[Tensor]) -> Tensor:
        """As they are."""
        return torch.stack(list(items))

    def maps(self, _: Sequence[Tensor]) -> None:
        """None: latents come without a condition."""

    def shown(self, _: Source) -> None:
        """Nothing."""


Frame = tuple["Tensor", "SpatialMaps | None"]
"""Latents (n_styles, style_dim) and the maps of one face."""


class Way:
    """Latents on the straight way from one input to another.

    Parameters
    ----------
    translator : Translator
    first, last : Path
        Pictures or files of latents.
    frames : int
        How many, both ends among them.

    Attributes
    ----------
    sources : list of Source
        One a frame.
    ends : list of str
        Digests of the ends.
    """

    def __init__(self, translator: Translator, first: Path, last: Path, frames: int) -> None:
        way = translator.interpolate(latents_of(first, translator), latents_of(last, translator), frames)
        between = _maps_between(translator, first, last, frames)
        digits = len(str(frames - 1))
        names = [f"{first.stem}-{last.stem}_{number:0{digits}d}" for number in range(frames)]
        self.latents = dict(zip(names, way, strict=True))
        self._between = dict(zip(names, between, strict=True))
        self.sources = [Source(name, first if 2 * number < frames else last) for number, name in enumerate(names)]
        self.ends = [sha256(images.read_bytes(path)) for path in (first, last)]

    def read(self, source: Source) -> tuple[Frame, str]:
        """The frame's latents (n_styles, style_dim), and the maps between those of the ends."""
        return (self.latents[source.name], self._between[source.name]), ""

    def encode(self, items: Sequence[Frame]) -> Tensor:
        """As they are."""
        return torch.stack([latents for latents, _ in items])

    def maps(self, items: Sequence[Frame]) -> SpatialMaps | None:
        """As they are."""
        found = [maps for _, maps in items if maps is not None]
        if not found:
            return None
        return {size: torch.cat([maps[size] for maps in found]) for size in found[0]}

    def shown(self, _: Source) -> None:
        """Nothing."""


def _maps_between(translator: Translator, first: Path, last: Path, frames: int) -> list[SpatialMaps | None]:
    """The maps of every frame between two pictures; none where the model has no spatial path or an end is of latents."""
    ends = [path for path in (first, last) if path.suffix != SUFFIX]
    if translator.model.spatial is None or len(ends) < 2:
        return [None] * frames
    begin, end = (translator.spatial_maps(_read_condition(path, translator)[0][None]) for path in ends)
    assert begin is not None
    assert end is not None
    shares = [number / (frames - 1) for number in range(frames)]
    return [{size: torch.lerp(begin[size], end[size], share) for size in begin} for share in shares]


def latents_of(path: Path, translator: Translator) -> Tensor:
    """The latents (n_styles, style_dim) of a file of latents, or of a picture that the model encodes.

    Raises
    ------
    PictureError
        If it is neither.
    """
    if path.suffix == SUFFIX:
        return _read_latents(path, translator)
    return translator.encode(_read_condition(path, translator)[0][None])[0]


def _read_latents(path: Path, translator: Translator) -> Tensor:
    return torch.from_numpy(read_latents(path, translator.config).copy()).to(translator.device)


def _read_condition(path: Path, translator: Translator) -> tuple[NDArray[np.uint8], str]:
    config = translator.config
    try:
        return read_input(path, config.condition, translator.scheme, config.input_size)
    except WrongKindError as error:
        raise WrongKindError(f"{error}; {translator.path} is a {translator.task} checkpoint") from error
