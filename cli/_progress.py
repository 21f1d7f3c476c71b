"""Progress on standard error: a moving line on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click

PLAIN_INTERVAL = 10.0
"""Seconds between plain lines."""


def progress(what: str, *, quiet: bool) -> Callable[[Iterable[Any], int], Iterable[Any]] | None:
    """A wrapper for an iterable of known length that shows progress, rate and time left.

    Parameters
    ----------
    what : str
        What is counted.
    quiet : bool
        Return None: no progress is shown.
    """
    if quiet:
        return None
    from tqdm import tqdm

    def plain(items: Iterable[Any], total: int) -> Iterator[Any]:
        started = shown = time.monotonic()
        for done, item in enumerate(items, start=1):
            yield item
            now = time.monotonic()
            if now - shown >= PLAIN_INTERVAL or done == total:
                shown = now
                click.echo(f"{what}: {tqdm.format_meter(done, total, now - started, ncols=0).strip()}", err=True)

    def moving(items: Iterable[Any], total: int) -> Iterator[Any]:
        yield from tqdm(items, total=total, desc=what, dynamic_ncols=True)

    return moving if sys.stderr.isatty() else plain
