"""Dataset folders of unknown origin: nothing outside the folder is read, written or removed, and the answer is one line."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facesynth.errors import DatasetError, FacesynthError, OutputError
from facesynth.manifest import iter_rows
from facesynth.prep.check import check_dataset
from facesynth.prep.pipeline.dataset import Prepared
from facesynth.prep.pipeline.workers import Workers
from facesynth.prep.sketches.presets import resolve
from facesynth.prep.stages import prepare_photos, prepare_sketches

from ..trees import contents, leftovers

ONE = Workers(jobs=1)
OUTSIDE = ("../victim.png", "photos/../../victim.png", "/etc/victim.png", "C:victim.png", "..\\victim.png")


@pytest.fixture
def data(dataset: Path, tmp_path: Path) -> Path:
    """A dataset folder, with a picture beside it that is nobody's business."""
    shutil.copytree(dataset, tmp_path / "data")
    (tmp_path / "victim.png").write_bytes(b"mine")
    return tmp_path / "data"


def journal_of(data: Path, stage: str = "sketches-dodge") -> Path:
    return data / ".stages" / f"{stage}.jsonl"


def change_first(journal: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the first entry of a journal, in place or for what is returned."""
    first, *rest = journal.read_text().splitlines(keepends=True)
    entry = json.loads(first)
    changed = change(entry)
    journal.write_text(json.dumps(entry if changed is None else changed) + "\n" + "".join(rest))


def draw(data: Path, **options: Any) -> Prepared:
    return prepare_sketches(data, data, drawings=[resolve("dodge"), resolve("xdog")], workers=ONE, **options)


def edit_manifest(data: Path, change: Callable[[list[dict[str, str]]], Any]) -> None:
    rows = list(iter_rows(data))
    change(rows)
    with (data / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def assert_one_line(error: pytest.ExceptionInfo[BaseException]) -> None:
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("stage", ["sketches-dodge", "masks"])
def test_journal_that_names_a_file_outside(data: Path, name: str, stage: str) -> None:
    column = "sketch_dodge" if stage == "sketches-dodge" else "labels"
    change_first(journal_of(data, stage), lambda entry: entry["columns"].update({column: name}))
    before = contents(data)
    with pytest.raises(DatasetError, match=rf"{stage}\.jsonl names .* outside the folder; remove this file") as error:
        draw(data)
    assert_one_line(error)
    assert contents(data) == before
    assert (data.parent / "victim.png").read_bytes() == b"mine"
    assert not [path for path in leftovers(data) if path.is_file()]


def test_journal_whose_files_are_outside(data: Path) -> None:
    change_first(journal_of(data), lambda entry: entry["files"].update({"../victim.png": 4}))
    with pytest.raises(DatasetError, match="outside the folder"):
        draw(data)


def test_column_of_another_stage_in_a_journal_removes_nothing(data: Path) -> None:
    edit_manifest(data, lambda rows: [row.update(photo_500="") for row in rows])
    for name in ("photo_500", "bogus"):
        change_first(journal_of(data), lambda entry, name=name: entry["columns"].update({name: "labels/00000.png"}))
    change_first(journal_of(data, "sketches-xdog"), lambda entry: entry["columns"].update(photo_500=""))
    done = draw(data)
    assert (done.written, done.kept, done.failures) == (1, 5, [])
    assert (data / "labels" / "00000.png").exists()
    assert not check_dataset(data, workers=ONE).problems


@pytest.mark.parametrize("name", ["manifest.csv", "photos", "dataset.json", "x" * 300 + ".png", "a\0b.png"])
def test_only_pictures_are_removed(data: Path, name: str) -> None:
    change_first(journal_of(data), lambda entry: entry["columns"].update(sketch_dodge=name))
    change_first(journal_of(data), lambda entry: entry.update(files={}, key="old"))
    edit_manifest(data, lambda rows: rows[0].update(sketch_dodge=name))
    draw(data)
    assert not check_dataset(data, workers=ONE).problems


NO_ENTRIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no key": lambda entry: entry.pop("key") and None,
    "no files": lambda entry: entry.pop("files") and None,
    "a list": lambda _: [[[[]]]],
    "files are a list": lambda entry: entry.update(files=[1]),
    "a size is text": lambda entry: entry.update(files={"photos/00000.jpg": "1"}),
    "columns are numbers": lambda entry: entry["columns"].update(width=64),
    "columns are text": lambda entry: entry.update(columns="x"),
    "a column is missing": lambda entry: entry["columns"].pop("photo") and None,
    "the sketch is missing": lambda entry: entry["columns"].pop("sketch_dodge") and None,
    "the failure is a number": lambda entry: entry.update(failure=7),
    "findings are words": lambda entry: entry.update(findings=["a", "b"]),
    "the id is a number": lambda entry: entry.update(id=7),
}


@pytest.mark.parametrize("kind", NO_ENTRIES)
def test_line_that_is_no_entry_is_made_anew(data: Path, kind: str) -> None:
    change_first(journal_of(data), NO_ENTRIES[kind])
    done = draw(data)
    assert (done.written, done.kept, done.failures) == (1, 5, [])
    assert not check_dataset(data, workers=ONE).problems


@pytest.mark.parametrize("line", ["[" * 100_000, '{"id":' * 100_000, "9" * 5000, "NaN", '{"id": "\\ud800"}'])
@pytest.mark.parametrize("stage", ["sketches-dodge", "masks"])
def test_line_that_cannot_be_read_does_not_count(data: Path, line: str, stage: str) -> None:
    journal = journal_of(data, stage)
    journal.write_text(line + "\n" + journal.read_text())
    done = draw(data)
    assert (done.kept, done.failures) == (6, [])
    assert not check_dataset(data, workers=ONE).problems


def replace_by(path: Path, what: str) -> None:
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "device":
        path.symlink_to("/dev/zero")
    else:
        path.symlink_to(path.parents[2] / "victim.png")


@pytest.mark.parametrize("what", ["pipe", "folder", "device", "link"])
@pytest.mark.parametrize("stage", ["sketches-dodge", "masks"])
def test_journal_that_is_no_file(data: Path, what: str, stage: str) -> None:
    replace_by(journal_of(data, stage), what)
    with pytest.raises(FacesynthError, match=r"is a pipe|is a folder|leads out of") as error:
        draw(data)
    assert_one_line(error)
    assert (data.parent / "victim.png").read_bytes() == b"mine"


@pytest.mark.parametrize("what", ["pipe", "folder", "device", "link"])
@pytest.mark.parametrize("column", ["photo", "labels"])
def test_picture_that_is_no_file_is_a_row_of_the_report(data: Path, what: str, column: str) -> None:
    path = data / ("photos/00002.jpg" if column == "photo" else "labels/00002.png")
    replace_by(path, what)
    if what == "link":
        (data.parent / "victim.png").write_bytes((data / "photos/00001.jpg").read_bytes())
    done = prepare_sketches(data, data, drawings=[resolve("sobel")], background="blank", workers=ONE)
    assert [(failure.id, failure.kind) for failure in done.failures] == [("00002", "unreadable")]
    assert done.written == 5
    assert [problem.id for problem in check_dataset(data, workers=ONE).problems if problem.id] == ["00002"]


@pytest.mark.parametrize("folder", ["photos", "sketches", "sketches/dodge", ".stages"])
def test_folder_that_is_a_link_is_not_written_into(data: Path, folder: str) -> None:
    elsewhere = data.parent / "elsewhere"
    shutil.move(data / folder, elsewhere)
    (data / folder).symlink_to(elsewhere)
    before = contents(elsewhere)
    with pytest.raises(OutputError, match=r"is a link, where .* is written; needed: a folder") as error:
        draw(data, force=True)
    assert_one_line(error)
    assert contents(elsewhere) == before


def test_the_dataset_folder_itself_may_be_a_link(data: Path) -> None:
    link = data.parent / "link"
    link.symlink_to(data)
    assert draw(link, force=True).written == 6
    assert not check_dataset(link, workers=ONE).problems


def test_lock_that_is_a_link_is_refused(data: Path) -> None:
    (data / ".facesynth.lock").symlink_to(data.parent / "victim.png")
    with pytest.raises(OutputError, match="no regular file; remove it"):
        draw(data)
    assert (data.parent / "victim.png").read_bytes() == b"mine"


@pytest.mark.parametrize("name", OUTSIDE)
def test_manifest_that_names_a_file_outside(data: Path, name: str) -> None:
    edit_manifest(data, lambda rows: rows[0].update(sketch_dodge=name))
    before = contents(data)
    with pytest.raises(DatasetError, match="paths must be relative, inside the folder"):
        prepare_photos(data, data, size=32, workers=ONE)
    assert contents(data) == before


@pytest.mark.parametrize("in_journals", [False, True])
def test_name_that_no_file_can_have_is_a_row_of_the_report(data: Path, in_journals: bool) -> None:
    edit_manifest(data, lambda rows: rows[1].update(photo="a\0b"))
    for journal in (data / ".stages").iterdir() if in_journals else ():
        journal.write_text(journal.read_text().replace('"photo": "photos/00001.jpg"', '"photo": "a\\u0000b"'))
    done = draw(data)
    assert [(failure.id, failure.kind) for failure in done.failures] == [("00001", "unreadable")]
    assert done.kept == 5


def test_photo_that_is_missing_from_a_row_of_any_id(data: Path) -> None:
    edit_manifest(data, lambda rows: rows[0].update(id="anna", photo="", photo_sha256=""))
    done = prepare_photos(data, data, size=32, workers=ONE)
    assert [(failure.id, failure.kind) for failure in done.failures] == [("anna", "no-photo")]


@pytest.mark.parametrize(
    ("described", "says"),
    [
        ('{"schema": Infinity, "label_scheme": "celebamask-hq", "stages": {}}', "the number Infinity"),
        ('{"schema": "1", "label_scheme": "celebamask-hq", "stages": {}}', "its schema is '1'"),
        (
            '{"schema": 1, "label_scheme": "celebamask-hq", "stages": {"masks": null}}',
            "stages are not parameters by name",
        ),
        ('{"schema": 1, "label_scheme": "celebamask-hq", "stages": []}', "stages are not parameters by name"),
        ('{"schema": 1, "stages": {}}', "label_scheme"),
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "a number of 5000 digits"),
        (" " * 200_000, "no JSON"),
        ("[" + "1," * 10_000 + "1]", "too many values"),
        (" " * 5_000_000, "it has 5000000 bytes; needed: at most"),
    ],
)
def test_description_that_is_out_of_bounds(data: Path, described: str, says: str) -> None:
    (data / "dataset.json").write_text(described)
    before = contents(data)
    with pytest.raises(DatasetError, match=says) as error:
        prepare_photos(data, data, size=32, workers=ONE)
    assert_one_line(error)
    with pytest.raises(DatasetError, match=says):
        check_dataset(data, workers=ONE)
    assert contents(data) == before


@pytest.mark.parametrize("column", ["class_pixels", "width", "id", "photo_64_sha256"])
def test_field_that_is_too_long(data: Path, column: str) -> None:
    edit_manifest(data, lambda rows: [row.update({column: row.get(column, "")}) for row in rows])
    edit_manifest(data, lambda rows: rows[0].update({column: "9" * 5000}))
    with pytest.raises(DatasetError, match="a field of more than 4096 characters") as error:
        prepare_photos(data, data, size=32, workers=ONE)
    assert_one_line(error)


def test_column_whose_name_is_too_long(data: Path) -> None:
    edit_manifest(data, lambda rows: [row.update({"photo_" + "9" * 5000: ""}) for row in rows])
    with pytest.raises(DatasetError, match="a column name of more than 255 characters") as error:
        prepare_photos(data, data, size=32, workers=ONE)
    assert_one_line(error)


def test_numbers_of_many_digits_are_problems_of_their_row(data: Path) -> None:
    prepare_photos(data, data, size=32, workers=ONE)
    edit_manifest(data, lambda rows: rows[0].update(width="9" * 4000, class_pixels="9" * 4000))
    problems = check_dataset(data, workers=ONE).problems
    assert {problem.id for problem in problems} == {"00000"}
    assert all(len(problem.detail) < 300 for problem in problems)
