"""What is evaluated: faces joined by id with the photos, label maps and drawings of a dataset; batches of arrays out.

Faces are files in a folder, ``<id>.png`` or another picture, or they are made by a model as they are needed. Everything is
brought to the faces' size: photos and drawings by area averaging, label maps by nearest neighbour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from PIL import Image

from facesynth import images
from facesynth.errors import DatasetError, InputError, PictureError, reason_of
from facesynth.files import inside, pictures_in, sha256
from facesynth.manifest import SPLITS, Dataset
from facesynth.model.data.columns import condition_column, photo_column
from facesynth.model.data.conditions import read_condition
from facesynth.model.data.tensors import BACKGROUND, square_at
from facesynth.prep.sketches.presets import METHODS, Sketch, resolve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.model.inference.translator import Translator

    Pictures = NDArray[np.uint8]

FILTER = "area"
"""How photos are brought to a smaller size; to a larger one they are brought by bicubic interpolation."""


@dataclass(frozen=True)
class Batch:
    """Pictures of some ids, all of one size: (N, S, S, 3) or (N, S, S) uint8 arrays."""

    ids: Sequence[str]
    faces: Pictures
    photos: Pictures
    labels: Pictures | None = None
    sketches: Pictures | None = None


class Faces(Protocol):
    """Where faces come from."""

    size: int
    """Their height and width, pixels."""

    def make(self, ids: Sequence[str], /) -> Pictures:
        """The faces (N, S, S, 3) of ids."""


class Truth:
    """The photos of one split of a dataset and what faces of them are made from, at one size.

    Parameters
    ----------
    dataset : Dataset
    split : str
        train, val, test, several with commas, or all.
    sketch : str, optional
        The method of the drawings, if faces were made of drawings.

    Raises
    ------
    DatasetError
        If there are no such photos or drawings.
    InputError
        If the split is none.
    """

    def __init__(self, dataset: Dataset, split: str, *, sketch: str | None = None) -> None:
        splits = SPLITS if split == "all" else tuple(split.split(","))
        if not set(splits) <= set(SPLITS):
            raise InputError(f"split is {split!r}; needed: {', '.join(SPLITS)}, several with commas, or all")
        self.dataset, self.split, self.sketch = dataset, split, sketch
        columns = ["photo", *([condition_column(dataset, "sketch", sketch)] if sketch else [])]
        rows = dataset.with_columns(*columns)
        self.rows = rows[rows["split"].isin(splits)]
        if self.rows.empty:
            raise DatasetError(
                f"{dataset.root} has no row with {' and '.join(columns)} in {split}; give another --split"
            )
        self.ids: list[str] = self.rows["id"].tolist()

    def keep(self, ids: Sequence[str]) -> None:
        """Keep only these ids, in this order."""
        self.rows = self.rows.loc[list(ids)]
        self.ids = list(ids)

    @property
    def has_labels(self) -> bool:
        """Whether every photo has a label map."""
        return "labels" in self.rows.columns and bool((self.rows["labels"] != "").all())

    @property
    def digest(self) -> str:
        """Identifies the ids, their photos, label maps and drawings."""
        names = ["id", "photo_sha256", "labels_sha256", f"sketch_{self.sketch}_sha256"]
        return sha256(self.rows[[name for name in names if name in self.rows.columns]].to_csv(index=False).encode())

    @property
    def drawn_as(self) -> Sketch | None:
        """How the drawings were made, as the dataset records it; None if not by facesynth from photos."""
        stage = self.dataset.stages.get(f"sketches-{self.sketch}", {})
        method = str(stage.get("method"))
        if method not in METHODS:
            return None
        return resolve(method, {name: stage[name] for name in METHODS[method].parameters if name in stage})

    def photos(self, ids: Sequence[str], size: int) -> Pictures:
        """Photos (N, size, size, 3)."""
        column = photo_column(self.rows, size)
        return np.stack([self._photo(name, str(self.rows.loc[name, column]), size) for name in ids])

    def batch(self, ids: Sequence[str], faces: Pictures) -> Batch:
        """The batch of faces of some ids."""
        size = faces.shape[1]
        labels = self._conditions(ids, "labels", size) if self.has_labels else None
        sketches = self._conditions(ids, f"sketch_{self.sketch}", size) if self.sketch else None
        return Batch(ids, faces, self.photos(ids, size), labels, sketches)

    def conditions(self, ids: Sequence[str], kind: str, size: int) -> Pictures:
        """Conditions of a kind (labels, sketch or photo), at a model's input size."""
        if kind == "photo":
            return self.photos(ids, size)
        return self._conditions(ids, "labels" if kind == "labels" else f"sketch_{self.sketch}", size)

    def _conditions(self, ids: Sequence[str], column: str, size: int) -> Pictures:
        kind = "labels" if column == "labels" else "sketch"
        read = []
        for name in ids:
            try:
                path = inside(self.dataset.root, str(self.rows.loc[name, column]))
                read.append(read_condition(path, kind, self.dataset.scheme, size, strict=True).pixels)  # type: ignore[arg-type]
            except (PictureError, DatasetError) as error:
                raise DatasetError(f"id {name}: {error}") from error
        return np.stack(read)

    def _photo(self, name: str, path: str, size: int) -> Pictures:
        try:
            return square_at(images.read_photo(inside(self.dataset.root, path)), BACKGROUND["photo"], size)
        except (PictureError, DatasetError) as error:
            raise DatasetError(f"id {name}: {error}") from error


