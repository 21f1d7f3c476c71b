"""The spatial path: no effect at first, then feature maps of the condition in the generator."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from facesynth.errors import CheckpointError, InputError
from facesynth.labels import CELEBAMASK_HQ
from facesynth.model.checkpoints import native
from facesynth.model.checkpoints.conversion import convert, describe
from facesynth.model.networks.fused import fuse
from facesynth.model.networks.fused_autograd import freeze_for_training
from facesynth.model.networks.psp import PSP
from facesynth.model.networks.spatial import SpatialPath, scale_maps

from ..recipe import normal, tiny_config
from .test_fused import lively

CONDITION = normal("spatial", 2, 19, 32, 32)


def spatial_config(**changes: Any) -> Any:
    return tiny_config(**({"spatial_resolutions": (8, 16)} | changes))


def opened(model: PSP) -> PSP:
    """A model whose path adds something."""
    assert model.spatial is not None
    with torch.no_grad():
        for name, head in model.spatial.heads.items():
            assert isinstance(head, nn.Conv2d)
            head.weight.copy_(0.3 * normal(name, *head.weight.shape))
    return model


@pytest.fixture
def model() -> PSP:
    torch.manual_seed(0)
    return opened(PSP(spatial_config()).eval())


def test_a_new_path_changes_nothing() -> None:
    torch.manual_seed(0)
    model = PSP(spatial_config()).eval()
    torch.manual_seed(0)
    without = PSP(tiny_config()).eval()
    assert without.spatial is None
    assert without.spatial_maps(CONDITION) is None
    with torch.no_grad():
        assert torch.equal(model(CONDITION), without(CONDITION))


@pytest.mark.parametrize(("sizes", "input_size"), [((8,), 32), ((16,), 64), ((8, 32), 32), ((8, 16, 32), 64)])
def test_maps_have_the_shapes_of_the_generators(sizes: tuple[int, ...], input_size: int) -> None:
    config = spatial_config(spatial_resolutions=sizes, input_size=input_size, output_size=64, channel_base=512)
    maps = SpatialPath(config)(torch.zeros(3, 19, input_size, input_size))
    channels = PSP(config).generator.spatial_channels
    assert {size: tuple(value.shape) for size, value in maps.items()} == {
        size: (3, channels[size], size, size) for size in sizes
    }


def test_channels_are_three_quarters_of_the_generators_or_as_chosen() -> None:
    config = spatial_config(spatial_resolutions=(8, 32), channel_max=400, channel_base=1600)
    assert config.spatial_widths == {8: 128, 16: 75, 32: 37}
    chosen = spatial_config(spatial_resolutions=(8, 32), spatial_channels=(5, 6))
    assert chosen.spatial_widths == {8: 5, 16: 12, 32: 6}
    assert tiny_config().spatial_widths == {}


def test_follow_scales_the_maps(model: PSP) -> None:
    with torch.no_grad():
        latents = model.encode(CONDITION)
        exact, loose = model(CONDITION), model(CONDITION, follow=0.0)
        half = model(CONDITION, follow=0.5)
        assert torch.equal(loose, model.generator(latents))
        assert torch.equal(exact, model.generator(latents, spatial=model.spatial_maps(CONDITION)))
    assert (exact - loose).abs().max() > 0.1
    assert 0 < (half - loose).norm() < (exact - loose).norm()


@pytest.mark.parametrize("samples", [1, 2])
def test_the_fused_model_gives_the_same_faces(samples: int) -> None:
    torch.manual_seed(0)
    model = opened(PSP(spatial_config(output_size=64)))
    lively(model)
    condition = CONDITION[:samples]
    with torch.no_grad():
        face = model(condition)
        torch.testing.assert_close(fuse(model)(condition), face, rtol=1e-4, atol=1e-4)


def test_gradients_reach_the_path_also_through_a_frozen_generator(model: PSP) -> None:
    model.generator.requires_grad_(requires_grad=False)
    found = []
    for generator in (model.generator, freeze_for_training(model.generator)):
        model.zero_grad(set_to_none=True)
        face = generator(model.encode(CONDITION), spatial=model.spatial_maps(CONDITION))
        (face * normal("weights", *face.shape)).sum().backward()
        assert model.spatial is not None
        found.append(
            {name: value.grad.clone() for name, value in model.spatial.named_parameters() if value.grad is not None}
        )
        assert len(found[-1]) == len(list(model.spatial.parameters()))
    for name, gradient in found[0].items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-3, atol=1e-4 * gradient.abs().max().item())


@pytest.mark.slow
def test_a_file_holds_the_path_and_info_lists_it(model: PSP, tmp_path: Any) -> None:
    path = tmp_path / "model.safetensors"
    config = model.config
    native.save(path, "model", model.state_dict(), config=config, task="seg2face", scheme=CELEBAMASK_HQ, info={})
    loaded = native.load(path)
    assert loaded.config == config
    again = PSP(loaded.config).eval()
    again.load_state_dict(loaded.model_state())
    with torch.no_grad():
        assert torch.equal(again(CONDITION), model(CONDITION))
    about = dict(describe(path))
    assert model.spatial is not None
    assert about["spatial path parameters"] == f"{sum(p.numel() for p in model.spatial.parameters()):,}"
    assert about["spatial_resolutions"] == "8, 16"
    with pytest.raises(CheckpointError, match="has a spatial path, which the psp format cannot store"):
        convert(path, tmp_path / "model.pt", "psp")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"spatial_resolutions": (16, 8)}, r"spatial_resolutions is \(16, 8\); needed: powers of two from 8 to 32"),
        ({"spatial_resolutions": (4,)}, "needed: powers of two from 8 to 32"),
        ({"spatial_resolutions": (8, 64)}, "needed: powers of two from 8 to 32"),
        ({"spatial_channels": (4,)}, "needed: a number of at least 1 for each of spatial_resolutions"),
        ({"spatial_channels": (4, 0)}, "needed: a number of at least 1 for each"),
        ({"spatial_resolutions": (), "spatial_channels": (4,)}, "needed: a number of at least 1 for each"),
    ],
)
def test_wrong_sizes_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        spatial_config(**changes)


def test_wrong_maps_and_amounts_are_refused(model: PSP) -> None:
    latents = torch.zeros(2, model.generator.n_styles, 16)
    with pytest.raises(InputError, match="spatial has a map of 64 px; needed: of 8, 16, 32 px"):
        model.generator(latents, spatial={64: torch.zeros(2, 16, 64, 64)})
    with pytest.raises(InputError, match=r"map of shape \(1, 16, 8, 8\) at 8 px; needed: \(2, 16, 8, 8\)"):
        model.generator(latents, spatial={8: torch.zeros(1, 16, 8, 8)})
    with pytest.raises(InputError, match=r"condition has shape \(2, 1, 32, 32\); needed: \(N, 19, 32, 32\)"):
        model.spatial_maps(torch.zeros(2, 1, 32, 32))
    for amount in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="needed: a number from 0 to 1"):
            scale_maps({}, amount)
    with pytest.raises(InputError, match=r"spatial_resolutions is \(\)"):
        SpatialPath(tiny_config())
