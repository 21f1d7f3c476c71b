"""Running stages over photos: results that are current are kept, the rest is done, failures are recorded.

A run iterates over the photos twice: once to find what is current, by keys and file sizes, and once to do the rest. For each
photo only its id and the offset of its journal line are kept in memory.
"""

from __future__ import annotations

import errno
import re
import time
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2

from facesynth.errors import InputError, OutputError, reason_of
from facesynth.files import SYNC_INTERVAL, sync_files
from facesynth.prep.pipeline.findings import Finding, Refused
from facesynth.prep.pipeline.journal import Columns, Done, Failure, Journal, Task, Tasks
from facesynth.prep.pipeline.workers import Progress, Workers, call_one_thread, run_all


@dataclass
class Outcome:
    """The result of a run.

    Attributes
    ----------
    written, kept : int
        Photos processed by this run, and photos that were already up to date.
    failures : list of Failure
        Photos that could not be processed, by id.
    noticed : dict of str to int
        Number of photos by kind of warning.
    """

    written: int = 0
    kept: int = 0
    failures: list[Failure] = field(default_factory=list)
    noticed: dict[str, int] = field(default_factory=dict)


def _attempt(
    index: int, task: Task, stages: tuple[str, ...]
) -> tuple[int, Task, tuple[str, ...], Mapping[str, Done | Refused] | Failure]:
    return index, task, stages, _outcome(task, stages)


def _outcome(task: Task, stages: tuple[str, ...]) -> Mapping[str, Done | Refused] | Failure:
    if task.problem:
        return Failure(task.id, task.problem.kind, _line(task.problem))
    try:
        results: Mapping[str, Done | Refused] = call_one_thread(task.work, stages, *task.arguments)
    except InputError as error:
        return Failure(task.id, error.kind if isinstance(error, Refused) else "unreadable", _line(error))
    except (MemoryError, cv2.error) as error:
        return Failure(task.id, "unreadable", f"it cannot be processed: {reason_of(error)}")
    except OutputError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENAMETOOLONG:
            return Failure(task.id, "no-id", f"{_line(error)}; rename the picture")
        raise
    return results


def _without(text: str, folders: Iterable[Path]) -> str:
    for folder in folders:
        text = re.sub(rf"(?<![^\s'\"]){re.escape(str(folder))}/", "", text)
    return text


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def run_stages(
    root: Path,
    stages: Collection[str],
    tasks: Tasks,
    *,
    is_path: Callable[[str], bool],
    agrees: Callable[[str, Columns], bool] = lambda _, __: True,
    sources: Sequence[Path] = (),
    remarks: Iterable[tuple[str, Finding]] = (),
    workers: Workers,
    force: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Do the work of the stages that is missing or out of date, and record it in their journals.

    Parameters
    ----------
    root : Path
        The dataset folder; must exist.
    stages : collection of str
        Names, at most 32. A photo is processed in one call for all stages that need it.
    tasks : Tasks
        One per photo, sorted by id.
    is_path : callable
        Returns, for a column name, whether the column holds the path of a file inside ``root``.
    agrees : callable
        Returns, for an id and its columns, whether the stage's files have not been replaced since; called in order of the ids.
    sources : sequence of Path
        Folders that are removed from the paths in failures, so that journals do not depend on their location.
    remarks : iterable of (str, Finding)
        Findings that belong to no photo, each with a name.
    workers : Workers
    force : bool
        Repeat all work.
    progress : callable, optional
        Shows the progress.

    Raises
    ------
    OutputError
        If a file cannot be written, or a worker died.
    """
    outcome = Outcome()
    names = tuple(stages)
    with ExitStack() as stack:
        needs = array("I", [0]) * len(tasks)  # bit n of a photo is set if it needs stage n
        journals = {name: stack.enter_context(Journal(root, name, len(needs))) for name in names}
        for index, task in enumerate(tasks):
            must_run = force or task.problem is not None
            for bit, name in enumerate(names):
                if must_run or not journals[name].check(index, task, agrees):
                    needs[index] |= 1 << bit
        outcome.kept = needs.count(0)

        def calls() -> Iterator[tuple[Any, ...]]:
            for index, task in enumerate(tasks):
                if need := needs[index]:
                    yield _attempt, index, task, tuple(name for bit, name in enumerate(names) if need >> bit & 1)

        def commit() -> None:
            sync_files(root, set().union(*(journal.waiting() for journal in journals.values())))
            for journal in journals.values():
                journal.commit()

        stack.callback(commit)  # of a run that is stopped, too
        committed = time.monotonic()
        total = len(needs) - outcome.kept
        with closing(run_all(calls() if total else (), total, workers=workers, progress=progress)) as results:
            for index, task, stages_run, result in results:
                failures: list[Failure] = []
                for name in stages_run:
                    stage_result = result if isinstance(result, Failure) else result[name]
                    if isinstance(stage_result, Done):
                        journals[name].done(index, task, stage_result, is_path)
                        continue
                    if isinstance(stage_result, Refused):
                        stage_result = Failure(task.id, stage_result.kind, _line(stage_result))
                    reason = _without(stage_result.reason, [*sources, root])
                    failures.append(replace(stage_result, reason=reason))
                    journals[name].failed(index, failures[-1])
                outcome.failures += dict.fromkeys(failures)
                outcome.written += len(failures) < len(stages_run)
                if time.monotonic() - committed >= SYNC_INTERVAL:
                    commit()
                    committed = time.monotonic()
        commit()
        for name, finding in remarks:
            for journal in journals.values():
                journal.remarked(name, finding)
        for journal in journals.values():
            journal.finish()
    outcome.failures.sort(key=lambda failure: failure.id)
    return outcome
