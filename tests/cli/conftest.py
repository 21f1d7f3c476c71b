from __future__ import annotations

from pathlib import Path

import pytest

from ..runs import resplit


@pytest.fixture(scope="session")
def faces(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos to train on and three to validate on; copy it before changing anything."""
    return resplit(dataset, tmp_path_factory.mktemp("faces") / "data", "train val train val train val")
