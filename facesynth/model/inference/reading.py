"""Latents of inputs: predicted by the encoder, read from files, or interpolated between two.

A reading converts a file's content to an item and a batch of items to W+ latents, and returns the picture of an item for a
contact sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from facesynth.images import Picture
from facesynth.model.data.contact_sheet import show_condition
from facesynth.model.inference.kinds import ConditionReader
from facesynth.model.inference.latents import SUFFIX, read_latents
from facesynth.model.inference.sources import Source

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from facesynth.model.inference.translator import Translator
    from facesynth.model.networks.spatial import SpatialMaps


class Reading(Protocol):
    """The interface of readings."""

    def read(self, source: Source, file: Picture, /) -> tuple[Any, str]:
        """The item of a source, and a note on how it was converted, if it was; raises PictureError if it cannot be read."""

    def encode(self, items: Sequence[Any], /) -> Tensor:
        """The latents (N, n_styles, style_dim) of items."""

    def maps(self, items: Sequence[Any], /) -> SpatialMaps | None:
        """The spatial maps of items, (N, channels, resolution, resolution) by resolution; None if there are none."""

    def shown(self, item: Any, /) -> NDArray[np.uint8] | None:
        """The (H, W, 3) uint8 picture of an item for a contact sheet, if it has one."""


class ConditionReading:
    """Conditions, whose latents the encoder predicts."""

    def __init__(self, reader: ConditionReader) -> None:
        self.reader, self.translator = reader, reader.translator

    def read(self, source: Source, file: Picture) -> tuple[NDArray[np.uint8], str]:
        """The condition at the model's input size, (S, S) or (S, S, 3) uint8, and a note on how it was converted."""
        condition = self.reader.read(file) if source.root is None else self.reader.of_dataset(file)
        return condition.pixels, condition.note

    def encode(self, items: Sequence[NDArray[np.uint8]]) -> Tensor:
        """The encoder's latents, (N, n_styles, style_dim), of conditions (S, S) or (S, S, 3) uint8."""
        return self.translator.encode(np.stack(items))

    def maps(self, items: Sequence[NDArray[np.uint8]]) -> SpatialMaps | None:
        """The spatial path's maps of conditions, (N, channels, resolution, resolution) by resolution, if the model has one."""
        return self.translator.spatial_maps(np.stack(items))

    def shown(self, item: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The condition as an RGB picture for display, (S, S, 3) uint8."""
        return show_condition(item, self.translator.config.condition, self.translator.scheme)


class LatentsReading:
    """Files of latents."""

    def __init__(self, translator: Translator) -> None:
        self.translator = translator

    def read(self, _: Source, file: Picture) -> tuple[Tensor, str]:
        """The latents (n_styles, style_dim)."""
        return _read_latents(file, self.translator), ""

    def encode(self, items: Sequence[Tensor]) -> Tensor:
        """The latents (n_styles, style_dim) of the items, stacked to (N, n_styles, style_dim)."""
        return torch.stack(list(items))

    def maps(self, _: Sequence[Tensor]) -> None:
        """None: latents have no condition."""

    def shown(self, _: Tensor) -> None:
        """No picture."""


Frame = tuple["Tensor", "SpatialMaps | None"]
"""The latents (n_styles, style_dim) of one face, and its spatial maps, (1, channels, resolution, resolution) by resolution."""


class Way:
    """Latents interpolated linearly between those of two inputs.

    Parameters
    ----------
    reader : ConditionReader
    first, last : Path
        Pictures or files of latents.
    frames : int
        The number of latents, including both ends.

    Attributes
    ----------
    sources : list of Source
        One per frame.
    files : dict of Path to Picture
        The two ends, each read once.
    ends : list of str
        Digests of the ends.
    """

    def __init__(self, reader: ConditionReader, first: Path, last: Path, frames: int) -> None:
        translator = reader.translator
        self.files = {path: Picture.read(path) for path in (first, last)}
        begin, end = (_frame(self.files[path], reader) for path in (first, last))
        way = translator.interpolate(begin[0], end[0], frames)
        maps = _interpolate_maps(begin[1], end[1], frames)
        digits = len(str(frames - 1))
        names = [f"{first.stem}-{last.stem}_{number:0{digits}d}" for number in range(frames)]
        self.latents = dict(zip(names, way, strict=True))
        self._maps = dict(zip(names, maps, strict=True))
        self.sources = [Source(name, first if 2 * number < frames else last) for number, name in enumerate(names)]
        self.ends = [self.files[path].digest for path in (first, last)]

    def read(self, source: Source, _: Picture) -> tuple[Frame, str]:
        """The frame's latents (n_styles, style_dim) and its spatial maps."""
        return (self.latents[source.name], self._maps[source.name]), ""

    def encode(self, items: Sequence[Frame]) -> Tensor:
        """The latents (n_styles, style_dim) of the items, stacked to (N, n_styles, style_dim)."""
        return torch.stack([latents for latents, _ in items])

    def maps(self, items: Sequence[Frame]) -> SpatialMaps | None:
        """The spatial maps of the items, concatenated to (N, channels, resolution, resolution) by resolution."""
        found = [maps for _, maps in items if maps is not None]
        if not found:
            return None
        return {resolution: torch.cat([maps[resolution] for maps in found]) for resolution in found[0]}

    def shown(self, _: Frame) -> None:
        """No picture."""


def _frame(file: Picture, reader: ConditionReader) -> Frame:
    """The latents of a file and the spatial maps of a picture; no maps for a file of latents."""
    translator = reader.translator
    if file.path.suffix == SUFFIX:
        return _read_latents(file, translator), None
    pixels = reader.read(file).pixels[None]
    return translator.encode(pixels)[0], translator.spatial_maps(pixels)


def _interpolate_maps(first: SpatialMaps | None, last: SpatialMaps | None, frames: int) -> list[SpatialMaps | None]:
    """The maps of every frame, linearly interpolated; None for all frames unless both ends have maps."""
    if first is None or last is None:
        return [None] * frames
    weights = [number / (frames - 1) for number in range(frames)]
    return [{size: torch.lerp(first[size], last[size], weight) for size in first} for weight in weights]


def latents_of(file: Picture, reader: ConditionReader) -> tuple[Tensor, str]:
    """The latents (n_styles, style_dim) of a file of latents, or of a picture that the model encodes, and what was done to it.

    Raises
    ------
    PictureError
        If it is neither.
    """
    if file.path.suffix == SUFFIX:
        return _read_latents(file, reader.translator), ""
    condition = reader.read(file)
    return reader.translator.encode(condition.pixels[None])[0], condition.note


def _read_latents(file: Picture, translator: Translator) -> Tensor:
    return torch.from_numpy(read_latents(file.path, translator.config, file.data).copy()).to(translator.device)
