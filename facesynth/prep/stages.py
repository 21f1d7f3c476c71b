"""The stages of preparation: a raw tree into label maps and sketches, and the embedded sample into a raw tree.

Each takes folders and parameters, does what is missing, and leaves a dataset folder as :mod:`facesynth.manifest` describes.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facesynth import images
from facesynth.errors import InputError
from facesynth.files import locked, make_folder, sha256, write_bytes, write_text
from facesynth.labels import CELEBAMASK_HQ
from facesynth.manifest import BASE_COLUMNS, Dataset, is_dataset, is_path_column, read_dataset, write_dataset
from facesynth.prep import celebamask, masks, sketches
from facesynth.prep.pipeline import (
    Columns,
    Failure,
    Progress,
    StageReport,
    Task,
    check_jobs,
    make_key,
    run_stage,
    run_tasks,
)
from facesynth.prep.portraits import draw_portrait

REFERENCE_WIDTH = 512
"""Widths in sketches are given for a picture this wide, in pixels, so that a photo of any size gives the same drawing."""

SKETCH_METHODS = {"dodge": sketches.dodge, "xdog": sketches.xdog}
"""The sketch filters by name."""


@dataclass
class Prepared:
    """What a call did.

    Attributes
    ----------
    root : Path
        The folder that was filled.
    written, kept : int
        Photos done now, and found done.
    failures : list of Failure
        Photos that could not be done.
    splits : dict of str to int
        Photos of the manifest by split.
    """

    root: Path
    written: int
    kept: int
    failures: list[Failure]
    splits: dict[str, int] = field(default_factory=dict)


# ---------------------------------------------------------------------------------------------- the work on one photo


def _import_photo(root: Path, identifier: str, source: Path) -> tuple[Columns, np.ndarray[Any, np.dtype[np.uint8]]]:
    """Copy a photo into the dataset byte by byte, and return its columns and pixels."""
    data = images.read_bytes(source)
    pixels = images.to_rgb(images.decode(data, source))
    name = f"photos/{identifier}{source.suffix.lower()}"
    write_bytes(root / name, data)
    height, width = pixels.shape[:2]
    return {"photo": name, "photo_sha256": sha256(data), "width": str(width), "height": str(height)}, pixels


def _check_split(known: Columns) -> None:
    if not known["split"]:
        raise InputError(f"id {int(known['id'])} is not in {celebamask.MAPPING}, which gives the split")


def _merge_masks(root: Path, identifier: str, photo: Path | None, parts: Mapping[str, Path], known: Columns) -> Columns:
    _check_split(known)
    if photo is None:
        raise InputError(f"part masks without a photo {celebamask.PHOTOS}/{int(identifier)}.jpg")
    if not parts:
        raise InputError(
            f"photo without part masks {celebamask.MASKS}/{int(identifier) // 2000}/{identifier}_<part>.png"
        )
    labels = masks.merge({name: images.read_part_mask(path) for name, path in parts.items()}, CELEBAMASK_HQ)
    if not labels.any():
        raise InputError("every part mask is empty: the label map would be blank")
    columns, _ = _import_photo(root, identifier, photo)
    name = f"labels/{identifier}.png"
    data = images.write_png(root / name, labels)
    present = " ".join(str(number) for number in np.unique(labels))
    return known | columns | {"labels": name, "labels_sha256": sha256(data), "classes": present}


def _draw_sketch(
    root: Path, identifier: str, photo: Path | None, method: str, parameters: Mapping[str, float], known: Columns
) -> Columns:
    _check_split(known)
    if photo is None:
        raise InputError(f"no photo {celebamask.PHOTOS}/{int(identifier)}.jpg")
    if "photo" in known:
        columns, pixels = known, images.read_photo(photo)
    else:
        imported, pixels = _import_photo(root, identifier, photo)
        columns = known | imported
    scaled = {**parameters, "sigma": parameters["sigma"] * pixels.shape[1] / REFERENCE_WIDTH}
    drawing = SKETCH_METHODS[method](sketches.luma(pixels), **scaled)
    name = f"sketches/{method}/{identifier}.png"
    data = images.write_png(root / name, np.round(drawing * 255).astype(np.uint8))
    column = f"sketch_{method}"
    return columns | {column: name, f"{column}_sha256": sha256(data)}


def _write_portrait(root: Path, seed: int, index: int, size: int) -> Columns:
    portrait = draw_portrait(seed, index, size=size)
    folder = root / celebamask.MASKS / str(index // 2000)
    for name, mask in portrait.parts.items():
        rgb = np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=2)
        images.write_png(folder / f"{index:05d}_{name}.png", rgb)
    write_bytes(root / celebamask.PHOTOS / f"{index}.jpg", images.encode_jpeg(portrait.photo))
    return {}


# ---------------------------------------------------------------------------------------------------------- the stages


def _raw_columns(photo: celebamask.RawPhoto) -> Columns:
    return {"id": photo.id, "split": photo.split, "celeba_file": photo.celeba_file}


def prepare_masks(
    raw: Path, out: Path, *, jobs: int = -1, force: bool = False, progress: Progress | None = None
) -> Prepared:
    """Merge the part masks of a raw CelebAMask-HQ tree into 19-class label maps.

    Parameters
    ----------
    raw : Path
        The unpacked archive (see :mod:`facesynth.prep.celebamask`).
    out : Path
        The dataset folder; made if missing. Photos are copied into it unchanged.
    jobs : int
        Processes; -1 for one a core.
    force : bool
        Do again what is done.
    progress : callable, optional
        Shows how far the work is.

    Raises
    ------
    InputError
        If ``raw`` is not laid out as the archive is.
    OutputError
        If ``out`` cannot be written, or another run is writing it.
    """
    photos = celebamask.index_tree(raw)
    tasks = []
    for photo in photos:
        source = photo.photo.path if photo.photo else None
        parts = {name: file.path for name, file in sorted(photo.parts.items())}
        stamps = [photo.photo and photo.photo.stamp, sorted((name, file.stamp) for name, file in photo.parts.items())]
        known = _raw_columns(photo)
        arguments = (out, photo.id, source, parts, known)
        tasks.append(Task(photo.id, _merge_masks, arguments, make_key("masks", 1, known, stamps)))
    parameters = {"label_scheme": CELEBAMASK_HQ.name}
    stage = _Stage("masks", ("photos", "labels"), ("labels", "labels_sha256", "classes"), parameters)
    return _run(out, stage, tasks, jobs=jobs, force=force, progress=progress)


def prepare_sketches(
    source: Path,
    out: Path,
    *,
    method: str,
    parameters: Mapping[str, float],
    jobs: int = -1,
    force: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Draw a sketch of every photo.

    Parameters
    ----------
    source : Path
        A raw CelebAMask-HQ tree, or the dataset folder ``out`` itself.
    out : Path
        The dataset folder.
    method : str
        One of :data:`SKETCH_METHODS`.
    parameters : mapping of str to float
        The filter's parameters where they are not its defaults (see :mod:`facesynth.prep.sketches`); ``sigma`` is for
        a picture 512 pixels wide and is scaled with the photo's width.
    jobs, force, progress
        As in :func:`prepare_masks`.

    Raises
    ------
    InputError
        If ``source`` is neither, or a parameter is out of its range.
    OutputError
        If ``out`` cannot be written, or another run is writing it.
    """
    if method not in SKETCH_METHODS:
        raise InputError(f"sketch method {method!r} is not known; give one of: {', '.join(SKETCH_METHODS)}")
    known_parameters = inspect.signature(SKETCH_METHODS[method]).parameters.values()
    defaults = {item.name: item.default for item in known_parameters if item.kind is item.KEYWORD_ONLY}
    for name in parameters:
        if name not in defaults:
            raise InputError(f"{method} has no parameter {name!r}; it has: {', '.join(defaults)}")
    parameters = {**defaults, **parameters}
    SKETCH_METHODS[method](np.ones((1, 1), np.float32), **parameters)  # a wrong parameter is one error, not one a photo
    tasks = []
    if is_dataset(source):
        if source.resolve() != out.resolve():
            raise InputError(f"{source} is a dataset folder and gets the sketches itself; give it as --out, not {out}")
        for row in read_dataset(source).rows.to_dict("records"):
            known = {name: str(row[name]) for name in BASE_COLUMNS}
            key = make_key("sketches", 1, method, dict(parameters), known)
            arguments = (out, known["id"], out / known["photo"], method, parameters, known)
            tasks.append(Task(known["id"], _draw_sketch, arguments, key))
    else:
        for photo in celebamask.index_tree(source, masks=False):
            known, file = _raw_columns(photo), photo.photo
            key = make_key("sketches", 1, method, dict(parameters), known, file and file.stamp)
            tasks.append(
                Task(photo.id, _draw_sketch, (out, photo.id, file and file.path, method, parameters, known), key)
            )
    columns = (f"sketch_{method}", f"sketch_{method}_sha256")
    recorded = {"method": method, "reference_width": REFERENCE_WIDTH, **parameters}
    stage = _Stage(f"sketches-{method}", ("photos", f"sketches/{method}"), columns, recorded)
    return _run(out, stage, tasks, jobs=jobs, force=force, progress=progress)


