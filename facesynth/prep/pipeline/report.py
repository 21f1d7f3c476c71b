"""The report of a dataset folder, ``DATA/report.html``: one self-contained file.

Findings and rows are read once, line by line. Only counts and the few photos to be shown are kept; the photos are embedded as
small pictures. The same folder gives the same bytes, whatever its path.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import cv2
import numpy as np
from PIL import Image

from facesynth import __version__, images
from facesynth.errors import DatasetError
from facesynth.files import PICTURE_SUFFIXES, check_regular, inside, replacing
from facesynth.labels import CELEBAMASK_HQ, LabelScheme
from facesynth.manifest import SPLITS, is_dataset, is_path_column, is_usable_id, iter_rows, read_columns, read_info
from facesynth.prep.pipeline.findings import KINDS, text_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAGE = "report.html"
FINDINGS = "report.csv"
OVERLAYS, PAIRS, EXAMPLES = 12, 6, 3
"""Largest numbers of label maps, of photos with sketches, and of findings per kind on the page."""
LARGE, SMALL = 320, 224
"""Longer side of the pictures in the galleries, and of those beside findings; pixels."""
OPACITY = 0.45
"""Opacity of a label map over its photo; the background is transparent."""
BUDGET = 900_000
"""Total size of the pictures on the page, bytes; base64 adds a third."""

Row = Mapping[str, str]
T = TypeVar("T")


def write_report(root: Path) -> None:
    """Write the report of a dataset folder; an unchanged file is left untouched.

    Parameters
    ----------
    root : Path
        The dataset folder. If it has no manifest because no photo could be prepared, the report shows only the findings.

    Raises
    ------
    DatasetError
        If the manifest or ``report.csv`` cannot be read.
    OutputError
        If the report cannot be written.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(visible=visible, share=share, number=_number)
    template = environment.from_string(files("facesynth.prep.pipeline").joinpath("report.html.j2").read_text("utf-8"))
    page = template.render(_gather(root))
    with replacing(root / PAGE, keep_same=True) as beside:
        beside.write_text(page, "utf-8", newline="\n")


def visible(text: object, longest: int = 400) -> str:
    r"""Text of unknown origin on one line: unprintable characters are escaped, and long text is truncated.

    Examples
    --------
    >>> visible("two\nlines")
    'two\\nlines'
    """
    line = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text))
    return line if len(line) <= longest else line[: longest - 1] + "…"


def share(part: float, whole: float) -> str:
    """A fraction as a percentage for display.

    Examples
    --------
    >>> share(1, 3), share(1, 30000), share(0, 7)
    ('33.3%', '< 0.1%', '0%')
    """
    percent = 100 * part / whole if whole else 0.0
    if percent == 0 or percent == 100:
        return f"{percent:.0f}%"
    return "< 0.1%" if percent < 0.1 else f"{min(percent, 99.9):.1f}%"


def _number(value: int) -> str:
    return f"{value:,}"


# ------------------------------------------------------------------------------------------------- what the page shows


