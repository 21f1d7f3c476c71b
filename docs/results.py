"""docs/results.md: ``python docs/results.py WORK [--photographs DATA]``, or ``make results DATA=DATA``.

The bundled models are evaluated on drawn portraits, which are made in WORK, and on photographs: DATA is the dataset folder of
recipes/photographs/dataset.sh, of which the splits val and test are held out. Without DATA, the rows of photographs say which
command makes them. Run again to continue; evaluations are kept in WORK.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from facesynth.evaluation.results import Results
from facesynth.evaluation.tables import described, interval, number

PAGE = Path(__file__).with_name("results.md")
PORTRAITS, SEED = 48, 11
"""Drawn portraits, and their seed, which no model was trained on."""
STYLES = 4
SHOWN = {
    "To the photo": ("l1", "psnr", "ssim", "lpips_alex", "lpips_vgg", "sharpness", "identity_dlib", "person_dlib"),
    "To the condition": ("pixel_accuracy", "miou", "picture_iou", "line_precision", "line_recall", "line_f1"),
    "To all photos": ("kid_vgg", "frechet_vgg", "kid_parser", "frechet_parser", "precision_vgg", "recall_vgg"),
    "Between styles": ("lpips_styles", "colours_skin", "colours_hair", "colours_cloth", "iou_styles", "line_f1_styles"),
    "To training photos": ("nearest_train_dlib", "closer_to_train_dlib"),
}
PUBLISHED = (("psp-seg-to-face", ""), ("psp-sketch-to-face", "xdog"))
"""Models whose weights are downloaded, so that only their commands are told."""


class Run(NamedTuple):
    """One evaluation: a model, a dataset, its splits, and the sketch method for models of sketches."""

    model: str
    data: Path
    split: str
    sketch: str

    @property
    def name(self) -> str:
        return f"{self.model}, {self.sketch}" if self.sketch else self.model

    def command(self, out: Path | str) -> list[str]:
        words = ["evaluate", "--data", str(self.data), "--split", self.split, "--checkpoint", self.model]
        words += ["--sketch", self.sketch] if self.sketch else []
        words += ["--styles", str(STYLES), "--name", self.name, "--out", str(out)]
        if self.model.startswith("photo-") and self.split != "all":
            return words  # the only ones with training photos in the data
        groups = ("fidelity", "identity", "condition", "distribution", "diversity")
        return words + [word for group in groups for word in ("--metric", group)]


def facesynth(*words: object) -> None:
    subprocess.run([sys.executable, "-c", "from facesynth.cli import main; main()", *map(str, words)], check=True)


def portraits(work: Path) -> Path:
    data = work / "portraits"
    facesynth("prep", "sample", work / "raw", "-n", PORTRAITS, "--seed", SEED, "--size", 256)
    facesynth("prep", "masks", work / "raw", "--out", data)
    facesynth("prep", "sketches", data, "--out", data, "--method", "xdog")
    return data


def runs(data: Path, split: str) -> list[Run]:
    pairs = (("photo-seg", ""), ("photo-sketch", "xdog"), ("portrait-seg", ""), ("portrait-sketch", "xdog"))
    return [Run(model, data, split, sketch) for model, sketch in pairs]


def table(results: list[Results]) -> Iterator[str]:
    """A column a model; figures that none has are left out."""
    yield f"| | {' | '.join(each.name for each in results)} | true photos |"
    yield f"|---{'|---' * len(results)}|---|"
    for title, names in SHOWN.items():
        rows = [name for name in names if any(name in each.figures for each in results)]
        if rows:
            yield f"| **{title}** {'| ' * len(results)}| |"
        for name in rows:
            figures = [each.figures.get(name) for each in results]
            cells = [f"{number(each.value)} ({interval(each)})" if each else "" for each in figures]
            own = next(number(each.photos) for each in figures if each)
            yield f"| `{name}` | {' | '.join(cells)} | {own} |"


def section(title: str, about: str, results: list[Results]) -> Iterator[str]:
    yield from (f"## {title}", "", about, "")
    yield from table(results)
    yield ""
    first = dict(described(results[0]))
    rests = ["size", "seed", *(name for name in first if name.startswith("weights of") or name == "parser")]
    digests = ", ".join(f"{each.name} `{each.settings['checkpoint_sha256'][:12]}`" for each in results)
    data = results[0].settings["data_sha256"][:12]
    yield f"Data `{data}`, {results[0].settings['ids']} ids. Checkpoints: {digests}."
    yield "; ".join(f"{name}: {first[name]}" for name in rests) + "."
    skipped = {name: why for each in results for name, why in each.skipped.items() if name not in ("lines", "memory")}
    if skipped:
        yield f"Not measured: {', '.join(skipped)}; `facesynth evaluate` says why."
    yield ""


def unmeasured(data: str, split: str) -> Iterator[str]:
    for model, sketch in PUBLISHED:
        words = Run(model, Path(data), split, sketch).command(f"results/{model}")
        quoted = " ".join(f"'{word}'" if " " in word else word for word in words)
        yield f"| `{model}` | not run | `facesynth {quoted}` |"


def page(work: Path, photographs: Path | None) -> str:
    lines = [
        "# Results of the bundled models",
        "",
        "Every number is by [`facesynth evaluate`](evaluate.md), with its 95 % interval over pictures. `make results DATA=…`",
        "writes this page. A condition does not say colours, so distances to the photo are large for every model that has to",
        'guess them. Faces have the models\' size, 128 px, to which the photos are reduced. "True photos" is what the metric',
        "says of the photos themselves: an IoU cannot be expected to be higher than the parser's on them. For distances",
        "between sets it is the distance between two halves of the photos, which is about what chance does.",
        "",
    ]
    sets = {
        "Drawn portraits": (portraits(work), "all", f"{PORTRAITS} portraits of `facesynth prep sample`, seed {SEED}."),
    }
    if photographs is not None:
        about = "The splits val and test of the photographs of [recipes/photographs](photographs.md): no model has seen them."
        sets["Photographs"] = (photographs, "val,test", about)
    for title, (data, split, about) in sets.items():
        results = []
        for run in runs(data, split):
            out = work / f"{title.split()[0].lower()}-{run.model}"
            facesynth(*run.command(out))
            results.append(Results.read(out))
        lines += section(title, about, results)
    if photographs is None:
        lines += [
            "## Photographs",
            "",
            "Not run: `make results DATA=DATA` with the folder of recipes/photographs/dataset.sh.",
            "",
        ]
    lines += [
        "## Published models",
        "",
        "Their weights are downloaded by name, a gigabyte each, so nothing is told of them here that was not measured.",
        "",
        "| model | | command |",
        "|---|---|---|",
        *unmeasured("DATA", "val,test"),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("work", type=Path)
    asked.add_argument("--photographs", type=Path)
    given = asked.parse_args()
    PAGE.write_text(page(given.work, given.photographs), "utf-8")
