"""Portraits to fit a generator to: ``python recipes/portraits/drawn.py OUT COUNT``.

OUT gets, for portraits 0 .. COUNT - 1 of seed 1: ``photos.npy``, (N, 128, 128, 3) uint8; ``labels.npy``, (N, 128, 128) uint8
class ids; ``codes.npy``, (N, 96) float32: what was drawn by lot about each person, as a z. The sample that people draw has
seed 0, so that none of its portraits is among these.

A z has two halves. SHAPE columns tell what outlines depend on: pose, head, features, hair style, accessories. STYLE columns
tell the rest: colours, light, age, make-up, beard, the kind of background. A number becomes a normal one by its rank among all
portraits, ties by lot; of a name, each value has a column and the value's is the largest. Each half is then whitened, so that
a z is nearly standard normal, and a standard normal z nearly is a person. Columns left over are normal numbers by lot.
"""

from __future__ import annotations

import dataclasses
import sys
from multiprocessing import Pool
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from facesynth.labels import CELEBAMASK_HQ
from facesynth.prep.portraits.draw import draw_portrait
from facesynth.prep.portraits.palette import draw_palette
from facesynth.prep.portraits.shapes import build_figure

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED, SIZE = 1, 128
SHAPE, STYLE = 60, 36
"""Columns of a z's halves."""
_STYLED = {"light", "tone", "undertone", "blush", "freckles", "beard", "makeup", "age", "eye_colour", "glasses_tint"}
_NAMED = {"hair_style": True, "neckline": True, "background": False}
"""Names that get a column a value, and whether they are of the shape."""
_PAINTED = {"hair_colour", "grey"}
"""What the palette tells."""


def drawn(index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], dict[str, float | str], dict[str, float | str]]:
    """Photo, label map, and what tells shape and style of one portrait."""
    portrait = draw_portrait(SEED, index, size=SIZE, mask_size=SIZE)
    labels = np.zeros((SIZE, SIZE), np.uint8)
    for name, mask in portrait.parts.items():
        labels[mask] = CELEBAMASK_HQ.classes.index(name)
    traits = build_figure(np.random.default_rng([SEED, index])).traits
    shape, style = {}, {}
    for name, value in dataclasses.asdict(traits).items():
        if name == "pose":
            shape |= {f"pose_{key}": each for key, each in value.items() if key != "centre"}
            shape |= {"pose_x": value["centre"][0], "pose_y": value["centre"][1]}
        elif name == "hair_in_front":
            shape |= {"front_left": float(value[0]), "front_right": float(value[1])}
        elif name == "light":
            style |= {"light_x": value[0], "light_y": value[1]}
        elif name not in _PAINTED:
            half = style if name in _STYLED or _NAMED.get(name) is False else shape
            half[name] = value if name in _NAMED else _number(name, value)
    palette = dataclasses.asdict(draw_palette(traits, np.random.default_rng([SEED, index, 1])))
    for name in ("hair", "cloth", "hat", "frame", "backdrop"):
        style |= {f"{name}_{band}": float(value) for band, value in zip("rgb", palette[name], strict=True)}
    return portrait.photo, labels, shape, style


def _number(name: str, value: object) -> float:
    kinds = {
        "glasses": ("", "round", "box", "cat", "wire"),
        "hat": ("", "beanie", "brim", "cap"),
        "earring": ("", "stud", "hoop", "drop"),
        "necklace": ("", "chain", "pendant", "beads"),
    }
    return float(kinds[name].index(str(value)) if name in kinds else value)  # type: ignore[arg-type]


def normal(column: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Numbers by rank, ties by lot, as standard normal ones."""
    order = np.lexsort([rng.random(len(column)), column])
    ranks = np.empty(len(column))
    ranks[order] = np.arange(len(column))
    return ndtri((ranks + 0.5) / len(column))


def half_of_codes(told: list[dict[str, float | str]], width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """What was told about everybody as (N, width) whitened columns."""
    columns = []
    for name in told[0]:
        values = np.array([each[name] for each in told])
        if name in _NAMED:
            kinds = sorted(set(values))
            lots = rng.standard_normal((len(told), len(kinds)))
            own = np.array([kinds.index(value) for value in values])
            rows = np.arange(len(told))
            largest = lots.argmax(1)
            lots[rows, own], lots[rows, largest] = lots[rows, largest], lots[rows, own]
            columns += list(lots.T)
        else:
            columns.append(normal(values.astype(float), rng))
    if len(columns) > width:
        raise SystemExit(f"{len(columns)} columns, more than {width}")
    table = np.stack(columns, 1)
    table -= table.mean(0)
    values, vectors = np.linalg.eigh(table.T @ table / len(table))
    table = table @ (vectors / np.sqrt(np.maximum(values, 0.05))) @ vectors.T
    rest = rng.standard_normal((len(told), width - table.shape[1]))
    return np.concatenate([table, rest], 1).astype(np.float32)


def main(out: Path, count: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    photos = np.lib.format.open_memmap(out / "photos.npy", "w+", np.uint8, (count, SIZE, SIZE, 3))
    labels = np.lib.format.open_memmap(out / "labels.npy", "w+", np.uint8, (count, SIZE, SIZE))
    shapes, styles = [], []
    with Pool() as pool:
        for index, (photo, label_map, shape, style) in enumerate(pool.imap(drawn, range(count), chunksize=32)):
            photos[index], labels[index] = photo, label_map
            shapes.append(shape)
            styles.append(style)
    rng = np.random.default_rng(SEED)
    codes = np.concatenate([half_of_codes(shapes, SHAPE, rng), half_of_codes(styles, STYLE, rng)], 1)
    np.save(out / "codes.npy", codes)
    print(f"{count} portraits in {out}; columns' spread {codes.std(0).min():.2f} to {codes.std(0).max():.2f}")


if __name__ == "__main__":
    import cv2

    cv2.setNumThreads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]))
