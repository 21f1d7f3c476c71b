"""The command line: parses arguments, calls one library function, reports the result.

Heavy imports are inside the commands, so that every ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
import warnings

import click

from facesynth import __version__
from facesynth.errors import FacesynthError

from . import convert, demo, evaluate, info, parse, prep, train, train_generator, translate


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="facesynth")
def facesynth() -> None:
    """Turn face sketches and segmentation maps into photographs.

    \b
    All steps, on procedural portraits:
      facesynth prep sample raw -n 200
      facesynth prep masks raw --out data
      facesynth prep sketches data --out data --method xdog
      facesynth train --data data --task seg2face --train-generator --out run
      facesynth translate data --checkpoint run --out faces --sheet
    """  # noqa: D301, click needs the escape


facesynth.add_command(demo.demo)
facesynth.add_command(prep.prep)
facesynth.add_command(train.train)
facesynth.add_command(train_generator.train_generator)
facesynth.add_command(translate.translate)
facesynth.add_command(evaluate.evaluate)
facesynth.add_command(parse.parse)
facesynth.add_command(convert.convert)
facesynth.add_command(info.info)


def main() -> None:
    """Run the command line; an error becomes one line and exit code 2, an interrupt one line and 130."""
    warnings.filterwarnings("ignore", r"\d+ tasks ", UserWarning)  # joblib warns about calls that an interrupt cancels
    try:
        sys.exit(facesynth(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except FacesynthError as error:
        click.echo(f"facesynth: {' '.join(str(error).split())}", err=True)
        sys.exit(2)
    except click.Abort:
        click.echo("facesynth: stopped; run the same command again to continue", err=True)
        if "distributed" in sys.modules:  # Dask's threads would log that they lost their connection
            sys.stderr.flush()
            os._exit(130)
        sys.exit(130)
