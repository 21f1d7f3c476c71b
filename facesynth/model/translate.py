"""Inference: label maps or sketches in, faces out.

The random style component is a w of a random z that replaces the generator's finer layers. It depends on the seed and the
sample's number alone: the same for every condition, and whatever the batch size or the order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from facesynth import images
from facesynth.errors import DatasetError, InputError, PictureError, WrongKindError
from facesynth.files import locked, make_folder, pictures_in
from facesynth.manifest import SPLITS, is_dataset, read_dataset
from facesynth.model import checkpoint, foreign
from facesynth.model.data import condition_column, read_condition
from facesynth.model.devices import choose_device
from facesynth.model.frozen import freeze
from facesynth.model.psp import PSP
from facesynth.model.sheet import contact_sheet, show_condition
from facesynth.model.tensors import condition_tensor, to_pictures, to_square

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.model.checkpoint import Checkpoint

MAX_SHEET_ROWS = 64
"""A contact sheet shows no more inputs than this."""
SHEET = "sheet.png"
"""The contact sheet's name."""


class Translator:
    """A trained model, ready to turn conditions into faces.

    Parameters
    ----------
    given : Checkpoint
        What :func:`facesynth.model.checkpoint.load` read.
    device : str
        auto, cpu, cuda or mps.
    """

    def __init__(self, given: Checkpoint, *, device: str = "auto") -> None:
        self.device = choose_device(device)
        self.checkpoint, self.config, self.scheme = given, given.config, given.scheme
        model = PSP(given.config)
        checkpoint.load_into(model, given.model_state(), given.path)
        self.model = model.to(self.device).eval().requires_grad_(requires_grad=False)
        if self.device.type == "cpu":
            freeze(self.model)

    @classmethod
    def from_checkpoint(cls, path: Path | str, *, device: str = "auto") -> Translator:
        """The model of a checkpoint file, facesynth's or pixel2style2pixel's, or the best one of a run folder.

        Raises
        ------
        CheckpointError
            If there is none, it is damaged, or it does not fit its own config.
        """
        return cls(foreign.load_model(path), device=device)

    def read(self, path: Path) -> NDArray[np.uint8]:
        """A condition of the kind that the model translates, (S, S) uint8 at its input size; (S, S, 3) for a photo.

        Raises
        ------
        PictureError
            If it cannot be read.
        WrongKindError
            If it is another kind of picture.
        """
        try:
            return read_condition(path, self.config.condition, self.scheme, self.config.input_size)
        except WrongKindError as error:
            raise WrongKindError(f"{error}; {self.checkpoint.path} is a {self.checkpoint.task} checkpoint") from error

    def styles(self, samples: int, seed: int) -> Tensor:
        """The w of ``samples`` random styles, (samples, style_dim); a longer list begins as a shorter one does."""
        w = torch.empty(samples, self.config.style_dim, device=self.device)
        for number in range(samples):  # one by one, so that a style rounds the same whatever comes with it
            z = np.random.default_rng([seed, number]).standard_normal((1, self.config.style_dim), np.float32)
            w[number] = self.model.generator.mapping(torch.from_numpy(z).to(self.device)).squeeze(0)
        return w

    @torch.inference_mode()
    def translate(self, conditions: NDArray[np.uint8], *, samples: int = 0, seed: int = 0) -> NDArray[np.uint8]:
        """Faces of conditions.

        Parameters
        ----------
        conditions : (N, S, S) uint8 array
            Label maps or sketches at the model's input size (see :meth:`read`); photos are (N, S, S, 3).
        samples : int
            Faces a condition, each with a random style; 0 for one face with the style that the encoder gives.
        seed : int
            Of the random styles, at least 0.

        Returns
        -------
        (N, max(samples, 1), T, T, 3) uint8 array
            Faces at the model's output size.

        Raises
        ------
        InputError
            If a number is out of its range or the conditions have another shape.
        """
        size = self.config.input_size
        needed = (size, size, 3) if self.config.condition == "photo" else (size, size)
        if conditions.shape[1:] != needed or conditions.dtype != np.uint8:
            came = f"{conditions.dtype} of shape {conditions.shape}"
            raise InputError(f"conditions is {came}; needed: uint8 of shape (N, {', '.join(map(str, needed))})")
        _check_numbers(samples, seed)
        batch = torch.from_numpy(np.ascontiguousarray(conditions)).to(self.device)
        latents = self.model.encode(condition_tensor(batch, self.config.condition, self.config.input_channels))
        if samples == 0:
            return to_pictures(self.model.generator(latents))[:, None]
        faces = [
            to_pictures(self.model.generator(self.model.mix(latents, style[None], self.config.style_layers)))
            for style in self.styles(samples, seed)
        ]
        return np.stack(faces, axis=1)


def _check_numbers(samples: int, seed: int) -> None:
    for name, value in (("samples", samples), ("seed", seed)):
        if value < 0:
            raise InputError(f"{name} is {value}; needed: at least 0")


@dataclass(frozen=True)
class Source:
    """A condition to translate: its name, its file, and the true photo where there is one."""

    name: str
    path: Path
    photo: Path | None = None


@dataclass
class Translated:
    """What a call did.

    Attributes
    ----------
    faces : list of Path
        The pictures written.
    sheet : Path or None
        The contact sheet.
    failures : list of (str, PictureError)
        Inputs that could not be translated, by name.
    """

    faces: list[Path] = field(default_factory=list)
    sheet: Path | None = None
    failures: list[tuple[str, PictureError]] = field(default_factory=list)


