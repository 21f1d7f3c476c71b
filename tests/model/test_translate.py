from __future__ import annotations

import numpy as np
import pytest
import torch

from facesynth.errors import CheckpointError, InputError
from facesynth.model import checkpoint
from facesynth.model.tensors import condition_tensor, to_pictures
from facesynth.model.translate import Translator

from ..runs import assert_near, save_model


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
    given = checkpoint.load(seg)
    shown = given.tensors | {"latent_avg": torch.zeros(2, 2)}
    checkpoint.save(tmp_path / "a", "model", shown, config=given.config, task=given.task, scheme=given.scheme, info={})
    with pytest.raises(CheckpointError, match=r"has 'latent_avg' of shape \(2, 2\); needed: \(8, 16\)"):
        Translator.from_checkpoint(tmp_path / "a")
