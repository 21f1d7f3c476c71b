"""The manifest as pairs of condition and photo, and the order in which training sees them.

Pairs are 8-bit pictures; batches become floats on the device (see :mod:`facesynth.model.tensors`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Sampler

from facesynth import images
from facesynth.errors import DatasetError, PictureError
from facesynth.files import sha256
from facesynth.manifest import photo_sizes
from facesynth.model.tensors import BACKGROUND, to_square

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from facesynth.labels import LabelScheme
    from facesynth.manifest import Dataset
    from facesynth.model.config import Condition, ModelConfig

CACHE_BYTES = 1 << 30
"""Pairs are kept in memory once read if all of them take no more than this."""


def read_condition(path: Path, condition: Condition, scheme: LabelScheme, size: int) -> NDArray[np.uint8]:
    """A label map or sketch, made square and resized, as the model sees it.

    Returns
    -------
    (size, size) uint8 array; (size, size, 3) for a photo

    Raises
    ------
    PictureError
        If it cannot be read or is another kind of picture.
    """
    if condition == "labels":
        array = images.read_labels(path, scheme)
    elif condition == "sketch":
        array = images.read_sketch(path)
    else:
        array = images.read_photo(path)
    return images.resize(to_square(array, BACKGROUND[condition]), (size, size), labels=condition == "labels")


def read_target(path: Path, size: int) -> NDArray[np.uint8]:
    """A photo, made square and resized, as a generator is to make it.

    Returns
    -------
    (size, size, 3) uint8 array

    Raises
    ------
    PictureError
        If it cannot be read or is another kind of picture.
    """
    return images.resize(to_square(images.read_photo(path), BACKGROUND["photo"]), (size, size))


def condition_column(dataset: Dataset, condition: Condition, sketch: str | None = None) -> str:
    """The manifest column that holds the condition.

    Parameters
    ----------
    dataset : Dataset
    condition : str
        labels, sketch or photo.
    sketch : str, optional
        The sketch method, where the dataset holds several.

    Raises
    ------
    DatasetError
        If there is none, there are several sketches and ``sketch`` does not choose, or there is nothing to choose.
    """
    if condition != "sketch":
        if sketch is not None:
            raise DatasetError(
                f"the sketch method {sketch!r} came, but the condition is {condition}; leave out --sketch"
            )
        return condition
    have = [name.removeprefix("sketch_") for name in dataset.columns_of("sketch")]
    if sketch is None and len(have) == 1:
        return f"sketch_{have[0]}"
    if sketch is None and have:
        raise DatasetError(f"{dataset.root} holds the sketches {', '.join(have)}; choose one with --sketch")
    if sketch not in have:
        wanted = f"sketches {sketch!r}" if sketch else "sketches"
        holds = ", ".join(have) or "none"
        raise DatasetError(f"{dataset.root} has no {wanted} (it has {holds}); make them with `facesynth prep sketches`")
    return f"sketch_{sketch}"


def photo_column(rows: pd.DataFrame, size: int) -> str:
    """The manifest column of the photos to decode for training at ``size``: the smallest that are large enough.

    Parameters
    ----------
    rows : DataFrame
        Of a manifest.
    size : int
        Height and width that the model makes, pixels.

    Returns
    -------
    str
        ``photo_<n>`` with the smallest ``n`` not less than ``size`` that every row has, else ``photo``.
    """
    enough = {
        n: name for n, name in photo_sizes(map(str, rows.columns)).items() if n >= size and (rows[name] != "").all()
    }
    return enough[min(enough)] if enough else "photo"


class PairedFaces(TorchDataset[tuple[int, "NDArray[np.uint8]", "NDArray[np.uint8]"]]):
    """The pairs of one split.

    An item is (index, condition, photo): (S, S) uint8 at the model's input size and (T, T, 3) uint8 at its output size.

    Parameters
    ----------
    dataset : Dataset
    column : str
        The condition's column.
    split : str
        train, val or test.
    config : ModelConfig
        Gives the sizes.

    Raises
    ------
    DatasetError
        If the column is missing or the split is empty; later, with the id, if a picture is bad.
    """

    def __init__(self, dataset: Dataset, column: str, split: str, config: ModelConfig) -> None:
        rows = dataset.with_columns(column, "photo", split=split)
        photo = photo_column(rows, config.output_size)
        self.ids: list[str] = rows["id"].tolist()
        self.conditions: list[Path] = [dataset.root / path for path in rows[column]]
        self.photos: list[Path] = [dataset.root / path for path in rows[photo]]
        digests = rows[["id", "photo_sha256", f"{column}_sha256"]]
        self.digest = sha256(digests.to_csv(index=False).encode())
        """Tells two sets of pairs apart."""
        self.scheme = dataset.scheme
        self.config = config
        needs = len(self.ids) * (config.input_size**2 + 3 * config.output_size**2)
        self.cached = needs <= CACHE_BYTES
        self._cache: dict[int, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[int, NDArray[np.uint8], NDArray[np.uint8]]:
        if index not in self._cache:
            pair = self._read(index)
            if not self.cached:
                return index, *pair
            self._cache[index] = pair
        return index, *self._cache[index]

    def _read(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        config = self.config
        try:
            condition = read_condition(self.conditions[index], config.condition, self.scheme, config.input_size)
            return condition, read_target(self.photos[index], config.output_size)
        except PictureError as error:
            raise DatasetError(f"id {self.ids[index]}: {error}") from error


class Photos(TorchDataset[tuple[int, "NDArray[np.uint8]"]]):
    """The photos of one split, whatever else the dataset has.

    An item is (index, photo): (S, S, 3) uint8.

    Parameters
    ----------
    dataset : Dataset
    split : str
        train, val or test.
    size : int
        Height and width, pixels.

    Raises
    ------
    DatasetError
        If the split is empty; later, with the id, if a photo is bad.
    """

    def __init__(self, dataset: Dataset, split: str, size: int) -> None:
        rows = dataset.with_columns("photo", split=split)
        self.ids: list[str] = rows["id"].tolist()
        self.photos: list[Path] = [dataset.root / path for path in rows[photo_column(rows, size)]]
        self.digest = sha256(rows[["id", "photo_sha256"]].to_csv(index=False).encode())
        """Tells two sets of photos apart."""
        self.size = size
        self.cached = len(self.ids) * 3 * size**2 <= CACHE_BYTES
        self._cache: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[int, NDArray[np.uint8]]:
        if index in self._cache:
            return index, self._cache[index]
        try:
            photo = read_target(self.photos[index], self.size)
        except PictureError as error:
            raise DatasetError(f"id {self.ids[index]}: {error}") from error
        if self.cached:
            self._cache[index] = photo
        return index, photo


class TrainingOrder(Sampler[list[int]]):
    """Batches of indices: every epoch a new order that depends on the seed and the epoch alone.

    A run that goes on at step ``start`` therefore sees the same batches as one that was never interrupted. The last batch
    of an epoch is filled up from the epoch's beginning.

    Parameters
    ----------
    length : int
        Pairs.
    batch_size, seed : int
    start, stop : int
        First step, and the one after the last.
    """

    def __init__(self, length: int, batch_size: int, seed: int, start: int, stop: int) -> None:
        self.length, self.batch_size, self.seed, self.start, self.stop = length, batch_size, seed, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[int]]:
        per_epoch = -(-self.length // self.batch_size)
        epoch, order = -1, np.empty(0, np.int64)
        for step in range(self.start, self.stop):
            if step // per_epoch != epoch:
                epoch = step // per_epoch
                order = np.random.default_rng([self.seed, epoch]).permutation(self.length)
            first = step % per_epoch * self.batch_size
            yield np.take(order, range(first, first + self.batch_size), mode="wrap").tolist()


def flip_pairs(
    condition: Tensor, photo: Tensor, which: Tensor, mirror: tuple[int, ...] | None
) -> tuple[Tensor, Tensor]:
    """Mirror some pairs, condition and photo together.

    Parameters
    ----------
    condition : (N, H, W) or (N, H, W, 3) uint8 tensor
    photo : (N, H, W, 3) uint8 tensor
    which : (N,) bool tensor
        The pairs to mirror.
    mirror : tuple of int, optional
        For label maps, the id that each id turns into, so that left and right stay the person's own.

    Returns
    -------
    condition, photo : tensors of the same shapes
    """
    flipped = condition.flip(2)
    if mirror is not None:
        flipped = torch.tensor(mirror, dtype=condition.dtype, device=condition.device)[flipped.long()]
    chosen = which.view(-1, *[1] * (condition.ndim - 1))
    return torch.where(chosen, flipped, condition), torch.where(which.view(-1, 1, 1, 1), photo.flip(2), photo)
