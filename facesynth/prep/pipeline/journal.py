"""Journals: what each stage has done for each photo, in files that survive a kill; and the tasks and results in them.

A damaged line does not count: its photo is processed again. An entry that names a file outside the dataset folder is refused.
An entry is written when the files that it names are on the disk, so that it can be believed after a power loss, too.
"""

from __future__ import annotations

import heapq
import json
import os
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from facesynth.errors import DatasetError, OutputError, shown
from facesynth.files import check_regular, inside, leaves_folder, make_folder_inside, replacing, sha256
from facesynth.manifest import is_path_column
from facesynth.prep.pipeline.findings import Finding, Refused

Columns = dict[str, str]


class Done(NamedTuple):
    """The result of a stage for a photo: its manifest columns and its findings."""

    columns: Columns
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Failure:
    """A photo that a stage could not process.

    Attributes
    ----------
    id : str
    kind : str
        One of :data:`facesynth.prep.pipeline.findings.KINDS`.
    reason : str
        One line: what was found and what was needed.
    """

    id: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Task:
    """The work on one photo for one or several stages.

    Attributes
    ----------
    id : str
    known : dict of str to str
        Manifest columns that are known in advance.
    keys : mapping of str to str
        By stage: a digest that changes when the work must be repeated.
    work : callable
        Called in a worker with the stages that are out of date and ``arguments``. Returns for each stage a :class:`Done`, or a
        :class:`~facesynth.prep.pipeline.findings.Refused` if that stage is impossible, or raises
        :class:`~facesynth.errors.InputError`, which becomes a :class:`Failure`. Must be importable by its name.
    arguments : tuple
    problem : Refused, optional
        Why the photo cannot be processed at all.
    """

    id: str
    known: Columns
    keys: Mapping[str, str]
    work: Callable[..., Mapping[str, Done | Refused]]
    arguments: tuple[Any, ...]
    problem: Refused | None = None


