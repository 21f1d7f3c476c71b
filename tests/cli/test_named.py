"""Published weights by name, on the command line."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from facesynth.model.checkpoints import named
from facesynth.model.checkpoints.pixel2style2pixel import to_published
from facesynth.model.checkpoints.rosinality import generator_to_rosinality

from ..hub import Hub, point_at, running_hub
from ..runs import assert_refused, model_of, small_model
from ..trees import pictures

CONFIG = small_model("sketch2face", encoder_channels=(4, 8, 12, 16), style_resolution=32, output_size=64)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A stand-in for the Hub with a model for sketches and its generator."""
    model = model_of(CONFIG)
    contents = {
        "psp-sketch-to-face": {"state_dict": to_published(model.state_dict(), CONFIG), "latent_avg": model.latent_avg},
        "stylegan2-ffhq": {"g_ema": generator_to_rosinality(model.generator.state_dict(), CONFIG)},
        "ir-se50": {"output_layer.3.weight": torch.zeros(2, 2)},
    }
    with running_hub(tmp_path / "caches", monkeypatch) as running:
        for name, content in contents.items():
            file = io.BytesIO()
            torch.save(content, file)
            running.publish(name, file.getvalue(), monkeypatch)
        yield running


def translate(faces, tmp_path, *options):
    where = ("--checkpoint", "psp-sketch-to-face", "--out", tmp_path / "out", "--device", "cpu")
    return ("translate", sorted((faces / "sketches/dodge").iterdir())[0], *where, *options)


def test_what_is_downloaded_is_said(hub, faces, tmp_path, facesynth):
    code, out, err = facesynth(*translate(faces, tmp_path))
    assert (code, out) == (0, f"faces in {tmp_path}/out: 1 written, 0 already there, 0 inputs failed\n")
    first = err.splitlines()[0]
    assert re.fullmatch(
        r"psp-sketch-to-face: downloading psp_celebs_sketch_to_face\.pt, [\d.]+ MB, "
        r"from http://127.*/resolve/main/psp_celebs_sketch_to_face\.pt; "
        r"published by https://github\.com/eladrich/pixel2style2pixel; licence: MIT \(pixel2style2pixel\); "
        r"the generator in it is NVIDIA's StyleGAN2 for FFHQ, for non-commercial use, see https://nvlabs.*",
        first,
    )
    asked = len(hub.requests)
    code, out, err = facesynth(*translate(faces, tmp_path))
    assert (code, out) == (0, f"faces in {tmp_path}/out: 0 written, 1 already there, 0 inputs failed\n")
    assert "downloading" not in err
    assert len(hub.requests) == asked


def test_quiet(hub, faces, tmp_path, facesynth):
    code, _, err = facesynth(*translate(faces, tmp_path, "--quiet"))
    assert (code, err) == (0, "")
    assert len(pictures(tmp_path / "out")) == 1


def test_without_network(faces, tmp_path, facesynth, monkeypatch):
    point_at("http://127.0.0.1:9", tmp_path / "caches", monkeypatch)
    place = re.escape(str(tmp_path / "caches/assets/facesynth/published"))
    file = r"psp_celebs_sketch_to_face\.pt"
    says = f"download {file} from http://.*/trysem/pixel2style2pixel/resolve/main/{file} and put it at {place}/{file}\n"
    assert_refused(facesynth(*translate(faces, tmp_path)), says)
    assert not (tmp_path / "out").exists()
    says = r"psp-seg-to-face is not on the Hugging Face Hub; download .* from https://drive\.google\.com/file/d/1Vp"
    assert_refused(facesynth("info", "psp-seg-to-face"), says)


def test_a_damaged_file(hub, faces, tmp_path, facesynth):
    known = named.PUBLISHED["psp-sketch-to-face"]
    hub.files[hub.path(known)] = b"0" * 1000
    hub.digests[hub.path(known)] = known.sha256
    assert_refused(
        facesynth(*translate(faces, tmp_path, "-q")), "is damaged or another file: its SHA-256 is .*; it was removed"
    )


def test_a_name_in_this_folder_is_preferred(hub, faces, tmp_path, facesynth, monkeypatch):
    assert facesynth("convert", "psp-sketch-to-face", tmp_path / "mine")[0] == 0
    asked = len(hub.requests)
    monkeypatch.chdir(tmp_path)
    shutil.move("mine", "psp-ffhq-encode")
    assert re.match("file +psp-ffhq-encode\n", facesynth("info", "psp-ffhq-encode")[1])
    assert len(hub.requests) == asked


def test_described(hub, facesynth):
    code, out, err = facesynth("info", "ir-se50")
    assert code == 2
    assert err.startswith("ir-se50: downloading InsightFace_Pytorch+model_ir_se50.pth, ")
    code, out, err = facesynth("info", "stylegan2-ffhq")
    assert code == 0
    assert "licence: NVIDIA's Source Code License-NC, for non-commercial use, see" in err
    assert re.search(r"^published +stylegan2-ffhq$", out, re.MULTILINE)


@pytest.mark.slow
def test_trained_with(hub, faces, tmp_path, facesynth):
    train = ("train", "--data", faces, "--task", "sketch2face", "--sketch", "dodge", "--out", tmp_path / "run")
    options = ("--generator", "stylegan2-ffhq", "--lpips", 0, "--steps", 1, "--batch-size", 2, "--device", "cpu")
    sizes = [
        word
        for name in ("style_dim", "mapping_depth", "channel_base", "channel_max")
        for word in ("--model", f"{name}={getattr(CONFIG, name)}")
    ]
    code, _, err = facesynth(*train, *options, *sizes)
    assert code == 0, err
    assert "stylegan2-ffhq: downloading stylegan2-ffhq-config-f.pt" in err
    assert "generator: stylegan2-ffhq\n" in (tmp_path / "run/config.yaml").read_text()
    arguments = (*train, "--model", "output_size=256", *options, "--identity", 0.1, "--identity-weights", "ir-se50")
    assert_refused(facesynth(*arguments, "--quiet"), r"ir-se50-[0-9a-f]{16}\.pth: the network lacks input_layer")
