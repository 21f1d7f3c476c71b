"""The manifest as pairs of condition and photo, and the order in which training sees them.

Pairs are 8-bit pictures; batches become floats on the device (see :mod:`facesynth.model.tensors`). A pair is read and made
as small as the model needs it, and kept where there is room; training then roughens the condition
(:mod:`facesynth.model.freehand`) and moves and recolours both (:mod:`facesynth.model.augment`), every time anew.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler, get_worker_info
from torch.utils.data import Dataset as TorchDataset

from facesynth import images
from facesynth.errors import DatasetError, PictureError
from facesynth.files import sha256
from facesynth.manifest import photo_sizes
from facesynth.model.augment import augment
from facesynth.model.freehand import roughen
from facesynth.model.tensors import BACKGROUND, to_square

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor

    from facesynth.labels import LabelScheme
    from facesynth.manifest import Dataset
    from facesynth.model.augment import Augmentation
    from facesynth.model.config import Condition, ModelConfig
    from facesynth.model.freehand import Roughness

log = logging.getLogger(__name__)

CACHE_BYTES = 1 << 30
"""Pairs are kept in memory once read if all of them, in every process that reads, take no more than this."""
READ_AHEAD = 2
"""Batches that every reading process has ready."""


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


def condition_columns(
    dataset: Dataset, condition: Condition, sketch: str | None = None, *, every: bool = False
) -> tuple[str, ...]:
    """The manifest columns that hold the condition: of sketches there may be several, of which a pair has one at a time.

    Parameters
    ----------
    dataset : Dataset
    condition : str
        labels, sketch or photo.
    sketch : str, optional
        The sketch method, or several joined by commas.
    every : bool
        Without ``sketch``, take all that the dataset has, rather than ask for one.

    Raises
    ------
    DatasetError
        As :func:`condition_column`.
    """
    have = [name.removeprefix("sketch_") for name in dataset.columns_of("sketch")] if condition == "sketch" else []
    names = have if every and sketch is None else [sketch] if sketch is None or sketch in have else sketch.split(",")
    return tuple(condition_column(dataset, condition, name) for name in dict.fromkeys(names or [None]))


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


class Pick(NamedTuple):
    """A pair as training sees it once.

    Attributes
    ----------
    pair : int
        Its index.
    draw : int
        Which of all that training sees, from 0: what is random of it depends on the seed and on these two.
    """

    pair: int
    draw: int


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
                condition = read_condition(path, config.condition, self.scheme, config.input_size)
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


class TrainingOrder(Sampler[list[Pick]]):
    """Batches of picks: every epoch a new order that depends on the seed and the epoch alone.

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

    def __iter__(self) -> Iterator[list[Pick]]:
        per_epoch = -(-self.length // self.batch_size)
        epoch, order = -1, np.empty(0, np.int64)
        for step in range(self.start, self.stop):
            if step // per_epoch != epoch:
                epoch = step // per_epoch
                order = np.random.default_rng([self.seed, epoch]).permutation(self.length)
            first = step % per_epoch * self.batch_size
            batch = np.take(order, range(first, first + self.batch_size), mode="wrap").tolist()
            yield [Pick(index, step * self.batch_size + place) for place, index in enumerate(batch)]


def batches(pairs: TorchDataset[Any], order: Sampler[list[Pick]], *, workers: int = 0) -> Generator[tuple[Tensor, ...]]:
    """What training goes through: batches of pairs, read ahead by processes of their own.

    These end when the generator does, by an error too, or is no longer held; and by themselves when the one that trains is
    gone.

    Parameters
    ----------
    pairs : PairedFaces, or another dataset whose items are picked
    order : sampler of lists of Pick
        Such as :class:`TrainingOrder`.
    workers : int
        Processes that read; 0 to read where one trains, when it is the batch's turn.

    Yields
    ------
    indices : (N,) int64 tensor
    conditions : (N, S, S) uint8 tensor; (N, S, S, 3) for photos
    photos : (N, T, T, 3) uint8 tensor

    Raises
    ------
    DatasetError
        As :class:`PairedFaces` does.
    """
    loader = DataLoader(
        pairs,
        batch_sampler=order,
        num_workers=workers,
        prefetch_factor=READ_AHEAD if workers else None,
        worker_init_fn=_one_thread,
    )
    try:
        yield from loader
    except DatasetError as error:  # that of a reading process comes with its traceback in front
        last = str(error).strip().splitlines()[-1]
        error.__traceback__ = None  # its frames hold the processes
    else:
        return
    raise DatasetError(last.removeprefix("facesynth.errors.DatasetError: "))


def _one_thread(_worker: int) -> None:
    """There is a process a core already. OpenCV's own threads are those of the parent and not there: 1 would wait for them."""
    cv2.setNumThreads(0)
