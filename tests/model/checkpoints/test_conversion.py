from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
import torch

from facesynth.errors import CheckpointError, InputError, OutputError
from facesynth.labels import CELEBAMASK_HQ
from facesynth.model.checkpoints import native, torch_save
from facesynth.model.checkpoints.conversion import convert, describe
from facesynth.model.checkpoints.load import average_latent, load_generator, load_model
from facesynth.model.checkpoints.pixel2style2pixel import to_published
from facesynth.model.networks.psp import PSP

from ...runs import model_of, save_model, small_disk
from ...trees import contents, leftovers
from .files import CONFIG, assert_same
from .hostile import ada_pickle, ada_tensors

SIZES = {"encoder_channels": (4, 8, 12, 16), "style_resolution": 32}


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return save_model(tmp_path / "ours.safetensors", **SIZES)


@pytest.fixture
def published(tmp_path: Path, model: PSP) -> Path:
    state = {key: value.clone() for key, value in to_published(model.state_dict(), CONFIG).items()}
    opts = {
        "dataset_type": "celebs_seg_to_face",
        "output_size": 32,
        "learn_in_w": False,
        "device": "cuda",
        "seed": None,
    }
    torch.save({"state_dict": state, "latent_avg": model.latent_avg.clone(), "opts": opts}, tmp_path / "published.pt")
    return tmp_path / "published.pt"


@pytest.fixture
def ada(tmp_path: Path) -> Path:
    path = tmp_path / "network.pkl"
    path.write_bytes(ada_pickle(ada_tensors(size=32, style_dim=16, depth=2, base=256, most=16)))
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_published_to_ours_to_published(tmp_path, published, model):
    assert convert(published, tmp_path / "a.safetensors") == "model"
    assert convert(tmp_path / "a.safetensors", tmp_path / "b.pt", "psp") == "model"
    first, last = (torch.load(path, weights_only=True) for path in (published, tmp_path / "b.pt"))
    assert first.keys() == last.keys()
    assert_same(last["state_dict"], first["state_dict"])
    assert torch.equal(last["latent_avg"], first["latent_avg"])
    assert first["opts"].items() <= last["opts"].items()
    given = native.load(tmp_path / "a.safetensors")
    assert (given.kind, given.task, given.config) == ("model", "seg2face", CONFIG)
    assert_same(given.model_state(), model.state_dict())
    assert given.info["source"] == {"file": "published.pt", "format": "psp", "sha256": digest(published)}


def test_ours_to_published_has_the_options_that_its_code_needs(tmp_path, ours, model):
    convert(ours, tmp_path / "a.pt", "psp")
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    assert content["opts"] == {
        "dataset_type": "celebs_seg_to_face",
        "encoder_type": "GradualStyleEncoder",
        "input_nc": 19,
        "label_nc": 19,
        "output_size": 32,
        "start_from_latent_avg": True,
        "learn_in_w": False,
    }
    assert_same(content["state_dict"], to_published(model.state_dict(), CONFIG))
    assert torch.equal(content["latent_avg"], model.latent_avg)
    assert_same(load_model(tmp_path / "a.pt").model_state(), model.state_dict())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"encoder_kind": "last-layer-w", "input_size": 256},
            {"encoder_type": "BackboneEncoderUsingLastLayerIntoW", "learn_in_w": True, "label_nc": 19},
        ),
        (
            {"encoder_kind": "last-layer-w-plus", "input_size": 256},
            {"encoder_type": "BackboneEncoderUsingLastLayerIntoWPlus", "learn_in_w": False, "label_nc": 19},
        ),
        (
            {"task": "sketch2face"},
            {"encoder_type": "GradualStyleEncoder", "learn_in_w": False, "label_nc": 1, "input_nc": 1},
        ),
    ],
)
def test_other_models_to_published_and_back(tmp_path, changes, told):
    path = save_model(tmp_path / "a", **SIZES, **changes)
    given = native.load(path)
    is_w = changes.get("encoder_kind") == "last-layer-w"
    if is_w:
        with pytest.raises(CheckpointError, match=r"a has an average latent for each layer; .* has one for all"):
            convert(path, tmp_path / "b", "psp")
        average = given.tensors["latent_avg"][:1].expand(8, 16).contiguous()
        spoilt(path, "latent_avg", average)
        given = native.load(path)
    convert(path, tmp_path / "b", "psp")
    content = torch.load(tmp_path / "b", weights_only=True)
    assert told.items() <= content["opts"].items()
    assert content["latent_avg"].shape == ((1, 16) if is_w else (8, 16))
    convert(tmp_path / "b", tmp_path / "c")
    back = native.load(tmp_path / "c")
    assert (back.config, back.task) == (given.config, given.task)
    assert_same(back.tensors, given.tensors)
    lines = dict(describe(tmp_path / "b"))
    assert lines["encoder_kind"] == changes.get("encoder_kind", "gradual")
    convert(tmp_path / "c", tmp_path / "d", "psp")
    again = torch.load(tmp_path / "d", weights_only=True)
    assert_same(again["state_dict"], content["state_dict"])
    assert (again["opts"], again["latent_avg"].tolist()) == (content["opts"], content["latent_avg"].tolist())


