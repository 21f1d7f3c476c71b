"""Many attacks, one after another, and the count of how they ended."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import subprocess
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from facesynth.decoding import silent

from . import arena, attacks, faults, stock

KINDS = {
    "picture": (attacks.picture, 34),
    "checkpoint": (attacks.checkpoint, 22),
    "latents": (attacks.latents, 4),
    "config": (attacks.config, 16),
    "dataset": (attacks.dataset, 18),
    "run": (attacks.run_folder, 5),
    "disk": (faults.disk, 2),
    "race": (faults.race, 2),
    "permission": (faults.permission, 2),
    "signal": (faults.signals, 1),
}
"""The attacks, and how often each is drawn."""
_MOST_KEPT = 100


class Campaign:
    """Attacks of some kinds, drawn by a seed.

    Parameters
    ----------
    root : Path
        A folder of its own, on a disk with a few GB.
    seed : int
    kinds : sequence of str, optional
        By default all.
    keep : Path, optional
        Where the folders of attacks that found something are moved.
    log : callable, optional
        Called with what went wrong, and with the count every minute.
    """

    def __init__(
        self,
        root: Path,
        seed: int,
        *,
        kinds: Sequence[str] | None = None,
        keep: Path | None = None,
        log: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.seed, self.keep, self.log = seed, keep, log
        self.kinds = list(kinds or KINDS)
        self.counts: Counter[tuple[str, str]] = Counter()
        self.spent: Counter[str] = Counter()
        self.found: list[str] = []
        self.slowest, self.largest = 0.0, 0
        self.place = root / "place"
        _load()
        self.stock = stock.make(root / "stock")

    def run(self, seconds: float, *, first: int = 0, most: int | None = None) -> None:
        """Attack until the time is over."""
        end, told = time.monotonic() + seconds, time.monotonic()
        number = first
        while time.monotonic() < end and (most is None or number < first + most):
            self.attack(number)
            number += 1
            if time.monotonic() - told > 60:
                told = time.monotonic()
                self.log(f"{number - first} attacks, {len(self.found)} found something")

    def attack(self, number: int) -> list[str]:
        """Make one attack; returns what went wrong."""
        rng = Random(f"{self.seed}-{number}")
        (kind,) = rng.choices(self.kinds, [KINDS[name][1] for name in self.kinds])
        state, started = rng.getstate(), time.monotonic()
        ended, wrong, command = self._once(kind, rng)
        if any(text.startswith("it took") for text in wrong):  # a busy machine
            rng.setstate(state)
            ended, wrong, command = self._once(kind, rng)
        self.counts[kind, _outcome(ended)] += 1
        self.spent[kind] += time.monotonic() - started
        if kind != "signal":
            self.slowest, self.largest = max(self.slowest, ended.seconds), max(self.largest, ended.memory)
        if wrong:
            text = f"--seed {self.seed} --number {number} ({kind}): {'; '.join(wrong)}\n  {command!r}\n  {ended.err[-3000:]}"
            self.found.append(text)
            self.log(text)
            if self.keep and len(self.found) <= _MOST_KEPT:
                self.keep.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(self.keep / str(number), ignore_errors=True)
                with contextlib.suppress(OSError):
                    shutil.move(self.place, self.keep / str(number))
        return wrong

    def _once(self, kind: str, rng: Random) -> tuple[arena.Ended, list[str], list[str]]:
        arena.prepare(self.place)
        if kind == "signal":
            return *faults.signals(rng, self.place, self.stock), []
        case = None
        try:
            with silent():
                case = KINDS[kind][0](rng, self.place, self.stock)
            assert isinstance(case, arena.Case)
            return *arena.run(case, self.place), case.command
        except Exception:
            return arena.Ended(0, "", traceback.format_exc(), 0, 0), ["the attack itself failed"], []
        finally:
            mounted = self.place / "out"
            if kind == "disk" and os.path.ismount(mounted):
                subprocess.run(["umount", "-l", mounted], check=True)

    def summary(self) -> str:
        """The counts as a table."""
        outcomes = ("refused", "ran", "stopped", "else")
        rows = [f"{'kind':<12}{'tried':>8}" + "".join(f"{name:>9}" for name in outcomes) + f"{'time':>10}"]
        for kind in [*self.kinds, "all"]:
            counts = [
                sum(n for (k, o), n in self.counts.items() if o == name and kind in (k, "all")) for name in outcomes
            ]
            rows.append(
                f"{kind:<12}{sum(counts):>8}"
                + "".join(f"{count:>9}" for count in counts)
                + f"{sum(self.spent.values()) if kind == 'all' else self.spent[kind]:>8.0f} s"
            )
        worst = f"slowest {self.slowest:.1f} s, largest {self.largest / 1e9:.2f} GB"
        return "\n".join([*rows, f"{len(self.found)} found something; {worst}; seed {self.seed}"])


def _outcome(ended: arena.Ended) -> str:
    if ended.code == 2:
        return "refused"
    if ended.code in (0, 1):
        return "ran"
    return "stopped" if ended.code in (130, 143, -9) else "else"


def _load() -> None:
    """Import what commands import, once for all forked children."""
    import cv2
    import facesynth.cli._commands
    import jinja2  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import pandas as pd  # noqa: F401
    import torch

    import facesynth.demo
    import facesynth.model.checkpoints.conversion
    import facesynth.model.checkpoints.named
    import facesynth.model.inference.parse_files
    import facesynth.model.training.gan.train
    import facesynth.prep.pairs
    import facesynth.prep.remap
    import facesynth.prep.sketches.preview  # noqa: F401

    gc.collect()
    gc.freeze()  # so that the collector of a child does not copy these pages
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
