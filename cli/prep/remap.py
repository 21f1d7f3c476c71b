"""``facesynth prep remap``: convert label maps from one scheme to another."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .._messages import say
from .._progress import progress
from ._common import FOLDER, PALETTE, SHOWN, VOID, print_some


@click.command()
@click.argument("source", type=FOLDER)
@click.option("--from", "source_scheme", required=True, metavar="SCHEME", help="Scheme of the maps: a name or a file.")
@click.option("--to", "target_scheme", required=True, metavar="SCHEME", help="Scheme to write: a name or a file.")
@click.option("--out", type=FOLDER, required=True, help="The folder to write to; not SOURCE.")
@click.option("--class", "pairs", multiple=True, metavar="A=B", help="Class A becomes B; may be repeated.")
@VOID
@PALETTE
@click.option("--size", type=int, help="Height and width to resize to, pixels.  [default: unchanged]")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def remap(
    source: Path,
    source_scheme: str,
    target_scheme: str,
    out: Path,
    pairs: tuple[str, ...],
    void: int | None,
    palette: bool,
    size: int | None,
    quiet: bool,
) -> None:
    """Renumber the label maps in SOURCE, a folder or one map, of class ids or colours.

    Classes are matched by name. A map that does not fit its scheme is reported, and the others are converted.
    """
    from facesynth.labels import read_scheme
    from facesynth.prep.remap import remap_folder

    classes: dict[str, str] = {}
    for pair in pairs:
        name, equals, target = pair.partition("=")
        if not equals or name in classes:
            raise click.UsageError(f"--class is {pair!r}; needed: a class and what it becomes, as l_eye=eye, each once")
        classes[name] = target
    done = remap_folder(
        source,
        out,
        source_scheme=read_scheme(source_scheme),
        target_scheme=read_scheme(target_scheme),
        classes=classes,
        palette=palette,
        void=void,
        size=size,
        progress=progress("label maps", quiet=quiet),
    )
    say(f"label maps in {done.root}: {done.written} written, {len(done.failures)} failed")
    for path, note in done.notes[:SHOWN]:
        say(f"{path}: {note}", err=True)
    if (more := len(done.notes) - SHOWN) > 0:
        say(f"and {more} more notes", err=True)
    if done.failures:
        print_some([reason for _, reason in done.failures], "failed")
        sys.exit(1)
