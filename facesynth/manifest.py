"""The dataset folder: the only hand-over between preparing and training.

::

    DATA/manifest.csv    one row a photo, joined by id and sorted by it
    DATA/dataset.json    schema version, label scheme, the stages that ran and their parameters
    DATA/photos/ labels/ sketches/<method>/

Columns of the manifest, all text: ``id``, ``split`` (train, val or test), ``celeba_file``, ``width`` and ``height`` of
the photo, ``photo``, ``labels`` and one ``sketch_<method>`` a method (paths inside DATA with forward slashes, empty where
there is none), ``classes`` (ids present in the label map, separated by spaces), and a ``<column>_sha256`` beside every path.
A stage adds its columns and leaves the others alone. Pictures are written first and the manifest last, so it never names
what isn't there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from facesynth.errors import DatasetError, InputError
from facesynth.files import write_text
from facesynth.labels import CELEBAMASK_HQ, LabelScheme, get_scheme

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
"""Version of the contract; a reader refuses a newer one."""
SPLITS = ("train", "val", "test")
BASE_COLUMNS = ("id", "split", "celeba_file", "width", "height", "photo", "photo_sha256")
"""Columns that every manifest has, in order; a stage's own columns follow."""


def is_path_column(name: str) -> bool:
    """Whether a manifest column holds paths of pictures."""
    return name in ("photo", "labels") or (name.startswith("sketch_") and not name.endswith("_sha256"))


@dataclass(frozen=True)
class Dataset:
    """An opened dataset folder.

    Attributes
    ----------
    root : Path
        The folder; paths in ``rows`` are relative to it.
    rows : DataFrame
        The manifest, all columns text, indexed by id and sorted by it.
    scheme : LabelScheme
        What the ids in the label maps mean.
    stages : mapping of str to mapping
        Parameters of every stage that ran, by stage.
    """

    root: Path
    rows: pd.DataFrame
    scheme: LabelScheme = CELEBAMASK_HQ
    stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def columns_of(self, kind: str) -> list[str]:
        """The path columns of a kind of condition: ``labels``, or all of ``sketch``."""
        return [name for name in self.rows.columns if is_path_column(name) and name.split("_")[0] == kind]

    def with_columns(self, *columns: str, split: str | None = None) -> pd.DataFrame:
        """The rows, of one split if given, in which none of ``columns`` is empty.

        Raises
        ------
        DatasetError
            If the manifest lacks a column or the rows are none.
        """
        for column in columns:
            if column not in self.rows.columns:
                have = ", ".join(name for name in self.rows.columns if is_path_column(name))
                stage = "prep masks" if column == "labels" else "prep sketches"
                raise DatasetError(
                    f"{self.root / MANIFEST} has no column {column!r} (it has {have}); make it with `facesynth {stage}`"
                )
        rows = self.rows if split is None else self.rows[self.rows["split"] == split]
        for column in columns:
            rows = rows[rows[column] != ""]
        if rows.empty:
            where = f" in split {split!r}" if split else ""
            raise DatasetError(f"{self.root / MANIFEST} has no row with {' and '.join(columns)}{where}")
        return rows


MANIFEST = "manifest.csv"
INFO = "dataset.json"


def is_dataset(root: Path) -> bool:
    """Whether ``root`` holds a manifest."""
    return os.path.isfile(root / MANIFEST)


def read_dataset(root: Path) -> Dataset:
    """Open a dataset folder and check its contract; pictures are not opened.

    Raises
    ------
    DatasetError
        If the manifest is missing or unreadable, is of a newer schema, lacks a base column, repeats an id, or names a
        split or a path that it may not.
    """
    import pandas as pd

    manifest, info = root / MANIFEST, root / INFO
    if not is_dataset(root) or not os.path.isfile(info):
        missing = info if is_dataset(root) else manifest
        raise DatasetError(
            f"{root} is not a dataset folder: {missing.name} is missing; make one with `facesynth prep masks`"
        )
    try:
        described = json.loads(info.read_text("utf-8"))
        schema = int(described["schema"])
        scheme, stages = get_scheme(str(described["label_scheme"])), dict(described["stages"])
    except InputError as error:
        raise DatasetError(f"{info}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{info} cannot be read as a description of a dataset: {error!r}") from error
    if schema > SCHEMA:
        raise DatasetError(f"{info} has schema {schema}, this facesynth reads up to {SCHEMA}; upgrade facesynth")
    try:
        rows = pd.read_csv(manifest, dtype=str, keep_default_na=False, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DatasetError(f"{manifest} cannot be read as CSV: {' '.join(str(error).split())}") from error
    _check_rows(manifest, rows)
    return Dataset(root, rows.set_index("id", drop=False).sort_index(), scheme, stages)


def _check_rows(manifest: Path, rows: pd.DataFrame) -> None:
    lacking = [name for name in BASE_COLUMNS if name not in rows.columns]
    if lacking:
        raise DatasetError(
            f"{manifest} lacks the columns {', '.join(lacking)}; make it anew with `facesynth prep masks`"
        )
    repeated = rows["id"][rows["id"].duplicated()]
    if not repeated.empty:
        raise DatasetError(f"{manifest} has the id {repeated.iloc[0]!r} more than once; ids must be unique")
    for identifier in rows["id"]:
        if (
            not identifier
            or identifier.startswith(".")
            or not identifier.isprintable()
            or {"/", "\\"} & set(identifier)
        ):
            raise DatasetError(f"{manifest} has the id {identifier!r}; ids name files and must be usable for that")
    wrong = rows[~rows["split"].isin(SPLITS)]
    if not wrong.empty:
        row = wrong.iloc[0]
        raise DatasetError(f"{manifest} gives {row['id']!r} the split {row['split']!r}; needed: {', '.join(SPLITS)}")
    for column in filter(is_path_column, rows.columns):
        for path in rows[column]:
            parts = PurePosixPath(path).parts
            if path.startswith("/") or "\\" in path or ".." in parts:
                raise DatasetError(f"{manifest} names {path!r}; paths must be relative, inside the folder, with '/'")


def write_dataset(dataset: Dataset) -> None:
    """Write ``dataset.json`` and then ``manifest.csv``, each whole or not at all."""
    described = {"schema": SCHEMA, "label_scheme": dataset.scheme.name, "stages": dict(dataset.stages)}
    write_text(dataset.root / INFO, json.dumps(described, indent=2, sort_keys=True) + "\n", sync=True)
    others = sorted(set(dataset.rows.columns) - set(BASE_COLUMNS))
    rows = dataset.rows.sort_index()[[*BASE_COLUMNS, *others]]
    write_text(dataset.root / MANIFEST, rows.to_csv(index=False, lineterminator="\n"), sync=True)


def split_by_hash(identifier: str, *, val: float = 0.1, test: float = 0.1) -> str:
    """The split of an id where nothing else says it: stable when other photos come or go.

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
