"""Many files into a folder of faces.

::

    OUT/<name>.png           the face of an input; <name>_<sample>.png with samples
    OUT/<name>.npy           its W+ latents, if asked for
    OUT/faces.jsonl          where each face came from and how it was made (see :mod:`facesynth.model.inference.record`)
    OUT/sheet.png            the contact sheet, if asked for

The same command again makes what is missing, and what was made from another picture, by another checkpoint or in another way.
"""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from PIL import Image

from facesynth import images
from facesynth.errors import InputError, PictureError
from facesynth.files import locked, make_folder, sha256, write_bytes
from facesynth.model.data.contact_sheet import contact_sheet
from facesynth.model.data.tensors import to_square
from facesynth.model.inference.latents import SUFFIX, write_latents
from facesynth.model.inference.reading import ConditionReading, LatentsReading, Reading, Way, latents_of
from facesynth.model.inference.record import Record
from facesynth.model.inference.sources import Source, find_sources, latents_sources, shipped_model
from facesynth.model.inference.styles import Styling
from facesynth.model.inference.translator import Translator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Format = Literal["png", "jpg", "webp"]
Progress = Callable[[Iterable[Any], int], Iterable[Any]]

MAX_SHEET_ROWS = 64
"""A contact sheet shows no more inputs than this."""
FRAMES_A_ROW = 8
"""Frames of an interpolation beside each other on a contact sheet."""
SHEET = "sheet.png"
"""The contact sheet's name."""
LARGEST_BATCH = 32
"""Conditions at a time on a device with memory of its own, to begin with."""
QUALITY = 95
"""Of JPEG and WebP faces."""
_OUT_OF_MEMORY = re.compile("out of memory|allocate memory|enough memory")
"""What torch says where a device's memory does not suffice."""


@dataclass(frozen=True, kw_only=True)
class Writing:
    """What is written of the faces."""

    format: Format = "png"
    """png, jpg or webp."""
    size: int | None = None
    """Height and width of the faces, pixels; the model's own if not given."""
    latents: bool = False
    """Write each face's W+ latents beside it."""
    sheet: bool = False
    """Write a contact sheet: condition, faces and, where it is known, the true photo."""

    def __post_init__(self) -> None:
        if self.format not in get_args(Format):
            raise InputError(f"format is {self.format!r}; needed: {', '.join(get_args(Format))}")
        if self.size is not None and not 1 <= self.size <= 8192:
            raise InputError(f"size is {self.size}; needed: 1 to 8192")