class Tasks(Protocol):
    """A known number of tasks, sorted by id, that can be iterated more than once."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Task]: ...


def make_key(*parts: Any) -> str:
    """A digest of everything that a result depends on; ``parts`` must be representable as JSON."""
    return sha256(json.dumps(parts, sort_keys=True).encode())


class Journal:
    """The record of a stage: one JSON line per photo, appended as it is finished, sorted by id at the end of a run.

    In memory a line takes 16 bytes: its offset and a hash of its id.

    Parameters
    ----------
    root : Path
        The dataset folder.
    stage : str
        Name of the stage and of its file, ``.stages/<stage>.jsonl``.
    count : int
        Number of photos in this run; they are identified by their index in the order of the ids.
    """

    def __init__(self, root: Path, stage: str, count: int) -> None:
        self.root, self.stage = root, stage
        make_folder_inside(root, ".stages")
        self.path = _path_of(root, stage)
        self._entry_offsets = array("q", [-1]) * count
        self._remarks: list[dict[str, Any]] = []
        self._waiting: list[tuple[int, dict[str, Any]]] = []
        try:
            self._stream = self.path.open("ab+")
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error
        try:
            self._scan()
        except BaseException:
            self.close()
            raise

    def _scan(self) -> None:
        """Find the lines of earlier runs; of two with the same id the later one counts."""
        hashes, offsets, end = array("Q"), array("q"), 0
        self._stream.seek(0)
        for line in self._stream:
            if not line.endswith(b"\n"):  # a killed run was writing this line
                break
            with suppress(ValueError):
                hashes.append(_hash(_parse(line, self.path)["id"]))
                offsets.append(end)
            end += len(line)
        order = np.argsort(np.asarray(hashes), kind="stable")
        self._hashes, self._offsets = np.asarray(hashes)[order], np.asarray(offsets)[order]
        self._end = end
        if end < os.fstat(self._stream.fileno()).st_size:
            self._stream.truncate(end)

    def _find(self, identifier: str) -> tuple[int, dict[str, Any]] | None:
        """The offset of an id's entry, and the entry."""
        wanted = np.uint64(_hash(identifier))
        first, last = (int(np.searchsorted(self._hashes, wanted, side)) for side in ("left", "right"))
        for index in range(last - 1, first - 1, -1):
            offset = int(self._offsets[index])
            entry = self._read(offset)
            if entry["id"] == identifier:
                return offset, entry
        return None

    def _read(self, offset: int) -> dict[str, Any]:
        entry: dict[str, Any] = json.loads(self._read_line(offset))
        return entry

    def _read_line(self, offset: int) -> bytes:
        data = b""
        while not data.endswith(b"\n"):
            chunk = os.pread(self._stream.fileno(), 4096, offset + len(data))
            if not chunk:
                break
            data += chunk[: chunk.find(b"\n") + 1 or None]
        return data

    def check(self, index: int, task: Task, agrees: Callable[[str, Columns], bool]) -> bool:
        """Whether the task's result exists and is current; if so its entry counts as one of this run.

        ``agrees`` returns, for an id and its columns, whether the files have not been replaced by another stage.
        """
        previous = self._find(task.id)
        if not previous:
            return False
        offset, entry = previous
        if "columns" not in entry or entry.get("key") != task.keys[self.stage] or not self._has_files(entry["files"]):
            return False
        if not agrees(task.id, entry["columns"]):
            return False
        if any(
            value and value not in entry["files"] for name, value in entry["columns"].items() if is_path_column(name)
        ):
            return False
        changed = [name for name, value in task.known.items() if entry["columns"].get(name) != value]
        if any(map(is_path_column, changed)):
            return False
        if changed:
            self._append(index, entry | {"columns": entry["columns"] | task.known})
        else:
            self._entry_offsets[index] = offset
        return True

    def _has_files(self, files: Mapping[str, int]) -> bool:
        try:
            return all(os.stat(self.root / name).st_size == size for name, size in files.items())
        except (OSError, ValueError):  # a ValueError means an impossible file name
            return False

    def _append(self, index: int, entry: Mapping[str, Any]) -> None:
        line = _line_of(entry)
        try:
            self._stream.write(line)
            self._stream.flush()
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error
        self._entry_offsets[index] = self._end
        self._end += len(line)

    def done(self, index: int, task: Task, done: Done, is_path: Callable[[str], bool]) -> None:
        """Record the result of a stage for a photo, with the sizes of its files, at the next :meth:`commit`."""
        columns = task.known | done.columns
        files = {
            name: os.stat(self.root / name).st_size for column, name in columns.items() if is_path(column) and name
        }
        entry: dict[str, Any] = {"id": task.id, "key": task.keys[self.stage], "files": files, "columns": columns}
        if done.findings:
            entry["findings"] = [_pair(finding) for finding in done.findings]
        self._waiting.append((index, entry))

    def waiting(self) -> set[str]:
        """The files of the results that are not written yet: they have to be synced before :meth:`commit`."""
        return {name for _, entry in self._waiting for name in entry["files"]}

    def commit(self) -> None:
        """Write the results that were waiting for their files to be synced."""
        waiting, self._waiting = self._waiting, []
        for index, entry in waiting:
            self._append(index, entry)

    def failed(self, index: int, failure: Failure) -> None:
        """Record that a photo could not be processed."""
        self._append(index, {"id": failure.id, "failure": [failure.kind, failure.reason]})

    def remarked(self, name: str, finding: Finding) -> None:
        """Record a finding that belongs to no photo."""
        self._remarks.append({"id": name, "findings": [_pair(finding)]})

    def finish(self) -> None:
        """Sort the file by id and keep only the entries of this run."""
        lines = (self._read_line(offset) for offset in self._entry_offsets if offset >= 0)
        remarks = map(_line_of, sorted(self._remarks, key=itemgetter("id")))
        with replacing(self.path, sync=True, keep_same=True) as beside, beside.open("wb") as stream:
            in_order: Iterator[bytes] = heapq.merge(lines, remarks, key=_id_of)
            stream.writelines(in_order)
        self.close()

    def close(self) -> None:
        """Close the file; its entries stay."""
        with suppress(OSError):  # what could not be written has been reported
            self._stream.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _hash(identifier: str) -> int:
    return int.from_bytes(blake2b(identifier.encode(), digest_size=8).digest(), "big")


