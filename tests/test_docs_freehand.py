"""docs/freehand.md: its tables agree with the code."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from facesynth.model.data.augment import Augmentation
from facesynth.model.data.freehand import Roughness

PAGE = (Path(__file__).parents[1] / "docs" / "freehand.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("title", "strengths"), [("Rough conditions", Roughness()), ("Augmented pairs", Augmentation())]
)
def test_every_strength_is_documented(title, strengths):
    section = re.search(rf"^## {title}\n(.*?)(?=^## )", PAGE, re.DOTALL | re.MULTILINE)[1]
    documented = dict(re.findall(r"^\| `(\w+)` \|(?: [a-z ]+ \|)? ([\d.]+)", section, re.MULTILINE))
    actual = {name: value for name, value in dataclasses.asdict(strengths).items() if name != "flip"}
    assert {name: float(value) for name, value in documented.items()} == actual