@dataclass(frozen=True)
class _Stage:
    """A stage's name, the folders it writes to, the manifest columns that are its own, and what is recorded of it."""

    name: str
    folders: tuple[str, ...]
    columns: tuple[str, ...]
    parameters: Mapping[str, Any]


def _run(
    out: Path, stage: _Stage, tasks: Sequence[Task], *, jobs: int, force: bool, progress: Progress | None
) -> Prepared:
    """Run a stage into the dataset folder ``out`` and write its manifest last."""
    check_jobs(jobs)
    make_folder(out)
    with locked(out):
        for folder in stage.folders:
            make_folder(out / folder)
        before = read_dataset(out) if is_dataset(out) else None
        if before and "labels" in stage.columns and before.scheme != CELEBAMASK_HQ:
            raise InputError(f"{out} is of scheme {before.scheme.name}, not {CELEBAMASK_HQ.name}; give another folder")
        report = run_stage(out, stage.name, tasks, is_path=is_path_column, jobs=jobs, force=force, progress=progress)
        _write_failures(out, stage.name, report.failures)
        dataset = _merge_into(out, before, stage, report)
        if dataset is None:
            return Prepared(out, report.written, report.kept, report.failures)
        write_dataset(dataset)
    splits = {str(name): int(count) for name, count in dataset.rows["split"].value_counts().items()}
    return Prepared(out, report.written, report.kept, report.failures, splits)


