"""``facesynth train-generator``: train a generator on the photos of a dataset folder."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from ._training import named, reporter

_PATH = click.Path(path_type=Path)
_PRESETS = "  [default: the preset's]"


@click.command("train-generator")
@click.option(
    "--data", type=_PATH, required=True, help="A dataset folder, as `facesynth prep` writes; only its photos are used."
)
@click.option("--out", type=_PATH, required=True, help="The run folder; the same command again continues it.")
@click.option("--size", type=int, help=f"Height and width of the pictures, 32 to 1024 pixels.{_PRESETS}")
@click.option("--preset", type=click.Choice(["small", "published"]), help="Sizes and settings.  [default: small]")
@click.option("--config", type=_PATH, help="Settings as YAML, such as a run's config.yaml; options take precedence.")
@click.option("--model", "sizes", multiple=True, metavar="NAME=VALUE", help="A size of the networks, as style_dim=256.")
@click.option("--generator", type=_PATH, help="A checkpoint, also of other programs, with the generator to start from.")
@click.option("--discriminator", type=_PATH, help="A file with the discriminator that belongs to it.")
@click.option("--steps", type=int, help=f"Total steps.{_PRESETS}")
@click.option("--batch-size", type=int, help=f"Photos per step, summed over all processes.{_PRESETS}")
@click.option(
    "--accumulate", type=int, help=f"Parts of a step that are processed in sequence, to save memory.{_PRESETS}"
)
@click.option("--learning-rate", type=float, help=f"Learning rate of both networks.{_PRESETS}")
@click.option("--r1", "r1_weight", type=float, help="Weight of the gradient penalty.  [default: by size and batch]")
@click.option("--path-weight", type=float, help=f"Weight of path length regularisation; 0: none.{_PRESETS}")
@click.option("--mixing", type=float, help=f"Probability of style mixing between two z.{_PRESETS}")
@click.option(
    "--average-half-life", type=int, help=f"Half-life of the moving average of the weights, images; 0: none.{_PRESETS}"
)
@click.option(
    "--augment-target", type=float, help=f"Target of adaptive augmentation; 0: it stays at --augment-p.{_PRESETS}"
)
@click.option(
    "--augment-speed", type=int, help=f"Images in which the augmentation probability can rise from 0 to 1.{_PRESETS}"
)
@click.option("--augment-p", type=float, help=f"Initial probability of augmentation.{_PRESETS}")
@click.option("--flip/--no-flip", default=None, help=f"Mirror half of the photos.{_PRESETS}")
@click.option("--precision", type=click.Choice(["float32", "bf16"]), help=f"Precision of the networks.{_PRESETS}")
@click.option("--metric", help=f"Validation distance whose lowest value selects the generator to keep.{_PRESETS}")
@click.option("--interval", type=int, help=f"Steps between validations; each writes a checkpoint.{_PRESETS}")
@click.option("--seed", type=int, help="Seed of weights, data order and everything random.  [default: 0]")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", help="Device to compute on."
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=2,
    help="Processes that read pictures; on a CPU used only if the pictures don't fit in memory.",
)
@click.option("--keep", type=click.IntRange(min=1), default=2, help="Number of newest checkpoints to keep.")
@click.option(
    "--tracker",
    "trackers",
    type=click.Choice(["tensorboard", "wandb"]),
    multiple=True,
    help="Log the losses there too.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan and the memory it needs, and stop.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def train_generator(
    data: Path,
    out: Path,
    size: int | None,
    preset: str | None,
    config: Path | None,
    sizes: tuple[str, ...],
    generator: Path | None,
    discriminator: Path | None,
    learning_rate: float | None,
    device: str,
    workers: int,
    keep: int,
    trackers: tuple[str, ...],
    dry_run: bool,
    quiet: bool,
    **values: Any,
) -> None:
    """Train a StyleGAN2 generator on photos, for `facesynth train --generator` to build on."""
    from facesynth.model.training.gan.overrides import resolve_generator
    from facesynth.model.training.gan.plan import GeneratorFolder, plan_generator, read_initial_networks
    from facesynth.model.training.gan.train import train_generator as run

    options = {name: value for name, value in values.items() if value is not None}
    if learning_rate is not None:
        options |= dict.fromkeys(("generator_learning_rate", "discriminator_learning_rate"), learning_rate)
    initial = read_initial_networks(generator, discriminator, size)
    settings = resolve_generator(
        initial, size=size, name=preset, file=config, options=options, sizes=dict(named(text) for text in sizes)
    )
    if dry_run:
        planned = plan_generator(data, settings, initial)
        GeneratorFolder(out).refuse_another(planned.settings)
        click.echo(planned.text())
        click.echo("nothing was started: this was a dry run")
        return
    done = run(
        data,
        out,
        settings,
        initial=initial,
        report=reporter(settings.steps, "", quiet=quiet),
        announce=None if quiet else lambda text: click.echo(text, err=True),
        device=device,
        workers=workers,
        keep=keep,
        trackers=trackers,
        command=shlex.join(["facesynth", *sys.argv[1:]]),
    )
    if not done.is_main:
        return
    progress = f"{done.metric} from {done.first:.2f} down to {done.best:.2f} at step {done.best_step}"
    click.echo(f"generator in {done.root}: {progress}")
    click.echo(f"averaged generator of that step: {done.root / 'model.safetensors'}")
    click.echo(f"curves: {done.root / 'losses.png'}")
