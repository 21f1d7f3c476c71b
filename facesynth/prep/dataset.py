"""Stages run into a dataset folder: pictures first, then the findings, the manifest and the audit page.

Everything is merged by id, a photo at a time: what a run needs in memory hardly grows with the number of photos.
"""

from __future__ import annotations

import csv
import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from facesynth.errors import InputError
from facesynth.files import locked, make_folder, replacing
from facesynth.labels import CELEBAMASK_HQ, LabelScheme
from facesynth.manifest import is_dataset, is_path_column, iter_rows, read_columns, read_info, write_rows
from facesynth.prep.findings import Finding
from facesynth.prep.journal import Columns, Failure, Tasks, read_journal
from facesynth.prep.pipeline import Outcome, run_stages
from facesynth.prep.report import write_report
from facesynth.prep.workers import Progress, Workers

FINDINGS = "report.csv"
FINDING_COLUMNS = ("stage", "id", "level", "finding", "detail")
"""Columns of ``report.csv``; the level is ``error`` where the photo is left out, else ``warning``."""


@dataclass(frozen=True)
class Stage:
    """What a stage is called and writes.

    Attributes
    ----------
    name : str
    folders : tuple of str
        Folders inside the dataset folder that it writes to.
    columns : tuple of str
        Manifest columns that are its own.
    parameters : mapping
        What is recorded of it in ``dataset.json``.
    """

    name: str
    folders: tuple[str, ...]
    columns: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Prepared(Outcome):
    """What a call did.

    Attributes
    ----------
    root : Path
        The folder that was filled.
    splits : dict of str to int
        Photos of the manifest by split.
    outdated : dict of str to int
        Pictures that were taken out of the manifest, by column, as what they were made of has changed.
    """

    root: Path = Path()
    splits: dict[str, int] = field(default_factory=dict)
    outdated: dict[str, int] = field(default_factory=dict)


