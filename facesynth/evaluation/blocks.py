"""Measurements of many pictures in files: a block of ids a file, written whole, so that a stopped evaluation continues.

Memory does not grow with the number of pictures: columns are read one at a time, and those of features in parts.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facesynth.files import make_folder, replacing, sha256

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE = 128
"""Ids of a block."""
Columns = Mapping[str, "NDArray[Any]"]


class Blocks:
    """The measurements of one set of ids.

    Parameters
    ----------
    folder : Path
        The evaluation's folder.
    name : str
        Of the set, such as pairs.
    ids : sequence of str
    key : mapping
        Everything that the measurements depend on; those of another key are removed.
    """

    def __init__(self, folder: Path, name: str, ids: Sequence[str], key: Mapping[str, Any]) -> None:
        self.ids = list(ids)
        text = json.dumps([name, self.ids, key], sort_keys=True, default=str)
        self.folder = folder / "blocks" / f"{name}-{sha256(text.encode())[:16]}"
        self._name = name

    def prepare(self) -> None:
        """Make the folder, and remove blocks of other settings."""
        make_folder(self.folder)
        for other in self.folder.parent.glob(f"{self._name}-*"):
            if other != self.folder:
                shutil.rmtree(other, ignore_errors=True)

    @property
    def parts(self) -> list[list[str]]:
        """The ids of every block."""
        return [self.ids[first : first + SIZE] for first in range(0, len(self.ids), SIZE)]

    def path(self, number: int) -> Path:
        """The file of a block."""
        return self.folder / f"{number:06d}.npz"

    def fill(
        self,
        measure: Callable[[Sequence[str]], Columns],
        at_once: int,
        *,
        process: int = 0,
        processes: int = 1,
        progress: Callable[[Iterable[Any], int], Iterable[Any]] | None = None,
    ) -> int:
        """Measure what is missing of this process's blocks; the number of pictures measured.

        Parameters
        ----------
        measure : callable
            From ids to their columns.
        at_once : int
            The most ids that it is given.
        process, processes : int
            Which of several processes this is.
        progress : callable, optional
            Shows the progress.
        """
        todo = [
            (number, ids)
            for number, ids in enumerate(self.parts)
            if number % processes == process and not self.path(number).is_file()
        ]

        def work() -> Iterator[None]:
            for number, ids in todo:
                measured = []
                for first in range(0, len(ids), at_once):
                    measured.append(measure(ids[first : first + at_once]))
                    yield from [None] * len(ids[first : first + at_once])
                columns = {name: np.concatenate([part[name] for part in measured]) for name in measured[0]}
                with replacing(self.path(number)) as beside, beside.open("wb") as file:
                    np.savez(file, **columns)  # type: ignore[arg-type]  # numpy takes the rest for an option

        count = sum(len(ids) for _, ids in todo)
        for _ in progress(work(), count) if progress and count else work():
            pass
        return count

    def names(self) -> list[str]:
        """The columns."""
        with np.load(self.path(0), allow_pickle=False) as stored:
            return list(stored.files)

    def each(self, column: str) -> Iterator[NDArray[Any]]:
        """A column, block by block."""
        for number in range(len(self.parts)):
            with np.load(self.path(number), allow_pickle=False) as stored:
                yield stored[column]

    def column(self, name: str) -> NDArray[Any]:
        """A whole column, (N, …)."""
        return np.concatenate(list(self.each(name)))

    def sample(self, column: str, chosen: NDArray[np.int64]) -> NDArray[Any]:
        """Some rows of a column, in ascending order of their numbers."""
        wanted, first, kept = np.sort(chosen), 0, []
        for part in self.each(column):
            here = wanted[(wanted >= first) & (wanted < first + len(part))] - first
            kept.append(part[here])
            first += len(part)
        return np.concatenate(kept)
