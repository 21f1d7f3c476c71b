"""Running stages into a dataset folder: pictures first, then the findings, the manifest and the report.

Journals and manifest are merged by id, one photo at a time, so memory hardly grows with the number of photos.
"""

from __future__ import annotations

import csv
import heapq
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

from facesynth.errors import InputError
from facesynth.files import PICTURE_SUFFIXES, inside, locked, make_folder, make_folder_inside, remove, replacing
from facesynth.labels import CELEBAMASK_HQ, LabelScheme
from facesynth.manifest import BASE_COLUMNS, is_dataset, is_path_column, iter_rows, read_columns, read_info, write_rows
from facesynth.prep.pipeline.audit import ORDER_KINDS, audit
from facesynth.prep.pipeline.findings import Finding, cells
from facesynth.prep.pipeline.journal import Columns, Failure, Tasks, read_journal, settle_journals, stage_names
from facesynth.prep.pipeline.report import write_report
from facesynth.prep.pipeline.run import Outcome, run_stages
from facesynth.prep.pipeline.workers import Progress, Workers

FINDINGS = "report.csv"
FINDING_COLUMNS = ("stage", "id", "level", "finding", "detail")
"""Columns of ``report.csv``; the level is ``error`` if the photo is left out, else ``warning``."""


SET = "set"
"""What stands for the stage in findings about the set as a whole."""


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
                make_folder_inside(out, folder)
        names = [stage.name for stage in stages]
        settle_journals(out, but=names)
        outcome = run_stages(
            out,
            names,
            tasks,
            is_path=is_path_column,
            agrees=_Agreement(stages, sorted_rows(out) if previous_scheme else iter(())),
            sources=sources,
            remarks=remarks,
            workers=workers,
            force=force,
            progress=progress,
        )
        done = Prepared(outcome.written, outcome.kept, outcome.failures, root=out)
        parameters = {stage.name: {**stage.parameters, **({"strict": True} if strict else {})} for stage in stages}
        recorded = {**recorded, **parameters}
        keeps_splits = not (has_splits or force)
        _Merge(out, stages, recorded, scheme or previous_scheme or CELEBAMASK_HQ, strict, keeps_splits, done).write()
        write_report(out)
    return done


