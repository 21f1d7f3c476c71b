from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from facesynth.errors import CheckpointError, InputError
from facesynth.model.checkpoints import native
from facesynth.model.losses.parsing import Parsing, dice_loss, load_parsing
from facesynth.prep.portraits.draw import draw_portrait


class Brightness(nn.Module):
    """A parser of two classes: dark and light."""

    def forward(self, photos):
        light = 20 * photos.mean(1)
        return torch.stack([-light, light], 1)


def blocks(*columns: int) -> torch.Tensor:
    """Pictures dark to a column and light from there on."""
    places = torch.arange(32)
    return torch.stack([torch.where(places < column, -1.0, 1.0).expand(3, 32, 32) for column in columns])


def test_the_dice_loss_is_that_of_the_areas():
    parsing = Parsing(Brightness())
    # dark 16 and 8 columns: 1 - 2 * 8 / 24; light 16 and 24: 1 - 2 * 16 / 40
    assert parsing(blocks(8), blocks(16)).item() == pytest.approx((1 / 3 + 1 / 5) / 2, abs=1e-4)
    assert parsing(blocks(16, 8), blocks(16, 8)).item() == pytest.approx(0, abs=1e-6)


def test_classes_that_are_not_in_the_photo_do_not_count():
    light = blocks(0)
    assert Parsing(Brightness())(blocks(8), light).item() == pytest.approx(1 - 2 * 24 / 56, abs=1e-4)


def test_a_class_counts_as_much_as_any_however_small():
    wanted = torch.zeros(32, 32, dtype=torch.long)
    wanted[:2, :4] = 1  # eight pixels
    wanted[5, :7] = 2  # seven, which are too few
    wanted = F.one_hot(wanted, 3).movedim(2, 0)[None].float()
    found = wanted.clone()
    found[:, 0] += found[:, 1] + found[:, 2]
    found[:, 1:] = 0
    background = 1024 - 15
    lost = 1 - 2 * background / (1024 + background)
    assert dice_loss(found, wanted).item() == pytest.approx((lost + 1) / 2, abs=1e-6)


def test_gradients_reach_the_face_and_no_weight():
    parsing = load_parsing().train()
    assert not parsing.network.training
    assert not any(weight.requires_grad for weight in parsing.parameters())
    photo = torch.from_numpy(draw_portrait(3, 0, size=128).photo.copy()).movedim(2, 0)[None].float() / 127.5 - 1
    assert parsing(photo, photo) == pytest.approx(0, abs=1e-6)
    face = (0.5 * photo).requires_grad_()
    before = parsing(face, photo)
    before.backward()
    assert face.grad.abs().sum() > 0
    with torch.no_grad():
        nearer = face - 0.05 * face.grad / face.grad.abs().max()
        assert parsing(nearer, photo) < before


def test_other_sizes_are_brought_to_the_parsers():
    photo = torch.from_numpy(draw_portrait(3, 0, size=256).photo.copy()).movedim(2, 0)[None].float() / 127.5 - 1
    parsing = load_parsing()
    assert parsing.probabilities(photo).shape == (1, 19, 128, 128)
    assert parsing(photo.flip(3), photo) > 0.2


def test_wrong_input(tmp_path):
    parsing = Parsing(Brightness())
    with pytest.raises(InputError, match="needed: one shape"):
        parsing(torch.zeros(1, 3, 32, 32), torch.zeros(2, 3, 32, 32))
    with pytest.raises(InputError, match=r"pictures has shape \(1, 1, 32, 32\); needed: \(N, 3, H, H\)"):
        parsing(torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32))
    with pytest.raises(CheckpointError, match="holds no face parser"):
        load_parsing(native.find(tmp_path.__class__("portrait-seg")))
