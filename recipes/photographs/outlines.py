"""Outlines as a shaking hand draws them: ``python recipes/photographs/outlines.py ALIGNED LABELS OUT [--loose X] [--seed
N]``.

ALIGNED is what ``facesynth prep align`` made, LABELS what ``label_maps.py`` made of it. OUT gets ``<id>.png``, black lines
on white, for every label map: the face, lids, irises, brows, nose and lips as lines through points of the mesh, the
outlines of hair, ears, neck, clothes and glasses as the label map has them. Every stroke wavers, is a little out of place
and of its own width; some are missing or end early. ``--loose`` 0 draws exactly, 1 as a careful hand, 3 as a careless one.
The same seed draws the same lines.
"""

from __future__ import annotations

import argparse
import itertools
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from mesh import JAW, L_EYE, L_IRIS, LOWER_IN, LOWER_OUT, R_EYE, R_IRIS, UPPER_IN, UPPER_OUT

from facesynth import images
from facesynth.labels import CELEBAMASK_HQ
from facesynth.prep.align import read_landmarks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

FINER = 2
"""Factor of supersampling of the strokes."""
ID = {name: number for number, name in enumerate(CELEBAMASK_HQ.classes)}
FACE_SIDES = ((389, 356, 454, 323, 361), (162, 127, 234, 93, 132))
R_BROW_LINES, L_BROW_LINES = (
    ((46, 53, 52, 65, 55), (70, 63, 105, 66, 107)),
    ((276, 283, 282, 295, 285), (300, 293, 334, 296, 336)),
)
NOSE = ((129, 64, 98, 97, 2, 326, 327, 294, 358),)
RIDGES = ((193, 122, 174, 198), (417, 351, 399, 420))
R_FOLD, L_FOLD = (205, 206, 216, 212), (425, 426, 436, 432)
"""The folds from the nose to the corners of a smiling mouth."""


def along(points: Floats, step: float = 1.0) -> Floats:
    """Equidistant points along a smooth line through points."""
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    keep = np.concatenate([[True], np.diff(lengths) > 1e-3])
    points, lengths = points[keep], lengths[keep]
    if len(points) < 2:
        return points
    at = np.linspace(0, lengths[-1], max(2, int(lengths[-1] / step)))
    line = np.stack([np.interp(at, lengths, points[:, axis]) for axis in (0, 1)], 1)
    return line.astype(np.float32)


def _smooth(line: Floats, sigma: float) -> Floats:
    reach = int(3 * sigma) + 1
    padded = np.pad(line, ((reach, reach), (0, 0)), mode="edge")
    return cv2.GaussianBlur(padded, (1, 2 * reach + 1), sigma, borderType=cv2.BORDER_REPLICATE)[reach:-reach]