def find_sources(
    inputs: Sequence[Path], given: Checkpoint, *, split: str = "val", sketch: str | None = None
) -> list[Source]:
    """The conditions that ``inputs`` name: files, folders of pictures, and dataset folders.

    Parameters
    ----------
    inputs : sequence of Path
    given : Checkpoint
        Tells which condition of a dataset is meant.
    split : str
        The split of datasets: train, val, test, or all.
    sketch : str, optional
        The sketch method, where a dataset holds several.

    Raises
    ------
    InputError
        If an input does not exist, holds nothing or is of another label scheme, two inputs have the same name, or
        ``sketch`` came where there is nothing to choose.
    """
    if split not in (*SPLITS, "all"):
        raise InputError(f"split is {split!r}; needed: {', '.join(SPLITS)} or all")
    if sketch is not None and not any(is_dataset(path) for path in inputs):
        raise InputError(f"the sketch method {sketch!r} came without a dataset folder; leave out --sketch")
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
    named: dict[str, Path] = {}
    for source in sources:
        if source.name in named:
            raise InputError(
                f"{named[source.name]} and {source.path} would both become {source.name}.png; translate them apart"
            )
        named[source.name] = source.path
    return sources


def translate_files(
    inputs: Sequence[Path],
    checkpoint_path: Path,
    out: Path,
    *,
    samples: int = 0,
    seed: int = 0,
    sheet: bool = False,
    split: str = "val",
    sketch: str | None = None,
    batch_size: int = 8,
    device: str = "auto",
    progress: Callable[[Iterable[Any], int], Iterable[Any]] | None = None,
) -> Translated:
    """Translate files into a folder of faces, ``<name>.png`` or ``<name>_<sample>.png``.

    Parameters
    ----------
    inputs : sequence of Path
        Label maps or sketches, folders of them, or dataset folders.
    checkpoint_path : Path
        A checkpoint file or run folder.
    out : Path
        Where the faces go; made if missing.
    samples, seed
        As in :meth:`Translator.translate`.
    sheet : bool
        Also write a contact sheet, ``sheet.png``: condition, faces and, where it is known, the true photo.
    split, sketch
        As in :func:`find_sources`.
    batch_size : int
        Conditions at a time.
    device : str
        auto, cpu, cuda or mps.
    progress : callable, optional
        Shows how far the work is.

    Raises
    ------
    InputError
        If nothing can be begun. A bad picture does not stop the others: it is among the failures.
    OutputError
        If ``out`` cannot be written.
    """
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; needed: at least 1")
    _check_numbers(samples, seed)
    translator = Translator.from_checkpoint(checkpoint_path, device=device)
    sources = find_sources(inputs, translator.checkpoint, split=split, sketch=sketch)
    faces_of = {
        source.name: [out / f"{source.name}{end}.png" for end in ([f"_{n}" for n in range(samples)] or [""])]
        for source in sources
    }
    _check_targets(sources, faces_of, out / SHEET if sheet else None)
    make_folder(out)
    done = Translated()
    rows: list[list[NDArray[np.uint8] | None]] = []

    def translated() -> Iterator[Source]:
        for first in range(0, len(sources), batch_size):
            good, conditions = [], []
            for source in sources[first : first + batch_size]:
                try:
                    conditions.append(translator.read(source.path))
                    good.append(source)
                except PictureError as error:
                    done.failures.append((source.name, error))
                    yield source
            if good:
                faces = translator.translate(np.stack(conditions), samples=samples, seed=seed)
                for source, condition, own in zip(good, conditions, faces, strict=True):
                    for path, face in zip(faces_of[source.name], own, strict=True):
                        images.write_png(path, face)
                        done.faces.append(path)
                    if sheet and len(rows) < MAX_SHEET_ROWS:
                        shown = show_condition(condition, translator.config.condition, translator.scheme)
                        rows.append([shown, *own, _photo(source)])
                    yield source

    with locked(out):
        for _ in progress(translated(), len(sources)) if progress else translated():
            pass
        if rows:
            done.sheet = out / SHEET
            images.write_png(done.sheet, _sheet(rows, samples, translator.config.output_size))
    return done


def _check_targets(sources: Sequence[Source], faces_of: Mapping[str, list[Path]], sheet: Path | None) -> None:
    """See that no two pictures get the same name, and that none takes the place of an input."""
    inputs = {source.path.resolve() for source in sources}
    taken: dict[Path, str] = {sheet: "the contact sheet"} if sheet else {}
    for name, paths in faces_of.items():
        for path in paths:
            if path in taken:
                raise InputError(f"the face of {name} and {taken[path]} would both become {path}; translate them apart")
            if path.resolve() in inputs:
                raise InputError(f"the face of {name} would take the place of the input {path}; give another --out")
            taken[path] = f"that of {name}"


def _photo(source: Source) -> NDArray[np.uint8] | None:
    """The true photo, squared as in training; None where it is not known or cannot be read."""
    if source.photo is None:
        return None
    try:
        return to_square(images.read_photo(source.photo), 0)
    except PictureError:
        return None


def _sheet(rows: list[list[NDArray[np.uint8] | None]], samples: int, size: int) -> NDArray[np.uint8]:
    headings = ["condition", *(f"style {number}" for number in range(samples))] if samples else ["condition", "face"]
    if any(row[-1] is not None for row in rows):
        headings.append("photo")
    else:
        rows = [row[:-1] for row in rows]
    return contact_sheet(rows, headings, cell=min(max(size, 128), 256))
