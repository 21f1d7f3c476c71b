from __future__ import annotations

import argparse
import dataclasses

import numpy as np
import pytest
import torch

from facesynth.errors import CheckpointError, InputError
from facesynth.labels import CELEBAMASK_HQ, numbered_scheme
from facesynth.model.checkpoints import native
from facesynth.model.checkpoints.load import load_generator, load_model
from facesynth.model.checkpoints.pixel2style2pixel import to_published
from facesynth.model.config.model import ModelConfig
from facesynth.model.inference.translator import Translator
from facesynth.model.networks.psp import PSP

from ...runs import model_of, save_model
from .files import CHANNELS, CONFIG, assert_same, saved
from .hostile import ada_pickle, ada_tensors

# ------------------------------------------------------------------------------------------------------------ published pSp


def test_a_published_model(tmp_path, model, psp):
    given = load_model(saved(tmp_path, psp))
    assert (given.kind, given.task, given.scheme, given.config) == ("model", "seg2face", CELEBAMASK_HQ, CONFIG)
    assert_same(given.model_state(), model.state_dict())
    assert given.info["opts"] == psp["opts"]


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "task"), [(1, "sketch2face"), (3, "photo2face")])
def test_models_of_other_conditions(tmp_path, channels, task):
    condition = {1: "sketch", 3: "photo"}[channels]
    config = dataclasses.replace(CONFIG, condition=condition, input_channels=channels)
    state = to_published(PSP(config).state_dict(), config)
    given = load_model(saved(tmp_path, {"state_dict": state, "opts": argparse.Namespace()}))
    assert (given.task, given.config) == (task, config)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "options"), [(2, {}), (3, {"label_nc": 3}), (18, {"label_nc": 18}), (255, {})])
def test_any_number_of_classes(tmp_path, count, options):
    config = dataclasses.replace(CONFIG, input_channels=count)
    state = to_published(model_of(config).state_dict(), config)
    given = load_model(saved(tmp_path, {"state_dict": state, "opts": argparse.Namespace(**options)}))
    assert (given.task, given.config, given.scheme) == ("seg2face", config, numbered_scheme(count))
    maps = np.random.default_rng(0).integers(0, count, (2, 32, 32), np.uint8)
    faces = Translator(given, device="cpu").translate(maps)
    assert np.abs(faces[0].astype(int) - faces[1]).mean() > 1


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "codes"), [("last-layer-w", 1), ("last-layer-w-plus", 8)])
def test_models_with_an_encoder_on_the_last_map(tmp_path, kind, codes):
    config = dataclasses.replace(CONFIG, encoder_kind=kind, input_size=256)
    model = model_of(config)
    state = to_published(model.state_dict(), config)
    path = saved(tmp_path, {"state_dict": state, "latent_avg": model.latent_avg[:codes]})
    given = load_model(path)
    assert given.config == config
    assert torch.equal(given.tensors["latent_avg"], model.latent_avg[:codes].expand(8, 16))
    state["encoder.linear.bias"] = torch.zeros(3)
    with pytest.raises(
        CheckpointError, match=rf"{path}: encoder\.linear\.bias has shape \(3,\); needed: \({codes * 16},\)"
    ):
        load_model(saved(tmp_path, {"state_dict": state}))


def test_an_average_for_all_layers(tmp_path, model, psp):
    for average in (model.latent_avg[2], model.latent_avg[2:3]):
        given = load_model(saved(tmp_path, {**psp, "latent_avg": average}))
        assert torch.equal(given.tensors["latent_avg"], model.latent_avg[2:3].expand(8, 16))
    given = load_model(saved(tmp_path, {**psp, "opts": {"start_from_latent_avg": False}}))
    assert torch.equal(given.tensors["latent_avg"], torch.zeros(8, 16))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["psp", "rosinality"])
def test_a_missing_average_is_computed(tmp_path, model, psp, rosinality, kind):
    content = {"psp": psp, "rosinality": rosinality}[kind]
    del content["latent_avg"]
    given = load_generator(saved(tmp_path, content))
    expected = model.generator.mean_latent(100_000, 0)
    assert torch.equal(given.latent_avg, expected.expand(8, 16))
    w = model.generator.mapping(torch.randn(20_000, 16, generator=torch.Generator().manual_seed(9))).mean(dim=0)
    assert (w - expected).abs().max() < 0.05
    assert expected.std() > 0.2


def test_half_precision_is_read_as_float32(tmp_path, psp):
    halved = {key: value.half() if value.is_floating_point() else value for key, value in psp["state_dict"].items()}
    state = load_model(saved(tmp_path, {**psp, "state_dict": halved})).tensors
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}
    assert torch.equal(state["generator.constant"], halved["decoder.input.input"][0].float())


