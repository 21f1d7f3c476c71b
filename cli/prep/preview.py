"""``facesynth prep preview``: a sheet of sketches to choose a method by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .._messages import say
from ._common import FOLDER


@click.command()
@click.argument("source", type=FOLDER, metavar="PHOTOS|DATA")
@click.option("--out", type=FOLDER, required=True, help="The sheet to write: .png or .jpg.")
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="METHOD[:PRESET]",
    help="A column; may be repeated.  [default: every method and preset that can be drawn]",
)
@click.option("-n", "--count", default=3, help="Number of photos; the first ones are used.")
@click.option("--labels", type=FOLDER, help="PHOTOS: a folder of their label maps, with the same names.")
@click.option("--scheme", help="Scheme of these label maps: a name or a file.  [default: celebamask-hq]")
@click.option("--size", default=256, help="Longer side of the pictures, pixels.")
@click.option(
    "--background",
    type=click.Choice(["keep", "blank"]),
    default="keep",
    help="blank: paper outside the person; needs label maps.",
)
def preview(source: Path, out: Path, methods: tuple[str, ...], scheme: str | None, **options: Any) -> None:
    """Draw the first photos of PHOTOS or DATA with every method, on one sheet.

    PHOTOS is a picture or a folder of pictures, DATA a dataset folder.
    """
    from facesynth.labels import read_scheme
    from facesynth.prep.sketches.presets import resolve
    from facesynth.prep.sketches.preview import make_preview

    sketches, labels_in = [resolve(method) for method in methods], read_scheme(scheme) if scheme else None
    captions = make_preview(source, out, sketches=sketches, scheme=labels_in, **options)
    say(f"sheet in {out}: {', '.join(captions)}")
