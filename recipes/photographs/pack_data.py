"""A dataset in one small file, for training on another machine: ``python recipes/photographs/pack_data.py DATA OUT.npz``.

DATA is a dataset folder, or an ``.npz`` file with ``photos`` (N, S, S, 3), ``labels`` (N, S, S) and ``sketches`` (N, kinds, S,
S), uint8, and ``kinds``, ``split`` and ``names``. Photos become JPEG, sketches get 16 grey levels, label maps are unchanged.
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
"""Difference between adjacent grey levels of a sketch."""
Arrays = Mapping[str, NDArray[Any]]


def arrays_of(dataset: Dataset, size: int) -> Arrays:
    """The arrays of a dataset folder's complete ids, with the names in the module's docstring."""
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


def pack(arrays: Arrays, kinds: Sequence[str], quality: int) -> dict[str, NDArray[Any]]:
    """Compress the arrays.

    Returns
    -------
    dict
        ``photos``, the concatenated JPEG files, and ``ends``, their end offsets; ``labels`` (N, S, S) uint8; ``sketches``
        (N, kinds, S, S / 2) uint8, two pixels per byte; ``split``, ``names`` and ``kinds``.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    photos = [cv2.imencode(".jpg", photo[..., ::-1], options)[1].tobytes() for photo in arrays["photos"]]
    drawn = arrays["sketches"][:, [list(arrays["kinds"]).index(kind) for kind in kinds]]
    greys = ((drawn.astype(np.uint16) + GREYS // 2) // GREYS).astype(np.uint8)
    return {
        "photos": np.frombuffer(b"".join(photos), np.uint8),
        "ends": np.cumsum([len(photo) for photo in photos]),
        "labels": arrays["labels"],
        "sketches": np.moveaxis(greys[..., ::2] << 4 | greys[..., 1::2], 1, 0),
        "split": arrays["split"],
        "names": arrays["names"],
        "kinds": np.array(kinds),
    }


def unpack(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays that :func:`pack` compressed, at its quality."""
    packed = np.load(path, allow_pickle=False)
    found = {name: packed[name] for name in ("labels", "split", "names", "kinds")}
    starts = np.concatenate([[0], packed["ends"][:-1]])
    files = packed["photos"]
    decoded = [
        cv2.imdecode(files[start:end], cv2.IMREAD_COLOR)[..., ::-1]
        for start, end in zip(starts, packed["ends"], strict=True)
    ]
    pairs = np.moveaxis(packed["sketches"], 0, 1)
    sketches = np.stack([pairs >> 4, pairs & 15], axis=-1).reshape(*pairs.shape[:-1], -1) * np.uint8(GREYS)
    return {**found, "photos": np.ascontiguousarray(np.stack(decoded)), "sketches": sketches}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--size", type=int, default=128, help="height and width of pictures from a dataset folder, pixels"
    )
    parser.add_argument("--sketches", help="sketch methods, separated by commas; all by default")
    parser.add_argument("--quality", type=int, default=95, help="JPEG quality of the photos")
    options = parser.parse_args()
    arrays = np.load(options.data) if options.data.is_file() else arrays_of(read_dataset(options.data), options.size)
    kinds = options.sketches.split(",") if options.sketches else [str(kind) for kind in arrays["kinds"]]
    packed = pack(arrays, kinds, options.quality)
    np.savez_compressed(options.out, **packed)
    size = options.out.stat().st_size
    print(f"{options.out}: {len(packed['names'])} photos, sketches {', '.join(kinds)}, {size:,} bytes")


if __name__ == "__main__":
    main()
