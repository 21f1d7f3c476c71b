from __future__ import annotations

import json
import math
import sys

import pytest
import torch
from safetensors.torch import save_file

from facesynth.errors import CheckpointError, InputError
from facesynth.model.losses import LPIPS, l2, laplacian, load_lpips, w_norm

from . import recipe

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


def test_w_norm_is_the_published_one():
    latents = recipe.normal("loss-latent", 3, 14, 512)
    assert w_norm(latents, recipe.latent_avg(14)).item() == pytest.approx(GOLDEN["w_norm"], rel=1e-5)
    assert w_norm(latents).item() == pytest.approx(GOLDEN["w_norm_no_avg"], rel=1e-5)


def test_l2_is_the_published_one():
    a, b = recipe.picture("loss-a"), recipe.picture("loss-b")
    assert l2(a, b).item() == pytest.approx(GOLDEN["l2"], rel=1e-5)
    face = (..., slice(35, 223), slice(32, 220))
    assert l2(a[face], b[face]).item() == pytest.approx(GOLDEN["l2_crop"], rel=1e-5)


def test_lpips_is_the_published_one(lpips):
    assert lpips(recipe.picture("loss-a"), recipe.picture("loss-b")).item() == pytest.approx(
        GOLDEN["lpips_alex"], rel=1e-4
    )


def test_lpips_of_equal_pictures_is_zero_and_it_averages_the_batch(lpips):
    a, b = recipe.picture("loss-a")[..., :64, :64], recipe.picture("loss-b")[..., :64, :64]
    assert lpips(a, a) == 0
    torch.testing.assert_close(lpips(a, b), (lpips(a[:1], b[:1]) + lpips(a[1:], b[1:])) / 2)


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


def test_errors_name_what_came_and_what_was_needed(lpips):
    small = torch.zeros(1, 3, 16, 16)
    with pytest.raises(InputError, match=r"a has shape \(1, 3, 16, 16\); needed"):
        lpips(small, small)
    with pytest.raises(InputError, match="needed: one shape"):
        l2(small, small[..., 1:])
    with pytest.raises(InputError, match="latents has shape"):
        w_norm(torch.zeros(3, 4))


def test_laplacian_is_the_mean_over_the_levels_of_two_pyramids():
    a, b = torch.randn(2, 3, 16, 16), torch.randn(2, 3, 16, 16)

    def pyramid(picture):
        levels = []
        while picture.shape[-1] > 4:
            coarse = picture.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean(dim=(3, 5))
            levels.append(picture - coarse.repeat_interleave(2, 2).repeat_interleave(2, 3))
            picture = coarse
        return [*levels, picture]

    levels = [(x - y).abs().mean() for x, y in zip(pyramid(a), pyramid(b), strict=True)]
    torch.testing.assert_close(laplacian(a, b), torch.stack(levels).mean())
    assert laplacian(a, a) == 0


def test_laplacian_sees_an_edge_where_l2_sees_an_area():
    flat = torch.zeros(1, 1, 64, 64)
    lines = flat.clone()
    lines[..., ::8] = 0.1
    area = torch.full_like(flat, float(l2(lines, flat)) ** 0.5)
    assert l2(area, flat) == pytest.approx(float(l2(lines, flat)))
    assert laplacian(lines, flat) > 1.3 * laplacian(area, flat)