def _merge_into(out: Path, before: Dataset | None, stage: _Stage, report: StageReport) -> Dataset | None:
    """The dataset with the stage's columns: new rows added, other columns left alone, columns of failures emptied."""
    import pandas as pd

    rows: dict[str, Columns] = {}
    if before is not None:
        rows = {
            str(row["id"]): {str(name): str(value) for name, value in row.items()}
            for row in before.rows.to_dict("records")
        }
    for failure in report.failures:
        if failure.id in rows:
            rows[failure.id].update(dict.fromkeys(stage.columns, ""))
    for identifier, columns in report.rows.items():
        rows.setdefault(identifier, {}).update(columns)
    if not rows:
        return None
    table = pd.DataFrame.from_dict(rows, orient="index").fillna("").astype(str)
    stages = {**(before.stages if before else {}), stage.name: dict(stage.parameters)}
    return Dataset(out, table, before.scheme if before else CELEBAMASK_HQ, stages)


def _write_failures(out: Path, stage: str, failures: Sequence[Failure]) -> None:
    """Keep the stage's failures as rows of report.csv, beside those of the other stages."""
    import pandas as pd

    path = out / "report.csv"
    columns = ["stage", "id", "finding"]
    table = pd.DataFrame([[stage, failure.id, failure.reason] for failure in failures], columns=columns, dtype=str)
    if path.is_file():
        others = pd.read_csv(path, dtype=str, keep_default_na=False)
        table = pd.concat([others[others["stage"] != stage], table]).sort_values(["stage", "id"])
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


