"""``facesynth prep sketches``: draw sketches of photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facesynth.prep.sketches.presets import METHODS

from .._progress import progress
from ._common import FOLDER, FORCE, OUT, Command, common, print_outcome, with_splits


def _help_of_parameters() -> dict[str, str]:
    """What every parameter does, by its name, with the methods that take it."""
    meanings: dict[str, dict[str, list[str]]] = {}
    for method in METHODS.values():
        for name, parameter in method.parameters.items():
            unit = ", pixels of a picture 512 wide" if parameter.is_length else ""
            meanings.setdefault(name, {}).setdefault(parameter.meaning + unit, []).append(method.name)
    return {
        name: "; ".join(f"{', '.join(methods)}: {meaning}" for meaning, methods in of.items()) + "."
        for name, of in meanings.items()
    }


PARAMETERS = _help_of_parameters()
"""The help of every parameter of the methods."""


def _with_parameters(command: Command) -> Command:
    for name, text in reversed(PARAMETERS.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, type=float, help=text)(command)
    return command


@click.command()
@click.argument("source", type=FOLDER, metavar="RAW|DATA")
@OUT
@click.option(
    "--method",
    "methods",
    multiple=True,
    default=["xdog"],
    metavar="METHOD[:PRESET]",
    help=f"{', '.join(METHODS)}, or a preset of one, as xdog:ink; may be repeated.",
)
@click.option("--size", type=int, help="Longer side of the sketches, pixels.  [default: that of the photos]")
@click.option(
    "--background",
    type=click.Choice(["keep", "blank"]),
    default="keep",
    help="blank: leave paper where the label map is background.",
)
@_with_parameters
@with_splits
@FORCE
@common
def sketches(
    source: Path,
    out: Path,
    methods: tuple[str, ...],
    size: int | None,
    background: Any,
    quiet: bool,
    splits: Any,
    workers: Any,
    force: bool,
    **parameters: float | None,
) -> None:
    """Draw sketches of every photo of a CelebAMask-HQ folder, or of a dataset folder.

    Line widths are relative to the picture, whatever its size. Parameters that are not given have the defaults of the method or
    preset; `facesynth prep preview` shows what they look like.
    """
    from facesynth.prep.sketches.presets import resolve
    from facesynth.prep.stages import prepare_sketches

    options = {name: value for name, value in parameters.items() if value is not None}
    if options and len(methods) > 1:
        raise click.UsageError(
            f"--{min(options).replace('_', '-')} needs one --method; give presets, or run one by one"
        )
    drawings = [resolve(method, options) for method in methods]
    what = " and ".join(drawing.name for drawing in drawings) + " sketches"
    done = prepare_sketches(
        source,
        out,
        drawings=drawings,
        size=size,
        background=background,
        splits=splits,
        workers=workers,
        force=force,
        progress=progress(what, quiet=quiet),
    )
    print_outcome(what, done)
