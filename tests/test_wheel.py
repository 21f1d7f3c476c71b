"""The wheel: all of the tree is in it, and every module can be imported from it."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from .trees import PATIENCE

ROOT = Path(__file__).parents[1]
SOURCES = ("facesynth", "cli", "setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
IMPORT = """
import importlib, json, pkgutil, sys

folder = sys.argv[1]
sys.path.insert(0, folder)
import facesynth

failed = {}
for module in pkgutil.walk_packages(facesynth.__path__, "facesynth."):
    try:
        importlib.import_module(module.name)
    except Exception as error:
        failed[module.name] = repr(error)
modules = {name: module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "facesynth"}
elsewhere = {name: path for name, path in modules.items() if not path.startswith(folder)}
print(json.dumps([sorted(modules), failed, elsewhere]))
"""

pytestmark = pytest.mark.slow
DATA = ("weights", "drawings", "static")
"""Folders whose files are data."""


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pip(*arguments: object, cwd: Path) -> None:
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments, cwd=cwd)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: building leaves folders beside its sources."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    tree.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tree / name)
    # From 70.1 on setuptools builds wheels by itself, and with it nothing is fetched.
    is_new = tuple(map(int, importlib.metadata.version("setuptools").split(".")[:2])) >= (70, 1)
    pip("wheel", "--no-deps", *(["--no-build-isolation"] * is_new), "--wheel-dir", folder, tree, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def test_all_of_the_tree_is_in_the_wheel(wheel: Path) -> None:
    wanted = set()
    for folder, name in (("facesynth", "facesynth"), ("cli", "facesynth/cli")):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".j2", ".json") or path.name == "py.typed" or path.parent.name in DATA:
                wanted.add(f"{name}/{path.relative_to(ROOT / folder).as_posix()}")
    assert {"facesynth/model/training/psp/train.py", "facesynth/cli/prep/masks.py", "facesynth/demo.html.j2"} <= wanted
    assert all(any(f"/{folder}/" in name for name in wanted) for folder in DATA)
    assert wheel.stat().st_size <= 80_000_000
    with zipfile.ZipFile(wheel) as archive:
        there = {name for name in archive.namelist() if not name.split("/")[0].endswith(".dist-info")}
    assert there == wanted


def test_every_module_is_imported_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    pip("install", "--no-deps", "--target", target, wheel, cwd=tmp_path)
    modules, failed, elsewhere = json.loads(run(sys.executable, "-c", IMPORT, target, cwd=tmp_path))
    assert (failed, elsewhere) == ({}, {})
    files = {path.relative_to(target).with_suffix("") for path in (target / "facesynth").rglob("*.py")}
    assert set(modules) == {".".join(path.parts).removesuffix(".__init__") for path in files}
