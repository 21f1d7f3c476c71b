"""``facesynth translate``: faces from label maps, sketches or photos."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ._messages import say
from ._progress import progress, tell_downloads

_PATH = click.Path(path_type=Path)
_STDIN = Path("-")


@click.command()
@click.argument("inputs", type=_PATH, nargs=-1, metavar="INPUT...")
@click.option(
    "--checkpoint",
    help="A checkpoint of facesynth, pixel2style2pixel, e4e or ReStyle, a run folder, owner/name on the Hugging Face Hub, or a "
    "published model by name, which is downloaded: psp-sketch-to-face, psp-seg-to-face, psp-ffhq-encode, psp-super-resolution, "
    "psp-frontalization, e4e-ffhq, restyle-e4e-ffhq.  "
    "[default: the bundled photo-seg for label maps and photos, photo-sketch for sketches]",
)
@click.option(
    "--kind",
    type=click.Choice(["auto", "labels", "sketch", "photo"]),
    default="auto",
    help="What the pictures are; auto recognises each. Photos become label maps by the bundled photo-parser, or sketches by "
    "XDoG if the checkpoint takes sketches.",
)
@click.option("--out", type=_PATH, default="faces", help="Output folder; created if missing.")
@click.option("--split", help="Split of a dataset folder: train, val, test or all.  [default: val]")
@click.option("--sketch", help="Sketch method, if a dataset folder has several.")
@click.option(
    "--samples", default=0, help="Faces per input, each with a random style; 0 for one in the encoder's style."
)
@click.option("--seed", default=0, help="Seed of the random styles and noise; it gives every input the same ones.")
@click.option(
    "--colour",
    "colours",
    multiple=True,
    metavar="REGION=COLOUR",
    help="Colour of hair, background, cloth or skin, as #rrggbb or a name, if the checkpoint's styles have colours; "
    "`facesynth info` lists them as style_colours. Repeat it for several regions; the rest of the style is random.",
)
@click.option(
    "--mix-layers",
    default="",
    show_default="the checkpoint's own",
    help="Layers that take the style: coarse, middle, fine, all, 64px-up, 16px-32px, 8-17, or several with commas.",
)
@click.option("--mix-alpha", default=1.0, help="Weight of the style in these layers, 0 to 1.")
@click.option(
    "--style-from",
    type=_PATH,
    help="One style for all: latents (.npy), or a picture that the checkpoint can encode. If the checkpoint's styles have "
    "colours, also a photo, whose colours the faces get.",
)
@click.option("--truncation", default=1.0, help="Distance from the average face: 1 unchanged, 0 the average.")
@click.option(
    "--follow",
    default=1.0,
    help="How closely faces follow the input's lines, if the checkpoint has a spatial path: 1 as trained, 0 not.",
)
@click.option(
    "--noise",
    type=click.Choice(["constant", "random", "none"]),
    default="constant",
    help="Fine detail: the checkpoint's own noise, noise by seed and sample, or none.",
)
@click.option(
    "--tone",
    type=click.Choice(["auto", "keep", "invert"]),
    default="auto",
    help="Sketches with light lines on dark: auto inverts them, keep none, invert all.",
)
@click.option(
    "--paper",
    type=click.Choice(["auto", "keep", "level"]),
    default="auto",
    help="Photographed or scanned sketches: auto levels the paper and crops to the sheet, keep takes them as they are, level "
    "levels all.",
)
@click.option("--void", type=int, help="Value of label maps that stands for no class, such as 255; read as background.")
@click.option("--from-latents", is_flag=True, help="INPUT are latents (.npy), or folders of them.")
@click.option("--save-latents", is_flag=True, help="Also write the latents of every face, as .npy beside it.")
@click.option(
    "--interpolate",
    type=(_PATH, _PATH),
    metavar="A B",
    help="Instead of INPUT: faces interpolated between A and B, pictures or latents (.npy).",
)
@click.option("--frames", type=int, help="Number of interpolated faces.  [default: 8]")
@click.option("--size", type=int, help="Size of the faces, pixels.  [default: the checkpoint's]")
@click.option("--format", type=click.Choice(["png", "jpg", "webp"]), default="png", help="File format of the faces.")
@click.option("--sheet", is_flag=True, help="Also write sheet.png: condition, faces and, if known, the true photo.")
@click.option("--force", is_flag=True, help="Overwrite existing faces.")
@click.option(
    "--batch-size",
    default="auto",
    help="Inputs at a time; auto means one on a CPU, and as many as fit elsewhere.",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", help="Device to compute on."
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "bf16", "fp16"]),
    default="float32",
    help="Precision of convolutions; lower is faster on newer GPUs.",
)
@click.option("--compile", "compiled", is_flag=True, help="Compile the model first: worth it for many inputs.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def translate(
    inputs: tuple[Path, ...],
    checkpoint: str | None,
    out: Path,
    split: str | None,
    sketch: str | None,
    colours: tuple[str, ...],
    style_from: Path | None,
    kind: Any,
    tone: Any,
    paper: Any,
    void: int | None,
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

    INPUT is a picture, a folder of pictures, a dataset folder, or - for a list of paths on standard input. Run the same command
    again to make what is missing.
    """
    from facesynth.errors import InputError, WrongKindError, shown
    from facesynth.model.devices import keep_memory
    from facesynth.model.inference.styles import Styling
    from facesynth.model.inference.translate_files import Writing, translate_files

    if _STDIN in inputs:
        listed = [Path(line.rstrip("\r\n")) for line in sys.stdin if line.strip()]
        if not listed:
            raise InputError("no input on standard input; needed: one path per line")
        inputs = tuple(path for item in inputs for path in (listed if item == _STDIN else [item]))
    if batch_size != "auto" and not (len(batch_size) < 10 and batch_size.removeprefix("-").isdecimal()):
        raise InputError(f"batch_size is {shown(batch_size)}; needed: a number or auto")
    keep_memory()
    tell_downloads(quiet=quiet)
    done = translate_files(
        inputs,
        checkpoint,
        out,
        styling=Styling(**styling, colours=_colours(colours)),
        writing=Writing(format=format, size=size, latents=save_latents, sheet=sheet),
        style_from=style_from,
        from_latents=from_latents,
        kind=kind,
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
        tone=tone,
        paper=paper,
        void=void,
    )
    for name, note in [*done.notes, *done.failures]:
        say(f"{name}: {note}", err=True)
    failed = len(done.failures)
    if done.chosen:
        by = "the first input" if kind == "auto" else "--kind"
        say(f"model: {done.chosen}, chosen by {by}; --checkpoint selects another")
    say(f"faces in {out}: {done.written} written, {done.kept} already there, {failed} inputs failed")
    if done.sheet:
        say(f"contact sheet: {done.sheet}")
    if done.failures:
        sys.exit(2 if any(isinstance(error, WrongKindError) for _, error in done.failures) else 1)


def _colours(given: tuple[str, ...]) -> dict[str, str]:
    """REGION=COLOUR options by region."""
    from facesynth.errors import InputError, shown

    found: dict[str, str] = {}
    for text in given:
        region, is_pair, colour = text.partition("=")
        if not is_pair:
            raise InputError(f"colour is {shown(text)}; needed: REGION=COLOUR, such as hair=#c8a165")
        if region in found:
            raise InputError(f"colour is given twice for {shown(region)}; give one")
        found[region] = colour
    return found
