"""Importing your own photos with their label maps or sketches into a dataset folder, joined by file name."""

from __future__ import annotations

import os
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import get_args

from facesynth import images
from facesynth.errors import ColourError, InputError, shown
from facesynth.files import OTHER_SUFFIXES, PICTURE_SUFFIXES, resolved, sha256
from facesynth.kinds import NAMES, recognise
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


MARK = "{id}"
"""Stands for the id in a pattern of file names."""
_SAMPLED = 20
"""Names of a folder by which a pattern is looked for."""


def _pattern(text: str) -> re.Pattern[str]:
    """The regular expression for a pattern of file names without suffix.

    Raises
    ------
    InputError
        If the pattern does not have the mark of the id once.
    """
    if text.count(MARK) != 1:
        raise InputError(
            f"match has {shown(text)}; needed: two patterns of names without suffix, each with {MARK} once"
        )
    before, _, after = text.partition(MARK)
    return re.compile(f"{re.escape(before)}(.+){re.escape(after)}", re.DOTALL)


def closest_patterns(photos: Sequence[str], conditions: Sequence[str]) -> tuple[tuple[str, str], int] | None:
    """The patterns by which most names of two folders pair, and the number of pairs; None if none do.

    Examples
    --------
    >>> closest_patterns(["f-005-01", "m-006-01"], ["f-005-01-sz1", "m-006-01-sz1"])
    (('{id}', '{id}-sz1'), 2)
    """
    seen: Counter[tuple[str, str]] = Counter()
    for one in photos[:_SAMPLED]:
        for other in conditions[:_SAMPLED]:
            match = SequenceMatcher(None, one, other, autojunk=False).find_longest_match()
            if match.size:
                ends = match.a + match.size, match.b + match.size
                first, second = one[: match.a] + MARK + one[ends[0] :], other[: match.b] + MARK + other[ends[1] :]
                seen[first, second] += 1
    best: tuple[tuple[str, str], int] | None = None
    for pair, _ in seen.most_common(_SAMPLED):
        ids = [
            {found[1] for name in names if (found := _pattern(text).fullmatch(name))}
            for text, names in zip(pair, (photos, conditions), strict=True)
        ]
        if (count := len(ids[0] & ids[1])) > (best[1] if best else 0):
            best = pair, count
    return best


def _list_pictures(
    folder: Path, suffixes: tuple[str, ...] = PICTURE_SUFFIXES, pattern: str = MARK
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
        matched = _pattern(pattern).fullmatch(unicodedata.normalize("NFC", stem))
        if not matched:
            remarks.append((escaped(f"{folder.name}/{name}"), Finding("no-id", f"needed: a name as {pattern}")))
            continue
        identifier = matched[1]  # ü can be one code point (NFC) or two (NFD, macOS)
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
                picture = images.Picture.read(condition)
                found = picture.label_map(self.scheme, void=self.void)
            except ColourError as error:
                raise Refused("colours", str(error)) from error
            array = found.ids
            findings += [Finding(kind, text) for kind, text in found.notes]
            imported = import_photo(self.root, identifier, photo)
            columns = write_label_map(self.root, identifier, array, self.scheme, palette=self.palette)
        else:
            picture = images.Picture.read(condition)
            array, _ = clean_paper(picture.sketch(), self.paper)
            imported = import_photo(self.root, identifier, photo)
            path, column = f"sketches/{self.name}/{identifier}.png", f"sketch_{self.name}"
            columns = {column: path, f"{column}_sha256": sha256(images.write_png(self.root / path, array))}
        recognised = recognise(picture, self.scheme)
        if recognised.kind not in (self.kind, "unsure"):
            other = f"it is {NAMES[recognised.kind]}: {recognised.reason}"
            findings.append(Finding("kind", f"given as {NAMES[self.kind]}; {other}"))
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
    match: tuple[str, str] | None = None,
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
    match : (str, str), optional
        Patterns of the names of photos and conditions without suffix, with ``{id}`` where the id is; by default the whole name.
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
    if resolved(photos) == resolved(conditions):
        raise InputError(f"{photos} was given both for the photos and for the {kind}; give two folders")
    patterns = match or (MARK, MARK)
    left, left_remarks = _list_pictures(photos, pattern=patterns[0])
    arrays = (ARRAY_SUFFIX,) if kind == "labels" else ()
    right, right_remarks = _list_pictures(conditions, (*PICTURE_SUFFIXES, *arrays), patterns[1])
    if not left.keys() & right.keys():
        raise InputError(
            f"no picture in {photos} has the same name as one in {conditions}: for example {min(left)} and {min(right)}; "
            f"pairs are joined by file name without the suffix{_hint(left, right) if match is None else ''}"
        )
    has_splits, splits = splits is not None, splits or Splits()
    photos, conditions = photos.absolute(), conditions.absolute()
    work = _Pairing(out.absolute(), kind, name, scheme, palette, paper, void)
    labels = kind == "labels"
    # The key contains the folders: unpacked pictures often have the same size and date.
    folders = [str(resolved(photos)), str(resolved(conditions))]
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


def _hint(photos: Listed, conditions: Listed) -> str:
    """What to give so that names pair, for the end of a message; empty if no pattern is found."""
    found = closest_patterns(sorted(photos), sorted(conditions))
    if found is None:
        return ""
    (first, second), count = found
    return f"; --match {shlex.quote(first)} {shlex.quote(second)} would join {count}"


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