class Spread(Generic[T]):
    """Evenly spaced items of a stream of unknown length.

    Parameters
    ----------
    count : int
        Number of items.

    Examples
    --------
    >>> spread = Spread(3)
    >>> for item in range(90):
    ...     spread.add(item)
    >>> spread.chosen()
    [0, 28, 60]
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._kept: list[T] = []
        self._step = 1
        self._seen = 0

    def add(self, item: T) -> None:
        """Process the next item."""
        if self._seen % self._step == 0:
            if len(self._kept) == 8 * self.count:
                self._kept = self._kept[::2]
                self._step *= 2
            if self._seen % self._step == 0:
                self._kept.append(item)
        self._seen += 1

    def chosen(self) -> list[T]:
        """The chosen items; all of them if there are few."""
        count = min(self.count, len(self._kept))
        return [self._kept[index * len(self._kept) // count] for index in range(count)]


@dataclass
class _Group:
    """The findings of one kind."""

    kind: str
    meaning: str
    errors: int = 0
    warnings: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class _Findings:
    """The content of ``report.csv``: findings grouped by kind, and the photos that they are about."""

    groups: dict[str, _Group] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    noticed: set[str] = field(default_factory=set)

    def add(self, stage: str, identifier: str, level: str, kind: str, detail: str) -> None:
        if kind not in KINDS:  # of another version: all of these share one group
            kind, detail = "other", f"{kind}: {detail}" if detail else kind
        group = self.groups.setdefault(kind, _Group(kind, KINDS.get(kind, "kinds that this version does not know")))
        if level == "warning":
            group.warnings += 1
            self.noticed.add(identifier)
        else:
            group.errors += 1
            self.failed.add(identifier)
        if len(group.examples) < EXAMPLES:
            group.examples.append({"stage": stage, "id": identifier, "detail": detail, "level": level})

    def sorted(self) -> list[_Group]:
        """Kinds with errors first, then by number."""
        return sorted(self.groups.values(), key=lambda group: (-bool(group.errors), -group.errors - group.warnings))


def _read_findings(root: Path) -> _Findings:
    findings, path = _Findings(), root / FINDINGS
    if not path.is_file():
        return findings
    try:
        with path.open(encoding="utf-8", errors="backslashreplace", newline="") as stream:
            for row in csv.DictReader(stream, restval=""):
                values = (row.get("stage", ""), text_of(row.get("id", "")), row.get("level", "error"))
                findings.add(*values, row.get("finding", ""), text_of(row.get("detail", "")))
    except (OSError, csv.Error) as error:
        raise DatasetError(f"{path} cannot be read as CSV: {' '.join(str(error).split())}") from error
    return findings


@dataclass
class _Counts:
    """Counts over the rows of the manifest, and the rows that are shown."""

    splits: Counter[str] = field(default_factory=Counter)
    columns: dict[str, Counter[str]] = field(default_factory=dict)
    classes: Counter[str] = field(default_factory=Counter)
    pixels: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[str, str]] = field(default_factory=Counter)
    labelled: Spread[Row] = field(default_factory=lambda: Spread(OVERLAYS))
    sketched: Spread[Row] = field(default_factory=lambda: Spread(PAIRS))
    wanted: dict[str, Row] = field(default_factory=dict)

    def read(self, rows: Iterable[Row], columns: list[str], wanted: set[str]) -> None:
        self.columns = {name: Counter() for name in columns if is_path_column(name)}
        sketches = [name for name in self.columns if name.startswith("sketch_")]
        for row in rows:
            self.splits[row["split"]] += 1
            self.sizes[row["width"], row["height"]] += 1
            for name, count in self.columns.items():
                if row[name]:
                    count[row["split"]] += 1
            if row.get("labels"):
                ids = row.get("classes", "").split()
                self.classes.update(ids)
                for number, pixels in zip(ids, row.get("class_pixels", "").split(), strict=False):
                    self.pixels[number] += int(pixels) if pixels.isdecimal() else 0
                self.labelled.add(row)
            if any(row[name] for name in sketches):
                self.sketched.add(row)
            if row["id"] in wanted:
                self.wanted[row["id"]] = row


def _gather(root: Path) -> dict[str, Any]:
    """The variables of the template."""
    findings, counts = _read_findings(root), _Counts()
    groups = findings.sorted()
    wanted = {example["id"] for group in groups for example in group.examples}
    scheme: LabelScheme | None = None
    stages: Mapping[str, Any] = {}
    columns: list[str] = []
    if is_dataset(root):
        scheme, stages = read_info(root)
        columns = read_columns(root)
        counts.read(iter_rows(root), columns, wanted)
    labelled, sketched = counts.labelled.chosen(), counts.sketched.chosen()
    sketches = [name for name in columns if is_path_column(name) and name.startswith("sketch_")]
    shown = len(labelled) + len(sketched) * (1 + len(sketches)) + sum(len(group.examples) for group in groups)
    pictures = _Pictures(root, scheme, BUDGET // max(shown, 1))
    for group in groups:
        for example in group.examples:
            row = counts.wanted.get(example["id"]) or _files_of(root, example["id"])
            example["picture"] = pictures.subject(row, SMALL)
    return {
        "version": __version__,
        "scheme": scheme,
        "stages": {name: _parameters(values) for name, values in sorted(stages.items())},
        "total": counts.splits.total(),
        "splits": [name for name in SPLITS if counts.splits[name]],
        "by_split": counts.splits,
        "columns": {name: count for name, count in counts.columns.items() if name != "photo"},
        "sizes": counts.sizes.most_common(3),
        "n_sizes": len(counts.sizes),
        "classes": _classes(scheme, counts),
        "labelled": counts.columns.get("labels", Counter()).total(),
        "has_pixels": bool(counts.pixels.total()),
        "groups": groups,
        "failed": len(findings.failed),
        "noticed": len(findings.noticed - findings.failed),
        "overlays": [{"id": row["id"], "split": row["split"], **pictures.overlay(row, LARGE)} for row in labelled],
        "sketches": [name.removeprefix("sketch_") for name in sketches],
        "pairs": [{"id": row["id"], "pictures": list(pictures.pair(row, sketches))} for row in sketched],
    }


def _classes(scheme: LabelScheme | None, counts: _Counts) -> list[dict[str, Any]]:
    if scheme is None:
        return []
    return [
        {
            "number": number,
            "name": name,
            "colour": "#{:02x}{:02x}{:02x}".format(*colour),
            "photos": counts.classes[str(number)],
            "pixels": counts.pixels[str(number)],
        }
        for number, (name, colour) in enumerate(zip(scheme.classes, scheme.colours, strict=True))
    ]


def _parameters(values: Any) -> dict[str, str]:
    """A stage's parameters as text, without those that are None."""
    if not isinstance(values, Mapping):
        values = {"": values}
    return {
        str(name): value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
        for name, value in sorted(values.items())
        if value is not None
    }


