"""A dataset as one small file, for a machine without it: ``python recipes/photographs/pack_data.py DATA OUT.npz``.

DATA is a dataset folder, or an ``.npz`` with ``photos`` (N, S, S, 3), ``labels`` (N, S, S) and ``sketches`` (N, kinds, S, S),
uint8, and ``kinds``, ``split`` and ``names``. Photos become JPEG, sketches have 16 greys, label maps are as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facesynth import images
from facesynth.manifest import Dataset, read_dataset
from facesynth.model.data.conditions import read_condition
from facesynth.model.data.tensors import BACKGROUND, to_square

GREYS = 17
"""From one of the 16 greys of a sketch to the next."""
Arrays = Mapping[str, NDArray[Any]]


def arrays_of(dataset: Dataset, size: int) -> Arrays:
    """The pictures of a dataset folder, of all ids that have everything, by the names that the module's first lines give."""
    columns = dataset.columns_of("sketch")
    rows = dataset.with_columns("labels", "photo", *columns)
    photos, labels, sketches = [], [], []
    for row in rows.to_dict("records"):
        square = to_square(images.read_photo(dataset.root / row["photo"]), BACKGROUND["photo"])
        photos.append(images.resize(square, (size, size)))
        labels.append(read_condition(dataset.root / row["labels"], "labels", dataset.scheme, size, strict=True).pixels)
        drawn = [
            read_condition(dataset.root / row[name], "sketch", dataset.scheme, size, strict=True).pixels
            for name in columns
        ]
        sketches.append(np.stack(drawn))
    return {
        "photos": np.stack(photos),
        "labels": np.stack(labels),
        "sketches": np.stack(sketches),
        "kinds": np.array([name.removeprefix("sketch_") for name in columns]),
        "split": rows["split"].to_numpy(str),
        "names": rows["id"].to_numpy(str),
    }


def pack(given: Arrays, kinds: Sequence[str], quality: int) -> dict[str, NDArray[Any]]:
    """The same, smaller.

    Returns
    -------
    dict
        ``photos``, the JPEG files one after another, and ``ends`` of each; ``labels`` (N, S, S) uint8; ``sketches``
        (N, kinds, S, S / 2) uint8, two pixels a byte; ``split``, ``names`` and ``kinds``.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    photos = [cv2.imencode(".jpg", photo[..., ::-1], options)[1].tobytes() for photo in given["photos"]]
    drawn = given["sketches"][:, [list(given["kinds"]).index(kind) for kind in kinds]]
    greys = ((drawn.astype(np.uint16) + GREYS // 2) // GREYS).astype(np.uint8)
    return {
        "photos": np.frombuffer(b"".join(photos), np.uint8),
        "ends": np.cumsum([len(photo) for photo in photos]),
        "labels": given["labels"],
        "sketches": np.moveaxis(greys[..., ::2] << 4 | greys[..., 1::2], 1, 0),
        "split": given["split"],
        "names": given["names"],
        "kinds": np.array(kinds),
    }


def unpack(path: Path) -> dict[str, NDArray[Any]]:
    """What :func:`pack` packed, as it came but for the quality."""
    given = np.load(path, allow_pickle=False)
    found = {name: given[name] for name in ("labels", "split", "names", "kinds")}
    starts = np.concatenate([[0], given["ends"][:-1]])
    files = given["photos"]
    decoded = [
        cv2.imdecode(files[start:end], cv2.IMREAD_COLOR)[..., ::-1]
        for start, end in zip(starts, given["ends"], strict=True)
    ]
    pairs = np.moveaxis(given["sketches"], 0, 1)
    sketches = np.stack([pairs >> 4, pairs & 15], axis=-1).reshape(*pairs.shape[:-1], -1) * np.uint8(GREYS)
    return {**found, "photos": np.ascontiguousarray(np.stack(decoded)), "sketches": sketches}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=128, help="of what comes from a folder, pixels")
    parser.add_argument("--sketches", help="the kinds, joined by commas; all if not given")
    parser.add_argument("--quality", type=int, default=95, help="of the photos' JPEG")
    options = parser.parse_args()
    given = np.load(options.data) if options.data.is_file() else arrays_of(read_dataset(options.data), options.size)
    kinds = options.sketches.split(",") if options.sketches else [str(kind) for kind in given["kinds"]]
    packed = pack(given, kinds, options.quality)
    np.savez_compressed(options.out, **packed)
    size = options.out.stat().st_size
    print(f"{options.out}: {len(packed['names'])} photos, sketches {', '.join(kinds)}, {size:,} bytes")


if __name__ == "__main__":
    main()
