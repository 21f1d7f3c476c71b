"""Attacks from outside of the input: signals, a full disk, files that change under a running command, missing permissions."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from ..marked import MARK, answers_signals, end, outlive, waited
from ..trees import COMMAND, contents
from . import pictures
from .arena import Case, Ended, call, said_wrong
from .attacks import ONE, all_whole
from .hostile_values import bytes_of
from .stock import SIZES, STEPS, TRAIN, Stock

NOBODY = 65534


def _commands(rng: Random, stock: Stock, out: Path) -> list[str]:
    """A command that writes into ``out``, and can be run again."""
    data = stock.data
    commands = (
        ["prep", "masks", stock.raw, "--out", out, *ONE],
        ["prep", "sketches", stock.raw, "--out", out, "--method", "sobel", "--method", "xdog", *ONE],
        ["prep", "photos", stock.raw, "--out", out, "--size", "32", *ONE],
        ["prep", "pairs", data / "photos", data / "labels", "--kind", "labels", "--out", out, *ONE],
        ["prep", "sample", out, "-n", "3", "--size", "64", *ONE],
        [
            "translate",
            data / "labels",
            "--checkpoint",
            stock.seg,
            "--out",
            out,
            "--device",
            "cpu",
            "-q",
            "--samples",
            "2",
        ],
        ["parse", data / "photos", "--checkpoint", stock.parser, "--out", out, "--device", "cpu", "-q"],
        ["train", "--data", data, *TRAIN, *SIZES, *STEPS, "--out", out],
    )
    return [str(part) for part in rng.choice(commands)]


def _mended(command: list[str], out: Path, place: Path, *, codes: tuple[int, ...] = (0,)) -> list[str]:
    """What is wrong after the same command has run once more, undisturbed."""
    again = call(command, place / "here")
    wrong = said_wrong(again, seconds=60)
    if again.code not in codes:
        wrong.append(f"again: exit code {again.code}: {again.err}")
    if not wrong and (out / "manifest.csv").exists():
        check = call(["prep", "check", str(out), *ONE], place / "here")
        wrong += [f"prep check: {check.out}{check.err}"] if check.code else []
    if not wrong and (out / "model.safetensors").exists():
        told = call(["info", str(out)], place / "here")
        wrong += [f"info: {told.err}"] if told.code else []
    return wrong + all_whole(out)(again)


# ------------------------------------------------------------------------------------------------------------ disk, race


def disk(rng: Random, place: Path, stock: Stock) -> Case:
    """No space left, at any byte: no file may grow beyond a limit, or the disk is a small one."""
    out = place / "out"
    command = _commands(rng, stock, out)
    if os.geteuid() == 0 and rng.random() < 0.5 and _mount(out, rng.choice((16, 40, 100, 200, 400, 800))):

        def grown(ended: Ended) -> list[str]:
            subprocess.run(["mount", "-o", "remount,size=100M", out], check=True)
            return _unless(ended, lambda: _mended(command, out, place))

        return Case(command, (out,), after=grown, seconds=60)
    limit = int(1000 * 400 ** rng.random())

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return Case(
        command,
        (out,),
        before=full,
        after=lambda ended: _unless(ended, lambda: _mended(command, out, place)),
        seconds=60,
    )


def _unless(ended: Ended, wrong: Callable[[], list[str]]) -> list[str]:
    return [] if ended.code < 0 else wrong()


def _mount(folder: Path, kilobytes: int) -> bool:
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None:
        return False
    done = subprocess.run([mount, "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder], capture_output=True)
    return done.returncode == 0


def race(rng: Random, place: Path, stock: Stock) -> Case:
    """Inputs that are damaged, removed or replaced while they are read."""
    source, out = place / "in" / "raw", place / "out"
    shutil.copytree(stock.raw, source)
    command = [part.replace(str(stock.raw), str(source)) for part in _commands(rng, stock, out)]
    if str(source) not in command:
        command = ["prep", "masks", str(source), "--out", str(out), *ONE]
    files = sorted(path for path in source.rglob("*") if path.is_file())
    seed = rng.randrange(1 << 30)

    def change() -> None:
        own = Random(seed)
        for _ in range(20):
            time.sleep(own.random() * 0.02)
            victim = own.choice(files)
            with contextlib.suppress(OSError):
                how = own.randrange(4)
                if how == 0:
                    victim.unlink()
                elif how == 1:
                    with victim.open("r+b") as file:
                        file.truncate(own.randrange(2000))
                elif how == 2:
                    victim.write_bytes(bytes_of(own, victim.read_bytes()))
                else:
                    victim.unlink()
                    pictures.special(own, victim)

    return Case(
        command,
        (out, source),
        before=lambda: threading.Thread(target=change, daemon=True).start(),
        after=lambda _: _mended(command, out, place, codes=(0, 1, 2)),
        seconds=60,
    )


def permission(rng: Random, place: Path, stock: Stock) -> Case:
    """As a user who may not read, write or enter some of the files and folders."""
    source, out = place / "in" / "raw", place / "out"
    shutil.copytree(stock.raw, source)
    command = [part.replace(str(stock.raw), str(source)) for part in _commands(rng, stock, out)]
    if rng.random() < 0.6:
        shutil.copytree(stock.data if rng.random() < 0.5 else stock.run, out)
    else:
        out.mkdir()
    for path in [out, *out.rglob("*")]:
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)
    below = [*source.rglob("*"), source, out, *out.rglob("*")]
    for path in rng.sample(below, k=min(len(below), rng.choice((1, 2, 5)))):
        path.chmod(rng.choice((0, 0o444, 0o555, 0o111)))

    def drop() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)

    return Case(command, (out,), before=drop, seconds=60)


# --------------------------------------------------------------------------------------------------------------- signals


def signals(rng: Random, place: Path, stock: Stock) -> tuple[Ended, list[str]]:
    """Send a signal at a random time to a command with helper processes; nothing may outlive it, and it can be continued."""
    out = place / "out"
    command = _commands(rng, stock, out)
    command = ["2" if part == "1" and command[i - 1] == "-j" else part for i, part in enumerate(command)]
    if command[0] == "prep":
        command += ["--backend", rng.choice(("processes", "processes", "threads"))]
    number = rng.choice((signal.SIGINT, signal.SIGTERM, signal.SIGKILL))
    to_all = rng.random() < 0.3
    mark = f"{os.getpid()}-{rng.randrange(1 << 60)}"
    started = time.monotonic()
    with (place / "stdout").open("wb") as stdout, (place / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [COMMAND, *command],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=place / "in",
            env={**os.environ, MARK: mark},
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        while process.poll() is None and not answers_signals(process.pid):
            time.sleep(0.002)
        time.sleep(rng.random() ** 2 * 6)
        sent, before = time.monotonic(), waited(process.pid)
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if to_all else os.kill)(process.pid, number)
        seconds = 0.0
        while process.poll() is None and seconds < 20:
            time.sleep(0.01)
            if own := waited(process.pid):
                seconds = time.monotonic() - sent - (own - before)
        process.kill()
        process.wait()
    now = time.monotonic()
    err = (place / "stderr").read_text(errors="surrogateescape")
    ended = Ended(process.returncode, (place / "stdout").read_text(), err, now - started, 0)
    wrong = [f"it took {seconds:.1f} s to stop"] if seconds > 10 else []
    expected = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    is_over = ended.code == -number and ended.out  # Python has given up its handlers at its very end
    if ended.code not in (0, expected) and not is_over:
        wrong.append(f"exit code {ended.code}; needed: {expected}")
    lines = [line for line in err.splitlines() if line]
    if ended.code == expected and number != signal.SIGKILL and len(lines) != 1:
        wrong.append(f"{len(lines)} lines: {err[:2000]}")
    elif ended.code == 0 and lines:
        wrong.append(f"{len(lines)} lines at the end: {err[:2000]}")
    wrong += [f"it outlives the command by 2 s: {text}" for text in outlive(mark)]
    end(mark)
    if number != signal.SIGKILL and out.is_dir():
        wrong += [f"left behind: {path}" for path in out.rglob(".*") if path.name != ".stages"]
    wrong = [f"{signal.Signals(number).name}{' to all' if to_all else ''}, {command}: {text}" for text in wrong]
    (place / "here").mkdir()
    if not wrong:
        alone = ["1" if part == "2" and command[i - 1] == "-j" else part for i, part in enumerate(command)]
        wrong = _mended([part for part in alone if part not in ("--backend", "processes", "threads")], out, place)
        if not wrong and command[0] != "train":
            wrong = _compared(alone, out, place)
    return ended, wrong


def _compared(command: list[str], out: Path, place: Path) -> list[str]:
    """Whether a continued command has left the same as one that ran without disturbance."""
    plain = place / "plain"
    quiet = [
        part.replace(str(out), str(plain)) for part in command if part not in ("--backend", "processes", "threads")
    ]
    call(quiet, place / "here")
    ours, theirs = contents(out), contents(plain)
    names = [name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
    return [f"not as without disturbance: {names}"] if names else []
