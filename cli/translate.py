"""``facesynth translate``: label maps, sketches or photos into faces."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ._progress import progress

_PATH = click.Path(path_type=Path)
_STDIN = Path("-")


@click.command()
@click.argument("inputs", type=_PATH, nargs=-1, metavar="INPUT...")
@click.option(
    "--checkpoint",
    help="A checkpoint file of facesynth or pixel2style2pixel, the folder of a run, or owner/name on the Hugging Face Hub.  "
    "[default: portrait-seg for label maps, portrait-sketch for sketches; they come along]",
)
@click.option("--out", type=_PATH, default="faces", help="Where the faces go; made if missing.")
@click.option("--split", help="Of a dataset folder: train, val, test or all.  [default: val]")
@click.option("--sketch", help="The sketch method, where a dataset folder holds several.")
@click.option(
    "--samples", default=0, help="Faces an input, each with a random style; 0 for one in the encoder's style."
)
@click.option("--seed", default=0, help="Of the random styles and noise: the same seed gives the same for every input.")
@click.option(
    "--mix-layers",
    default="",
    show_default="the checkpoint's own",
    help="Where a style goes: coarse, middle, fine, all, 64px-up, 16px-32px, 8-17, or several with commas.",
)
@click.option("--mix-alpha", default=1.0, help="How much of the style goes there, 0 to 1.")
@click.option("--style-from", type=_PATH, help="A style for all: latents (.npy), or a picture as the checkpoint takes.")
@click.option("--truncation", default=1.0, help="How far from the average face: 1 as it is, 0 the average.")
@click.option(
    "--follow",
    default=1.0,
    help="How closely a face follows the input's lines, where the checkpoint can: 1 as trained, 0 not.",
)
@click.option(
    "--noise",
    type=click.Choice(["constant", "random", "none"]),
    default="constant",
    help="Fine detail: the checkpoint's own, by seed and sample, or none.",
)
@click.option("--from-latents", is_flag=True, help="INPUT are latents (.npy), or folders of them.")
@click.option("--save-latents", is_flag=True, help="Also write every face's latents, as .npy beside it.")
@click.option(
    "--interpolate",
    type=(_PATH, _PATH),
    metavar="A B",
    help="In place of INPUT: faces on the way from A to B, pictures or latents (.npy).",
)
@click.option("--frames", type=int, help="How many faces on that way.  [default: 8]")
@click.option("--size", type=int, help="Of the faces, pixels.  [default: the checkpoint's]")
@click.option("--format", type=click.Choice(["png", "jpg", "webp"]), default="png", help="Of the faces.")
@click.option("--sheet", is_flag=True, help="Also write sheet.png: condition, faces and, where known, the true photo.")
@click.option("--force", is_flag=True, help="Make again what is there.")
@click.option(
    "--batch-size",
    default="auto",
    help="Inputs at a time; auto for one on a CPU, and as many as fit elsewhere.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", help="Where to compute.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bf16", "fp16"]),
    default="float32",
    help="Of convolutions; less is faster on newer graphics cards.",
)
@click.option("--compile", "compiled", is_flag=True, help="Compile the model first: worth it for many inputs.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def translate(
    inputs: tuple[Path, ...],
    checkpoint: str | None,
    out: Path,
    split: str | None,
    sketch: str | None,
    style_from: Path | None,
    from_latents: bool,
    save_latents: bool,
    interpolate: tuple[Path, Path] | None,
    frames: int | None,
    size: int | None,
    format: Any,  # noqa: A002 - the option's name
    sheet: bool,
    force: bool,
    batch_size: str,
    device: str,
    precision: str,
    compiled: bool,
    quiet: bool,
    **styling: Any,
) -> None:
    """Turn label maps, sketches or photos into faces.

    INPUT is a picture, a folder of pictures, a dataset folder, or - for a list of them on standard input. The same command
    again makes what is missing.
    """
    from facesynth.errors import InputError, WrongKindError
    from facesynth.model.devices import keep_memory
    from facesynth.model.inference.styles import Styling
    from facesynth.model.inference.translate_files import Writing, translate_files

    if _STDIN in inputs:
        listed = [Path(line.rstrip("\r\n")) for line in sys.stdin if line.strip()]
        if not listed:
            raise InputError("no input on standard input; needed: a path a line")
        inputs = tuple(path for item in inputs for path in (listed if item == _STDIN else [item]))
    if batch_size != "auto" and not batch_size.removeprefix("-").isdecimal():
        raise InputError(f"batch_size is {batch_size!r}; needed: a number or auto")
    keep_memory()
    done = translate_files(
        inputs,
        checkpoint,
        out,
        styling=Styling(**styling),
        writing=Writing(format=format, size=size, latents=save_latents, sheet=sheet),
        style_from=style_from,
        from_latents=from_latents,
        interpolate=interpolate,
        frames=frames,
        split=split,
        sketch=sketch,
        batch_size=None if batch_size == "auto" else int(batch_size),
        force=force,
        progress=progress("faces", quiet=quiet),
        device=device,
        precision=precision,
        compiled=compiled,
    )
    for name, note in [*done.notes, *done.failures]:
        click.echo(f"{name}: {note}", err=True)
    failed = len(done.failures)
    if done.chosen:
        click.echo(f"model: {done.chosen}, chosen by the first input; --checkpoint names another")
    click.echo(f"faces in {out}: {done.written} written, {done.kept} already there, {failed} inputs failed")
    if done.sheet:
        click.echo(f"contact sheet: {done.sheet}")
    if done.failures:
        sys.exit(2 if any(isinstance(error, WrongKindError) for _, error in done.failures) else 1)
