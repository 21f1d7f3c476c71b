"""``facesynth prep pairs``: import your own photos and their label maps or sketches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .._progress import progress
from ._common import FOLDER, FORCE, OUT, PALETTE, STRICT, VOID, common, print_outcome, with_scheme, with_splits


@click.command()
@click.argument("photos", type=FOLDER)
@click.argument("conditions", type=FOLDER)
@click.option("--kind", type=click.Choice(["labels", "sketch"]), required=True, help="What CONDITIONS holds.")
@OUT
@click.option("--name", default="own", help="sketch: name of the sketches.")
@click.option(
    "--paper",
    type=click.Choice(["keep", "auto", "level"]),
    default="keep",
    help="sketch: level photographed or scanned paper; auto does so where it is needed.",
)
@click.option(
    "--match",
    type=(str, str),
    metavar="PHOTO CONDITION",
    help="Patterns of the names without suffix, as '{id}' '{id}-sz1'.  [default: equal names]",
)
@with_scheme
@VOID
@PALETTE
@with_splits
@STRICT
@FORCE
@common
def pairs(photos: Path, conditions: Path, out: Path, quiet: bool, **options: Any) -> None:
    """Join PHOTOS with CONDITIONS, two folders of pictures, by file name.

    a.jpg in one belongs to a.png in the other. Files without a partner are listed and left out.
    """
    from facesynth.prep.pairs import prepare_pairs

    print_outcome("pairs", prepare_pairs(photos, conditions, out, **options, progress=progress("pairs", quiet=quiet)))
