"""XDoG drawings of 512 px from JPEGs of 1024 px, against the same in plain scikit-image and scipy.

``python benchmarks/sketches.py`` makes 40 JPEGs once, in the temporary folder. Ours is what preparing does to a photo: read,
luma, made smaller by areas, drawn, written as a PNG; in one process and in two, each with one thread. The references do
the same in float64 on one core: one averages areas as ours does, and ours must agree with it to 2e-3 at worst and 5e-5 on
average; the other makes photos smaller by scikit-image's own ``resize``. Decoding and encoding alone say how fast any
filter could be. Everything is done five times, in turns; medians, the range, and the ratio to each reference.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import joblib
import numpy as np
import skimage.io
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.transform import downscale_local_mean, resize

from facesynth import images
from facesynth.prep.portraits.draw import draw_portrait
from facesynth.prep.sketches.drawing import draw, read_grey
from facesynth.prep.sketches.methods import xdog
from facesynth.prep.sketches.presets import resolve

COUNT = 40
RUNS = 5
XDOG = resolve("xdog")


def make_photos() -> list[Path]:
    """The embedded portraits as JPEGs of 1024 px, of the archive's kind: halved colour, and about its quality."""
    folder = Path(tempfile.gettempdir(), "facesynth-benchmark-1024-420")
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{index:05d}.jpg" for index in range(COUNT)]
    for index, path in enumerate(paths):
        if not path.exists():
            Image.fromarray(draw_portrait(0, index, size=1024).photo).save(path, quality=80)
    return paths


def areas(grey: np.ndarray) -> np.ndarray:
    return downscale_local_mean(grey, (2, 2))


def anti_aliased(grey: np.ndarray) -> np.ndarray:
    return resize(grey, (512, 512), anti_aliasing=True)


def plain_xdog(photo: Path, smaller: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The definition, in float64."""
    grey = smaller(skimage.io.imread(photo) @ np.array([0.299, 0.587, 0.114]) / 255)
    fine, coarse = (gaussian_filter(grey, sigma, mode="mirror") for sigma in (1.4, 1.4 * 1.6))
    sharpened = 41 * fine - 40 * coarse
    return np.where(sharpened >= 0.15, 1, 1 + np.tanh(2 * (sharpened - 0.15)))


def plain(photo: Path, out: Path, smaller: Callable[[np.ndarray], np.ndarray]) -> None:
    drawing = (plain_xdog(photo, smaller) * 255).round().astype(np.uint8)
    skimage.io.imsave(out / f"{photo.stem}.png", drawing, check_contrast=False)


def ours(photo: Path, out: Path) -> None:
    images.write_png(out / f"{photo.stem}.png", draw(read_grey(photo, size=512), XDOG))


def ours_of(photos: list[Path], out: Path) -> None:
    """Ours in a worker process."""
    cv2.setNumThreads(1)
    for photo in photos:
        ours(photo, out)


def bound(photo: Path, out: Path, drawn: Path) -> None:
    """Decode a photo, and encode and write a drawing that is there already."""
    images.read_photo(photo)
    images.write_png(out / f"{photo.stem}.png", np.load(drawn / f"{photo.stem}.npy"))


def check(photos: list[Path]) -> None:
    """Both agree, before anything is rounded."""
    worst, mean = 0.0, 0.0
    for photo in photos:
        difference = np.abs(xdog(read_grey(photo, size=512)) - plain_xdog(photo, areas))
        worst, mean = max(worst, float(difference.max())), mean + float(difference.mean()) / len(photos)
    print(f"the drawings differ by {worst:.1e} at worst, {mean:.1e} on average")
    assert worst <= 2e-3
    assert mean <= 5e-5


def main() -> None:
    cv2.setNumThreads(1)
    photos = make_photos()
    check(photos)
    size = sum(photo.stat().st_size for photo in photos) / 1e6
    with (
        tempfile.TemporaryDirectory() as scratch,
        joblib.Parallel(2, batch_size=1) as workers,
    ):
        out = Path(scratch)
        for photo in photos:
            np.save(out / f"{photo.stem}.npy", draw(read_grey(photo, size=512), XDOG))
        halves = [photos[0::2], photos[1::2]]
        ways: dict[str, Callable[[], object]] = {
            "reference, areas": lambda: [plain(photo, out, areas) for photo in photos],
            "reference, resize": lambda: [plain(photo, out, anti_aliased) for photo in photos],
            "ours, one process": lambda: ours_of(photos, out),
            "ours, two processes": lambda: workers(joblib.delayed(ours_of)(half, out) for half in halves),
            "decoding and encoding alone": lambda: [bound(photo, out, out) for photo in photos],
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for run in range(RUNS + 1):
            for name, way in ways.items():
                started = time.perf_counter()
                way()
                if run:  # the first fills the caches and starts the workers
                    times[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        spread = f"({COUNT / max(times[name]):.0f} to {COUNT / min(times[name]):.0f})"
        ratios = ", ".join(f"{medians[f'reference, {kind}'] / median:4.1f} x" for kind in ("areas", "resize"))
        print(f"{name:28s} {COUNT / median:6.1f} {spread:12s} pictures/s, {size / median:5.1f} MB/s of JPEG, {ratios}")


if __name__ == "__main__":
    main()
