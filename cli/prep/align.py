"""``facesynth prep align``: photos into aligned crops of faces."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .._messages import say
from .._progress import progress
from ._common import FOLDER, print_some


@click.command()
@click.argument("photos", type=FOLDER, nargs=-1, required=True, metavar="PHOTO...")
@click.option("--out", type=FOLDER, required=True, help="Folder for the crops; created if missing.")
@click.option("--size", type=int, default=256, help="Side of the crops, pixels.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def align(photos: tuple[Path, ...], out: Path, size: int, quiet: bool) -> None:
    """Crop faces with FFHQ's alignment, for `facesynth prep pairs`.

    PHOTO is a picture with one face, or a folder of such pictures. Photos with no face or several faces are reported and
    skipped. Needs mediapipe: pip install 'facesynth[align]'
    """
    from facesynth.prep.align import align_photos

    done = align_photos(photos, out, size=size, progress=progress("faces", quiet=quiet))
    say(f"faces in {done.root}: {done.written} written, {len(done.failures)} photos refused")
    if done.failures:
        where = done.root / "report.csv"
        print_some([f"{name}: {detail}" for name, _, detail in done.failures], "refused", f" in {where}")
        sys.exit(1)
