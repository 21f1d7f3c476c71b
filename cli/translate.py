"""``facesynth translate``: label maps or sketches into faces."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ._progress import progress

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("inputs", type=_PATH, nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "--checkpoint",
    type=_PATH,
    required=True,
    help="A checkpoint file of facesynth or pixel2style2pixel, or the folder of a run.",
)
@click.option("--out", type=_PATH, required=True, help="Where the faces go; made if missing.")
@click.option(
    "--samples", default=0, help="Faces an input, each with a random style; 0 for one in the encoder's style."
)
@click.option("--seed", default=0, help="Of the random styles.")
@click.option("--sheet", is_flag=True, help="Also write sheet.png: condition, faces and, where known, the true photo.")
@click.option("--split", default="val", help="Of a dataset folder: train, val, test or all.")
@click.option("--sketch", help="The sketch method, where a dataset folder holds several.")
@click.option("--batch-size", default=8, help="Inputs at a time.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", help="Where to compute.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def translate(
    inputs: tuple[Path, ...],
    checkpoint: Path,
    out: Path,
    samples: int,
    seed: int,
    sheet: bool,
    split: str,
    sketch: str | None,
    batch_size: int,
    device: str,
    quiet: bool,
) -> None:
    """Turn label maps or sketches into faces.

    INPUT is a picture, a folder of pictures, or a dataset folder.
    """
    from facesynth.errors import WrongKindError
    from facesynth.model.translate import translate_files

    done = translate_files(
        inputs,
        checkpoint,
        out,
        samples=samples,
        seed=seed,
        sheet=sheet,
        split=split,
        sketch=sketch,
        batch_size=batch_size,
        device=device,
        progress=progress("faces", quiet=quiet),
    )
    for name, error in done.failures:
        click.echo(f"{name}: {error}", err=True)
    click.echo(f"faces in {out}: {len(done.faces)} written, {len(done.failures)} inputs failed")
    if done.sheet:
        click.echo(f"contact sheet: {done.sheet}")
    if done.failures:
        sys.exit(2 if any(isinstance(error, WrongKindError) for _, error in done.failures) else 1)
