"""Checking a dataset folder: every file that the manifest names exists, is intact, and matches the manifest.

Rows are read from the manifest one at a time; workers read their files and return the problems.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from facesynth import images
from facesynth.errors import InputError, shortened, shown
from facesynth.files import inside, sha256
from facesynth.labels import LabelScheme
from facesynth.manifest import is_path_column, iter_rows, photo_sizes, read_info
from facesynth.prep.pipeline.audit import Remark, audit, class_columns
from facesynth.prep.pipeline.source_file import source_file
from facesynth.prep.pipeline.workers import Progress, Workers, run_all

Row = Mapping[str, str]


class Problem(NamedTuple):
    """A mismatch between a dataset folder and its manifest.

    Attributes
    ----------
    id : str
        The photo; empty for a file that no row names.
    column : str
        The manifest column that does not match; empty for a file that no row names.
    detail : str
        One line: what was found and what was expected.
    """

    id: str
    column: str
    detail: str


@dataclass
class Checked:
    """The result of a check.

    Attributes
    ----------
    root : Path
        The dataset folder.
    rows, files : int
        Rows of the manifest, and files that they name.
    problems : list of Problem
        Sorted by id, with files that no row names last; empty if there are none.
    remarks : list of (str, Finding)
        What is odd about the set, though it matches its manifest (see :func:`facesynth.prep.pipeline.audit.audit`).
    """

    root: Path
    rows: int = 0
    files: int = 0
    problems: list[Problem] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)


def check_dataset(root: Path, *, workers: Workers | None = None, progress: Progress | None = None) -> Checked:
    """Read every file of a dataset folder and compare it with the manifest; nothing is changed.

    Every file that the manifest names must exist, decode to its last pixel and have the recorded SHA-256. Photos and photos of
    training size must have the recorded sizes. Label maps must hold only ids of the dataset's scheme, with the recorded classes
    and their pixel counts and centres. Pictures that no row names, and half-written files of a killed run, are problems too.

    Parameters
    ----------
    root : Path
        The dataset folder.
    workers : Workers, optional
        How files are read in parallel; by default in one process per core.
    progress : callable, optional
        Shows the progress.

    Returns
    -------
    Checked

    Raises
    ------
    DatasetError
        If ``root`` is not a dataset folder, or its manifest is not as :mod:`facesynth.manifest` describes.
    """
    scheme, _ = read_info(root)
    checked, named = Checked(root), set()
    for row in iter_rows(root):
        checked.rows += 1
        for _, name in _files(row):
            checked.files += 1
            named.add(posixpath.normpath(name))
    checked.remarks = audit(iter_rows(root), scheme)
    calls = ((check_row, root, scheme, row) for row in iter_rows(root))
    with closing(run_all(calls, checked.rows, workers=workers or Workers(), progress=progress)) as results:
        for problems in results:
            checked.problems += problems
    checked.problems.sort()
    checked.problems += (Problem("", "", detail) for detail in _unnamed(root, named))
    return checked


def check_row(root: Path, scheme: LabelScheme, row: Row) -> list[Problem]:
    """The problems of one photo's files, at most one per file.

    Parameters
    ----------
    root : Path
        The dataset folder.
    scheme : LabelScheme
        The scheme of its label maps.
    row : mapping of str to str
        The photo's row of the manifest.

    Returns
    -------
    list of Problem
    """
    problems = []
    for column, name in _files(row):
        try:
            problem = _check_file(root, scheme, row, column, name)
        except FileNotFoundError:
            problem = column, f"{name} is missing"
        except (OSError, ValueError) as error:  # a ValueError means an impossible file name
            problem = column, f"{name} cannot be read: {getattr(error, 'strerror', None) or error}"
        except InputError as error:
            problem = column, " ".join(str(error).split())
        if problem:
            problems.append(Problem(row["id"], *problem))
    return problems


def _files(row: Row) -> Iterator[tuple[str, str]]:
    """The path columns of a row that are not empty, with their paths."""
    return ((column, name) for column, name in row.items() if name and is_path_column(column))


def _check_file(root: Path, scheme: LabelScheme, row: Row, column: str, name: str) -> tuple[str, str] | None:
    """The column that does not match a file, and why; None if all match."""
    path = inside(root, name)
    if problem := source_file(path).problem:
        if not os.path.lexists(path):
            raise FileNotFoundError
        return column, str(problem).replace(f"{root}/", "")
    data = path.read_bytes()
    kind = column.split("_")[0]
    content_problem = _CHECKS[kind](data, Path(name), scheme, row, column)
    recorded, digest = row.get(f"{column}_sha256", ""), sha256(data)
    if digest != recorded:
        expected = f"{recorded[:12]}…" if recorded else "none"
        detail = f"{name} has the SHA-256 {digest[:12]}…, the manifest gives {expected}"
        return f"{column}_sha256", detail
    return content_problem


def _check_photo(data: bytes, path: Path, _: LabelScheme, row: Row, column: str) -> tuple[str, str] | None:
    width, height = images.photo_size(data, path)
    recorded = row["width"], row["height"]
    if column == "photo":
        if (str(width), str(height)) != recorded:
            return "width", f"{path} is {width} x {height}, the manifest gives {' x '.join(map(shortened, recorded))}"
        return None
    (size,) = photo_sizes([column])
    if not all(side.isdecimal() and len(side) < 10 for side in recorded):
        return (
            "width",
            f"the manifest gives {path} the size {' x '.join(map(shortened, recorded))}; needed: whole numbers",
        )
    longer = max(*map(int, recorded), size)
    expected = tuple(max(1, round(int(side) * size / longer)) for side in recorded)
    if (width, height) != expected:
        return column, f"{path} is {width} x {height}; needed: {expected[0]} x {expected[1]}"
    return None


def _check_labels(data: bytes, path: Path, scheme: LabelScheme, row: Row, _: str) -> tuple[str, str] | None:
    labels = images.decode_labels(data, path, scheme)
    for column, text in class_columns(labels, scheme).items():
        if column in row and row[column] != text:
            return column, f"{path} has {column} {shown(text)}, the manifest gives {shown(row[column])}"
    return None


def _check_sketch(data: bytes, path: Path, _: LabelScheme, __: Row, ___: str) -> None:
    images.to_sketch(images.decode(data, path), path)


_CHECKS: Mapping[str, Callable[[bytes, Path, LabelScheme, Row, str], tuple[str, str] | None]] = {
    "photo": _check_photo,
    "labels": _check_labels,
    "sketch": _check_sketch,
}


def _unnamed(root: Path, named: set[str]) -> Iterator[str]:
    """Messages about files that no row names, sorted by path; hidden files are ignored."""
    for folder, inner, names in os.walk(root):
        inner.sort()
        top = Path(folder).relative_to(root).parts[:1]
        holds_pictures = bool(top) and (top[0] in ("photos", "labels", "sketches") or top[0].startswith("photos_"))
        for file in sorted(names):
            name = Path(folder, file).relative_to(root).as_posix()
            if file.startswith(".") and file.endswith(".part"):
                yield f"{name} was left half-written; the next `facesynth prep` into the folder removes it"
            elif holds_pictures and not file.startswith(".") and name not in named:
                yield f"{name} is not in the manifest"