def test_a_training_state_becomes_the_model_that_it_stands_for(tmp_path, model):
    state = save_model(tmp_path / "step.safetensors", kind="training", **SIZES)
    assert convert(state, tmp_path / "a") == "model"
    given = native.load(tmp_path / "a")
    assert (given.kind, given.info["step"]) == ("model", 7)
    assert_same(given.tensors, model.state_dict())


@pytest.mark.slow
@pytest.mark.parametrize("source", ["ours", "published", "ada"])
def test_generators_to_rosinality_and_back(tmp_path, request, source):
    path = request.getfixturevalue(source)
    given = load_generator(path)
    assert convert(path, tmp_path / "a.pt", "rosinality") == "generator"
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    assert content.keys() == {"g_ema", "latent_avg"}
    assert {"input.input", "style.1.weight", "noises.noise_6", "to_rgbs.2.upsample.kernel"} <= content["g_ema"].keys()
    assert convert(tmp_path / "a.pt", tmp_path / "b") == "generator"
    back = load_generator(tmp_path / "b")
    assert back.config.channels == given.config.channels
    assert_same(back.tensors, given.tensors)
    same = source == "ada"  # where the layers' averages differ, that of all w is computed
    average = given.latent_avg[0] if same else average_latent(given.tensors, given.config)
    assert torch.equal(content["latent_avg"], average)
    assert torch.equal(back.latent_avg, content["latent_avg"].expand(8, 16))


def test_provenance_is_a_chain(tmp_path, ada):
    convert(ada, tmp_path / "a")
    convert(tmp_path / "a", tmp_path / "b")
    source = load_generator(tmp_path / "b").info["source"]
    assert source == {
        "file": "a",
        "format": "facesynth",
        "sha256": digest(tmp_path / "a"),
        "source": {"file": "network.pkl", "format": "stylegan2-ada", "sha256": digest(ada)},
    }


@pytest.mark.slow
def test_the_same_source_gives_the_same_bytes(tmp_path, published):
    for to in ("facesynth", "psp", "rosinality"):
        convert(published, tmp_path / "a", to)
        convert(published, tmp_path / "b", to)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# ------------------------------------------------------------------------------------------------------- what does not fit


def test_what_is_not_converted(tmp_path, ours, ada):
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match=r"network\.pkl holds a generator alone; a psp file needs an encoder too"):
        convert(ada, tmp_path / "a", "psp")
    with pytest.raises(InputError, match=r"ours\.safetensors is the source itself; give another file to write"):
        convert(ours, tmp_path / "." / "ours.safetensors")
    with pytest.raises(InputError, match="the layout is 'onnx'; needed: facesynth, psp, rosinality"):
        convert(ours, tmp_path / "a", "onnx")
    with pytest.raises(OutputError, match=r"cannot write .*/none/a: "):
        convert(ours, tmp_path / "none" / "a")
    with pytest.raises(OutputError, match=r"cannot write .*/none/a: "):
        convert(ours, tmp_path / "none" / "a", "psp")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*/folder: Is a directory"):
        convert(ours, tmp_path / "folder")
    torch.save({"lin0.model.1.weight": torch.ones(1)}, tmp_path / "heads.pth")
    with pytest.raises(CheckpointError, match="holds no generator but LPIPS's heads"):
        convert(tmp_path / "heads.pth", tmp_path / "a")
    (tmp_path / "heads.pth").unlink()
    assert contents(tmp_path) == before
    assert leftovers(tmp_path) == []


def test_a_model_whose_sizes_the_published_layout_cannot_tell(tmp_path):
    path = save_model(tmp_path / "a")
    with pytest.raises(
        CheckpointError, match=r"cannot express: encoder_channels \(8, 8, 16, 16\); needed: four different"
    ):
        convert(path, tmp_path / "b", "psp")
    path = save_model(tmp_path / "a", **SIZES, encoder_kind="last-layer-w")
    with pytest.raises(
        CheckpointError, match="cannot express: input_size 32; needed: 256 with an encoder on the last map"
    ):
        convert(path, tmp_path / "b", "psp")
    config = dataclasses.replace(CONFIG, condition="sketch", input_channels=3)
    state = model_of(config).state_dict()
    native.save(path, "model", state, config=config, task="sketch2face", scheme=CELEBAMASK_HQ, info={})
    with pytest.raises(
        CheckpointError, match="cannot express: input_channels 3; needed: 1 for a sketch, 3 for a photo"
    ):
        convert(path, tmp_path / "b", "psp")
    assert not (tmp_path / "b").exists()


