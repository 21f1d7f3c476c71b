"""How well faces have the colours that they are asked for: ``python recipes/photographs/colours.py DATA SKETCH.safetensors``.

DATA is the folder of ``dataset.sh``, SKETCH a model of sketches with ``style_colours``. Of twelve photos that it has not seen,
the XDoG sketches become faces in four random styles with random colours. Printed by region: the median distance of the face's
mean colour from the one asked for, and beside it that of any two colours asked for; CIE 1976 units.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from facesynth import images
from facesynth.labels import CELEBAMASK_HQ
from facesynth.manifest import read_dataset
from facesynth.model.data.style_colours import LEAST_AREA, colour_of, to_lab, to_rgb
from facesynth.model.inference.translator import Translator

PEOPLE, STYLES = 12, 4


def main(root: Path, checkpoint: str) -> None:
    dataset = read_dataset(root)
    rows = dataset.with_columns("labels", "sketch_xdog")
    rows = rows[rows["split"] != "train"].head(PEOPLE)
    translator = Translator.from_pretrained(checkpoint, device="cpu")
    size, regions = translator.config.input_size, translator.config.style_colours
    rng = np.random.default_rng(0)
    missed: dict[str, list[float]] = {region: [] for region in regions}
    asked: dict[str, list[np.ndarray]] = {region: [] for region in regions}
    for map_path, sketch_path in zip(rows["labels"], rows["sketch_xdog"], strict=True):
        labels = images.resize(images.read_labels(root / map_path, CELEBAMASK_HQ), (size, size), labels=True)
        sketch = images.resize(images.read_sketch(root / sketch_path), (size, size))
        for number in range(STYLES):
            rgb = {
                region: to_rgb(colour_of(region, rng.standard_normal(3).astype(np.float32))[None, None])
                for region in regions
            }
            colours = {region: "#{:02x}{:02x}{:02x}".format(*rgb[region][0, 0]) for region in regions}
            face = to_lab(translator.translate(sketch[None], colours=colours, seed=number)[0, 0])
            for region in regions:
                mask = labels == CELEBAMASK_HQ.classes.index(region)
                if mask.mean() >= LEAST_AREA:
                    wanted = to_lab(rgb[region])[0, 0]
                    asked[region].append(wanted)
                    missed[region].append(float(np.linalg.norm(face[mask].mean(0) - wanted)))
    for region in regions:
        apart = np.median([np.linalg.norm(a - b) for a in asked[region] for b in asked[region] if a is not b])
        print(f"{region:12s} off by {np.median(missed[region]):5.1f}, any two {apart:5.1f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
