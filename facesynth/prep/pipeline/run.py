"""Stages over photos: what was done before is found in journals, what is missing is done, failures are kept.

A run goes over the photos twice: once to see what is current, by keys and file sizes, and once to do the rest. Neither
holds more of a photo in memory than its id and where its journal line is, so a run over 30 000 photos needs little more
than one over 3 000.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from facesynth.errors import InputError
from facesynth.prep.pipeline.findings import Finding, Refused
from facesynth.prep.pipeline.journal import Columns, Done, Failure, Journal, Task, Tasks
from facesynth.prep.pipeline.workers import Progress, Workers, call_one_thread, run_all


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


def _attempt(
    place: int, task: Task, todo: tuple[str, ...]
) -> tuple[int, Task, tuple[str, ...], Mapping[str, Done | Refused] | Failure]:
    return place, task, todo, _outcome(task, todo)


def _outcome(task: Task, todo: tuple[str, ...]) -> Mapping[str, Done | Refused] | Failure:
    if task.problem:
        return Failure(task.id, task.problem.kind, _line(task.problem))
    try:
        made: Mapping[str, Done | Refused] = call_one_thread(task.work, todo, *task.arguments)
    except InputError as error:
        return Failure(task.id, error.kind if isinstance(error, Refused) else "unreadable", _line(error))
    return made


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
    agrees : callable
        Tells by id and columns, in order of the ids, whether what a stage wrote has not been replaced by others.
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
                if redo or not journals[name].check(place, task, agrees):
                    needs[place] |= 1 << bit
        outcome.kept = needs.count(0)

        def calls() -> Iterator[tuple[Any, ...]]:
            for place, task in enumerate(tasks):
                if need := needs[place]:
                    yield _attempt, place, task, tuple(name for bit, name in enumerate(names) if need >> bit & 1)

        total = len(needs) - outcome.kept
        with closing(run_all(calls() if total else (), total, workers=workers, progress=progress)) as results:
            for place, task, todo, result in results:
                failures: list[Failure] = []
                for name in todo:
                    made = result if isinstance(result, Failure) else result[name]
                    if isinstance(made, Done):
                        journals[name].done(place, task, made, is_path)
                        continue
                    if isinstance(made, Refused):
                        made = Failure(task.id, made.kind, _line(made))
                    failures.append(replace(made, reason=_without(made.reason, [*sources, root])))
                    journals[name].failed(place, failures[-1])
                outcome.failures += dict.fromkeys(failures)
                outcome.written += len(failures) < len(todo)
        for name, finding in remarks:
            for journal in journals.values():
                journal.remarked(name, finding)
        for journal in journals.values():
            journal.finish()
    outcome.failures.sort(key=lambda failure: failure.id)
    return outcome
