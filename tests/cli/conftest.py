from __future__ import annotations

from pathlib import Path

import pytest

from facesynth import cli

from ..runs import resplit


@pytest.fixture(scope="session")
def faces(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos to train on and three to validate on; copy it before changing anything."""
    return resplit(dataset, tmp_path_factory.mktemp("faces") / "data", "train val train val train val")


@pytest.fixture
def facesynth(monkeypatch, capsys):
    """The command line in this process: its exit code, and what it said on either stream."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["facesynth", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        return code, *capsys.readouterr()

    return run
