"""``facesynth demo``: all of it in a few minutes."""

from __future__ import annotations

import time
from pathlib import Path

import click


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Where it goes.  [default: demo, or demo-quick]")
@click.option("--quick", is_flag=True, help="In a minute: fewer portraits, a shorter training.")
def demo(out: Path | None, quick: bool) -> None:
    """Draw portraits, prepare them, train on them, translate some, and show it all on one page.

    The same command again goes on where it was.
    """
    from facesynth.demo import QUICK, Extent, run_demo
    from facesynth.model.devices import keep_memory

    keep_memory()
    began = time.monotonic()

    def tell(line: str) -> None:
        click.echo(f"{time.monotonic() - began:4.0f} s  {line}", err=True)

    page = run_demo(out or Path("demo-quick" if quick else "demo"), extent=QUICK if quick else Extent(), log=tell)
    click.echo(f"{page}: open it in a browser")
