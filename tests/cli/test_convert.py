from __future__ import annotations

import dataclasses
import json
import os
import pickle

import pytest
import safetensors
import safetensors.torch
import torch
from PIL import Image

from facesynth.model.checkpoints.pixel2style2pixel import to_published

from ..model.checkpoints.files import saved
from ..model.checkpoints.hostile import Calls, ada_pickle, ada_tensors
from ..model.checkpoints.plain_reading import Published
from ..runs import assert_refused, model_of, save_model, small_model
from ..trees import contents, pictures
from ..trees import facesynth as installed

SIZES = {"encoder_channels": (4, 8, 12, 16), "style_resolution": 32}


@pytest.fixture
def ours(tmp_path):
    return save_model(tmp_path / "ours.safetensors", **SIZES)


@pytest.mark.slow
def test_there_and_back(tmp_path, ours, faces, facesynth):
    code, out, err = facesynth("convert", ours, tmp_path / "a.pt", "--to", "psp")
    assert (code, out, err) == (0, f"model of {ours} written to {tmp_path}/a.pt (psp layout)\n", "")
    assert facesynth("convert", tmp_path / "a.pt", tmp_path / "b.safetensors")[0] == 0
    rendered = {}
    for name in ("ours.safetensors", "a.pt", "b.safetensors"):
        options = ("--checkpoint", tmp_path / name, "--out", tmp_path / "out" / name, "--device", "cpu", "-q")
        assert facesynth("translate", faces, *options)[0] == 0
        rendered[name] = pictures(tmp_path / "out" / name)
    assert len(rendered["a.pt"]) == 3
    assert rendered["ours.safetensors"] == rendered["a.pt"] == rendered["b.safetensors"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "published",
    [Published("Encoder4Editing", channels=3), Published("ProgressiveBackboneEncoder", passes=2)],
    ids=["e4e", "ReStyle"],
)
def test_e4e_and_restyle(tmp_path, published, facesynth):
    Image.radial_gradient("L").convert("RGB").save(tmp_path / "photo.png")
    path, converted = saved(tmp_path, published.content(), "a.pt"), tmp_path / "b.safetensors"
    assert facesynth("convert", path, converted)[:2] == (
        0,
        f"model of {path} written to {converted} (facesynth layout)\n",
    )
    told = " ".join(facesynth("info", path)[1].split())
    assert f"refinements {published.passes}" in told
    faces = []
    for checkpoint in (path, converted):
        out = tmp_path / "out" / checkpoint.name
        options = ("--checkpoint", checkpoint, "--out", out, "--device", "cpu", "-q")
        assert facesynth("translate", tmp_path / "photo.png", *options)[0] == 0
        faces.append(pictures(out))
    assert len(faces[0]) == 1
    assert faces[0] == faces[1]


@pytest.mark.slow
def test_a_published_model_for_photos_translates_photos(tmp_path, faces, facesynth):
    config = dataclasses.replace(small_model(**SIZES), condition="photo", input_channels=3)
    torch.save({"state_dict": to_published(model_of(config).state_dict(), config)}, tmp_path / "photo.pt")
    options = ("--checkpoint", tmp_path / "photo.pt", "--out", tmp_path / "out", "--device", "cpu", "-q")
    code, out, _ = facesynth("translate", faces / "photos", *options)
    assert (code, out) == (0, f"faces in {tmp_path}/out: 6 written, 0 already there, 0 inputs failed\n")
    assert len(set(pictures(tmp_path / "out").values())) == 6
    assert facesynth("translate", faces / "photos", *options, "--sheet", "--samples", 1)[0] == 0


def test_info(tmp_path, ours, facesynth):
    code, out, err = facesynth("info", ours)
    assert (code, err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines() if "parameters" not in line)
    assert lines["file"] == str(ours)
    assert (lines["format"], lines["holds"]) == ("facesynth (facesynth's own)", "a model")
    assert (lines["task"], lines["output_size"], lines["encoder_units"]) == ("seg2face", "32", "1, 1, 1, 1")
    assert {len(line) - len(line.rpartition("  ")[2]) for line in out.splitlines()} == {22}  # the values in a column
    assert "generator parameters  " in out
    (tmp_path / "run").mkdir()
    save_model(tmp_path / "run" / "model.safetensors")
    assert "run/model.safetensors" in facesynth("info", tmp_path / "run")[1]


