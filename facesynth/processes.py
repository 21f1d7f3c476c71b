"""Helper processes that end with the process that they work for, however that ends."""

from __future__ import annotations

import os
import threading
import time

_INTERVAL = 0.5
"""Seconds between two looks at the parent."""


def end_with(parent: int) -> None:
    """End this process within a second after its parent has ended; to be called first thing in a helper process.

    A thread watches: not every system sends a signal when a parent dies, and Linux sends it when the thread that started the
    helper ends, too.

    Parameters
    ----------
    parent : int
        The parent's process id, from the parent itself: it may be gone already.
    """
    if os.name == "posix":  # elsewhere a parent's id does not tell whether it lives
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_INTERVAL)
    os._exit(1)
