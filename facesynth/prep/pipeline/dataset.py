"""Running stages into a dataset folder: pictures first, then the findings, the manifest and the report.

Journals and manifest are merged by id, one photo at a time, so memory hardly grows with the number of photos.
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
from facesynth.prep.pipeline.findings import Finding
from facesynth.prep.pipeline.journal import Columns, Failure, Tasks, read_journal, settle_journals
from facesynth.prep.pipeline.report import write_report
from facesynth.prep.pipeline.run import Outcome, run_stages
from facesynth.prep.pipeline.workers import Progress, Workers

FINDINGS = "report.csv"
FINDING_COLUMNS = ("stage", "id", "level", "finding", "detail")
"""Columns of ``report.csv``; the level is ``error`` if the photo is left out, else ``warning``."""


@dataclass(frozen=True)
class Stage:
    """The name and the outputs of a stage.

    Attributes
    ----------
    name : str
    folders : tuple of str
        Folders inside the dataset folder that it writes to.
    columns : tuple of str
        Manifest columns that it owns.
    parameters : mapping
        Parameters that are recorded in ``dataset.json``.
    """

    name: str
    folders: tuple[str, ...]
    columns: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Prepared(Outcome):
    """The result of a preparation call.

    Attributes
    ----------
    written, kept : int
        Photos processed by this call, and photos that were already up to date.
    failures : list of Failure
        Photos that could not be processed, by id.
    noticed : dict of str to int
        Number of photos by kind of warning.
    root : Path
        The folder that was written.
    splits : dict of str to int
        Photos in the manifest by split.
    outdated : dict of str to int
        Pictures that were removed from the manifest, by column, because their source has changed.
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
    has_splits: bool = False,
    strict: bool = False,
    workers: Workers,
    force: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Run stages into the dataset folder ``out``; each photo is read once for all of them, and the manifest is written last.

    Parameters
    ----------
    out : Path
        Created if missing.
    stages : sequence of Stage
    tasks : Tasks
        One per photo, sorted by id.
    scheme : LabelScheme, optional
        The scheme of the label maps, if the stages write any.
    sources : sequence of Path
        Folders that pictures are read from.
    remarks : iterable of (str, Finding)
        Findings that belong to no photo.
    has_splits : bool
        The splits of the tasks were requested explicitly. Otherwise a photo keeps its split, unless a CelebA file becomes known
        that gives it the official one.
    strict : bool
        A photo with any finding is a failure.
    workers, force, progress
        As for :func:`facesynth.prep.pipeline.run.run_stages`.

    Returns
    -------
    Prepared

    Raises
    ------
    InputError
        If the folder's label maps have another scheme.
    OutputError
        If ``out`` cannot be written, or another run is writing it.
    """
    make_folder(out)
    with locked(out):
        previous_scheme, recorded = read_info(out) if is_dataset(out) else (None, {})
        if scheme and previous_scheme and previous_scheme != scheme and "labels" in read_columns(out):
            raise InputError(f"{out} is of scheme {previous_scheme.name}, not {scheme.name}; give another folder")
        for stage in stages:
            for folder in stage.folders:
                make_folder(out / folder)
        names = [stage.name for stage in stages]
        settle_journals(out)
        outcome = run_stages(
            out,
            names,
            tasks,
            is_path=is_path_column,
            agrees=_Agreement(sorted_rows(out)) if previous_scheme else _always,
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
        keeps_splits = not (has_splits or force)
        manifest = _Manifest(out, stages, recorded, scheme or previous_scheme or CELEBAMASK_HQ, strict, keeps_splits)
        manifest.write(done)
        write_report(out)
    return done


def _is_failure(entry: Mapping[str, Any], *, strict: bool) -> bool:
    return "columns" not in entry or (strict and "findings" in entry)


def _write_findings(out: Path, recorded: Mapping[str, Mapping[str, Any]]) -> None:
    """Rewrite ``report.csv`` from the journals of all stages."""
    with (
        replacing(out / FINDINGS, keep_same=True) as beside,
        beside.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(FINDING_COLUMNS)
        for stage in settle_journals(out):
            level = "error" if recorded.get(stage, {}).get("strict") else "warning"
            for entry in read_journal(out, stage):
                if "failure" in entry:
                    writer.writerow((stage, entry["id"], "error", *entry["failure"]))
                for finding in entry.get("findings", ()):
                    writer.writerow((stage, entry["id"], level, *finding))


def _count_findings(out: Path, names: Iterable[str], done: Prepared, *, strict: bool) -> None:
    warnings: Counter[str] = Counter()
    failed = {failure.id for failure in done.failures}
    for name in names:
        for entry in read_journal(out, name):
            if findings := entry.get("findings"):
                warnings.update({kind for kind, _ in findings})
                if strict and entry["id"] not in failed:
                    failed.add(entry["id"])
                    done.failures.append(Failure(entry["id"], findings[0][0], "; ".join(text for _, text in findings)))
    done.failures.sort(key=lambda failure: failure.id)
    done.noticed = {} if strict else dict(sorted(warnings.items()))


@dataclass
class _Manifest:
    """The manifest after a run: the stages' columns are updated, other columns stay, columns of failures are emptied.

    Columns derived from a photo or label map that has been replaced are emptied too, so that a row never mixes old and new
    files. Pictures that no row names any more are deleted after the manifest is written.
    """

    out: Path
    stages: Sequence[Stage]
    recorded: Mapping[str, Mapping[str, Any]]
    scheme: LabelScheme
    strict: bool
    keeps_splits: bool

    def write(self, done: Prepared) -> None:
        """Write the manifest, and count what it holds."""
        has_rows = is_dataset(self.out)
        if not has_rows and not any(
            not _is_failure(entry, strict=self.strict)
            for stage in self.stages
            for entry in read_journal(self.out, stage.name)
        ):
            return
        columns = set(read_columns(self.out)) if has_rows else set()
        for stage in self.stages:
            columns.update(stage.columns)
        unused: list[str] = []
        write_rows(self.out, self._rows(done, unused), columns, self.scheme, self.recorded)
        for name in unused:
            (self.out / name).unlink(missing_ok=True)

    def _rows(self, done: Prepared, unused: list[str]) -> Iterator[Columns]:
        own = {column for stage in self.stages for column in stage.columns}
        from_labels = {
            name.replace("sketches-", "sketch_", 1)
            for name, values in self.recorded.items()
            if values.get("uses_labels")
        }
        empty = {stage.name: dict.fromkeys(stage.columns, "") for stage in self.stages}
        streams = {
            "": sorted_rows(self.out) if is_dataset(self.out) else iter(()),
            **{stage.name: read_journal(self.out, stage.name) for stage in self.stages},
        }
        for entries in _by_id(streams):
            before: Columns = entries.pop("", {})
            row, named = dict(before), _pictures(before)
            is_known = bool(row)
            for name, entry in entries.items():
                named |= _pictures(entry.get("columns", {}))
                if not _is_failure(entry, strict=self.strict):
                    is_known = True
                    row.update(entry["columns"])
                elif row:
                    row.update(empty[name])
            if before and self.keeps_splits and (before["celeba_file"] or not row["celeba_file"]):
                row["split"], row["celeba_file"] = before["split"], row["celeba_file"] or before["celeba_file"]
            for column in _outdated(before, row, own, from_labels):
                row.update(dict.fromkeys((column, f"{column}_sha256"), ""))
                if column == "labels":
                    row.update(dict.fromkeys(("classes", "class_pixels"), ""))
                done.outdated[column] = done.outdated.get(column, 0) + 1
            unused += named - (_pictures(row) if is_known else set())
            if is_known:
                done.splits[row["split"]] = done.splits.get(row["split"], 0) + 1
                yield row


def _pictures(columns: Columns) -> set[str]:
    """The pictures that a row names."""
    return {name for column, name in columns.items() if name and is_path_column(column)}


def _outdated(before: Columns, row: Columns, own: Collection[str], from_labels: Collection[str]) -> list[str]:
    """The columns of a row whose pictures were derived from a photo or label map that has been replaced."""
    photo, labels = (name in before and before.get(name) != row.get(name) for name in ("photo_sha256", "labels_sha256"))
    return [
        column
        for column in row
        if row[column]
        and column not in own
        and (photo or (labels and column in from_labels))
        and column != "photo"
        and is_path_column(column)
    ]


class _Agreement:
    """Whether the digests in a stage's entries match those of the manifest; to be called in order of the ids.

    If they differ, another stage has replaced the file since.
    """

    def __init__(self, rows: Iterator[Columns]) -> None:
        self._rows = rows
        self._row: Columns | None = next(rows, None)

    def __call__(self, identifier: str, columns: Columns) -> bool:
        while self._row is not None and self._row["id"] < identifier:
            self._row = next(self._rows, None)
        row = self._row
        if row is None or row["id"] != identifier:
            return True
        return all(row.get(name, "") in ("", value) for name, value in columns.items() if name.endswith("_sha256"))


def _always(_id: str, _columns: Columns) -> bool:
    return True


def _by_id(streams: Mapping[str, Iterator[Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Merge streams that are sorted by id: for each id, the entries by stream name."""

    def named(name: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        return ((entry["id"], name, entry) for entry in streams[name])

    merged = heapq.merge(*map(named, streams), key=itemgetter(0))
    for _, entries in groupby(merged, key=itemgetter(0)):
        yield {name: entry for _, name, entry in entries}


def sorted_rows(root: Path) -> Iterator[Columns]:
    """The rows of the manifest sorted by id, whatever their order in the file."""
    last = ""
    for row in iter_rows(root):
        if row["id"] <= last:
            return iter(sorted(iter_rows(root), key=lambda row: row["id"]))
        last = row["id"]
    return iter_rows(root)
