"""The preparation stages: label maps from part masks, photos of training size, and sketches.

Each stage takes folders and parameters, does the missing work, and leaves a dataset folder as :mod:`facesynth.manifest`
describes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesynth import images
from facesynth.errors import InputError
from facesynth.files import PICTURE_SUFFIXES, inside, remove, resolved, sha256, write_bytes
from facesynth.labels import CELEBAMASK_HQ, LabelScheme, describe
from facesynth.manifest import BASE_COLUMNS, is_dataset, read_info
from facesynth.prep import celebamask, masks
from facesynth.prep.pipeline.audit import class_columns
from facesynth.prep.pipeline.dataset import Prepared, Stage, run_into, sorted_rows
from facesynth.prep.pipeline.findings import Refused
from facesynth.prep.pipeline.journal import Columns, Done, Task, make_key
from facesynth.prep.pipeline.workers import Progress, Workers
from facesynth.prep.sketches import drawing
from facesynth.prep.sketches.drawing import Background
from facesynth.prep.sketches.presets import METHODS, REFERENCE_WIDTH, Sketch
from facesynth.prep.splits import Splits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LABEL_COLUMNS = ("labels", "labels_sha256", "classes", "class_pixels", "class_centres")
"""The manifest columns of label maps."""


@dataclass(frozen=True)
class TasksOf:
    """Tasks created one at a time from a sized collection that can be iterated repeatedly."""

    things: Any
    make: Callable[[Any], Task]

    def __len__(self) -> int:
        return len(self.things)

    def __iter__(self) -> Iterator[Task]:
        return map(self.make, self.things)


class _Rows:
    """The rows of a manifest, sorted by id and read again on each iteration."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Columns]:
        return sorted_rows(self.root)


# ---------------------------------------------------------------------------------------------- the work on one photo


def import_photo(root: Path, identifier: str, source: Path) -> Columns:
    """Check that a photo decodes completely, copy it into the dataset unchanged, and return its columns.

    Raises
    ------
    PictureError
        If it cannot be read.
    """
    data = images.read_bytes(source)
    width, height = images.photo_size(data, source)
    suffix = source.suffix.lower()
    name = f"photos/{identifier}{suffix}"
    write_bytes(root / name, data)
    for other in PICTURE_SUFFIXES:  # an earlier run may have written another format
        if other != suffix:
            remove(root / f"photos/{identifier}{other}")
    return {"photo": name, "photo_sha256": sha256(data), "width": str(width), "height": str(height)}


def write_label_map(
    root: Path, identifier: str, labels: NDArray[np.uint8], scheme: LabelScheme, *, palette: bool = False
) -> Columns:
    """Write a label map into the dataset and return its columns.

    Parameters
    ----------
    root : Path
        The dataset folder.
    identifier : str
        The photo's id.
    labels : (H, W) uint8 array
        Class ids of ``scheme``.
    scheme : LabelScheme
        The scheme of the label map.
    palette : bool
        Write indexed colour instead of grey; the values are the same.

    Returns
    -------
    dict of str to str
        The columns :data:`LABEL_COLUMNS`.
    """
    name = f"labels/{identifier}.png"
    data = images.write_labels(root / name, labels, scheme, palette=palette)
    return {"labels": name, "labels_sha256": sha256(data), **class_columns(labels, scheme)}


@dataclass(frozen=True)
class _Masks:
    """The work of merging one photo's part masks into a label map."""

    root: Path
    scheme: LabelScheme
    size: int | None
    palette: bool

    def __call__(
        self, todo: Sequence[str], identifier: str, photo: Path | None, parts: Mapping[str, Path]
    ) -> Mapping[str, Done]:
        if photo is None:
            raise Refused("no-photo", f"part masks without a photo {celebamask.PHOTOS}/{int(identifier)}.jpg")
        if not parts:
            folder = f"{celebamask.MASKS}/{int(identifier) // 2000}"
            raise Refused("no-parts", f"photo without part masks {folder}/{identifier}_<part>.png")
        labels, findings = masks.merge_files(parts, self.scheme, size=self.size)
        imported = import_photo(self.root, identifier, photo)
        columns = write_label_map(self.root, identifier, labels, self.scheme, palette=self.palette)
        return dict.fromkeys(todo, Done(imported | columns, findings))


@dataclass(frozen=True)
class _Drawing:
    """The work of drawing one photo's sketches."""

    root: Path
    drawings: Mapping[str, Sketch]
    size: int | None
    background: Background
    scheme: LabelScheme

    def needs_labels(self, sketch: Sketch) -> bool:
        return self.background == "blank" or sketch.needs_labels

    def __call__(
        self, todo: Sequence[str], identifier: str, photo: Path | None, labels: str, known: Columns
    ) -> Mapping[str, Done | Refused]:
        columns = _imported(self.root, identifier, photo, known)
        results: dict[str, Done | Refused] = {}
        drawings = {stage: self.drawings[stage] for stage in todo}
        if not labels:
            for stage in [stage for stage, sketch in drawings.items() if self.needs_labels(sketch)]:
                results[stage] = Refused("no-labels", f"no label map, which {drawings.pop(stage).name} needs")
        grey = drawing.read_grey(inside(self.root, columns["photo"]), size=self.size)
        needed = any(map(self.needs_labels, drawings.values()))
        areas = images.read_labels(inside(self.root, labels), self.scheme) if labels and needed else None
        drawn = drawing.draw_all(grey, drawings.values(), labels=areas, background=self.background)
        for stage, sketch in drawings.items():
            name = f"sketches/{sketch.name}/{identifier}.png"
            data = images.write_png(self.root / name, drawn[sketch.name])
            column = f"sketch_{sketch.name}"
            results[stage] = Done(columns | {column: name, f"{column}_sha256": sha256(data)})
        return results


