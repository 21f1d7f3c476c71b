"""docs/freehand.md: its tables are those of the code."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from facesynth.model.data.augment import Augmentation
from facesynth.model.data.freehand import Roughness

PAGE = (Path(__file__).parents[1] / "docs" / "freehand.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("title", "strengths"), [("Rough conditions", Roughness()), ("Pairs moved as one", Augmentation())]
)
def test_every_strength_is_told_as_it_is(title, strengths):
    section = re.search(rf"^## {title}\n(.*?)(?=^## )", PAGE, re.DOTALL | re.MULTILINE)[1]
    told = dict(re.findall(r"^\| `(\w+)` \|(?: [a-z ]+ \|)? ([\d.]+)", section, re.MULTILINE))
    held = {name: value for name, value in dataclasses.asdict(strengths).items() if name != "flip"}
    assert {name: float(value) for name, value in told.items()} == held
