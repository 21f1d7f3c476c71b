"""``facesynth prep masks``: merge part masks into label maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .._progress import progress
from ._common import FOLDER, FORCE, OUT, PALETTE, STRICT, common, print_outcome, with_scheme, with_splits


@click.command()
@click.argument("raw", type=FOLDER)
@OUT
@with_scheme
@click.option(
    "--size", type=int, help="Height and width of the label maps, pixels.  [default: those of the part masks]"
)
@PALETTE
@with_splits
@STRICT
@FORCE
@common
def masks(raw: Path, out: Path, quiet: bool, **options: Any) -> None:
    """Merge the part masks of RAW, a CelebAMask-HQ folder, into label maps."""
    from facesynth.prep.stages import prepare_masks

    print_outcome("label maps", prepare_masks(raw, out, **options, progress=progress("label maps", quiet=quiet)))
