from __future__ import annotations

import json
import shutil

import huggingface_hub
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from facesynth import images
from facesynth.errors import CheckpointError, InputError
from facesynth.model.checkpoints import load_model, native
from facesynth.model.data.tensors import condition_tensor, to_pictures
from facesynth.model.inference.styles import Styling
from facesynth.model.inference.translator import Translator
from facesynth.model.networks.fused import FrozenStyledLayer
from facesynth.model.networks.generator import Generator

from ...runs import assert_near, save_model
from ...trees import contents


@pytest.fixture
def translator(seg) -> Translator:
    return Translator.from_checkpoint(seg, device="cpu")


def conditions(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 19, (count, 32, 32), np.uint8)


# ------------------------------------------------------------------------------------------------------ the translator


def test_without_samples_the_style_is_the_encoders(translator):
    batch = conditions(2)
    faces = translator.translate(batch)
    assert (faces.shape, faces.dtype) == ((2, 1, 32, 32, 3), np.uint8)
    with torch.no_grad():
        expected = to_pictures(translator.model(condition_tensor(torch.from_numpy(batch), "labels", 19)))
    np.testing.assert_array_equal(faces[:, 0], expected)
    assert np.abs(faces[0].astype(int) - faces[1]).mean() > 3


def test_a_style_is_mixed_into_the_style_layers(translator):
    batch, config = conditions(2), translator.config
    faces = translator.translate(batch, samples=3, seed=7)
    assert faces.shape == (2, 3, 32, 32, 3)
    styles = translator.styles(3, 7)
    with torch.no_grad():
        latents = translator.model.encode(condition_tensor(torch.from_numpy(batch), "labels", 19))
        for number, w in enumerate(styles):
            mixed = latents.clone()
            mixed[:, list(config.style_layers)] = w
            np.testing.assert_array_equal(faces[:, number], to_pictures(translator.model.generator(mixed)))


def test_styles_are_the_mapping_of_one_z_a_sample(translator):
    styles = translator.styles(4, 5)
    assert torch.equal(translator.styles(2, 5), styles[:2])
    assert torch.equal(translator.styles(4, 5), styles)
    assert not torch.equal(translator.styles(4, 6), styles)
    assert torch.pdist(styles).min() > 0.1
    z = torch.from_numpy(np.random.default_rng([5, 3]).standard_normal(16, np.float32))
    torch.testing.assert_close(translator.model.generator.mapping(z[None])[0], styles[3])


def test_samples_differ_and_seeds_differ(translator):
    faces = translator.translate(conditions(1), samples=4, seed=1)[0].astype(int)
    for one in range(4):
        for other in range(one):
            assert np.abs(faces[one] - faces[other]).mean() > 3
    assert np.abs(translator.translate(conditions(1), samples=4, seed=2)[0] - faces).mean() > 3
    np.testing.assert_array_equal(translator.translate(conditions(1), samples=4, seed=1)[0], faces)


def test_spatial_maps_are_computed_once_for_all_samples(tmp_path):
    path = save_model(tmp_path / "model.safetensors", spatial_resolutions=(8, 16))
    translator = Translator.from_checkpoint(path, device="cpu")
    calls = []
    translator.model.spatial.register_forward_hook(lambda *_: calls.append(1))
    assert translator.translate(conditions(2), samples=3).shape == (2, 3, 32, 32, 3)
    assert len(calls) == 1


@pytest.mark.parametrize("samples", [0, 2])
def test_neither_batch_nor_order_matters(translator, samples):
    batch = conditions(5)
    faces = translator.translate(batch, samples=samples, seed=3)
    for index in range(5):
        assert_near(translator.translate(batch[index : index + 1], samples=samples, seed=3)[0], faces[index])
    assert_near(translator.translate(batch[::-1], samples=samples, seed=3)[::-1], faces)


@pytest.mark.parametrize(
    ("batch", "options", "says"),
    [
        (
            np.zeros((1, 32, 31), np.uint8),
            {},
            r"conditions is uint8 of shape \(1, 32, 31\); needed: uint8 of shape \(N, 32",
        ),
        (np.zeros((32, 32), np.uint8), {}, r"of shape \(32, 32\)"),
        (np.zeros((1, 32, 32)), {}, "conditions is float64"),
        (conditions(1), {"samples": -1}, "samples is -1"),
        (conditions(1), {"seed": -1}, "seed is -1"),
    ],
)
def test_arguments_out_of_range(translator, batch, options, says):
    with pytest.raises(InputError, match=says):
        translator.translate(batch, **options)