def spoilt(path: Path, name: str, value: torch.Tensor | None) -> None:
    given = native.load(path)
    tensors = {key: tensor for key, tensor in {**given.tensors, name: value}.items() if tensor is not None}
    native.save(path, "model", tensors, config=given.config, task=given.task, scheme=given.scheme, info={})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("latent_avg", torch.full((8, 16), torch.nan), "non-finite values in 'latent_avg'"),
        ("latent_avg", None, "lacks 'latent_avg'; it does not fit its own config"),
        ("latent_avg", torch.ones(8, 8), r"has 'latent_avg' of shape \(8, 8\); needed: \(8, 16\)"),
        ("extra", torch.ones(1), "has an unexpected 'extra'"),
        ("extra\n\x1b", torch.ones(1), r"has an unexpected 'extra\?\?'"),
    ],
)
def test_damaged_models_of_ours(tmp_path, ours, name, value, says):
    spoilt(ours, name, value)
    for call in (
        lambda: describe(ours),
        *(lambda to=to: convert(ours, tmp_path / "a", to) for to in ("facesynth", "psp")),
    ):
        with pytest.raises(CheckpointError, match=says):
            call()
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
@pytest.mark.parametrize("to", ["facesynth", "psp", "rosinality"])
def test_a_full_disk_leaves_what_was_there(tmp_path, ours, to):
    with small_disk(tmp_path / "disk", "36k") as disk:
        target = disk.root / "a"
        target.write_text("mine")
        with pytest.raises(OutputError, match=r"cannot write .*/a: "):
            convert(ours, target, to)
        assert contents(disk.root) == {"a": b"mine"}
        assert leftovers(disk.root) == []


# --------------------------------------------------------------------------------------------------------------- what it is


@pytest.mark.slow
def test_descriptions(tmp_path, ours, published, ada, model):
    encoder, generator = (
        f"{sum(value.numel() for value in part.parameters()):,}" for part in (model.encoder, model.generator)
    )
    lines = dict(describe(published))
    assert lines["format"] == "psp (pixel2style2pixel's)"
    assert (lines["task"], lines["label scheme"], lines["encoder_channels"]) == (
        "seg2face",
        "celebamask-hq",
        "4, 8, 12, 16",
    )
    assert (lines["encoder parameters"], lines["generator parameters"]) == (encoder, generator)
    assert lines["sha256"] == digest(published)

    convert(published, tmp_path / "a")
    lines = dict(describe(tmp_path / "a"))
    assert (lines["format"], lines["holds"]) == ("facesynth (facesynth's own)", "a model")
    assert lines["converted from"] == f"published.pt (psp), SHA-256 {digest(published)}"
    lines = dict(describe(ada))
    assert (lines["holds"], lines["output_size"], lines["latent_avg"]) == ("a generator", "32", "in the file")
    assert lines["generator parameters"] == f"{sum(value.numel() for name, value in counted(ada).items()):,}"
    convert(ada, tmp_path / "b")
    assert dict(describe(tmp_path / "b"))["holds"] == "a generator"
    torch.save({f"lin{i}.model.1.weight": torch.ones(1, 4, 1, 1) for i in range(5)}, tmp_path / "heads")
    lines = dict(describe(tmp_path / "heads"))
    assert (lines["format"], lines["numbers"]) == ("lpips (LPIPS's heads)", "20")
    state = save_model(tmp_path / "state", kind="training", **SIZES)
    assert dict(describe(state))["holds"] == "the state of a training run"
    torch.save({"g_ema": torch_save.read(save_rosinality(ours, tmp_path))["g_ema"]}, tmp_path / "bare.pt")
    assert dict(describe(tmp_path / "bare.pt"))["latent_avg"].startswith("none in the file")


def save_rosinality(source: Path, folder: Path) -> Path:
    convert(source, folder / "ros.pt", "rosinality")
    return folder / "ros.pt"


def counted(ada: Path) -> dict[str, torch.Tensor]:
    """The parameters of a network: all but noise, filters and the average."""
    tensors = ada_tensors(size=32, style_dim=16, depth=2, base=256, most=16)
    return {key: value for key, value in tensors.items() if not key.endswith(("noise_const", "filter", "w_avg"))}


def test_what_a_file_says_of_itself_is_fit_for_a_line(tmp_path, ours):
    given = native.load(ours)
    info = {"note\x1b[31m": "a\nb\ud800", "source": {"file": "x\ny", "format": "z"}}
    native.save(ours, "model", given.tensors, config=CONFIG, task="seg\n2face", scheme=given.scheme, info=info)
    lines = describe(ours)
    assert all(name.isprintable() and value.isprintable() for name, value in lines)
    assert dict(lines)["note?[31m"] == "a b?"
    assert json.dumps(lines)
