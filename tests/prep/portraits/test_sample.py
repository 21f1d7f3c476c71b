"""The embedded sample as a raw tree: what grows, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from facesynth.errors import InputError
from facesynth.prep.celebamask import MAPPING
from facesynth.prep.pipeline.workers import Workers
from facesynth.prep.portraits.sample import make_sample

from ...trees import contents

ONE = Workers(jobs=1)


@pytest.fixture
def tree(raw: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(raw, tmp_path / "raw"))


def test_larger_sample_begins_with_the_smaller(raw: Path, tree: Path) -> None:
    done = make_sample(tree, count=8, size=64, workers=ONE)
    assert (done.written, done.kept, done.failures) == (2, 6, [])
    grown, small = contents(tree), contents(raw)
    shared = set(small) - {"sample.json", MAPPING}
    assert {name: grown[name] for name in shared} == {name: small[name] for name in shared}
    assert grown[MAPPING].startswith(small[MAPPING])


@pytest.mark.parametrize("numbers", [{"seed": 1}, {"size": 128}, {"count": 5}])
def test_folder_of_another_sample_is_refused(tree: Path, numbers: dict[str, int]) -> None:
    before = contents(tree)
    with pytest.raises(InputError, match="holds another or a larger sample"):
        make_sample(tree, **{"count": 6, "size": 64, **numbers}, workers=ONE)
    assert contents(tree) == before


def test_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="is not empty and holds no sample"):
        make_sample(tmp_path, count=1, size=64, workers=ONE)
    assert contents(tmp_path) == {"mine.txt": b"x"}
