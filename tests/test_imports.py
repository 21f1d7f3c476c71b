"""What importing costs, what the packages offer, and which way imports point."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import facesynth

from .trees import PATIENCE

HEAVY = ("torch", "torchvision", "numpy", "cv2", "pandas", "PIL", "joblib", "matplotlib")
PACKAGE = Path(facesynth.__file__).parent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("facesynth", HEAVY),
        ("facesynth.labels", HEAVY),
        ("facesynth.manifest", HEAVY),
        ("facesynth.cli", HEAVY),
        ("facesynth.prep", HEAVY),
        ("facesynth.model.checkpoints", HEAVY),
        ("facesynth.prep.stages", ("torch", "torchvision", "matplotlib", "facesynth.model")),
        ("facesynth.model.training", ("torch", "torchvision", "joblib", "facesynth.prep")),
        ("facesynth.model", ("joblib", "facesynth.prep")),
    ],
)
def test_import_loads_only_what_it_needs(module: str, absent: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "package", ["facesynth", "facesynth.prep", "facesynth.model.training", "facesynth.model.checkpoints"]
)
def test_every_name_that_a_package_offers_is_there(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name).__name__ == name
    assert set(module.__all__) <= set(dir(module))


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, anywhere in it, relative ones by their absolute names."""
    folder = ("facesynth", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) + 1 - node.level] if node.level else ()
            base = ".".join((*above, *(node.module or "").split("."))).strip(".")
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))


@pytest.mark.slow
def test_nothing_imports_the_command_line() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 10
    found = {
        str(path): name
        for path in files
        for name in imported(path)
        if f"{name}.".startswith(("cli.", "facesynth.cli."))
    }
    assert not found


@pytest.mark.slow
@pytest.mark.parametrize(("half", "other"), [("prep", "model"), ("model", "prep")])
def test_halves_are_apart(half: str, other: str) -> None:
    files = sorted((PACKAGE / half).rglob("*.py"))
    assert len(files) > 30
    assert not [path for path in files for name in imported(path) if f"{name}.".startswith(f"facesynth.{other}.")]
