"""Make the README's pictures from what the demo left: ``python docs/pictures.py demo``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np

from facesynth import images
from facesynth.manifest import read_dataset
from facesynth.model.sheet import contact_sheet, show_condition

DOCS = Path(__file__).parent
CELL = 160


def sample(demo: Path) -> None:
    """Photo, label map and sketch of eight photos, two to a row."""
    dataset = read_dataset(demo / "data")
    rows = dataset.rows.iloc[18:26]
    pictures = []
    for _, row in rows.iterrows():
        labels = images.read_labels(dataset.root / row["labels"], dataset.scheme)
        pictures += [
            images.read_photo(dataset.root / row["photo"]),
            show_condition(labels, "labels", dataset.scheme),
            show_condition(images.read_sketch(dataset.root / row["sketch_xdog"]), "sketch", dataset.scheme),
        ]
    grid = [pictures[start : start + 6] for start in range(0, len(pictures), 6)]
    images.write_png(DOCS / "sample.png", contact_sheet(grid, ["photo", "label map", "sketch"] * 2, cell=CELL))


def faces(demo: Path) -> None:
    """The first rows of the demo's contact sheets: the faces, and the same in random styles."""
    for source, name, rows in (("faces", "faces.png", 4), ("styles", "styles.png", 4)):
        sheet = images.read_photo(demo / source / "sheet.png")
        images.write_png(DOCS / name, np.ascontiguousarray(sheet[: 22 + rows * 132]))


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
    sample(folder)
    faces(folder)
    shutil.copy(folder / "run" / "losses.png", DOCS / "losses.png")
