"""How good a model's faces are: ``python benchmarks/quality.py CHECKPOINT DATA [--split val] [--count 256]``.

What is told, as means over the first COUNT pairs of a split of the dataset folder DATA, at the model's output size:

* L1, L2 and SSIM of the faces to the true photos (pictures in [-1, 1]). A condition doesn't fix colours, so two references
  stand beside them: the face of the average latent, and every class of the true label map painted with its mean colour in
  the training photos. And the face with the style of the true photo's nearest of 64 random styles is told, too.
* For label maps: the mean IoU, over the classes of a map, between the map and what a parser sees in the face; beside it the
  parser's on the true photo.
* For sketches: how many of the input's line pixels have a line pixel of the face's own XDoG sketch within 2 px, the other way
  round, and the harmonic mean (F1); beside it that of the true photo at the same size.
* Diversity: how far apart 8 random styles of a condition are in the mean colour of skin, hair, clothes and background (CIE
  1976 difference, mean over pairs of styles), and for label maps the IoU over all of them.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from skimage.color import deltaE_cie76, rgb2lab
from skimage.metrics import structural_similarity

from facesynth import images
from facesynth.manifest import read_dataset
from facesynth.model.checkpoints import native
from facesynth.model.data.columns import condition_column
from facesynth.model.data.pairs import PairedFaces
from facesynth.model.data.tensors import to_pictures
from facesynth.model.inference.parser import Parser
from facesynth.model.inference.translator import Translator
from facesynth.prep.sketches.drawing import draw
from facesynth.prep.sketches.presets import resolve

STYLES, NEAREST_OF = 8, 64
DIVERSE = 32
"""Conditions whose diversity is measured."""
REACH = 2
COLOURED = ("skin", "hair", "cloth", "background")
Picture = NDArray[np.uint8]


def distances(made: Picture, true: Picture) -> tuple[float, float, float]:
    """L1, L2 and SSIM."""
    difference = (made.astype(float) - true) / 127.5
    similarity = structural_similarity(made, true, channel_axis=2, data_range=255)
    return float(np.abs(difference).mean()), float(np.square(difference).mean()), float(similarity)


def class_colours(pairs: PairedFaces, n_classes: int) -> NDArray[np.float64]:
    """The mean colour of every class in photos, (n_classes, 3)."""
    sums, counts = np.zeros((n_classes, 3)), np.zeros(n_classes)
    for index in range(len(pairs)):
        _, labels, photo = pairs[index]
        ids = resized(labels, photo.shape[0]).ravel()
        counts += np.bincount(ids, minlength=n_classes)
        for band in range(3):
            sums[:, band] += np.bincount(ids, photo[..., band].ravel(), n_classes)
    return sums / np.maximum(counts, 1)[:, None]


def resized(labels: Picture, size: int) -> Picture:
    return images.resize(labels, (size, size), labels=True)


def iou(labels: Picture, parsed: Picture) -> float:
    """The mean over the classes of ``labels``."""
    found = [((labels == k) & (parsed == k)).sum() / ((labels == k) | (parsed == k)).sum() for k in np.unique(labels)]
    return float(np.mean(found))


def lines(photo: Picture) -> NDArray[np.bool_]:
    return draw(photo, resolve("xdog")) < 128


def line_f1(wanted: NDArray[np.bool_], found: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Share of the wanted lines that are found within reach, of the found that are wanted, and F1."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * REACH + 1, 2 * REACH + 1))
    near = [cv2.dilate(each.astype(np.uint8), disc) > 0 for each in (wanted, found)]
    recall = (wanted & near[1]).sum() / max(wanted.sum(), 1)
    precision = (found & near[0]).sum() / max(found.sum(), 1)
    return recall, precision, 2 * recall * precision / max(recall + precision, 1e-9)


def apart(faces: Picture, labels: Picture, names: tuple[str, ...]) -> dict[str, float]:
    """How far apart styles are in the mean colours of some classes."""
    told = {}
    for name in COLOURED:
        inside = labels == names.index(name)
        if inside.sum() >= 50:
            means = rgb2lab(np.stack([face[inside].mean(0) for face in faces])[None] / 255)[0]
            told[name] = float(np.mean([deltaE_cie76(a, b) for a, b in itertools.combinations(means, 2)]))
    return told


def main(given: argparse.Namespace) -> None:
    translator = Translator.from_pretrained(given.checkpoint, device="cpu")
    config, dataset = translator.config, read_dataset(given.data)
    names, size = dataset.scheme.classes, config.output_size
    pairs = PairedFaces(dataset, condition_column(dataset, config.condition, given.sketch), given.split, config)
    of_maps = dataclasses.replace(config, condition="labels", input_channels=len(names))
    maps = PairedFaces(dataset, "labels", given.split, of_maps)
    parser = Parser(native.load_parser(native.find(Path(given.parser)))) if given.parser else None
    colours = class_colours(PairedFaces(dataset, "labels", "train", of_maps), len(names))
    average = to_pictures(translator.model.generator(translator.model.latent_avg[None]))[0]
    styles = translator.styles(NEAREST_OF, 0)

    rows: dict[str, list[tuple[float, float, float]]] = {}
    seen: dict[str, list[float]] = {}
    shown = []
    for index in range(min(given.count, len(pairs))):
        _, condition, photo = pairs[index]
        labels = resized(maps[index][1], size)
        latents, maps = translator.encode(condition[None]), translator.spatial_maps(condition[None])
        face = translator.synthesise(latents, maps=maps)[0]
        painted = colours[labels].round().astype(np.uint8)
        faces = np.empty((0, size, size, 3), np.uint8)
        if index < DIVERSE:
            mixed = torch.cat([translator.model.mix(latents, style[None], config.style_layers) for style in styles])
            faces = np.concatenate([translator.synthesise(part, maps=maps) for part in mixed.split(16)])
        for name, made in {"face": face, "average latent": average, "classes painted": painted}.items():
            rows.setdefault(name, []).append(distances(made, photo))
        if index < DIVERSE:
            rows.setdefault(f"nearest of {NEAREST_OF} styles, first {DIVERSE}", []).append(
                min((distances(made, photo) for made in faces), key=lambda told: told[1])
            )
            for name, value in apart(faces[:STYLES], labels, names).items():
                seen.setdefault(f"colours apart, {name}", []).append(value)
        if parser and config.condition == "labels":
            seen.setdefault("IoU of faces", []).append(iou(labels, parser.parse(face)))
            seen.setdefault("IoU of true photos", []).append(iou(labels, parser.parse(photo)))
            if index < DIVERSE:
                seen.setdefault(f"IoU of {STYLES} styles", []).append(
                    float(np.mean([iou(labels, parser.parse(made)) for made in faces[:STYLES]]))
                )
        if config.condition == "sketch":
            wanted = images.resize(condition, (size, size)) < 128
            for name, made in {"faces": face, "true photos": photo}.items():
                for what, value in zip(
                    ("lines found", "lines wanted", "F1"), line_f1(wanted, lines(made)), strict=True
                ):
                    seen.setdefault(f"{what}, {name}", []).append(value)
        if index < 12:
            shown.append(np.concatenate([face, photo, painted, *faces[:4]], 1))
    print(f"{given.checkpoint} on {len(rows['face'])} pairs of {given.data}, {given.split}, {size} px")
    print(f"{'':34s} {'L1':>7s} {'L2':>7s} {'SSIM':>7s}")
    for name, told in rows.items():
        print(f"{name:34s} " + " ".join(f"{value:7.4f}" for value in np.mean(told, 0)))
    for name, values in seen.items():
        print(f"{name:34s} {np.mean(values):7.3f}")
    if given.sheet:
        images.write_png(given.sheet, np.concatenate(shown))


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("checkpoint")
    asked.add_argument("data", type=Path)
    asked.add_argument("--split", default="val")
    asked.add_argument("--count", type=int, default=256)
    asked.add_argument("--sketch")
    asked.add_argument("--parser", default="portrait-parser", help="A parser's checkpoint; empty for none.")
    asked.add_argument("--sheet", type=Path, help="A PNG: face, photo, classes painted, four styles.")
    with torch.inference_mode():
        main(asked.parse_args())
