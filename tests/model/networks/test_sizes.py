"""Models of sizes other than the published ones, the whole way: saved, loaded, translated with, converted and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facesynth.model.checkpoints.conversion import convert
from facesynth.model.checkpoints.load import load_generator
from facesynth.model.data.tensors import condition_tensor, to_pictures
from facesynth.model.inference.translator import Translator
from facesynth.model.networks.generator import Generator

from ...runs import model_of, save_model, small_model

FOUR_WIDTHS = (4, 8, 12, 16)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sizes",
    [
        {"style_dim": 24, "channel_max": 8},
        {"style_dim": 16, "channel_max": 40, "channel_base": 700},
        {"mapping_depth": 1},
        {"mapping_depth": 12, "output_size": 128},
        {"output_size": 1024, "channel_base": 2048, "channel_max": 6},
        {"output_size": 512, "channel_base": 512, "channel_max": 1},
        {"input_size": 128},
        {"encoder_kind": "last-layer-w", "input_size": 256, "style_dim": 20, "output_size": 64},
        {"encoder_kind": "last-layer-w-plus", "input_size": 64, "style_dim": 40, "mapping_depth": 3},
    ],
)
def test_the_whole_way(tmp_path: Path, sizes: dict[str, Any]) -> None:
    changes = {"encoder_channels": FOUR_WIDTHS, **sizes}
    config, path = small_model(**changes), save_model(tmp_path / "a", **changes)
    maps = np.random.default_rng(0).integers(0, 19, (2, config.input_size, config.input_size), np.uint8)
    translator = Translator.from_checkpoint(path, device="cpu")
    faces = translator.translate(maps, samples=2, seed=3)
    assert faces.shape == (2, 2, config.output_size, config.output_size, 3)
    assert np.abs(faces[:, 0].astype(int) - faces[:, 1]).mean() > 1

    model = model_of(config)
    with torch.no_grad():
        condition = condition_tensor(torch.from_numpy(maps), "labels", 19)
        plain = to_pictures(model(condition, styles=translator.styles(1, 3)))
    assert np.abs(faces[:, 0].astype(int) - plain).max() <= 1

    convert(path, tmp_path / "b", "rosinality")
    given = load_generator(tmp_path / "b")
    assert given.config.channels == config.generator.channels
    again = Generator(
        config.output_size, config.style_dim, config.mapping_depth, given.config.channel_base, given.config.channel_max
    )
    again.load_state_dict(given.tensors)
    latents = torch.randn(1, config.n_styles, config.style_dim)
    with torch.no_grad():
        assert torch.equal(again(latents), model.generator(latents))
