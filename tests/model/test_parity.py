"""Outputs of the published code, from files in its own layouts.

The folder that FACESYNTH_PARITY names holds ``keys/<case>.json``, the keys, shapes and types of a published state dict, and
``golden/<case>.npz``, what the published code made of it; weights and inputs are those of :mod:`tests.model.recipe`.
Agreement is asked within the rounding of float32: codes and latents to 1e-4, pictures, whose values reach about 7, to 2e-3.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from facesynth.model.checkpoints.load import load_discriminator, load_generator, load_model
from facesynth.model.checkpoints.native import Checkpoint
from facesynth.model.checkpoints.pixel2style2pixel import to_published
from facesynth.model.checkpoints.rosinality import discriminator_from_rosinality, discriminator_to_rosinality
from facesynth.model.networks.discriminator import Discriminator
from facesynth.model.networks.fused import fuse
from facesynth.model.networks.generator import Generator, truncate
from facesynth.model.networks.psp import PSP

from . import recipe

pytestmark = pytest.mark.parity

PARITY = Path(os.environ.get("FACESYNTH_PARITY", "/nonexistent"))
CODES, PICTURES = 1e-4, 2e-3
CASES = {
    # name: the published encoder, W+ layers, channels of labels, condition
    "seg_256": ("GradualStyleEncoder", 14, 19, "labels"),
    "sketch_256": ("GradualStyleEncoder", 14, 1, "sketch"),
    "seg_w_256": ("BackboneEncoderUsingLastLayerIntoW", 14, 19, "labels"),
    "seg_1024": ("GradualStyleEncoder", 18, 19, "labels"),
}


@pytest.fixture(scope="module", autouse=True)
def folder() -> None:
    if not (PARITY / "golden").is_dir():
        pytest.skip("FACESYNTH_PARITY names no folder with the published outputs")


def golden(case: str) -> dict[str, Tensor]:
    with np.load(PARITY / "golden" / f"{case}.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


def assert_within(actual: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    print(f"{what}: largest difference {(actual - expected).abs().max():.1e} of {tolerance:.0e}")
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


tensor = functools.cache(recipe.published_tensor)  # the cases have most in common


def written_and_read(path: Path, case: str) -> tuple[dict[str, Tensor], Checkpoint]:
    """The published state dict of a case, and the model of a file that holds it as the published code saves it."""
    encoder, n_styles, label_channels, _ = CASES[case]
    is_w = encoder.endswith("IntoW")
    entries = json.loads((PARITY / "keys" / f"{case}.json").read_text())
    state = {key: tensor(key, tuple(shape), dtype) for key, (shape, dtype) in entries.items()}
    opts = argparse.Namespace(encoder_type=encoder, learn_in_w=is_w, start_from_latent_avg=True)
    opts.label_nc = opts.input_nc = label_channels
    content = {"state_dict": state, "latent_avg": recipe.latent_avg(1 if is_w else n_styles), "opts": vars(opts)}
    torch.save(content, path)
    try:
        return state, load_model(path)
    finally:
        path.unlink()


def shown(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """A picture at 64 px, and the 64 x 64 pixels in its centre."""
    size = pictures.shape[-1]
    centre = slice(size // 2 - 32, size // 2 + 32)
    return F.avg_pool2d(pictures, size // 64), pictures[:, :, centre, centre]


@pytest.mark.parametrize("case", CASES)
def test_models(tmp_path: Path, case: str) -> None:
    state, given = written_and_read(tmp_path / f"{case}.pt", case)
    expected, condition = golden(case), CASES[case][-1]
    again = to_published(given.tensors, given.config)
    assert {key: value.dtype for key, value in again.items()} == {key: value.dtype for key, value in state.items()}
    assert all(torch.equal(again[key], value) for key, value in state.items())
    del state, again

    with torch.device("meta"):
        psp = PSP(given.config)
    psp.load_state_dict(given.tensors, assign=True)
    psp.requires_grad_(False).eval()
    assert given.config.condition == condition
    source = recipe.label_map() if condition == "labels" else recipe.sketch()
    with torch.inference_mode():
        for way in ("as trained", "frozen"):
            if way == "frozen":
                psp = fuse(psp)
            codes, latents = psp.encoder(source), psp.encode(source)
            assert_within(codes, expected["codes"], CODES, f"{way}, codes")
            assert_within(latents, expected["latents"], CODES, f"{way}, latents")
            picture, crop = shown(psp.generator(latents))
            assert_within(picture, expected["image_64"], PICTURES, f"{way}, picture")
            assert_within(crop, expected["image_crop"], PICTURES, f"{way}, centre")
            if way == "as trained" and "inject_latent" in expected:
                styles = psp.generator.mapping(recipe.normal("z-inject", 1, 512))
                injected = expected["inject_latent"]
                assert_within(styles[:, None].expand_as(injected), injected, CODES, "styles")
                layers = range(7, psp.config.n_styles)
                for name, alpha in (("mixed_64", 0.6), ("mixed_full_64", 1.0)):
                    mixed = shown(psp.generator(psp.mix(latents, styles, layers, alpha)))[0]
                    assert_within(mixed, expected[name], PICTURES, name)


def test_a_network_pickle() -> None:
    path, expected = PARITY / "golden" / "ada_64.pkl", golden("ada_64")
    given = load_generator(path)
    generator = Generator(*dataclasses.astuple(given.config))
    generator.load_state_dict(given.tensors)
    with torch.inference_mode():
        w = generator.mapping(expected["z"])
        nearer = truncate(w, given.latent_avg[0], 0.7)
        for latents, name in ((w, "w"), (nearer, "w_psi07")):
            assert_within(latents, expected[name], CODES, name)
        for latents, name in ((w, "image"), (nearer, "image_psi07")):
            pictures = generator(latents[:, None].expand(-1, generator.n_styles, -1))
            assert_within(pictures, expected[name], PICTURES, name)


def test_the_discriminator_of_a_network_pickle() -> None:
    config, state = load_discriminator(PARITY / "golden" / "ada_64.pkl")
    assert (config.input_size, config.channels, config.group_size) == (64, (64, 64, 64, 64, 32), 4)
    discriminator = Discriminator(config)
    discriminator.load_state_dict(state)
    pictures = golden("ada_64")["image"].requires_grad_()
    scores = discriminator(pictures)
    (gradient,) = torch.autograd.grad(scores.sum(), pictures)
    assert scores.isfinite().all()
    assert scores.std() > 0.01 * scores.abs().mean() > 0
    assert gradient.abs().amax(dim=(1, 2, 3)).min() > 0
    _, back = discriminator_from_rosinality(discriminator_to_rosinality(state, config))
    assert all(torch.equal(back[key], value) for key, value in state.items())
