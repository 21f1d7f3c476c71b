"""Shared parts of the ``facesynth prep`` commands: options, and the report of the outcome."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .._messages import say

if TYPE_CHECKING:
    from facesynth.prep.pipeline.dataset import Prepared

SHOWN = 20
"""Largest number of failures or problems that are printed."""

FOLDER = click.Path(path_type=Path)

Command = Callable[..., Any]


def common(command: Command) -> Command:
    """Add the options that all commands have, and pass them as ``workers`` and ``quiet``."""

    @functools.wraps(command)
    def with_workers(*, jobs: int, backend: str, scheduler: str, **rest: Any) -> Any:
        from facesynth.prep.pipeline.workers import Workers

        return command(workers=Workers(jobs, backend, scheduler), **rest)

    for option in (
        click.option("-q", "--quiet", is_flag=True, help="Show no progress."),
        click.option(
            "--scheduler", default="", show_default="one on this machine", help="dask, ray: the cluster's address."
        ),
        click.option(
            "--backend",
            type=click.Choice(["processes", "threads", "dask", "ray"]),
            default="processes",
            help="Where photos are processed.",
        ),
        click.option("-j", "--jobs", default=-1, help="Photos at a time; -1 for one per core."),
    ):
        with_workers = option(with_workers)
    return with_workers


def with_splits(command: Command) -> Command:
    """Add the options for splits, and pass them as ``splits``, which is None if none is given."""

    @functools.wraps(command)
    def chosen(*, split_file: Path | None, val: float | None, test: float | None, **rest: Any) -> Any:
        from facesynth.prep.splits import Splits, read_split_list

        has_shares = val is not None or test is not None
        if split_file and has_shares:
            raise click.UsageError("--split-file and --val or --test both define the splits; leave one out")
        splits = read_split_list(split_file) if split_file else None
        if has_shares:
            splits = Splits(val=0.1 if val is None else val, test=0.1 if test is None else test)
        return command(splits=splits, **rest)

    for option in (
        click.option("--test", type=float, help="Share of the test split, by a hash of the id.", show_default="0.1"),
        click.option("--val", type=float, help="Share of the val split, by a hash of the id.", show_default="0.1"),
        click.option(
            "--split-file",
            type=FOLDER,
            help="List of the splits, one line per photo, as 00042,val.",
            show_default="official, else by hash",
        ),
    ):
        chosen = option(chosen)
    return chosen


def with_scheme(command: Command) -> Command:
    """Add the option for the label scheme, by name or file, and pass it as ``scheme``."""

    @functools.wraps(command)
    def named(*, scheme: str, **rest: Any) -> Any:
        from facesynth.labels import read_scheme

        return command(scheme=read_scheme(scheme), **rest)

    text = "Label scheme: celebamask-hq, face-parsing, celebamask-hq-older, or a YAML or JSON file."
    return click.option("--scheme", default="celebamask-hq", help=text)(named)


OUT = click.option("--out", type=FOLDER, required=True, help="The dataset folder; created if missing.")
FORCE = click.option("--force", is_flag=True, help="Repeat work that is already done.")
STRICT = click.option("--strict", is_flag=True, help="Treat every finding as an error.")
VOID = click.option(
    "--void", type=int, help="labels: value that stands for no class, such as 255; it becomes background."
)
PALETTE = click.option("--palette", is_flag=True, help="Write label maps as indexed colour, with the same values.")


def print_outcome(what: str, done: Prepared) -> None:
    """Print the outcome of a call; exit with 1 if photos failed."""
    splits = ", ".join(f"{name} {done.splits[name]}" for name in ("train", "val", "test") if name in done.splits)
    noticed = ", ".join(f"{kind} {count}" for kind, count in done.noticed.items())
    say(
        f"{what} in {done.root}: {done.written} written, {done.kept} already there, {len(done.failures)} failed"
        + (f"; manifest: {splits}" if splits else "")
    )
    if noticed:
        say(f"found: {noticed} (see {done.root / 'report.html'})")
    if done.outdated:
        outdated = ", ".join(f"{column} {count}" for column, count in done.outdated.items())
        say(f"out of date and removed from the manifest: {outdated}; run the commands that made them again")
    if done.failures:
        where = done.root / "report.csv"
        print_some([f"{failure.id}: {failure.reason}" for failure in done.failures], "failed", f" in {where}")
        sys.exit(1)


def print_some(lines: Sequence[str], what: str, where: str = "") -> None:
    """Print the first of many lines to standard error, and their number."""
    for line in lines[:SHOWN]:
        say(line, err=True)
    more = len(lines) - SHOWN
    say(f"{len(lines)} {what} ({f'{more} more; ' if more > 0 else ''}all{where})", err=True)
