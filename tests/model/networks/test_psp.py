from __future__ import annotations

import pytest
import torch

from facesynth.errors import InputError
from facesynth.model.networks.encoder import ENCODERS
from facesynth.model.networks.psp import PSP

from .. import recipe


@pytest.fixture
def psp() -> PSP:
    torch.manual_seed(0)
    psp = PSP(recipe.tiny_config()).eval()
    psp.latent_avg.normal_()
    return psp


def conditions(n: int) -> torch.Tensor:
    return torch.rand(n, 19, 32, 32, generator=torch.Generator().manual_seed(1))


def test_encode_adds_the_average_latent(psp):
    condition = conditions(2)
    torch.testing.assert_close(psp.encode(condition), psp.encoder(condition) + psp.latent_avg)
    assert "latent_avg" in psp.state_dict()


def test_one_code_is_repeated_over_the_layers():
    torch.manual_seed(0)
    psp = PSP(recipe.tiny_config(encoder_kind="last-layer-w")).eval()
    psp.latent_avg.normal_()
    condition = conditions(2)
    codes = psp.encoder(condition)
    assert codes.shape == (2, 16)
    latents = psp.encode(condition)
    torch.testing.assert_close(latents - psp.latent_avg, codes[:, None].expand(2, 8, 16))
    assert psp(condition, styles=torch.randn(2, 16)).shape == (2, 3, 32, 32)


def test_codes_of_layers_are_offsets_from_the_first():
    torch.manual_seed(0)
    psp = PSP(recipe.tiny_config(layer_offsets=True)).eval()
    psp.latent_avg.normal_()
    codes = psp.encoder(conditions(2))
    latents = psp.encode(conditions(2)) - psp.latent_avg
    torch.testing.assert_close(latents[:, 0], codes[:, 0])
    for layer in range(1, 8):
        torch.testing.assert_close(latents[:, layer], codes[:, 0] + codes[:, layer])


@pytest.mark.parametrize("kind", ["last-layer-heads", "last-layer-w"])
def test_passes_add_to_the_latents_of_the_face_seen(kind):
    torch.manual_seed(0)
    config = recipe.tiny_config(condition="photo", input_channels=3, encoder_kind=kind, refinements=2, output_size=64)
    psp = PSP(config).eval()
    psp.latent_avg.normal_()
    photo = conditions(2)[:, :3]
    seen = torch.cat([photo, psp.average_face().expand(2, -1, -1, -1)], dim=1)
    first = psp.encoder(seen).reshape(2, -1, 16) + psp.latent_avg
    seen = torch.cat([photo, torch.nn.functional.avg_pool2d(psp.generator(first), 2)], dim=1)
    torch.testing.assert_close(psp.encode(photo), first + psp.encoder(seen).reshape(2, -1, 16))
    assert psp(photo).shape == (2, 3, 64, 64)
    for wrong in (photo[:, :1], photo[..., :16], photo[0], torch.cat([photo, photo], dim=1)):
        with pytest.raises(InputError, match=r"condition has shape .*; needed: \(N, 3, 32, 32\)"):
            psp.encode(wrong)
    with pytest.raises(InputError, match=r"condition holds torch\.int64"):
        psp.encode(photo.long())


def test_forward_is_encode_mix_generate(psp):
    condition, styles = conditions(2), torch.randn(2, 16)
    latents = psp.encode(condition)
    assert torch.equal(psp(condition), psp.generator(latents))
    mixed = psp.generator(psp.mix(latents, styles, [5, 6], 0.4))
    assert torch.equal(psp(condition, styles=styles, layers=[5, 6], alpha=0.4), mixed)
    by_default = psp.generator(psp.mix(latents, styles, psp.config.style_layers))
    assert torch.equal(psp(condition, styles=styles), by_default)
    assert torch.equal(psp(condition, noise="none"), psp.generator(latents, noise="none"))


def test_forward_with_rng_repeats(psp):
    with torch.no_grad():
        psp.generator.first.noise_strength.fill_(1.0)
    faces = [psp(conditions(1), noise="random", rng=torch.Generator().manual_seed(seed)) for seed in (2, 2, 3)]
    assert torch.equal(faces[0], faces[1])
    assert not torch.equal(faces[0], faces[2])


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_mix_blends_the_chosen_layers_alone(psp, alpha):
    latents, styles = torch.randn(3, 8, 16), torch.randn(3, 16)
    kept = latents.clone()
    mixed = psp.mix(latents, styles, iter([6, 2, 6]), alpha)
    assert torch.equal(latents, kept)
    for layer in range(8):
        blend = alpha * styles + (1 - alpha) * latents[:, layer]
        torch.testing.assert_close(mixed[:, layer], blend if layer in (2, 6) else latents[:, layer])


def test_mix_takes_w_plus_styles_and_one_style_for_all(psp):
    latents, styles = torch.randn(3, 8, 16), torch.randn(3, 8, 16)
    mixed = psp.mix(latents, styles, range(4, 8))
    assert torch.equal(mixed, torch.cat([latents[:, :4], styles[:, 4:]], dim=1))
    one = psp.mix(latents, styles[:1, 0], [7])
    assert torch.equal(one[:, 7], styles[:1, 0].expand(3, -1))
    assert torch.equal(psp.mix(latents, styles, []), latents)


def test_a_sample_does_not_depend_on_its_batch(psp):
    condition, styles = conditions(3), torch.randn(3, 16)
    together = psp(condition, styles=styles)
    for i in range(3):
        alone = psp(condition[i : i + 1], styles=styles[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_frozen_generator_trains_the_encoder_only(kind):
    torch.manual_seed(0)
    psp = PSP(recipe.tiny_config(encoder_kind=kind)).train()
    psp.generator.requires_grad_(False)
    psp(conditions(2), styles=torch.randn(2, 16), layers=[7], alpha=0.5).square().mean().backward()
    assert [name for name, p in psp.encoder.named_parameters() if p.grad is None] == []
    assert all(parameter.grad is None for parameter in psp.generator.parameters())


def test_bfloat16_autocast(psp):
    psp.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        face = psp(conditions(2), styles=torch.randn(2, 16), noise="random")
        face.square().mean().backward()
    assert face.dtype == torch.float32
    assert face.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda p, w: p.mix(w[:, :3], w, [0]), r"latents has shape \(2, 3, 16\); needed: \(N, 8, 16\)"),
        (lambda p, w: p.mix(w, w[:, 0, :5], [0]), r"styles has shape \(2, 5\); needed: \(2, 16\) or \(2, 8, 16\)"),
        (lambda p, w: p.mix(w, torch.zeros(3, 16), [0]), r"styles has shape \(3, 16\)"),
        (lambda p, w: p.mix(w, w, [7, 8]), r"layers is \[7, 8\]; needed: numbers from 0 to 7"),
        (lambda p, w: p.mix(w, w, [-1]), r"layers is \[-1\]"),
        (lambda p, w: p.mix(w, w, [0], 1.5), "alpha is 1.5"),
        (lambda p, w: p.mix(w, w, [0], float("nan")), "alpha is nan"),
        (lambda p, w: p(conditions(2), layers=[1]), "layers came without styles"),
        (lambda p, w: p(torch.zeros(2, 3, 32, 32)), "condition has 3 channels; this model needs 19"),
    ],
)
def test_errors_name_what_came_and_what_was_needed(psp, call, named):
    with pytest.raises(InputError, match=named):
        call(psp, torch.randn(2, 8, 16))
