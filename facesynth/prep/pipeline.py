"""joblib over photos: what was done before is found in journals, what is missing is done, failures are kept as rows.

A run goes over the photos twice: once to see what is current, by keys and file sizes, and once to do the rest. Neither
holds more of a photo in memory than its id and where its journal line is, so a run over 30 000 photos needs little more
than one over 3 000.
"""

from __future__ import annotations

import heapq
import json
import os
import re
import warnings
from array import array
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import joblib
import numpy as np

from facesynth.errors import FacesynthError, InputError, OutputError
from facesynth.files import make_folder, replacing, sha256
from facesynth.prep.findings import Finding, Refused

Columns = dict[str, str]
Progress = Callable[[Iterable[Any], int], Iterable[Any]]
"""Wraps an iterable of known length to show how far it is."""

BACKENDS = ("processes", "threads", "dask", "ray")
"""Where photos are worked on: this machine's processes or threads, or a cluster."""


@dataclass(frozen=True)
class Workers:
    """Where and how widely photos are worked on.

    Attributes
    ----------
    jobs : int
        Photos at a time; -1 for one a core, of the cluster where there is one.
    backend : str
        One of :data:`BACKENDS`.
    scheduler : str
        Address of the cluster: ``tcp://host:port`` of Dask's scheduler, or Ray's own; empty for one on this machine.

    Raises
    ------
    InputError
        If the jobs are 0, the backend is not known, or a scheduler is given where there is none.
    """

    jobs: int = -1
    backend: str = "processes"
    scheduler: str = ""

    def __post_init__(self) -> None:
        if self.jobs == 0:
            raise InputError("jobs is 0; needed: a number of processes, or -1 for one a core")
        if self.backend not in BACKENDS:
            raise InputError(f"backend {self.backend!r} is not known; give one of: {', '.join(BACKENDS)}")
        if self.scheduler and self.backend in ("processes", "threads"):
            raise InputError(f"a scheduler is for --backend dask or ray; {self.backend} has none")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Make joblib use these workers.

        Raises
        ------
        InputError
            If the cluster's package is not installed, or it cannot be reached.
        """
        with ExitStack() as stack:
            if self.backend == "dask":
                stack.enter_context(joblib.parallel_config(backend="dask", client=stack.enter_context(self._dask())))
            elif self.backend == "ray":
                self._ray()
                stack.enter_context(joblib.parallel_config(backend="ray"))
            else:
                if self.backend == "threads":
                    stack.callback(cv2.setNumThreads, cv2.getNumThreads())
                    cv2.setNumThreads(1)
                name = "loky" if self.backend == "processes" else "threading"
                stack.enter_context(joblib.parallel_config(backend=name))
            yield

    def _dask(self) -> Any:
        try:
            from dask import distributed
        except ImportError as error:
            raise InputError("--backend dask needs Dask: pip install 'facesynth[dask]'") from error
        try:
            client: Callable[..., Any] = distributed.Client
            return client(self.scheduler, timeout=10) if self.scheduler else client(dashboard_address=None)
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"no Dask scheduler answers at {self.scheduler!r}; give its address, as tcp://host:8786: {error}"
            ) from error

    def _ray(self) -> None:
        try:
            import ray
            from ray.util.joblib import register_ray
        except ImportError as error:
            raise InputError("--backend ray needs Ray: pip install 'facesynth[ray]'") from error
        try:
            if not ray.is_initialized():
                ray.init(address=self.scheduler or None, log_to_driver=False)
        except (OSError, ValueError, ConnectionError) as error:
            raise InputError(f"no Ray cluster answers at {self.scheduler!r}: {error}") from error
        register_ray()


class Done(NamedTuple):
    """What a stage made of a photo: its manifest columns, and what was noticed on the way."""

    columns: Columns
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Failure:
    """A photo that a stage could not do.

    Attributes
    ----------
    id : str
    kind : str
        One of :data:`facesynth.prep.findings.KINDS`.
    reason : str
        What came and what was needed, in one line.
    """

    id: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Task:
    """One photo's work in one or several stages.

    Attributes
    ----------
    id : str
    known : dict of str to str
        Manifest columns that are known without any work.
    keys : mapping of str to str
        By stage, changes when the work must be done again.
    work : callable
        Called in a worker with the stages that are not current and ``arguments``; returns a :class:`Done` a stage, or
        raises :class:`~facesynth.errors.InputError`, which becomes a :class:`Failure`. Must be importable by its name.
    arguments : tuple
    problem : Refused, optional
        Why the photo cannot be done at all.
    """

    id: str
    known: Columns
    keys: Mapping[str, str]
    work: Callable[..., Mapping[str, Done]]
    arguments: tuple[Any, ...]
    problem: Refused | None = None


class Tasks(Protocol):
    """Tasks of known number that can be gone over more than once, sorted by id."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Task]: ...


