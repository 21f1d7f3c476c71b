"""``facesynth prep photos``: reduce photos to training size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .._progress import progress
from ._common import FOLDER, FORCE, OUT, common, print_outcome, with_splits


@click.command()
@click.argument("source", type=FOLDER, metavar="RAW|DATA")
@OUT
@click.option("--size", type=int, default=256, help="Longer side, pixels.")
@with_splits
@FORCE
@common
def photos(source: Path, out: Path, size: int, quiet: bool, **options: Any) -> None:
    """Reduce the photos of a CelebAMask-HQ folder, or of a dataset folder, to training size.

    Training uses them automatically if they are large enough.
    """
    from facesynth.prep.stages import prepare_photos

    what = f"{size} px photos"
    print_outcome(what, prepare_photos(source, out, size=size, **options, progress=progress(what, quiet=quiet)))
