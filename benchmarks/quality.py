"""How good a model's faces are: ``python benchmarks/quality.py CHECKPOINT DATA [--split val] [--count 256] [--out EVAL]``.

This is `facesynth evaluate` (see docs/evaluate.md) and two references, for a condition does not fix colours: the face of the
average latent for every condition, and every class of the true label map painted with its mean colour in training photos. All
three are evaluated on the first COUNT pairs of a split of the dataset folder DATA, at the model's output size, and compared.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facesynth import images
from facesynth.evaluation.compare import compare
from facesynth.evaluation.evaluate import Settings, evaluate
from facesynth.evaluation.measures import Weights
from facesynth.evaluation.pairs import Truth
from facesynth.manifest import Dataset, read_dataset
from facesynth.model.data.columns import condition_column
from facesynth.model.data.tensors import to_pictures
from facesynth.model.inference.translator import Translator

if TYPE_CHECKING:
    from numpy.typing import NDArray


def class_colours(truth: Truth, size: int) -> NDArray[np.float64]:
    """The mean colour of every class in photos, (n_classes, 3)."""
    n_classes = len(truth.dataset.scheme)
    sums, counts = np.zeros((n_classes, 3)), np.zeros(n_classes)
    for name in truth.ids:
        photo, ids = truth.photos([name], size)[0], truth.conditions([name], "labels", size)[0].ravel()
        counts += np.bincount(ids, minlength=n_classes)
        for band in range(3):
            sums[:, band] += np.bincount(ids, photo[..., band].ravel(), n_classes)
    return sums / np.maximum(counts, 1)[:, None]


def references(translator: Translator, dataset: Dataset, given: argparse.Namespace, folder: Path) -> dict[str, Path]:
    """Folders of faces that any model should be better than."""
    size = translator.config.output_size
    column = condition_column(dataset, translator.config.condition, given.sketch)
    sketch = column.removeprefix("sketch_") if translator.config.condition == "sketch" else None
    truth = Truth(dataset, given.split, sketch=sketch)
    average = to_pictures(translator.model.generator(translator.model.latent_avg[None]))[0]
    colours = class_colours(Truth(dataset, "train"), size)
    folders = {name: folder / name.replace(" ", "-") for name in ("average latent", "classes painted")}
    for path in folders.values():
        path.mkdir(parents=True)
    for name in truth.ids[: given.count]:
        images.write_png(folders["average latent"] / f"{name}.png", average)
        painted = colours[truth.conditions([name], "labels", size)[0]].round().astype(np.uint8)
        images.write_png(folders["classes painted"] / f"{name}.png", painted)
    return folders


def main(given: argparse.Namespace) -> None:
    dataset = read_dataset(given.data)
    translator = Translator.from_pretrained(given.checkpoint, device="cpu")
    common = {
        "data": given.data,
        "split": given.split,
        "count": given.count,
        "device": "cpu",
        "metrics": given.metric or ("fidelity", "condition", "diversity"),
        "weights": Weights(parser=given.parser),
    }
    with tempfile.TemporaryDirectory() as folder:
        made = references(translator, dataset, given, Path(folder))
        sketch = given.sketch or (None if translator.config.condition != "sketch" else "xdog")
        for name, path in made.items():
            evaluate(Settings(**common, faces=path, sketch=sketch, name=name), given.out / path.name)
        evaluate(Settings(**common, checkpoint=given.checkpoint, sketch=given.sketch), given.out / "model")
        print(compare([given.out / "model", *(given.out / path.name for path in made.values())], given.out))


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("checkpoint")
    asked.add_argument("data", type=Path)
    asked.add_argument("--split", default="val")
    asked.add_argument("--count", type=int, default=256)
    asked.add_argument("--sketch")
    asked.add_argument("--metric", action="append")
    asked.add_argument("--parser", default="portrait-parser", help="A parser's checkpoint.")
    asked.add_argument("--out", type=Path, default=Path("quality"))
    main(asked.parse_args())
