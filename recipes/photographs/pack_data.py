"""A dataset folder as one small file, for a machine without it: ``python recipes/photographs/pack_data.py DATA OUT.npz``.

Photos are JPEG of quality 95, sketches have 16 greys, label maps are as they are; all at one size.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from facesynth import images
from facesynth.manifest import Dataset, read_dataset
from facesynth.model.data.pairs import read_condition
from facesynth.model.data.tensors import BACKGROUND, to_square

JPEG_QUALITY = 95
GREYS = 17
"""From one of the 16 greys of a sketch to the next."""


def pack(dataset: Dataset, columns: list[str], size: int) -> dict[str, NDArray[np.generic]]:
    """Photos, label maps, sketches and splits of all ids that have everything.

    Returns
    -------
    dict
        ``photos``, the JPEG files one after another, and ``ends`` of each; ``labels`` (N, S, S) uint8; ``sketches``
        (N, columns, S, S / 2) uint8, two pixels a byte; ``split``, ``ids`` and ``columns``.
    """
    rows = dataset.with_columns("labels", "photo", *columns)
    photos: list[bytes] = []
    labels, sketches = [], []
    for row in rows.to_dict("records"):
        square = to_square(images.read_photo(dataset.root / row["photo"]), BACKGROUND["photo"])
        photo = images.resize(square, (size, size))
        photos.append(
            cv2.imencode(
                ".jpg",
                photo[..., ::-1],
                [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111],
            )[1].tobytes()
        )
        labels.append(read_condition(dataset.root / row["labels"], "labels", dataset.scheme, size))
        drawn = np.stack([read_condition(dataset.root / row[name], "sketch", dataset.scheme, size) for name in columns])
        greys = ((drawn.astype(np.uint16) + GREYS // 2) // GREYS).astype(np.uint8)
        sketches.append(greys[..., ::2] << 4 | greys[..., 1::2])
    return {
        "photos": np.frombuffer(b"".join(photos), np.uint8),
        "ends": np.cumsum([len(photo) for photo in photos]),
        "labels": np.stack(labels),
        "sketches": np.stack(sketches),
        "split": rows["split"].to_numpy(str),
        "ids": rows["id"].to_numpy(str),
        "columns": np.array(columns),
    }


def unpack(path: Path) -> dict[str, NDArray[np.generic]]:
    """What :func:`pack` packed: ``photos`` (N, S, S, 3), ``labels`` (N, S, S), ``sketches`` (N, columns, S, S), and names."""
    given = np.load(path, allow_pickle=False)
    found = {name: given[name] for name in ("labels", "split", "ids", "columns")}
    starts = np.concatenate([[0], given["ends"][:-1]])
    files = given["photos"]
    decoded = [
        cv2.imdecode(files[start:end], cv2.IMREAD_COLOR)[..., ::-1]
        for start, end in zip(starts, given["ends"], strict=True)
    ]
    pairs = given["sketches"]
    sketches = np.stack([pairs >> 4, pairs & 15], axis=-1).reshape(*pairs.shape[:-1], -1) * np.uint8(GREYS)
    return {**found, "photos": np.ascontiguousarray(np.stack(decoded)), "sketches": sketches}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--sketches", help="sketch methods, joined by commas; all if not given")
    given = parser.parse_args()
    dataset = read_dataset(given.data)
    names = [f"sketch_{name}" for name in given.sketches.split(",")] if given.sketches else dataset.columns_of("sketch")
    packed = pack(dataset, list(names), given.size)
    np.savez_compressed(given.out, **packed)
    print(f"{given.out}: {len(packed['ids'])} photos, {len(names)} kinds of sketch, {given.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
