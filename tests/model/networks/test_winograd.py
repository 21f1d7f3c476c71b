"""Minimal filtering: the sums of the plain convolution."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from facesynth.model.networks import winograd

from ..recipe import normal


@pytest.mark.parametrize(("height", "width"), [(4, 4), (8, 12), (64, 64), (136, 8)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_sums_are_those_of_the_plain_convolution(height: int, width: int, channels_last: bool) -> None:
    features, weight, bias = normal("features", 2, 5, height, width), normal("weight", 7, 5, 3, 3), normal("bias", 7)
    if channels_last:
        features = features.contiguous(memory_format=torch.channels_last)
    own = winograd.convolve(features, winograd.transformed(weight), bias)
    torch.testing.assert_close(own, F.conv2d(features, weight, bias, padding=1), rtol=1e-4, atol=1e-4)
    assert own.is_contiguous(memory_format=torch.channels_last)


def test_channels_are_scaled_before_and_after() -> None:
    features, weight, bias = normal("features", 3, 5, 8, 8), normal("weight", 7, 5, 3, 3), normal("bias", 7)
    scales, factors = normal("scales", 3, 5), normal("factors", 3, 7)
    own = winograd.convolve(features, winograd.transformed(weight), bias, scales=scales, factors=factors)
    plain = F.conv2d(features * scales[:, :, None, None], weight, padding=1) * factors[:, :, None, None]
    torch.testing.assert_close(own, plain + bias[:, None, None], rtol=1e-4, atol=1e-4)


def test_many_channels_round_little_worse_than_the_plain_sum() -> None:
    features, weight = normal("features", 1, 256, 32, 32), normal("weight", 8, 256, 3, 3)
    exact = F.conv2d(features.double(), weight.double(), padding=1)

    def error(made: Tensor) -> float:
        return (made - exact).abs().max().item()

    own = error(winograd.convolve(features, winograd.transformed(weight), torch.zeros(8)))
    assert own < 20 * error(F.conv2d(features, weight, padding=1))
    assert own < 1e-5 * exact.abs().max().item()


@pytest.mark.parametrize(
    ("in_channels", "out_channels", "size", "pays"),
    [(256, 256, 32, True), (512, 256, 128, True), (128, 256, 64, False), (256, 256, 16, False), (512, 512, 30, False)],
)
def test_it_pays_for_many_channels_on_middling_maps(in_channels: int, out_channels: int, size: int, pays: bool) -> None:
    assert winograd.pays(in_channels, out_channels, size) is pays