@pytest.mark.slow
def test_a_generator_of_another_program_is_trained_for(tmp_path, faces, facesynth):
    path = tmp_path / "network.pkl"
    path.write_bytes(ada_pickle(ada_tensors(size=64, style_dim=64, depth=4, base=1024, most=64)))
    options = ("--data", faces, "--task", "seg2face", "--out", tmp_path / "run", "--generator", path, "--lpips", 0)
    assert facesynth("train", *options, "--batch-size", 2, "--steps", 1, "--device", "cpu", "-q")[0] == 0
    assert facesynth("convert", path, tmp_path / "given.pt", "--to", "rosinality")[0] == 0
    assert facesynth("convert", tmp_path / "run", tmp_path / "kept.pt", "--to", "rosinality")[0] == 0
    given, kept = (torch.load(tmp_path / name, weights_only=True) for name in ("given.pt", "kept.pt"))
    assert all(torch.equal(kept["g_ema"][key], given["g_ema"][key]) for key in given["g_ema"])
    assert torch.equal(kept["latent_avg"], given["latent_avg"])


@pytest.mark.slow
def test_the_installed_command_runs_nothing_of_a_file(tmp_path, facesynth):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"G_ema": Calls(os.system, f"touch {tmp_path}/canary")}))
    says = "it names posix.system, which weights have no use for; nothing of it was run"
    assert_refused(facesynth("info", path), says)
    done = installed("convert", path, tmp_path / "b")
    assert_refused((done.returncode, done.stdout, done.stderr), says)
    assert set(contents(tmp_path)) == {"a.pkl"}


def newer(path, ours):
    with safetensors.safe_open(ours, framework="pt") as file:
        header = json.loads(file.metadata()["facesynth"])
    safetensors.torch.save_file({"a": torch.ones(1)}, path, {"facesynth": json.dumps(header | {"schema": 2})})


def not_finite(path, ours):
    tensors = safetensors.torch.load_file(ours)
    tensors["generator.constant"][0, 0, 0] = torch.inf
    with safetensors.safe_open(ours, framework="pt") as file:
        safetensors.torch.save_file(tensors, path, file.metadata())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path, ours: path.write_bytes(ours.read_bytes()[:-100]), "cannot be read as a checkpoint"),
        (lambda path, ours: path.write_bytes(ours.read_bytes()[:100]), "cannot be read as a checkpoint"),
        (not_finite, r"non-finite values in 'generator\.constant'"),
        (newer, "has schema 2, this facesynth reads up to 1; upgrade facesynth"),
        (lambda path, ours: path.write_bytes(b""), "it is empty; give a checkpoint of facesynth, pixel2style2pixel"),
        (lambda path, ours: path.mkdir(), r"holds no model\.safetensors; give a checkpoint file"),
        (lambda path, ours: None, "does not exist; give a"),
    ],
)
@pytest.mark.parametrize("command", ["info", "convert", "translate", "train"])
def test_wrong_files(tmp_path, ours, faces, facesynth, command, make, says):
    path, out = tmp_path / "a", tmp_path / "out"
    make(path, ours)
    arguments = {
        "info": (path,),
        "convert": (path, out),
        "translate": (faces, "--checkpoint", path, "--out", out),
        "train": ("--data", faces, "--task", "seg2face", "--generator", path, "--out", out, "--lpips", 0),
    }
    assert_refused(facesynth(command, *arguments[command]), says)
    assert contents(tmp_path).keys() - {"a"} <= {"ours.safetensors"}


def test_a_label_map(tmp_path, faces, facesynth):
    for arguments in (("info", faces / "labels/00001.png"), ("convert", faces / "labels/00001.png", tmp_path / "a")):
        assert_refused(
            facesynth(*arguments), r"00001\.png cannot be read as a checkpoint: it is a picture; give a check"
        )
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    "arguments", [("convert",), ("convert", "a"), ("convert", "a", "b", "--to", "onnx"), ("info",)]
)
def test_wrong_usage(facesynth, arguments):
    code, out, err = facesynth(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("Usage: ")
    assert "Error: " in err
