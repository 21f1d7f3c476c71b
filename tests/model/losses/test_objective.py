from __future__ import annotations

import pytest
import torch
from torch import nn

from facesynth.errors import InputError
from facesynth.model.config.train import NETWORK_OF_TERM, TERMS
from facesynth.model.losses import pixel
from facesynth.model.losses.objective import Objective

from ...runs import small_model, small_run


class Distance(nn.Module):
    """A stand-in that remembers the sizes it saw."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.seen: list[int] = []

    def forward(self, a, b):
        self.seen.append(a.shape[2])
        return self.scale * (a - b).abs().mean()


def batch(size: int, n_styles: int = 8):
    rng = torch.Generator().manual_seed(3)
    faces, photos = (torch.randn(2, 3, size, size, generator=rng) for _ in range(2))
    latents = torch.randn(2, n_styles, 16, generator=rng)
    return faces.requires_grad_(), photos, latents, torch.randn(n_styles, 16, generator=rng)


def test_the_loss_is_the_weighted_sum_of_terms_in_their_own_units():
    weights = {name: 0.1 * (place + 1) for place, name in enumerate(TERMS)}
    config = small_run(model=small_model(output_size=256, channel_base=256), **weights)
    networks = {"lpips": Distance(2.0), "identity": Distance(3.0), "moco": Distance(4.0), "parsing": Distance(5.0)}
    faces, photos, latents, average = batch(256)
    loss, terms = Objective(config, networks)(faces, photos, latents, average)
    crop = (..., slice(35, 223), slice(32, 220))
    whole, inner = (faces - photos).abs().mean(), (faces[crop] - photos[crop]).abs().mean()
    expected = {
        "l2": (faces - photos).square().mean(),
        "l1": whole,
        "l2_crop": (faces[crop] - photos[crop]).square().mean(),
        "lpips": 2 * whole,
        "lpips_crop": 2 * inner,
        "identity": 3 * whole,
        "moco": 4 * whole,
        "laplacian": pixel.laplacian(faces, photos),
        "lines": pixel.lines(faces, photos),
        "parsing": 5 * whole,
        "w_norm": (latents - average).flatten(1).norm(dim=1).mean(),
    }
    assert terms.keys() == {"loss", *expected}
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, msg=name)
    torch.testing.assert_close(loss, sum(weights[name] * value for name, value in expected.items()))
    loss.backward()
    assert faces.grad.abs().sum() > 0
    assert networks["lpips"].scale.grad is None
    assert networks["lpips"].seen == [256, 188]


def test_what_weighs_nothing_is_neither_computed_nor_needed():
    config = small_run(l2=0.0, laplacian=0.5)
    faces, photos, latents, average = batch(32)
    loss, terms = Objective(config, {"lpips": Distance(1.0)})(faces, photos, latents, average)
    assert list(terms) == ["loss", "l2", "laplacian", "w_norm"]
    torch.testing.assert_close(loss, 0.5 * terms["laplacian"] + config.w_norm * terms["w_norm"])


def test_larger_pictures_are_compared_at_256_px():
    config = small_run(lpips=1.0, l2_crop=1.0, lpips_crop=1.0, model=small_model(output_size=512, channel_base=512))
    distance = Distance(1.0)
    faces, photos, latents, average = batch(512)
    _, terms = Objective(config, {"lpips": distance})(faces, photos, latents, average)
    small = [picture.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean(dim=(3, 5)) for picture in (faces, photos)]
    torch.testing.assert_close(terms["l2"], pixel.l2(*small))
    assert distance.seen == [256, 188]


@pytest.mark.parametrize(("term", "network"), NETWORK_OF_TERM.items())
def test_a_missing_network_is_named(term, network):
    config = small_run(model=small_model(output_size=256, channel_base=256), **{term: 0.5})
    with pytest.raises(
        InputError, match=rf"{term} weighs 0\.5 but the {network} network is not there; give it, or weigh"
    ):
        Objective(config, {})


def test_networks_are_frozen_and_evaluated():
    distance = Distance(1.0)
    objective = Objective(small_run(lpips=1.0), {"lpips": distance}).train()
    assert not distance.training
    assert not distance.scale.requires_grad
    assert not objective.training


class Convolving(Distance):
    """A stand-in that computes by a convolution, and remembers in what."""

    def forward(self, a, b):
        self.seen.append(nn.functional.conv2d(a, torch.ones(1, 3, 1, 1)).dtype)
        return super().forward(a, b)


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_parser_alone_computes_in_the_runs_precision(precision, dtype):
    networks = {name: Convolving(1.0) for name in ("parsing", "lpips")}
    faces, photos, latents, average = batch(32)
    config = small_run(parsing=1.0, lpips=1.0, precision=precision)
    _, terms = Objective(config, networks)(faces, photos, latents, average)
    assert networks["parsing"].seen == [dtype, 32]
    assert networks["lpips"].seen[:1] == [torch.float32]
    assert {value.dtype for value in terms.values()} == {torch.float32}