def run_into(
    out: Path,
    stages: Sequence[Stage],
    tasks: Tasks,
    *,
    scheme: LabelScheme | None = None,
    sources: Sequence[Path] = (),
    remarks: Iterable[tuple[str, Finding]] = (),
    strict: bool = False,
    workers: Workers,
    force: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Run stages into the dataset folder ``out``, each photo once for all of them, and write its manifest last.

    Parameters
    ----------
    out : Path
        Made if missing.
    stages : sequence of Stage
    tasks : Tasks
        One a photo, sorted by id.
    scheme : LabelScheme, optional
        The scheme of the label maps, where the stages write them.
    sources : sequence of Path
        Folders that pictures come from.
    remarks : iterable of (str, Finding)
        Findings that belong to no photo.
    strict : bool
        A photo with any finding is a failure.
    workers, force, progress
        As in :func:`facesynth.prep.pipeline.run_stages`.

    Raises
    ------
    InputError
        If the folder's label maps are of another scheme.
    OutputError
        If ``out`` cannot be written, or another run is writing it.
    """
    make_folder(out)
    with locked(out):
        before, recorded = read_info(out) if is_dataset(out) else (None, {})
        if scheme and before and before != scheme and "labels" in read_columns(out):
            raise InputError(f"{out} is of scheme {before.name}, not {scheme.name}; give another folder")
        for stage in stages:
            for folder in stage.folders:
                make_folder(out / folder)
        names = [stage.name for stage in stages]
        outcome = run_stages(
            out,
            names,
            tasks,
            is_path=is_path_column,
            sources=sources,
            remarks=remarks,
            workers=workers,
            force=force,
            progress=progress,
        )
        done = Prepared(outcome.written, outcome.kept, outcome.failures, root=out)
        parameters = {stage.name: {**stage.parameters, **({"strict": True} if strict else {})} for stage in stages}
        recorded = {**recorded, **parameters}
        _write_findings(out, recorded)
        _count_findings(out, names, done, strict=strict)
        _write_manifest(out, stages, recorded, scheme or before or CELEBAMASK_HQ, done, strict=strict)
        write_report(out)
    return done


def _is_failure(entry: Mapping[str, Any], *, strict: bool) -> bool:
    return "columns" not in entry or (strict and "findings" in entry)


def _write_findings(out: Path, recorded: Mapping[str, Mapping[str, Any]]) -> None:
    """``report.csv`` anew, from the journals of all stages."""
    with (
        replacing(out / FINDINGS, keep_same=True) as beside,
        beside.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(FINDING_COLUMNS)
        for stage in sorted(path.stem for path in (out / ".stages").glob("*.jsonl")):
            level = "error" if recorded.get(stage, {}).get("strict") else "warning"
            for entry in read_journal(out, stage):
                if "failure" in entry:
                    writer.writerow((stage, entry["id"], "error", *entry["failure"]))
                for finding in entry.get("findings", ()):
                    writer.writerow((stage, entry["id"], level, *finding))


def _count_findings(out: Path, names: Iterable[str], done: Prepared, *, strict: bool) -> None:
    noticed: Counter[str] = Counter()
    failed = {failure.id for failure in done.failures}
    for name in names:
        for entry in read_journal(out, name):
            if findings := entry.get("findings"):
                noticed.update({kind for kind, _ in findings})
                if strict and entry["id"] not in failed:
                    failed.add(entry["id"])
                    done.failures.append(Failure(entry["id"], findings[0][0], "; ".join(text for _, text in findings)))
    done.failures.sort(key=lambda failure: failure.id)
    done.noticed = {} if strict else dict(sorted(noticed.items()))


def _write_manifest(
    out: Path,
    stages: Sequence[Stage],
    recorded: Mapping[str, Mapping[str, Any]],
    scheme: LabelScheme,
    done: Prepared,
    *,
    strict: bool,
) -> None:
    """The manifest with the stages' columns: new rows added, other columns left alone, columns of failures emptied.

    What other stages made of a photo or label map that is now another one is emptied too: no row holds what doesn't belong
    together.
    """
    columns = set(read_columns(out)) if is_dataset(out) else set()
    own = {column for stage in stages for column in stage.columns}
    drawn_from_labels = {
        name.replace("sketches-", "sketch_", 1) for name, values in recorded.items() if values.get("uses_labels")
    }
    empty = {stage.name: dict.fromkeys(stage.columns, "") for stage in stages}
    before_rows = sorted_rows(out) if is_dataset(out) else iter(())
    streams = {"": before_rows, **{stage.name: read_journal(out, stage.name) for stage in stages}}

    def merged() -> Iterator[Columns]:
        for entries in _by_id(streams):
            before: Columns = entries.pop("", {})
            row = dict(before)
            is_known = bool(row)
            for name, entry in entries.items():
                if not _is_failure(entry, strict=strict):
                    is_known = True
                    row.update(entry["columns"])
                elif row:
                    row.update(empty[name])
            for column in _outdated(before, row, own, drawn_from_labels):
                row.update({column: "", f"{column}_sha256": ""})
                done.outdated[column] = done.outdated.get(column, 0) + 1
            if is_known:
                done.splits[row["split"]] = done.splits.get(row["split"], 0) + 1
                yield row

    if not is_dataset(out) and not any(
        not _is_failure(entry, strict=strict) for stage in stages for entry in read_journal(out, stage.name)
    ):
        return
    for stage in stages:
        columns.update(stage.columns)
    write_rows(out, merged(), columns, scheme, recorded)


def _outdated(before: Columns, row: Columns, own: Collection[str], drawn_from_labels: Collection[str]) -> list[str]:
    """The columns of a row whose pictures were made of another photo or label map than the row has now."""
    photo, labels = (name in before and before.get(name) != row.get(name) for name in ("photo_sha256", "labels_sha256"))
    return [
        column
        for column in row
        if row[column]
        and column not in own
        and (photo or (labels and column in drawn_from_labels))
        and column not in ("photo", "labels")
        and is_path_column(column)
    ]


def _by_id(streams: Mapping[str, Iterator[Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
    """What streams sorted by id hold of each id, by the streams' names."""

    def named(name: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        return ((entry["id"], name, entry) for entry in streams[name])

    merged = heapq.merge(*map(named, streams), key=itemgetter(0))
    for _, entries in groupby(merged, key=itemgetter(0)):
        yield {name: entry for _, name, entry in entries}


def sorted_rows(root: Path) -> Iterator[Columns]:
    """The manifest's rows by id, whatever order somebody left them in."""
    last = ""
    for row in iter_rows(root):
        if row["id"] <= last:
            return iter(sorted(iter_rows(root), key=lambda row: row["id"]))
        last = row["id"]
    return iter_rows(root)
