"""What the commands of ``facesynth prep`` share: their options, and how they tell what was done."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from facesynth.prep.stages import Prepared

SHOWN_FAILURES = 20
"""Most failures that are printed one by one; all are in report.csv."""

FOLDER = click.Path(path_type=Path)


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every stage has."""
    command = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")(command)
    return click.option("-j", "--jobs", default=-1, help="Processes; -1 for one a core.")(command)


def print_outcome(what: str, done: Prepared) -> None:
    """Print what was done; leave with 1 if photos failed."""
    splits = ", ".join(f"{name} {done.splits[name]}" for name in ("train", "val", "test") if name in done.splits)
    click.echo(
        f"{what} in {done.root}: {done.written} written, {done.kept} already there, {len(done.failures)} failed"
        + (f"; manifest: {splits}" if splits else "")
    )
    for failure in done.failures[:SHOWN_FAILURES]:
        click.echo(f"{failure.id}: {failure.reason}", err=True)
    if done.failures:
        more = len(done.failures) - SHOWN_FAILURES
        rest = f"{more} more; all" if more > 0 else "all"
        click.echo(f"{len(done.failures)} failed ({rest} in {done.root / 'report.csv'})", err=True)
        sys.exit(1)
