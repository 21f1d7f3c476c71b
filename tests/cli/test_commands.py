"""What becomes of errors that nothing else answers: one line, and an exit code."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest
from facesynth.cli import _commands

from ..trees import COMMAND


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), "facesynth: /a/b: Permission denied"),
        (OSError(errno.EIO, "Input/output error"), "facesynth: Input/output error"),
        (MemoryError(), "facesynth: not enough memory: MemoryError; give smaller sizes, or less at a time"),
        (
            RuntimeError("can't allocate memory:\n 9 bytes"),
            "facesynth: not enough memory: can't allocate memory: 9 bytes; give smaller sizes, or less at a time",
        ),
    ],
)
def test_an_error_of_the_system_is_one_line(
    facesynth, monkeypatch: pytest.MonkeyPatch, error: Exception, line: str
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(_commands, "facesynth", fail)
    assert facesynth("info", "x") == (2, "", f"{line}\n")


def test_a_fault_of_ours_is_not_hidden(facesynth, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(_commands, "facesynth", fail)
    with pytest.raises(RuntimeError, match="a fault"):
        facesynth("info", "x")


@pytest.mark.parametrize(
    "arguments",
    [("translate", "--seed", "9x" * 1000), ("translate", "--se" + "x" * 5000), ("prep", "check", "-j", "\x1b[2J" * 90)],
)
def test_usage_errors_show_no_long_values(facesynth, arguments: tuple[str, ...]) -> None:
    code, out, err = facesynth(*arguments)
    assert (code, out) == (2, "")
    assert "Error: " in err
    assert all(line.isprintable() and len(line) < 300 for line in err.splitlines())


def test_names_with_control_characters_are_shown_as_escapes(facesynth, tmp_path) -> None:
    code, _, err = facesynth("info", tmp_path / "a\x1b[2J\nb")
    assert (code, err.count("\n")) == (2, 1)
    assert r"a\x1b[2J b" in err
    assert err.strip().isprintable()


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([COMMAND, "prep", "--help"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