def _id_of(line: bytes) -> str:
    return str(json.loads(line)["id"])


def _path_of(root: Path, stage: str) -> Path:
    """The journal of a stage.

    Raises
    ------
    DatasetError
        If it leads out of the folder, or is no regular file.
    """
    path = inside(root, f".stages/{stage}.jsonl")
    if os.path.lexists(path):
        try:
            check_regular(path)
        except OSError as error:
            raise DatasetError(f"{path} cannot be read: {error.strerror}; remove it and run the stage again") from error
    return path


def _parse(line: bytes, path: Path) -> dict[str, Any]:
    """The entry in a line of a journal.

    Raises
    ------
    ValueError
        If it is no entry.
    DatasetError
        If it names a file outside the folder.
    """
    try:
        entry: dict[str, Any] = json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not _is_entry(entry):
        raise ValueError("no entry of a journal")
    columns = entry.get("columns", {})
    for name in (*entry.get("files", ()), *(columns[name] for name in columns if is_path_column(name))):
        if leaves_folder(name):
            raise DatasetError(
                f"{path} names {shown(name)} for {shown(entry['id'])}, which is outside the folder; remove this file and run "
                "the stage again"
            )
    return entry


def _is_entry(entry: Any) -> bool:
    """Whether a value read from JSON has the form that :class:`Journal` writes."""
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        return False
    if "failure" in entry and not _is_pair(entry["failure"]):
        return False
    if "findings" in entry:
        findings = entry["findings"]
        if not isinstance(findings, list) or not findings or not all(map(_is_pair, findings)):
            return False
    if "columns" not in entry:
        return "key" not in entry
    columns, files = entry["columns"], entry.get("files")
    return (
        isinstance(columns, dict)
        and isinstance(files, dict)
        and isinstance(entry.get("key"), str)
        and all(type(value) is str for value in columns.values())
        and all(type(size) is int for size in files.values())
    )


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(part) is str for part in value)


def _line_of(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def _pair(finding: Finding) -> list[str]:
    return [finding.kind, finding.detail]


def read_journal(root: Path, stage: str) -> Iterator[dict[str, Any]]:
    """The entries of a stage's finished journal, sorted by id.

    Each has an ``id``, and ``columns`` or a ``failure`` (kind and reason), or neither if it belongs to no photo. ``findings``
    (pairs of kind and detail) are present if something was noticed.
    """
    path = _path_of(root, stage)
    with path.open("rb") as stream:
        for line in stream:
            yield _parse(line, path)


def stage_names(root: Path) -> list[str]:
    """The names of all stages that have a journal, sorted."""
    return sorted(path.stem for path in (root / ".stages").glob("*.jsonl"))


def settle_journals(root: Path, *, but: Collection[str] = ()) -> None:
    """Sort the journals that killed runs left unfinished, except those of the stages ``but``, which run now."""
    make_folder_inside(root, ".stages")
    for name in stage_names(root):
        path = _path_of(root, name)
        if name not in but and not _is_settled(path):
            lines = {}
            with path.open("rb") as stream:
                for line in stream:
                    with suppress(ValueError):
                        lines[_parse(line, path)["id"]] = line
            with replacing(path) as beside, beside.open("wb") as out:
                out.writelines(lines[name] for name in sorted(lines))


def _is_settled(path: Path) -> bool:
    """Whether every line is complete and the ids ascend."""
    last = ""
    with path.open("rb") as stream:
        for line in stream:
            try:
                identifier: str = _parse(line, path)["id"]
            except ValueError:
                return False
            if identifier <= last or not line.endswith(b"\n"):
                return False
            last = identifier
    return True
