"""Signals: one line and the code that shells expect; nothing is left behind, and no helper process outlives its command."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from facesynth.cli import _signals

from facesynth import cli

from ..marked import MARK, answers_signals, end, outlive, processes
from ..trees import COMMAND, PATIENCE, facesynth, leftovers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

STOPPED = "facesynth: stopped; run the same command again to continue"
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
TINY = (
    *("--model", "output_size=32", "--model", "input_size=32", "--model", "style_dim=16", "--model", "mapping_depth=2"),
    *("--model", "channel_base=512", "--model", "channel_max=16", "--model", "encoder_units=1,1,1,1"),
    *("--model", "encoder_channels=8,8,16,16", "--model", "style_resolution=16"),
)


@contextlib.contextmanager
def started(command: list[object], mark: str) -> Iterator[subprocess.Popen[str]]:
    """A command in a session of its own, whose remains are killed at the end."""
    process = subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, MARK: mark},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which jobs in the background don't hear
    )
    try:
        yield process
    finally:
        end(mark)
        process.communicate()


def wait_until(is_so: Callable[[], object], process: subprocess.Popen[str]) -> None:
    last = time.monotonic() + PATIENCE
    while not is_so():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < last
        time.sleep(0.005)


def sketching(raw: Path, out: Path) -> list[object]:
    """A command whose blur is so wide that it takes its time, in two helper processes."""
    options = ("--method", "dodge", "--sigma", 2000, "--size", 512, "-q", "-j", 2)
    return [COMMAND, "prep", "sketches", raw, "--out", out, *options]


def training(data: Path, out: Path) -> list[object]:
    sizes = ("--train-generator", "--lpips", 0, "--batch-size", 2, "--steps", 100_000, "--interval", 50_000, *TINY)
    return [COMMAND, "train", "--data", data, "--task", "seg2face", "--out", out, "--device", "cpu", "-q", *sizes]


@pytest.mark.slow
@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("what", ["sketches", "training", "start-up"])
def test_a_signal_is_one_line(raw: Path, faces: Path, tmp_path: Path, number: signal.Signals, what: str) -> None:
    out, mark = tmp_path / "out", f"{tmp_path}"
    command = sketching(raw, out) if what == "sketches" else training(faces, out)
    with started(command, mark) as process:
        if what == "sketches":
            wait_until(lambda: list(out.glob("sketches/*/*.png")), process)  # the helpers have finished their imports
        elif what == "training":
            wait_until(lambda: list(out.glob("checkpoints/*.safetensors")), process)
        else:
            wait_until(lambda: answers_signals(process.pid), process)
        process.send_signal(number)
        told, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, told, err.split("\n")[-2:]) == (CODES[number], "", [STOPPED, ""])
        assert [line for line in err.splitlines() if line] == [STOPPED]
        assert outlive(mark) == []
    assert not out.exists() or leftovers(out) == []


@pytest.mark.slow
def test_no_helper_outlives_a_killed_command(raw: Path, tmp_path: Path) -> None:
    out, mark = tmp_path / "out", f"{tmp_path}"
    with started(sketching(raw, out), mark) as process:
        wait_until(lambda: len(processes(mark)) > 3, process)  # the tracker, and two workers
        time.sleep(0.5)
        process.kill()
        process.wait()
        assert outlive(mark) == []
    last = facesynth(*sketching(raw, out)[1:])
    assert (last.returncode, last.stderr) == (0, "")


READ = """
import sys, time
import numpy as np
from facesynth.model.data.order import TrainingOrder, batches

class Slow:
    def __getitem__(self, pick):
        time.sleep(0.01)
        return np.zeros(3)

print("ready", flush=True)
for _ in batches(Slow(), TrainingOrder(100, 2, 0, 0, 1_000_000), workers=2):
    time.sleep(0.05)
"""


@pytest.mark.slow
def test_no_process_that_reads_pictures_outlives_a_killed_training(tmp_path: Path) -> None:
    mark = f"{tmp_path}"
    with started([sys.executable, "-c", READ], mark) as process:
        wait_until(lambda: len(processes(mark)) == 3, process)
        time.sleep(0.5)
        process.kill()
        process.wait()
        assert outlive(mark) == []


def test_a_second_signal_ends_a_command_that_does_not_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[int] = []
    monkeypatch.setattr(os, "_exit", ends.append)
    before = {number: signal.getsignal(number) for number in CODES}
    try:
        _signals.answer()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # at once: make and terminals send several
        with pytest.raises(SystemExit) as left:
            _signals.leave_if_stopped()
        assert left.value.code == 143
        monkeypatch.setattr(_signals, "PATIENCE", 0.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        assert ends == [143]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_an_error_without_a_signal_is_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from facesynth.cli import _commands

    def fail() -> None:
        raise ValueError("a fault")

    monkeypatch.setattr(_commands, "run", fail)
    with pytest.raises(ValueError, match="a fault"):
        cli.main()
    assert capsys.readouterr().err == ""