# ---------------------------------------------------------------------------------------------------------- the sample


def make_sample(
    out: Path, *, count: int = 200, seed: int = 0, size: int = 512, jobs: int = -1, progress: Progress | None = None
) -> Prepared:
    """Draw procedural portraits into a raw tree as CelebAMask-HQ's archive lays it out.

    Parameters
    ----------
    out : Path
        The raw tree; made if missing.
    count : int
        Portraits, ids 0 to ``count - 1``.
    seed : int
        A portrait depends on the seed and its id alone.
    size : int
        Height and width of the photos, pixels; the part masks are 512 x 512, as in the archive.
    jobs, progress
        As in :func:`prepare_masks`.

    Raises
    ------
    InputError
        If a number is out of its range, or ``out`` holds other portraits.
    OutputError
        If ``out`` cannot be written.
    """
    if not 1 <= count <= 100_000:
        raise InputError(f"count is {count}; needed: 1 to 100000 portraits")
    draw_portrait(seed, 0, size=size, mask_size=64)  # a wrong seed or size is one error, not one a portrait
    check_jobs(jobs)
    make_folder(out)
    with locked(out):
        _claim_sample(out, {"facesynth_sample": 1, "seed": seed, "size": size, "count": count})
        make_folder(out / celebamask.PHOTOS)
        for number in range(-(-count // 2000)):
            make_folder(out / celebamask.MASKS / str(number))
        # The photo is written last, so where it stands, the portrait is done.
        todo = [index for index in range(count) if not (out / celebamask.PHOTOS / f"{index}.jpg").is_file()]
        tasks = [Task(f"{index:05d}", _write_portrait, (out, seed, index, size), "") for index in todo]
        for _ in run_tasks(tasks, jobs=jobs, progress=progress):
            pass
        lines = (f"{index} {number - 1} {number:06d}.jpg\n" for index, number in enumerate(_celeba_numbers(count)))
        write_text(out / celebamask.MAPPING, "idx orig_idx orig_file\n" + "".join(lines))
    return Prepared(out, len(todo), count - len(todo), [])


def _claim_sample(out: Path, parameters: dict[str, int]) -> None:
    """Note the parameters of the sample in its folder, or see that they are those noted before."""
    path = out / "sample.json"
    if path.is_file():
        try:
            noted = json.loads(path.read_text("utf-8"))
            fits = all(noted[name] == parameters[name] for name in ("facesynth_sample", "seed", "size"))
            fits = fits and noted["count"] <= parameters["count"]
        except (ValueError, KeyError, TypeError):
            noted, fits = "unreadable", False
        if not fits:
            raise InputError(
                f"{out} holds another or a larger sample ({noted}); give an empty folder, or the same numbers"
            )
    elif any(entry for entry in out.iterdir() if not entry.name.startswith(".")):
        raise InputError(f"{out} is not empty and holds no sample; give an empty folder")
    write_text(path, json.dumps(parameters) + "\n")


def _celeba_numbers(count: int) -> list[int]:
    """CelebA file numbers for ids 0, 1, ..., spread evenly over the official partitions, each once."""
    files, step = 202_599, 125_213  # the step is coprime to the number of files and near its golden section
    return [(61_803 + index * step) % files + 1 for index in range(count)]
