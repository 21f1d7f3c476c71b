from __future__ import annotations

import pytest
import torch

from facesynth.errors import InputError
from facesynth.model.config import ModelConfig
from facesynth.model.styles import Styling, layers_of, noise_of, random_styles

from ..runs import model_of, small_model


def config(size: int) -> ModelConfig:
    return ModelConfig(condition="labels", input_channels=19, output_size=size, style_resolution=min(size, 64))


@pytest.mark.parametrize(
    ("text", "size", "layers"),
    [
        ("", 1024, range(8, 18)),
        ("", 256, range(8, 14)),
        ("coarse", 1024, range(4)),
        ("middle", 1024, range(4, 8)),
        ("fine", 1024, range(8, 18)),
        ("fine", 256, range(8, 14)),
        ("all", 32, range(8)),
        ("64px-up", 1024, range(8, 18)),
        ("64px-up", 64, range(8, 10)),
        ("16px-32px", 256, range(4, 8)),
        ("8px", 256, range(2, 4)),
        ("1024px", 1024, range(16, 18)),
        ("8-17", 1024, range(8, 18)),
        ("0", 256, range(1)),
        ("13, 0-1,13", 256, (0, 1, 13)),
        ("coarse,64px-up", 64, (0, 1, 2, 3, 8, 9)),
    ],
)
def test_layers_by_name_resolution_and_number(text, size, layers):
    assert layers_of(text, config(size)) == tuple(layers)


def test_a_resolution_stands_for_the_layers_that_read_its_maps():
    # Only those layers' styles reach the maps from 16 px on.
    generator = model_of(small_model()).generator
    latents = torch.randn(1, 8, 16, generator=torch.Generator().manual_seed(0))
    changed = latents.clone()
    changed[:, list(layers_of("16px-up", config(32)))] += 1.0
    seen = []
    generator.blocks[0].refine.register_forward_hook(lambda *given: seen.append(given[2]))
    with torch.no_grad():
        faces = [generator(one) for one in (latents, changed)]
    assert seen[0].shape[-1] == 8
    assert torch.equal(seen[0], seen[1])
    assert (faces[0] - faces[1]).abs().mean() > 0.05


@pytest.mark.parametrize(
    ("text", "size", "says"),
    [
        ("8-17", 256, "mix_layers is '8-17'; it has the layers 0 to 13, which read maps of 4 to 256 px"),
        ("5-3", 256, "mix_layers is '5-3'; it has"),
        ("512px-up", 256, "mix_layers is '512px-up'; it has"),
        ("24px", 256, "mix_layers is '24px'; it has"),
        ("2px", 256, "mix_layers is '2px'; it has"),
        ("fine", 32, "mix_layers 'fine' is no layer of a 32 px model; it has the layers 0 to 7"),
        ("32px-8px", 64, "is no layer of a 64 px model"),
        ("finest", 64, "mix_layers is 'finest'; needed: coarse, middle, fine, all"),
        ("1,,2", 64, "mix_layers is ''; needed"),
        ("-1", 64, "mix_layers is '-1'; needed"),
    ],
)
def test_layers_that_there_are_not(text, size, says):
    with pytest.raises(InputError, match=says):
        layers_of(text, config(size))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("samples", -1),
        ("seed", -1),
        ("mix_alpha", 1.1),
        ("mix_alpha", float("nan")),
        ("truncation", -0.1),
        ("truncation", float("nan")),
        ("truncation", float("inf")),
        ("noise", "some"),
    ],
)
def test_values_out_of_range(field, value):
    with pytest.raises(InputError, match=f"{field} is .*; needed"):
        Styling(**{field: value})


def test_random_noise_is_the_samples_own():
    generator = model_of(small_model()).generator
    styling = Styling(samples=2, seed=5, noise="random")
    maps = [noise_of(generator, styling, number) for number in (0, 1, 0)]
    assert [tuple(noise.shape) for noise in maps[0]] == [(1, 1, r, r) for r in (4, 8, 8, 16, 16, 32, 32)]
    assert all(torch.equal(one, other) for one, other in zip(maps[0], maps[2], strict=True))
    assert not any(torch.equal(one, other) for one, other in zip(maps[0], maps[1], strict=True))
    other_seed = noise_of(generator, Styling(seed=6, noise="random"), 0)
    assert not any(torch.equal(one, other) for one, other in zip(maps[0], other_seed, strict=True))
    assert abs(float(maps[0][-1].mean())) < 0.1
    assert abs(float(maps[0][-1].std()) - 1) < 0.1
    assert noise_of(generator, Styling(), 0) == "constant"
    assert random_styles(generator, styling).shape == (2, 16)
