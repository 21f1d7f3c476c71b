"""The processes that a command has started, found by a mark in their environment, and what is left of them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

MARK = "FACESYNTH_TEST_MARK"
"""The environment variable."""


def processes(mark: str) -> list[int]:
    """The processes with this mark, as long as they run."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return found


def waited(pid: int) -> float:
    """Seconds in which a process could have run, but others had the processor."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    return 0.0


def outlive(mark: str) -> list[str]:
    """The command lines of the processes that are left after two seconds in which they could have run."""
    start, before = time.monotonic(), {pid: waited(pid) for pid in processes(mark)}
    while left := processes(mark):
        busy = max(waited(pid) - before.get(pid, 0.0) for pid in left)
        if time.monotonic() - start - busy > 2.0:
            return [_command_line(pid) for pid in left]
        time.sleep(0.02)
    return []


def _command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:300]
    return str(pid)


def end(mark: str) -> None:
    """Kill what is left."""
    for pid in processes(mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def answers_signals(pid: int) -> bool:
    """Whether a process has a handler for SIGTERM."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) & 1 << (signal.SIGTERM - 1))
    return False