def test_a_training_state_serves_too(tmp_path, seg):
    state = save_model(tmp_path / "step-00000007.safetensors", kind="training")
    one, other = (Translator.from_checkpoint(path, device="cpu") for path in (state, seg.parent))
    np.testing.assert_array_equal(one.translate(conditions(1)), other.translate(conditions(1)))


def test_a_checkpoint_that_does_not_fit_its_config(tmp_path, seg):
    given = native.load(seg)
    shown = given.tensors | {"latent_avg": torch.zeros(2, 2)}
    native.save(tmp_path / "a", "model", shown, config=given.config, task=given.task, scheme=given.scheme, info={})
    with pytest.raises(CheckpointError, match=r"has 'latent_avg' of shape \(2, 2\); needed: \(8, 16\)"):
        Translator.from_checkpoint(tmp_path / "a")


# --------------------------------------------------------------------------------------------------------------- styling


def test_colours_are_a_style_even_without_samples(tmp_path):
    path = save_model(tmp_path / "model.safetensors", style_colours=("hair", "cloth"))
    translator = Translator.from_checkpoint(path, device="cpu")
    assert translator.config.style_colours == ("hair", "cloth")
    plain, red, sample = (
        translator.translate(conditions(1), **styling)
        for styling in ({}, {"colours": {"hair": "red"}}, {"colours": {"hair": "red"}, "samples": 1})
    )
    assert red.shape == (1, 1, 32, 32, 3)
    assert not np.array_equal(red, plain)
    np.testing.assert_array_equal(red, sample)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"colours": {"hair": "red"}}, "colours are given, but the styles of .* have none; leave them out"),
        ({"colours": {"hair": "red"}, "style": torch.zeros(16)}, "a given style came with colours, which are a style"),
    ],
)
def test_colours_that_cannot_be_used(translator, options, says):
    with pytest.raises(InputError, match=says):
        translator.translate(conditions(1), **options)


def latents_and_styles(translator, **styling):
    latents = translator.encode(conditions(2))
    chosen = Styling(**styling)
    return latents, translator.styles(chosen.samples, chosen.seed), translator.stylise(latents, chosen)


def test_a_style_goes_into_the_named_layers_by_its_weight(translator):
    latents, styles, mixed = latents_and_styles(translator, samples=2, seed=3, mix_layers="0,5-6", mix_alpha=0.25)
    assert len(mixed) == 2
    for w, one in zip(styles, mixed, strict=True):
        for layer in range(8):
            expected = 0.25 * w + 0.75 * latents[:, layer] if layer in (0, 5, 6) else latents[:, layer]
            torch.testing.assert_close(one[:, layer], expected)


@pytest.mark.parametrize("samples", [0, 1])
def test_truncation_goes_towards_the_average(translator, samples):
    _, _, (whole,) = latents_and_styles(translator, samples=samples)
    _, _, (half,) = latents_and_styles(translator, samples=samples, truncation=0.5)
    _, _, (average,) = latents_and_styles(translator, samples=samples, truncation=0)
    torch.testing.assert_close(half, (whole + translator.model.latent_avg) / 2)
    torch.testing.assert_close(average, translator.model.latent_avg.expand(2, -1, -1))


def test_truncation_of_a_model_whose_codes_do_not_start_from_the_average(translator):
    translator.model.latent_avg.zero_()
    _, _, (average,) = latents_and_styles(translator, truncation=0)
    expected = translator.styles(2000, 1).mean(dim=0)
    torch.testing.assert_close(average[0, 0], expected, atol=0.1, rtol=0)
    assert expected.abs().max() > 0.1


def test_a_given_style_takes_the_place_of_random_ones(translator):
    batch = conditions(3)
    style = translator.encode(batch[2:])[0]
    (mixed,) = translator.stylise(translator.encode(batch[:2]), Styling(mix_layers="all"), style)
    torch.testing.assert_close(mixed, style.expand(2, -1, -1))
    faces = translator.translate(batch, style=style, mix_layers="all")
    assert_near(faces[0], faces[2])
    other = translator.translate(batch, style=style[0], mix_layers="8px,16px")
    assert np.abs(other[0].astype(int) - other[1]).mean() > 1
    with pytest.raises(InputError, match="a given style came with samples 2"):
        translator.translate(batch, style=style, samples=2)


