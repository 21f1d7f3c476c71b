"""The order in which training sees the samples of a dataset, and the batches read ahead in that order."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from facesynth.errors import DatasetError

if TYPE_CHECKING:
    from torch import Tensor


READ_AHEAD = 2
"""Batches that every reading process has ready."""


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
