"""Stages on small tasks: what is done is kept, what fails is a row, what cannot be written stops everything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from facesynth.errors import InputError, OutputError, PictureError
from facesynth.prep.pipeline import Columns, StageReport, Task, make_key, run_stage, run_tasks


def work(root: Path, identifier: str, text: str) -> Columns:
    if text == "bad":
        raise PictureError(f"{identifier}\nis bad")
    if text == "full":
        raise OutputError("no space left")
    if text == "bug":
        raise ZeroDivisionError
    (root / identifier).write_text(text)
    return {"id": identifier, "file": identifier, "empty": "", "text": text}


def tasks(root: Path, **texts: str) -> list[Task]:
    return [Task(name, work, (root, name, text), make_key(text)) for name, text in texts.items()]


def run(root: Path, *, force: bool = False, **texts: str) -> StageReport:
    return run_stage(
        root, "letters", tasks(root, **texts), is_path=lambda name: name in ("file", "empty"), jobs=1, force=force
    )


def test_key_changes_with_every_part_and_no_order() -> None:
    assert make_key("a", {"x": 1, "y": 2}) == make_key("a", {"y": 2, "x": 1})
    assert len({make_key("a", 1), make_key("a", 2), make_key("b", 1), make_key("a", [1])}) == 4


def test_done_and_kept(tmp_path: Path) -> None:
    first = run(tmp_path, a="1", b="2")
    assert (first.written, first.kept, first.failures) == (2, 0, [])
    second = run(tmp_path, a="1", b="2", c="3")
    assert (second.written, second.kept) == (1, 2)
    assert {name: columns["text"] for name, columns in second.rows.items()} == {"a": "1", "b": "2", "c": "3"}


@pytest.mark.parametrize("change", ["text", "missing", "size", "force"])
def test_what_is_done_again(tmp_path: Path, change: str) -> None:
    run(tmp_path, a="1", b="2")
    if change == "missing":
        (tmp_path / "b").unlink()
    elif change == "size":
        (tmp_path / "b").write_text("longer")
    report = run(tmp_path, a="1", b="3" if change == "text" else "2", force=change == "force")
    assert (report.written, report.kept) == ((2, 0) if change == "force" else (1, 1))
    assert (tmp_path / "b").read_text() == report.rows["b"]["text"] == ("3" if change == "text" else "2")


def test_failures_are_rows_in_order_of_id(tmp_path: Path) -> None:
    report = run(tmp_path, c="bad", b="2", a="bad")
    assert [(failure.id, failure.reason) for failure in report.failures] == [("a", "a is bad"), ("c", "c is bad")]
    assert list(report.rows) == ["b"]
    assert run(tmp_path, c="3", b="2", a="1").written == 2


def test_done_before_but_bad_now(tmp_path: Path) -> None:
    run(tmp_path, a="1")
    assert not run(tmp_path, a="bad").rows
    assert run(tmp_path, a="1").written == 1


@pytest.mark.parametrize(("text", "error"), [("full", OutputError), ("bug", ZeroDivisionError)])
def test_other_errors_stop_but_lose_nothing(tmp_path: Path, text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        run(tmp_path, a="1", b=text, c="3")
    assert not (tmp_path / "c").exists()
    report = run(tmp_path, a="1", b="2", c="3")
    assert (report.written, report.kept) == (2, 1)


@pytest.mark.parametrize("torn", ['{"id": "b", "key', "\n\n", "\x00\x00"])
def test_line_that_a_killed_run_was_writing(tmp_path: Path, torn: str) -> None:
    run(tmp_path, a="1")
    journal = tmp_path / ".stages" / "letters.jsonl"
    whole = journal.read_text()
    journal.write_text(whole + torn)
    report = run(tmp_path, a="1")
    assert (report.written, report.kept) == (0, 1)
    assert journal.read_text() == whole


def test_progress_sees_every_task(tmp_path: Path) -> None:
    seen: list[int] = []

    def progress(items: Iterable[Any], total: int) -> Iterator[Any]:
        for item in items:
            seen.append(total)
            yield item

    results = list(run_tasks(tasks(tmp_path, a="1", b="bad"), jobs=1, progress=progress))
    assert seen == [2, 2]
    assert {task.id for task, _ in results} == {"a", "b"}


def test_no_tasks(tmp_path: Path) -> None:
    assert run(tmp_path) == StageReport()


def test_no_processes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="jobs is 0; needed"):
        list(run_tasks(tasks(tmp_path, a="1"), jobs=0))