def test_noise(translator):
    batch = conditions(3)
    faces = {noise: translator.translate(batch, noise=noise, samples=2) for noise in ("constant", "random", "none")}
    with torch.no_grad():
        for layer in translator.model.generator.modules():
            if isinstance(layer, FrozenStyledLayer):
                layer.strength = 0.3
    noisy = {noise: translator.translate(batch, noise=noise, samples=2, seed=4) for noise in faces}
    assert_near(faces["none"], faces["constant"])  # a new model's noise has no strength
    for one, other in (("constant", "random"), ("random", "none"), ("none", "constant")):
        assert np.abs(noisy[one].astype(int) - noisy[other]).mean() > 3
    again = translator.translate(batch[1:2], noise="random", samples=2, seed=4)
    assert_near(again[0], noisy["random"][1])
    assert (
        np.abs(translator.translate(batch, noise="random", samples=2, seed=5).astype(int) - noisy["random"]).mean() > 3
    )


def test_the_way_between_two(translator):
    first, last = translator.encode(conditions(2))
    way = translator.interpolate(first, last, 5)
    assert way.shape == (5, 8, 16)
    torch.testing.assert_close(way[0], first)
    torch.testing.assert_close(way[4], last)
    torch.testing.assert_close(way[1], 0.75 * first + 0.25 * last)
    with pytest.raises(InputError, match="frames is 1; needed: at least 2"):
        translator.interpolate(first, last, 1)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_less_precision_gives_nearly_the_same(seg, translator, precision):
    faces = Translator.from_checkpoint(seg, device="cpu", precision=precision).translate(conditions(2), samples=1)
    difference = np.abs(faces.astype(int) - translator.translate(conditions(2), samples=1))
    assert 0 < difference.mean() < 4


def test_precisions_that_there_are_not(seg):
    with pytest.raises(InputError, match="precision is 'int4'; needed: float32, bf16, fp16"):
        Translator.from_checkpoint(seg, precision="int4")


# ------------------------------------------------------------------------------------------------- pictures in and out


def test_a_picture_becomes_a_face(seg, faces, translator):
    path = faces / "labels/00001.png"
    expected = translator.translate(translator.read(path)[None], samples=2, seed=3)[0]
    for source in (path, str(path), Image.open(path), np.asarray(Image.open(path))):
        face, other = translator(source, samples=2, seed=3)
        np.testing.assert_array_equal(np.asarray(face), expected[0])
        np.testing.assert_array_equal(np.asarray(other), expected[1])
    face = translator(path)
    assert face.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(face), translator.translate(translator.read(path)[None])[0, 0])


def test_a_face_of_another_size(faces, translator):
    path = faces / "labels/00001.png"
    small = translator(path, size=16)
    assert small.size == (16, 16)
    np.testing.assert_array_equal(np.asarray(small), images.resize(np.asarray(translator(path)), (16, 16)))
    with pytest.raises(InputError, match="size is 0; needed: at least 1"):
        translator(path, size=0)


def test_what_was_turned_round_is_told(sketcher, faces, caplog):
    translator = Translator.from_checkpoint(sketcher, device="cpu")
    drawing = np.full((64, 64), 255, np.uint8)
    drawing[20:22, 10:50] = drawing[40:42, 20:40] = 0
    with caplog.at_level("INFO", "facesynth"):
        np.testing.assert_array_equal(translator.read(255 - drawing), translator.read(drawing))
    assert [record.getMessage() for record in caplog.records] == [
        "the picture: light lines on dark: read as dark on light"
    ]


# --------------------------------------------------------------------------------------------------- the Hugging Face Hub


@pytest.fixture
def cached(tmp_path, seg):
    """A cache of the Hub's that holds the repository ``owner/name``."""
    root = tmp_path / "hub/models--owner--name"
    (root / "refs").mkdir(parents=True)
    (root / "refs/main").write_text("0" * 40)
    (root / "snapshots" / ("0" * 40)).mkdir(parents=True)
    shutil.copy(seg, root / "snapshots" / ("0" * 40) / "model.safetensors")
    return tmp_path / "hub"


@pytest.mark.slow
def test_from_a_path(seg, translator):
    for source in (seg, str(seg), seg.parent):
        given = Translator.from_pretrained(source, device="cpu")
        np.testing.assert_array_equal(given.translate(conditions(1)), translator.translate(conditions(1)))


