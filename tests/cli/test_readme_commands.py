"""Every command of the README's, run in its order in one folder, in which what it names was made small."""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from facesynth import images
from facesynth.labels import CELEBAMASK_HQ
from facesynth.manifest import read_dataset
from facesynth.model.checkpoints import native
from facesynth.model.checkpoints.pixel2style2pixel import to_published
from facesynth.model.checkpoints.rosinality import generator_to_rosinality
from facesynth.model.config.model import ModelConfig
from facesynth.model.networks.generator import Generator

from ..model import recipe
from ..model.checkpoints.hostile import ada_pickle, ada_tensors
from ..runs import model_of, small_model

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TOLD = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for block in TOLD
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("facesynth ")
]
SMALLER = ("--steps", 1, "--batch-size", 2, "--interval", 1, "--device", "cpu", "-q")
TRAINED = {
    "train": (*SMALLER, "--lpips", 0),
    "super-resolution": tuple(
        word
        for size in ("channel_base=1024", "style_dim=32", "mapping_depth=2", "encoder_channels=4,8,8,8")
        for word in ("--model", size)
    ),
    "train-generator": SMALLER,
}
"""What is added to a command so that it takes seconds."""


@pytest.fixture
def world(tmp_path, monkeypatch, facesynth, dataset):
    """A folder with all that the README takes for given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    assert facesynth("prep", "sample", "RAW", "-n", 24, "--size", 64)[0] == 0
    for name, source in {"PHOTOS": "photos", "LABELS": "labels", "DRAWINGS": "sketches/xdog"}.items():
        shutil.copytree(dataset / source, name)
    for name in ("MAPS", "maps"):
        shutil.copytree(dataset / "labels", name)
    shutil.copytree(dataset / "sketches/dodge", "more_drawings")
    shutil.copy(ROOT / "facesynth/drawings/smile.png", "my_drawing.png")
    for name, source in zip(("drawing", "a", "b"), sorted(Path("more_drawings").iterdir()), strict=False):
        shutil.copy(source, f"{name}.png")
    Path("mine.yaml").write_text(yaml.safe_dump({"name": "mine", "classes": list(CELEBAMASK_HQ.classes)}))
    config = small_model(encoder_channels=(4, 8, 12, 16), style_resolution=32)
    opts = {"dataset_type": "celebs_seg_to_face", "output_size": 32, "start_from_latent_avg": True}
    model = model_of(config)
    state = to_published(model.state_dict(), config)
    torch.save({"state_dict": state, "latent_avg": model.latent_avg, "opts": opts}, "psp_celebs_seg_to_face.pt")
    sizes = ModelConfig(condition="photo", input_channels=3, channel_base=1024, style_dim=32, mapping_depth=2)
    generator = Generator(256, 32, 2, 1024, 512)
    state = generator_to_rosinality(generator.state_dict(), sizes)
    torch.save({"g_ema": state, "latent_avg": torch.zeros(32)}, "stylegan2.pt")
    keys = json.loads(gzip.decompress((recipe.DATA / "published_ir_se50_keys.json.gz").read_bytes()))
    recogniser = {
        key: recipe.published_tensor(f"encoder.{key}", tuple(shape), dtype) for key, (shape, dtype) in keys.items()
    }
    torch.save(recogniser, "model_ir_se50.pth")
    Path("network.pkl").write_bytes(ada_pickle(ada_tensors(size=32, style_dim=8, depth=1, base=64, most=4)))
    return tmp_path


NO_MEDIAPIPE = "finding faces needs mediapipe 0.10.21, for Python below 3.13: pip install 'facesynth[align]'"


def test_every_command_runs_in_its_place(world, facesynth):
    assert len(COMMANDS) > 20
    for arguments in COMMANDS:
        is_run = arguments[0].startswith("train") and "--plot" not in arguments
        more = TRAINED[arguments[0]] if is_run else ()
        more += TRAINED["super-resolution"] if "super-resolution" in arguments else ()
        code, out, err = facesynth(*arguments, *more)
        if arguments[:2] == ["prep", "align"] and importlib.util.find_spec("mediapipe") is None:
            assert (code, err) == (2, f"facesynth: {NO_MEDIAPIPE}\n")
            continue
        assert code == 0, f"{shlex.join(arguments)}\n{out}{err}"
    rows = read_dataset(Path("DATA")).rows
    assert {"labels", "photo_256", "sketch_xdog", "sketch_fxdog-ink"} <= set(rows.columns)
    assert images.read_photo(world / "faces" / "my_drawing.png").shape == (128, 128, 3)
    assert len(list((world / "WAY").glob("*.png"))) >= 24
    assert np.ptp(images.read_photo(world / "comparison.png")) > 0
    for run in ("RUN", "RUN2", "RUN3"):
        assert (world / run / "model.safetensors").is_file()
    assert native.load(Path("seg.safetensors")).task == "seg2face"
    assert set(torch.load("generator.pt", weights_only=True)) >= {"g_ema", "latent_avg"}
