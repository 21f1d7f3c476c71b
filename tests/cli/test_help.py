"""Every command's help: complete, with defaults, and at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from facesynth.cli import facesynth

from ..trees import PATIENCE

ASK = """
import sys
from facesynth.cli import main
try:
    main()
finally:
    heavy = [name for name in ("torch", "pandas", "cv2", "numpy", "PIL", "tqdm") if name in sys.modules]
    print("loaded:", *heavy, file=sys.stderr)
"""


def commands(command: click.Command, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, *path, name)


COMMANDS = dict(commands(facesynth))
EACH = pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "facesynth")


def options(command: click.Command) -> list[click.Option]:
    return [item for item in command.params if isinstance(item, click.Option)]


def test_all_commands_are_there() -> None:
    wanted = {"prep sample", "prep masks", "prep sketches", "train", "train-generator", "translate", "convert", "info"}
    assert {" ".join(path) for path in COMMANDS} >= wanted


@pytest.mark.slow
@EACH
def test_help_answers_without_heavy_imports(path: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK, *path, "--help"], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stderr) == (0, "loaded:\n")
    shown = " ".join(done.stdout.split())
    command = COMMANDS[path]
    assert command.help
    for option in options(command):
        assert option.opts[-1] in shown
        default = option.get_default(click.Context(command))
        if isinstance(default, (int, float, str)) and not isinstance(default, bool):
            assert f"default: {default}" in shown


@EACH
def test_every_option_says_what_it_does(path: tuple[str, ...]) -> None:
    for option in options(COMMANDS[path]):
        assert option.help, option.name
        assert option.help.rstrip().endswith((".", "]")) or option.name == "version"


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["prep", "nothing"], ["prep", "masks"], ["prep", "sample", "x", "-n", "many"]])
def test_wrong_usage(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", ASK, *arguments], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage:")
    assert "Traceback" not in done.stderr
