"""Ways to do one thing, each in a process of its own, which does it whenever it is its turn.

So that memory is each way's own, that none warms a cache or a heap for the next, and that a busy moment of the machine meets
all of them.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

MIB = 2**20


@dataclass
class Turns:
    """What came of one way."""

    before: float = 0.0
    """Peak of the process's memory before the first turn, bytes."""
    peak: float = 0.0
    """Peak of the process's memory at the end, bytes."""
    first: float = 0.0
    """Seconds of the first turn, which fills caches and compiles."""
    seconds: list[float] = field(default_factory=list)
    """Seconds of the other turns."""

    @property
    def median(self) -> float:
        """Median seconds of a turn."""
        return median(self.seconds)


def peak_memory() -> int:
    """Most bytes that this process has held so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("needs Linux: the peak memory comes from /proc/self/status")


def serve(work: Callable[[], object]) -> None:
    """Do the work for every line that comes in; answer with the seconds and the memory."""
    print(peak_memory(), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        work()
        print(time.perf_counter() - started, peak_memory(), flush=True)


def take_turns(script: str, ways: Iterable[str], arguments: list[str], runs: int) -> dict[str, Turns]:
    """Start ``script serve WAY ARGUMENTS`` for every way and let each have ``runs`` turns after its first."""
    processes, results = {}, {}
    for way in ways:
        command = [sys.executable, script, "serve", way, *arguments]
        process = processes[way] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        results[way] = Turns(before=float(process.stdout.readline()))
    for run in range(runs + 1):
        for way, process in processes.items():
            print("go", file=process.stdin, flush=True)
            seconds, results[way].peak = map(float, process.stdout.readline().split())
            if run:
                results[way].seconds.append(seconds)
            else:
                results[way].first = seconds
    for process in processes.values():
        process.communicate()
    return results
