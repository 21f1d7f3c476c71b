"""Progress on standard error: a moving line on a terminal, a plain line every few seconds elsewhere; and what is downloaded."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from ._messages import say

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


class _Told(logging.Handler):
    """Prints what a library logs on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage(), err=True)


def tell_downloads(*, quiet: bool = False) -> None:
    """Until the command ends, say what weights are downloaded, from where and under which licence, and show the progress.

    Parameters
    ----------
    quiet : bool
        Say and show nothing.
    """
    click.get_current_context().with_resource(_downloads(quiet=quiet))


@contextmanager
def _downloads(*, quiet: bool) -> Iterator[None]:
    if quiet:
        from huggingface_hub.utils.tqdm import (
            are_progress_bars_disabled,
            disable_progress_bars,
            enable_progress_bars,
        )

        were_disabled = are_progress_bars_disabled()
        disable_progress_bars()
        try:
            yield
        finally:
            if not were_disabled:
                enable_progress_bars()
        return
    log, told = logging.getLogger("facesynth.model.checkpoints.named"), _Told()
    level = log.level
    log.addHandler(told)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(told)
        log.setLevel(level)
