from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from facesynth.errors import CheckpointError
from facesynth.model.checkpoints.load import load_model
from facesynth.model.checkpoints.pixel2style2pixel import config_from_published, from_published, to_published
from facesynth.model.config.model import TRUNK_UNITS, ModelConfig
from facesynth.model.losses import pixel
from facesynth.model.networks.psp import PSP

from .. import recipe

TINY = recipe.tiny_config(encoder_units=(2, 1, 3, 1), encoder_channels=(4, 8, 12, 16))


def golden(case: str) -> dict[str, torch.Tensor]:
    with np.load(recipe.DATA / f"published_{case}.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


def hollow(case: str) -> dict[str, torch.Tensor]:
    """A published state dict of the right keys, shapes and filters whose other values take no memory."""
    return {
        key: recipe.published_tensor(key, shape, dtype)
        if key.endswith("kernel")
        else torch.zeros((), dtype=getattr(torch, dtype)).expand(shape)
        for key, (shape, dtype) in recipe.published_keys(case).items()
    }


@pytest.fixture(scope="module")
def seg_256() -> dict[str, torch.Tensor]:
    return {
        key: recipe.published_tensor(key, shape, dtype)
        for key, (shape, dtype) in recipe.published_keys("seg_256").items()
    }


def model_of(state_dict: dict[str, torch.Tensor]) -> PSP:
    """A model on the given tensors themselves, but for the statistics that training would change."""
    config = config_from_published(state_dict)
    ours = from_published(state_dict, config)
    ours |= {key: tensor.clone() for key, tensor in ours.items() if "running" in key or "num_batches" in key}
    with torch.device("meta"):
        psp = PSP(config)
    psp.load_state_dict({**ours, "latent_avg": recipe.latent_avg(config.n_styles)}, assign=True)
    return psp.requires_grad_(False).eval()


def assert_within(actual: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    print(f"largest difference {(actual - expected).abs().max():.1e} of {tolerance:.0e}")
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


@pytest.mark.slow
def test_published_labels_to_face_outputs(seg_256):
    psp, expected = model_of(seg_256), golden("seg_256")
    with torch.inference_mode():
        codes = psp.encoder(recipe.label_map())
        latents = codes + psp.latent_avg
        injected = psp.generator.mapping(recipe.normal("z-inject", 1, 512))
        faces = psp.generator(torch.cat([latents, psp.mix(latents, injected, range(7, 14), alpha=0.6)]))
    assert_within(codes, expected["codes"], 1e-4)
    assert_within(latents, expected["latents"], 1e-4)
    assert_within(injected, expected["injected"], 1e-4)
    assert_within(F.avg_pool2d(faces[:1], 4), expected["image_64"], 2e-3)
    assert_within(F.avg_pool2d(faces[1:], 4), expected["mixed_64"], 2e-3)


@pytest.mark.slow
def test_published_sketch_to_face_outputs(seg_256):
    # The two published models differ in the first convolution alone, as far as keys and shapes go.
    first = "encoder.input_layer.0.weight"
    psp = model_of({**seg_256, first: recipe.published_tensor(first, (64, 1, 3, 3), "float32")})
    expected = golden("sketch_256")
    assert psp.config.condition == "sketch"
    with torch.no_grad():
        codes = psp.encoder(recipe.sketch())
        face = psp.generator(codes + psp.latent_avg)
    assert_within(codes, expected["codes"], 1e-4)
    assert_within(F.avg_pool2d(face, 4), expected["image_64"], 2e-3)


@pytest.mark.slow
def test_published_w_encoder_outputs_from_a_file(tmp_path, seg_256):
    # The trunk and the generator are those of the other models.
    state = {
        key: seg_256[key] if key in seg_256 else recipe.published_tensor(key, shape, dtype)
        for key, (shape, dtype) in recipe.published_keys("seg_w_256").items()
    }
    opts = argparse.Namespace(encoder_type="BackboneEncoderUsingLastLayerIntoW", learn_in_w=True, label_nc=19)
    opts.start_from_latent_avg = True
    torch.save({"state_dict": state, "latent_avg": recipe.latent_avg(1), "opts": opts}, tmp_path / "w.pt")
    given, expected = load_model(tmp_path / "w.pt"), golden("seg_w_256")
    with torch.device("meta"):
        psp = PSP(given.config)
    psp.load_state_dict(given.tensors, assign=True)
    psp.requires_grad_(False).eval()
    with torch.inference_mode():
        codes = psp.encoder(recipe.label_map())
        latents = psp.encode(recipe.label_map())
        face = psp.generator(latents)
    assert_within(codes, expected["codes"], 1e-4)
    assert_within(latents, expected["latent"][:, None].expand(1, 14, 512), 1e-4)
    assert_within(F.avg_pool2d(face, 4), expected["image_64"], 2e-3)


@pytest.mark.slow
def test_published_training_step(seg_256):
    expected = json.loads((recipe.DATA / "train_step.json").read_text())
    psp = model_of(seg_256).train()
    stages = psp.encoder.trunk.stages
    parameters = {
        "encoder.input_layer.0.weight": psp.encoder.trunk.stem[0].weight,
        "encoder.body.0.res_layer.1.weight": stages[0][0].conv_in.weight,
        "encoder.body.6.res_layer.5.fc1.weight": stages[1][3].attention.squeeze.weight,
        "encoder.body.23.res_layer.3.weight": stages[3][2].conv_out.weight,
        "encoder.styles.0.convs.0.weight": psp.encoder.heads[0].convs[0].weight,
        "encoder.styles.7.linear.weight": psp.encoder.heads[7].linear.weight,
        "encoder.styles.13.convs.8.weight": psp.encoder.heads[13].convs[8].weight,
        "encoder.latlayer1.weight": psp.encoder.pyramid.lateral["middle"].weight,
        "encoder.latlayer2.bias": psp.encoder.pyramid.lateral["fine"].bias,
    }
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    latents = psp.encode(torch.cat([recipe.label_map("face"), recipe.label_map("other")]))
    l2 = pixel.l2(psp.generator(latents), recipe.picture("loss-b"))
    w_norm = pixel.w_norm(latents, psp.latent_avg)
    loss = l2 + 0.005 * w_norm
    gradients = torch.autograd.grad(loss, list(parameters.values()))
    terms = {"loss": loss.item(), "l2": l2.item(), "w_norm": w_norm.item()}
    assert terms == pytest.approx({name: expected[name] for name in terms}, rel=1e-3)
    norms = {key: gradient.norm().item() for key, gradient in zip(parameters, gradients, strict=True)}
    assert norms == pytest.approx(expected["grad_norm"], rel=1e-2)


LABELS = {"condition": "labels", "input_channels": 19}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "sizes"),
    [
        ("seg_256", LABELS),
        ("seg_1024", {**LABELS, "output_size": 1024}),
        ("sketch_256", {"condition": "sketch", "input_channels": 1}),
        ("seg_w_256", {**LABELS, "encoder_kind": "last-layer-w"}),
        ("seg_w_plus_256", {**LABELS, "encoder_kind": "last-layer-w-plus"}),
    ],
)
def test_published_keys_and_shapes_are_ours(case, sizes):
    published = hollow(case)
    config = config_from_published(published)
    assert config == ModelConfig(**sizes)
    back = to_published(from_published(published, config), config)
    assert {key: (tensor.shape, tensor.dtype) for key, tensor in back.items()} == {
        key: (tensor.shape, tensor.dtype) for key, tensor in published.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"input_size": 64, "output_size": 64, "channel_base": 256},
        {"input_channels": 3, "condition": "photo"},
        {"input_channels": 3},
        {"encoder_kind": "last-layer-w", "input_size": 256, "style_dim": 24},
        {"encoder_kind": "last-layer-w-plus", "input_size": 256, "style_dim": 24},
        {"encoder_kind": "last-layer-w-plus", "input_size": 256, "output_size": 64, "encoder_units": TRUNK_UNITS[152]},
    ],
)
def test_round_trip(sizes):
    resolution = sizes.get("output_size", 32)
    few = {"encoder_units": (2, 1, 3, 1), "encoder_channels": (4, 8, 12, 16), "style_resolution": resolution}
    config = recipe.tiny_config(**(few | sizes))
    torch.manual_seed(0)
    psp = PSP(config)
    published = to_published(psp.state_dict(), config)
    labels = config.input_channels if config.condition == "labels" else 0
    assert config_from_published(published, label_channels=labels) == config
    ours = from_published(published, config)
    assert ours.keys() | {"latent_avg"} == psp.state_dict().keys()
    assert all(torch.equal(tensor, psp.state_dict()[key]) for key, tensor in ours.items())
    again = to_published(ours, config)
    assert again.keys() == published.keys()
    assert all(torch.equal(tensor, published[key]) for key, tensor in again.items())


