from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything loads numpy or torch

from collections.abc import Iterator
from pathlib import Path

import pytest

from facesynth.files import write_text
from facesynth.prep.pipeline.workers import Workers
from facesynth.prep.portraits.sample import make_sample
from facesynth.prep.sketches.presets import resolve
from facesynth.prep.stages import prepare_masks, prepare_sketches


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw tree of 6 portraits; copy it before changing anything."""
    root = tmp_path_factory.mktemp("sample") / "raw"
    make_sample(root, count=6, size=64, workers=Workers(jobs=1))
    return root


@pytest.fixture(scope="session")
def dataset(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset folder of ``raw``, with label maps and both kinds of pencil sketch; copy it before changing anything."""
    root = tmp_path_factory.mktemp("sample") / "data"
    prepare_masks(raw, root, workers=Workers(jobs=1))
    prepare_sketches(root, root, drawings=[resolve("dodge"), resolve("xdog")], workers=Workers(jobs=1))
    return root


@pytest.fixture(scope="module")
def no_curves() -> Iterator[None]:
    """Runs leave a stand-in for their curves: drawing takes longer than a small run does."""
    from facesynth.model.training import loop  # loads torch, which tests of preparing do without

    def plot(metrics: Path, picture: Path) -> None:
        write_text(picture, f"curves to step {metrics.read_text().splitlines()[-1].partition(',')[0]}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "plot_losses", plot)
        yield
