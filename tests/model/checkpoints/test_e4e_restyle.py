"""Files of e4e and ReStyle: read, run, converted and written, against a plain reading of the published forward pass."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from torchvision.models import resnet34

from facesynth.errors import CheckpointError
from facesynth.labels import CELEBAMASK_HQ
from facesynth.model.checkpoints import native
from facesynth.model.checkpoints.conversion import convert, describe
from facesynth.model.checkpoints.load import load_model
from facesynth.model.checkpoints.pixel2style2pixel import config_from_published, from_published, to_published
from facesynth.model.config.model import ModelConfig
from facesynth.model.data.tensors import to_pictures
from facesynth.model.inference.translator import Translator
from facesynth.model.networks.fused import fuse
from facesynth.model.networks.psp import PSP

from .. import recipe
from .files import assert_same, saved
from .plain_reading import Published, passes

E4E = Published("Encoder4Editing", channels=3)
RESTYLE_E4E = Published("ProgressiveBackboneEncoder", passes=3)
RESTYLE_PSP = Published("BackboneEncoder", passes=4)
LAST_OF_HEAD = ("encoder.styles.3.convs.4.weight", "encoder.styles.3.convs.4.bias")
ALL = {
    "e4e": E4E,
    "e4e, 32 px": dataclasses.replace(E4E, output_size=32),
    "ReStyle-e4e": RESTYLE_E4E,
    "ReStyle-e4e, 32 px": dataclasses.replace(RESTYLE_E4E, output_size=32),
    "ReStyle-e4e, 256 px": dataclasses.replace(RESTYLE_E4E, output_size=256, passes=2),
    "ReStyle-pSp": RESTYLE_PSP,
    "ReStyle-pSp, pyramid": Published("GradualStyleEncoder", passes=2),
    "ReStyle-e4e, ResNet": Published("ResNetProgressiveBackboneEncoder", passes=2),
    "ReStyle-pSp, ResNet": Published("ResNetBackboneEncoder", passes=2),
    "ReStyle-pSp, ResNet, pyramid": Published("ResNetGradualStyleEncoder", passes=2),
}


def photos(count: int = 2) -> torch.Tensor:
    return torch.tanh(recipe.normal("photo", count, 3, 64, 64))


def network(tensors: dict[str, torch.Tensor], config: ModelConfig) -> PSP:
    psp = PSP(config)
    psp.load_state_dict(tensors)
    return psp.requires_grad_(False).eval()


# ----------------------------------------------------------------------------------------------------------- reading


@pytest.mark.slow
@pytest.mark.parametrize("given", ALL.values(), ids=ALL)
def test_latents_of_every_pass_and_the_face_are_the_published_ones(tmp_path: Path, given: Published) -> None:
    content = given.content()
    checkpoint = load_model(saved(tmp_path, content))
    config = checkpoint.config
    assert (config.condition, config.input_channels, config.input_size) == ("photo", 3, 64)
    assert (config.output_size, config.refinements, config.layer_offsets) == (
        given.output_size,
        given.passes,
        given.has_offsets,
    )
    latents, face = passes(given, content, photos())
    assert len(latents) == max(given.passes, 1)
    assert all((one - other).abs().mean() > 0.05 for one, other in itertools.pairwise(latents))
    for number, expected in enumerate(latents, start=1):
        shorter = dataclasses.replace(config, refinements=number if given.passes else 0)
        ours = network(checkpoint.tensors, shorter).encode(photos())
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)
    psp = network(checkpoint.tensors, config)
    torch.testing.assert_close(psp(photos()), face, atol=1e-4, rtol=0)
    fused = fuse(copy.deepcopy(psp))
    for _ in range(2):  # the average face is kept after the first
        torch.testing.assert_close(fused.encode(photos()), latents[-1], atol=1e-4, rtol=0)
        torch.testing.assert_close(fused(photos(1)), face[:1], atol=1e-4, rtol=0)
    torch.testing.assert_close(psp.average_face(), fused.average_face(), atol=1e-4, rtol=0)


def test_the_first_face_is_that_of_the_average_latent(tmp_path: Path) -> None:
    given = load_model(saved(tmp_path, dataclasses.replace(RESTYLE_PSP, output_size=128).content()))
    psp = network(given.tensors, given.config)
    face = psp.generator(psp.latent_avg[None])
    assert face.shape == (1, 3, 128, 128)
    torch.testing.assert_close(psp.average_face(), F.avg_pool2d(face, 2))


def test_the_class_of_the_encoder_alone_tells_offsets(tmp_path: Path) -> None:
    content = E4E.content()
    plain = copy.deepcopy(content)
    plain["opts"]["encoder_type"] = "GradualStyleEncoder"
    configs = [load_model(saved(tmp_path, given)).config for given in (content, plain)]
    assert configs[1].layer_offsets is False
    assert configs[0] == dataclasses.replace(configs[1], layer_offsets=True)


@pytest.mark.parametrize(("options", "count"), [({"n_iters_per_batch": 7}, 7), ({"n_iters_per_batch": None}, 5)])
def test_restyle_starts_from_the_average_latent_whatever_the_options_say(
    tmp_path: Path, options: dict[str, Any], count: int
) -> None:
    content = RESTYLE_PSP.content()
    content["opts"] |= {**options, "start_from_latent_avg": False}
    given = load_model(saved(tmp_path, content))
    assert given.config.refinements == count
    assert torch.equal(given.tensors["latent_avg"], content["latent_avg"])
    assert given.task == "photo2face"


def full_size(encoder: str) -> tuple[dict[str, torch.Tensor], ModelConfig]:
    """The keys and shapes of the published models of 1024 px, without memory for their values, and their config."""
    shapes = {key: (shape, dtype) for key, (shape, dtype) in recipe.published_keys("seg_1024").items()}
    config = ModelConfig(condition="photo", input_channels=3, output_size=1024, layer_offsets=True)
    if encoder == "e4e":
        shapes["encoder.input_layer.0.weight"] = ((64, 3, 3, 3), "float32")
    else:
        config = dataclasses.replace(config, encoder_kind="last-layer-heads", refinements=5)
        shapes["encoder.input_layer.0.weight"] = ((64, 6, 3, 3), "float32")
        for key in list(shapes):
            parts = key.split(".")
            is_deep = parts[1] == "styles" and int(parts[2]) > 2 and parts[3] == "convs" and int(parts[4]) > 6
            if is_deep or parts[1].startswith("latlayer"):
                del shapes[key]
    if encoder == "ReStyle-e4e, ResNet":
        config = dataclasses.replace(config, encoder_trunk="resnet", encoder_units=(3, 4, 6, 3))
        shapes = {key: entry for key, entry in shapes.items() if ".body." not in key and ".input_layer." not in key}
        with torch.device("meta"):
            layers = resnet34(weights=None)
        blocks = [block for stage in range(1, 5) for block in getattr(layers, f"layer{stage}")]
        shapes |= {
            f"encoder.body.{index}.{key}": (tuple(value.shape), str(value.dtype).removeprefix("torch."))
            for index, block in enumerate(blocks)
            for key, value in block.state_dict().items()
        }
        shapes |= {
            f"encoder.bn1.{key}": (tuple(value.shape), str(value.dtype).removeprefix("torch."))
            for key, value in layers.bn1.state_dict().items()
        }
        shapes |= {"encoder.conv1.weight": ((64, 6, 7, 7), "float32"), "encoder.relu.weight": ((64,), "float32")}
    state = {
        key: recipe.published_tensor(key, shape, dtype)
        if key.endswith("kernel")
        else torch.zeros((), dtype=getattr(torch, dtype)).expand(shape)
        for key, (shape, dtype) in shapes.items()
    }
    return state, config


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["e4e", "ReStyle-e4e", "ReStyle-e4e, ResNet"])
def test_published_sizes(encoder: str) -> None:
    published, expected = full_size(encoder)
    config = config_from_published(published, layer_offsets=True, refinements=expected.refinements)
    assert config == expected
    back = to_published(from_published(published, config), config)
    assert {key: (tensor.shape, tensor.dtype) for key, tensor in back.items()} == {
        key: (tensor.shape, tensor.dtype) for key, tensor in published.items()
    }


# -------------------------------------------------------------------------------------------- converting, translating


@pytest.mark.slow
@pytest.mark.parametrize("name", ["e4e", "ReStyle-e4e", "ReStyle-pSp", "ReStyle-pSp, pyramid", "ReStyle-e4e, ResNet"])
def test_there_and_back(tmp_path: Path, name: str) -> None:
    content = ALL[name].content()
    path = saved(tmp_path, content)
    assert convert(path, tmp_path / "a.safetensors") == "model"
    assert convert(tmp_path / "a.safetensors", tmp_path / "b.pt", "psp") == "model"
    last = torch.load(tmp_path / "b.pt", weights_only=True)
    assert_same(last["state_dict"], content["state_dict"])
    assert torch.equal(last["latent_avg"], content["latent_avg"])
    plain = {key: value for key, value in content["opts"].items() if not isinstance(value, list)}
    assert plain.items() <= last["opts"].items()
    config = load_model(path).config
    assert native.load(tmp_path / "a.safetensors").config == load_model(tmp_path / "b.pt").config == config
    for given in (path, tmp_path / "a.safetensors"):
        lines = dict(describe(given))
        assert (lines["task"], lines["refinements"]) == ("photo2face", str(config.refinements))
        assert (lines["layer_offsets"], lines["encoder_trunk"]) == (str(config.layer_offsets), config.encoder_trunk)
        assert lines["input_channels"] == "3"


def test_a_written_file_has_the_options_that_e4e_needs(tmp_path: Path) -> None:
    config = load_model(saved(tmp_path, E4E.content())).config
    model = PSP(config)
    native.save(
        tmp_path / "a",
        "model",
        model.state_dict(),
        config=config,
        task="photo2face",
        scheme=CELEBAMASK_HQ,
        info={},
    )
    convert(tmp_path / "a", tmp_path / "b", "psp")
    options = torch.load(tmp_path / "b", weights_only=True)["opts"]
    assert (options["encoder_type"], options["stylegan_size"], options["input_nc"]) == ("Encoder4Editing", 64, 3)


@pytest.mark.slow
@pytest.mark.parametrize("given", [E4E, RESTYLE_E4E], ids=["e4e", "ReStyle-e4e"])
def test_photos_are_translated(tmp_path: Path, given: Published) -> None:
    content = given.content()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    translator = Translator.from_pretrained(saved(tmp_path, content), device="cpu")
    face = np.asarray(translator(tmp_path / "photo.png"))
    photo = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
    expected = to_pictures(passes(given, content, photo)[1])[0]
    assert np.abs(face.astype(int) - expected).max() <= 1
    faces = translator(tmp_path / "photo.png", samples=2, seed=1)
    assert np.abs(np.asarray(faces[0]).astype(int) - np.asarray(faces[1])).mean() > 1


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("given", "state", "options", "says"),
    [
        (RESTYLE_E4E, {"encoder.input_layer.0.weight": torch.zeros(4, 3, 3, 3)}, {}, "takes 3 channels; needed: 6"),
        (RESTYLE_E4E, {"encoder.styles.4.linear.bias": None}, {}, r"lacks encoder\.styles\.4\.linear\.bias; needed"),
        (RESTYLE_E4E, {"encoder.styles.4.linear.bias": torch.zeros(3)}, {}, r"linear\.bias has shape \(3,\); needed: \(16,"),
        (RESTYLE_E4E, {"encoder.latlayer1.bias": torch.zeros(16)}, {}, r"unexpected encoder\.latlayer1\.bias; needed"),
        (RESTYLE_E4E, {}, {"n_iters_per_batch": 0}, "n_iters_per_batch 0; needed: a whole number of at least 1"),
        (RESTYLE_E4E, {}, {"n_iters_per_batch": "5"}, "n_iters_per_batch '5'; needed"),
        (RESTYLE_E4E, {}, {"n_iters_per_batch": 99}, "refinements is 99; needed: 0 to 20"),
        (RESTYLE_E4E, {}, {"dataset_type": "cars_encode"}, "cars_encode, of pictures of 256 x 192 px; needed: .* square"),
        (E4E, {}, {"dataset_type": "cars_encode"}, "cars_encode"),
        (E4E, dict.fromkeys(LAST_OF_HEAD), {}, r"lacks encoder\.styles\.3\.convs\.4\.weight"),
        (E4E, {"decoder.input.input": None}, {}, r"lacks decoder\.input\.input"),
        (Published("ResNetBackboneEncoder", passes=2), {"encoder.body.6.bn2.bias": None}, {}, r"lacks encoder\.body\.6\.bn2"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(
    tmp_path: Path, given: Published, state: dict[str, torch.Tensor | None], options: dict[str, Any], says: str
) -> None:
    content = given.content()
    changed = {**content["state_dict"], **state}
    content["state_dict"] = {key: value for key, value in changed.items() if value is not None}
    content["opts"] |= options
    with pytest.raises(CheckpointError, match=f"^{tmp_path}.*{says}") as caught:
        load_model(saved(tmp_path, content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder_kind": "last-layer-heads"},
        {"encoder_trunk": "resnet"},
        {"layer_offsets": True, "refinements": 2},
        {"encoder_kind": "last-layer-w", "refinements": 2},
    ],
)
def test_no_published_encoder_is_such(tmp_path: Path, changes: dict[str, Any]) -> None:
    config = recipe.tiny_config(condition="photo", input_channels=3, encoder_channels=(4, 8, 12, 16), **changes)
    state = PSP(config).state_dict()
    native.save(
        tmp_path / "a", "model", state, config=config, task="photo2face", scheme=CELEBAMASK_HQ, info={"step": 1}
    )
    with pytest.raises(CheckpointError, match=f"^{tmp_path}/a: no published encoder has encoder_kind .* refinements"):
        convert(tmp_path / "a", tmp_path / "b", "psp")
