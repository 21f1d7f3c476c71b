"""``facesynth prep masks``: part masks into label maps."""

from __future__ import annotations

from pathlib import Path

import click

from .._progress import progress
from ._common import FOLDER, common, print_outcome


@click.command()
@click.argument("raw", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="The dataset folder; made if missing.")
@click.option("--force", is_flag=True, help="Do again what is done.")
@common
def masks(raw: Path, out: Path, force: bool, jobs: int, quiet: bool) -> None:
    """Merge the part masks of RAW, a CelebAMask-HQ folder, into 19-class label maps."""
    from facesynth.prep.stages import prepare_masks

    done = prepare_masks(raw, out, jobs=jobs, force=force, progress=progress("label maps", quiet=quiet))
    print_outcome("label maps", done)
