"""The sanity check of docs/evaluate.md: ``python docs/sanity.py WORK``, or ``make sanity``.

Drawn portraits are evaluated as faces of their own label maps and drawings: as they are, blurred, given to each other's ids,
mirrored, and replaced by other portraits. Writes the table in docs/evaluate.md and docs/sanity.png.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import matplotlib
import numpy as np

from facesynth import images
from facesynth.evaluation.results import Results
from facesynth.evaluation.tables import number
from facesynth.manifest import read_dataset

matplotlib.use("Agg")

DOCS = Path(__file__).parent
COUNT, SEED, SIZE, SIGMA = 40, 12, 128, 2
SHOWN = (
    "l1",
    "psnr",
    "ssim",
    "lpips_alex",
    "lpips_vgg",
    "sharpness",
    "identity_dlib",
    "person_dlib",
    "miou",
    "pixel_accuracy",
    "line_f1",
    "kid_vgg",
    "frechet_vgg",
    "kid_parser",
    "precision_vgg",
    "recall_vgg",
)
Picture = np.ndarray
VARIANTS: dict[str, Callable[[list[Picture], int], Picture]] = {
    "identical": lambda photos, index: photos[index],
    "blurred": lambda photos, index: cv2.GaussianBlur(photos[index], (0, 0), SIGMA),
    "shuffled": lambda photos, index: photos[(index + 1) % COUNT],
    "mirrored": lambda photos, index: np.ascontiguousarray(photos[index][:, ::-1]),
    "other people": lambda photos, index: photos[COUNT + index],
}


def facesynth(*words: object) -> None:
    subprocess.run([sys.executable, "-c", "from facesynth.cli import main; main()", *map(str, words)], check=True)


def evaluated(work: Path) -> dict[str, Results]:
    raw, data = work / "raw", work / "data"
    facesynth("prep", "sample", raw, "-n", 2 * COUNT, "--seed", SEED, "--size", 256)
    facesynth("prep", "masks", raw, "--out", data)
    facesynth("prep", "sketches", data, "--out", data, "--method", "xdog")
    rows = read_dataset(data).with_columns("photo", "labels")
    photos = [images.resize(images.read_photo(data / path), (SIZE, SIZE)) for path in rows["photo"]]
    found = {}
    for name, made in VARIANTS.items():
        folder = work / name.replace(" ", "-")
        folder.mkdir(exist_ok=True)
        for index, identifier in enumerate(rows["id"][:COUNT]):
            if not (folder / f"{identifier}.png").exists():
                images.write_png(folder / f"{identifier}.png", made(photos, index))
        out = work / f"evaluated-{folder.name}"
        groups = [
            word for group in ("fidelity", "identity", "condition", "distribution") for word in ("--metric", group)
        ]
        options = ["--split", "all", "--count", COUNT, "--sketch", "xdog", "--parser", "portrait-parser", *groups]
        facesynth("evaluate", "--data", data, "--faces", folder, *options, "--name", name, "--out", out)
        found[name] = Results.read(out)
    return found


def table(found: dict[str, Results]) -> str:
    lines = [f"| | {' | '.join(found)} |", f"|---{'|---' * len(found)}|"]
    for name in SHOWN:
        cells = [number(each.figures[name].value) if name in each.figures else "" for each in found.values()]
        if any(cells):
            lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(found: dict[str, Results], path: Path) -> None:
    from matplotlib import pyplot

    names = [name for name in SHOWN if all(name in each.figures for each in found.values())]
    figure, axes = pyplot.subplots(4, 4, figsize=(10, 7.5), sharey=True)
    for axis, name in zip(axes.flat, names, strict=False):
        values = [each.figures[name] for each in found.values()]
        highest = max(each.value for each in values if np.isfinite(each.value))
        shown = [each.value if np.isfinite(each.value) else 1.2 * highest for each in values]
        spread = [
            [
                max(0.0, value - each.low) if np.isfinite(each.low) else 0
                for value, each in zip(shown, values, strict=True)
            ],
            [
                max(0.0, each.high - value) if np.isfinite(each.high) else 0
                for value, each in zip(shown, values, strict=True)
            ],
        ]
        axis.barh(
            list(found), shown, xerr=spread, color=["#2f5d8a", *["#b9c9d9"] * (len(found) - 1)], error_kw={"lw": 0.8}
        )
        axis.set_title({"low": f"{name} ↓", "high": f"{name} ↑", "": name}[values[0].better], fontsize=10)
        axis.tick_params(labelsize=8)
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    axes[0, 0].invert_yaxis()
    for side in ("top", "right"):
        for axis in axes.flat:
            axis.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def write(found: dict[str, Results]) -> None:
    page = DOCS / "evaluate.md"
    before, rest = page.read_text("utf-8").split("<!-- sanity -->\n")
    _, after = rest.split("<!-- end -->\n")
    page.write_text(f"{before}<!-- sanity -->\n{table(found)}\n<!-- end -->\n{after}", "utf-8")
    draw(found, DOCS / "sanity.png")


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("work", type=Path)
    given = asked.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    write(evaluated(given.work))
