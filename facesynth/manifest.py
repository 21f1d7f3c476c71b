"""The dataset folder: the only interface between preparation and training.

::

    DATA/manifest.csv    one row per photo, sorted by id
    DATA/dataset.json    schema version, label scheme, the stages that ran and their parameters
    DATA/photos/ labels/ sketches/<name>/ photos_<size>/

Columns of the manifest, all text: ``id``, ``split`` (train, val or test), ``celeba_file``, ``width`` and ``height`` of
the photo, ``photo``, ``labels``, one ``sketch_<name>`` per kind of sketch and one ``photo_<size>`` per training size (paths
inside DATA with forward slashes, empty if there is no file), ``classes`` (ids present in the label map, separated by spaces),
``class_pixels`` (the number of pixels of each), ``class_centres`` (the centre of each, as ``x,y`` in pixels), and a
``<column>_sha256`` for every path. A stage adds its columns and leaves the others unchanged. Pictures are written first and
the manifest last, so it never names a missing file.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesynth.errors import DatasetError, InputError, reason_of, shown
from facesynth.files import LONGEST_NAME, leaves_folder, replacing, write_text
from facesynth.labels import CELEBAMASK_HQ, LabelScheme, describe, from_description
from facesynth.values import read_json, read_text

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
"""Version of the format; readers refuse newer ones."""
SPLITS = ("train", "val", "test")
BASE_COLUMNS = ("id", "split", "celeba_file", "width", "height", "photo", "photo_sha256")
"""Columns of every manifest, in order; those of the stages follow."""


@cache
def is_path_column(name: str) -> bool:
    """Whether a manifest column holds paths of pictures."""
    return bool(_PATH_COLUMN.fullmatch(name)) and not name.endswith("_sha256")


_PATH_COLUMN = re.compile(r"photo|photo_[0-9]{1,9}|labels|sketch_.+", re.DOTALL)
_LONGEST_COLUMN = 255
"""The most characters of a column's name."""
_LONGEST_FIELD = 4096
"""The most characters of a field: more than the pixel counts of 255 classes."""


def photo_sizes(columns: Iterable[str]) -> dict[int, str]:
    """The columns of photos of training size, by size in pixels."""
    return {int(name[6:]): name for name in columns if is_path_column(name) and name.startswith("photo_")}


def is_usable_id(identifier: str) -> bool:
    """Whether an id can be used in file names: printable, without slashes or a leading dot."""
    return (
        bool(identifier)
        and not identifier.startswith(".")
        and identifier.isprintable()
        and not {"/", "\\"} & set(identifier)
    )


FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
"""The characters, and their full-width forms, at which spreadsheets take a cell for a formula and run it."""


def is_new_id(identifier: str) -> bool:
    """Whether a picture may get this id: one that is usable, not too long, and no formula.

    Manifests of earlier versions may hold others, which stay as they are.

    Examples
    --------
    >>> is_new_id("anna"), is_new_id("-1"), is_new_id("=1+1")
    (True, False, False)
    """
    if not is_usable_id(identifier) or identifier.startswith(FORMULA):
        return False
    return len(os.fsencode(identifier)) + len(".png") <= LONGEST_NAME


NEEDED_ID = (
    "needed: a printable file name of at most 251 bytes that does not begin with =, +, - or @; rename the picture"
)
"""What is said of a picture whose name is no id."""


@dataclass(frozen=True)
class Dataset:
    """An opened dataset folder.

    Attributes
    ----------
    root : Path
        The folder; paths in ``rows`` are relative to it.
    rows : DataFrame
        The manifest, all columns text, indexed and sorted by id.
    scheme : LabelScheme
        The scheme of the label maps.
    stages : mapping of str to mapping
        Parameters of every stage that ran, by stage.
    """

    root: Path
    rows: pd.DataFrame
    scheme: LabelScheme = CELEBAMASK_HQ
    stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def columns_of(self, kind: str) -> list[str]:
        """The path columns of a kind of condition: ``labels``, or every ``sketch``."""
        return [name for name in self.rows.columns if is_path_column(name) and name.split("_")[0] == kind]

    def with_columns(self, *columns: str, split: str | None = None) -> pd.DataFrame:
        """The rows, optionally of one split, in which none of ``columns`` is empty.

        Raises
        ------
        DatasetError
            If the manifest lacks a column, or there are no such rows.
        """
        for column in columns:
            if column not in self.rows.columns:
                have = ", ".join(name for name in self.rows.columns if is_path_column(name))
                stage = "prep masks" if column == "labels" else "prep sketches"
                raise DatasetError(
                    f"{self.root / MANIFEST} has no column {shown(column)} (it has {have}); make it with `facesynth {stage}`"
                )
        rows = self.rows if split is None else self.rows[self.rows["split"] == split]
        for column in columns:
            rows = rows[rows[column] != ""]
        if rows.empty:
            where = f" in split {shown(split)}" if split else ""
            raise DatasetError(f"{self.root / MANIFEST} has no row with {' and '.join(columns)}{where}")
        return rows


