"""A power loss at any moment: what was not synced is lost, half there or zeros, and no manifest names it.

A recorder notes what is in a folder before and after every operation that matters, and what was synced. From that a surviving
state is drawn for a moment: of every name, one of the files that it stood for since its folder was last synced; of every file,
what was synced, or zeros, a part or all of what came later.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from facesynth import files
from facesynth.files import sha256, write_bytes
from facesynth.manifest import is_dataset, is_path_column, iter_rows
from facesynth.model.inference import record as records
from facesynth.prep.check import check_dataset
from facesynth.prep.pipeline import run
from facesynth.prep.pipeline.journal import Journal
from facesynth.prep.pipeline.workers import Workers
from facesynth.prep.sketches.presets import resolve
from facesynth.prep.stages import prepare_masks, prepare_sketches

from .trees import contents

ONE = Workers(jobs=1)
MOMENTS = 100
File = int
"""A file, however it is called: the number by which it came."""


class Recorder:
    """What was in a folder at every moment, and when what was synced.

    Parameters
    ----------
    root : Path
        May not exist yet.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names: list[dict[str, File]] = []
        self.bytes: list[dict[File, bytes]] = []
        self.synced: list[tuple[int, Any]] = []
        """The moment, and the file or folder that was synced, or None for all."""
        self._files: dict[int, File] = {}
        self._count = 0

    def note(self) -> None:
        """Note a moment."""
        names, numbers, read = {}, {}, {}
        for path in sorted(self.root.rglob("*")):
            status = path.lstat()
            number = status.st_ino
            if number not in self._files:
                self._count += 1
            numbers[number] = names[str(path.relative_to(self.root))] = self._files.get(number, self._count)
            read[numbers[number]] = b"" if path.is_dir() else path.read_bytes()
        self._files = numbers
        before = self.bytes[-1] if self.bytes else {}
        self.names.append(names)
        self.bytes.append({file: before[file] if before.get(file) == data else data for file, data in read.items()})

    def was_synced(self, what: Any) -> None:
        self.note()
        self.synced.append((len(self.names) - 1, what))

    def _last_sync(self, moment: int, what: Any) -> int:
        """The last moment up to this one at which a file or folder was synced, or -1."""
        return max((when for when, this in self.synced if when <= moment and this in (None, what)), default=-1)

    def survivor(self, moment: int, rng: Random, out: Path) -> None:
        """Make the folder ``out`` as it may be after a power loss at a moment."""
        kept: dict[str, File] = {}
        known = {name for names in self.names[: moment + 1] for name in names}
        for name in sorted(known):
            folder = str(Path(name).parent)
            first = max(self._last_sync(moment, folder), 0)
            since = [names.get(name) for names in self.names[first : moment + 1]]
            if self._last_sync(moment, folder) < 0:
                since.append(None)
            chosen = rng.choice(list(dict.fromkeys(since)))
            if chosen is not None and (folder == "." or folder in kept):
                kept[name] = chosen
        out.mkdir()
        for name, file in kept.items():
            if (self.root / name).is_dir():
                (out / name).mkdir()
            else:
                (out / name).write_bytes(self._content(moment, file, rng))

    def _content(self, moment: int, file: File, rng: Random) -> bytes:
        versions = [read[file] for read in self.bytes[: moment + 1] if file in read]
        when = self._last_sync(moment, file)
        safe = self.bytes[when].get(file, b"") if when >= 0 else b""
        last = versions[-1]
        if last == safe:
            return last
        tail = len(last) - len(safe) if last.startswith(safe) else len(last)
        part = last[: len(last) - tail]  # what was appended later is lost, not what was there
        return rng.choice((safe, part + bytes(tail), last[: len(last) - tail // 2], last))


@contextmanager
def recorded(root: Path, *, by_file: bool = False, drop: bool = False) -> Iterator[Recorder]:
    """Record what happens in a folder; ``by_file`` without a call for the whole file system, ``drop`` as if nothing synced."""
    recorder = Recorder(root)

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            recorder.note()
            result = function(*arguments, **options)
            recorder.note()
            return result

        return call

    def sync_one(number: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{number}"))
        if not drop and (path == root or root in path.parents):
            name = str(path.relative_to(root))
            recorder.note()
            recorder.was_synced(name if path.is_dir() else recorder.names[-1][name])

    def sync_all(_: Path) -> bool:
        if not by_file and not drop:
            recorder.was_synced(None)
        return not by_file

    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((os, "replace"), (os, "unlink"), (Journal, "commit"), (Journal, "finish")):
            patch.setattr(module, name, noting(getattr(module, name)))
        patch.setattr(os, "fsync", sync_one)
        patch.setattr(files, "_sync_file_system", sync_all)
        patch.setattr(run, "SYNC_INTERVAL", 0.0)
        yield recorder
        recorder.note()


def wrong_rows(root: Path, *, versions: dict[str, set[str]] | None = None) -> list[str]:
    """The files that the manifest names and that are not there, or not as it says; or not in any of some versions."""
    wrong = []
    for row in iter_rows(root) if is_dataset(root) else ():
        for column, name in row.items():
            if name and is_path_column(column):
                digest = sha256((root / name).read_bytes()) if (root / name).is_file() else ""
                if digest not in (versions[name] if versions else {row[f"{column}_sha256"]}):
                    wrong.append(name)
    return wrong


def prepare(raw: Path, out: Path) -> None:
    """Two stages, as a user runs them."""
    assert not prepare_masks(raw, out, workers=ONE).failures
    drawings = [resolve("sobel"), resolve("xdog")]
    assert not prepare_sketches(out, out, drawings=drawings, size=32, workers=ONE).failures


@pytest.mark.slow
@pytest.mark.parametrize("by_file", [False, True], ids=["all at once", "file by file"])
def test_no_manifest_names_what_is_lost(raw: Path, tmp_path: Path, by_file: bool) -> None:
    root, plain, out = tmp_path / "root", tmp_path / "plain", tmp_path / "out"
    prepare(raw, plain)
    with recorded(root, by_file=by_file) as recorder:
        prepare(raw, root)
    assert contents(root) == contents(plain)
    rng, kept = Random(0), 0
    for number in range(MOMENTS):
        moment = rng.randrange(len(recorder.names))
        recorder.survivor(moment, rng, out)
        assert wrong_rows(out) == [], moment
        if number % 8 == 0:
            kept += prepare_masks(raw, out, workers=ONE).kept
            prepare(raw, out)
            assert contents(out) == contents(plain), moment
            assert check_dataset(out, workers=ONE).problems == []
        shutil.rmtree(out)
    assert kept > MOMENTS // 8  # what was synced is not made again


@pytest.mark.slow
def test_a_picture_that_changes_is_the_old_one_or_the_new_one(raw: Path, tmp_path: Path) -> None:
    source, root, plain, out = tmp_path / "raw", tmp_path / "root", tmp_path / "plain", tmp_path / "out"
    shutil.copytree(raw, source)
    prepare_masks(source, root, workers=ONE)
    versions = {name: {sha256(data)} for name, data in contents(root).items()}
    shutil.copyfile(source / "CelebA-HQ-img/4.jpg", source / "CelebA-HQ-img/2.jpg")
    next((source / "CelebAMask-HQ-mask-anno/0").glob("00001_hair.png")).unlink()
    shutil.copytree(root, plain)
    prepare_masks(source, plain, workers=ONE)
    for name, data in contents(plain).items():
        versions[name].add(sha256(data))
    with recorded(root) as recorder:
        recorder.was_synced(None)
        prepare_masks(source, root, workers=ONE)
    assert contents(root) == contents(plain)
    rng = Random(1)
    for number in range(MOMENTS):
        recorder.survivor(rng.randrange(len(recorder.names)), rng, out)
        assert is_dataset(out)
        assert wrong_rows(out, versions=versions) == []
        if number % 8 == 0:
            assert not prepare_masks(source, out, workers=ONE).failures
            assert contents(out) == contents(plain)
        shutil.rmtree(out)


@pytest.mark.slow
def test_without_syncing_it_would(raw: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    with recorded(root, drop=True) as recorder:
        prepare_masks(raw, root, workers=ONE)
    rng, wrong = Random(0), 0
    for _ in range(20):
        recorder.survivor(len(recorder.names) - 1, rng, out)
        try:
            wrong += bool(wrong_rows(out))
        except files.DatasetError:
            wrong += 1
        shutil.rmtree(out)
    assert wrong > 10


def test_a_face_on_record_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    root.mkdir()
    monkeypatch.setattr(records, "SYNC_INTERVAL", 0.0)
    with recorded(root) as recorder:
        record = records.Record(root, {"seed": 7})
        for number in range(12):
            write_bytes(root / f"{number}.png", bytes([number]) * 100)
            record.add(str(number), Path(f"{number}.png"), "digest", [f"{number}.png"])
        record.finish(map(str, range(12)))
    rng, seen = Random(2), 0
    for _ in range(MOMENTS):
        recorder.survivor(rng.randrange(len(recorder.names)), rng, out)
        there = records.Record(out, {"seed": 7})
        for name in there.rows:
            assert (out / f"{name}.png").read_bytes() == bytes([int(name)]) * 100
            seen += 1
        shutil.rmtree(out)
    assert seen > MOMENTS
    assert len((root / "faces.jsonl").read_text().splitlines()) == 13
    assert json.loads((root / "faces.jsonl").read_text().splitlines()[-1])["input"] == "11"


def test_a_synced_file_is_there_from_then_on(tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    root.mkdir()
    (root / "a").write_bytes(b"old")
    with recorded(root) as recorder:
        recorder.was_synced(None)
        write_bytes(root / "b", b"first", sync=True)
        last = len(recorder.names)
        write_bytes(root / "a", b"new")
    rng, seen = Random(3), set()
    for moment in range(len(recorder.names)):
        for _ in range(5):
            recorder.survivor(moment, rng, out)
            assert (out / "a").read_bytes() in (b"old", b"new")
            seen.add((out / "a").read_bytes())
            if moment >= last:
                assert (out / "b").read_bytes() == b"first"
            shutil.rmtree(out)
    assert seen == {b"old", b"new"}
