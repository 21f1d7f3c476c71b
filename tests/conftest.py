from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything loads numpy or torch

from pathlib import Path

import pytest

from facesynth.prep import stages


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw tree of 6 portraits; copy it before changing anything."""
    root = tmp_path_factory.mktemp("sample") / "raw"
    stages.make_sample(root, count=6, size=64, jobs=1)
    return root


@pytest.fixture(scope="session")
def dataset(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset folder of ``raw``, with label maps and both kinds of sketch; copy it before changing anything."""
    root = tmp_path_factory.mktemp("sample") / "data"
    stages.prepare_masks(raw, root, jobs=1)
    for method in stages.SKETCH_METHODS:
        stages.prepare_sketches(root, root, method=method, parameters={}, jobs=1)
    return root
