"""Make the README's pictures from what the demo left: ``python docs/pictures.py demo``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from facesynth import images
from facesynth.kinds import recognise
from facesynth.labels import CELEBAMASK_HQ
from facesynth.manifest import read_dataset
from facesynth.model.data.contact_sheet import contact_sheet, show_condition
from facesynth.model.data.freehand import Roughness, roughen
from facesynth.model.inference.sources import SHIPPED_MODELS
from facesynth.model.inference.translator import Translator

DOCS = Path(__file__).parent
DRAWINGS = {
    path.stem: path for folder in (DOCS, DOCS.parent / "facesynth") for path in (folder / "drawings").glob("*.png")
}
"""The drawings made by hand, by name; those that the demo shows are in the package."""
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
    """Two label maps and two sketches of the demo, the face of each and the same in four random styles."""
    dataset = read_dataset(demo / "data")
    grid = []
    for folder, kind, column in (("maps", "labels", "labels"), ("drawings", "sketch", "sketch_xdog")):
        for own in sorted((demo / folder / "own").glob("*.png"))[:2]:
            given = dataset.root / dataset.rows.loc[own.stem, column]
            picture = images.read_labels(given, dataset.scheme) if kind == "labels" else images.read_sketch(given)
            styles = sorted((demo / folder / "styles").glob(f"{own.stem}_*.png"))[:4]
            grid.append([show_condition(picture, kind, dataset.scheme), *map(images.read_photo, (own, *styles))])
    headings = ["given", "face", *(f"style {number}" for number in range(4))]
    images.write_png(DOCS / "faces.png", contact_sheet(grid, headings, cell=CELL))


FIRST = {"beard": 0, "curls": 0, "glasses": 2, "hat": 0, "smile": 1, "child": 0}
"""The drawings of the README's first picture, each with the number of the random style in its last row."""


def first_picture() -> None:
    """Some drawings made by hand, the photograph of each, and the same in a random style."""
    translator = Translator.from_pretrained(SHIPPED_MODELS["sketch"], device="cpu")
    columns = []
    for name, number in FIRST.items():
        path = DRAWINGS[name]
        shown = show_condition(translator.read(path), "sketch", CELEBAMASK_HQ)
        columns.append([shown, np.asarray(translator(path)), np.asarray(translator(path, samples=4)[number])])
    grid = [list(row) for row in zip(*columns, strict=True)]
    images.write_png(DOCS / "first.png", contact_sheet(grid, [""] * len(columns), cell=CELL))


def drawings() -> None:
    """What becomes of the drawings made by hand."""
    grid = []
    for _, path in sorted(DRAWINGS.items()):
        kind = "labels" if recognise(images.Picture.read(path)).kind == "labels" else "sketch"
        translator = Translator.from_pretrained(SHIPPED_MODELS[kind], device="cpu")
        shown = show_condition(translator.read(path), kind, CELEBAMASK_HQ)
        made = [translator(path), *translator(path, samples=4)]
        grid.append([shown, *map(np.asarray, made)])
    headings = ["drawing", "face", *(f"style {number}" for number in range(4))]
    images.write_png(DOCS / "drawings.png", contact_sheet(grid, headings, cell=CELL))


def freehand(demo: Path) -> None:
    """Label maps and sketches as they are, and as the preset ``freehand`` makes them look, from careful to careless."""
    dataset = read_dataset(demo / "data")
    grid = []
    for (_, row), kind in zip(dataset.rows.iloc[[1, 0, 4, 3]].iterrows(), ["labels", "sketch"] * 2, strict=True):
        if kind == "labels":
            exact = images.read_labels(dataset.root / row["labels"], dataset.scheme)
        else:
            exact = images.read_sketch(dataset.root / row["sketch_xdog"])
        exact = images.resize(exact, (256, 256), labels=kind == "labels")
        rough = [
            roughen(exact, kind, Roughness(), np.random.default_rng(seed), dataset.scheme)
            for seed in _by_carelessness(5)
        ]
        grid.append([show_condition(condition, kind, dataset.scheme) for condition in (exact, *rough)])
    sheet = contact_sheet(grid, ["exact", *["freehand"] * 5], cell=CELL)
    colours = Image.new("P", (1, 1))
    colours.putpalette([value for colour in dataset.scheme.colours for value in colour] + _GREYS)
    few = Image.fromarray(sheet).quantize(palette=colours, dither=Image.Dither.NONE)
    few.save(DOCS / "freehand.png", optimize=True)


_GREYS = [value for grey in range(255, 0, -6) for value in (grey, grey, grey)]


def _by_carelessness(count: int) -> list[int]:
    """Seeds whose first random number, which is how careless the hand is, grows evenly."""
    first = {seed: np.random.default_rng(seed).random() for seed in range(200)}
    return [min(first, key=lambda seed: abs(first[seed] - step / count)) for step in range(1, count + 1)]


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
    sample(folder)
    faces(folder)
    freehand(folder)
    drawings()
    first_picture()
    shutil.copy(folder / "run" / "losses.png", DOCS / "losses.png")