@dataclass(frozen=True)
class _Shrinking:
    """The work of reducing one photo to training size."""

    root: Path
    size: int

    def __call__(
        self, todo: Sequence[str], identifier: str, photo: Path | None, _labels: str, known: Columns
    ) -> Mapping[str, Done]:
        columns = _imported(self.root, identifier, photo, known)
        name = f"photos_{self.size}/{identifier}.png"
        pixels = images.read_photo(inside(self.root, columns["photo"]))
        data = images.write_png(self.root / name, images.limit_size(pixels, self.size))
        column = f"photo_{self.size}"
        return dict.fromkeys(todo, Done(columns | {column: name, f"{column}_sha256": sha256(data)}))


def _imported(root: Path, identifier: str, photo: Path | None, known: Columns) -> Columns:
    """The photo's columns; the photo is copied into the dataset if it is not there yet."""
    if photo is None:
        raise Refused("no-photo", f"no photo {celebamask.PHOTOS}/{identifier.lstrip('0') or '0'}.jpg")
    return known if "photo" in known else import_photo(root, identifier, photo)


# ---------------------------------------------------------------------------------------------------------- the stages


def prepare_masks(
    raw: Path,
    out: Path,
    *,
    scheme: LabelScheme = CELEBAMASK_HQ,
    size: int | None = None,
    palette: bool = False,
    splits: Splits | None = None,
    strict: bool = False,
    workers: Workers | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Merge the part masks of a raw CelebAMask-HQ tree into label maps.

    Parameters
    ----------
    raw : Path
        The unpacked archive (see :mod:`facesynth.prep.celebamask`).
    out : Path
        The dataset folder; created if missing. Photos are copied into it unchanged.
    scheme : LabelScheme
        Defines the ids of the parts and the order in which they are painted.
    size : int, optional
        Height and width of the label maps, pixels, by nearest neighbour; by default those of the part masks.
    palette : bool
        Write indexed colour instead of grey; the values are the same.
    splits : Splits, optional
        How photos get their splits; by default from the archive's mapping file, or without one from a hash of the id.
    strict : bool
        A photo with any finding is a failure.
    workers : Workers, optional
        How photos are processed in parallel; by default in one process per core.
    force : bool
        Repeat work that is already done.
    progress : callable, optional
        Shows the progress.

    Returns
    -------
    Prepared

    Raises
    ------
    InputError
        If ``raw`` does not have the archive's layout, or ``out`` holds label maps of another scheme.
    OutputError
        If ``out`` cannot be written, or another run is writing it.
    """
    if size is not None:
        _check_size(size)
    tree = celebamask.index_tree(raw, splits=splits)
    work = _Masks(out.absolute(), scheme, size, palette)
    parameters = {"label_scheme": describe(scheme), "size": size, "palette": palette}
    recipe = make_key("masks", 2, parameters)

    def task(photo: celebamask.RawPhoto) -> Task:
        parts = {name: file.path for name, file in sorted(photo.parts.items())}
        stamps = [photo.photo and photo.photo.stamp, sorted((name, file.stamp) for name, file in photo.parts.items())]
        arguments = (photo.id, photo.photo and photo.photo.path, parts)
        return Task(photo.id, _columns_of(photo), {"masks": make_key(recipe, stamps)}, work, arguments, photo.problem)

    return run_into(
        out,
        [Stage("masks", ("photos", "labels"), LABEL_COLUMNS, parameters)],
        TasksOf(tree, task),
        scheme=scheme,
        sources=[tree.root],
        remarks=tree.remarks,
        has_splits=splits is not None,
        strict=strict,
        workers=workers or Workers(),
        force=force,
        progress=progress,
    )


def prepare_sketches(
    source: Path,
    out: Path,
    *,
    drawings: Sequence[Sketch],
    size: int | None = None,
    background: Background = "keep",
    splits: Splits | None = None,
    workers: Workers | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Draw sketches of every photo; each photo is read once for all of them.

    Parameters
    ----------
    source : Path
        A raw CelebAMask-HQ tree, or the dataset folder ``out`` itself.
    out : Path
        The dataset folder.
    drawings : sequence of Sketch
        What to draw (see :func:`facesynth.prep.sketches.presets.resolve`).
    size : int, optional
        Longer side of the sketches, pixels: larger photos are reduced first. By default the size of the photos.
    background : str
        ``keep`` draws the whole photo; ``blank`` leaves paper where the label map is background.
    splits, workers, force, progress
        As for :func:`prepare_masks`; a dataset folder keeps its splits.

    Returns
    -------
    Prepared

    Raises
    ------
    InputError
        If ``source`` is neither, no sketch or the same one twice is requested, or label maps are needed and ``source`` is a raw
        tree.
    OutputError
        If ``out`` cannot be written, or another run is writing it.
    """
    if size is not None:
        _check_size(size)
    names = [sketch.name for sketch in drawings]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"the sketch {min(twice)} is requested twice; give each once")
    if not names:
        raise InputError("no sketch is requested; give one of: " + ", ".join(METHODS))
    by_stage = {f"sketches-{sketch.name}": sketch for sketch in drawings}
    scheme = read_info(source)[0] if is_dataset(source) else CELEBAMASK_HQ
    work = _Drawing(out.absolute(), by_stage, size, background, scheme)
    if any(map(work.needs_labels, drawings)) and not is_dataset(source):
        what = "--background blank" if background == "blank" else "contours"
        raise InputError(
            f"{what} needs label maps and {source} is no dataset folder; run `facesynth prep masks` and give its --out"
        )
    stages = [
        Stage(
            name,
            ("photos", f"sketches/{sketch.name}"),
            (f"sketch_{sketch.name}", f"sketch_{sketch.name}_sha256"),
            {
                "method": sketch.method,
                "reference_width": REFERENCE_WIDTH,
                "size": size,
                "background": background,
                **sketch.parameters,
                **({"uses_labels": True} if work.needs_labels(sketch) else {}),
            },
        )
        for name, sketch in by_stage.items()
    ]
    return _run_on_photos(
        source, out, stages, work, splits=splits, workers=workers or Workers(), force=force, progress=progress
    )


