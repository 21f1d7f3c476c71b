"""Converting label maps from one label scheme to another, one folder at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facesynth import images
from facesynth.errors import InputError, PictureError
from facesynth.files import PICTURE_SUFFIXES, make_folder, pictures_in, resolved
from facesynth.label_maps import ARRAY_SUFFIX, check_void
from facesynth.labels import LabelScheme, remap

Progress = Callable[[Iterable[Any], int], Iterable[Any]]
"""Wraps an iterable of known length to show its progress."""


@dataclass
class Remapped:
    """The result of a call.

    Attributes
    ----------
    root : Path
        The folder that was written to.
    written : int
        Number of label maps written.
    failures : list of (Path, str)
        Maps that could not be read or renumbered, each with the reason in one line.
    notes : list of (Path, str)
        What was changed to read a map, and what speaks against its ids.
    """

    root: Path
    written: int = 0
    failures: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[tuple[Path, str]] = field(default_factory=list)


def remap_folder(
    source: Path,
    out: Path,
    *,
    source_scheme: LabelScheme,
    target_scheme: LabelScheme,
    classes: Mapping[str, str] | None = None,
    void: int | None = None,
    palette: bool = False,
    size: int | None = None,
    progress: Progress | None = None,
) -> Remapped:
    """Renumber one label map or those of a folder.

    Parameters
    ----------
    source : Path
        A label map, or a folder of them without sub-folders. Maps hold class ids, as pictures or ``.npy``, or known colours.
    out : Path
        The folder to write to, created if missing, not that of ``source``. Files keep their names with the suffix .png.
    source_scheme, target_scheme : LabelScheme
        The scheme of the maps, and the one to convert to.
    classes : mapping of str to str, optional
        Targets of classes that the target scheme does not have (see :func:`facesynth.labels.remap`).
    void : int, optional
        The value that stands for no class, such as 255; it becomes background.
    palette : bool
        Write palette pictures in the target's colours.
    size : int, optional
        Height and width to resize to by nearest neighbour, pixels.
    progress : callable, optional
        Wraps the files; called with them and their number.

    Returns
    -------
    Remapped

    Raises
    ------
    InputError
        If there is nothing to convert, two maps have the same name, a class has no target, ``size`` is out of its range, or
        ``out`` is the folder of the maps. A single bad map is a failure of the result.
    OutputError
        If ``out`` cannot be written.
    """
    if size is not None and not 1 <= size <= 8192:
        raise InputError(f"size is {size}; needed: 1 to 8192 pixels")
    remap(np.zeros((0, 0), np.uint8), source_scheme, target_scheme, classes=classes)  # report unmapped classes once
    check_void(void, source_scheme)
    files = pictures_in([source], (*PICTURE_SUFFIXES, ARRAY_SUFFIX))
    if resolved(out) == resolved(files[0].parent):
        raise InputError(f"the label maps are in {out} already; give another folder, nothing is overwritten in place")
    stems: dict[str, Path] = {}
    for path in files:
        if path.stem in stems:
            raise InputError(f"{stems[path.stem]} and {path} would both be written as {path.stem}.png; rename one")
        stems[path.stem] = path
    done = Remapped(make_folder(out))
    for path in progress(files, len(files)) if progress else files:
        try:
            found = images.Picture.read(path).label_map(source_scheme, void=void)
        except PictureError as error:
            done.failures.append((path, str(error)))
            continue
        labels = found.ids
        done.notes += [(path, text) for _, text in found.notes]
        if size is not None:
            labels = images.resize(labels, (size, size), labels=True)
        renumbered = remap(labels, source_scheme, target_scheme, classes=classes)
        images.write_labels(out / f"{path.stem}.png", renumbered, target_scheme, palette=palette)
        done.written += 1
    return done
