from __future__ import annotations

import json
import math
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from facesynth.errors import CheckpointError, InputError
from facesynth.model.losses.lpips import LPIPS, distances, load_lpips

from .. import recipe

GOLDEN = json.loads((recipe.DATA / "losses.json").read_text())
ALEXNET = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}


@pytest.fixture(scope="module")
def backbone() -> dict[str, torch.Tensor]:
    weights = {}
    for layer, shape in ALEXNET.items():
        key = f"features.{layer}.weight"
        weights[key] = recipe.normal(f"alexnet.{key}", *shape) * math.sqrt(2 / math.prod(shape[1:]))
        key = f"features.{layer}.bias"
        weights[key] = 0.05 * recipe.normal(f"alexnet.{key}", shape[0])
    return weights


@pytest.fixture(scope="module")
def heads() -> dict[str, torch.Tensor]:
    return {
        f"lin{i}.model.1.weight": recipe.normal(f"lpips.lin{i}", 1, shape[0], 1, 1).abs()
        for i, shape in enumerate(ALEXNET.values())
    }


@pytest.fixture(scope="module")
def lpips(backbone, heads) -> LPIPS:
    return LPIPS(backbone, heads)


def test_lpips_is_the_published_one(lpips):
    assert lpips(recipe.picture("loss-a"), recipe.picture("loss-b")).item() == pytest.approx(
        GOLDEN["lpips_alex"], rel=1e-4
    )


def test_lpips_of_equal_pictures_is_zero_and_it_averages_the_batch(lpips):
    a, b = recipe.picture("loss-a")[..., :64, :64], recipe.picture("loss-b")[..., :64, :64]
    assert lpips(a, a) == 0
    torch.testing.assert_close(lpips(a, b), (lpips(a[:1], b[:1]) + lpips(a[1:], b[1:])) / 2)


def test_distances_are_told_of_every_picture(lpips):
    a, b = recipe.picture("loss-a")[..., :64, :64], recipe.picture("loss-b")[..., :64, :64]
    found = distances(list(lpips.heads), lpips.maps(a), lpips.maps(b))
    expected = torch.stack([lpips(one[None], other[None]) for one, other in zip(a, b, strict=True)])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    assert found[0] != found[1]


def test_lpips_is_frozen_and_its_gradient_is_finite_where_features_vanish(lpips):
    assert not any(parameter.requires_grad for parameter in lpips.parameters())
    flat = torch.zeros(1, 3, 64, 64, requires_grad=True)
    lpips(flat, recipe.picture("loss-b")[:1, :, :64, :64]).backward()
    assert flat.grad.isfinite().all()
    assert flat.grad.abs().sum() > 0


def test_lpips_without_any_active_feature_has_a_finite_gradient(backbone, heads):
    dead = {key: value.zero_() if key.endswith("bias") else value for key, value in _cloned(backbone).items()}
    dead["features.0.bias"] -= 1e6
    picture = torch.zeros(1, 3, 32, 32, requires_grad=True)
    LPIPS(dead, heads)(picture, torch.ones(1, 3, 32, 32)).backward()
    assert picture.grad.isfinite().all()


def _cloned(tensors):
    return {key: value.clone() for key, value in tensors.items()}


def test_lpips_under_bfloat16_autocast(lpips):
    a, b = recipe.picture("loss-a")[..., :64, :64], recipe.picture("loss-b")[..., :64, :64]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = lpips(a, b)
    assert rough.item() == pytest.approx(lpips(a, b).item(), rel=0.02)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_load_lpips_from_files(tmp_path, backbone, heads, lpips, suffix):
    save = save_file if suffix == ".safetensors" else torch.save
    save({**backbone, "classifier.1.weight": torch.zeros(2, 2)}, tmp_path / f"alexnet{suffix}")
    save(heads, tmp_path / f"heads{suffix}")
    loaded = load_lpips(tmp_path / f"alexnet{suffix}", str(tmp_path / f"heads{suffix}"))
    a, b = recipe.picture("loss-a")[..., :64, :64], recipe.picture("loss-b")[..., :64, :64]
    assert torch.equal(loaded(a, b), lpips(a, b))


def test_load_lpips_finds_the_cache_and_the_package_without_importing_it(tmp_path, monkeypatch, backbone, heads):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(backbone, tmp_path / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth")
    (tmp_path / "site" / "lpips" / "weights" / "v0.1").mkdir(parents=True)
    (tmp_path / "site" / "lpips" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    torch.save(heads, tmp_path / "site" / "lpips" / "weights" / "v0.1" / "alex.pth")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "lpips", raising=False)
    assert isinstance(load_lpips(), LPIPS)


def test_load_lpips_says_what_it_looked_for(tmp_path, monkeypatch, backbone):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(CheckpointError, match=r"alexnet-owt-7be5be79\.pth; on a connected machine"):
        load_lpips()
    torch.save(backbone, tmp_path / "alexnet.pth")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match="no lpips package is installed; pip install --no-deps lpips"):
        load_lpips(tmp_path / "alexnet.pth")
    with pytest.raises(CheckpointError, match=r"there is no file .*none\.pth"):
        load_lpips(tmp_path / "alexnet.pth", tmp_path / "none.pth")