@pytest.fixture
def published() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return to_published(PSP(TINY).state_dict(), TINY)


@pytest.mark.slow
@pytest.mark.parametrize(
    "key",
    [
        "encoder.body.3.res_layer.5.fc1.weight",
        "encoder.latlayer2.bias",
        "encoder.input_layer.1.num_batches_tracked",
        "decoder.noises.noise_6",
        "decoder.convs.0.conv.blur.kernel",
        "decoder.to_rgb1.conv.modulation.bias",
    ],
)
def test_missing_and_misshapen_tensors_are_named(published, key):
    other = {**published, key: torch.zeros(5, 7)}
    with pytest.raises(CheckpointError, match=key):
        from_published(other, TINY)
    del other[key]
    with pytest.raises(CheckpointError, match=f"lacks {key}"):
        from_published(other, TINY)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("last-layer-w", "encoder.linear.bias"),
        ("last-layer-w-plus", "encoder.linear.weight"),
        ("last-layer-w-plus", "encoder.output_layer_2.0.running_var"),
        ("last-layer-w-plus", "encoder.output_layer_2.3.bias"),
    ],
)
def test_last_layer_encoders_are_read_strictly(kind, key):
    config = recipe.tiny_config(encoder_channels=(4, 8, 12, 16), encoder_kind=kind, input_size=256)
    published = to_published(PSP(config).state_dict(), config)
    for value in (None, torch.zeros(5, 7)):
        other = {name: tensor for name, tensor in {**published, key: value}.items() if tensor is not None}
        with pytest.raises(CheckpointError, match=f"lacks {key}; needed for .* encoder {kind}|{key} has shape"):
            from_published(other, config_from_published(other))
    published["encoder.latlayer1.bias"] = torch.zeros(16)
    with pytest.raises(CheckpointError, match=r"unexpected encoder\.latlayer1\.bias; needed: .* encoder " + kind):
        from_published(published, config_from_published(published))