MANIFEST = "manifest.csv"
INFO = "dataset.json"


def is_dataset(root: Path) -> bool:
    """Whether ``root`` contains a manifest."""
    return os.path.isfile(root / MANIFEST)


def read_info(root: Path) -> tuple[LabelScheme, dict[str, Mapping[str, Any]]]:
    """The label scheme of a dataset folder, and the parameters of the stages that ran, by stage.

    Raises
    ------
    DatasetError
        If it is not a dataset folder, or its description is unreadable or of a newer schema.
    """
    info = root / INFO
    if not is_dataset(root) or not os.path.isfile(info):
        if is_dataset(root):
            raise DatasetError(
                f"{root} has a {MANIFEST} but no {INFO}, which defines its label scheme; restore it, or use a new folder"
            )
        raise DatasetError(
            f"{root} is not a dataset folder: {MANIFEST} is missing; make one with `facesynth prep masks`"
        )
    try:
        described = read_json(read_text(info))
        schema, stages = described["schema"], described["stages"]
        if type(schema) is not int:
            raise ValueError(f"its schema is {shown(schema)}; needed: a whole number")
        if not isinstance(stages, dict) or not all(isinstance(values, dict) for values in stages.values()):
            raise ValueError("its stages are not parameters by name")
    except (OSError, ValueError, KeyError, TypeError, InputError) as error:
        raise DatasetError(
            f"{info} cannot be read as a description of a dataset: {_text(error)}; restore it, or use a new folder"
        ) from error
    if schema > SCHEMA:
        raise DatasetError(f"{info} has schema {schema}, this facesynth reads up to {SCHEMA}; upgrade facesynth")
    try:
        return from_description(described["label_scheme"]), stages
    except KeyError as error:
        raise DatasetError(f"{info} cannot be read as a description of a dataset: {shown(error)}") from error
    except InputError as error:
        raise DatasetError(f"{info}: {error}") from error


def _text(error: Exception) -> str:
    return shown(error) if isinstance(error, KeyError | TypeError) else reason_of(error)


def read_columns(root: Path) -> list[str]:
    """The columns of the manifest, in order.

    Raises
    ------
    DatasetError
        If it cannot be read or lacks a base column.
    """
    with _opened(root) as reader:
        return list(reader.fieldnames or ())


def iter_rows(root: Path) -> Iterator[dict[str, str]]:
    """The rows of the manifest in the order of the file, one at a time, each checked.

    Raises
    ------
    DatasetError
        If the manifest is unreadable, lacks a base column or repeats an id, or a row is incomplete or has an invalid split or
        path.
    """
    manifest, last, seen = root / MANIFEST, "", None
    with _opened(root) as reader:
        for row in reader:
            _check_row(manifest, reader, row)
            if seen is None and row["id"] <= last:  # out of order: from here on all ids must be remembered
                seen = set(_ids_before(root, reader.line_num))
            if seen is not None:
                if row["id"] in seen:
                    raise DatasetError(f"{manifest} has the id {shown(row['id'])} more than once; ids must be unique")
                seen.add(row["id"])
            last = row["id"]
            yield row