def test_load_lpips_refuses_other_files(tmp_path, heads):
    torch.save(heads, tmp_path / "heads.pth")
    for name, content in (("text.pth", b"not weights"), ("empty.pth", b""), ("text.safetensors", b"not weights")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=f"{name} cannot be read as weights") as caught:
            load_lpips(tmp_path / name, tmp_path / "heads.pth")
        assert "\n" not in str(caught.value)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        load_lpips(tmp_path / "list.pth", tmp_path / "heads.pth")


def test_lpips_is_strict_about_keys_and_shapes(backbone, heads):
    short = {key: value for key, value in backbone.items() if key != "features.8.bias"}
    with pytest.raises(CheckpointError, match=r"AlexNet backbone: features\.8\.bias missing"):
        LPIPS(short, heads)
    with pytest.raises(CheckpointError, match=r"LPIPS heads: lin5\.model\.1\.weight not expected"):
        LPIPS(backbone, {**heads, "lin5.model.1.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"lin0\.model\.1\.weight has shape \(64,\); needed: \(1, 64, 1, 1\)"):
        LPIPS(backbone, {**heads, "lin0.model.1.weight": torch.zeros(64)})


def test_errors_name_what_came_and_what_was_needed(lpips, backbone, heads):
    small = torch.zeros(1, 3, 16, 16)
    with pytest.raises(InputError, match=r"a has shape \(1, 3, 16, 16\); needed"):
        lpips(small, small)
    with pytest.raises(InputError, match="the LPIPS network is 'squeeze'; needed: alex or vgg"):
        LPIPS(backbone, heads, "squeeze")


# ---------------------------------------------------------------------------------------------------------------- VGG16

VGG = [(64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)]
"""Output channels of the convolutions of each of VGG16's five blocks; the maps are halved between blocks."""


@pytest.fixture(scope="module")
def vgg() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    weights, width, layer = {}, 3, 0
    for block in VGG:
        for channels in block:
            key, shape = f"features.{layer}", (channels, width, 3, 3)
            weights[f"{key}.weight"] = recipe.normal(f"vgg.{key}", *shape) * math.sqrt(2 / math.prod(shape[1:]))
            weights[f"{key}.bias"] = 0.05 * recipe.normal(f"vgg.{key}.bias", channels)
            width, layer = channels, layer + 2  # a ReLU behind each
        layer += 1  # and a pooling behind each block
    heads = {
        f"lin{i}.model.1.weight": recipe.normal(f"vgg.lin{i}", 1, block[-1], 1, 1).abs() for i, block in enumerate(VGG)
    }
    return weights, heads


def plain_vgg_distance(weights, heads, a, b):
    """The published definition: taps behind the last ReLU of every block, differences of unit vectors, weighed."""
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    maps = {}
    for name, picture in (("a", a), ("b", b)):
        x, layer, maps[name] = (picture - shift.view(1, 3, 1, 1)) / scale.view(1, 3, 1, 1), 0, []
        for index, block in enumerate(VGG):
            x = F.max_pool2d(x, 2) if index else x
            for _ in block:
                x = F.conv2d(
                    x, weights[f"features.{layer}.weight"], weights[f"features.{layer}.bias"], padding=1
                ).relu()
                layer += 2
            layer += 1
            maps[name].append(x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))
    return sum(
        ((one - other).square() * heads[f"lin{i}.model.1.weight"]).sum(dim=1).mean(dim=(1, 2))
        for i, (one, other) in enumerate(zip(maps["a"], maps["b"], strict=True))
    ).mean()


@pytest.mark.slow
def test_lpips_of_vgg_is_the_published_definition(vgg, tmp_path):
    weights, heads = vgg
    a, b = recipe.picture("loss-a")[..., :64, :64], recipe.picture("loss-b")[..., :64, :64]
    expected = plain_vgg_distance(weights, heads, a, b)
    torch.testing.assert_close(LPIPS(weights, heads, "vgg")(a, b), expected, rtol=1e-4, atol=0)
    save_file({**weights, "classifier.0.bias": torch.zeros(2)}, tmp_path / "vgg16.safetensors")
    torch.save(heads, tmp_path / "vgg.pth")
    loaded = load_lpips(tmp_path / "vgg16.safetensors", tmp_path / "vgg.pth", "vgg")
    torch.testing.assert_close(loaded(a, b), expected, rtol=1e-4, atol=0)
    picture = a.clone().requires_grad_()
    loaded(picture, b).backward()
    assert picture.grad.isfinite().all()
    assert picture.grad.abs().sum() > 0


def test_the_networks_are_not_taken_for_each_other(vgg, backbone, heads, tmp_path, monkeypatch):
    weights, vgg_heads = vgg
    with pytest.raises(CheckpointError, match=r"AlexNet backbone: features\.3\.weight, .* missing"):
        LPIPS(weights, heads)
    with pytest.raises(CheckpointError, match=r"VGG16 backbone: features\.2\.weight, .* missing"):
        LPIPS(backbone, vgg_heads, "vgg")
    with pytest.raises(CheckpointError, match=r"lin1\.model\.1\.weight has shape \(1, 128, 1, 1\); needed: \(1, 192"):
        LPIPS(backbone, vgg_heads)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(
        CheckpointError, match=r"VGG16's weights, but there is no file .*/vgg16-397923af\.pth; on a connected"
    ):
        load_lpips(network="vgg")