def test_from_a_repository(cached, translator):
    given = Translator.from_pretrained("owner/name", cache_dir=cached, local_files_only=True, device="cpu")
    np.testing.assert_array_equal(given.translate(conditions(1)), translator.translate(conditions(1)))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("owner/other", "owner/other is nothing on this machine: .*; nor is it in the Hub's cache"),
        ("name", "checkpoint name does not exist"),
        ("runs/a.safetensors", r"checkpoint runs/a\.safetensors does not exist"),
        ("a/b/c", "checkpoint a/b/c does not exist"),
        ("o..wner/na--me", "is nothing on this machine"),
    ],
)
def test_what_is_neither_here_nor_there(cached, source, says):
    with pytest.raises(CheckpointError, match=says):
        Translator.from_pretrained(source, cache_dir=cached, local_files_only=True)


def test_a_path_below_a_folder_that_is_here_is_no_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner").mkdir()
    with pytest.raises(CheckpointError, match="checkpoint owner/name does not exist"):
        Translator.from_pretrained("owner/name")


def test_saved_with_its_card(tmp_path, seg, translator):
    translator.save_pretrained(tmp_path / "saved")
    files = contents(tmp_path / "saved")
    assert files.keys() == {"README.md", "config.json", "model.safetensors"}
    described = json.loads(files["config.json"])
    assert (described["task"], described["output_size"], described["condition"]) == ("seg2face", 32, "labels")
    card = files["README.md"].decode()
    assert card.startswith("---\n")
    front = yaml.safe_load(card.split("---")[1])
    assert (front["library_name"], front["pipeline_tag"]) == ("facesynth", "image-to-image")
    assert {"pixel2style2pixel", "stylegan2"} <= set(front["tags"])
    for fact in ("label maps into faces of 32 px", "| label scheme | celebamask-hq |", "| training steps | 7 |"):
        assert fact in card
    again = Translator.from_pretrained(tmp_path / "saved", device="cpu")
    np.testing.assert_array_equal(again.translate(conditions(1)), translator.translate(conditions(1)))
    assert native.load(tmp_path / "saved/model.safetensors").info == native.load(seg).info


def test_pushed_to_the_hub(monkeypatch, translator):
    seen = {}

    def upload(api, *, repo_id, folder_path, commit_message, **rest):
        seen.update(contents(folder_path), repo_id=repo_id, message=commit_message)
        return "the commit"

    monkeypatch.setattr(
        huggingface_hub.HfApi,
        "create_repo",
        lambda api, *, repo_id, **rest: huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}"),
    )
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload)
    card = {"known": "Trained on portraits."}
    assert translator.push_to_hub("owner/name", commit_message="First", model_card_kwargs=card) == "the commit"
    assert seen.keys() == {"README.md", "config.json", "model.safetensors", "repo_id", "message"}
    assert (seen["repo_id"], seen["message"]) == ("owner/name", "First")
    assert b'from_pretrained("owner/name")' in seen["README.md"]
    assert b"Trained on portraits." in seen["README.md"]


def test_a_model_is_saved_though_its_file_is_gone(seg, tmp_path):
    shutil.copyfile(seg, tmp_path / "model.safetensors")
    translator = Translator.from_checkpoint(tmp_path / "model.safetensors", device="cpu")
    (tmp_path / "model.safetensors").unlink()
    translator.save_pretrained(tmp_path / "saved")
    saved = load_model(tmp_path / "saved")
    original = load_model(seg)
    assert saved.config == original.config
    assert saved.tensors.keys() == original.tensors.keys()
    assert all(torch.equal(value, original.tensors[name]) for name, value in saved.tensors.items())


def test_the_mean_latent_is_computed_once(translator, monkeypatch):
    translator.model.latent_avg = torch.zeros_like(translator.model.latent_avg)
    calls = []
    mean_latent = Generator.mean_latent
    monkeypatch.setattr(Generator, "mean_latent", lambda *arguments: calls.append(1) or mean_latent(*arguments))
    latents = torch.zeros(1, *translator.model.latent_avg.shape)
    first, second = (translator.stylise(latents, Styling(truncation=0.5))[0] for _ in range(2))
    assert calls == [1]
    assert torch.equal(first, second)
    assert float(first.abs().max()) > 0