@dataclass
class Translated:
    """What a call did.

    Attributes
    ----------
    faces : list of Path
        The faces of the inputs, in their order.
    written, kept : int
        How many of them were made now, and how many were there already.
    sheet : Path or None
        The contact sheet.
    failures : list of (str, PictureError)
        Inputs that could not be translated, by name.
    notes : list of (str, str)
        Inputs that had to be read in another way than they came, by name, and how.
    chosen : str or None
        The model that comes along and was chosen, where none was named.
    """

    faces: list[Path] = field(default_factory=list)
    written: int = 0
    kept: int = 0
    sheet: Path | None = None
    failures: list[tuple[str, PictureError]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    chosen: str | None = None


def translate_files(
    inputs: Sequence[Path],
    checkpoint: Path | str | None,
    out: Path,
    *,
    styling: Styling | None = None,
    writing: Writing | None = None,
    style_from: Path | None = None,
    from_latents: bool = False,
    interpolate: tuple[Path, Path] | None = None,
    frames: int | None = None,
    split: str | None = None,
    sketch: str | None = None,
    batch_size: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
    **loading: Any,
) -> Translated:
    """Translate files into a folder of faces.

    Parameters
    ----------
    inputs : sequence of Path
        Conditions, folders of them, or dataset folders.
    checkpoint : Path or str, optional
        As :meth:`Translator.from_pretrained` takes it. Not given: the model for drawn portraits that comes along and takes
        what the first input is, a label map or a sketch.
    out : Path
        Where the faces go; made if missing.
    styling, writing : Styling, Writing, optional
    style_from : Path, optional
        Latents (``.npy``) or a picture that the model can encode, whose style all faces get in the mixed layers.
    from_latents : bool
        The inputs are ``.npy`` files of latents, or folders of them, not pictures.
    interpolate : (Path, Path), optional
        Two pictures or latents files, in place of inputs: faces on the way from one to the other.
    frames : int, optional
        How many faces on that way, both ends among them; 8 if not given.
    split, sketch
        As in :func:`facesynth.model.inference.sources.find_sources`.
    batch_size : int, optional
        Conditions at a time. Not given: one on a CPU, where more are no faster and one is rounded the same whatever comes with
        it; on other devices as many as fit.
    force : bool
        Make again what is there.
    progress : callable, optional
        Shows how far the work is.
    **loading
        ``device``, ``precision`` and ``compiled``, as :class:`Translator` takes them.

    Raises
    ------
    InputError
        If nothing can be begun. A bad picture does not stop the others: it is among the failures.
    OutputError
        If ``out`` cannot be written.
    """
    styling, writing = styling or Styling(), writing or Writing()
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; needed: at least 1")
    if not inputs and not interpolate:
        raise InputError(
            "there is no input; needed: pictures, folders of them or dataset folders, or two to interpolate"
        )
    if inputs and interpolate:
        raise InputError(f"{inputs[0]} came beside two inputs to interpolate between; leave out one or the other")
    if frames is not None and not interpolate:
        raise InputError(
            f"frames is {frames}, but there is nothing to interpolate between; give two inputs, or leave it out"
        )
    chosen = None
    if checkpoint is None:
        checkpoint = chosen = shipped_model([*inputs, *(interpolate or ())], sketch)
    translator = Translator.from_pretrained(checkpoint, **loading)
    reading: Reading
    if interpolate:
        reading = Way(translator, *interpolate, 8 if frames is None else frames)
        sources = reading.sources
    elif from_latents:
        reading, sources = LatentsReading(translator), latents_sources(inputs)
    else:
        reading, sources = ConditionReading(translator), find_sources(inputs, translator, split=split, sketch=sketch)
    style = latents_of(style_from, translator) if style_from else None
    has_style = style is not None or styling.samples > 0
    for name, needs_style in (("mix_layers", styling.mix_layers), ("mix_alpha", styling.mix_alpha != 1.0)):
        if needs_style and not has_style:
            given = getattr(styling, name)
            raise InputError(
                f"{name} is {given}, but there is no style to mix in; ask for samples, or give one style for all"
            )
    run = _Run(translator, reading, sources, out, styling, writing, style, batch_size)
    make_folder(out)
    run.done.chosen = chosen
    with locked(out):
        return run.finish(force=force, progress=progress)


# ------------------------------------------------------------------------------------------------------------- the work


class _Run:
    """All that is to be done; ``finish`` does what isn't done yet."""

    def __init__(
        self,
        translator: Translator,
        reading: Reading,
        sources: Sequence[Source],
        out: Path,
        styling: Styling,
        writing: Writing,
        style: Tensor | None,
        batch_size: int | None,
    ) -> None:
        self.translator, self.reading, self.sources, self.out = translator, reading, sources, out
        self.styling, self.writing, self.style = styling, writing, style
        self.is_auto = batch_size is None
        self.batch_size = batch_size or batch_to_begin_with(translator.device)
        ends = [f"_{number}" for number in range(styling.samples)] or [""]
        kinds = [f".{writing.format}", *([SUFFIX] if writing.latents else [])]
        self.files = {
            source.name: [f"{source.name}{end}{kind}" for end in ends for kind in kinds] for source in sources
        }
        self._check_targets()
        empty = torch.zeros(0, *translator.model.latent_avg.shape, device=translator.device)
        translator.stylise(empty, styling, style)  # so that what it refuses is refused before anything is written
        self.done = Translated()

    def _check_targets(self) -> None:
        """See that no two files get the same name, and that none takes the place of an input."""
        inputs = {source.path.resolve() for source in self.sources}
        taken = {SHEET: "the contact sheet"} if self.writing.sheet else {}
        for name, files in self.files.items():
            for file in files:
                path = self.out / file
                if file in taken:
                    raise InputError(
                        f"the face of {name} and {taken[file]} would both become {path}; translate them apart"
                    )
                if path.resolve() in inputs:
                    raise InputError(f"the face of {name} would take the place of the input {path}; give another --out")
                taken[file] = f"that of {name}"

    def _settings(self) -> dict[str, Any]:
        """All that a face depends on but its input; plain values."""
        translator, style = self.translator, self.style
        about = translator.path.stat()
        return {
            "checkpoint": {"file": translator.path.name, "bytes": about.st_size, "modified_ns": about.st_mtime_ns},
            "precision": translator.precision,
            **dataclasses.asdict(self.styling),
            "format": self.writing.format,
            "size": self.writing.size,
            "style": None if style is None else sha256(style.cpu().numpy().tobytes()),
            "between": self.reading.ends if isinstance(self.reading, Way) else None,
        }

    def finish(self, *, force: bool, progress: Progress | None) -> Translated:
        done = self.done
        record = Record(self.out, self._settings())
        work = self._work(record, force=force)
        for _ in progress(work, len(self.sources)) if progress else work:
            pass
        failed = {name for name, _ in done.failures}
        whole = [source for source in self.sources if source.name not in failed]
        record.finish(source.name for source in self.sources)
        done.faces = [self.out / file for source in whole for file in self._faces_among(self.files[source.name])]
        done.written = len(done.faces) - done.kept
        if self.writing.sheet and whole:
            done.sheet = self.out / SHEET
            images.write_png(done.sheet, self._sheet(whole[:MAX_SHEET_ROWS]))
        return done

    def _faces_among(self, files: Sequence[str]) -> list[str]:
        return [file for file in files if not file.endswith(SUFFIX)]

    def _work(self, record: Record, *, force: bool) -> Iterator[Source]:
        """Read, translate and write batch by batch; yields every source that is done with."""
        batch: list[tuple[Source, str, Any]] = []
        for source in self.sources:
            files = self.files[source.name]
            try:
                digest = sha256(images.read_bytes(source.path))
                if not force and record.has(source.name, digest, files):
                    self.done.kept += len(self._faces_among(files))
                    yield source
                    continue
                record.drop(source.name)
                item, note = self.reading.read(source)
            except PictureError as error:
                self.done.failures.append((source.name, error))
                record.drop(source.name)
                yield source
                continue
            if note:
                self.done.notes.append((source.name, note))
            batch.append((source, digest, item))
            if len(batch) >= self.batch_size:
                yield from self._translate(batch, record)
                batch = []
        if batch:
            yield from self._translate(batch, record)

    def _translate(self, batch: list[tuple[Source, str, Any]], record: Record) -> Iterator[Source]:
        try:
            made = self._faces([item for _, _, item in batch])
        except RuntimeError as error:
            if not _OUT_OF_MEMORY.search(str(error)):
                raise
            device = self.translator.device
            if len(batch) == 1 or not self.is_auto:
                raise InputError(
                    f"{device} has too little memory for {len(batch)} faces of {self.translator.config.output_size} px at "
                    "a time; give a smaller --batch-size, or --device cpu"
                ) from error
            if device.type == "cuda":
                torch.cuda.empty_cache()
            self.batch_size = len(batch) // 2
            for part in (batch[: self.batch_size], batch[self.batch_size :]):
                yield from self._translate(part, record)
            return
        for index, (source, digest, _) in enumerate(batch):
            files = self.files[source.name]
            for path, (face, latents) in zip(
                self._faces_among(files), ((f[index], w[index]) for f, w in made), strict=True
            ):
                self._write(self.out / path, face, latents)
            record.add(source.name, source.path, digest, files)
            yield source

    def _faces(self, items: Sequence[Any]) -> list[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        """Faces (N, T, T, 3) and latents (N, n_styles, style_dim) of every sample."""
        translator = self.translator
        samples = translator.stylise(self.reading.encode(items), self.styling, self.style)
        maps = self.reading.maps(items)
        return [
            (translator.synthesise(latents, self.styling, number, maps), latents.cpu().numpy())
            for number, latents in enumerate(samples)
        ]

    def _write(self, path: Path, face: NDArray[np.uint8], latents: NDArray[np.float32]) -> None:
        size, kind = self.writing.size, self.writing.format
        face = images.resize(face, (size, size)) if size else face
        if kind == "png":
            images.write_png(path, face)
        else:
            buffer = io.BytesIO()
            options = {"subsampling": 0} if kind == "jpg" else {}
            Image.fromarray(face).save(buffer, "JPEG" if kind == "jpg" else "WEBP", quality=QUALITY, **options)
            write_bytes(path, buffer.getvalue())
        if self.writing.latents:
            write_latents(path.with_suffix(SUFFIX), latents)

    # -------------------------------------------------------------------------------------------------------- the sheet

    def _sheet(self, sources: Sequence[Source]) -> NDArray[np.uint8]:
        samples, size = self.styling.samples, self.writing.size or self.translator.config.output_size
        cell = min(max(size, 128), 256)
        faces = [
            [images.read_photo(self.out / file) for file in self._faces_among(self.files[s.name])] for s in sources
        ]
        if isinstance(self.reading, Way):  # along the way, line by line
            rows = [faces[first : first + FRAMES_A_ROW] for first in range(0, len(faces), FRAMES_A_ROW)]
            lines = [list(line) for row in rows for line in zip(*row, strict=True)]
            return contact_sheet(lines, [str(number) for number in range(len(rows[0]))], cell=cell)
        headings = [f"style {number}" for number in range(samples)] if samples else ["face"]
        columns: dict[str, Sequence[NDArray[np.uint8] | None]] = {
            "condition": [self.reading.shown(source) for source in sources],
            **dict(zip(headings, zip(*faces, strict=True), strict=True)),
            "photo": [_photo(source) for source in sources],
        }
        seen = {
            heading: column for heading, column in columns.items() if any(picture is not None for picture in column)
        }
        return contact_sheet(list(zip(*seen.values(), strict=True)), list(seen), cell=cell)


def batch_to_begin_with(device: torch.device) -> int:
    """Conditions at a time, where nobody says: one on a CPU, else many, until memory runs out."""
    return 1 if device.type == "cpu" else LARGEST_BATCH


def _photo(source: Source) -> NDArray[np.uint8] | None:
    """The true photo, squared as in training; None where it is not known or cannot be read."""
    if source.photo is None:
        return None
    try:
        return to_square(images.read_photo(source.photo), 0)
    except PictureError:
        return None
