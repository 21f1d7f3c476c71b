"""SIGINT and SIGTERM: one line, and the exit code that shells expect, whatever they interrupt.

Both raise :class:`KeyboardInterrupt`, so that half-written files are removed and locks released. Helper processes ignore
SIGINT, which a terminal sends to all of them: the main process ends them.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType

PATIENCE = 1.0
"""Seconds in which another signal counts as the same request: make and terminals send several."""


class _State:
    number = 0
    """The signal that stops the command, or 0."""
    last = 0.0
    """When the last one came, seconds."""
    is_leaving = False


_state = _State()


def answer() -> None:
    """Answer signals from now on; outside of the main thread, leave that to the program."""
    _state.number, _state.is_leaving = 0, False
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _stop)


def _stop(number: int, _: FrameType | None) -> None:
    now = time.monotonic()
    if _state.number and now - _state.last < PATIENCE:
        return
    if _state.is_leaving:
        os._exit(128 + _state.number)
    _state.number, _state.last = number, now
    raise KeyboardInterrupt


def leave_if_stopped() -> None:
    """If a signal came, say so on one line and raise :class:`SystemExit`, instead of the error that it led to."""
    if not _state.number:
        return
    _state.is_leaving = True
    sys.stderr.write("facesynth: stopped; run the same command again to continue\n")
    code = 128 + _state.number
    if "distributed" in sys.modules:  # Dask's threads would log that they lost their connection
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _leave_to_main_process() -> None:
    """In a forked child: nothing on SIGINT, the end on SIGTERM."""
    if signal.getsignal(signal.SIGINT) is _stop:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_main_process)
