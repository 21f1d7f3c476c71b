"""The projected discriminator: a score for every place, no layer stronger than its spectral norm lets it be."""

from __future__ import annotations

import pytest
import torch

from facesynth.errors import InputError
from facesynth.model.networks.projected import ProjectedDiscriminator, SpectralConv2d

from ..recipe import normal


def test_a_layers_kernel_has_the_spectral_norm_one() -> None:
    torch.manual_seed(0)
    layer = SpectralConv2d(5, 7, 3, padding=1)
    with torch.no_grad():
        layer.bias.zero_()
        for _ in range(200):
            layer(torch.zeros(1, 5, 4, 4))
    norm = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
    features = normal("features", 2, 5, 6, 6)
    with torch.no_grad():
        expected = torch.nn.functional.conv2d(features, layer.weight / norm, padding=1)
        torch.testing.assert_close(layer(features), expected, rtol=1e-4, atol=1e-5)


def test_the_singular_vector_moves_in_training_alone_and_the_gradient_knows_the_norm() -> None:
    torch.manual_seed(0)
    layer = SpectralConv2d(5, 7, 3)
    before = layer.left.clone()
    layer.eval()(torch.zeros(1, 5, 4, 4))
    assert torch.equal(layer.left, before)
    out = layer.train()(normal("features", 1, 5, 4, 4))
    assert not torch.equal(layer.left, before)
    out.square().sum().backward()
    assert layer.weight.grad is not None
    # scaling the kernel changes nothing, so the gradient is across it
    assert abs((layer.weight.grad * layer.weight.detach()).sum()) < 1e-2 * layer.weight.grad.norm()


def test_scores_of_every_map_and_of_the_picture_with_its_condition() -> None:
    network = ProjectedDiscriminator((4, 6), 2).eval()
    maps = [normal("a", 3, 4, 9, 9), normal("b", 3, 6, 5, 5)]
    pictures, condition = normal("pictures", 3, 3, 32, 32), normal("condition", 3, 2, 64, 64)
    with torch.no_grad():
        scores = network(maps, pictures, condition)
        assert [tuple(score.shape) for score in scores] == [(3, 1, 9, 9), (3, 1, 5, 5), (3, 1, 2, 2)]
        others = network(maps, pictures, -condition)
        assert [torch.equal(a, b) for a, b in zip(scores, others, strict=True)] == [True, True, False]
        one = network([values[:1] for values in maps], pictures[:1], condition[:1])
        for score, alone in zip(scores, one, strict=True):
            torch.testing.assert_close(score[:1], alone)
    with pytest.raises(InputError, match="there are 1 maps; needed: 2"):
        network(maps[:1], pictures, condition)
    with pytest.raises(InputError, match="condition has 0 channels; needed: 2"):
        network(maps, pictures)


def test_scores_of_pictures_without_conditions() -> None:
    network = ProjectedDiscriminator((4,)).eval()
    maps, pictures = [normal("a", 3, 4, 9, 9)], normal("pictures", 3, 3, 32, 32)
    with torch.no_grad():
        scores = network(maps, pictures)
        assert [tuple(score.shape) for score in scores] == [(3, 1, 9, 9), (3, 1, 2, 2)]
        same = network(maps, pictures, torch.empty(3, 0, 16, 16))
        assert all(torch.equal(a, b) for a, b in zip(scores, same, strict=True))
    with pytest.raises(InputError, match="condition has 2 channels; needed: 0"):
        network(maps, pictures, normal("condition", 3, 2, 32, 32))


def test_it_can_be_run_without_values() -> None:
    with torch.device("meta"):
        scores = ProjectedDiscriminator((4,))([torch.empty(3, 4, 9, 9)], torch.empty(3, 3, 32, 32))
    assert [tuple(score.shape) for score in scores] == [(3, 1, 9, 9), (3, 1, 2, 2)]
