"""``facesynth prep check``: compare a dataset folder with its manifest."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .._messages import say
from .._progress import progress
from ._common import FOLDER, SHOWN, common

if TYPE_CHECKING:
    from facesynth.prep.pipeline.workers import Workers


@click.command()
@click.argument("data", type=FOLDER)
@common
def check(data: Path, workers: Workers, quiet: bool) -> None:
    """Read every file of DATA, a dataset folder, and compare it with the manifest.

    Nothing is changed. The exit code is 1 if there are problems. Findings over
    the set, such as equal photos, are printed and do not count as problems.
    """
    from facesynth.prep.check import check_dataset

    done = check_dataset(data, workers=workers, progress=progress("photos checked", quiet=quiet))
    count = len(done.problems)
    found = f"{count or 'no'} problem{'' if count == 1 else 's'}"
    odd = len(done.remarks)
    remarked = f", {odd} finding{'' if odd == 1 else 's'} over the set" if odd else ""
    say(f"{data}: {done.rows} photos, {done.files} files, {found}{remarked}")
    for problem in done.problems[:SHOWN]:
        say(f"{problem.id}, {problem.column}: {problem.detail}" if problem.id else problem.detail, err=True)
    if count > SHOWN:
        say(f"and {count - SHOWN} more", err=True)
    for name, finding in done.remarks[:SHOWN]:
        say(f"{name}: {finding.kind}: {finding.detail}", err=True)
    if odd > SHOWN:
        say(f"and {odd - SHOWN} more over the set", err=True)
    if count:
        sys.exit(1)
