"""``facesynth convert``: convert a checkpoint to another layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ._messages import say
from ._progress import tell_downloads

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("source", type=_PATH, metavar="SRC")
@click.argument("target", type=_PATH, metavar="DST")
@click.option(
    "--to", type=click.Choice(["facesynth", "psp", "rosinality"]), default="facesynth", help="The layout of DST."
)
def convert(source: Path, target: Path, to: Any) -> None:
    """Write the model or generator of SRC to DST in another layout.

    SRC is a checkpoint of facesynth, pixel2style2pixel, stylegan2-pytorch (rosinality) or StyleGAN2-ADA, recognised by its
    content, a run folder, or the name of published weights, such as psp-sketch-to-face or stylegan2-ffhq, which are downloaded.
    No code in the file is executed.
    """
    from facesynth.model.checkpoints.conversion import convert as write

    tell_downloads()
    what = write(source, target, to)
    say(f"{what} of {source} written to {target} ({to} layout)")