@dataclass
class Outcome:
    """What a run did.

    Attributes
    ----------
    written, kept : int
        Photos done now, and found done.
    failures : list of Failure
        In order of id.
    noticed : dict of str to int
        Photos by the kind of finding that is no failure.
    """

    written: int = 0
    kept: int = 0
    failures: list[Failure] = field(default_factory=list)
    noticed: dict[str, int] = field(default_factory=dict)


def make_key(*parts: Any) -> str:
    """A digest of everything that a result depends on; ``parts`` must be representable as JSON."""
    return sha256(json.dumps(parts, sort_keys=True).encode())


def call_one_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    """``work`` with OpenCV's own threads off: the photos are what runs in parallel."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return work(*arguments)
    finally:
        cv2.setNumThreads(threads)


def _attempt(
    place: int, task: Task, todo: tuple[str, ...]
) -> tuple[int, Task, tuple[str, ...], Mapping[str, Done] | Failure]:
    return place, task, todo, _outcome(task, todo)


def _outcome(task: Task, todo: tuple[str, ...]) -> Mapping[str, Done] | Failure:
    if task.problem:
        return Failure(task.id, task.problem.kind, _line(task.problem))
    try:
        made: Mapping[str, Done] = call_one_thread(task.work, todo, *task.arguments)
    except InputError as error:
        return Failure(task.id, error.kind if isinstance(error, Refused) else "unreadable", _line(error))
    return made


def _without(text: str, folders: Iterable[Path]) -> str:
    for folder in folders:
        text = re.sub(rf"(?<![^\s'\"]){re.escape(str(folder))}/", "", text)
    return text


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def run_all(
    calls: Iterable[tuple[Any, ...]], total: int, *, workers: Workers, progress: Progress | None = None
) -> Generator[Any, None, None]:
    """Do calls, given as a function and its arguments, and yield their results as they end, in any order.

    Parameters
    ----------
    calls : iterable of tuple
        Taken as workers come free, not all at once.
    total : int
        How many there are.
    workers : Workers
    progress : callable, optional
        Shows how far the work is.

    Raises
    ------
    OutputError
        If a call could not write, or a worker died; the calls under way are abandoned.
    """
    broken: list[Exception] = []

    def delayed() -> Iterator[Any]:
        try:
            for function, *arguments in calls:
                yield joblib.delayed(function)(*arguments)
        except Exception as error:  # joblib takes from here in a thread of its own, where an error would be lost
            broken.append(error)

    with workers.running():
        results = _ray_results(delayed(), workers) if workers.backend == "ray" else _results(delayed(), workers, total)
        try:
            yield from progress(results, total) if progress else results
        except (FacesynthError, GeneratorExit, KeyboardInterrupt):
            raise
        except Exception as error:
            if _is_lost_worker(error):
                raise OutputError(
                    "a worker process died, most likely for want of memory; run the same command again, which goes on "
                    "where this one stopped, with fewer --jobs"
                ) from error
            raise
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # joblib's, of the calls that an error cancels
                results.close()
    if broken:
        raise broken[0]


def _results(calls: Iterator[Any], workers: Workers, total: int) -> Generator[Any, None, None]:
    local = workers.backend in ("processes", "threads")
    jobs = min(joblib.effective_n_jobs(workers.jobs), max(total, 1)) if local else workers.jobs
    results: Generator[Any, None, None] = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(calls)
    return results


def _ray_results(calls: Iterator[Any], workers: Workers) -> Generator[Any, None, None]:
    """Ray's backend gives back lists only, so it gets the calls in handfuls."""
    with joblib.Parallel(n_jobs=workers.jobs) as parallel:
        while handful := list(islice(calls, _HANDFUL)):
            yield from parallel(handful)


