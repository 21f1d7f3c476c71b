"""The split of a photo: CelebA's official one, that of a list, or by a hash of the id."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from facesynth.errors import InputError, reason_of, shown
from facesynth.manifest import SPLITS, split_by_hash
from facesynth.values import read_text

FIRST_VAL, FIRST_TEST = 162771, 182638
"""CelebA file numbers at which the official validation and test partitions begin."""


def official_split(celeba_file: str) -> str:
    """The split of a CelebA file in the official partition.

    Examples
    --------
    >>> official_split("162770.jpg"), official_split("162771.jpg"), official_split("182638.jpg")
    ('train', 'val', 'test')
    """
    number = int(Path(celeba_file).stem)
    return "train" if number < FIRST_VAL else "val" if number < FIRST_TEST else "test"


_LONGEST_NAME = 255
"""The most characters of a file's name."""
_MOST_BYTES = 1 << 26
"""The largest list of splits."""
_HEADERS = ("split", "splits", "partition", "set", "subset", "fold")
"""Allowed names of the second column of a list."""


@dataclass(frozen=True)
class Splits:
    """How photos get their splits.

    Attributes
    ----------
    official : bool
        Use the official partition, by the photo's CelebA file.
    listed : mapping of str to str, optional
        Split by id; takes precedence over ``official``.
    source : str
        Name of the list, for messages.
    val, test : float
        Shares of the two splits, 0 to 1, for splits by a hash of the id. A photo's split does not change when others are added
        or removed, and a larger share only adds photos to its split.

    Raises
    ------
    InputError
        If a share is out of its range.
    """

    official: bool = False
    listed: Mapping[str, str] | None = None
    source: str = ""
    val: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        for name in ("val", "test"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"the share {name} is {shown(getattr(self, name))}; needed: 0 to 1")
        if self.val + self.test > 1:
            raise InputError(f"the shares val {self.val} and test {self.test} add up to more than 1")

    def of(self, identifier: str, celeba_file: str = "") -> str:
        """The split of a photo; empty if it is not in the list or in the official partition."""
        if self.listed is not None:
            return self.listed.get(_plain(identifier), "")
        if self.official:
            return official_split(celeba_file) if celeba_file else ""
        return split_by_hash(identifier, val=self.val, test=self.test)


def read_split_list(path: Path) -> Splits:
    """Read splits from a text file with one line per photo: its id or file name, and train, val or test.

    Fields are separated by a comma, a tab or spaces; a header line and empty lines are ignored.

    Raises
    ------
    InputError
        If the file cannot be read, a line has another form, or a photo has two splits; the message gives the line number.
    """
    try:
        lines = read_text(path, encoding="utf-8-sig", most=_MOST_BYTES).splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or reason_of(error)
        raise InputError(f"cannot read the split list {path}: {reason}") from error
    listed: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        name, split = _fields(line)
        if not line.strip() or (number == 1 and name and split.lower() in _HEADERS):
            continue
        if not name or split not in SPLITS or len(name) > _LONGEST_NAME:
            raise InputError(
                f"{path}, line {number} is {shown(line)}; needed: an id and {', '.join(SPLITS)}, as '00042,val'"
            )
        identifier = _plain(name.strip("\"'"))
        if listed.setdefault(identifier, split) != split:
            raise InputError(f"{path}, line {number} gives {name} a second split, {split}")
    if not listed:
        raise InputError(f"the split list {path} names no photo; needed: one line per photo, as '00042,val'")
    return Splits(listed=listed, source=path.name)


def _fields(line: str) -> tuple[str, str]:
    """The two fields of a line; the first is empty if there is no separator."""
    line = line.strip()
    end = max(line.rfind(separator) for separator in ",\t ")
    name, split = line[: max(end, 0)].rstrip(), line[end + 1 :]
    if end >= 0 and line[end] in "\t " and name.endswith(","):
        name = name[:-1].rstrip()
    return name, split


def _plain(name: str) -> str:
    """An id in normal form: without the suffix of a picture, a number without leading zeros."""
    stem = re.sub(r"\.(?:jpe?g|png|webp|bmp|tiff?)$", "", name, flags=re.IGNORECASE)
    return str(int(stem)) if stem.isdecimal() and len(stem) <= _LONGEST_NAME else stem
