"""Work on many photos: in parallel, resumable, with failures kept as rows.

A stage turns tasks, one a photo, into files of the dataset folder and columns of its manifest. What is done is noted in
``DATA/.stages/<stage>.jsonl`` as it happens, with a key made of the sources' stamps and the parameters; the manifest is
written once, when all is done. A run that was killed therefore goes on where it stopped, and a run with nothing to do
only looks at the files.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import joblib

from facesynth.errors import InputError, OutputError
from facesynth.files import make_folder, sha256, write_text

Columns = dict[str, str]
Progress = Callable[[Iterable[Any], int], Iterable[Any]]
"""Wraps an iterable of known length and shows how far it is."""


@dataclass(frozen=True)
class Task:
    """The work on one photo.

    Attributes
    ----------
    id : str
        The photo's id.
    work : callable
        Called with ``arguments``; writes the files and returns the manifest's columns. Raises InputError for a bad
        photo, which becomes a failure, and OutputError to stop everything. Must be picklable.
    arguments : tuple
        What ``work`` is called with.
    key : str
        Changes whenever the result would.
    """

    id: str
    work: Callable[..., Columns]
    arguments: tuple[Any, ...]
    key: str


@dataclass(frozen=True)
class Failure:
    """A photo that could not be done, and why in one line."""

    id: str
    reason: str


@dataclass
class StageReport:
    """What a stage did.

    Attributes
    ----------
    rows : dict of str to dict
        The manifest's columns of every photo that is done, now or before, by id.
    written, kept : int
        Photos done now, and found done.
    failures : list of Failure
        In order of id.
    """

    rows: dict[str, Columns] = field(default_factory=dict)
    written: int = 0
    kept: int = 0
    failures: list[Failure] = field(default_factory=list)


def make_key(*parts: Any) -> str:
    """A digest of everything that a result depends on; ``parts`` must be representable as JSON."""
    return sha256(json.dumps(parts, sort_keys=True).encode())


def _call(task: Task) -> tuple[Task, Columns | Failure]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the photos are what runs in parallel
    try:
        return task, task.work(*task.arguments)
    except InputError as error:
        return task, Failure(task.id, " ".join(str(error).split()))
    finally:
        cv2.setNumThreads(threads)


def check_jobs(jobs: int) -> None:
    """Refuse a number of processes that means nothing.

    Raises
    ------
    InputError
        If it is 0.
    """
    if jobs == 0:
        raise InputError("jobs is 0; needed: a number of processes, or -1 for one a core")


def run_tasks(
    tasks: Sequence[Task], *, jobs: int = -1, progress: Progress | None = None
) -> Generator[tuple[Task, Columns | Failure], None, None]:
    """Do the tasks, and yield each with its result as it ends, in any order.

    Parameters
    ----------
    tasks : sequence of Task
    jobs : int
        Processes; -1 for one a core, 1 for none beside this one.
    progress : callable, optional
        Shows how far the work is.

    Raises
    ------
    OutputError
        If a task could not write; the tasks under way are abandoned.
    """
    check_jobs(jobs)
    jobs = min(joblib.effective_n_jobs(jobs), max(len(tasks), 1))
    results = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(
        joblib.delayed(_call)(task) for task in tasks
    )
    try:
        for result in progress(results, len(tasks)) if progress else results:  # noqa: UP028, an error must end up here
            yield result
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # joblib's, of the tasks that an error cancels
            results.close()


class _Journal:
    """What a stage has done: one JSON line a photo, appended as it happens."""

    def __init__(self, root: Path, stage: str) -> None:
        self.path = root / ".stages" / f"{stage}.jsonl"
        self.entries: dict[str, dict[str, Any]] = {}
        make_folder(self.path.parent)
        if self.path.is_file():
            for line in self.path.read_text("utf-8").splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:  # the line that a killed run was writing
                    continue
                self.entries[entry["id"]] = entry

    def is_current(self, root: Path, task: Task) -> bool:
        entry = self.entries.get(task.id)
        if entry is None or entry["key"] != task.key:
            return False
        try:
            return all(os.stat(root / name).st_size == size for name, size in entry["files"].items())
        except OSError:
            return False

    @contextmanager
    def appending(self) -> Iterator[Callable[[Task, Columns, Mapping[str, int]], None]]:
        self.write()

        def append(task: Task, columns: Columns, files: Mapping[str, int]) -> None:
            entry = {"id": task.id, "key": task.key, "files": dict(files), "columns": columns}
            self.entries[task.id] = entry
            stream.write(json.dumps(entry) + "\n")
            stream.flush()

        try:
            with self.path.open("a", encoding="utf-8") as stream:
                yield append
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error

    def write(self) -> None:
        lines = (json.dumps(self.entries[identifier]) + "\n" for identifier in sorted(self.entries))
        write_text(self.path, "".join(lines))


def run_stage(
    root: Path,
    stage: str,
    tasks: Sequence[Task],
    *,
    is_path: Callable[[str], bool],
    jobs: int = -1,
    force: bool = False,
    progress: Progress | None = None,
) -> StageReport:
    """Do what a stage has not done yet.

    Parameters
    ----------
    root : Path
        The dataset folder; must exist.
    stage : str
        Its name: that of its journal.
    tasks : sequence of Task
        One a photo.
    is_path : callable
        Tells by its name whether a column holds the path of a file inside ``root``.
    jobs, progress
        As in :func:`run_tasks`.
    force : bool
        Do all again.

    Returns
    -------
    StageReport
    """
    journal = _Journal(root, stage)
    report = StageReport()
    current = {task.id for task in tasks if not force and journal.is_current(root, task)}
    todo = [task for task in tasks if task.id not in current]
    report.kept = len(current)
    with journal.appending() as append, closing(run_tasks(todo, jobs=jobs, progress=progress)) as results:
        for task, result in results:
            if isinstance(result, Failure):
                journal.entries.pop(task.id, None)
                report.failures.append(result)
            else:
                paths = [value for name, value in result.items() if is_path(name) and value]
                append(task, result, {path: (root / path).stat().st_size for path in paths})
                report.written += 1
    journal.write()
    report.failures.sort(key=lambda failure: failure.id)
    failed = {failure.id for failure in report.failures}
    report.rows = {task.id: journal.entries[task.id]["columns"] for task in tasks if task.id not in failed}
    return report
