"""A dataset folder as arrays, for training on another machine: ``python recipes/photographs/arrays.py DATA ALIGNED OUT``.

ALIGNED is a folder of ``facesynth prep align``, for its landmarks. ``OUT/photos128.npz`` contains, sorted by name: ``photos``
(N, 128, 128, 3) uint8 RGB, ``labels`` (N, 128, 128) uint8 ids of celebamask-hq, ``sketches`` (N, K, 128, 128) uint8, their K
``kinds``, ``names``, ``split``, and ``landmarks`` (N, 478, 2) float32, x and y in pixels of these photos. ``OUT/photos256.npz``
contains the same ``names`` and the photos at full size: ``jpegs``, the concatenated JPEG files, and ``ends``, their ends.
``numpy.load`` reads both without pickles. Photos without one of the columns are reported and skipped.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from facesynth import images
from facesynth.files import replacing
from facesynth.manifest import read_dataset
from facesynth.prep.align import read_landmarks

SIZE, QUALITY = 128, 92


def shrunk(picture: np.ndarray) -> np.ndarray:
    """A picture reduced to SIZE pixels by averaging."""
    return cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def main(data: Path, aligned: Path, out: Path) -> None:
    """Write both files."""
    dataset = read_dataset(data)
    rows, meshes = dataset.rows, read_landmarks(aligned)
    kinds = [name for name in rows.columns if name.startswith("sketch_") and not name.endswith("_sha256")]
    whole = (rows[["photo", "labels", *kinds]] != "").all(axis=1)
    for name in rows.index[~whole]:
        print(f"{name}: left out, not all of labels and sketches are there")
    rows = rows[whole]
    photos, labels, sketches, landmarks, jpegs = [], [], [], [], []
    for name, row in rows.iterrows():
        photo = images.read_photo(data / row["photo"])
        photos.append(shrunk(photo))
        ids = images.read_labels(data / row["labels"], dataset.scheme)
        labels.append(images.resize(ids, (SIZE, SIZE), labels=True))
        sketches.append(np.stack([shrunk(images.read_sketch(data / row[kind])) for kind in kinds]))
        landmarks.append((meshes[str(name)] + 0.5) * SIZE / len(photo) - 0.5)
        jpegs.append(np.frombuffer(images.encode_jpeg(photo, quality=QUALITY), np.uint8))
    names = np.array(list(rows.index), str)
    out.mkdir(parents=True, exist_ok=True)
    small = {
        "photos": np.stack(photos),
        "labels": np.stack(labels),
        "sketches": np.stack(sketches),
        "kinds": np.array([kind.removeprefix("sketch_") for kind in kinds], str),
        "names": names,
        "split": np.array(list(rows["split"]), str),
        "landmarks": np.stack(landmarks).astype(np.float32),
    }
    large = {"names": names, "jpegs": np.concatenate(jpegs), "ends": np.cumsum([len(each) for each in jpegs])}
    for file, arrays in (("photos128.npz", small), ("photos256.npz", large)):
        with replacing(out / file) as beside, beside.open("wb") as stream:
            np.savez_compressed(stream, **arrays)
        print(f"{out / file}: {len(names)} photos, {(out / file).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
