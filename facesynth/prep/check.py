"""The check of a dataset folder: every file that the manifest names is there, whole, and what the manifest says of it.

Rows are taken from the manifest one at a time and their files read in workers; what comes back are problems.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facesynth import images
from facesynth.errors import PictureError
from facesynth.files import sha256
from facesynth.labels import LabelScheme
from facesynth.manifest import is_path_column, iter_rows, photo_sizes, read_info
from facesynth.prep.pipeline.source_file import source_file
from facesynth.prep.pipeline.workers import Progress, Workers, run_all

Row = Mapping[str, str]


class Problem(NamedTuple):
    """Something in a dataset folder that is not as the manifest says.

    Attributes
    ----------
    id : str
        The photo; empty for a file that no row names.
    column : str
        The manifest's column that is not true of the folder; empty for a file that no row names.
    detail : str
        What was found and what was expected; one line.
    """

    id: str
    column: str
    detail: str


@dataclass
class Checked:
    """What a check looked at and found.

    Attributes
    ----------
    root : Path
        The dataset folder.
    rows, files : int
        Rows of the manifest, and files that they name.
    problems : list of Problem
        In order of id, those of files that no row names last; empty if all is well.
    """

    root: Path
    rows: int = 0
    files: int = 0
    problems: list[Problem] = field(default_factory=list)


def check_dataset(root: Path, *, workers: Workers | None = None, progress: Progress | None = None) -> Checked:
    """Read every file of a dataset folder again and compare it with the manifest; nothing is changed.

    Every file that the manifest names must be there, decode to its last pixel and have the digest given for it; photos
    must be of the width and height given, photos of training size of theirs, and label maps must hold ids of the
    dataset's scheme alone, the classes given and as many pixels of each. Pictures that no row names, and half-written
    files that a killed run left, are problems too.

    Parameters
    ----------
    root : Path
        The dataset folder.
    workers : Workers, optional
        Where files are read; by default in as many processes as there are cores.
    progress : callable, optional
        Shows how far the work is.

    Raises
    ------
    DatasetError
        If ``root`` is no dataset folder, or its manifest breaks the contract of :mod:`facesynth.manifest`.
    """
    scheme, _ = read_info(root)
    checked, named = Checked(root), set()
    for row in iter_rows(root):
        checked.rows += 1
        for _, name in _files(row):
            checked.files += 1
            named.add(posixpath.normpath(name))
    calls = ((check_row, root, scheme, row) for row in iter_rows(root))
    with closing(run_all(calls, checked.rows, workers=workers or Workers(), progress=progress)) as results:
        for problems in results:
            checked.problems += problems
    checked.problems.sort()
    checked.problems += (Problem("", "", detail) for detail in _unnamed(root, named))
    return checked


def check_row(root: Path, scheme: LabelScheme, row: Row) -> list[Problem]:
    """The problems of one photo's files, one a file.

    Parameters
    ----------
    root : Path
        The dataset folder.
    scheme : LabelScheme
        Of its label maps.
    row : mapping of str to str
        The photo's row of the manifest.
    """
    problems = []
    for column, name in _files(row):
        try:
            problem = _check_file(root, scheme, row, column, name)
        except FileNotFoundError:
            problem = column, f"{name} is missing"
        except (OSError, ValueError) as error:  # a ValueError is a name that no file can have
            problem = column, f"{name} cannot be read: {getattr(error, 'strerror', None) or error}"
        except PictureError as error:
            problem = column, " ".join(str(error).split())
        if problem:
            problems.append(Problem(row["id"], *problem))
    return problems


def _files(row: Row) -> Iterator[tuple[str, str]]:
    """The path columns of a row that are not empty, and their paths."""
    return ((column, name) for column, name in row.items() if name and is_path_column(column))


def _check_file(root: Path, scheme: LabelScheme, row: Row, column: str, name: str) -> tuple[str, str] | None:
    """The column that is wrong about a file, and how; None where none is."""
    if problem := source_file(root / name).problem:
        if not os.path.lexists(root / name):
            raise FileNotFoundError
        return column, str(problem).replace(f"{root}/", "")
    data = (root / name).read_bytes()
    kind = column.split("_")[0]
    told = _CHECKS[kind](data, Path(name), scheme, row, column)
    given, digest = row.get(f"{column}_sha256", ""), sha256(data)
    if digest != given:
        detail = f"{name} has the SHA-256 {digest[:12]}…, the manifest gives {given[:12] + '…' if given else 'none'}"
        return f"{column}_sha256", detail
    return told


def _check_photo(data: bytes, path: Path, _: LabelScheme, row: Row, column: str) -> tuple[str, str] | None:
    width, height = images.photo_size(data, path)
    given = row["width"], row["height"]
    if column == "photo":
        if (str(width), str(height)) != given:
            return "width", f"{path} is {width} x {height}, the manifest gives {given[0]} x {given[1]}"
        return None
    (size,) = photo_sizes([column])
    if not all(side.isdecimal() for side in given):
        return "width", f"the manifest gives {path} the size {given[0]} x {given[1]}; needed: whole numbers"
    longer = max(*map(int, given), size)
    expected = tuple(max(1, round(int(side) * size / longer)) for side in given)
    if (width, height) != expected:
        return column, f"{path} is {width} x {height}; needed: {expected[0]} x {expected[1]}"
    return None


def _check_labels(data: bytes, path: Path, scheme: LabelScheme, row: Row, _: str) -> tuple[str, str] | None:
    labels = images.decode_labels(data, path, scheme)
    counts = np.bincount(labels.ravel(), minlength=len(scheme))
    present = np.flatnonzero(counts)
    found = {"classes": present, "class_pixels": counts[present]}
    for column, numbers in found.items():
        text = " ".join(map(str, numbers))
        if column in row and row[column] != text:
            return column, f"{path} comes to {text!r}, the manifest gives {row[column]!r}"
    return None


def _check_sketch(data: bytes, path: Path, _: LabelScheme, __: Row, ___: str) -> None:
    images.to_sketch(images.decode(data, path), path)


_CHECKS: Mapping[str, Callable[[bytes, Path, LabelScheme, Row, str], tuple[str, str] | None]] = {
    "photo": _check_photo,
    "labels": _check_labels,
    "sketch": _check_sketch,
}


def _unnamed(root: Path, named: set[str]) -> Iterator[str]:
    """What is wrong with files that no row names, sorted by path; a folder's hidden files are its owner's business."""
    for folder, inner, names in os.walk(root):
        inner.sort()
        top = Path(folder).relative_to(root).parts[:1]
        holds_pictures = bool(top) and (top[0] in ("photos", "labels", "sketches") or top[0].startswith("photos_"))
        for file in sorted(names):
            name = Path(folder, file).relative_to(root).as_posix()
            if file.startswith(".") and file.endswith(".part"):
                yield f"{name} was left half-written; the next `facesynth prep` into the folder takes it away"
            elif holds_pictures and not file.startswith(".") and name not in named:
                yield f"{name} is not in the manifest"