def shaken(line: Floats, loose: float, rng: np.random.Generator) -> Floats:
    """A line as if drawn by hand: displaced, shaky, sometimes shortened; empty if it is omitted."""
    if rng.random() < 0.04 * loose:
        return line[:0]
    line = along(line)
    count = len(line)
    if count < 3:
        return line
    waver = np.zeros_like(line)
    for length, strength in ((60, 1.0), (20, 0.45), (6, 0.12)):  # slow, faster and quick movements, in pixels
        knots = rng.normal(size=(count // length + 3, 2)).astype(np.float32)
        waver += strength * cv2.resize(knots, (2, count), interpolation=cv2.INTER_CUBIC)
    small = min(1.0, 0.4 + count / 150)  # eyes are drawn with more care than hair
    line = line + loose * small * (0.7 * waver + rng.normal(0, 0.6, 2).astype(np.float32))
    middle = line.mean(0)
    line = middle + (line - middle) * np.float32(1 + rng.normal(0, 0.015 * loose))
    if rng.random() < 0.12 * loose:
        first, last = sorted(rng.random(2) ** 2 * 0.4)
        line = line[int(first * count) : count - int(last * count)]
    return line.astype(np.float32)


def _borders(area: NDArray[np.bool_], least: float) -> list[Floats]:
    """The outlines of an area, without parts along the picture's border."""
    size = len(area)
    found, _ = cv2.findContours(area.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    lines = []
    for contour in found:
        points = contour[:, 0].astype(np.float32)
        if cv2.contourArea(contour) < least:
            continue
        inside = ((points > 1) & (points < size - 2)).all(1)
        start = int(np.argmin(inside))
        points, inside = np.roll(points, -start, 0), np.roll(inside, -start)
        for piece in np.split(np.arange(len(points)), np.flatnonzero(np.diff(inside.astype(int))) + 1):
            if inside[piece[0]] and len(piece) > 12:
                closed = len(piece) == len(points)
                line = points[piece]
                lines.append(_smooth(np.concatenate([line, line[:1]]) if closed else line, 2.5))
    return lines


def _parted(line: Floats, rng: np.random.Generator) -> list[Floats]:
    """A long line split into slightly overlapping strokes."""
    count = max(1, round(len(line) / rng.uniform(70, 160)))
    cuts = np.linspace(0, len(line), count + 1).astype(int)
    return [line[max(0, a - 3) : b + 3] for a, b in itertools.pairwise(cuts)]


def strokes(mesh: Floats, labels: NDArray[np.uint8], rng: np.random.Generator) -> list[tuple[Floats, float]]:
    """Lines in pixels of the label map, each with its width."""
    lines: list[tuple[Floats, float]] = []

    def through(*indices: tuple[int, ...], width: float = 1.0) -> None:
        lines.extend((along(mesh[list(each)]), width) for each in indices)

    hair, skin = labels == ID["hair"], np.isin(labels, (ID["skin"], ID["eye_g"], ID["l_ear"], ID["r_ear"]))
    least = 0.001 * labels.size
    jaw = along(mesh[list(JAW)])
    lines.append((jaw, 1.2))
    for side in FACE_SIDES:
        at = np.clip(np.rint(mesh[list(side)]).astype(int), 0, len(labels) - 1)
        if not hair[at[:, 1], at[:, 0]].any():
            through(side)
    for eye, iris in ((R_EYE, R_IRIS), (L_EYE, L_IRIS)):
        through((*eye[8:], eye[0]), width=1.3)
        through(eye[:9], width=0.9)
        centre, radius = mesh[list(iris)].mean(0), 0.5 * float(np.ptp(mesh[list(iris), 0]))
        turn = np.linspace(0, 2 * np.pi, 24)
        ring = centre + radius * np.stack([np.cos(turn), np.sin(turn)], 1)
        lids = mesh[list(eye)]
        seen = [cv2.pointPolygonTest(lids.reshape(-1, 1, 2), tuple(map(float, each)), False) >= 0 for each in ring]
        if sum(seen) > 5:
            lines.append((ring.astype(np.float32)[seen], 0.9))
            pupil = centre + 0.35 * (ring - centre)
            lines.append((pupil.astype(np.float32), 1.4))
    for lower, upper in (R_BROW_LINES, L_BROW_LINES):
        if rng.random() < 0.5:
            through((*lower, *upper[::-1], lower[0]))
        else:
            through(lower, upper, width=1.4)
    through(*NOSE)
    if rng.random() < 0.7:
        through(RIDGES[int(rng.integers(2))], width=0.8)
    through(UPPER_OUT, LOWER_OUT)
    if (labels == ID["mouth"]).sum() > 0.0006 * labels.size:
        through(UPPER_IN, LOWER_IN)
    else:
        through(LOWER_IN, width=1.3)
    if (labels == ID["mouth"]).sum() > 0.0015 * labels.size and rng.random() < 0.6:
        through(R_FOLD, L_FOLD, width=0.7)
    neck_or_face = skin | np.isin(labels, (ID["neck"],))
    for area, width in (
        (hair, 1.2),
        (labels == ID["l_ear"], 1.0),
        (labels == ID["r_ear"], 1.0),
        (labels == ID["cloth"], 1.2),
        (labels == ID["eye_g"], 1.4),
    ):
        lines.extend((piece, width) for line in _borders(area, least) for piece in _parted(line, rng))
    if not hair.any():  # a bald head has an outline of its own
        lines.extend((piece, 1.2) for line in _borders(neck_or_face, least) for piece in _parted(line, rng))
    elif (labels == ID["neck"]).any():
        edge = (
            cv2.morphologyEx((labels == ID["neck"]).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        )
        ground = cv2.dilate((labels == ID["background"]).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        lines.extend((line, 1.0) for line in _borders(cv2.dilate((edge & ground).astype(np.uint8), None) > 0, 4)[:4])
    return lines


def draw(mesh: Floats, labels: NDArray[np.uint8], *, loose: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """An (H, H) uint8 drawing, black on white."""
    size = len(labels)
    scale = size / 256
    sheet = np.full((size * FINER, size * FINER), 255, np.uint8)
    pen = rng.uniform(1.0, 2.2)
    for line, width in strokes(
        mesh / scale, labels if size == 256 else images.resize(labels, (256, 256), labels=True), rng
    ):
        line = shaken(line, loose, rng) * scale
        if len(line) < 2:
            continue
        thick = max(1, round(pen * width * scale * FINER * float(np.exp(rng.normal(0, 0.12 * loose)))))
        points = np.rint((line + 0.5) * FINER * 16).astype(np.int32)
        cv2.polylines(sheet, [points[:, None]], False, 0, thick, cv2.LINE_AA, shift=4)
    return cv2.resize(sheet, (size, size), interpolation=cv2.INTER_AREA)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("aligned", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--loose", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    meshes = read_landmarks(options.aligned)
    files = sorted(options.labels.glob("*.png"))
    for file in files:
        labels = images.read_labels(file, CELEBAMASK_HQ)
        rng = np.random.default_rng([options.seed, zlib.crc32(file.stem.encode())])
        images.write_png(options.out / file.name, draw(meshes[file.stem], labels, loose=options.loose, rng=rng))
    print(f"outlines in {options.out}: {len(files)} drawn")


if __name__ == "__main__":
    main()
