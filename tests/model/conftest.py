from __future__ import annotations

from pathlib import Path

import pytest

from ..runs import resplit, save_model


@pytest.fixture(scope="session")
def faces(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos to train on and three to validate on; copy it before changing anything."""
    return resplit(dataset, tmp_path_factory.mktemp("faces") / "data", "train val train val train val")


@pytest.fixture(scope="session")
def seg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that translates label maps."""
    return save_model(tmp_path_factory.mktemp("seg") / "model.safetensors")


@pytest.fixture(scope="session")
def sketcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that translates sketches."""
    return save_model(tmp_path_factory.mktemp("sketch") / "model.safetensors", "sketch2face")
