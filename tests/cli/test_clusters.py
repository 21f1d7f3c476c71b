"""Preparation on a cluster of one's own: a real Dask scheduler and workers on this machine, one of which is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from facesynth.prep.pipeline.workers import Workers
from facesynth.prep.stages import prepare_masks

from ..trees import COMMAND, PATIENCE, contents, facesynth, leftovers, link_raw

pytestmark = pytest.mark.slow

COUNT = 500


@contextmanager
def running(*module: object) -> Iterator[subprocess.Popen[bytes]]:
    """A Python module as a process that ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", *map(str, module)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(is_so: Callable[[], bool], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The address of a Dask scheduler, and its two workers."""
    described = tmp_path / "scheduler.json"
    with ExitStack() as stack:
        options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", described)
        stack.enter_context(running("distributed.cli.dask_scheduler", *options))
        wait_for(lambda: described.is_file() and described.read_text().endswith("}"))
        address = json.loads(described.read_text())["address"]
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", tmp_path / "scratch")
        workers = [stack.enter_context(running("distributed.cli.dask_worker", address, *options)) for _ in range(2)]
        yield address, workers


def test_every_map_is_made_though_a_worker_is_lost(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], raw: Path, tmp_path: Path
) -> None:
    address, workers = cluster
    link_raw(raw, tmp_path / "raw", COUNT)
    options = ["--out", tmp_path / "data", "--backend", "dask", "--scheduler", address, "-q"]
    command = [COMMAND, "prep", "masks", tmp_path / "raw", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def made() -> int:
        return len(list(tmp_path.glob("data/labels/*.png")))

    wait_for(lambda: made() >= COUNT // 20 or process.poll() is not None)
    workers[0].kill()
    reached = made()
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert COUNT // 20 <= reached < COUNT
    assert f": {COUNT} written, 0 already there, 0 failed" in out
    assert all(" - distributed." in line for line in err.splitlines()), err  # Dask's own word on the loss
    prepare_masks(tmp_path / "raw", tmp_path / "here", workers=Workers(2))
    assert contents(tmp_path / "data") == contents(tmp_path / "here")
    assert leftovers(tmp_path / "data") == []


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x", "127.0.0.1"])
def test_no_scheduler_is_one_line(raw: Path, tmp_path: Path, address: str) -> None:
    done = facesynth("prep", "masks", raw, "--out", tmp_path / "data", "--backend", "dask", "--scheduler", address)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"facesynth: no Dask scheduler answers at '{address}'; give its address, as tcp://host:8786")
