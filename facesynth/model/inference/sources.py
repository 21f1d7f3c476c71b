"""The inputs of a translation: files, folders and dataset folders in; named sources out, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from facesynth.errors import DatasetError, InputError, PictureError
from facesynth.files import PICTURE_SUFFIXES, inside, pictures_in
from facesynth.images import Picture
from facesynth.label_maps import ARRAY_SUFFIX
from facesynth.manifest import SPLITS, is_dataset, read_dataset
from facesynth.model.data.columns import condition_column
from facesynth.model.inference.kinds import KindOption, recognised
from facesynth.model.inference.latents import SUFFIX, latents_in

if TYPE_CHECKING:
    from facesynth.model.checkpoints.native import Checkpoint
    from facesynth.model.config.model import Condition
    from facesynth.model.inference.translator import Translator


SHIPPED_MODELS: Mapping[Condition, str] = MappingProxyType({"labels": "photo-seg", "sketch": "photo-sketch"})
"""The models that come with the package, by the condition that they take."""


@dataclass(frozen=True)
class Source:
    """An input: its name, its file, the true photo if there is one, and the dataset folder if it is from one."""

    name: str
    path: Path
    photo: Path | None = None
    root: Path | None = None

    def check(self) -> None:
        """Check that its files are inside the dataset folder.

        Raises
        ------
        PictureError
            If a link leads out of it.
        """
        if self.root is not None:
            try:
                for path in (self.path, self.photo or self.path):
                    inside(self.root, path.relative_to(self.root))
            except DatasetError as error:
                raise PictureError(str(error)) from error


def find_sources(
    inputs: Sequence[Path], given: Checkpoint | Translator, *, split: str | None = None, sketch: str | None = None
) -> list[Source]:
    """The conditions in ``inputs``: files, folders of pictures, and dataset folders.

    Parameters
    ----------
    inputs : sequence of Path
    given : Checkpoint or Translator
        Determines which condition of a dataset is used.
    split : str, optional
        The split of datasets: train, val, test, or all; val if not given.
    sketch : str, optional
        The sketch method, if a dataset has several.

    Raises
    ------
    InputError
        If an input does not exist, is empty or has another label scheme, two inputs have the same name, or ``split`` or
        ``sketch`` is given without a dataset folder.
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
            sources += [Source(str(row["id"]), path / str(row[column]), path / str(row["photo"]), path) for row in rows]
        else:
            arrays = (ARRAY_SUFFIX,) if given.config.condition == "labels" else ()
            files = pictures_in([path], (*PICTURE_SUFFIXES, *arrays))
            sources += [Source(file.stem, file) for file in files]
    return of_different_names(sources)


def shipped_model(inputs: Sequence[Path], sketch: str | None, kind: KindOption = "auto") -> tuple[str, Picture | None]:
    """The model that comes with the package and takes the kind of the first input.

    Parameters
    ----------
    inputs : sequence of Path
        Pictures, folders of them, dataset folders, or latents, which both models take.
    sketch : str, optional
        The sketch method; if given, the sketches of datasets are used.
    kind : str
        What the pictures are; auto recognises the first that can be read and is not blank.

    Returns
    -------
    name : str
        Photos get the model for label maps, which are parsed from them.
    picture : Picture or None
        The picture that was looked at, so that it need not be read again.

    Raises
    ------
    InputError
        If the first input does not exist or holds nothing.
    PictureError
        If no picture can be read.
    WrongKindError
        If all pictures are blank, or the first that is not cannot be recognised.
    """
    first = inputs[0]
    if is_dataset(first):
        has_maps = sketch is None and kind != "sketch" and bool(read_dataset(first).columns_of("labels"))
        return SHIPPED_MODELS["labels" if has_maps else "sketch"], None
    if first.suffix == SUFFIX or (first.is_dir() and any(first.glob(f"*{SUFFIX}"))):
        return SHIPPED_MODELS["labels"], None
    if kind != "auto":
        return SHIPPED_MODELS["sketch" if kind == "sketch" else "labels"], None
    failure = None
    for path in pictures_in([path for path in inputs if not is_dataset(path)]):
        try:
            picture = Picture.read(path)
            found = recognised(picture)
        except PictureError as error:
            failure = failure or error
        else:
            return SHIPPED_MODELS["sketch" if found.kind == "sketch" else "labels"], picture
    assert failure is not None  # pictures_in finds at least one
    raise failure


def latents_sources(inputs: Sequence[Path]) -> list[Source]:
    """The latents in ``inputs``: ``.npy`` files, and folders of them.

    Raises
    ------
    InputError
        If an input does not exist or holds none, or two have the same name.
    """
    return of_different_names(Source(file.stem, file) for file in latents_in(list(inputs)))


def of_different_names(sources: Iterable[Source]) -> list[Source]:
    """The sources, checked to have different names.

    Raises
    ------
    InputError
        If two have the same name.
    """
    named: dict[str, Source] = {}
    for source in sources:
        if source.name in named:
            first = named[source.name].path
            raise InputError(f"{first} and {source.path} would both become {source.name}.png; translate them apart")
        named[source.name] = source
    return list(named.values())
