from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

from facesynth import images
from facesynth.model.data.tensors import NARROW, condition_tensor, photo_tensor, square_at, to_pictures, to_square


def test_label_maps_become_one_hot():
    labels = torch.tensor([[[0, 1, 2], [4, 4, 0]]], dtype=torch.uint8)
    planes = condition_tensor(labels, "labels", 5)
    assert (planes.shape, planes.dtype) == ((1, 5, 2, 3), torch.float32)
    assert torch.equal(planes.sum(1), torch.ones(1, 2, 3))
    assert torch.equal(planes.argmax(1), labels.long())


def test_sketches_become_zero_to_one():
    planes = condition_tensor(torch.tensor([[[0, 51, 255]]], dtype=torch.uint8), "sketch", 1)
    assert planes.shape == (1, 1, 1, 3)
    assert planes.flatten().tolist() == pytest.approx([0.0, 0.2, 1.0])


def test_photos_become_minus_one_to_one_channels_first():
    pixels = torch.tensor([[[[0, 51, 255], [255, 0, 102]]]], dtype=torch.uint8)
    planes = photo_tensor(pixels)
    assert planes.shape == (1, 3, 1, 2)
    assert planes[0, :, 0, 0].tolist() == pytest.approx([-1.0, -0.6, 1.0])
    assert planes[0, :, 0, 1].tolist() == pytest.approx([1.0, -1.0, -0.2])
    assert torch.equal(condition_tensor(pixels, "photo", 3), planes)


def test_pictures_come_back_exactly():
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(2, 16, 8, 3)
    np.testing.assert_array_equal(to_pictures(photo_tensor(torch.from_numpy(pixels))), pixels)


def test_faces_out_of_range_are_clipped():
    faces = torch.tensor([-7.0, -1.0, 0.0, 0.999, 40.0]).expand(1, 3, 1, 5).clone().requires_grad_()
    assert to_pictures(faces)[0, 0, :, 1].tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize(
    ("shape", "inside"), [((2, 5), (slice(1, 3), slice(0, 5))), ((5, 3), (slice(0, 5), slice(1, 4)))]
)
@pytest.mark.parametrize("channels", [(), (3,)])
def test_to_square_centres_and_fills(shape, inside, channels):
    array = np.random.default_rng(0).integers(0, 200, (*shape, *channels), np.uint8)
    square = to_square(array, 255)
    assert square.shape == (5, 5, *channels)
    np.testing.assert_array_equal(square[inside], array)
    outside = np.ones((5, 5), bool)
    outside[inside] = False
    assert (square[outside] == 255).all()


def test_a_square_stays_as_it_is():
    array = np.arange(16, dtype=np.uint8).reshape(4, 4)
    np.testing.assert_array_equal(to_square(array, 9), array)


@pytest.mark.parametrize("shape", [(24, 24), (24, 10), (7, 56), (30, 20, 3)])
def test_usual_pictures_are_padded_and_then_resized(shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    expected = images.resize(to_square(picture, 9), (16, 16), labels=True)
    np.testing.assert_array_equal(square_at(picture, 9, 16, labels=True), expected)


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("shape", [(60_000, 1), (1, 400_000), (1, 60_000, 3), (1, NARROW + 1)])
def test_narrow_pictures_take_no_memory_of_a_square(shape, labels):
    picture = np.full(shape, 7, np.uint8)
    tracemalloc.start()
    square = square_at(picture, 0, 64, labels=labels)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert square.shape == (64, 64, *shape[2:])
    assert peak < 2 * picture.nbytes + 100_000
    strip = max(1, round(64 / max(shape[:2])))
    assert np.count_nonzero(square == 7) == square.size // 64 * strip
