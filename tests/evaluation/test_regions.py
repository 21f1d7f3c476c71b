from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_jaccard_index

from facesynth.errors import InputError
from facesynth.evaluation.metrics.regions import iou_by_class, overlaps, pixel_accuracy


def test_they_are_those_of_torchmetrics():
    rng = np.random.default_rng(0)
    true, found = rng.integers(0, 4, (2, 16, 16), np.uint8)
    counts = overlaps(true, found, 4)
    a, b = torch.from_numpy(found), torch.from_numpy(true)
    expected = multiclass_jaccard_index(a, b, 4, average="none").numpy()
    np.testing.assert_allclose(iou_by_class(counts), expected, rtol=1e-4)
    assert pixel_accuracy(counts) == pytest.approx(multiclass_accuracy(a, b, 4, average="micro").item(), rel=1e-4)


def test_a_class_that_the_true_maps_lack_has_no_number():
    true, found = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
    found[0] = 2
    told = iou_by_class(overlaps(true, found, 3))
    assert told[0] == pytest.approx(0.75)
    assert np.isnan(told[1:]).all()


def test_sums_over_pictures_weigh_pixels():
    small, large = (
        overlaps(np.ones((2, 2), np.uint8), np.zeros((2, 2), np.uint8), 2),
        overlaps(*np.ones((2, 4, 4), np.uint8), 2),
    )
    assert iou_by_class(small + large)[1] == pytest.approx(16 / 20)
    assert iou_by_class(np.stack([small, large]))[:, 1].tolist() == [0, 1]


def test_what_is_refused():
    with pytest.raises(InputError, match="one shape"):
        overlaps(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8), 2)
    with pytest.raises(InputError, match="class id 7; needed: less than 2"):
        overlaps(np.full((2, 2), 7, np.uint8), np.zeros((2, 2), np.uint8), 2)
