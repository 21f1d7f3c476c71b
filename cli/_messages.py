"""What the command line says: every line on one line, with control characters made visible."""

from __future__ import annotations

import click

from facesynth.errors import visible


def say(line: str, *, err: bool = False) -> None:
    """Print a line on standard output or, with ``err``, on standard error."""
    click.echo(visible(line), err=err)