def nan(tensor: torch.Tensor) -> torch.Tensor:
    changed = tensor.clone()
    changed.view(-1)[-1] = torch.nan
    return changed


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda psp: psp["state_dict"].pop("encoder.latlayer1.bias"),
            r": the published state dict lacks encoder\.latlay",
        ),
        (lambda psp: psp["state_dict"].update(extra=torch.ones(1)), ": the published state dict has unexpected extra;"),
        (lambda psp: psp["state_dict"].update({"a\nb\x1b[1m\ud800": torch.ones(1)}), r"unexpected a\?b\?\[1m\?;"),
        (
            lambda psp: psp["state_dict"].update({"encoder.linear.weight": torch.ones(1)}),
            r"unexpected encoder\.linear\.weight; needed: a model of .* encoder gradual",
        ),
        (lambda psp: psp.update(state_dict=[1]), ": its state_dict is no state dict; needed: tensors by name"),
        (lambda psp: psp["state_dict"].update(extra=3), ": its state_dict is no state dict"),
        (
            lambda psp: psp.update(latent_avg=torch.ones(7, 16)),
            r": latent_avg is \(7, 16\); needed: \(8, 16\), \(1, 16\)",
        ),
        (lambda psp: psp.update(latent_avg="none"), ": latent_avg is str; needed:"),
        (
            lambda psp: psp.update(latent_avg=nan(psp["latent_avg"])),
            "non-finite values in 'latent_avg'",
        ),
        (
            lambda psp: psp["state_dict"].update(
                {"decoder.input.input": nan(psp["state_dict"]["decoder.input.input"])}
            ),
            r"has non-finite values in 'generator\.constant'; give an earlier checkpoint",
        ),
        (
            lambda psp: psp["state_dict"].update({"encoder.input_layer.0.weight": torch.ones(8, 256, 3, 3)}),
            "takes 256 channels; needed: 1 for sketches, 3 for photos or 2 to 255 for classes",
        ),
    ],
)
def test_published_models_that_do_not_fit(tmp_path, psp, change, says):
    change(psp)
    path = saved(tmp_path, psp)
    with pytest.raises(CheckpointError, match=says) as caught:
        load_model(path)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).isprintable()


# --------------------------------------------------------------------------------------------------------------- generators


def test_generators_of_every_format_are_the_same(tmp_path, model, psp, rosinality):
    save_model(tmp_path / "ours.safetensors", encoder_channels=CHANNELS)
    save_model(tmp_path / "run.safetensors", kind="training", encoder_channels=CHANNELS)
    saved(tmp_path, psp, "psp.pt")
    whole = {
        **rosinality,
        "g": {},
        "d": {},
        "g_optim": {"state": {0: {"step": 3}}},
        "args": argparse.Namespace(size=32),
    }
    saved(tmp_path, whole, "rosinality.pt")
    average = model.latent_avg
    native.save_generator(
        tmp_path / "generator", model.generator.state_dict(), average, config=CONFIG.generator, info={"step": 3}
    )
    for path in tmp_path.iterdir():
        given = load_generator(path)
        assert given.config == CONFIG.generator
        assert_same(given.tensors, dict(model.generator.state_dict()))
        expected = average[:1].expand(8, 16) if path.name == "rosinality.pt" else average
        assert torch.equal(given.latent_avg, expected)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda content: content["g_ema"].pop("convs.1.noise.weight"),
            r": g_ema lacks convs\.1\.noise\.weight; needed for",
        ),
        (
            lambda content: content["g_ema"].update(extra=torch.ones(1)),
            ": g_ema has unexpected extra; needed: a generator of",
        ),
        (lambda content: content["g_ema"].pop("conv1.conv.modulation.weight"), "lacks conv1.conv.modulation.weight"),
        (lambda content: content.update(g_ema={}), "lacks input.input; needed to tell the sizes"),
        (lambda content: content.update(latent_avg=torch.ones(15)), r"latent_avg is \(15,\); needed"),
        (
            lambda content: content["g_ema"].update({"conv1.noise.weight": torch.tensor([torch.inf])}),
            "non-finite values",
        ),
        (lambda content: content["g_ema"].update({"convs.0.conv.blur.kernel": torch.eye(4)}), "is not the .* filter"),
    ],
)
def test_generators_that_do_not_fit(tmp_path, rosinality, change, says):
    change(rosinality)
    path = saved(tmp_path, rosinality)
    with pytest.raises(CheckpointError, match=says) as caught:
        load_generator(path)
    assert str(caught.value).startswith(str(path))


def test_a_generator_is_no_model(tmp_path, model, rosinality):
    (tmp_path / "ada.pkl").write_bytes(ada_pickle(ada_tensors(size=32, style_dim=8, depth=1, base=64, most=4)))
    saved(tmp_path, rosinality, "ros.pt")
    native.save_generator(
        tmp_path / "ours", model.generator.state_dict(), model.latent_avg, config=CONFIG.generator, info={}
    )
    for name in ("ada.pkl", "ros.pt", "ours"):
        with pytest.raises(CheckpointError, match=rf"{name} holds .* generator.*train an encoder .*train --generator"):
            load_model(tmp_path / name)


def test_a_network_of_a_loss_is_neither_model_nor_generator(tmp_path):
    path = saved(tmp_path, {"lin0.model.1.weight": torch.ones(1)})
    with pytest.raises(CheckpointError, match="holds no model but LPIPS's heads; give a checkpoint of facesynth"):
        load_model(path)
    with pytest.raises(CheckpointError, match="holds no generator but LPIPS's heads; give a checkpoint of facesynth"):
        load_generator(path)


def test_the_sizes_of_a_generator_are_checked():
    sizes = ModelConfig(condition="labels", input_channels=19).generator
    assert (sizes.n_styles, sizes.channels) == (14, (512, 512, 512, 512, 512, 256, 128))
    for name, value in (("output_size", 48), ("output_size", 16), ("style_dim", 0), ("channel_base", 128)):
        with pytest.raises(InputError, match=f"{name} is {value}; needed"):
            dataclasses.replace(sizes, **{name: value})
