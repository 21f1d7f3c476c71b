"""``facesynth prep sample``: draw procedural portraits into a raw tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .._progress import progress
from ._common import FOLDER, common, print_outcome


@click.command()
@click.argument("out", type=FOLDER)
@click.option("-n", "--count", default=200, help="Number of portraits.")
@click.option("--seed", default=0, help="A portrait depends only on this and its id.")
@click.option("--size", default=512, help="Height and width of the photos, pixels (64 to 1024).")
@common
def sample(out: Path, quiet: bool, **options: Any) -> None:
    """Draw procedural portraits with part masks into OUT, in the layout of CelebAMask-HQ."""
    from facesynth.prep.portraits.sample import make_sample

    print_outcome("portraits", make_sample(out, **options, progress=progress("portraits", quiet=quiet)))
