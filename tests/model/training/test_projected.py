"""The losses of projected discriminators: sums of hinges."""

from __future__ import annotations

import torch

from facesynth.model.training import projected

from ..recipe import normal


def test_the_losses_are_sums_of_hinges() -> None:
    real = [torch.tensor([2.0, 0.5]).reshape(2, 1, 1, 1), torch.full((2, 1, 2, 2), -1.0)]
    fake = [torch.tensor([-3.0, 1.0]).reshape(2, 1, 1, 1), torch.full((2, 1, 2, 2), 0.5)]
    assert projected.discriminator_loss(real, fake) == (0.25 + 1.0) + (2.0 + 1.5)
    assert projected.generator_loss(fake) == 1.0 - 0.5
    torch.testing.assert_close(projected.picture_scores(real), torch.tensor([0.5, -0.25]))


def test_large_pictures_are_reduced() -> None:
    small, large = normal("small", 1, 3, 64, 64), normal("large", 1, 3, 512, 512)
    assert torch.equal(projected.reduce(small), small)
    torch.testing.assert_close(projected.reduce(large), torch.nn.functional.avg_pool2d(large, 2))
