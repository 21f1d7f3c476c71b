"""docs/architecture.md names files and functions that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
FOLDERS = ("", "facesynth", "facesynth/model/training", "facesynth/model/training/psp", "facesynth/model/config")


def test_every_file_named_is_there() -> None:
    named = set(re.findall(r"`((?:[\w]+/)*[\w]+\.(?:py|md|cfg))`", PAGE))
    assert len(named) > 40
    written = {"report.csv", "dataset.json", "manifest.csv", "metrics.csv", "faces.jsonl"}
    short = {"native.py", "key_mapping.py"}  # beside a file named in full
    missing = [name for name in named - written if not any((ROOT / folder / name).exists() for folder in FOLDERS)]
    assert set(missing) <= short, missing


def test_every_room_is_described() -> None:
    rooms = [path.parent for half in ("prep", "model") for path in (ROOT / "facesynth" / half).glob("*/__init__.py")]
    assert len(rooms) >= 10
    for room in rooms:
        assert re.search(rf"^    {room.name}/ +\w", PAGE, re.MULTILINE), room
