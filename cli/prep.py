"""``facesynth prep``: a raw CelebAMask-HQ tree into a dataset folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._progress import progress

if TYPE_CHECKING:
    from facesynth.prep.stages import Prepared

SHOWN_FAILURES = 20
"""Most failures that are printed one by one; all are in report.csv."""

_FOLDER = click.Path(path_type=Path)


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")(command)
    return click.option("-j", "--jobs", default=-1, help="Processes; -1 for one a core.")(command)


@click.group()
def prep() -> None:
    """Make a dataset: label maps, sketches and their manifest."""


@prep.command()
@click.argument("out", type=_FOLDER)
@click.option("-n", "--count", default=200, help="Portraits to draw.")
@click.option("--seed", default=0, help="A portrait depends on this and its id alone.")
@click.option("--size", default=512, help="Height and width of the photos, pixels (64 to 1024).")
@_common
def sample(out: Path, count: int, seed: int, size: int, jobs: int, quiet: bool) -> None:
    """Draw procedural portraits with part masks into OUT, laid out as CelebAMask-HQ is."""
    from facesynth.prep.stages import make_sample

    done = make_sample(out, count=count, seed=seed, size=size, jobs=jobs, progress=progress("portraits", quiet=quiet))
    _report("portraits", done)


@prep.command()
@click.argument("raw", type=_FOLDER)
@click.option("--out", type=_FOLDER, required=True, help="The dataset folder; made if missing.")
@click.option("--force", is_flag=True, help="Do again what is done.")
@_common
def masks(raw: Path, out: Path, force: bool, jobs: int, quiet: bool) -> None:
    """Merge the part masks of RAW, a CelebAMask-HQ folder, into 19-class label maps."""
    from facesynth.prep.stages import prepare_masks

    done = prepare_masks(raw, out, jobs=jobs, force=force, progress=progress("label maps", quiet=quiet))
    _report("label maps", done)


@prep.command()
@click.argument("source", type=_FOLDER, metavar="RAW|DATA")
@click.option("--out", type=_FOLDER, required=True, help="The dataset folder; made if missing.")
@click.option("--method", type=click.Choice(["dodge", "xdog"]), default="xdog", help="The filter.")
@click.option("--sigma", type=float, help="Blur, in pixels of a picture 512 wide.  [default: dodge 10, xdog 1.4]")
@click.option("--k", type=float, default=1.6, help="xdog: ratio of the two blurs.")
@click.option("--p", type=float, default=40.0, help="xdog: strength of edges against tones.")
@click.option("--epsilon", type=float, default=0.15, help="xdog: grey from which the paper stays white.")
@click.option("--phi", type=float, default=2.0, help="xdog: steepness of the fall to black.")
@click.option("--force", is_flag=True, help="Do again what is done.")
@_common
def sketches(
    source: Path, out: Path, method: str, sigma: float | None, force: bool, jobs: int, quiet: bool, **shape: float
) -> None:
    """Draw a sketch of every photo of a CelebAMask-HQ folder, or of a dataset folder.

    Lines keep their width relative to the picture, whatever its size.
    """
    from facesynth.prep.stages import prepare_sketches

    if method == "dodge":
        context = click.get_current_context()
        given = [name for name in shape if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT]
        if given:
            raise click.UsageError(f"--{given[0]} belongs to --method xdog, not to dodge")
        parameters = {"sigma": 10.0 if sigma is None else sigma}
    else:
        parameters = {"sigma": 1.4 if sigma is None else sigma, **shape}
    shown = progress(f"{method} sketches", quiet=quiet)
    done = prepare_sketches(source, out, method=method, parameters=parameters, jobs=jobs, force=force, progress=shown)
    _report(f"{method} sketches", done)


def _report(what: str, done: Prepared) -> None:
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
