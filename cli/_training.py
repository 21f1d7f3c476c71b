"""Shared parts of the training commands: progress on standard error, and sizes given by name.

Progress is a moving line on a terminal, a plain line every few seconds elsewhere.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from ._progress import PLAIN_INTERVAL

if TYPE_CHECKING:
    from facesynth.model.training.loop import Report


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
