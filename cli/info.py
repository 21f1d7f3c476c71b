"""``facesynth info``: describe a checkpoint file."""

from __future__ import annotations

from pathlib import Path

import click

from ._messages import say
from ._progress import tell_downloads


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def info(file: Path) -> None:
    """Describe the checkpoint FILE: format, sizes, parameters, origin.

    FILE may also be a run folder, or the name of published weights, such as psp-sketch-to-face, which are downloaded. No code
    in the file is executed.
    """
    from facesynth.model.checkpoints.conversion import describe

    tell_downloads()
    lines = describe(file)
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        say(f"{name:<{width}}  {value}")
