"""The pairs of condition and photo in a manifest: a manifest in, 8-bit arrays at the model's sizes out.

A pair is read, resized, and cached if memory allows. For training, every draw then applies new random augmentations: the
condition is roughened (:mod:`facesynth.model.data.freehand`) and both are warped and recoloured
(:mod:`facesynth.model.data.augment`). Batches are converted to floats on the device
(see :mod:`facesynth.model.data.tensors`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import get_worker_info

from facesynth import images
from facesynth.errors import DatasetError, PictureError
from facesynth.files import inside, sha256
from facesynth.model.data.augment import augment
from facesynth.model.data.columns import photo_column
from facesynth.model.data.conditions import read_condition
from facesynth.model.data.freehand import roughen
from facesynth.model.data.order import Pick
from facesynth.model.data.tensors import BACKGROUND, square_at

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from facesynth.manifest import Dataset
    from facesynth.model.config.model import ModelConfig
    from facesynth.model.data.augment import Augmentation
    from facesynth.model.data.freehand import Roughness

log = logging.getLogger(__name__)

CACHE_BYTES = 1 << 30
"""Pairs are cached if all of them, in all worker processes together, take no more bytes than this."""


class PairedFaces(TorchDataset[tuple[int, "NDArray[np.uint8]", "NDArray[np.uint8]"]]):
    """The pairs of one split of a dataset.

    An item is (index, condition, photo): the condition is an (S, S) uint8 array at the model's input size, (S, S, 3) for a
    photo; the photo is a (T, T, 3) uint8 RGB array at its output size. Indexed by an int, a pair is not augmented, and if there
    are several sketches per photo, it always has the same one. Indexed by a :class:`Pick`, it has a random sketch and is
    augmented as for training.

    Parameters
    ----------
    dataset : Dataset
    column : str or sequence of str
        The condition's column, or the columns of several sketches.
    split : str
        train, val or test.
    config : ModelConfig
        Gives the sizes and the kind of condition.
    augmentation : Augmentation, optional
        How training warps and recolours pairs.
    roughness : Roughness, optional
        How rough training makes the conditions.
    seed : int
        Seed of all random augmentation.
    skip_bad : int
        The most pairs with a bad picture that may be skipped; each is logged once. A skipped pair is replaced by the next
        pair that can be read, independently of the order of reading.

    Raises
    ------
    DatasetError
        If a column is missing or the split is empty; on indexing, if a picture is bad and no more pairs may be skipped. The
        message names the id.
    """

    def __init__(
        self,
        dataset: Dataset,
        column: str | Sequence[str],
        split: str,
        config: ModelConfig,
        *,
        augmentation: Augmentation | None = None,
        roughness: Roughness | None = None,
        seed: int = 0,
        skip_bad: int = 0,
    ) -> None:
        columns = [column] if isinstance(column, str) else list(column)
        rows = dataset.with_columns(*columns, "photo", split=split)
        photo = photo_column(rows, config.output_size)
        self.ids: list[str] = rows["id"].tolist()
        taken = [photo_column(rows, config.input_size) if name == "photo" else name for name in columns]
        self.root = dataset.root
        self.conditions: list[list[Path]] = [[dataset.root / path for path in paths] for paths in rows[taken].values]
        self.photos: list[Path] = [dataset.root / path for path in rows[photo]]
        digests = rows[["id", "photo_sha256", *(f"{name}_sha256" for name in columns)]]
        self.digest = sha256(digests.to_csv(index=False).encode())
        """Identifies the set of pairs."""
        self.scheme = dataset.scheme
        self.config = config
        self.augmentation, self.roughness, self.seed, self.skip_bad = augmentation, roughness, seed, skip_bad
        depth = 3 if config.condition == "photo" else 1
        self._bytes_needed = len(self.ids) * (len(columns) * depth * config.input_size**2 + 3 * config.output_size**2)
        self.cached = self._bytes_needed <= CACHE_BYTES
        """Whether a single process keeps all pairs in memory."""
        self._conditions: dict[tuple[int, int], NDArray[np.uint8]] = {}
        self._photos: dict[int, NDArray[np.uint8]] = {}
        self._default_column = [index % len(columns) for index in range(len(self.ids))]
        self.bad = torch.zeros(len(self.ids), len(columns), dtype=torch.uint8)
        """(pairs, columns) uint8: 1 where a picture was found to be bad."""
        if skip_bad:
            self.bad.share_memory_()  # type: ignore[no-untyped-call]  # the worker processes share the count

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def skipped(self) -> list[str]:
        """The ids skipped so far, by any process."""
        return [self.ids[index] for index in self.bad.any(1).nonzero()[:, 0].tolist()]

    def drop_bad(self) -> None:
        """Read every pair once and remove those with a bad picture, if ``skip_bad`` allows it."""
        for index in range(len(self)):
            self._first_readable(index, self._default_column[index])
        kept = (self.bad.any(1) == 0).nonzero()[:, 0].tolist()
        self.ids = [self.ids[index] for index in kept]
        self.conditions = [self.conditions[index] for index in kept]
        self.photos = [self.photos[index] for index in kept]
        self._default_column = [self._default_column[index] for index in kept]
        self.bad = torch.zeros(len(kept), self.bad.shape[1], dtype=torch.uint8)
        self._conditions, self._photos = {}, {}

    def add_bad(self, bad: Tensor) -> None:
        """Add bad pictures that other training processes found in the same pairs.

        Parameters
        ----------
        bad : (pairs, columns) tensor
            As :attr:`bad`: not 0 where any process found a bad picture.

        Raises
        ------
        DatasetError
            If there are then more bad pairs than may be skipped.
        """
        self.bad.logical_or_(bad)
        if len(self.skipped) > self.skip_bad:
            raise DatasetError(
                f"ids {', '.join(self.skipped)}: {len(self.skipped)} bad pairs are more than the {self.skip_bad} that may be "
                "skipped"
            )

    def __getitem__(self, key: int | Pick) -> tuple[int, NDArray[np.uint8], NDArray[np.uint8]]:
        if isinstance(key, Pick):
            return self._draw(key)
        if not 0 <= key < len(self):
            raise IndexError(f"pair {key} of {len(self)}")
        return self._first_readable(key, self._default_column[key])

    def _draw(self, pick: Pick) -> tuple[int, NDArray[np.uint8], NDArray[np.uint8]]:
        rng = np.random.default_rng([self.seed, pick.draw, pick.pair])
        column_index = int(rng.integers(len(self.conditions[pick.pair])))
        index, condition, photo = self._first_readable(pick.pair, column_index)
        kind = self.config.condition
        if self.roughness is not None:
            condition = roughen(condition, kind, self.roughness, rng, self.scheme)
        if self.augmentation is not None:
            condition, photo = augment(condition, photo, kind, self.augmentation, rng, mirror=self.scheme.mirror)
        return index, condition, photo

    def _first_readable(self, first: int, column_index: int) -> tuple[int, NDArray[np.uint8], NDArray[np.uint8]]:
        """The pair with index ``first``, or the next one that can be read if it is bad and may be skipped."""
        for index in (*range(first, len(self)), *range(first)):
            if not self.bad[index, column_index]:
                try:
                    return index, *self._pair(index, column_index)
                except DatasetError as error:
                    self._skip(index, column_index, error)
        raise DatasetError(f"no pair of {len(self)} can be read")

    def _skip(self, index: int, column_index: int, error: DatasetError) -> None:
        if not self.skip_bad:
            raise error
        already_skipped = bool(self.bad[index].any())
        self.bad[index, column_index] = 1
        if already_skipped:
            return
        count = len(self.skipped)
        if count > self.skip_bad:
            raise DatasetError(
                f"{error}; {count} bad pairs are more than the {self.skip_bad} that may be skipped"
            ) from error
        log.warning("skipped %d of at most %d bad pairs: %s", count, self.skip_bad, error)

    def _pair(self, index: int, column_index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The pair with the condition from one column, from the cache or from its files."""
        condition, photo = self._conditions.get((index, column_index)), self._photos.get(index)
        config, path = self.config, self.conditions[index][column_index]
        try:
            if condition is None:
                inside(self.root, path.relative_to(self.root))
                condition = read_condition(path, config.condition, self.scheme, config.input_size, strict=True).pixels
            if path == self.photos[index] and config.input_size == config.output_size:
                photo = condition
            if photo is None:
                inside(self.root, self.photos[index].relative_to(self.root))
                photo = square_at(images.read_photo(self.photos[index]), BACKGROUND["photo"], config.output_size)
        except (PictureError, DatasetError) as error:
            raise DatasetError(f"id {self.ids[index]}: {error}") from error
        worker = get_worker_info()
        if self._bytes_needed * (worker.num_workers if worker else 1) <= CACHE_BYTES:
            self._conditions[index, column_index], self._photos[index] = condition, photo
        return condition, photo
