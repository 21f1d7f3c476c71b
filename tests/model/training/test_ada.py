from __future__ import annotations

import math

import pytest
import torch

from facesynth.errors import InputError
from facesynth.model.training import ada
from facesynth.model.training.ada import COLOURS, GEOMETRY, Controller, draw_transforms

from ..recipe import normal

SIZE = 32
MANY = 4000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def augment(pictures: torch.Tensor, p: float, rng: torch.Generator) -> torch.Tensor:
    return draw_transforms(len(pictures), p, pictures.shape[-1], rng)(pictures)


def drawn(name: str, p: float = 1.0, count: int = MANY, size: int = SIZE) -> torch.Tensor:
    return {**GEOMETRY, **COLOURS}[name](count, p, size, seeded())


def moved_by(name: str, pictures: torch.Tensor, seed: int = 0) -> torch.Tensor:
    matrices = GEOMETRY[name](len(pictures), 1.0, pictures.shape[-1], seeded(seed))
    return ada.warp(pictures, matrices)


def lone_pixel(row: int, column: int) -> torch.Tensor:
    picture = torch.zeros(1, 1, SIZE, SIZE)
    picture[..., row, column] = 1.0
    return picture


# ------------------------------------------------------------------------------------------------------- what p decides


def test_nothing_happens_at_zero():
    pictures = normal("pictures", 3, 3, SIZE, SIZE)
    assert augment(pictures, 0.0, seeded()) is pictures


@pytest.mark.parametrize("name", [*GEOMETRY, *COLOURS])
def test_every_matrix_at_zero_is_the_identity_to_the_bit(name):
    matrices = drawn(name, p=0.0, count=50)
    assert torch.equal(matrices, torch.eye(matrices.shape[1], dtype=torch.float64).expand_as(matrices))


def test_samples_that_nothing_befalls_stay_to_the_bit():
    pictures = normal("pictures", 400, 3, 8, 8)
    out = augment(pictures, 0.05, seeded())
    same = (out == pictures).flatten(1).all(dim=1)
    turn = 1 - math.sqrt(1 - 0.05)  # each of the two
    unmoved = (1 - 0.05 / 2) * (1 - 0.05 * 3 / 4) * 0.95**4 * (1 - turn) ** 2
    uncoloured = (1 - 0.05 / 2) * 0.95**4
    assert same.float().mean().item() == pytest.approx(unmoved * uncoloured, abs=0.06)


@pytest.mark.parametrize("name", [*GEOMETRY, *COLOURS])
def test_a_share_of_p_is_changed(name):
    matrices = drawn(name, p=0.3)
    changed = (matrices != torch.eye(matrices.shape[1])).flatten(1).any(dim=1).float().mean().item()
    neutral = {"x_flip": 1 / 2, "rotation_90": 1 / 4, "luma_flip": 1 / 2, "integer_translation": 1 / 81}.get(name, 0.0)
    p = 1 - math.sqrt(0.7) if name.startswith("rotation_") and name != "rotation_90" else 0.3
    assert changed == pytest.approx(p * (1 - neutral), abs=0.025)


def test_what_befalls_a_sample_is_the_same_in_a_part_of_the_batch():
    pictures = normal("pictures", 8, 3, SIZE, SIZE)
    transforms = draw_transforms(8, 0.5, SIZE, seeded())
    assert torch.equal(transforms.select(range(3, 6))(pictures[3:6]), transforms(pictures)[3:6])


def test_the_same_seed_draws_the_same():
    pictures = normal("pictures", 8, 3, SIZE, SIZE)
    assert torch.equal(augment(pictures, 0.7, seeded(5)), augment(pictures, 0.7, seeded(5)))
    assert not torch.equal(augment(pictures, 0.7, seeded(5)), augment(pictures, 0.7, seeded(6)))


# ---------------------------------------------------------------------------------------------------------- pixel blitting


