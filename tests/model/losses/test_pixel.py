from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch

from facesynth.errors import InputError
from facesynth.model.losses.pixel import face_crop, l2, laplacian, lines, w_norm

from .. import recipe

GOLDEN = json.loads((recipe.DATA / "losses.json").read_text())


def test_w_norm_is_the_published_one():
    latents = recipe.normal("loss-latent", 3, 14, 512)
    assert w_norm(latents, recipe.latent_avg(14)).item() == pytest.approx(GOLDEN["w_norm"], rel=1e-5)
    assert w_norm(latents).item() == pytest.approx(GOLDEN["w_norm_no_avg"], rel=1e-5)


def test_l2_is_the_published_one():
    a, b = recipe.picture("loss-a"), recipe.picture("loss-b")
    assert l2(a, b).item() == pytest.approx(GOLDEN["l2"], rel=1e-5)
    assert l2(face_crop(a), face_crop(b)).item() == pytest.approx(GOLDEN["l2_crop"], rel=1e-5)


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [(256, (35, 223), (32, 220)), (512, (70, 446), (64, 440)), (1024, (140, 892), (128, 880)), (64, (9, 56), (8, 55))],
)
def test_the_face_crop_scales_with_the_picture(size, rows, columns):
    numbers = torch.arange(size)
    down, across = face_crop(torch.stack(torch.meshgrid(numbers, numbers, indexing="ij"))[None])[0]
    assert (down[0, 0], down[-1, 0] + 1) == rows
    assert (across[0, 0], across[0, -1] + 1) == columns
    with pytest.raises(InputError, match=r"pictures has shape \(1, 3, 64, 32\); needed: \(N, C, S, S\)"):
        face_crop(torch.zeros(1, 3, 64, 32))


def test_errors_name_what_came_and_what_was_needed():
    small = torch.zeros(1, 3, 16, 16)
    with pytest.raises(InputError, match="needed: one shape"):
        l2(small, small[..., 1:])
    with pytest.raises(InputError, match="latents has shape"):
        w_norm(torch.zeros(3, 4))


def test_laplacian_is_the_mean_over_the_levels_of_two_pyramids():
    a, b = torch.randn(2, 3, 16, 16), torch.randn(2, 3, 16, 16)

    def pyramid(picture):
        levels = []
        while picture.shape[-1] > 4:
            coarse = picture.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean(dim=(3, 5))
            levels.append(picture - coarse.repeat_interleave(2, 2).repeat_interleave(2, 3))
            picture = coarse
        return [*levels, picture]

    levels = [(x - y).abs().mean() for x, y in zip(pyramid(a), pyramid(b), strict=True)]
    torch.testing.assert_close(laplacian(a, b), torch.stack(levels).mean())
    assert laplacian(a, a) == 0


def test_laplacian_sees_an_edge_where_l2_sees_an_area():
    flat = torch.zeros(1, 1, 64, 64)
    lines = flat.clone()
    lines[..., ::8] = 0.1
    area = torch.full_like(flat, float(l2(lines, flat)) ** 0.5)
    assert l2(area, flat) == pytest.approx(float(l2(lines, flat)))
    assert laplacian(lines, flat) > 1.3 * laplacian(area, flat)


def split_at(column: float, left: tuple, right: tuple, size: int = 128) -> torch.Tensor:
    """Two colours side by side, with an antialiased border."""
    share = (torch.arange(size) + 1 - column).clamp(0, 1)
    return torch.stack([a * (1 - share) + b * share for a, b in zip(left, right, strict=True)])[None, :, None].expand(
        1, 3, size, size
    )


GREY, LIGHT, DARK = (0.0,) * 3, (0.3,) * 3, (-1.0,) * 3


def test_lines_count_where_they_are_not_for_their_contrast():
    faint, strong = split_at(64, GREY, LIGHT), split_at(64, DARK, LIGHT)
    flat = split_at(64, GREY, GREY)
    missing = lines(flat, strong)
    assert lines(strong, strong) == 0
    assert lines(faint, strong) < 0.6 * missing
    assert lines(split_at(68, DARK, LIGHT), strong) > 1.5 * missing  # one where there is none, none where there is one
    assert l2(faint, strong) > 0.9 * l2(flat, strong)
    assert lines(strong + 0.1, strong) == pytest.approx(0, abs=1e-4)


def test_a_soft_edge_has_no_line():
    sharp = split_at(64, GREY, LIGHT)
    ramp = (torch.linspace(0, 1, 128) * 0.3)[None, None, None].expand_as(sharp)
    assert lines(ramp, split_at(64, GREY, GREY)) < 0.05 * lines(sharp, split_at(64, GREY, GREY))


def test_lines_are_a_hyperbolic_tangent_of_a_difference_of_gaussians():
    rng = torch.Generator().manual_seed(0)
    a, b = (torch.rand(2, 3, 128, 128, generator=rng) * 2 - 1 for _ in range(2))

    def drawn(pictures):
        grey = np.stack([np.tensordot([0.299, 0.587, 0.114], picture, 1) / 2 for picture in pictures.double().numpy()])
        blurred = [
            [cv2.GaussianBlur(one, (11, 11), sigma, borderType=cv2.BORDER_REPLICATE) for one in grey]
            for sigma in (1, 1.6)
        ]
        return np.tanh((np.array(blurred[0]) - blurred[1]) / 0.02)

    assert lines(a, b).item() == pytest.approx(np.abs(drawn(a) - drawn(b)).mean(), rel=1e-4)


def test_lines_scale_with_the_picture():
    small = lines(split_at(64, DARK, LIGHT), split_at(64, GREY, GREY))
    large = lines(split_at(128, DARK, LIGHT, 256), split_at(128, GREY, GREY, 256))
    assert large == pytest.approx(small.item(), rel=0.1)


def test_lines_pull_at_the_face():
    face = split_at(64, GREY, GREY).clone().requires_grad_()
    lines(face, split_at(64, DARK, LIGHT)).backward()
    pulls = face.grad.abs().sum((0, 1, 2))
    assert pulls[63:65].min() > 10 * pulls[10:55].max() > 0
    with pytest.raises(InputError, match=r"a has shape \(1, 1, 16, 16\); needed: \(N, 3, S, S\)"):
        lines(torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16))