@contextmanager
def _opened(root: Path) -> Iterator[csv.DictReader[str]]:
    manifest = root / MANIFEST
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            if not reader.fieldnames:
                raise csv.Error("it is empty")
            if max(map(len, reader.fieldnames)) > _LONGEST_COLUMN:
                raise csv.Error(f"it has a column name of more than {_LONGEST_COLUMN} characters")
            missing = [name for name in BASE_COLUMNS if name not in reader.fieldnames]
            if missing:
                raise DatasetError(
                    f"{manifest} lacks the columns {', '.join(missing)}; create it again with `facesynth prep masks`"
                )
            yield reader
    except (OSError, ValueError, csv.Error) as error:
        raise DatasetError(f"{manifest} cannot be read as CSV: {reason_of(error)}") from error


def _ids_before(root: Path, line: int) -> Iterator[str]:
    with _opened(root) as reader:
        for row in reader:
            if reader.line_num >= line:
                return
            yield row["id"]


def _check_row(manifest: Path, reader: csv.DictReader[str], row: Mapping[str | None, Any]) -> None:
    if None in row or None in row.values():
        fields = len(reader.fieldnames or ())
        raise DatasetError(f"{manifest} cannot be read as CSV: line {reader.line_num} does not have {fields} fields")
    if len(max(row.values(), key=len)) > _LONGEST_FIELD:
        raise DatasetError(f"{manifest}, line {reader.line_num} has a field of more than {_LONGEST_FIELD} characters")
    if not is_usable_id(row["id"]):
        raise DatasetError(f"{manifest} has the id {shown(row['id'])}; ids name files and must be usable for that")
    if row["split"] not in SPLITS:
        raise DatasetError(
            f"{manifest} gives {shown(row['id'])} the split {shown(row['split'])}; needed: {', '.join(SPLITS)}"
        )
    for column, path in row.items():
        if not path or not column or not is_path_column(column):
            continue
        if leaves_folder(path):
            raise DatasetError(f"{manifest} names {shown(path)}; paths must be relative, inside the folder, with '/'")


def read_dataset(root: Path) -> Dataset:
    """Open a dataset folder and check its manifest; pictures are not opened.

    Raises
    ------
    DatasetError
        As :func:`read_info` and :func:`iter_rows` do.
    """
    import pandas as pd

    scheme, stages = read_info(root)
    columns = read_columns(root)
    rows = pd.DataFrame(list(iter_rows(root)), columns=columns, dtype=str)
    return Dataset(root, rows.set_index("id", drop=False).sort_index(), scheme, stages)


def write_dataset(dataset: Dataset) -> None:
    """Write ``dataset.json`` and then ``manifest.csv``, each atomically."""
    columns = [str(name) for name in dataset.rows.columns]
    rows = (
        {str(name): str(value) for name, value in row.items()} for row in dataset.rows.sort_index().to_dict("records")
    )
    write_rows(dataset.root, rows, columns, dataset.scheme, dataset.stages)


def write_rows(
    root: Path,
    rows: Iterable[Mapping[str, str]],
    columns: Collection[str],
    scheme: LabelScheme,
    stages: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write ``dataset.json`` and ``manifest.csv`` from an iterator of rows, each atomically.

    Parameters
    ----------
    root : Path
        The dataset folder.
    rows : iterable of mapping of str to str
        Sorted by id; a missing column is empty.
    columns : collection of str
        All columns of the rows.
    scheme : LabelScheme
    stages : mapping of str to mapping
        Parameters of every stage that ran.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    described = {"schema": SCHEMA, "label_scheme": describe(scheme), "stages": dict(stages)}
    write_text(root / INFO, json.dumps(described, indent=2, sort_keys=True) + "\n", sync=True)
    ordered = [*BASE_COLUMNS, *sorted(set(columns) - set(BASE_COLUMNS))]
    with (
        replacing(root / MANIFEST, sync=True, keep_same=True) as beside,
        beside.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.DictWriter(stream, ordered, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def split_by_hash(identifier: str, *, val: float = 0.1, test: float = 0.1) -> str:
    """The split of an id by its hash: it does not change when other photos are added or removed.

    Parameters
    ----------
    identifier : str
        The id.
    val, test : float
        Shares of the validation and test splits, 0 to 1.

    Examples
    --------
    >>> split_by_hash("00042") == split_by_hash("00042")
    True
    """
    share = int.from_bytes(hashlib.sha256(identifier.encode()).digest()[:8], "big") / 2**64
    return "test" if share < test else "val" if share < test + val else "train"
