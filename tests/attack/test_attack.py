"""A small part of the attack, always the same, and with the marker ``attack`` a longer one by another seed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..trees import PATIENCE
from .campaign import KINDS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and looks into /proc")


def attack(keep: Path, *options: object) -> str:
    """Run the attack in a process of its own; it forks, which a process with threads must not."""
    command = [sys.executable, "-m", "tests.attack", "--keep", keep, *options]
    done = subprocess.run(
        [*map(str, command)],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5000:]
    return done.stdout


@pytest.mark.slow
def test_a_fixed_part_of_the_attack_finds_nothing(tmp_path: Path) -> None:
    kinds = [f"--only={kind}" for kind in KINDS if kind != "signal"]
    told = attack(tmp_path / "found", "--seconds", PATIENCE, "--count", 40, "--seed", 1, *kinds)
    assert re.search(r"^all +40 ", told, re.MULTILINE)
    assert "0 found something" in told


@pytest.mark.attack
def test_three_minutes_of_the_attack_find_nothing(tmp_path: Path) -> None:
    assert "0 found something" in attack(tmp_path / "found", "--seconds", 150, "--seed", os.getpid())