# -------------------------------------------------------------------------------------------------------- the pictures


def _files_of(root: Path, identifier: str) -> Row:
    """The files of a photo that is not in the manifest, in the form of a row."""
    row: dict[str, str] = {}
    if is_usable_id(identifier):
        for column, folder in (("photo", "photos"), ("labels", "labels")):
            names = (f"{folder}/{identifier}{suffix}" for suffix in PICTURE_SUFFIXES)
            row[column] = next((name for name in names if _is_file(root / name)), "")
    return row


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a NUL
        return False


class _Pictures:
    """Small pictures of a dataset's files for the template: ``source``, or a ``note`` if there is no picture.

    Parameters
    ----------
    root : Path
    scheme : LabelScheme, optional
        The scheme of the label maps; by default CelebAMask-HQ's.
    limit : int
        Largest size of a picture, bytes.
    """

    def __init__(self, root: Path, scheme: LabelScheme | None, limit: int) -> None:
        self.root, self.limit = root, limit
        self._scheme = scheme or CELEBAMASK_HQ

    def subject(self, row: Row, size: int) -> dict[str, str]:
        """A photo under its label map, or the one of the two that exists."""
        if row.get("photo") and row.get("labels"):
            return self.overlay(row, size)
        if row.get("photo"):
            return self._embed(lambda: self._photo(row["photo"], size), "photo")
        if row.get("labels"):
            return self._embed(lambda: self._colours(self._labels(row["labels"]), size), "label map")
        return {"source": "", "note": "no picture of it here", "alt": ""}

    def overlay(self, row: Row, size: int) -> dict[str, str]:
        """A photo under its label map."""

        def blend() -> NDArray[np.uint8]:
            photo = self._photo(row["photo"], size)
            ids = images.resize(self._labels(row["labels"]), photo.shape[:2], labels=True)
            colours = images.colourise(ids, self._scheme)
            mixed = cv2.addWeighted(photo, 1 - OPACITY, colours, OPACITY, 0)
            return np.where(ids[..., None] > 0, mixed, photo).astype(np.uint8)

        return self._embed(blend, "photo under its label map")

    def pair(self, row: Row, sketches: Iterable[str]) -> Iterator[dict[str, str]]:
        """A photo, and each of its sketches."""
        yield self._embed(lambda: self._photo(row["photo"], LARGE), "photo")
        for column in sketches:
            name = column.removeprefix("sketch_")
            if row[column]:
                yield self._embed(lambda path=row[column]: self._photo(path, LARGE), name)
            else:
                yield {"source": "", "note": "no sketch", "alt": name}

    def _photo(self, name: str, size: int) -> NDArray[np.uint8]:
        path = inside(self.root, name)
        check_regular(path)
        with Image.open(path) as picture:
            picture.draft("RGB", (size, size))
            pixels = images.to_rgb(picture)
        small: NDArray[np.uint8] = images.resize(pixels, _fit(pixels.shape, size))
        return small

    def _labels(self, name: str) -> NDArray[np.uint8]:
        return images.read_labels(inside(self.root, name), self._scheme)

    def _colours(self, ids: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
        return images.colourise(images.resize(ids, _fit(ids.shape, size), labels=True), self._scheme)

    def _embed(self, draw: Any, what: str) -> dict[str, str]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                pixels = draw()
        except Exception as error:  # the page is written even if a picture is bad; `prep check` reports it
            is_missing = isinstance(error.__cause__ or error, FileNotFoundError)
            return {"source": "", "note": f"{what}: {'missing' if is_missing else 'cannot be read'}", "alt": what}
        data = base64.b64encode(_compress(Image.fromarray(pixels), self.limit)).decode()
        height, width = pixels.shape[:2]
        return {
            "source": f"data:image/webp;base64,{data}",
            "alt": what,
            "note": "",
            "width": str(width),
            "height": str(height),
        }


def _fit(shape: tuple[int, ...], size: int) -> tuple[int, int]:
    """Height and width scaled down so that the longer side is at most ``size``."""
    height, width = shape[:2]
    scale = min(size / max(height, width, 1), 1.0)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def _compress(picture: Image.Image, limit: int) -> bytes:
    """The picture as WebP of at most ``limit`` bytes: the quality is reduced first, then the size."""
    while True:
        for quality in (80, 60, 40, 20):
            buffer = io.BytesIO()
            picture.save(buffer, "WEBP", quality=quality, method=2)
            if buffer.tell() <= limit:
                return buffer.getvalue()
        if max(picture.size) <= 16:
            return buffer.getvalue()
        picture = picture.resize((max(picture.width * 2 // 3, 1), max(picture.height * 2 // 3, 1)))