@dataclass
class _Merge:
    """The journals of all stages, gone over once by id: into the findings, the manifest and the account of the call.

    In the manifest the stages' columns are updated, other columns stay, and columns of failures are emptied. Columns derived
    from a photo or label map that has been replaced are emptied too, so that a row never mixes old and new files. Pictures
    that no row names any more are deleted after the manifest is written.
    """

    out: Path
    stages: Sequence[Stage]
    recorded: Mapping[str, Mapping[str, Any]]
    scheme: LabelScheme
    strict: bool
    keeps_splits: bool
    done: Prepared
    noticed: Counter[str] = field(default_factory=Counter)

    def write(self) -> None:
        """Write findings and manifest, and complete the account."""
        has_rows = is_dataset(self.out)
        columns = set(read_columns(self.out)) if has_rows else set()
        for stage in self.stages:
            columns.update(stage.columns)
        unnamed: list[str] = []
        with ExitStack() as stack:
            findings = {stage: stack.enter_context(_Spool()) for stage in stage_names(self.out)}
            rows = self._rows(findings, unnamed, has_rows=has_rows)
            first = next(rows, None)
            if first is not None or has_rows:
                kept = iter(()) if first is None else chain((first,), rows)
                write_rows(self.out, kept, columns, self.scheme, self.recorded)
            self._finish(findings)
        for name in unnamed:
            if name.lower().endswith(PICTURE_SUFFIXES):
                remove(inside(self.out, name))

    def _finish(self, findings: Mapping[str, _Spool]) -> None:
        """Judge the set, write the findings, and count them."""
        remarks = audit(iter_rows(self.out), self.scheme) if is_dataset(self.out) else []
        if any("labels" in stage.columns for stage in self.stages):
            self.noticed.update(finding.kind for _, finding in remarks)
        self.done.noticed = dict(sorted(self.noticed.items()))
        of_set = ((SET, name, "warning", finding.kind, finding.detail) for name, finding in remarks)
        _write_findings(self.out, findings, of_set)

    def _rows(self, findings: Mapping[str, _Spool], unnamed: list[str], *, has_rows: bool) -> Iterator[Columns]:
        """The manifest's rows. After the last one the stages' findings are complete."""
        own = {column for stage in self.stages for column in stage.columns}
        written = {stage.name: {*BASE_COLUMNS, *stage.columns} for stage in self.stages}
        empty = {stage.name: dict.fromkeys(stage.columns, "") for stage in self.stages}
        failed = {failure.id for failure in self.done.failures}
        streams = {
            "": sorted_rows(self.out) if has_rows else iter(()),
            **{stage.name: read_journal(self.out, stage.name) for stage in self.stages},
            **{name: read_journal(self.out, name) for name in findings if name not in empty},
        }
        for entries in _by_id(streams):
            before: Columns = entries.pop("", {})
            row, named = dict(before), _pictures(before)
            is_known = bool(row)
            from_labels: set[str] = set()
            for name, entry in entries.items():
                findings[name].add(self._findings_of(name, entry))
                if self.recorded.get(name, {}).get("uses_labels"):
                    from_labels |= entry.get("columns", {}).keys()
                if name not in empty:
                    continue
                if noted := entry.get("findings"):
                    if not self.strict:
                        self.noticed.update({kind for _, _, _, kind, _ in self._findings_of(name, entry)})
                    elif entry["id"] not in failed:
                        failed.add(entry["id"])
                        reason = "; ".join(text for _, text in noted)
                        self.done.failures.append(Failure(entry["id"], noted[0][0], reason))
                columns = {
                    column: value for column, value in entry.get("columns", {}).items() if column in written[name]
                }
                named |= _pictures(columns)
                if columns and not (self.strict and "findings" in entry):
                    is_known = True
                    row.update(columns)
                elif row:
                    row.update(empty[name])
            if before and self.keeps_splits and (before["celeba_file"] or not row["celeba_file"]):
                row["split"], row["celeba_file"] = before["split"], row["celeba_file"] or before["celeba_file"]
            for column in _outdated(before, row, own, from_labels):
                row.update(dict.fromkeys((column, f"{column}_sha256"), ""))
                if column == "labels":
                    row.update(dict.fromkeys(("classes", "class_pixels", "class_centres"), ""))
                self.done.outdated[column] = self.done.outdated.get(column, 0) + 1
            unnamed += named - (_pictures(row) if is_known else set())
            if is_known:
                self.done.splits[row["split"]] = self.done.splits.get(row["split"], 0) + 1
                yield row
        self.done.failures.sort(key=lambda failure: failure.id)

    def _findings_of(self, stage: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
        """Rows of ``report.csv``."""
        level = "error" if self.recorded.get(stage, {}).get("strict") else "warning"
        if "failure" in entry:
            yield (stage, entry["id"], "error", *entry["failure"])
        has_parts = bool(entry.get("columns", {}).get("class_centres"))
        for kind, detail in entry.get("findings", ()):
            if level == "error" or not (has_parts and kind in ORDER_KINDS):  # those are judged over the set
                yield (stage, entry["id"], level, kind, detail)


class _Spool:
    """Rows of CSV that are written out later; many of them lie in a temporary file meanwhile."""

    _IN_MEMORY = 1 << 20

    def __init__(self) -> None:
        self.stream = SpooledTemporaryFile(  # noqa: SIM115 - closed by __exit__
            self._IN_MEMORY, "w+", encoding="utf-8", errors="backslashreplace", newline=""
        )
        self._writer = csv.writer(self.stream, lineterminator="\n")

    def add(self, rows: Iterable[Sequence[str]]) -> None:
        self._writer.writerows(map(cells, rows))

    def __enter__(self) -> _Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()


def _write_findings(out: Path, findings: Mapping[str, _Spool], of_set: Iterable[Sequence[str]]) -> None:
    """``report.csv`` anew, stage by stage, with those of the set last."""
    with (
        replacing(out / FINDINGS, keep_same=True) as beside,
        beside.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(FINDING_COLUMNS)
        for spool in findings.values():
            spool.stream.seek(0)
            shutil.copyfileobj(spool.stream, stream)
        writer.writerows(map(cells, of_set))


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
    """Whether a stage's entries are complete and their digests match those of the manifest; to be called in order of the ids.

    If they differ, another stage has replaced the file since.
    """

    def __init__(self, stages: Sequence[Stage], rows: Iterator[Columns]) -> None:
        self._needed = [{*BASE_COLUMNS, *stage.columns} for stage in stages]
        self._rows = rows
        self._row: Columns | None = next(rows, None)

    def __call__(self, identifier: str, columns: Columns) -> bool:
        if not any(needed <= columns.keys() for needed in self._needed):
            return False
        while self._row is not None and self._row["id"] < identifier:
            self._row = next(self._rows, None)
        row = self._row
        if row is None or row["id"] != identifier:
            return True
        return all(row.get(name, "") in ("", value) for name, value in columns.items() if name.endswith("_sha256"))


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
