"""What the README shows is what there is: its commands parse, its Python runs, its make targets exist."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import click
import pytest

from facesynth import cli
from facesynth.manifest import read_dataset

from ..runs import save_model

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "Makefile",
]


def shown_commands() -> list[str]:
    lines = [line for page in PAGES for line in page.read_text("utf-8").replace("\\\n", " ").splitlines()]
    found = [re.fullmatch(r"\s*(?:\$\(BIN\)/|\.venv/bin/)?facesynth (.*)", line) for line in lines]
    return [
        re.sub(r"\$\((\w+)\)", r"\1", match[1]).lower() if "$" in match[1] else match[1] for match in found if match
    ]


def test_the_commands_are_found():
    assert len(shown_commands()) > 15


@pytest.mark.parametrize("shown", shown_commands())
def test_every_shown_command_parses(shown):
    command: click.Command = cli.facesynth
    arguments = shlex.split(shown, comments=True)
    context = click.Context(command)
    while isinstance(command, click.Group):
        found = command.get_command(context, arguments.pop(0))
        assert found is not None, shown
        command = found
    command.make_context(shown, arguments)  # raises click.UsageError where an option or argument is wrong


def test_the_shown_make_targets_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    shown = {
        target for page in PAGES for target in re.findall(r"^make ([a-z]+)", page.read_text("utf-8"), re.MULTILINE)
    }
    assert {"demo", "test"} <= shown <= targets


def test_the_shown_pictures_exist():
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text("utf-8"))
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).is_file(), picture


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/translate.md"])
def test_the_shown_python_runs(dataset, tmp_path, monkeypatch, page):
    codes = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
    shutil.copytree(dataset, tmp_path / "demo" / "data")
    identifier = read_dataset(dataset).rows["id"].iloc[0]
    (tmp_path / "demo" / "run").mkdir()
    save_model(tmp_path / "demo" / "run" / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for code in codes:
        exec(code.replace("00003", identifier), names)
    if page == "README.md":  # the model that comes along
        assert (names["face"].size, names["face"].mode) == ((128, 128), "RGB")
        assert [face.size for face in names["faces"]] == [(128, 128)] * 4
    else:
        assert (names["face"].size, names["face"].mode) == ((32, 32), "RGB")
        assert [face.shape for face in names["faces"]] == [(1, 32, 32, 3)] * 2
        assert names["way"].shape == (5, 32, 32, 3)
        assert (tmp_path / "face.png").is_file()
