"""``facesynth parse``: label maps from photos."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ._messages import say
from ._progress import progress

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("photos", type=_PATH, nargs=-1, metavar="PHOTO...")
@click.option("--out", type=_PATH, required=True, help="Output folder; created if missing.")
@click.option("--checkpoint", default="photo-parser", help="A face parser.")
@click.option("--palette", is_flag=True, help="Write palette pictures, which viewers show in colours.")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", help="Device to compute on."
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def parse(photos: tuple[Path, ...], out: Path, checkpoint: str, palette: bool, device: str, quiet: bool) -> None:
    """Segment faces into their parts: one label map per photo.

    PHOTO is a picture or a folder of pictures: one face each, cropped like a portrait (`facesynth prep align` makes such crops
    of other photos).
    """
    from facesynth.model.inference.parse_files import parse_files

    done = parse_files(
        photos, out, checkpoint, palette=palette, device=device, progress=progress("label maps", quiet=quiet)
    )
    for name, error in done.failures:
        say(f"{name}: {error}", err=True)
    say(f"label maps in {out}: {len(done.labels)} written, {len(done.failures)} photos failed")
    if done.failures:
        sys.exit(1)