def test_mirrors():
    pictures = normal("pictures", 64, 3, SIZE, SIZE)
    out = moved_by("x_flip", pictures)
    mirrored = torch.tensor([torch.allclose(a, b.flip(2), atol=1e-5) for a, b in zip(out, pictures, strict=True)])
    same = torch.tensor([torch.equal(a, b) for a, b in zip(out, pictures, strict=True)])
    assert (mirrored ^ same).all()
    assert 16 < mirrored.sum() < 48


def test_quarter_turns():
    pictures = normal("pictures", 100, 3, SIZE, SIZE)
    out = moved_by("rotation_90", pictures)
    turns = [
        [torch.allclose(a, b.rot90(k, (1, 2)), atol=1e-5) for k in range(4)] for a, b in zip(out, pictures, strict=True)
    ]
    assert all(sum(which) == 1 for which in turns)
    assert min(torch.tensor(turns).sum(dim=0).tolist()) > 10


def test_whole_pixels_up_to_an_eighth():
    out = moved_by("integer_translation", lone_pixel(16, 16).expand(500, -1, -1, -1))
    assert torch.allclose(out.amax(dim=(1, 2, 3)), torch.ones(500), atol=1e-4)
    assert torch.allclose(out.sum(dim=(1, 2, 3)), torch.ones(500), atol=1e-3)  # one pixel, no part of another
    shifts = (drawn("integer_translation")[:, :2, 2] * SIZE / 2).round()
    torch.testing.assert_close(drawn("integer_translation")[:, :2, 2] * SIZE / 2, shifts)
    assert shifts.amin(dim=0).tolist() == [-4, -4]
    assert shifts.amax(dim=0).tolist() == [4, 4]
    assert shifts.mean(dim=0).abs().max() < 0.2


# ---------------------------------------------------------------------------------------------------------------- geometry


def test_sizes_are_even_in_both_directions():
    matrices = drawn("isotropic_scaling")
    assert torch.equal(matrices[:, 0, 0], matrices[:, 1, 1])
    exponents = -matrices[:, 0, 0].log2()
    assert exponents.mean().abs() < 0.015
    assert exponents.std().item() == pytest.approx(0.2, rel=0.05)


def test_a_larger_size_shows_the_middle_larger():
    square = torch.zeros(1, 1, SIZE, SIZE)
    square[..., 12:20, 12:20] = 1.0
    twice = ada._scaling(torch.tensor([0.5]).double(), torch.tensor([0.5]).double())
    assert ada.warp(square, twice).sum().item() == pytest.approx(256, rel=0.02)


def test_stretches_keep_the_area():
    matrices = drawn("anisotropic_scaling")
    torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(MANY).double())
    assert matrices[:, 0, 0].log2().std().item() == pytest.approx(0.2, rel=0.05)


@pytest.mark.parametrize("name", ["rotation_before", "rotation_after"])
def test_turns_are_turns_by_any_angle(name):
    matrices = drawn(name)
    torch.testing.assert_close(matrices @ matrices.transpose(1, 2), torch.eye(3).double().expand(MANY, 3, 3))
    torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(MANY).double())
    angles = torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0])
    counts = torch.histc(angles, 8, -math.pi, math.pi)
    assert counts.min() > 0.8 * MANY / 8


def test_a_turn_by_a_right_angle_is_a_quarter_turn():
    pictures = normal("pictures", 1, 3, SIZE, SIZE)
    right = ada._rotation(torch.tensor([0.0]).double(), torch.tensor([1.0]).double())
    torch.testing.assert_close(ada.warp(pictures, right), pictures.rot90(1, (2, 3)), atol=1e-5, rtol=1e-5)


def test_parts_of_pixels_by_an_eighth():
    shifts = drawn("fractional_translation")[:, :2, 2] / 2
    assert shifts.std(dim=0).tolist() == pytest.approx([0.125, 0.125], rel=0.05)
    assert shifts.mean(dim=0).abs().max() < 0.01
    assert torch.corrcoef(shifts.t())[0, 1].abs() < 0.05


