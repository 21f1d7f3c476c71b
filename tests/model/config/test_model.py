from __future__ import annotations

import pytest

from facesynth.errors import InputError
from facesynth.model.config.model import ModelConfig

from ...runs import small_model
from ..recipe import tiny_config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("condition", "mask"),
        ("encoder_kind", "w"),
        ("encoder_trunk", "vgg"),
        ("refinements", -1),
        ("refinements", 21),
        ("input_channels", 0),
        ("input_size", 16),
        ("input_size", 48),
        ("input_size", 2048),
        ("output_size", 16),
        ("output_size", 100),
        ("output_size", 2048),
        ("style_dim", 0),
        ("mapping_depth", -1),
        ("channel_base", 0),
        ("channel_max", 0),
        ("style_resolution", 2),
        ("style_resolution", 0),
        ("style_resolution", 33),
    ],
)
def test_model_sizes_out_of_range(name, value):
    with pytest.raises(InputError, match=rf"^{name} is {value!r}; needed: "):
        ModelConfig(**{"condition": "labels", "input_channels": 19, name: value})


@pytest.mark.parametrize(
    ("output", "style", "n_styles", "layers"),
    [
        (1024, 64, 18, range(8, 18)),
        (512, 64, 16, range(8, 16)),
        (256, 64, 14, range(8, 14)),
        (256, 4, 14, range(14)),
        (64, 16, 10, range(4, 10)),
        (64, 64, 10, range(8, 10)),
        (32, 8, 8, range(2, 8)),
    ],
)
def test_w_plus_layers_by_size(output, style, n_styles, layers):
    config = small_model(output_size=output, style_resolution=style)
    assert config.n_styles == n_styles
    assert config.style_layers == tuple(layers)


@pytest.mark.parametrize(
    "wrong",
    [
        {"style_resolution": 64},
        {"encoder_units": (1, 1, 1)},
        {"encoder_channels": (8, 8, 16, 0)},
        {"layer_offsets": True, "encoder_kind": "last-layer-w"},
        {"layer_offsets": True, "encoder_kind": "last-layer-w-plus"},
        {"refinements": 2},
        {"refinements": 2, "condition": "sketch", "input_channels": 1},
        {"refinements": 2, "condition": "photo", "input_channels": 4},
        {"refinements": 2, "condition": "photo", "input_channels": 3, "spatial_resolutions": (8,)},
        {"encoder_channels": (8, 8, 16, 10**11)},
        {"encoder_units": (1, 1, 1, 10**6)},
        {"encoder_units": 4},
        {"style_dim": 1 << 20},
        {"style_dim": 8.0},
        {"style_dim": float("inf")},
        {"mapping_depth": 1 << 20},
        {"mapping_depth": True},
        {"input_channels": float("inf")},
        {"input_channels": 10**4000},
        {"channel_max": "8"},
        {"channel_base": 1 << 40},
        {"output_size": float("inf")},
        {"spatial_resolutions": ([],) * 100_000},
        {"style_colours": ("hair", "hair")},
        {"style_colours": ("nose",)},
        {"style_colours": ([],)},
        {"style_colours": "hair"},
        {"style_colours": ("hair", "skin"), "style_dim": 5},
        {"spatial_channels": (8,) * 100_000},
        {"condition": ["labels"] * 100_000},
    ],
)
def test_sizes_that_fit_no_model_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))) as error:
        tiny_config(**wrong)
    assert len(str(error.value)) < 300


def test_an_encoder_that_refines_sees_a_face_too():
    photo = {"condition": "photo", "input_channels": 3}
    assert tiny_config(**photo).encoder_input_channels == 3
    assert tiny_config(**photo, refinements=5).encoder_input_channels == 6
