from __future__ import annotations

import numpy as np
import pytest
import torch

from facesynth.errors import CheckpointError, InputError
from facesynth.labels import CELEBAMASK_HQ
from facesynth.model.checkpoints import native
from facesynth.model.checkpoints.conversion import convert, describe
from facesynth.model.checkpoints.load import load_generator
from facesynth.model.config.model import ParserConfig
from facesynth.model.inference.parser import Parser
from facesynth.model.inference.translator import Translator
from facesynth.model.networks.parser import ParserNetwork

from ...runs import save_model

CONFIG = ParserConfig(input_size=32, channels=(4, 6, 8))


@pytest.fixture
def network() -> ParserNetwork:
    torch.manual_seed(0)
    return ParserNetwork(CONFIG, 19).eval()


@pytest.fixture
def file(tmp_path, network):
    tensors = {name: value.half() if value.ndim > 1 else value for name, value in network.state_dict().items()}
    path = tmp_path / "parser.safetensors"
    native.save_parser(path, tensors, config=CONFIG, scheme=CELEBAMASK_HQ, info={"iou": 0.5})
    return path


@pytest.mark.parametrize("channels", [(4,), (4, 6), (4, 6, 8, 10, 12)])
def test_every_pixel_gets_a_score_for_every_class(channels):
    network = ParserNetwork(ParserConfig(input_size=32, channels=channels), 5)
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 5, 32, 32)
    assert len(network.down) == len(channels)


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"input_size": 48}, "input_size is 48; needed: a power of two"),
        ({"input_size": 16}, "input_size is 16"),
        ({"channels": ()}, r"channels is \(\)"),
        ({"channels": (4, 0)}, r"channels is \(4, 0\); needed: numbers of at least 1"),
        ({"input_size": 32, "channels": (4,) * 7}, "one for input_size and each halving of it"),
    ],
)
def test_impossible_sizes(sizes, says):
    with pytest.raises(InputError, match=says):
        ParserConfig(**sizes)


def test_what_is_written_in_half_precision_is_computed_with_in_float32(file, network):
    given = native.load_parser(file)
    assert (given.config, given.scheme, given.info["iou"]) == (CONFIG, CELEBAMASK_HQ, 0.5)
    used = Parser(given, device="cpu").network.state_dict()
    for name, value in network.state_dict().items():
        read = used[name]
        assert read.dtype == value.dtype, name
        assert torch.equal(read, value.half().float() if value.ndim > 1 else value), name


def test_scores_are_those_of_the_network_at_its_own_size(file, network):
    parser = Parser(native.load_parser(file), device="cpu")
    photos = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(parser.scores(photos), network(photos), atol=0.01, rtol=0.01)
    flat = torch.full((1, 3, 100, 100), 0.25)
    torch.testing.assert_close(parser.scores(flat), parser.scores(flat[..., :32, :32]))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 96), (96, 40), (33, 50)])
def test_a_label_map_lies_as_its_photo(file, monkeypatch, height, width):
    """By a parser that calls class 1 what is bright."""
    parser = Parser(native.load_parser(file), device="cpu")

    def bright(photos):
        small = torch.nn.functional.interpolate(photos, (32, 32), mode="bilinear", antialias=True)
        return torch.cat([-small[:, :1], small[:, :1]], 1)

    monkeypatch.setattr(parser, "scores", bright)
    photo = np.zeros((height, width, 3), np.uint8)
    photo[height // 4 : height // 2, width // 3 :] = 255
    labels = parser.parse(photo)
    assert (labels.shape, labels.dtype) == ((height, width), np.uint8)
    assert (labels != (photo[..., 0] > 0)).mean() < 0.08


@pytest.mark.parametrize(
    ("photo", "came"),
    [
        (np.zeros((8, 8), np.uint8), r"uint8 of shape \(8, 8\)"),
        (np.zeros((8, 8, 4), np.uint8), "uint8 of shape"),
        (np.zeros((8, 8, 3), np.float32), "float32"),
        (np.zeros((0, 8, 3), np.uint8), r"uint8 of shape \(0, 8, 3\)"),
    ],
)
def test_what_is_no_photo(file, photo, came):
    with pytest.raises(InputError, match=f"the photo is {came}.*needed"):
        Parser(native.load_parser(file), device="cpu").parse(photo)


def test_a_parser_is_no_model_and_a_model_no_parser(file, tmp_path):
    with pytest.raises(CheckpointError, match="holds a face parser, no model; `facesynth parse --checkpoint` takes it"):
        Translator.from_pretrained(file)
    with pytest.raises(CheckpointError, match="no generator but a face parser"):
        load_generator(file)
    with pytest.raises(CheckpointError, match="holds a face parser, which no other program reads"):
        convert(file, tmp_path / "other.safetensors")
    assert not (tmp_path / "other.safetensors").exists()
    with pytest.raises(CheckpointError, match="holds no face parser"):
        native.load_parser(save_model(tmp_path / "model.safetensors"))


def test_info_tells_what_it_is(file, network):
    told = dict(describe(file))
    assert told["holds"] == "a face parser"
    assert told["label scheme"] == "celebamask-hq"
    assert told["channels"] == "4, 6, 8"
    assert told["parameters"] == f"{sum(p.numel() for p in network.parameters()):,}"
    assert told["iou"] == "0.5"


def test_weights_that_do_not_fit(tmp_path, network):
    tensors = network.state_dict()
    del tensors["scores.bias"]
    path = tmp_path / "parser.safetensors"
    native.save_parser(path, tensors, config=CONFIG, scheme=CELEBAMASK_HQ, info={})
    with pytest.raises(CheckpointError, match=r"lacks 'scores\.bias'"):
        Parser(native.load_parser(path))
    with pytest.raises(CheckpointError, match=r"lacks 'scores\.bias'"):
        describe(path)


def test_narrow_photos_take_no_memory_of_a_square(file):
    parser = Parser(native.load_parser(file))
    for shape in ((20_000, 2, 3), (2, 20_000, 3), (3, 60, 3)):
        labels = parser.parse(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
        assert (labels.shape, labels.dtype) == (shape[:2], np.uint8)
