from __future__ import annotations

import numpy as np
import pytest

from facesynth.evaluation import blocks
from facesynth.evaluation.blocks import Blocks

IDS = [f"{number:02d}" for number in range(11)]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(blocks, "SIZE", 3)


def measure(ids):
    numbers = np.array([int(name) for name in ids])
    return {"number": numbers, "features": np.stack([numbers, numbers**2], axis=1).astype(np.float32)}


def test_columns_are_whole_and_in_order(tmp_path):
    found = Blocks(tmp_path, "pairs", IDS, {})
    found.prepare()
    asked = []
    assert found.fill(lambda ids: asked.append(len(ids)) or measure(ids), 2) == 11
    assert asked == [2, 1, 2, 1, 2, 1, 2]
    assert found.names() == ["number", "features"]
    assert found.column("number").tolist() == list(range(11))
    assert found.sample("features", np.array([10, 0, 3])).tolist() == [[0, 0], [3, 9], [10, 100]]
    assert found.fill(measure, 2) == 0


def test_processes_share_the_blocks(tmp_path):
    found = Blocks(tmp_path, "pairs", IDS, {})
    found.prepare()
    assert found.fill(measure, 3, process=1, processes=2) == 5
    assert [found.path(number).exists() for number in range(4)] == [False, True, False, True]
    assert found.fill(measure, 3, process=0, processes=2) == 6
    assert found.column("number").tolist() == list(range(11))


def test_blocks_of_other_settings_are_removed(tmp_path):
    first, other = Blocks(tmp_path, "pairs", IDS, {"seed": 0}), Blocks(tmp_path, "styles", IDS, {"seed": 0})
    for each in (first, other):
        each.prepare()
        each.fill(measure, 3)
    second = Blocks(tmp_path, "pairs", IDS, {"seed": 1})
    second.prepare()
    assert not first.folder.exists()
    assert other.path(0).is_file()
    assert second.fill(measure, 3) == 11


def test_a_block_is_written_whole_or_not_at_all(tmp_path):
    found = Blocks(tmp_path, "pairs", IDS, {})
    found.prepare()

    def fail(ids):
        if "04" in ids:
            raise OSError("no more")
        return measure(ids)

    with pytest.raises(OSError, match="no more"):
        found.fill(fail, 1)
    assert [path.name for path in found.folder.iterdir()] == ["000000.npz"]
