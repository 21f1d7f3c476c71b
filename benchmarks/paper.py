"""Photographed drawings against clean ones: ``python benchmarks/paper.py [MODEL]``.

Twenty drawings on white: those made by hand that are dark on white paper, and Canny lines of drawn portraits. Each is put
onto twelve kinds of paper and light. The face of each is compared with that of the clean drawing: mean absolute difference of
the pictures, 0 to 1. For every kind: how many faces are within 0.01, and the median difference; beside it, without levelling
(``--paper keep``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from sys import argv
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facesynth import images
from facesynth.model.devices import keep_memory
from facesynth.model.inference.translator import Translator
from facesynth.prep.portraits.draw import draw_portrait
from facesynth.prep.sketches.drawing import draw
from facesynth.prep.sketches.presets import resolve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Sheet = NDArray[np.float32]

DRAWINGS, SIZE, WITHIN = 20, 512, 0.01
ROOT = Path(__file__).parents[1]
HAND_MADE = [path for name in ("docs", "facesynth") for path in (ROOT / name / "drawings").glob("*.png")]
UNSUITABLE = ("blocks", "chalk", "uneven")
"""A label map, a drawing on a blackboard, and one that is photographed already."""


def drawings() -> list[NDArray[np.uint8]]:
    found = [
        images.resize(images.read_sketch(path), (SIZE, SIZE))
        for path in sorted(HAND_MADE, key=lambda path: path.stem)
        if path.stem not in UNSUITABLE
    ]
    for index in range(DRAWINGS - len(found)):
        portrait = draw_portrait(99, index, size=SIZE, mask_size=SIZE)
        found.append(draw(portrait.photo, resolve("canny")))
    return found


def slope(bright: float, dark: float) -> Sheet:
    """Light that falls from the left top to the right bottom."""
    way = np.linspace(0, 1, SIZE, dtype=np.float32)
    return bright + (dark - bright) * (way[None] + way[:, None]) / 2


def lit(sheet: Sheet, light: Sheet | float, rng: np.random.Generator, *, noise: float = 0.01) -> Sheet:
    return np.asarray(np.clip(sheet * light + rng.normal(0, noise, sheet.shape), 0, 1), np.float32)


def on_a_table(sheet: Sheet, rng: np.random.Generator) -> Sheet:
    corners = np.array([[0, 0], [SIZE, 0], [SIZE, SIZE], [0, SIZE]], np.float32)
    shift = 0.03 * SIZE
    target = 0.8 * corners + 0.1 * SIZE + rng.uniform(-shift, shift, corners.shape).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(corners, target.astype(np.float32))
    covered = cv2.warpPerspective(np.ones_like(sheet), matrix, (SIZE, SIZE))
    paper = cv2.warpPerspective(lit(sheet, slope(0.9, 0.75), rng), matrix, (SIZE, SIZE))
    return np.where(covered > 0.5, paper, np.float32(0.2) + rng.normal(0, 0.02, sheet.shape)).astype(np.float32)


def with_margin(sheet: Sheet, rng: np.random.Generator) -> Sheet:
    scan = np.full((SIZE + 60, SIZE + 40), 0.03, np.float32)
    scan[:SIZE, :SIZE] = lit(sheet, 0.98, rng, noise=0.004)
    return scan


def ruled(sheet: Sheet, *, grid: bool) -> Sheet:
    lines = np.ones_like(sheet)
    lines[16::24] = 0.72
    if grid:
        lines[:, 16::24] = 0.72
    return sheet * lines


def shadow(rng: np.random.Generator) -> Sheet:
    """The shadow of a hand: a soft edge across the sheet."""
    mask = np.zeros((SIZE, SIZE), np.float32)
    cv2.fillPoly(mask, [np.array([[SIZE, SIZE // 3], [SIZE // 2, SIZE], [SIZE, SIZE]])], 1.0)
    return np.asarray(0.88 - 0.35 * cv2.GaussianBlur(mask, (0, 0), 25 + 5 * rng.random()), np.float32)


KINDS: dict[str, Callable[[Sheet, np.random.Generator], Sheet]] = {
    "scanned": lambda sheet, rng: lit(sheet, 0.97, rng, noise=0.004),
    "even light": lambda sheet, rng: lit(sheet, 0.8, rng),
    "mild slope of light": lambda sheet, rng: lit(sheet, slope(0.92, 0.75), rng),
    "strong slope of light": lambda sheet, rng: lit(sheet, slope(0.9, 0.3), rng),
    "dim": lambda sheet, rng: lit(sheet, slope(0.45, 0.3), rng),
    "shadow of a hand": lambda sheet, rng: lit(sheet, shadow(rng), rng),
    "faint pencil": lambda sheet, rng: lit(1 - 0.45 * (1 - sheet), slope(0.9, 0.75), rng, noise=0.006),
    "sheet on a table": on_a_table,
    "black margin of a scan": with_margin,
    "ruled paper": lambda sheet, rng: lit(ruled(sheet, grid=False), 0.97, rng, noise=0.004),
    "squared paper": lambda sheet, rng: lit(ruled(sheet, grid=True), slope(0.92, 0.8), rng, noise=0.006),
    "JPEG of a phone": lambda sheet, rng: _jpeg(lit(cv2.GaussianBlur(sheet, (0, 0), 0.8), slope(0.9, 0.65), rng)),
}


def _jpeg(sheet: Sheet) -> Sheet:
    _, coded = cv2.imencode(".jpg", (sheet * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 75])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.float32) / 255


def main(model: str) -> None:
    keep_memory()
    automatic = Translator.from_pretrained(model, device="cpu")
    kept = Translator(automatic.checkpoint, device="cpu", paper="keep")
    sheets = drawings()
    faces = [np.asarray(kept(sheet)) / 255 for sheet in sheets]
    for sheet, face in zip(sheets, faces, strict=True):
        if not np.array_equal(automatic(sheet), np.asarray(face * 255).round()):
            raise SystemExit("a clean drawing was changed")
    near, count = 0, 0
    for name, put in KINDS.items():
        found = []
        for index, (sheet, face) in enumerate(zip(sheets, faces, strict=True)):
            photo = put(sheet.astype(np.float32) / 255, np.random.default_rng(index))
            photo = (photo * 255).round().astype(np.uint8)
            found.append([np.abs(np.asarray(each(photo)) / 255 - face).mean() for each in (automatic, kept)])
        levelled, untouched = np.array(found).T
        near, count = near + int((levelled <= WITHIN).sum()), count + len(sheets)
        print(
            f"{name:24s} {np.mean(levelled <= WITHIN):5.0%} within {WITHIN}, median {np.median(levelled):.4f}, "
            f"largest {levelled.max():.3f};  as it came {np.mean(untouched <= WITHIN):5.0%}, {np.median(untouched):.4f}"
        )
    print(f"{'all':24s} {near / count:5.0%} of {count}")


if __name__ == "__main__":
    main(argv[1] if argv[1:] else "photo-sketch")
