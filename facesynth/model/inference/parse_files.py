"""Parsing of photo files: photos in, label maps ``OUT/<name>.png`` out, PNGs of class ids at the photo's size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facesynth import images
from facesynth.errors import InputError, PictureError
from facesynth.files import locked, make_folder, pictures_in, resolved
from facesynth.model.inference.parser import SHIPPED_PARSER, Parser
from facesynth.model.inference.sources import Source, of_different_names

Progress = Callable[[Iterable[Any], int], Iterable[Any]]


@dataclass
class Parsed:
    """The result of a call.

    Attributes
    ----------
    labels : list of Path
        The label maps written, in the order of the photos.
    failures : list of (str, PictureError)
        Photos that could not be read, by name.
    """

    labels: list[Path] = field(default_factory=list)
    failures: list[tuple[str, PictureError]] = field(default_factory=list)


def parse_files(
    photos: Sequence[Path],
    out: Path,
    parser: Path | str = SHIPPED_PARSER,
    *,
    palette: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> Parsed:
    """Write label maps of photos into a folder.

    Parameters
    ----------
    photos : sequence of Path
        Files, or folders of them.
    out : Path
        The folder for the label maps; created if missing. Existing files of the same names are replaced.
    parser : Path or str
        A checkpoint that holds a face parser; by default the bundled one for photos.
    palette : bool
        Write palette pictures, which viewers display in colour; the stored ids are the same.
    device : str
        auto, cpu, cuda or mps.
    progress : callable, optional
        Displays the progress.

    Raises
    ------
    InputError
        If the work cannot start. A bad photo does not stop the others; it is listed in the failures.
    OutputError
        If ``out`` cannot be written.
    """
    if not photos:
        raise InputError("there is no photo; needed: pictures, or folders of them")
    sources = of_different_names(Source(file.stem, file) for file in pictures_in(list(photos)))
    for source in sources:
        if resolved(source.path) == resolved(out / f"{source.name}.png"):
            raise InputError(f"the label map of {source.path} would take its place; give another --out")
    network = Parser.from_pretrained(parser, device=device)
    make_folder(out)
    done = Parsed()
    with locked(out):
        work = _work(network, sources, out, done, palette=palette)
        for _ in progress(work, len(sources)) if progress else work:
            pass
    return done


def _work(parser: Parser, sources: Sequence[Source], out: Path, done: Parsed, *, palette: bool) -> Iterator[Source]:
    for source in sources:
        try:
            labels = parser.parse(images.read_photo(source.path))
        except PictureError as error:
            done.failures.append((source.name, error))
        else:
            path = out / f"{source.name}.png"
            images.write_labels(path, labels, parser.scheme, palette=palette)
            done.labels.append(path)
        yield source
