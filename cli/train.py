"""``facesynth train``: a dataset folder into a run folder."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from facesynth.model.losses import LPIPS
    from facesynth.model.training import Report

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--data", type=_PATH, required=True, help="A dataset folder, as `facesynth prep` makes.")
@click.option("--task", type=click.Choice(["seg2face", "sketch2face"]), required=True, help="What to translate.")
@click.option("--out", type=_PATH, required=True, help="The run folder; the same command again continues it.")
@click.option(
    "--preset", type=click.Choice(["small", "published", "freehand"]), default="small", help="Sizes and settings."
)
@click.option(
    "--generator", type=_PATH, help="A checkpoint, also of other programs, whose generator to use, kept as it is."
)
@click.option("--train-generator", is_flag=True, help="Train the generator along with the encoder.")
@click.option(
    "--sketch",
    help="The sketch method, where the dataset holds several; or some, joined by commas.  [default: with --rough all]",
)
@click.option(
    "--augment", type=float, help="Turn, scale, shift and recolour pairs: 1 as usual.  [default: the preset's]"
)
@click.option(
    "--rough", type=float, help="Make conditions as rough as drawn by hand: 1 as usual.  [default: the preset's]"
)
@click.option("--steps", type=int, help="Optimiser steps in all.  [default: the preset's]")
@click.option("--batch-size", type=int, help="Photos a step.  [default: the preset's]")
@click.option("--learning-rate", type=float, help="Of the optimiser.  [default: the preset's]")
@click.option("--interval", type=int, help="Steps between validations.  [default: the preset's]")
@click.option(
    "--lpips", type=float, help="Weight of the perceptual loss.  [default: the preset's, or 0 with no weights]"
)
@click.option(
    "--lpips-backbone", type=_PATH, help="AlexNet weights.  [default: torchvision's download, if it is there]"
)
@click.option("--lpips-heads", type=_PATH, help="LPIPS heads.  [default: those of the package lpips, if installed]")
@click.option("--seed", default=0, help="Of the weights, the data order and all that is random.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", help="Where to compute.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=2,
    help="Processes that read pictures, where they don't fit in memory.",
)
@click.option(
    "--skip-bad",
    type=click.IntRange(min=0),
    default=0,
    help="Leave out so many pairs of a split whose pictures are bad.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def train(
    data: Path,
    task: Any,
    out: Path,
    preset: str,
    generator: Path | None,
    train_generator: bool,
    sketch: str | None,
    lpips_backbone: Path | None,
    lpips_heads: Path | None,
    device: str,
    workers: int,
    skip_bad: int,
    quiet: bool,
    **values: Any,
) -> None:
    """Train a pixel2style2pixel model: an encoder, and the generator too if asked."""
    from facesynth.manifest import read_dataset
    from facesynth.model import config as configs
    from facesynth.model.training import train as run

    given = {name: value for name, value in values.items() if value is not None}
    n_classes = len(read_dataset(data).scheme)
    config = configs.preset(preset, task, n_classes=n_classes, train_generator=train_generator, **given)
    perceptual, notice = None, ""
    if config.lpips > 0:
        perceptual, notice = _perceptual(lpips_backbone, lpips_heads, required="lpips" in given)
        config = config if perceptual else dataclasses.replace(config, lpips=0.0)
    done = run(
        data,
        out,
        config,
        sketch=sketch,
        generator=generator,
        perceptual=perceptual,
        device=device,
        workers=workers,
        skip_bad=skip_bad,
        report=_reporter(config.steps, notice, quiet=quiet),
    )
    click.echo(f"{task} in {done.root}: validation L2 from {done.first:.4f} down to {done.lowest:.4f}")
    kept = f"{done.metric} {done.best:.4f}, step {done.best_step}"
    click.echo(f"model with the lowest validation {kept}: {done.root / 'model.safetensors'}")
    click.echo(f"curves: {done.root / 'losses.png'}")


def _perceptual(backbone: Path | None, heads: Path | None, *, required: bool) -> tuple[LPIPS | None, str]:
    """The perceptual network; where nobody asked for it and its weights are not at hand, none, and a notice of that."""
    from facesynth.errors import CheckpointError
    from facesynth.model.losses import load_lpips

    try:
        return load_lpips(backbone, heads), ""
    except CheckpointError as error:
        if required or backbone or heads:
            raise
        return None, f"training without the perceptual loss: {error}"


def _reporter(steps: int, notice: str, *, quiet: bool) -> Report:
    """Shows the notice once the run has begun, the steps as a moving line on a terminal, every validation as a line."""
    from tqdm import tqdm

    is_moving = sys.stderr.isatty() and not quiet
    bar = tqdm(total=steps, desc="training", unit="step", dynamic_ncols=True, disable=not is_moving)
    pending = [notice] if notice else []

    def report(split: str, step: int, terms: Mapping[str, float]) -> None:
        while pending:
            tqdm.write(pending.pop(), file=sys.stderr)
        if quiet:
            return
        bar.update(step - bar.n)
        text = ", ".join(f"{name} {value:.4f}" for name, value in terms.items())
        if split == "train":
            bar.set_postfix_str(text, refresh=False)
        else:
            tqdm.write(f"step {step} of {steps}, validation: {text}", file=sys.stderr)
            if step >= steps:
                bar.close()

    return report
