"""The layout of the CelebAMask-HQ archive: the files that belong to each photo, and its split.

::

    RAW/CelebA-HQ-img/<id>.jpg
    RAW/CelebAMask-HQ-mask-anno/<id // 2000>/<id:05d>_<part>.png
    RAW/CelebA-HQ-to-CelebA-mapping.txt      optional: the CelebA file of each id, which gives the official split

Files are joined by id, never by position.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facesynth.errors import InputError, shown
from facesynth.files import PICTURE_SUFFIXES, check_regular
from facesynth.prep.pipeline.findings import Finding, Refused
from facesynth.prep.pipeline.source_file import SourceFile, escaped, source_file
from facesynth.prep.splits import Splits

PHOTOS = "CelebA-HQ-img"
MASKS = "CelebAMask-HQ-mask-anno"
MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"

_PHOTO = re.compile(r"([0-9]{1,9})\.(?:jpe?g|png)", re.IGNORECASE)
_MASK = re.compile(r"([0-9]{1,9})_(.+)\.(?:png|jpe?g|bmp|webp|tiff?)", re.IGNORECASE)
_NUMBER = re.compile("[0-9]{1,9}")
_CELEBA_FILE = re.compile(r"[0-9]{1,9}(?:\.[A-Za-z]{1,5})?")
_FOLDER_IDS = 2000
"""Ids per folder of part masks."""


@dataclass
class RawPhoto:
    """The files of one photo in the raw tree.

    Attributes
    ----------
    id : str
        The archive's number, zero-padded to five digits.
    photo : SourceFile or None
        None if there are part masks without a photo.
    parts : dict of str to SourceFile
        Part masks by part name.
    celeba_file : str
        File name in CelebA; empty if no mapping file gives it.
    split : str
        train, val or test; empty if the list of splits does not have this id.
    problem : Refused or None
        Why it cannot be prepared, as far as the directory listing shows.
    """

    id: str
    photo: SourceFile | None = None
    parts: dict[str, SourceFile] = field(default_factory=dict)
    celeba_file: str = ""
    split: str = ""
    problem: Refused | None = None


class CelebaFiles(Mapping[int, str]):
    """The CelebA file name of each id, stored in two arrays."""

    def __init__(self, numbers: Sequence[int], names: Sequence[bytes]) -> None:
        order = np.argsort(np.asarray(numbers, np.int64), kind="stable")
        self._numbers, self._names = np.asarray(numbers, np.int64)[order], np.asarray(names, np.bytes_)[order]

    def __getitem__(self, number: int) -> str:
        index = int(np.searchsorted(self._numbers, number, "right")) - 1
        if index < 0 or self._numbers[index] != number:
            raise KeyError(number)
        return bytes(self._names[index]).decode()

    def __iter__(self) -> Iterator[int]:
        return map(int, np.unique(self._numbers))

    def __len__(self) -> int:
        return len(np.unique(self._numbers))


def read_mapping(path: Path) -> CelebaFiles:
    """Read the CelebA file name of each id from the archive's mapping file, with or without its header line.

    Raises
    ------
    InputError
        If a line is not ``id number file``; the message gives its number.
    """
    numbers, names = array("q"), []
    check_regular(path)
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        for number, line in enumerate(stream, start=1):
            fields = line.split()
            if not fields or (number == 1 and not fields[0].isdecimal()):
                continue
            if len(fields) != 3 or not _NUMBER.fullmatch(fields[0]) or not _CELEBA_FILE.fullmatch(fields[2]):
                raise InputError(
                    f"{path}, line {number} is {shown(line.rstrip())}; needed: id, CelebA number and file, as "
                    "'0 119613 119614.jpg'"
                )
            numbers.append(int(fields[0]))
            names.append(fields[2].encode())
    return CelebaFiles(numbers, names)


def find_root(raw: Path) -> Path:
    """``raw``, or the archive's top folder inside it.

    Raises
    ------
    InputError
        If there is no photo folder; the message says what was expected and what was found.
    """
    for root in (raw, raw / "CelebAMask-HQ"):
        if (root / PHOTOS).is_dir():
            return root
    if not raw.exists():
        raise InputError(
            f"{raw} does not exist; give the unpacked CelebAMask-HQ folder (`facesynth prep sample` makes a small one)"
        )
    if not raw.is_dir():
        raise InputError(f"{raw} is a file; give the unpacked CelebAMask-HQ folder, which holds {PHOTOS}/ and {MASKS}/")
    inside = sorted(entry.name for entry in raw.iterdir() if not entry.name.startswith("."))
    found = ", ".join(inside[:5]) + (f" and {len(inside) - 5} more" if len(inside) > 5 else "") or "nothing"
    raise InputError(f"{raw} is not a CelebAMask-HQ folder: looked for {PHOTOS}/ and {MASKS}/, found {found}")


@dataclass
class RawTree:
    """The photos of a raw tree, sorted by id. It can be iterated repeatedly and lists one folder of masks at a time.

    Attributes
    ----------
    root : Path
        The archive's top folder.
    splits : Splits
        How each photo gets its split.
    remarks : list of (str, Finding)
        Files whose names are not valid, each with its name.
    """

    root: Path
    splits: Splits
    remarks: list[tuple[str, Finding]] = field(default_factory=list)
    _mapping: Mapping[int, str] = field(default_factory=dict)
    _photos: _Photos = field(default_factory=lambda: _Photos([]))
    _folders: dict[int, Path] = field(default_factory=dict)
    _misplaced: dict[int, list[Path]] = field(default_factory=dict)
    _numbers: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[RawPhoto]:
        folder: int | None = None
        for number in self._numbers:
            if number // _FOLDER_IDS != folder:
                folder = number // _FOLDER_IDS
                parts = self._names_of(folder)
            yield self._photo(number, parts.pop(number, []))

    def _names_of(self, folder: int) -> dict[int, list[str]]:
        """The file names of a folder's part masks, by id."""
        names: dict[int, list[str]] = {}
        if folder in self._folders:
            for name in os.listdir(self._folders[folder]):
                if (match := _MASK.fullmatch(name)) and int(match[1]) // _FOLDER_IDS == folder:
                    names.setdefault(int(match[1]), []).append(name)
        return names

    def _photo(self, number: int, names: Sequence[str]) -> RawPhoto:
        raw_photo = RawPhoto(f"{number:05d}", celeba_file=self._mapping.get(number, ""))
        raw_photo.split = self.splits.of(raw_photo.id, raw_photo.celeba_file)
        if not raw_photo.split:
            where = MAPPING if self.splits.listed is None else self.splits.source
            raw_photo.problem = Refused("no-split", f"not in {where}, which defines the splits")
        folder = self._folders.get(number // _FOLDER_IDS, self.root)
        for path in sorted([*(folder / name for name in names), *self._misplaced.get(number, [])]):
            part = path.stem.split("_", 1)[1]
            if part in raw_photo.parts:
                raw_photo.problem = Refused(
                    "duplicate",
                    f"{path} and {raw_photo.parts[part].path} are the same part of one photo; keep one of them",
                )
            raw_photo.parts[part] = source_file(path)
        if photos := self._photos.names(number):
            raw_photo.photo = source_file(self.root / PHOTOS / photos[0])
        if len(photos) > 1:
            raw_photo.problem = Refused(
                "duplicate", f"{PHOTOS}/{photos[0]} and {PHOTOS}/{photos[1]} have the same id; keep one of them"
            )
        for file in (raw_photo.photo, *raw_photo.parts.values()):
            raw_photo.problem = raw_photo.problem or (file.problem if file else None)
        return raw_photo


class _Photos:
    """Photos by id; those named as in the archive, 42.jpg, take 4 bytes each."""

    def __init__(self, names: Iterable[str]) -> None:
        plain = array("I")
        self._others: dict[int, list[str]] = {}
        for name in names:
            number = int(name[: name.rindex(".")])
            if name == f"{number}.jpg":
                plain.append(number)
            else:
                self._others.setdefault(number, []).append(name)
        self._plain = np.sort(np.asarray(plain, np.uint32))

    def numbers(self) -> Iterator[int]:
        """All ids."""
        yield from map(int, self._plain)
        yield from self._others

    def names(self, number: int) -> list[str]:
        """The file names of an id."""
        index = int(np.searchsorted(self._plain, number))
        is_plain = index < len(self._plain) and self._plain[index] == number
        return sorted([*self._others.get(number, []), *([f"{number}.jpg"] if is_plain else [])])


def index_tree(raw: Path, *, masks: bool = True, splits: Splits | None = None) -> RawTree:
    """Find every photo of a raw tree with its part masks, CelebA file and split, sorted by id.

    Parameters
    ----------
    raw : Path
        The unpacked archive.
    masks : bool
        Include the part masks.
    splits : Splits, optional
        How photos get their splits; by default from the mapping file if there is one, else from a hash of the id.

    Returns
    -------
    RawTree

    Raises
    ------
    InputError
        If ``raw`` cannot be read or does not have the archive's layout.
    """
    try:
        root = find_root(raw).absolute()
        has_mapping = (root / MAPPING).is_file()
        tree = RawTree(root, splits or Splits(official=has_mapping))
        if has_mapping:
            tree._mapping = read_mapping(root / MAPPING)
        elif tree.splits.official:
            raise InputError(f"{root} has no {MAPPING}, which the official splits need")
        tree._photos = _Photos(_list_names(tree, PHOTOS, _PHOTO, "<id>.jpg or <id>.png"))
        numbers = set(tree._photos.numbers())
        if masks:
            numbers |= _list_masks(tree)
    except OSError as error:
        raise InputError(f"cannot read {error.filename or raw}: {error.strerror or error}") from error
    if not numbers:
        raise InputError(f"{root / PHOTOS} holds no photo; looked for <id>.jpg")
    ids = array("q", sorted(numbers))
    # Ids have at least five digits: their order as text is the numeric one unless some are longer.
    tree._numbers = ids if ids[-1] < 10**5 else sorted(ids, key=lambda number: f"{number:05d}")
    tree.remarks.sort()
    return tree


def _list_names(tree: RawTree, folder: str, pattern: re.Pattern[str], expected: str) -> Iterator[str]:
    """The names in a folder that contain an id; other pictures become remarks."""
    with os.scandir(tree.root / folder) as entries:
        for entry in entries:
            if pattern.fullmatch(entry.name):
                yield entry.name
            else:
                _remark(tree, folder, entry.name, expected)


def _list_masks(tree: RawTree) -> set[int]:
    """Find the folders of part masks, and the ids that have any."""
    folder = tree.root / MASKS
    if not folder.is_dir():
        raise InputError(f"{tree.root} has photos but no part masks: looked for {MASKS}/<0..14>/<id>_<part>.png")
    inside = sorted(name for name in os.listdir(folder) if os.path.isdir(folder / name) and not _MASK.fullmatch(name))
    numbers: set[int] = set()
    for inner in ("", *inside):
        own = int(inner) if inner.isdecimal() and str(int(inner)) == inner else None
        if own is not None:
            tree._folders[own] = folder / inner
        for name in _list_names(tree, f"{MASKS}/{inner}".rstrip("/"), _MASK, "<id>_<part>.png"):
            number = int(name[: name.index("_")])
            numbers.add(number)
            if number // _FOLDER_IDS != own:
                tree._misplaced.setdefault(number, []).append(folder / inner / name)
    if not numbers:
        raise InputError(f"{folder} holds no part mask: looked for <0..14>/<id>_<part>.png")
    return numbers


def _remark(tree: RawTree, folder: str, name: str, expected: str) -> None:
    """Record that a picture's name contains no id; other files are ignored."""
    if name.lower().endswith(PICTURE_SUFFIXES) and not name.startswith("."):
        tree.remarks.append((escaped(f"{folder}/{name}"), Finding("no-id", f"needed: {expected}")))
