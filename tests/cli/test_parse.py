from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from facesynth import images
from facesynth.labels import CELEBAMASK_HQ
from facesynth.model.checkpoints import native
from facesynth.model.config.model import ParserConfig
from facesynth.model.inference.parser import Parser
from facesynth.model.networks.parser import ParserNetwork

from ..runs import assert_refused, save_model
from ..trees import contents


@pytest.fixture(scope="session")
def parser(tmp_path_factory):
    torch.manual_seed(0)
    config = ParserConfig(input_size=32, channels=(4, 6))
    path = tmp_path_factory.mktemp("parser") / "parser.safetensors"
    network = ParserNetwork(config, 19)
    for _ in range(30):  # so that batch norms fit and the classes vary
        network(2 * torch.rand(4, 3, 32, 32) - 1)
    native.save_parser(path, network.state_dict(), config=config, scheme=CELEBAMASK_HQ, info={})
    return path


@pytest.fixture
def parse(facesynth, parser, tmp_path):
    def run(*arguments, out=tmp_path / "out"):
        return facesynth("parse", "--out", out, "--checkpoint", parser, "--device", "cpu", "-q", *arguments)

    return run


def test_a_label_map_of_every_photo(faces, parser, parse, tmp_path):
    code, out, err = parse(faces / "photos")
    assert (code, out, err) == (0, f"label maps in {tmp_path}/out: 6 written, 0 photos failed\n", "")
    ours = Parser(native.load_parser(parser), device="cpu")
    for photo in (faces / "photos").iterdir():
        made = images.read_labels(tmp_path / "out" / f"{photo.stem}.png", CELEBAMASK_HQ)
        np.testing.assert_array_equal(made, ours.parse(images.read_photo(photo)))
        assert len(np.unique(made)) > 1
    first = contents(tmp_path / "out")
    assert parse(faces / "photos")[0] == 0
    assert contents(tmp_path / "out") == first


def test_in_colours(faces, parse, tmp_path):
    assert parse(faces / "photos", "--palette")[0] == 0
    with Image.open(tmp_path / "out" / "00000.png") as picture:
        assert picture.mode == "P"
        assert picture.getpalette()[: 3 * 19] == [band for colour in CELEBAMASK_HQ.colours for band in colour]


def test_a_bad_photo_does_not_stop_the_others(faces, parse, tmp_path):
    shutil.copytree(faces / "photos", tmp_path / "photos")
    name = sorted((tmp_path / "photos").iterdir())[1]
    name.write_bytes(b"nothing")
    code, out, err = parse(tmp_path / "photos")
    assert (code, out) == (1, f"label maps in {tmp_path}/out: 5 written, 1 photos failed\n")
    assert err.startswith(f"{name.stem}: {name}")
    assert err.count("\n") == 1


def test_what_is_refused(faces, parse, tmp_path):
    assert_refused(parse(), "there is no photo")
    assert_refused(parse(tmp_path / "none"), "none does not exist")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert_refused(parse(tmp_path / "a.png", out=tmp_path), "would take its place; give another --out")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg")
    assert_refused(parse(tmp_path / "a.png", tmp_path / "a.jpg"), "would both become")
    model = save_model(tmp_path / "model.safetensors")
    assert_refused(parse(faces / "photos", "--checkpoint", model), "holds no face parser")
    assert not (tmp_path / "out").exists()
