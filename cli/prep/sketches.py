"""``facesynth prep sketches``: photos into sketches."""

from __future__ import annotations

from pathlib import Path

import click

from .._progress import progress
from ._common import FOLDER, common, print_outcome


@click.command()
@click.argument("source", type=FOLDER, metavar="RAW|DATA")
@click.option("--out", type=FOLDER, required=True, help="The dataset folder; made if missing.")
@click.option("--method", type=click.Choice(["dodge", "xdog"]), default="xdog", help="The filter.")
@click.option("--sigma", type=float, help="Blur, in pixels of a picture 512 wide.  [default: dodge 10, xdog 1.4]")
@click.option("--k", type=float, default=1.6, help="xdog: ratio of the two blurs.")
@click.option("--p", type=float, default=40.0, help="xdog: strength of edges against tones.")
@click.option("--epsilon", type=float, default=0.15, help="xdog: grey from which the paper stays white.")
@click.option("--phi", type=float, default=2.0, help="xdog: steepness of the fall to black.")
@click.option("--force", is_flag=True, help="Do again what is done.")
@common
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
    print_outcome(f"{method} sketches", done)
