"""How long every ``facesynth … --help`` takes, beside a Python that does nothing: ``python benchmarks/startup.py``.

Each is started eleven times, in turns; medians in seconds, and the ratio to the bare Python of the same run.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import click

from facesynth import cli

COMMAND = str(Path(sysconfig.get_path("scripts"), "facesynth"))
RUNS = 11


def paths(command: click.Command, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The words of a command and of all those below it."""
    found = [above]
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            found += paths(inner, (*above, name))
    return found


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    commands = {"bare Python": [sys.executable, "-c", "pass"]}
    for words in paths(cli.facesynth):
        commands[" ".join(("facesynth", *words, "--help"))] = [COMMAND, *words, "--help"]
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, command in commands.items():
            times[name].append(seconds(command))
    bare = statistics.median(times["bare Python"])
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:32s} {median:.3f} s  {median / bare:4.1f} x")


if __name__ == "__main__":
    main()
