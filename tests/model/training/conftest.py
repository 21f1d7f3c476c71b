from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys

import pytest

from ...trees import PATIENCE

KILLED = """
import json, os, pickle, signal, sys
from pathlib import Path

train, data, out, config, names = pickle.load(sys.stdin.buffer)
replace, outcomes = Path.replace, []
for name in names:
    def replace_or_die(self, target):
        if target.name == name:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(self, target)

    process = os.fork()
    if not process:
        Path.replace = replace_or_die
        train(data, out, config, device="cpu", workers=0)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    outcomes.append([code, [path.name for path in out.rglob("*.part")]])
print(json.dumps(outcomes))
"""


@pytest.fixture
def kill(faces, tmp_path):
    """Train in ``tmp_path / "run"`` in a process that is killed where it would move a file of this name into its place;
    with several names, the run goes on from there to the next."""

    def train_and_kill(train, config, *names):
        given = pickle.dumps((train, faces, tmp_path / "run", config, names))
        done = subprocess.run(
            [sys.executable, "-c", KILLED], input=given, stdout=subprocess.PIPE, timeout=PATIENCE, check=True
        )
        for name, (code, left) in zip(names, json.loads(done.stdout), strict=True):
            assert code == -signal.SIGKILL
            assert [part.startswith(f".{name}.") for part in left] == [True]

    return train_and_kill
