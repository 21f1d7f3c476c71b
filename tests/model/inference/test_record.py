from __future__ import annotations

from pathlib import Path

import pytest

from facesynth.errors import OutputError
from facesynth.model.inference.record import RECORD, Record

SETTINGS = {"seed": 1, "checkpoint": {"file": "a"}}


def fill(folder: Path, names: str, settings=None) -> Record:
    record = Record(folder, settings or SETTINGS)
    for name in names:
        (folder / f"{name}.png").write_text(name)
        record.add(name, Path(f"in/{name}"), f"sha-{name}", [f"{name}.png"])
    record.commit()
    return record


def has(folder: Path, name: str, settings=None, digest=None, files=None) -> bool:
    return Record(folder, settings or SETTINGS).has(name, digest or f"sha-{name}", files or [f"{name}.png"])


@pytest.mark.parametrize("is_finished", [True, False])
def test_what_was_made_is_known_to_the_next(tmp_path, is_finished):
    record = fill(tmp_path, "ba")
    if is_finished:
        record.finish("ab")
    assert has(tmp_path, "a")
    assert has(tmp_path, "b")
    assert not has(tmp_path, "c")
    assert not has(tmp_path, "a", digest="another")
    assert not has(tmp_path, "a", files=["a_0.png"])
    assert not has(tmp_path, "a", settings={**SETTINGS, "seed": 2})
    (tmp_path / "a.png").unlink()
    assert not has(tmp_path, "a")


def test_a_torn_line_is_not_there_and_the_next_is_whole(tmp_path):
    fill(tmp_path, "ab")
    path = tmp_path / RECORD
    path.write_bytes(path.read_bytes()[:-9])
    assert has(tmp_path, "a")
    assert not has(tmp_path, "b")
    fill(tmp_path, "c")
    assert has(tmp_path, "a")
    assert has(tmp_path, "c")


@pytest.mark.parametrize(
    "line", ["null", "[]", "5", "{}", '{"input": "a"}', '{"made": 1}', "\x00", '{"input": "a", "made": 1}']
)
def test_lines_of_another_kind_are_passed_over(tmp_path, line):
    (tmp_path / RECORD).write_text(line + "\n")
    assert not has(tmp_path, "a")
    fill(tmp_path, "a")
    assert has(tmp_path, "a")


def test_the_end_does_not_tell_how_often_it_was_begun(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    fill(one, "abc").finish("abc")
    fill(other, "c")
    fill(other, "b")
    fill(other, "a").finish("abc")
    assert (one / RECORD).read_bytes() == (other / RECORD).read_bytes()


def test_inputs_of_earlier_calls_stay_with_their_settings(tmp_path):
    fill(tmp_path, "ab").finish("ab")
    other = {**SETTINGS, "seed": 2}
    record = fill(tmp_path, "bc", other)
    record.finish("bc")
    lines = (tmp_path / RECORD).read_text().splitlines()
    assert [line.split('"input": ')[1][1] for line in lines if '"input"' in line] == ["b", "c", "a"]
    assert sum('"settings"' in line for line in lines) == 2
    assert has(tmp_path, "a")
    assert has(tmp_path, "b", settings=other)
    assert not has(tmp_path, "b")
    fill(tmp_path, "a", other).finish("abc")
    assert sum('"settings"' in line for line in (tmp_path / RECORD).read_text().splitlines()) == 1


def test_a_dropped_input_is_gone(tmp_path):
    record = fill(tmp_path, "ab")
    record.drop("a")
    record.drop("z")
    record.finish("ab")
    assert not has(tmp_path, "a")
    assert has(tmp_path, "b")


def test_a_folder_in_its_place(tmp_path):
    (tmp_path / RECORD).mkdir()
    with pytest.raises(OutputError, match=r"faces\.jsonl cannot be read: .*; remove it"):
        Record(tmp_path, SETTINGS)
