"""Small models, datasets and runs, and what is compared of them."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from facesynth.labels import CELEBAMASK_HQ
from facesynth.manifest import read_dataset, write_dataset
from facesynth.model.checkpoints import native
from facesynth.model.config.model import ModelConfig
from facesynth.model.config.train import TrainConfig
from facesynth.model.networks.psp import PSP

from .model.recipe import tiny_config
from .trees import contents

CHANNELS = {"labels": 19, "sketch": 1, "photo": 3}
CONDITIONS = {"seg2face": "labels", "sketch2face": "sketch", "photo2face": "photo"}
LEVELS = 1
"""Grey levels by which a face may differ when it is computed in another batch."""


def small_model(task: str = "seg2face", **changes: Any) -> ModelConfig:
    kind = CONDITIONS[task]
    return tiny_config(condition=kind, input_channels=CHANNELS[kind], **changes)


def small_run(task: str = "seg2face", model: ModelConfig | None = None, **changes: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "train_generator": True,
        "steps": 6,
        "batch_size": 2,
        "interval": 3,
        "optimizer": "adam",
        "learning_rate": 2e-3,
        "lpips": 0.0,
    }
    return TrainConfig(task=task, model=model or small_model(task), **(values | changes))


def model_of(config: ModelConfig) -> PSP:
    """A model whose faces depend visibly on the condition and on the styles."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = PSP(config)
        model.latent_avg.normal_()
        for name, weight in model.encoder.named_parameters():
            if name.endswith("linear.weight"):
                weight.mul_(20)
    return model.eval()


def reading_processes() -> list[multiprocessing.process.BaseProcess]:
    """Those of a loader; joblib keeps its own for the next call."""
    return [process for process in multiprocessing.active_children() if not process.name.startswith("Loky")]


def save_model(path: Path, task: str = "seg2face", kind: str = "model", **changes: Any) -> Path:
    config = small_model(task, **changes)
    prefix = "model." if kind == "training" else ""
    tensors = {prefix + name: value for name, value in model_of(config).state_dict().items()}
    native.save(path, kind, tensors, config=config, task=task, scheme=CELEBAMASK_HQ, info={"step": 7})
    return path


def resplit(source: Path, root: Path, splits: str) -> Path:
    """A copy of a dataset folder whose photos are in the given splits, in the order of their ids."""
    shutil.copytree(source, root)
    dataset = read_dataset(root)
    write_dataset(dataclasses.replace(dataset, rows=dataset.rows.assign(split=splits.split())))
    return root


def shuffle_rows(root: Path) -> None:
    header, *rows = (root / "manifest.csv").read_text().splitlines()
    rows = [rows[index] for index in np.random.default_rng(5).permutation(len(rows))]
    (root / "manifest.csv").write_text("\n".join([header, *rows]) + "\n")


def outcome(root: Path) -> dict[str, bytes]:
    """The bytes of all that a run left, the times in its metrics and its own command apart."""
    files = contents(root)
    rows = files["metrics.csv"].splitlines()
    files["metrics.csv"] = b"\n".join(row.rsplit(b",", 2)[0] for row in rows)
    assert files.pop("README.md")
    return files


def assert_same_outcome(root: Path, other: Path) -> None:
    files, others = outcome(root), outcome(other)
    assert files.keys() == others.keys()
    assert [name for name in files if files[name] != others[name]] == []


def assert_refused(result: tuple[int, str, str], says: str) -> None:
    """The command line did nothing and said why in one line."""
    code, out, err = result
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.search(f"^facesynth: .*{says}", err)


def assert_near(pictures: np.ndarray, others: np.ndarray) -> None:
    assert np.abs(pictures.astype(int) - others).max() <= LEVELS


class SmallDisk:
    """A file system of its own with little room."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def grow(self, size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", self.root], check=True)


@contextmanager
def small_disk(root: Path, size: str) -> Iterator[SmallDisk]:
    """Mount one at ``root``, or skip the test where that is not permitted."""
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root and mount")
    root.mkdir()
    done = subprocess.run([mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", root], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting a small disk is not permitted: {done.stderr.strip()}")
    try:
        yield SmallDisk(root)
    finally:
        subprocess.run(["umount", "-l", root], check=True)  # a checkpoint may still be mapped


def cell_of(sheet: np.ndarray, row: int, column: int, cell: int) -> np.ndarray:
    """A picture on a contact sheet, as a writable view where the sheet is writable."""
    top, left = 22 + row * (cell + 4), 4 + column * (cell + 4)
    return sheet[top : top + cell, left : left + cell]


def write_lpips(path: Path) -> Path:
    """A file of LPIPS's AlexNet and its heads, with random weights."""
    shapes = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}
    rng = torch.Generator().manual_seed(0)
    tensors = {}
    for place, (layer, shape) in enumerate(shapes.items()):
        fan_in = shape[1] * shape[2] * shape[3]
        tensors[f"features.{layer}.weight"] = torch.randn(shape, generator=rng) * (2 / fan_in) ** 0.5
        tensors[f"features.{layer}.bias"] = torch.zeros(shape[0])
        tensors[f"lin{place}.model.1.weight"] = torch.rand(1, shape[0], 1, 1, generator=rng)
    save_file(tensors, path)
    return path
