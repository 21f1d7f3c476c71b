from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from facesynth.errors import InputError
from facesynth.model.losses.sliced_wasserstein import PATCHES, PatchDistance, _smooth, draw_patches, laplacian_pyramid

from ..recipe import normal


def smooth(name: str, count: int = 12, size: int = 32) -> torch.Tensor:
    """Pictures whose detail lies in coarse scales."""
    return F.interpolate(normal(name, count, 3, 8, 8), size=(size, size), mode="bicubic", align_corners=False) / 2


def test_the_pyramid_is_the_picture_taken_apart():
    pictures = normal("pictures", 2, 3, 64, 64)
    levels = laplacian_pyramid(pictures)
    assert [level.shape[-1] for level in levels] == [64, 32, 16]
    again = levels[-1]
    for level in levels[-2::-1]:
        spread = torch.zeros_like(level)
        spread[..., ::2, ::2] = again
        again = level + _smooth(spread, 4.0)
    torch.testing.assert_close(again, pictures)


def test_a_flat_picture_has_no_detail():
    *details, coarsest = laplacian_pyramid(torch.full((1, 3, 64, 64), 0.3))
    assert max(level.abs().max() for level in details) < 1e-6
    torch.testing.assert_close(coarsest, torch.full((1, 3, 16, 16), 0.3))


def test_detail_lies_in_the_scale_of_its_size():
    board = torch.tensor([1.0, -1.0]).repeat(16).expand(1, 3, 32, 32)
    fine, coarse = laplacian_pyramid(board)
    assert fine.abs().mean() > 0.9
    assert coarse.abs().mean() < 0.05


def test_patches_are_pieces_of_their_pictures():
    pictures = torch.arange(2 * 3 * 16 * 16).reshape(2, 3, 16, 16).float()
    patches = draw_patches(pictures, torch.Generator().manual_seed(0))
    assert patches.shape == (2 * PATCHES, 3, 7, 7)
    corners = patches[:, 0, 0, 0].long()
    assert (corners[:PATCHES] < 256).all()
    assert (corners[PATCHES:] >= 3 * 256).all()
    expected = corners[:, None, None, None] + torch.arange(3)[:, None, None] * 256
    expected = expected + torch.arange(7)[:, None] * 16 + torch.arange(7)
    assert torch.equal(patches.long(), expected)
    assert len(corners[:PATCHES].unique()) > 50


def test_a_set_is_no_way_from_itself_however_it_is_batched():
    pictures = smooth("pictures")
    distance = PatchDistance([pictures])
    assert distance([pictures]) == {32: 0.0, 16: 0.0}
    assert max(distance([pictures[:5], pictures[5:]]).values()) < 1e-3
    assert min(distance([pictures.flip(0)]).values()) > 0.1  # other places of the same pictures


@pytest.mark.slow
def test_one_dimension_of_normal_values_is_their_known_distance():
    """Between N(0, 1) and N(m, 1) the distance along a direction u is |m . u|, which has a known mean."""
    distance = PatchDistance([normal("a", 200, 3, 16, 16)])
    moved = distance([normal("b", 200, 3, 16, 16) + 0.5])
    shift = 0.5 * (3 * 49) ** 0.5  # length of the shift of a descriptor
    expected = shift * (2 / (torch.pi * 3 * 49)) ** 0.5  # times the mean of a unit vector's coordinate
    assert moved[16] / 1000 == pytest.approx(expected, rel=0.15)


def test_the_distance_grows_with_what_is_wrong():
    distance = PatchDistance([smooth("photos")])
    same_kind = distance([smooth("others")])
    blurred = distance([F.avg_pool2d(smooth("others"), 5, 1, 2)])
    grainy = distance([smooth("others") + 0.1 * normal("grain", 12, 3, 32, 32)])
    tinted = distance([smooth("others") + torch.tensor([0.6, 0.0, -0.6])[:, None, None]])
    flat = distance([torch.zeros(12, 3, 32, 32)])
    assert same_kind[16] < blurred[16] < flat[16]
    assert grainy[32] > 3 * same_kind[32]
    assert tinted[16] > 2 * same_kind[16]
    assert tinted[32] == pytest.approx(same_kind[32], rel=1e-3)


@pytest.mark.parametrize(
    ("batches", "says"),
    [
        ([], "there are no pictures to compare"),
        ([torch.zeros(3, 3, 32, 32)], "pictures came: 3 of 32 px; needed: 4 of 32 px"),
        ([torch.zeros(4, 3, 64, 64)], "pictures came: 4 of 64 px; needed: 4 of 32 px"),
    ],
)
def test_another_number_or_size(batches, says):
    with pytest.raises(InputError, match=says):
        PatchDistance([normal("photos", 4, 3, 32, 32)])(batches)
