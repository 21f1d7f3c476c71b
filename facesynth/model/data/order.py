"""The order in which training draws the samples of a dataset, and batches prefetched in that order."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from facesynth.errors import DatasetError, OutputError
from facesynth.processes import end_with

if TYPE_CHECKING:
    from torch import Tensor


READ_AHEAD = 2
"""Batches that each worker process prefetches."""


class Pick(NamedTuple):
    """One draw of a sample in training.

    Attributes
    ----------
    pair : int
        Index of the pair or photo.
    draw : int
        Number of the draw in the whole training, from 0. The random augmentation depends on the seed and these two numbers.
    """

    pair: int
    draw: int


class TrainingOrder(Sampler[list[Pick]]):
    """Batches of picks, in an order that is shuffled anew in every epoch and depends only on the seed and the epoch.

    A run that resumes at step ``start`` therefore gets the same batches as one that was never interrupted. The last batch of
    an epoch is filled up from the beginning of that epoch's order.

    Parameters
    ----------
    length : int
        Number of pairs.
    batch_size, seed : int
    start, stop : int
        First step, and the step after the last.
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
            yield [Pick(index, step * self.batch_size + offset) for offset, index in enumerate(batch)]


def batches(pairs: TorchDataset[Any], order: Sampler[list[Pick]], *, workers: int = 0) -> Generator[tuple[Tensor, ...]]:
    """The batches of a training run, prefetched by worker processes.

    The workers stop when the generator ends, raises or is discarded, and on their own when the training process is gone.

    Parameters
    ----------
    pairs : PairedFaces, or another dataset that is indexed by picks
    order : sampler of lists of Pick
        Such as :class:`TrainingOrder`.
    workers : int
        Worker processes; with 0, each batch is read in the training process when it is needed.

    Yields
    ------
    indices : (N,) int64 tensor
    conditions : (N, S, S) uint8 tensor; (N, S, S, 3) for photos
    photos : (N, T, T, 3) uint8 tensor

    Raises
    ------
    DatasetError
        As :class:`~facesynth.model.data.pairs.PairedFaces`.
    OutputError
        If a worker died.
    """
    loader = DataLoader(
        pairs,
        batch_sampler=order,
        num_workers=workers,
        prefetch_factor=READ_AHEAD if workers else None,
        worker_init_fn=partial(_begin, os.getpid()),
    )
    try:
        yield from loader
    except DatasetError as error:  # in a worker, its traceback precedes the message
        last = str(error).strip().splitlines()[-1]
        error.__traceback__ = None  # its frames keep the workers alive
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise OutputError(
            "a process that reads pictures died, most likely out of memory; run the same command again with fewer --workers, "
            "it continues from the newest checkpoint"
        ) from error
    else:
        return
    raise DatasetError(last.removeprefix("facesynth.errors.DatasetError: "))


def _begin(parent: int, _worker: int) -> None:
    """End with the training process, and turn off OpenCV's threads in a worker: there is already one worker per core.

    The thread pool of the parent process does not exist in the worker, and with a setting of 1 OpenCV would wait for it.
    """
    end_with(parent)
    cv2.setNumThreads(0)
