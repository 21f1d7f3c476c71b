"""``facesynth train``: a dataset folder into a run folder."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from torch import nn

    from facesynth.model.config import TrainConfig
    from facesynth.model.training import Report

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--data", type=_PATH, required=True, help="A dataset folder, as `facesynth prep` makes.")
@click.option("--task", type=click.Choice(["seg2face", "sketch2face"]), required=True, help="What to translate.")
@click.option("--out", type=_PATH, required=True, help="The run folder; the same command again continues it.")
@click.option("--preset", type=click.Choice(["small", "published"]), default="small", help="Sizes and settings.")
@click.option(
    "--generator", type=_PATH, help="A checkpoint, also of other programs, whose generator to use, kept as it is."
)
@click.option("--train-generator", is_flag=True, help="Train the generator along with the encoder.")
@click.option("--sketch", help="The sketch method, where the dataset holds several.")
@click.option("--steps", type=int, help="Optimiser steps in all.  [default: the preset's]")
@click.option("--batch-size", type=int, help="Photos a step.  [default: the preset's]")
@click.option("--learning-rate", type=float, help="Of the optimiser.  [default: the preset's]")
@click.option("--interval", type=int, help="Steps between validations.  [default: the preset's]")
@click.option("--l2", type=float, help="Weight of the pictures' L2.  [default: the preset's]")
@click.option("--l2-crop", type=float, help="Weight of the same on the face alone.  [default: the preset's]")
@click.option(
    "--lpips", type=float, help="Weight of the perceptual loss.  [default: the preset's, or 0 with no weights]"
)
@click.option("--lpips-crop", type=float, help="Weight of the same on the face alone.  [default: the preset's]")
@click.option("--identity", type=float, help="Weight of the persons' difference.  [default: the preset's]")
@click.option("--moco", type=float, help="Weight of the same for what are no faces.  [default: the preset's]")
@click.option("--laplacian", type=float, help="Weight of the Laplacian pyramids' difference.  [default: the preset's]")
@click.option("--w-norm", type=float, help="Weight of the latents' distance from the average.  [default: the preset's]")
@click.option(
    "--lpips-net", "lpips_network", type=click.Choice(["alex", "vgg"]), help="Network of the perceptual loss."
)
@click.option(
    "--lpips-backbone",
    type=_PATH,
    help="Its weights, AlexNet's or VGG16's.  [default: torchvision's download, if there]",
)
@click.option("--lpips-heads", type=_PATH, help="LPIPS heads.  [default: those of the package lpips, if installed]")
@click.option("--identity-weights", type=_PATH, help="ArcFace's IR-SE50, model_ir_se50.pth; for --identity.")
@click.option("--moco-weights", type=_PATH, help="MoCo v2's moco_v2_800ep_pretrain.pth.tar; for --moco.")
@click.option("--metric", help="Term whose lowest validation value tells which model is kept.  [default: the preset's]")
@click.option("--seed", default=0, help="Of the weights, the data order and all that is random.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", help="Where to compute.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=2,
    help="Processes that read pictures, where they don't fit in memory.",
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
    identity_weights: Path | None,
    moco_weights: Path | None,
    device: str,
    workers: int,
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
    networks, notice = _lpips(
        config, lpips_backbone, lpips_heads, required=bool({"lpips", "lpips_crop"} & given.keys())
    )
    if notice:
        config = dataclasses.replace(config, lpips=0.0, lpips_crop=0.0)
    networks |= _similarity(config, identity_weights, moco_weights)
    done = run(
        data,
        out,
        config,
        sketch=sketch,
        generator=generator,
        networks=networks,
        device=device,
        workers=workers,
        report=_reporter(config.steps, notice, quiet=quiet),
    )
    click.echo(f"{task} in {done.root}: validation L2 from {done.first:.4f} down to {done.lowest:.4f}")
    kept = f"{done.metric} {done.best:.4f}, step {done.best_step}"
    click.echo(f"model with the lowest validation {kept}: {done.root / 'model.safetensors'}")
    click.echo(f"curves: {done.root / 'losses.png'}")


def _lpips(
    config: TrainConfig, backbone: Path | None, heads: Path | None, *, required: bool
) -> tuple[dict[str, nn.Module], str]:
    """The perceptual network; where nobody asked for it and its weights are not at hand, none, and a notice of that."""
    from facesynth.errors import CheckpointError
    from facesynth.model.lpips import load_lpips

    if not config.lpips and not config.lpips_crop:
        return {}, ""
    try:
        return {"lpips": load_lpips(backbone, heads, config.lpips_network)}, ""
    except CheckpointError as error:
        if required or backbone or heads:
            raise
        return {}, f"training without the perceptual loss: {error}"


def _similarity(config: TrainConfig, identity: Path | None, moco: Path | None) -> dict[str, nn.Module]:
    """The networks of the identity and the MoCo term, as far as these weigh anything."""
    from facesynth.errors import InputError
    from facesynth.model.foreign import load_identity, load_moco

    networks: dict[str, nn.Module] = {}
    for name, path, load, file in (
        ("identity", identity, load_identity, "ArcFace's model_ir_se50.pth"),
        ("moco", moco, load_moco, "MoCo v2's moco_v2_800ep_pretrain.pth.tar"),
    ):
        weight = config.weights[name]
        if weight and path is None:
            raise InputError(f"{name} is {weight}; needed for it: --{name}-weights FILE, {file}, or --{name} 0")
        if weight and path is not None:
            networks[name] = load(path)
    return networks


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
