from __future__ import annotations

import pytest
import torch

from facesynth.errors import InputError
from facesynth.model.config.model import ModelConfig
from facesynth.model.inference.styles import Styling, layers_of, noise_sources, random_styles

from ...runs import model_of, small_model


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
        ("samples", 10_001),
        ("samples", 10**400),
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
    with pytest.raises(InputError, match=f"{field} is .*; needed") as error:
        Styling(**{field: value})
    assert len(str(error.value)) < 150


def test_random_noise_is_the_samples_own():
    def drawn(seed: int, number: int) -> torch.Tensor:
        sources = noise_sources(Styling(samples=2, seed=seed, noise="random"), number, 3)
        return torch.stack([torch.randn(100, generator=source) for source in sources])

    noise = drawn(5, 0)
    assert torch.equal(noise[0], noise[1])
    assert torch.equal(noise[0], noise[2])
    assert torch.equal(drawn(5, 0), noise)
    assert not torch.equal(drawn(5, 1), noise)
    assert not torch.equal(drawn(6, 0), noise)
    assert noise_sources(Styling(), 0, 3) is None


def test_a_longer_list_of_styles_begins_as_a_shorter_one():
    generator = model_of(small_model()).generator
    with torch.no_grad():
        long, short = (random_styles(generator, Styling(samples=samples, seed=5)) for samples in (3, 2))
    assert long.shape == (3, 16)
    assert torch.equal(long[:2], short)


def test_given_colours_take_their_place_in_z_and_leave_the_rest():
    generator, regions = model_of(small_model()).generator, ("hair", "skin")
    seen = []
    generator.mapping.register_forward_hook(lambda _, given, __: seen.append(given[0][0].clone()))
    with torch.no_grad():
        for colours in ({}, {"hair": "#800000"}, {"skin": "tan"}):
            random_styles(generator, Styling(samples=2, seed=5, colours=colours), regions)
    free, hair, skin = torch.stack(seen[:2]), torch.stack(seen[2:4]), torch.stack(seen[4:])
    assert torch.equal(hair[:, :10], free[:, :10])
    assert torch.equal(hair[:, 13:], free[:, 13:])
    assert torch.equal(hair[0, 10:13], hair[1, 10:13])
    assert not torch.equal(hair[0, 10:13], free[0, 10:13])
    assert torch.equal(skin[:, :13], free[:, :13])
    assert torch.equal(skin[0, 13:], skin[1, 13:])
