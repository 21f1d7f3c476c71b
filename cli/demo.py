"""``facesynth demo``: every step, in a few minutes."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ._messages import say


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Output folder.  [default: demo, or demo-quick]")
@click.option("--quick", is_flag=True, help="Fewer portraits and a shorter training: takes a minute.")
def demo(out: Path | None, quick: bool) -> None:
    """Draw portraits, prepare them, train on them, translate some, and show the results on one page.

    Run the same command again to continue where it stopped.
    """
    from facesynth.demo import QUICK, Extent, run_demo
    from facesynth.model.devices import keep_memory

    keep_memory()
    started = time.monotonic()

    def log(line: str) -> None:
        say(f"{time.monotonic() - started:4.0f} s  {line}", err=True)

    page = run_demo(out or Path("demo-quick" if quick else "demo"), extent=QUICK if quick else Extent(), log=log)
    say(f"{page}: open it in a browser")
