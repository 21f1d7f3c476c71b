"""The commands as a group, and what becomes of their errors."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence

import click

from facesynth import __version__
from facesynth.errors import LONGEST, FacesynthError, is_out_of_memory, reason_of, shown, visible

from . import convert, demo, evaluate, info, parse, prep, studio, train, train_generator, translate
from ._messages import say


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
facesynth.add_command(studio.studio)
facesynth.add_command(convert.convert)
facesynth.add_command(info.info)


def run() -> None:
    """Run the command that the arguments name, and exit."""
    warnings.filterwarnings("ignore", r"\d+ tasks ", UserWarning)  # joblib warns about calls that an interrupt cancels
    try:
        sys.exit(facesynth(standalone_mode=False))
    except click.ClickException as error:
        error.message = _short(error.message, sys.argv[1:])  # type: ignore[misc]
        error.show()
        sys.exit(error.exit_code)
    except FacesynthError as error:
        say(f"facesynth: {error}", err=True)
        sys.exit(2)
    except BrokenPipeError:  # whoever read what is printed has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        what = f"{error.filename}: " if error.filename is not None else ""
        say(f"facesynth: {what}{error.strerror or reason_of(error)}", err=True)
        sys.exit(2)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        say(f"facesynth: not enough memory: {reason_of(error)}; give smaller sizes, or less at a time", err=True)
        sys.exit(2)


def _short(message: str, arguments: Sequence[str]) -> str:
    """A message of click, on one line, with long arguments shortened."""
    for argument in arguments:
        for value in (argument, argument.partition("=")[2]):
            if len(value) > LONGEST:
                message = message.replace(repr(value), shown(value)).replace(value, shown(value))
    return visible(message)
