"""The manifest as pairs of condition and photo, and the order in which training sees them.

Pairs are 8-bit pictures; batches become floats on the device (see :mod:`facesynth.model.data.tensors`). A pair is read and made
as small as the model needs it, and kept where there is room; training then roughens the condition
(:mod:`facesynth.model.data.freehand`) and moves and recolours both (:mod:`facesynth.model.data.augment`), every time anew.
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
from facesynth.files import sha256
from facesynth.model.data.augment import augment
from facesynth.model.data.columns import photo_column
from facesynth.model.data.conditions import read_condition
from facesynth.model.data.freehand import roughen
from facesynth.model.data.order import Pick
from facesynth.model.data.tensors import BACKGROUND, to_square

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
"""Pairs are kept in memory once read if all of them, in every process that reads, take no more than this."""


class PairedFaces(TorchDataset[tuple[int, "NDArray[np.uint8]", "NDArray[np.uint8]"]]):
    """The pairs of one split.

    An item is (index, condition, photo): (S, S) uint8 at the model's input size and (T, T, 3) uint8 at its output size.
    By its index it is as it stands in the dataset, where there are several sketches always the same one of them; by a
    :class:`Pick` it is as training sees it, in any of them, roughened and moved.

    Parameters
    ----------
    dataset : Dataset
    column : str or sequence of str
        The condition's column, or those of several sketches.
    split : str
        train, val or test.
    config : ModelConfig
        Gives the sizes.
    augmentation : Augmentation, optional
        How training moves and recolours pairs.
    roughness : Roughness, optional
        How rough training makes the conditions.
    seed : int
        Of all that is random.
    skip_bad : int
        So many pairs with a bad picture are left out, each told of once; a pick of one is a pick of the next pair that has
        a good one in its place, whatever was read before.

    Raises
    ------
    DatasetError
        If a column is missing or the split is empty; later, with the id, if a picture is bad, and one more than allowed.
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
        self.conditions: list[list[Path]] = [[dataset.root / path for path in paths] for paths in rows[taken].values]
        self.photos: list[Path] = [dataset.root / path for path in rows[photo]]
        digests = rows[["id", "photo_sha256", *(f"{name}_sha256" for name in columns)]]
        self.digest = sha256(digests.to_csv(index=False).encode())
        """Tells two sets of pairs apart."""
        self.scheme = dataset.scheme
        self.config = config
        self.augmentation, self.roughness, self.seed, self.skip_bad = augmentation, roughness, seed, skip_bad
        depth = 3 if config.condition == "photo" else 1
        self._needs = len(self.ids) * (len(columns) * depth * config.input_size**2 + 3 * config.output_size**2)
        self.cached = self._needs <= CACHE_BYTES
        """Whether one process keeps all pairs in memory."""
        self._conditions: dict[tuple[int, int], NDArray[np.uint8]] = {}
        self._photos: dict[int, NDArray[np.uint8]] = {}
        self._usual = [index % len(columns) for index in range(len(self.ids))]
        self.bad = torch.zeros(len(self.ids), len(columns), dtype=torch.uint8)
        """(pairs, columns): 1 where a picture was found to be bad."""
        if skip_bad:
            self.bad.share_memory_()  # type: ignore[no-untyped-call]  # all processes that read for this one count together

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def skipped(self) -> list[str]:
        """The ids that were left out so far, in any process."""
        return [self.ids[index] for index in self.bad.any(1).nonzero()[:, 0].tolist()]

    def drop_bad(self) -> None:
        """Read every pair once, and leave out for good those with a bad picture, if they may be left out."""
        for index in range(len(self)):
            self._readable(index, self._usual[index])
        kept = (self.bad.any(1) == 0).nonzero()[:, 0].tolist()
        self.ids = [self.ids[index] for index in kept]
        self.conditions = [self.conditions[index] for index in kept]
        self.photos = [self.photos[index] for index in kept]
        self._usual = [self._usual[index] for index in kept]
        self.bad = torch.zeros(len(kept), self.bad.shape[1], dtype=torch.uint8)
        self._conditions, self._photos = {}, {}

    def add_bad(self, bad: Tensor) -> None:
        """Count what others that train on the same pairs found, too.

        Parameters
        ----------
        bad : tensor
            As :attr:`bad`, not 0 where any of them found a bad picture.

        Raises
        ------
        DatasetError
            If that makes more bad pairs than may be left out.
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
        return self._readable(key, self._usual[key])

    def _draw(self, pick: Pick) -> tuple[int, NDArray[np.uint8], NDArray[np.uint8]]:
        rng = np.random.default_rng([self.seed, pick.draw, pick.pair])
        which = int(rng.integers(len(self.conditions[pick.pair])))
        index, condition, photo = self._readable(pick.pair, which)
        kind = self.config.condition
        if self.roughness is not None:
            condition = roughen(condition, kind, self.roughness, rng, self.scheme)
        if self.augmentation is not None:
            condition, photo = augment(condition, photo, kind, self.augmentation, rng, mirror=self.scheme.mirror)
        return index, condition, photo

    def _readable(self, first: int, which: int) -> tuple[int, NDArray[np.uint8], NDArray[np.uint8]]:
        """The pair, or the next that can be read where it cannot and that is allowed."""
        for index in (*range(first, len(self)), *range(first)):
            if not self.bad[index, which]:
                try:
                    return index, *self._pair(index, which)
                except DatasetError as error:
                    self._leave_out(index, which, error)
        raise DatasetError(f"no pair of {len(self)} can be read")

    def _leave_out(self, index: int, which: int, error: DatasetError) -> None:
        if not self.skip_bad:
            raise error
        is_known = bool(self.bad[index].any())
        self.bad[index, which] = 1
        if is_known:
            return
        count = len(self.skipped)
        if count > self.skip_bad:
            raise DatasetError(
                f"{error}; {count} bad pairs are more than the {self.skip_bad} that may be skipped"
            ) from error
        log.warning("left out, %d of %d that may be: %s", count, self.skip_bad, error)

    def _pair(self, index: int, which: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The pair with one of its sketches, from the memory or read."""
        condition, photo = self._conditions.get((index, which)), self._photos.get(index)
        config, path = self.config, self.conditions[index][which]
        try:
            if condition is None:
                condition = read_condition(path, config.condition, self.scheme, config.input_size, strict=True).pixels
            if path == self.photos[index] and config.input_size == config.output_size:
                photo = condition
            if photo is None:
                square = to_square(images.read_photo(self.photos[index]), BACKGROUND["photo"])
                photo = images.resize(square, (config.output_size, config.output_size))
        except PictureError as error:
            raise DatasetError(f"id {self.ids[index]}: {error}") from error
        reading = get_worker_info()
        if self._needs * (reading.num_workers if reading else 1) <= CACHE_BYTES:
            self._conditions[index, which], self._photos[index] = condition, photo
        return condition, photo