def prepare_photos(
    source: Path,
    out: Path,
    *,
    size: int,
    splits: Splits | None = None,
    workers: Workers | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Reduce every photo to training size, so that training decodes small pictures.

    Parameters
    ----------
    source, out, splits, workers, force, progress
        As for :func:`prepare_sketches`.
    size : int
        Longer side of the reduced photos, pixels. They are area-averaged and stored as PNG, which is lossless; photos that are
        not larger keep their size.

    Returns
    -------
    Prepared

    Raises
    ------
    InputError, OutputError
        As :func:`prepare_sketches` does.
    """
    _check_size(size)
    column = f"photo_{size}"
    stage = Stage(f"photos-{size}", ("photos", f"photos_{size}"), (column, f"{column}_sha256"), {"size": size})
    return _run_on_photos(
        source,
        out,
        [stage],
        _Shrinking(out.absolute(), size),
        splits=splits,
        workers=workers or Workers(),
        force=force,
        progress=progress,
    )


def _run_on_photos(
    source: Path,
    out: Path,
    stages: Sequence[Stage],
    work: _Drawing | _Shrinking,
    *,
    splits: Splits | None,
    workers: Workers,
    force: bool,
    progress: Progress | None,
) -> Prepared:
    """Run stages that need photos, from a raw tree or from the dataset folder itself."""
    parameters = {stage.name: stage.parameters for stage in stages}
    recipes = {name: make_key(name, 2, values) for name, values in parameters.items()}
    remarks: Sequence[Any] = ()
    sources: Sequence[Path] = ()

    def of_row(row: Columns) -> Task:
        known = {name: row[name] for name in BASE_COLUMNS}
        with_labels = {name for name, values in parameters.items() if values.get("uses_labels")}
        keys = {
            name: make_key(key, row["photo_sha256"], row.get("labels_sha256", "") if name in with_labels else "")
            for name, key in recipes.items()
        }
        arguments = (row["id"], work.root / row["photo"] if row["photo"] else None, row.get("labels", ""), known)
        return Task(row["id"], known, keys, work, arguments)

    def of_raw(photo: celebamask.RawPhoto) -> Task:
        known, file = _columns_of(photo), photo.photo
        keys = {name: make_key(key, file and file.stamp) for name, key in recipes.items()}
        return Task(photo.id, known, keys, work, (photo.id, file and file.path, "", {}), photo.problem)

    if is_dataset(source):
        if resolved(source) != resolved(out):
            raise InputError(f"{source} is a dataset folder and takes the pictures itself; give it as --out, not {out}")
        if splits:
            raise InputError(
                f"{source} is a dataset folder and keeps its splits; set them with the command that creates it"
            )
        read_info(source)
        tasks = TasksOf(_Rows(source), of_row)
    else:
        tree = celebamask.index_tree(source, masks=False, splits=splits)
        sources, remarks, tasks = [tree.root], tree.remarks, TasksOf(tree, of_raw)
    return run_into(
        out,
        stages,
        tasks,
        sources=sources,
        remarks=remarks,
        has_splits=splits is not None,
        workers=workers,
        force=force,
        progress=progress,
    )


def _check_size(size: int) -> None:
    if not 16 <= size <= 4096:
        raise InputError(f"size is {size}; needed: 16 to 4096 pixels")


def _columns_of(photo: celebamask.RawPhoto) -> Columns:
    return {"id": photo.id, "split": photo.split, "celeba_file": photo.celeba_file}