_HANDFUL = 512


def _is_lost_worker(error: Exception) -> bool:
    return type(error).__name__ in ("TerminatedWorkerError", "BrokenProcessPool", "KilledWorker", "WorkerCrashedError")


class Journal:
    """What a stage has done: one JSON line a photo, appended as it happens, sorted by id when a run ends.

    Of a line it keeps in memory where it is and a hash of its id, 16 bytes.

    Parameters
    ----------
    root : Path
        The dataset folder.
    stage : str
        The stage's name, and the file's: ``.stages/<stage>.jsonl``.
    count : int
        Photos of this run; they are told apart by their place in it, which is the order of their ids.
    """

    def __init__(self, root: Path, stage: str, count: int) -> None:
        self.root, self.stage = root, stage
        self.path = root / ".stages" / f"{stage}.jsonl"
        make_folder(self.path.parent)
        self._seen = array("q", [-1]) * count
        self._remarks: list[dict[str, Any]] = []
        self._stream = self.path.open("ab+")
        self._scan()

    def _scan(self) -> None:
        """Find where each line of the runs before is; of two with the same id the later one counts."""
        hashes, offsets, end = array("Q"), array("q"), 0
        self._stream.seek(0)
        for line in self._stream:
            if not line.endswith(b"\n"):  # the line that a killed run was writing
                break
            with suppress(ValueError, KeyError, TypeError):
                hashes.append(_hash(json.loads(line)["id"]))
                offsets.append(end)
            end += len(line)
        order = np.argsort(np.asarray(hashes), kind="stable")
        self._hashes, self._offsets = np.asarray(hashes)[order], np.asarray(offsets)[order]
        self._end = end
        if end < os.fstat(self._stream.fileno()).st_size:
            self._stream.truncate(end)

    def _find(self, identifier: str) -> tuple[int, dict[str, Any]] | None:
        """Where the entry of an id is, and the entry."""
        wanted = np.uint64(_hash(identifier))
        first, last = (int(np.searchsorted(self._hashes, wanted, side)) for side in ("left", "right"))
        for place in range(last - 1, first - 1, -1):
            offset = int(self._offsets[place])
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
            piece = os.pread(self._stream.fileno(), 4096, offset + len(data))
            if not piece:
                break
            data += piece[: piece.find(b"\n") + 1 or None]
        return data

    def check(self, place: int, task: Task) -> bool:
        """Whether the task's result is there and current; its entry then counts as one of this run."""
        found = self._find(task.id)
        if not found:
            return False
        offset, entry = found
        if "columns" not in entry or entry["key"] != task.keys[self.stage] or not self._has_files(entry["files"]):
            return False
        if any(entry["columns"].get(name) != value for name, value in task.known.items()):
            self._append(place, entry | {"columns": entry["columns"] | task.known})
        else:
            self._seen[place] = offset
        return True

    def _has_files(self, files: Mapping[str, int]) -> bool:
        try:
            return all(os.stat(self.root / name).st_size == size for name, size in files.items())
        except OSError:
            return False

    def _append(self, place: int, entry: Mapping[str, Any]) -> None:
        line = _line_of(entry)
        try:
            self._stream.write(line)
            self._stream.flush()
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error
        self._seen[place] = self._end
        self._end += len(line)

    def done(self, place: int, task: Task, done: Done, is_path: Callable[[str], bool]) -> None:
        """Note what a stage made of a photo, with the sizes of its files."""
        columns = task.known | done.columns
        files = {
            name: os.stat(self.root / name).st_size for column, name in columns.items() if is_path(column) and name
        }
        entry: dict[str, Any] = {"id": task.id, "key": task.keys[self.stage], "files": files, "columns": columns}
        if done.findings:
            entry["findings"] = [_pair(finding) for finding in done.findings]
        self._append(place, entry)

    def failed(self, place: int, failure: Failure) -> None:
        """Note that a photo could not be done."""
        self._append(place, {"id": failure.id, "failure": [failure.kind, failure.reason]})

    def remarked(self, name: str, finding: Finding) -> None:
        """Note a finding that belongs to no photo."""
        self._remarks.append({"id": name, "findings": [_pair(finding)]})

    def finish(self) -> None:
        """Sort the file by id and leave only the entries of this run in it."""
        lines = (self._read_line(offset) for offset in self._seen if offset >= 0)
        remarks = map(_line_of, sorted(self._remarks, key=itemgetter("id")))
        with replacing(self.path, keep_same=True) as beside, beside.open("wb") as stream:
            in_order: Iterator[bytes] = heapq.merge(lines, remarks, key=_id_of)
            stream.writelines(in_order)
        self.close()

    def close(self) -> None:
        """Close the file; what was noted stays."""
        self._stream.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _hash(identifier: str) -> int:
    return int.from_bytes(blake2b(identifier.encode(), digest_size=8).digest(), "big")


