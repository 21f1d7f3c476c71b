"""``facesynth train-generator``: train a generator on the photos of a dataset folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    from facesynth.model.config.gan import GANConfig
    from facesynth.model.losses.lpips import LPIPS


@click.command("train-generator")
@click.option(
    "--data", type=PATH, required=True, help="A dataset folder, as `facesynth prep` writes; only its photos are used."
)
@click.option("--out", type=PATH, required=True, help="The run folder; the same command again continues it.")
@click.option("--size", type=int, help=f"Height and width of the pictures, 32 to 1024 pixels.{PRESETS}")
@click.option("--preset", type=click.Choice(["small", "published"]), help="Sizes and settings.  [default: small]")
@settings_options("networks", "style_dim=256")
@click.option(
    "--generator",
    type=PATH,
    help="A checkpoint, also of other programs, or published weights by name, such as stylegan2-ffhq, which are downloaded; "
    "the generator to start from.",
)
@click.option(
    "--discriminator",
    type=PATH,
    metavar="KIND|FILE",
    help="stylegan2; projected, on the feature maps of LPIPS's backbone; or a file with the discriminator that belongs to "
    "--generator.  [default: stylegan2]",
)
@click.option(
    "--lpips-net",
    "lpips_network",
    type=click.Choice(["alex", "vgg"]),
    help=f"Backbone of --discriminator projected.{PRESETS}",
)
@LPIPS_FILES
@STEP_OPTIONS
@click.option("--learning-rate", type=float, help=f"Learning rate of both networks.{PRESETS}")
@click.option("--r1", "r1_weight", type=float, help="Weight of the gradient penalty.  [default: by size and batch]")
@click.option("--path-weight", type=float, help=f"Weight of path length regularisation; 0: none.{PRESETS}")
@click.option("--mixing", type=float, help=f"Probability of style mixing between two z.{PRESETS}")
@click.option(
    "--average-half-life", type=int, help=f"Half-life of the moving average of the weights, images; 0: none.{PRESETS}"
)
@click.option(
    "--augment-target", type=float, help=f"Target of adaptive augmentation; 0: it stays at --augment-p.{PRESETS}"
)
@click.option(
    "--augment-speed", type=int, help=f"Images in which the augmentation probability can rise from 0 to 1.{PRESETS}"
)
@click.option("--augment-p", type=float, help=f"Initial probability of augmentation.{PRESETS}")
@click.option("--flip/--no-flip", default=None, help=f"Mirror half of the photos.{PRESETS}")
@click.option("--precision", type=click.Choice(["float32", "bf16"]), help=f"Precision of the networks.{PRESETS}")
@click.option("--metric", help=f"Validation distance whose lowest value selects the generator to keep.{PRESETS}")
@SEED_OPTION
@EXECUTION_OPTIONS
def train_generator(
    data: Path,
    out: Path,
    size: int | None,
    preset: str | None,
    config: Path | None,
    sizes: tuple[str, ...],
    generator: Path | None,
    discriminator: Path | None,
    lpips_backbone: Path | None,
    lpips_heads: Path | None,
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
    from facesynth.model.config.gan import DISCRIMINATORS
    from facesynth.model.training.gan.overrides import resolve_generator
    from facesynth.model.training.gan.plan import plan_generator, read_initial_networks, run_folder
    from facesynth.model.training.gan.train import train_generator as run

    options = {name: value for name, value in values.items() if value is not None}
    if learning_rate is not None:
        options |= dict.fromkeys(("generator_learning_rate", "discriminator_learning_rate"), learning_rate)
    tell_downloads(quiet=quiet)
    if discriminator is not None and str(discriminator) in DISCRIMINATORS and not discriminator.exists():
        options["discriminator_kind"], discriminator = str(discriminator), None
    initial = read_initial_networks(generator, discriminator, size)
    settings = resolve_generator(
        initial, size=size, name=preset, file=config, options=options, sizes=dict(named(text) for text in sizes)
    )
    projection = _projection(settings, lpips_backbone, lpips_heads, network_given="lpips_network" in options)
    if dry_run:
        planned = plan_generator(data, settings, initial, projection)
        run_folder(out, settings).refuse_another(planned.settings)
        click.echo(planned.text())
        say("nothing was started: this was a dry run")
        return
    done = run(
        data,
        out,
        settings,
        initial=initial,
        projection=projection,
        report=reporter(settings.steps, "", quiet=quiet),
        announce=announcer(quiet=quiet),
        device=device,
        workers=workers,
        keep=keep,
        trackers=trackers,
        command=command_line(),
    )
    if not done.is_main:
        return
    progress = f"{done.metric} from {done.first:.2f} down to {done.best:.2f} at step {done.best_step}"
    say(f"generator in {done.root}: {progress}")
    say(f"averaged generator of that step: {done.root / 'model.safetensors'}")
    say(f"curves: {done.root / 'losses.png'}")


def _projection(config: GANConfig, backbone: Path | None, heads: Path | None, *, network_given: bool) -> LPIPS | None:
    """The frozen network of a projected discriminator; without one, its options are refused."""
    from facesynth.errors import InputError
    from facesynth.model.losses.lpips import load_lpips

    if config.is_projected:
        return load_lpips(backbone, heads, config.lpips_network)
    given = {"--lpips-net": network_given, "--lpips-backbone": bool(backbone), "--lpips-heads": bool(heads)}
    for option, is_given in given.items():
        if is_given:
            raise InputError(
                f"{option} is given but the discriminator is stylegan2; give --discriminator projected too"
            )
    return None
