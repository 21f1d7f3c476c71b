"""Whether faces have what their drawing says: ``python recipes/photographs/trial.py DATA [--count 50] [--sheet SHEET.png]``.

DATA is the folder of ``dataset.sh``. Of COUNT photos that no model has seen, the outlines drawn with a shaking hand go through
``photo-sketch``, half of them only partly drawn (a side or the lower or upper part is missing), and the label maps through
``photo-seg``. The same measures are taken of the face and of the photo; each gives two kinds of people, with and without a
trait:

* mediapipe's mesh: mouth open (the lips' inner distance is more than 0.08 of the mouth's width), smile (the mouth's width to
  the distance of the outer corners of the eyes, more than the photos' median), jaw (its width to the face's, more than the
  median),
* its mesh and the colours: beard (the chin is darker than the cheeks by 8 of L*),
* the parser: glasses, bald, long hair, in the face; in the photo's own label map.

A line per kind of drawing: balanced accuracy, which is the mean of the shares of photos with and without the trait whose faces
agree, the number of photos with the trait, and in how many faces mediapipe found none. Needs mediapipe, as ``dataset.sh`` does.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from mesh import LOWER_OUT, polygon

from facesynth import images
from facesynth.manifest import read_dataset
from facesynth.model.checkpoints import native
from facesynth.model.data.style_colours import to_lab
from facesynth.model.inference.parser import Parser
from facesynth.model.inference.translator import Translator
from facesynth.prep.align import MeshDetector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Traits = dict[str, float]

SIZE = 256
OPEN, DARKER, GLASSES, BALD, LONG = 0.08, 8.0, 0.003, -0.06, 0.02
R_CHEEK, L_CHEEK = (50, 205, 207, 187), (280, 425, 427, 411)
CHIN = (194, 418, 424, 262, 369, 377, 152, 148, 140, 32, 204)
SIDES = (np.s_[:, :100], np.s_[:, 156:], np.s_[:90], np.s_[170:])
"""What half of the drawings lack, in turns: a side, the upper or the lower part, at 256 px."""


def of_mesh(picture: Picture, detector: MeshDetector) -> Traits:
    """What the mesh of a face (256, 256, 3) says; empty if none is found."""
    meshes = detector(picture)
    if not meshes:
        return {}
    mesh = meshes[0]

    def apart(one: int, other: int) -> float:
        return float(np.hypot(*(mesh[one] - mesh[other])))

    light = to_lab(picture)[..., 0]
    lips = polygon(mesh[list(LOWER_OUT)], SIZE)
    chin = polygon(mesh[list(CHIN)], SIZE) & ~lips
    cheeks = polygon(mesh[list(R_CHEEK)], SIZE) | polygon(mesh[list(L_CHEEK)], SIZE)
    return {
        "open mouth": apart(13, 14) / apart(61, 291) - OPEN,
        "smile": apart(61, 291) / apart(33, 263),
        "wide jaw": apart(172, 397) / apart(234, 454),
        "beard": float(np.median(light[cheeks]) - np.median(light[chin])) - DARKER,
    }


def of_labels(labels: Picture, classes: tuple[str, ...]) -> Traits:
    """What a label map says."""
    area = {name: labels == classes.index(name) for name in ("eye_g", "hair", "u_lip", "l_lip", "mouth")}
    lips = (area["u_lip"] | area["l_lip"] | area["mouth"]).any(axis=1)
    mouth_row = int(np.flatnonzero(lips).mean()) if lips.any() else len(labels) * 2 // 3
    return {
        "glasses": float(area["eye_g"].mean()) - GLASSES,
        "bald": -float(area["hair"].mean()) - BALD,
        "long hair": float(area["hair"][mouth_row:].mean()) - LONG,
    }


def accuracy(true: list[Traits], found: list[Traits]) -> str:
    """The balanced accuracy of every trait, with the number of photos that have it."""
    parts = []
    for name in sorted({key for each in true for key in each}):
        pairs = [(a[name], b[name]) for a, b in zip(true, found, strict=True) if name in a and name in b]
        values, others = np.array(pairs).T
        least = float(np.median(values)) if name in ("smile", "wide jaw") else 0.0
        has, shows = values > least, others > least
        if has.all() or not has.any():
            parts.append(f"{name} - ({has.sum()} of {len(has)})")
        else:
            parts.append(f"{name} {np.mean([shows[has].mean(), (~shows[~has]).mean()]):.0%} ({has.sum()})")
    return ", ".join(parts)


def enlarged(picture: Picture) -> Picture:
    return np.asarray(cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC))


def main(options: argparse.Namespace) -> None:
    dataset = read_dataset(options.data)
    rows = dataset.with_columns("labels", "photo", "sketch_outlines-loose")
    rows = rows[rows["split"] != "train"].head(options.count)
    detector, parser = MeshDetector(), Parser(native.load_parser(native.find(Path("photo-parser"))), device="cpu")
    photos = [images.resize(images.read_photo(options.data / path), (SIZE, SIZE)) for path in rows["photo"]]
    maps = [images.read_labels(options.data / path, dataset.scheme) for path in rows["labels"]]
    drawings = [
        images.resize(images.read_sketch(options.data / path), (SIZE, SIZE)) for path in rows["sketch_outlines-loose"]
    ]
    partly = [drawing.copy() for drawing in drawings]
    for number, drawing in enumerate(partly):
        drawing[SIDES[number % len(SIDES)]] = 255
    true = [
        {**of_mesh(photo, detector), **of_labels(labels, parser.scheme.classes)}
        for photo, labels in zip(photos, maps, strict=True)
    ]
    shown = [photos]
    conditions = {"outlines": drawings, "outlines, partly drawn": partly, "label maps": maps}
    for name, given in conditions.items():
        translator = Translator.from_pretrained(options.seg if name == "label maps" else options.sketch, device="cpu")
        faces = [np.asarray(translator(each)) for each in given]
        large = [enlarged(face) for face in faces]
        found = [{**of_mesh(face, detector), **of_labels(parser.parse(face), parser.scheme.classes)} for face in large]
        missing = sum("smile" not in each for each in found)
        print(f"{name:24s} {accuracy(true, found)}; no face found in {missing}", flush=True)
        shown += [[np.repeat(each[..., None], 3, 2) for each in given] if name != "label maps" else [], large]
    if options.sheet:
        sheet = [np.concatenate([images.resize(each, (128, 128)) for each in row[:20]], axis=1) for row in shown if row]
        images.write_png(options.sheet, np.concatenate(sheet))


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("data", type=Path)
    asked.add_argument("--count", type=int, default=50)
    asked.add_argument("--sketch", default="photo-sketch")
    asked.add_argument("--seg", default="photo-seg")
    asked.add_argument("--sheet", type=Path)
    main(asked.parse_args())