def _id_of(line: bytes) -> str:
    return str(json.loads(line)["id"])


def _line_of(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def _pair(finding: Finding) -> list[str]:
    return [finding.kind, finding.detail]


def read_journal(root: Path, stage: str) -> Iterator[dict[str, Any]]:
    """The entries of a stage's finished journal, sorted by id.

    Each has an ``id``, and either ``columns`` or a ``failure`` (kind and reason) or, where it belongs to no photo, neither;
    ``findings`` (pairs of kind and detail) where something was noticed.
    """
    path = root / ".stages" / f"{stage}.jsonl"
    with path.open("rb") as stream:
        for line in stream:
            yield json.loads(line)


def run_stages(
    root: Path,
    stages: Collection[str],
    tasks: Tasks,
    *,
    is_path: Callable[[str], bool],
    sources: Sequence[Path] = (),
    remarks: Iterable[tuple[str, Finding]] = (),
    workers: Workers,
    force: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Do what stages have not done yet, and leave it in their journals.

    Parameters
    ----------
    root : Path
        The dataset folder; must exist.
    stages : collection of str
        Names, at most 32; a photo is given to all of them that need it in one call.
    tasks : Tasks
        One a photo, sorted by id.
    is_path : callable
        Tells by its name whether a column holds the path of a file inside ``root``.
    sources : sequence of Path
        Folders that are left out of the paths in failures, so that what is kept doesn't depend on where they are.
    remarks : iterable of (str, Finding)
        What was noticed that belongs to no photo, with a name for it.
    workers : Workers
    force : bool
        Do all again.
    progress : callable, optional
        Shows how far the work is.

    Raises
    ------
    OutputError
        If a file cannot be written, or a worker died.
    """
    outcome = Outcome()
    names = tuple(stages)
    with ExitStack() as stack:
        needs = array("I", [0]) * len(tasks)  # which of the stages each photo needs, a bit a stage
        journals = {name: stack.enter_context(Journal(root, name, len(needs))) for name in names}
        for place, task in enumerate(tasks):
            redo = force or task.problem is not None
            for bit, name in enumerate(names):
                if redo or not journals[name].check(place, task):
                    needs[place] |= 1 << bit
        outcome.kept = needs.count(0)

        def calls() -> Iterator[tuple[Any, ...]]:
            for place, task in enumerate(tasks):
                if need := needs[place]:
                    yield _attempt, place, task, tuple(name for bit, name in enumerate(names) if need >> bit & 1)

        total = len(needs) - outcome.kept
        with closing(run_all(calls() if total else (), total, workers=workers, progress=progress)) as results:
            for place, task, todo, result in results:
                if isinstance(result, Failure):
                    failure = replace(result, reason=_without(result.reason, [*sources, root]))
                    outcome.failures.append(failure)
                    for name in todo:
                        journals[name].failed(place, failure)
                else:
                    for name in todo:
                        journals[name].done(place, task, result[name], is_path)
                    outcome.written += 1
        for name, finding in remarks:
            for journal in journals.values():
                journal.remarked(name, finding)
        for journal in journals.values():
            journal.finish()
    outcome.failures.sort(key=lambda failure: failure.id)
    return outcome
