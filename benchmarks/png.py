"""The PNG codec for flat pictures beside OpenCV and Pillow, alone and in its stage: ``python benchmarks/png.py [RAW]``.

Part masks and label maps are what it is for; sketches and photos as PNG show what it leaves to Pillow. Every codec reads and
writes the same pictures, from and to memory. Then the merging of part masks and the whole of ``prep masks``, with the codec
and with OpenCV in its place, for which the checksums of chunks are looked at first, as the stage promises. All in one process
and in turns, which comes first changing; printed are medians of the ratios of processor times, the library's over ours.
Pictures are equal to the pixel, which is asserted. Without RAW, 24 portraits are drawn.
"""

from __future__ import annotations

import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
from masks import merged
from PIL import Image

from facesynth import _png, images
from facesynth.prep.celebamask import index_tree
from facesynth.prep.pipeline.workers import Workers
from facesynth.prep.portraits.sample import make_sample
from facesynth.prep.sketches.presets import resolve
from facesynth.prep.stages import prepare_masks, prepare_sketches

PHOTOS, RUNS = 24, 5
ONE = Workers(1)
Bytes = np.ndarray


# ----------------------------------------------------------------------------------------------------------- the libraries


def by_cv2(data: bytes) -> Bytes:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def by_pillow(data: bytes) -> Bytes:
    return np.asarray(Image.open(io.BytesIO(data)))


def by_ours(data: bytes) -> Bytes:
    decoded = _png.decode(data)
    return by_pillow(data) if decoded is None else decoded.pixels


def to_cv2(pixels: Bytes) -> bytes:
    encoded: bytes = cv2.imencode(".png", pixels)[1].tobytes()
    return encoded


def to_pillow(pixels: Bytes) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def decode_by_cv2(data: bytes, *, one_grey: bool = False) -> _png.Decoded | None:
    """In place of the codec: OpenCV, where it gives what is in the file, after the checksums."""
    if not data.startswith(_png.SIGNATURE) or data[24] != 8 or data[25] not in (0, 2) or b"tRNS" in data[:100]:
        return None
    _png.check(data)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        return None
    if pixels.ndim == 2:
        return _png.Decoded("L", pixels)
    blue, green, red = (pixels[..., channel] for channel in range(3))
    if one_grey and np.array_equal(blue, green) and np.array_equal(blue, red):
        return _png.Decoded("L", np.ascontiguousarray(blue))
    return _png.Decoded("RGB", pixels[..., ::-1])


def encode_by_cv2(pixels: Bytes, *, palette: bytes = b"") -> bytes:
    """In place of the codec, for what has no palette."""
    return _png.encode(pixels, palette=palette) if palette else to_cv2(pixels)


# -------------------------------------------------------------------------------------------------------------- in turns


def compare(ways: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """The median of the ratios of processor times of each way over the first."""
    first, *others = ways
    ratios: dict[str, list[float]] = {name: [] for name in others}
    for run in range(RUNS + 1):
        took = {}
        for name in sorted(ways, reverse=bool(run % 2)):
            started = time.process_time()
            ways[name]()
            took[name] = time.process_time() - started
        if run:  # the first fills the caches
            for name in others:
                ratios[name].append(took[name] / took[first])
    return {name: statistics.median(values) for name, values in ratios.items()}


def show(what: str, ratios: Mapping[str, float]) -> None:
    print(f"{what:42s}" + "".join(f"  {name} {value:5.2f} x" for name, value in ratios.items()), flush=True)


def with_library(work: Callable[[], object]) -> Callable[[], object]:
    """The work, with OpenCV in the place of the codec."""

    def replaced() -> object:
        with mock.patch.object(_png, "decode", decode_by_cv2), mock.patch.object(_png, "encode", encode_by_cv2):
            return work()

    return replaced


def main() -> None:
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        raw, data = Path(sys.argv[1]) if sys.argv[1:] else Path(folder, "raw"), Path(folder, "data")
        if not sys.argv[1:]:
            make_sample(raw, count=PHOTOS)
        prepare_masks(raw, data, workers=ONE)
        prepare_sketches(data, data, drawings=[resolve("xdog")], workers=ONE)
        tree = {photo.id: {name: file.path for name, file in photo.parts.items()} for photo in index_tree(raw)}
        photos = [images.read_photo(path) for path in sorted((data / "photos").iterdir())]
        kinds = {
            "part masks": [path.read_bytes() for parts in tree.values() for path in parts.values()],
            "label maps": [path.read_bytes() for path in sorted((data / "labels").iterdir())],
            "sketches": [path.read_bytes() for path in sorted((data / "sketches" / "xdog").iterdir())],
            "photos": [images.encode_png(images.resize(photo, (256, 256))) for photo in photos],
        }
        readers = {"ours": by_ours, "cv2": by_cv2, "Pillow": by_pillow}
        print("the library's time over ours")
        for kind, files in kinds.items():
            for file in files[:: max(1, len(files) // 20)]:
                assert all(np.array_equal(by_ours(file), read(file)) for read in readers.values())
            ways = {
                name: lambda read=read, files=files: [read(file) for file in files] for name, read in readers.items()
            }
            show(f"reading {len(files)} {kind}", compare(ways))
        maps = [by_cv2(file) for file in kinds["label maps"]]
        writers = {"ours": _png.encode, "cv2": to_cv2, "Pillow": to_pillow}
        ways = {name: lambda write=write: [write(pixels) for pixels in maps] for name, write in writers.items()}
        show(f"writing {len(maps)} label maps", compare(ways))
        sizes = {name: sum(len(write(pixels)) for pixels in maps) / len(maps) for name, write in writers.items()}
        print("kB a label map: " + ", ".join(f"{name} {size / 1e3:.1f}" for name, size in sizes.items()))
        outs = {name: Path(folder, name) for name in ("ours", "cv2")}
        for out in outs.values():
            out.mkdir()
        stages: dict[str, Callable[[Path], object]] = {
            "merging part masks alone": lambda out: merged(tree, out),
            "all of `prep masks`": lambda out: prepare_masks(raw, out, workers=ONE, force=True),
        }
        for stage, work in stages.items():
            own, other = (lambda out=out, work=work: work(out) for out in outs.values())
            show(stage, compare({"ours": own, "cv2": with_library(other)}))
            for one, two in zip(*(sorted(out.rglob("*.png")) for out in outs.values()), strict=True):
                assert np.array_equal(cv2.imread(str(one), -1), cv2.imread(str(two), -1)), f"{one.name} differs"


if __name__ == "__main__":
    main()
