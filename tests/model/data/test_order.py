from __future__ import annotations

import os
import signal
from itertools import chain

import numpy as np
import pytest
import torch

from facesynth.errors import OutputError
from facesynth.model.data.order import TrainingOrder, batches


def pairs_in(order):
    return [[pick.pair for pick in batch] for batch in order]


@pytest.mark.parametrize(("length", "batch"), [(12, 4), (13, 4), (5, 5), (7, 1)])
def test_an_epoch_sees_every_pair_once(length, batch):
    per_epoch = -(-length // batch)
    order = pairs_in(TrainingOrder(length, batch, 3, 0, 3 * per_epoch))
    assert {len(indices) for indices in order} == {batch}
    epochs = [list(chain(*order[first : first + per_epoch])) for first in range(0, len(order), per_epoch)]
    for epoch in epochs:
        assert sorted(epoch[:length]) == list(range(length))
        assert epoch[length:] == epoch[: per_epoch * batch - length]
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_going_on_sees_the_rest_of_the_whole_order():
    whole = list(TrainingOrder(10, 3, 8, 0, 25))
    for start in range(26):
        order = TrainingOrder(10, 3, 8, start, 25)
        assert list(order) == whole[start:]
        assert len(order) == 25 - start


def test_the_order_depends_on_the_seed():
    assert list(TrainingOrder(10, 3, 8, 0, 4)) != list(TrainingOrder(10, 3, 9, 0, 4))


def test_sets_smaller_than_a_batch_are_repeated():
    for indices in pairs_in(TrainingOrder(3, 8, 0, 0, 5)):
        assert len(indices) == 8
        assert [indices.count(index) for index in indices[:2]] == [3, 3]
        assert set(indices) == {0, 1, 2}
    assert pairs_in(TrainingOrder(1, 2, 0, 0, 2)) == [[0, 0], [0, 0]]


def test_no_draw_comes_twice():
    picks = list(chain(*TrainingOrder(3, 2, 0, 0, 9)))
    assert [pick.draw for pick in picks] == list(range(18))


class _Dying(torch.utils.data.Dataset):
    """Pictures of which one kills the process that reads it."""

    def __getitem__(self, pick):
        if pick.pair == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.zeros(3)


@pytest.mark.slow
def test_a_process_that_dies_is_one_line():
    with pytest.raises(
        OutputError, match="a process that reads pictures died, most likely out of memory; run the same"
    ):
        list(batches(_Dying(), TrainingOrder(9, 3, 0, 0, 3), workers=1))