def test_half_a_pixel_is_the_mean_of_two():
    shift = ada._translation(torch.tensor([1.0 / SIZE]).double(), torch.zeros(1).double())
    out = ada.warp(lone_pixel(10, 12), shift)
    assert out[0, 0, 10, 11:13].tolist() == pytest.approx([0.5, 0.5], abs=1e-5)


def test_a_picture_goes_on_as_its_mirror_image():
    pictures = normal("pictures", 2, 3, SIZE, SIZE)
    five = ada._translation(torch.full((2,), 2 * 5 / SIZE).double(), torch.zeros(2).double())
    out = ada.warp(pictures, five)
    torch.testing.assert_close(out[..., :-5], pictures[..., 5:], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(out[..., -5:], pictures[..., -5:].flip(3), atol=1e-4, rtol=1e-4)


def test_one_matrix_does_what_the_movements_do_one_after_another():
    """A smooth picture, so that reading it twice costs little."""
    rows, columns = torch.meshgrid(torch.linspace(-3, 3, 64), torch.linspace(-3, 3, 64), indexing="ij")
    smooth = torch.stack([(rows + columns).sin(), (rows * columns / 3).cos(), (rows - columns / 2).sin()])
    pictures = smooth.expand(6, -1, -1, -1)
    rng, again = seeded(8), seeded(8)
    one_by_one = pictures
    for draw in GEOMETRY.values():
        one_by_one = ada.warp(one_by_one, draw(6, 1.0, 64, rng))
    at_once = ada.warp(pictures, ada.draw_geometry(6, 1.0, 64, again))
    middle = slice(26, 38)  # what lies beyond the edges is mirrored at other places
    difference = (one_by_one - at_once)[..., middle, middle].abs().flatten(1).quantile(0.9, dim=1)
    assert difference.median() < 0.03
    assert (pictures - at_once)[..., middle, middle].abs().flatten(1).quantile(0.9, dim=1).median() > 0.3


# ----------------------------------------------------------------------------------------------------------------- colours


def luma(colours: torch.Tensor) -> torch.Tensor:
    return colours.mean(dim=-2, keepdim=True)


def chroma(colours: torch.Tensor) -> torch.Tensor:
    return colours - luma(colours)


def recoloured(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Colours (N, 3, 5) before and after, by a matrix each."""
    before = normal("colours", MANY, 3, 5, 1).double()
    return before.squeeze(3), ada.recolour(before, drawn(name)).squeeze(3)


def test_brightness_adds_the_same_to_all():
    before, after = recoloured("brightness")
    added = (after - before).flatten(1)
    torch.testing.assert_close(added, added[:, :1].expand_as(added))
    assert added[:, 0].std().item() == pytest.approx(0.2, rel=0.05)


def test_contrast_multiplies_all_by_the_same():
    before, after = recoloured("contrast")
    factors = (after / before).flatten(1)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors))
    assert factors[:, 0].log2().std().item() == pytest.approx(0.5, rel=0.05)


def test_a_luma_flip_turns_light_into_dark_and_keeps_the_tint():
    before, after = recoloured("luma_flip")
    torch.testing.assert_close(chroma(after), chroma(before))
    flipped = (luma(after) + luma(before)).flatten(1).abs().amax(dim=1) < 1e-9
    same = (luma(after) - luma(before)).flatten(1).abs().amax(dim=1) < 1e-9
    assert (flipped ^ same).all()
    assert flipped.double().mean().item() == pytest.approx(0.5, abs=0.05)
    twice = drawn("luma_flip") @ drawn("luma_flip")
    torch.testing.assert_close(twice, torch.eye(4).double().expand_as(twice))


def test_a_hue_keeps_light_and_strength_and_turns_the_tint():
    before, after = recoloured("hue")
    torch.testing.assert_close(luma(after), luma(before))
    torch.testing.assert_close(chroma(after).norm(dim=1), chroma(before).norm(dim=1))
    cosines = (chroma(after) * chroma(before)).sum(1) / chroma(before).square().sum(1)
    angles = cosines[:, 0].clamp(-1, 1).acos()
    assert torch.histc(angles, 4, 0, math.pi).min() > 0.9 * MANY / 4
    third = chroma(torch.tensor([[1.0], [0.0], [0.0]]).double())
    turned = {tuple(round(x, 1) for x in (m[:3, :3] @ third).flatten().tolist()) for m in drawn("hue")}
    assert {(-0.3, 0.7, -0.3), (-0.3, -0.3, 0.7)} <= turned  # red becomes green and blue at some angles


def test_saturation_scales_the_tint_alone():
    before, after = recoloured("saturation")
    torch.testing.assert_close(luma(after), luma(before))
    factors = (chroma(after) / chroma(before)).flatten(1)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors))
    assert factors[:, 0].log2().std().item() == pytest.approx(1.0, rel=0.05)


# ------------------------------------------------------------------------------------------------------------------- whole


@pytest.mark.slow
def test_gradients_are_those_of_finite_differences():
    pictures = normal("pictures", 2, 3, 6, 6).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: augment(x, 0.5, seeded(2)), [pictures])
    assert torch.autograd.gradcheck(lambda x: augment(x, 1.0, seeded(2)), [pictures])


@pytest.mark.slow
def test_a_generator_of_one_colour_learns_through_it():
    colour = torch.zeros(3, requires_grad=True)
    target = torch.tensor([0.8, -0.4, 0.2])
    optimizer = torch.optim.Adam([colour], lr=0.05)
    for step in range(150):
        made, wanted = (c[None, :, None, None].expand(16, -1, 4, 4) for c in (colour, target))
        loss = (augment(made, 0.8, seeded(step)) - augment(wanted, 0.8, seeded(step))).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(colour.detach(), target, atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("shape", "p", "says"),
    [
        ((3, 3, 8), 0.5, r"pictures has shape \(3, 3, 8\); needed: \(N, 3, S, S\)"),
        ((1, 1, 8, 8), 0.5, "needed: "),
        ((1, 3, 8, 9), 0.5, "needed: "),
        ((1, 3, 8, 8), 1.1, "p is 1.1; needed: 0 to 1"),
        ((1, 3, 8, 8), math.nan, "p is nan; needed: 0 to 1"),
    ],
)
def test_wrong_input(shape, p, says):
    with pytest.raises(InputError, match=says):
        augment(torch.zeros(shape), p, seeded())


# -------------------------------------------------------------------------------------------------------------- controller


def test_p_goes_from_nothing_to_all_in_as_many_images_as_asked():
    controller = Controller(speed=5000)
    sure = torch.ones(25)
    for step in range(1, 201):
        controller.update(sure)
        assert controller.p == pytest.approx(min(step // 4 * 100 / 5000, 1.0))
    controller.update(sure)
    assert controller.p == 1.0
    assert controller.sign_mean == 1.0


@pytest.mark.parametrize(
    ("scores", "direction"),
    [([5.0, 5.0, 5.0, 5.0], 1), ([0.1, 0.1, -9.0, -9.0], -1), ([1.0, 1.0, 1.0, -1.0], -1), ([1.0] * 9 + [-1.0], 1)],
)
def test_p_moves_towards_the_target(scores, direction):
    controller = Controller(p=0.5, speed=1000, interval=1)
    controller.update(torch.tensor(scores))
    assert controller.p == pytest.approx(0.5 + direction * len(scores) / 1000)


def test_p_stays_where_the_target_is_met_and_never_below_zero():
    controller = Controller(p=0.5, target=0.0, interval=1)
    controller.update(torch.tensor([1.0, -1.0]))
    assert controller.p == 0.5
    controller = Controller(p=0.0, speed=10, interval=1)
    controller.update(torch.tensor([-1.0] * 8))
    assert controller.p == 0.0


def test_the_mean_is_over_all_steps_since_the_last_change():
    controller = Controller(p=0.5, target=0.2, speed=100, interval=2)
    controller.update(torch.tensor([1.0, 1.0, 1.0]))
    assert controller.p == 0.5
    controller.update(torch.tensor([-1.0]))
    assert controller.sign_mean == 0.5
    assert controller.p == pytest.approx(0.54)
