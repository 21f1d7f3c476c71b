"""Importing your own photos with their label maps or sketches into a dataset folder, joined by file name."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from facesynth import images
from facesynth.errors import ColourError, InputError
from facesynth.files import OTHER_SUFFIXES, PICTURE_SUFFIXES, sha256
from facesynth.label_maps import ARRAY_SUFFIX, check_void
from facesynth.labels import CELEBAMASK_HQ, LabelScheme, describe
from facesynth.manifest import NEEDED_ID, is_new_id, is_usable_id
from facesynth.paper import PaperMode, clean_paper
from facesynth.prep.pipeline.dataset import Prepared, Stage, run_into
from facesynth.prep.pipeline.findings import Finding, Refused
from facesynth.prep.pipeline.journal import Done, Task, make_key
from facesynth.prep.pipeline.source_file import SourceFile, escaped, source_file
from facesynth.prep.pipeline.workers import Progress, Workers
from facesynth.prep.sketches.presets import METHODS
from facesynth.prep.splits import Splits
from facesynth.prep.stages import LABEL_COLUMNS, TasksOf, import_photo, write_label_map

PAIR_KINDS = ("labels", "sketch")
"""What the conditions can be."""

Listed = dict[str, list[str]]
"""File names by id."""


def _list_pictures(
    folder: Path, suffixes: tuple[str, ...] = PICTURE_SUFFIXES
) -> tuple[Listed, list[tuple[str, Finding]]]:
    """The pictures of a folder by stem, and remarks on those whose stems cannot be ids."""
    by_stem: Listed = {}
    remarks = []
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror or error}; give a folder of pictures") from error
    known = {name.lower() for name in names}
    for name in names:
        if name.startswith(".") or not name.lower().endswith((*suffixes, *OTHER_SUFFIXES)):
            continue
        stem = name[: name.rindex(".")]
        if name.lower().endswith(OTHER_SUFFIXES) and any(f"{stem}{suffix}".lower() in known for suffix in suffixes):
            continue
        identifier = unicodedata.normalize("NFC", stem)  # ü can be one code point (NFC) or two (NFD, macOS)
        if is_new_id(identifier):
            by_stem.setdefault(identifier, []).append(name)
        else:
            remarks.append((escaped(f"{folder.name}/{name}"), Finding("no-id", NEEDED_ID)))
    if not by_stem:
        raise InputError(f"no picture in {folder}; looked for {', '.join(suffixes)}")
    return by_stem, remarks


@dataclass(frozen=True)
class _Pairing:
    """The work of importing one pair into the dataset."""

    root: Path
    kind: str
    name: str
    scheme: LabelScheme
    palette: bool
    paper: PaperMode
    void: int | None

    def __call__(self, todo: Sequence[str], identifier: str, photo: Path, condition: Path) -> Mapping[str, Done]:
        findings = []
        if self.kind == "labels":
            try:
                found = images.Picture.read(condition).label_map(self.scheme, void=self.void)
            except ColourError as error:
                raise Refused("colours", str(error)) from error
            array = found.ids
            findings += [Finding(kind, text) for kind, text in found.notes]
            imported = import_photo(self.root, identifier, photo)
            columns = write_label_map(self.root, identifier, array, self.scheme, palette=self.palette)
        else:
            array, _ = clean_paper(images.read_sketch(condition), self.paper)
            imported = import_photo(self.root, identifier, photo)
            path, column = f"sketches/{self.name}/{identifier}.png", f"sketch_{self.name}"
            columns = {column: path, f"{column}_sha256": sha256(images.write_png(self.root / path, array))}
        width, height = int(imported["width"]), int(imported["height"])
        map_height, map_width = array.shape
        if abs(width * map_height - height * map_width) > 0.02 * width * map_height:
            findings.append(Finding("proportions", f"photo {width} x {height}, {self.kind} {map_width} x {map_height}"))
        return dict.fromkeys(todo, Done(imported | columns, tuple(findings)))


def prepare_pairs(
    photos: Path,
    conditions: Path,
    out: Path,
    *,
    kind: str,
    name: str = "own",
    scheme: LabelScheme = CELEBAMASK_HQ,
    palette: bool = False,
    paper: PaperMode = "keep",
    void: int | None = None,
    splits: Splits | None = None,
    strict: bool = False,
    workers: Workers | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Join a folder of photos with one of label maps or sketches by file stem.

    Parameters
    ----------
    photos, conditions : Path
        Folders of pictures; ``a.jpg`` in one belongs to ``a.png`` in the other.
    out : Path
        The dataset folder; created if missing. Photos are copied into it unchanged.
    kind : str
        What ``conditions`` holds: ``labels`` (class ids as pictures or ``.npy``, or known colours) or ``sketch``.
    name : str
        Name of the sketches: the column ``sketch_<name>``.
    scheme : LabelScheme
        The scheme of the label maps.
    paper : str
        What is done to photographs and scans of sketches: ``keep``, ``auto`` or ``level``, as for
        :func:`facesynth.paper.clean_paper`.
    void : int, optional
        The value that stands for no class in label maps, such as 255; it becomes background.
    palette, splits, strict, workers, force, progress
        As for :func:`facesynth.prep.stages.prepare_masks`; by default the split follows from a hash of the id.

    Returns
    -------
    Prepared

    Raises
    ------
    InputError
        If a folder holds no picture, no names match, or the kind or name is not allowed.
    OutputError
        If ``out`` cannot be written, or another run is writing it.
    """
    if kind not in PAIR_KINDS:
        raise InputError(f"kind {kind!r} is not known; give one of: {', '.join(PAIR_KINDS)}")
    if paper not in get_args(PaperMode):
        raise InputError(f"paper is {paper!r}; needed: {', '.join(get_args(PaperMode))}")
    if paper != "keep" and kind != "sketch":
        raise InputError(f"paper is {paper!r}, but the kind is {kind}; it applies to sketches only")
    if void is not None and kind != "labels":
        raise InputError(f"void is {void}, but the kind is {kind}; it applies to label maps only")
    check_void(void, scheme)
    if not is_usable_id(name) or name.endswith("_sha256") or name.partition("-")[0] in METHODS:
        raise InputError(
            f"{name!r} cannot name your sketches; needed: a folder name that is no method of `facesynth prep sketches`"
        )
    if photos.resolve() == conditions.resolve():
        raise InputError(f"{photos} was given both for the photos and for the {kind}; give two folders")
    left, left_remarks = _list_pictures(photos)
    arrays = (ARRAY_SUFFIX,) if kind == "labels" else ()
    right, right_remarks = _list_pictures(conditions, (*PICTURE_SUFFIXES, *arrays))
    if not left.keys() & right.keys():
        raise InputError(
            f"no picture in {photos} has the same name as one in {conditions}: for example {min(left)} and {min(right)}; "
            "pairs are joined by file name without the suffix"
        )
    has_splits, splits = splits is not None, splits or Splits()
    photos, conditions = photos.absolute(), conditions.absolute()
    work = _Pairing(out.absolute(), kind, name, scheme, palette, paper, void)
    labels = kind == "labels"
    # The key contains the folders: unpacked pictures often have the same size and date.
    folders = [str(photos.resolve()), str(conditions.resolve())]
    levelling = {} if paper == "keep" else {"paper": paper}
    voiding = {} if void is None else {"void": void}
    recipe = make_key(
        "pairs",
        2,
        kind,
        name,
        describe(scheme),
        palette if labels else None,
        folders,
        *levelling.items(),
        *voiding.items(),
    )
    stage = Stage(
        "pairs-labels" if labels else f"pairs-sketch-{name}",
        ("photos", "labels" if labels else f"sketches/{name}"),
        LABEL_COLUMNS if labels else (f"sketch_{name}", f"sketch_{name}_sha256"),
        {
            "kind": kind,
            **(
                {"label_scheme": describe(scheme), "palette": palette, **voiding}
                if labels
                else {"name": name, **levelling}
            ),
        },
    )

    def task(identifier: str) -> Task:
        photo, first = _only_file(photos, left.get(identifier, []))
        condition, second = _only_file(conditions, right.get(identifier, []))
        split = splits.of(identifier)
        problem = first or second
        if not problem and photo is None:
            problem = Refused("no-photo", f"{conditions.name}/{right[identifier][0]} has no photo in {photos.name}")
        elif not problem and condition is None:
            problem = Refused("no-condition", f"{photos.name}/{left[identifier][0]} has no {kind} in {conditions.name}")
        elif not problem and not split:
            problem = Refused("no-split", f"not in {splits.source}, which defines the splits")
        keys = {stage.name: make_key(recipe, photo and photo.stamp, condition and condition.stamp)}
        known = {"id": identifier, "split": split, "celeba_file": ""}
        arguments = (identifier, photo and photo.path, condition and condition.path)
        return Task(identifier, known, keys, work, arguments, problem)

    return run_into(
        out,
        [stage],
        TasksOf(sorted(left.keys() | right.keys()), task),
        scheme=scheme if labels else None,
        sources=[photos.parent, conditions.parent],
        remarks=sorted(left_remarks + right_remarks),
        has_splits=has_splits,
        strict=strict,
        workers=workers or Workers(),
        force=force,
        progress=progress,
    )


def _only_file(folder: Path, names: Sequence[str]) -> tuple[SourceFile | None, Refused | None]:
    """The single file of an id, or the reason why there is none."""
    if not names:
        return None, None
    if len(names) > 1:
        return None, Refused(
            "duplicate", f"{folder.name}/{names[0]} and {names[1]} have the same name; keep one of them"
        )
    file = source_file(folder / names[0])
    return file, file.problem
