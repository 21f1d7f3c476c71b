"""``facesynth info``: describe a checkpoint file."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def info(file: Path) -> None:
    """Describe the checkpoint FILE: format, sizes, parameters, origin.

    FILE may also be a run folder. No code in the file is executed.
    """
    from facesynth.model.checkpoints.conversion import describe

    lines = describe(file)
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        click.echo(f"{name:<{width}}  {value}")
