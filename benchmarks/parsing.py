"""How well a face parser segments photos: ``python benchmarks/parsing.py DATA [--parser photo-parser] [--sheet SHEET.png]``.

DATA is a dataset folder with label maps of celebamask-hq. Every photo is parsed at 512 px and compared with its label map. The
IoU of a class is that of all photos' pixels together. Left and right are told apart by class; the mean at the end is over nine
groups, in which they are one. Also the photos a second, reading apart, with two threads.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "2"

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facesynth import images
from facesynth.manifest import read_dataset
from facesynth.model.checkpoints import native
from facesynth.model.devices import keep_memory
from facesynth.model.inference.parser import Parser

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE, SHOWN = 512, 10
GROUPS = {
    "background": ("background",),
    "skin": ("skin",),
    "hair": ("hair",),
    "brows": ("l_brow", "r_brow"),
    "eyes": ("l_eye", "r_eye"),
    "nose": ("nose",),
    "lips and mouth": ("u_lip", "l_lip", "mouth"),
    "cloth": ("cloth",),
    "neck": ("neck",),
}


def iou_of(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The IoU of every class from the counts of pixels, true class by found class."""
    both = np.diag(counts)
    return both / np.maximum(counts.sum(0) + counts.sum(1) - both, 1)


def grouped(counts: NDArray[np.int64], classes: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for name, members in GROUPS.items():
        ids = [classes.index(member) for member in members]
        both = counts[np.ix_(ids, ids)].sum()
        found[name] = float(both / (counts[ids].sum() + counts[:, ids].sum() - both))
    return found


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("data", type=Path)
    asked.add_argument("--parser", default="photo-parser")
    asked.add_argument("--split", help="only this one")
    asked.add_argument("--sheet", type=Path, help="A PNG: photos, their label maps, and what the parser found.")
    options = asked.parse_args()
    keep_memory()
    dataset = read_dataset(options.data)
    rows = dataset.with_columns("labels", "photo")
    if options.split:
        rows = rows[rows["split"] == options.split]
    parser = Parser(native.load_parser(native.find(Path(options.parser))), device="cpu")
    classes = dataset.scheme.classes
    counts = np.zeros((len(classes), len(classes)), np.int64)
    seconds, shown = 0.0, []
    for row in rows.to_dict("records"):
        photo = images.resize(images.read_photo(options.data / row["photo"]), (SIZE, SIZE))
        truth = images.resize(
            images.read_labels(options.data / row["labels"], dataset.scheme), (SIZE, SIZE), labels=True
        )
        began = time.perf_counter()
        found = parser.parse(photo)
        seconds += time.perf_counter() - began
        pairs = truth.astype(int) * len(classes) + found
        counts += np.bincount(pairs.ravel(), minlength=counts.size).reshape(counts.shape)
        if len(shown) < SHOWN:
            cells = [photo, *(images.colourise(labels, dataset.scheme) for labels in (truth, found))]
            shown.append(np.concatenate([images.resize(cell, (192, 192)) for cell in cells]))
    print(f"{options.parser} on {len(rows)} photos of {options.data}, {SIZE} px: {len(rows) / seconds:.1f} photos/s")
    for name, value, area in zip(classes, iou_of(counts), counts.sum(1) / counts.sum(), strict=True):
        print(f"  {name:16s} {value:6.3f}  {area:7.2%} of the pixels")
    groups = grouped(counts, classes)
    for name, value in groups.items():
        print(f"{name:18s} {value:6.3f}")
    print(f"{'mean':18s} {np.mean(list(groups.values())):6.3f}")
    if options.sheet:
        images.write_png(options.sheet, np.concatenate(shown, axis=1))


if __name__ == "__main__":
    main()
