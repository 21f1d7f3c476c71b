"""The conditions that paths name: files, folders and dataset folders in; names and files out, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facesynth.errors import DatasetError, InputError
from facesynth.files import pictures_in
from facesynth.manifest import SPLITS, is_dataset, read_dataset
from facesynth.model.data import condition_column
from facesynth.model.latents import latents_in

if TYPE_CHECKING:
    from facesynth.model.checkpoint import Checkpoint
    from facesynth.model.translate import Translator


@dataclass(frozen=True)
class Source:
    """Something to translate: its name, its file, and the true photo where there is one."""

    name: str
    path: Path
    photo: Path | None = None


def find_sources(
    inputs: Sequence[Path], given: Checkpoint | Translator, *, split: str | None = None, sketch: str | None = None
) -> list[Source]:
    """The conditions that ``inputs`` name: files, folders of pictures, and dataset folders.

    Parameters
    ----------
    inputs : sequence of Path
    given : Checkpoint or Translator
        Tells which condition of a dataset is meant.
    split : str, optional
        The split of datasets: train, val, test, or all; val if not given.
    sketch : str, optional
        The sketch method, where a dataset holds several.

    Raises
    ------
    InputError
        If an input does not exist, holds nothing or is of another label scheme, two inputs have the same name, or
        ``split`` or ``sketch`` came where there is nothing to choose.
    """
    if split not in (None, *SPLITS, "all"):
        raise InputError(f"split is {split!r}; needed: {', '.join(SPLITS)} or all")
    if not any(is_dataset(path) for path in inputs):
        if sketch is not None:
            raise InputError(f"the sketch method {sketch!r} came without a dataset folder; leave out --sketch")
        if split is not None:
            raise InputError(f"the split {split!r} came without a dataset folder; leave out --split")
    split = split or "val"
    sources = []
    for path in inputs:
        if is_dataset(path):
            dataset = read_dataset(path)
            if given.config.condition == "labels" and dataset.scheme.classes != given.scheme.classes:
                other = " of other classes" if dataset.scheme.name == given.scheme.name else ""
                schemes = f"{dataset.scheme.name}, {given.path} takes {given.scheme.name}{other}"
                raise DatasetError(f"the label maps of {path} are of the scheme {schemes}; give maps of that scheme")
            column = condition_column(dataset, given.config.condition, sketch)
            rows = dataset.with_columns(column, "photo", split=None if split == "all" else split).to_dict("records")
            sources += [Source(str(row["id"]), path / str(row[column]), path / str(row["photo"])) for row in rows]
        else:
            sources += [Source(file.stem, file) for file in pictures_in([path])]
    return _of_different_names(sources)


def latents_sources(inputs: Sequence[Path]) -> list[Source]:
    """The latents that ``inputs`` name: ``.npy`` files, and folders of them.

    Raises
    ------
    InputError
        If an input does not exist or holds none, or two have the same name.
    """
    return _of_different_names(Source(file.stem, file) for file in latents_in(list(inputs)))


def _of_different_names(sources: Iterable[Source]) -> list[Source]:
    named: dict[str, Source] = {}
    for source in sources:
        if source.name in named:
            first = named[source.name].path
            raise InputError(f"{first} and {source.path} would both become {source.name}.png; translate them apart")
        named[source.name] = source
    return list(named.values())
