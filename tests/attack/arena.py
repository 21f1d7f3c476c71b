"""A place for attacks: a command runs in a forked child with a watchdog, and what must hold afterwards is compared.

What must hold of every command, whatever it is given:

- it ends within :data:`LONGEST` seconds, in less than :data:`MOST_MEMORY` of memory, by one of :data:`CODES`
- no traceback; what it says is printable; a refusal is one line
- nothing outside of its output folder is written, changed or removed
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import stat
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..marked import waited

LONGEST = 10.0
"""Seconds."""
MOST_MEMORY = 1_500_000_000
"""Bytes."""
CODES = (0, 1, 2, 3, 130, 143)
LONGEST_LINE = 1200
"""Characters of a line on standard error: some hundred, and the paths that it names."""
_KILL_AFTER = 40.0


@dataclass
class Ended:
    """How a command ended.

    Attributes
    ----------
    code : int
        The exit code; minus the number of a signal.
    err, out : str
    seconds : float
        Without those in which other processes had the processor.
    memory : int
        Bytes at the peak.
    """

    code: int
    out: str
    err: str
    seconds: float
    memory: int


@dataclass
class Case:
    """A command with hostile input.

    Attributes
    ----------
    command : list of str
    out : tuple of Path
        The files or folders that it may write.
    before : callable, optional
        Called in the child before the command.
    after : callable, optional
        Called with how it ended; returns what is wrong with what it left.
    seconds : float
        The longest that it may take.
    """

    command: list[str]
    out: tuple[Path, ...]
    before: Callable[[], None] | None = None
    after: Callable[[Ended], list[str]] | None = None
    seconds: float = LONGEST


def call(command: list[str], folder: Path, *, before: Callable[[], None] | None = None) -> Ended:
    """Run a facesynth command in a forked child, in ``folder``.

    The child's address space is limited, so that a command gone wrong does not take the machine with it.
    """
    out, err = folder.parent / "stdout", folder.parent / "stderr"
    sys.stdout.flush()
    sys.stderr.flush()
    started = time.monotonic()
    child = os.fork()
    if not child:
        _child(command, folder, out, err, before)  # never returns
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() - started - waited(child) > _KILL_AFTER:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.003)
    seconds = time.monotonic() - started - waited(child)
    _, status, used = os.wait4(child, 0)
    texts = (path.read_bytes().decode("utf-8", "surrogateescape") for path in (out, err))
    return Ended(os.waitstatus_to_exitcode(status), *texts, seconds, used.ru_maxrss * 1024)


def _child(command: list[str], folder: Path, out: Path, err: Path, before: Callable[[], None] | None) -> None:
    code = 1
    try:
        os.setsid()
        for number, path in ((1, out), (2, err)):
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.dup2(file, number)
            os.close(file)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        os.chdir(folder)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + 2 * MOST_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if before:
            before()
        from facesynth import cli

        sys.argv = ["facesynth", *command]
        cli.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def said_wrong(ended: Ended, seconds: float = LONGEST) -> list[str]:
    """What is wrong with how a command ended and with what it said."""
    wrong = []
    if ended.code not in CODES:
        wrong.append(f"exit code {ended.code}")
    if ended.seconds > seconds:
        wrong.append(f"it took {ended.seconds:.1f} s")
    if ended.memory > MOST_MEMORY:
        wrong.append(f"it took {ended.memory >> 20} MiB of memory")
    if "Traceback (most recent" in ended.err or "Traceback (most recent" in ended.out:
        wrong.append("a traceback")
    lines = [line for line in ended.err.splitlines() if line]
    for line in lines + ended.out.splitlines():
        if not line.isprintable():
            wrong.append(f"not printable: {line[:200]!r}")
        if len(line) > LONGEST_LINE:
            wrong.append(f"a line of {len(line)} characters: {line[:100]!r}")
    if ended.code == 2 and not wrong:  # a usage error says how the command is used, too
        kept = [line for line in lines if not line.startswith(("Usage: ", "Try "))]
        if len(kept) != 1 and not _are_failures(kept):
            wrong.append(f"{len(kept)} lines")
    return wrong


def _are_failures(lines: list[str]) -> bool:
    """Whether these are a line for every input that failed."""
    return bool(lines) and not any(line.startswith(("facesynth: ", "Error: ")) for line in lines)


def snapshot(root: Path, *, but: tuple[Path, ...] = ()) -> dict[str, tuple[object, ...]]:
    """What is in a tree, and when each file was last changed."""
    found: dict[str, tuple[object, ...]] = {}
    stack = [root]
    while stack:
        folder = stack.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                path = Path(entry.path)
                if path in but:
                    continue
                status = entry.stat(follow_symlinks=False)
                is_folder = stat.S_ISDIR(status.st_mode)
                times = () if is_folder else (status.st_size, status.st_mtime_ns)
                link = os.readlink(path) if entry.is_symlink() else ""
                found[str(path)] = (stat.S_IFMT(status.st_mode), status.st_ino, *times, link)
                if is_folder:
                    stack.append(path)
    return found


def differences(before: dict[str, tuple[object, ...]], after: dict[str, tuple[object, ...]]) -> list[str]:
    return [
        f"outside of its folder: {name} {'made' if name not in before else 'removed' if name not in after else 'changed'}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def run(case: Case, place: Path) -> tuple[Ended, list[str]]:
    """Run a case that was built in ``place``; returns how it ended and what is wrong."""
    ignored = (*case.out, place / "stdout", place / "stderr")
    before = snapshot(place, but=ignored)
    here = place / "here"
    here.mkdir()
    ended = call(case.command, here, before=case.before)
    wrong = said_wrong(ended, case.seconds)
    after = snapshot(place, but=(*ignored, here))
    wrong += differences(before, after) + [f"left in the working folder: {path.name}" for path in here.iterdir()]
    if case.after and not wrong:
        wrong += case.after(ended)
    return ended, wrong


def prepare(place: Path) -> None:
    """Empty the place of a case, and put the canary there."""
    if place.exists():
        for folder, folders, _ in os.walk(place):
            for each in folders:
                if not os.path.islink(path := os.path.join(folder, each)):
                    os.chmod(path, 0o755)
        shutil.rmtree(place)
    (place / "canary").mkdir(parents=True)
    (place / "canary" / "victim.png").write_bytes(b"mine")
    (place / "canary" / "manifest.csv").write_bytes(b"mine")
    (place / "in").mkdir()
