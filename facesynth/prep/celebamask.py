"""The CelebAMask-HQ archive's layout: which files belong to which photo, and which split it is in.

::

    RAW/CelebA-HQ-img/<id>.jpg
    RAW/CelebAMask-HQ-mask-anno/<id // 2000>/<id:05d>_<part>.png
    RAW/CelebA-HQ-to-CelebA-mapping.txt      optional: the CelebA file of each id, hence the official split

Everything is joined by id, never by position.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from facesynth.errors import InputError
from facesynth.manifest import split_by_hash

PHOTOS = "CelebA-HQ-img"
MASKS = "CelebAMask-HQ-mask-anno"
MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"

FIRST_VAL, FIRST_TEST = 162771, 182638
"""CelebA file numbers at which the official validation and test partitions begin."""

_PHOTO = re.compile(r"(\d+)\.(?:jpe?g|png)", re.IGNORECASE)
_MASK = re.compile(r"(\d+)_(\w+)\.png", re.IGNORECASE)

Stamp = tuple[int, int]
"""Size in bytes and modification time in nanoseconds: tells whether a file changed without reading it."""


@dataclass(frozen=True)
class SourceFile:
    """A file of the raw tree and the stamp that it had when the tree was indexed."""

    path: Path
    stamp: Stamp


@dataclass
class RawPhoto:
    """What the raw tree holds of one photo.

    Attributes
    ----------
    id : str
        The archive's number, zero-padded to five digits.
    photo : SourceFile or None
        None if there are part masks without a photo.
    parts : dict of str to SourceFile
        Part masks by part name.
    celeba_file : str
        File name in CelebA, empty where no mapping file gives it.
    split : str
        train, val or test; empty if a mapping file is there and does not have this id.
    """

    id: str
    photo: SourceFile | None = None
    parts: dict[str, SourceFile] = field(default_factory=dict)
    celeba_file: str = ""
    split: str = ""


def official_split(celeba_file: str) -> str:
    """The split of a CelebA file by the official partition.

    Examples
    --------
    >>> official_split("162770.jpg"), official_split("162771.jpg"), official_split("182638.jpg")
    ('train', 'val', 'test')
    """
    number = int(Path(celeba_file).stem)
    return "train" if number < FIRST_VAL else "val" if number < FIRST_TEST else "test"


def read_mapping(path: Path) -> dict[int, str]:
    """The CelebA file name of each id, from the archive's mapping file, with or without its header line.

    Raises
    ------
    InputError
        If a line is not ``id number file``; it is named by its number.
    """
    files: dict[int, str] = {}
    for number, line in enumerate(path.read_text("utf-8-sig", errors="replace").splitlines(), start=1):
        fields = line.split()
        if not fields or (number == 1 and not fields[0].isdecimal()):
            continue
        if len(fields) != 3 or not fields[0].isdecimal() or not Path(fields[2]).stem.isdecimal():
            raise InputError(
                f"{path}, line {number} is {line!r}; needed: id, CelebA number and file, as '0 119613 119614.jpg'"
            )
        files[int(fields[0])] = fields[2]
    return files


def find_root(raw: Path) -> Path:
    """``raw``, or the archive's own top folder inside it.

    Raises
    ------
    InputError
        If there is no photo folder; the message says what was looked for and what is there.
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
    raise InputError(f"{raw} is no CelebAMask-HQ folder: looked for {PHOTOS}/ and {MASKS}/, found {found}")


def _files(folder: Path) -> Iterator[tuple[str, SourceFile]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file():
                stat = entry.stat()
                yield entry.name, SourceFile(Path(entry.path), (stat.st_size, stat.st_mtime_ns))


def index_tree(raw: Path, *, masks: bool = True) -> list[RawPhoto]:
    """Find every photo of a raw tree with its part masks, CelebA file and split, sorted by id.

    Parameters
    ----------
    raw : Path
        The unpacked archive.
    masks : bool
        Index the part masks too.

    Raises
    ------
    InputError
        If ``raw`` cannot be read or is not laid out as the archive is, or two files claim to be the same photo or part.
    """
    try:
        return _index(find_root(raw), masks=masks)
    except OSError as error:
        raise InputError(f"cannot read {error.filename or raw}: {error.strerror or error}") from error


def _index(root: Path, *, masks: bool) -> list[RawPhoto]:
    photos: dict[int, RawPhoto] = {}

    def entry(number: int) -> RawPhoto:
        return photos.setdefault(number, RawPhoto(f"{number:05d}"))

    for name, file in _files(root / PHOTOS):
        if match := _PHOTO.fullmatch(name):
            known = entry(int(match[1]))
            if known.photo:
                raise InputError(f"{file.path} and {known.photo.path} have the same id {known.id}; keep one of them")
            known.photo = file
    if masks:
        _index_masks(root, entry)
    if not photos:
        raise InputError(f"{root / PHOTOS} holds no photo; looked for <id>.jpg")
    _assign_splits(root, photos)
    return [photos[number] for number in sorted(photos)]


def _index_masks(root: Path, entry: Callable[[int], RawPhoto]) -> None:
    folder = root / MASKS
    if not folder.is_dir():
        raise InputError(f"{root} has photos but no part masks: looked for {MASKS}/<0..14>/<id>_<part>.png")
    with os.scandir(folder) as entries:
        folders = [folder, *(Path(inner.path) for inner in entries if inner.is_dir())]
    count = 0
    for inner in folders:
        for name, file in _files(inner):
            if match := _MASK.fullmatch(name):
                parts, part = entry(int(match[1])).parts, match[2]
                if part in parts:
                    raise InputError(
                        f"{file.path} and {parts[part].path} are the same part of one photo; keep one of them"
                    )
                parts[part] = file
                count += 1
    if not count:
        raise InputError(f"{folder} holds no part mask: looked for <0..14>/<id>_<part>.png")


def _assign_splits(root: Path, photos: Mapping[int, RawPhoto]) -> None:
    mapping = read_mapping(root / MAPPING) if (root / MAPPING).is_file() else None
    for number, photo in photos.items():
        if mapping is None:
            photo.split = split_by_hash(photo.id)
        elif number in mapping:
            photo.celeba_file = mapping[number]
            photo.split = official_split(photo.celeba_file)
