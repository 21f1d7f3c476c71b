from __future__ import annotations

import json

import pytest
import torch

from facesynth.errors import InputError
from facesynth.model.losses import face_crop, l2, laplacian, w_norm

from . import recipe

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
