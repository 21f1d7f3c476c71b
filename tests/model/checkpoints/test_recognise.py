from __future__ import annotations

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from facesynth.errors import CheckpointError
from facesynth.model.checkpoints.load import load_generator, load_model
from facesynth.model.checkpoints.recognise import read_state, recognise
from facesynth.model.losses.identity import load_identity

from ...runs import save_model
from .files import assert_same, saved
from .hostile import ada_pickle


def test_formats_are_told_by_the_content(tmp_path, psp, rosinality):
    contents = {
        "psp": psp,
        "rosinality": rosinality,
        "lpips": {f"lin{i}.model.1.weight": torch.ones(1, 4, 1, 1) for i in range(5)},
        "alexnet": {"features.0.weight": torch.ones(1)},
        "vgg16": {"features.0.weight": torch.ones(1), "features.28.weight": torch.ones(1)},
        "moco": {"arch": "resnet50", "state_dict": {"module.encoder_q.conv1.weight": torch.ones(1)}},
        "ir-se50": {"output_layer.3.weight": torch.ones(1)},
    }
    for name, content in contents.items():
        for suffix in (".pkl", ".safetensors", ".png", ""):
            assert recognise(saved(tmp_path, content, name + suffix)).format == name
    (tmp_path / "ada.pt").write_bytes(ada_pickle({"weight": torch.ones(1, 1)}))
    assert recognise(tmp_path / "ada.pt").format == "stylegan2-ada"
    assert recognise(save_model(tmp_path / "ours.pt")).format == "facesynth"
    save_model(tmp_path / "model.safetensors")
    assert recognise(tmp_path).path == tmp_path / "model.safetensors"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.write_bytes(b""), "it is empty; give a checkpoint of facesynth, pixel2style2pixel"),
        (lambda path: Image.fromarray(np.zeros((4, 4), np.uint8)).save(path, "png"), "it is a picture; give"),
        (lambda path: Image.fromarray(np.zeros((4, 4), np.uint8)).save(path, "jpeg"), "it is a picture; give"),
        (lambda path: path.write_text("<!DOCTYPE html>"), "it is text, such as a web page saved in its place"),
        (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1"), "it is text"),
        (lambda path: path.write_text("hello"), "it is of no known format, or damaged"),
        (lambda path: torch.save([1], path), "it holds a list; give a checkpoint of"),
        (lambda path: torch.save({}, path), "it holds an empty dict; give"),
        (
            lambda path: torch.save({"weights": torch.ones(1), 3: 4}, path),
            "it holds a dict with the keys weights, 3; give",
        ),
        (lambda path: safetensors.torch.save_file({"a": torch.ones(1)}, path), "but no facesynth checkpoint"),
        (lambda path: path.mkdir(), r"holds no model\.safetensors; give a checkpoint file"),
        (lambda path: None, "does not exist; give a"),
    ],
)
def test_files_that_are_no_checkpoint(tmp_path, make, says):
    make(tmp_path / "a")
    for load in (load_model, load_generator, load_identity):
        with pytest.raises(CheckpointError, match=says):
            load(tmp_path / "a")


def test_state_dicts(tmp_path):
    tensors = {"a": torch.randn(3), "b": torch.ones(2, dtype=torch.int64)}
    safetensors.torch.save_file(tensors, tmp_path / "a")
    assert_same(read_state(tmp_path / "a"), tensors)
    assert_same(read_state(saved(tmp_path, tensors, "b")), tensors)
    for content in ([torch.ones(1)], {"a": 3}, {1: torch.ones(1)}):
        with pytest.raises(CheckpointError, match="holds no state dict; needed: tensors by name"):
            read_state(saved(tmp_path, content, "c"))
    (tmp_path / "d").write_bytes((tmp_path / "a").read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="d cannot be read as weights"):
        read_state(tmp_path / "d")


def parallel(state):
    return {f"module.{key}": value for key, value in state.items()}


@pytest.mark.parametrize("wrap", [parallel, lambda state: parallel(parallel(state)), lambda state: state])
@pytest.mark.parametrize("name", ["state_dict", "model", "params_ema", "net", None, "model.state_dict"])
def test_models_in_every_wrapping(tmp_path, model, psp, wrap, name):
    state, rest = wrap(psp["state_dict"]), {key: psp[key] for key in ("latent_avg", "opts")}
    if name is None:
        content = {**state, **rest}
    elif "." in name:
        content = {"model": {"state_dict": state}, **rest}
    else:
        content = {name: state, **rest}
    found = recognise(saved(tmp_path, content))
    assert found.format == "psp"
    given = load_model(found.path)
    assert_same(given.model_state(), model.state_dict())
    assert given.info["opts"] == psp["opts"]


@pytest.mark.parametrize("wrap", [parallel, lambda state: state])
@pytest.mark.parametrize("name", ["g_ema", "generator", "params_ema", "state_dict", "model", None])
def test_generators_in_every_wrapping(tmp_path, model, rosinality, wrap, name):
    state = wrap(rosinality["g_ema"])
    content = {**(state if name is None else {name: state}), "latent_avg": rosinality["latent_avg"]}
    given = load_generator(saved(tmp_path, content))
    assert_same(given.tensors, model.generator.state_dict())
    assert torch.equal(given.latent_avg[0], rosinality["latent_avg"])
    with pytest.raises(CheckpointError, match="holds no model but rosinality"):
        load_model(tmp_path / "a.bin")


def test_the_average_among_the_tensors_of_a_model(tmp_path, model, psp):
    for content in (
        {"state_dict": {**psp["state_dict"], "latent_avg": psp["latent_avg"]}, "opts": psp["opts"]},
        {**psp["state_dict"], "latent_avg": psp["latent_avg"]},
    ):
        assert torch.equal(load_model(saved(tmp_path, content)).model_state()["latent_avg"], model.latent_avg)


def test_other_tensors_under_these_keys_stay_unknown(tmp_path):
    for content in (
        {"params_ema": {"conv.weight": torch.ones(1)}},
        {"model": {"a": 1}},
        parallel({"a": torch.ones(1)}),
    ):
        with pytest.raises(CheckpointError, match="it holds a dict with the keys"):
            recognise(saved(tmp_path, content))
