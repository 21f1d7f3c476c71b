"""``facesynth train``: train a model on a dataset folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ._messages import say
from ._progress import tell_downloads
from ._training import (
    EXECUTION_OPTIONS,
    LPIPS_FILES,
    PATH,
    PRESETS,
    SEED_OPTION,
    STEP_OPTIONS,
    announcer,
    command_line,
    named,
    reporter,
    settings_options,
)

if TYPE_CHECKING:
    from torch import nn

    from facesynth.model.config.train import TrainConfig

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _weight(name: str, what: str) -> Callable[[_Command], _Command]:
    return click.option(f"--{name}", type=float, help=f"Weight of {what}.{PRESETS}")


@click.command()
@click.argument("runs", type=PATH, nargs=-1, metavar="[RUN...]")
@click.option("--data", type=PATH, help="A dataset folder, as `facesynth prep` writes.")
@click.option("--task", type=click.Choice(["seg2face", "sketch2face", "photo2face"]), help="Conditions to translate.")
@click.option("--out", type=PATH, help="The run folder; the same command again continues it.")
@click.option(
    "--preset",
    type=click.Choice(["small", "portrait", "photographs", "published", "freehand", "super-resolution"]),
    help="Sizes and settings.  [default: small]",
)
@settings_options("model", "output_size=512")
@click.option(
    "--generator",
    type=PATH,
    help="A checkpoint, also of other programs, or published weights by name, such as stylegan2-ffhq, which are downloaded; "
    "its generator is used and stays frozen.",
)
@click.option("--train-generator", is_flag=True, default=None, help="Train the generator together with the encoder.")
@click.option(
    "--sketch",
    help="Sketch method if the dataset has several; or some, separated by commas.  [default: all with --rough]",
)
@click.option(
    "--augment", type=float, help=f"Rotate, scale, shift and recolour pairs: 1 normal strength, 0 off.{PRESETS}"
)
@click.option(
    "--rough", type=float, help=f"Make conditions as rough as hand drawings: 1 normal strength, 0 off.{PRESETS}"
)
@STEP_OPTIONS
@click.option(
    "--optimizer",
    type=click.Choice(["ranger", "adam", "muon", "adam-muon"]),
    help=f"Optimiser; adam-muon: Adam for the encoder, Muon for the generator.{PRESETS}",
)
@click.option("--learning-rate", type=float, help=f"Learning rate of the encoder.{PRESETS}")
@click.option(
    "--generator-learning-rate", type=float, help=f"Learning rate of the generator, if it is trained.{PRESETS}"
)
@click.option(
    "--cooldown",
    type=float,
    help=f"Fraction of the steps, at the end, over which the rates fall to 0; 0: none.{PRESETS}",
)
@click.option("--clip-norm", type=float, help=f"Largest norm of all gradients together; 0: no limit.{PRESETS}")
@click.option(
    "--ema", type=float, help=f"Decay per step of the moving average of the weights, which is saved; 0: none.{PRESETS}"
)
@_weight("l2", "the L2 loss")
@_weight("l1", "the L1 loss")
@_weight("l2-crop", "the L2 loss on the face crop")
@click.option(
    "--lpips", type=float, help="Weight of LPIPS.  [default: the preset's, or 0 if its weights are not found]"
)
@_weight("lpips-crop", "LPIPS on the face crop")
@_weight("identity", "the identity loss")
@_weight("moco", "the MoCo similarity loss, for domains other than faces")
@_weight("laplacian", "the Laplacian pyramid loss")
@_weight("lines", "the line loss")
@_weight("parsing", "the parsing loss: parts of the face as a face parser segments them")
@_weight("w-norm", "the W-norm: distance of the latents from the average")
@_weight("adversarial", "each discriminator's adversarial loss; the discriminators use LPIPS's backbone")
@click.option("--discriminator-learning-rate", type=float, help=f"Learning rate of the discriminators.{PRESETS}")
@click.option(
    "--augment-target",
    type=float,
    help=f"Discriminator overfitting, 0 to 1, that its augmentation is adapted to; 0: always augment.{PRESETS}",
)
@click.option("--lpips-net", "lpips_network", type=click.Choice(["alex", "vgg"]), help=f"Backbone of LPIPS.{PRESETS}")
@LPIPS_FILES
@click.option(
    "--identity-weights",
    type=PATH,
    help="ArcFace's IR-SE50: model_ir_se50.pth, or ir-se50, which is downloaded; for --identity.",
)
@click.option("--moco-weights", type=PATH, help="MoCo v2's moco_v2_800ep_pretrain.pth.tar; for --moco.")
@click.option("--parser", type=PATH, help="Checkpoint of a face parser; for --parsing.  [default: portrait-parser]")
@click.option("--metric", help=f"Validation term whose lowest value selects the model to keep.{PRESETS}")
@click.option("--style-probability", type=float, help=f"Share of photos with their own style code.{PRESETS}")
@click.option("--low-resolution", help=f"Factors by which input photos are downsampled, such as 1,2,4.{PRESETS}")
@click.option("--flip/--no-flip", default=None, help=f"Mirror half of the pairs.{PRESETS}")
@click.option(
    "--precision", type=click.Choice(["float32", "bf16", "fp16"]), help=f"Precision of the networks.{PRESETS}"
)
@SEED_OPTION
@click.option("--compile", is_flag=True, help="Compile the networks first; worth it for long runs.")
@click.option(
    "--skip-bad",
    type=click.IntRange(min=0),
    default=0,
    help="Number of pairs with bad pictures to skip in a split.",
)
@click.option("--plot", is_flag=True, help="Do not train; plot the curves of every RUN into one picture, --out.")
@EXECUTION_OPTIONS
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
    """Train a pixel2style2pixel model: an encoder, and optionally its generator.

    With --plot, compare the losses of runs instead.
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

    tell_downloads(quiet=quiet)
    overrides = {name: value for name, value in values.items() if value is not None}
    settings = resolve(
        task,
        n_classes=len(read_dataset(data).scheme),
        name=preset,
        file=config,
        options=overrides,
        sizes=dict(named(size) for size in sizes),
    )
    for name in ("discriminator_learning_rate", "augment_target"):
        if name in overrides and not settings.adversarial:
            given = f"--{name.replace('_', '-')}"
            raise InputError(f"{given} is given but adversarial weighs 0; give --adversarial a weight, or leave it out")
    required = bool({"lpips", "lpips_crop"} & overrides.keys()) or settings.adversarial > 0
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
        say(notice or "nothing was started: this was a dry run")
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
        announce=announcer(quiet=quiet),
        device=device,
        workers=workers,
        keep=keep,
        compile=compile,
        trackers=trackers,
        command=command_line(),
    )
    if not done.is_main:
        return
    say(f"{settings.task} in {done.root}: validation L2 from {done.first:.4f} down to {done.lowest:.4f}")
    kept = f"{done.metric} {done.best:.4f}, step {done.best_step}"
    say(f"model with the lowest validation {kept}: {done.root / 'model.safetensors'}")
    say(f"curves: {done.root / 'losses.png'}")


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
    say(f"curves of {len(runs)} runs: {picture}")


def _lpips(
    config: TrainConfig, backbone: Path | None, heads: Path | None, *, required: bool
) -> tuple[dict[str, nn.Module], str]:
    """The perceptual network, or none and a notice if it was not requested and its weights are not available."""
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
    """The networks of the identity and the MoCo term, if their weights are not 0."""
    from facesynth.errors import InputError
    from facesynth.model.losses.identity import load_identity
    from facesynth.model.losses.moco import load_moco

    networks: dict[str, nn.Module] = {}
    for name, path, load, file in (
        ("identity", identity, load_identity, "ArcFace's model_ir_se50.pth or the name ir-se50"),
        ("moco", moco, load_moco, "MoCo v2's moco_v2_800ep_pretrain.pth.tar"),
    ):
        weight = config.weights[name]
        if weight and path is None:
            raise InputError(f"{name} is {weight}; needed for it: --{name}-weights FILE, {file}, or --{name} 0")
        if weight and path is not None:
            networks[name] = load(path)
    return networks