class FaceFiles:
    """Faces in a folder, named by their ids.

    Parameters
    ----------
    folder : Path
    ids : sequence of str
        Those of the dataset.
    size : int, optional
        Height and width to which they are brought; by default they must have one size.

    Raises
    ------
    InputError
        If no face has one of the ids, two have the same, or they are of different sizes or not square.
    """

    def __init__(self, folder: Path, ids: Sequence[str], size: int | None = None) -> None:
        self.paths: dict[str, Path] = {}
        for path in pictures_in([folder]):
            if path.stem in self.paths:
                raise InputError(f"{self.paths[path.stem]} and {path} are both the face of {path.stem}; remove one")
            self.paths[path.stem] = path
        self.common = [name for name in ids if name in self.paths]
        if not self.common:
            raise InputError(
                f"no face in {folder} has an id of the dataset: faces are {self._some(self.paths)}, ids are {self._some(ids)}; "
                "needed: <id>.png"
            )
        sizes: dict[tuple[int, int], Path] = {}
        for name in self.common:
            sizes.setdefault(_size(self.paths[name]), self.paths[name])
        if size is None and len(sizes) > 1:
            (first, one), (second, other) = list(sizes.items())[:2]
            raise InputError(
                f"the faces have different sizes: {one} is {first[0]} x {first[1]}, {other} is {second[0]} x {second[1]}; "
                "needed: one size, or --size"
            )
        for (width, height), path in sizes.items():
            if width != height:
                raise InputError(f"{path} is {width} x {height}; needed: square faces, as models make them")
        self.size = size or next(iter(sizes))[0]

    @staticmethod
    def _some(names: Sequence[str] | dict[str, Path]) -> str:
        listed = list(names)
        return ", ".join(listed[:3]) + (", …" if len(listed) > 3 else "")

    def make(self, ids: Sequence[str]) -> Pictures:
        """The faces (N, S, S, 3) of ids."""
        return np.stack([images.resize(images.read_photo(self.paths[name]), (self.size, self.size)) for name in ids])


def _size(path: Path) -> tuple[int, int]:
    """Width and height that the header of a picture tells; one of floating-point values is read, for Pillow shows NaN black."""
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            is_finite = picture.mode != "F" or bool(np.isfinite(np.asarray(picture)).all())
    except (OSError, ValueError) as error:
        raise PictureError(f"{path} cannot be read as a picture: {reason_of(error)}") from error
    if not is_finite:
        raise PictureError(f"{path} has values that are not finite; needed: a picture")
    return width, height


class ModelFaces:
    """Faces that a model makes, in the style that its encoder gives.

    Parameters
    ----------
    translator : Translator
    truth : Truth
        Gives the conditions.
    size : int, optional
        Height and width to which they are brought.
    """

    def __init__(self, translator: Translator, truth: Truth, size: int | None = None) -> None:
        self.translator, self.truth = translator, truth
        self.size = size or translator.config.output_size

    def make(self, ids: Sequence[str]) -> Pictures:
        """The faces (N, S, S, 3) of ids."""
        return self._at_size(self.translator.translate(self._conditions(ids))[:, 0])

    def styled(self, ids: Sequence[str], samples: int, seed: int) -> Pictures:
        """Faces (N, samples, S, S, 3) of ids, each in the same random styles."""
        faces = self.translator.translate(self._conditions(ids), samples=samples, seed=seed)
        return np.stack([self._at_size(each) for each in faces])

    def _conditions(self, ids: Sequence[str]) -> Pictures:
        config = self.translator.config
        return self.truth.conditions(ids, config.condition, config.input_size)

    def _at_size(self, faces: Pictures) -> Pictures:
        return np.stack([images.resize(face, (self.size, self.size)) for face in faces])
