"""``facesynth info``: what a checkpoint file is."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def info(file: Path) -> None:
    """Say what the checkpoint FILE is: format, sizes, parameters, where it came from.

    FILE may also be the folder of a run. Nothing in it is run.
    """
    from facesynth.model.checkpoints.conversion import describe

    lines = describe(file)
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        click.echo(f"{name:<{width}}  {value}")