def test_unexpected_keys_are_named(published):
    published["encoder.styles.8.linear.weight"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match=r"unexpected encoder\.styles\.8\.linear\.weight"):
        from_published(published, TINY)
    ours = {**PSP(TINY).state_dict(), "generator.extra": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"unexpected generator\.extra"):
        to_published(ours, TINY)


@pytest.mark.slow
def test_long_lists_are_cut(published):
    with pytest.raises(CheckpointError, match=r"lacks decoder\.style\.1\.weight, .* and \d+ more; needed") as caught:
        from_published({}, TINY)
    assert len(str(caught.value)) < 400


def test_another_filter_is_an_error(published):
    published["decoder.to_rgbs.1.upsample.kernel"] = torch.ones(4, 4) / 4
    with pytest.raises(
        CheckpointError, match=r"decoder\.to_rgbs\.1\.upsample\.kernel is not the \[1, 3, 3, 1\] filter"
    ):
        from_published(published, TINY)


def test_ours_must_be_whole():
    ours = PSP(TINY).state_dict()
    with pytest.raises(CheckpointError, match=r"generator\.constant has shape"):
        to_published({**ours, "generator.constant": torch.zeros(3, 4, 4)}, TINY)
    del ours["generator.first.noise"]
    with pytest.raises(CheckpointError, match=r"lacks generator\.first\.noise"):
        to_published(ours, TINY)


def test_a_model_that_the_published_layout_cannot_hold_is_an_error():
    config = recipe.tiny_config(style_dim=24)
    with pytest.raises(CheckpointError, match=r"no key for encoder\.pyramid\.lateral\.coarse"):
        to_published(PSP(config).state_dict(), config)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"encoder.styles.0.convs.0.weight": None}, r"lacks encoder\.styles\.0\.convs\.0\.weight"),
        ({"decoder.input.input": None}, r"lacks decoder\.input\.input"),
        ({"decoder.input.input": torch.zeros(16)}, r"decoder\.input\.input has shape \(16,\)"),
        ({"decoder.to_rgbs.0.conv.weight": None}, "output_size is 4"),
        ({"encoder.body.6.res_layer.3.weight": None}, "needed: four widths"),
    ],
)
def test_sizes_cannot_be_read_off(published, change, named):
    changed = {key: tensor for key, tensor in {**published, **change}.items() if tensor is not None}
    with pytest.raises(CheckpointError, match=named):
        config_from_published(changed)
