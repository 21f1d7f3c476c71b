"""Part masks to label maps, beside a plain loop with OpenCV: ``python benchmarks/masks.py [RAW]``.

Without RAW, a raw tree of 200 procedural portraits is drawn into a temporary folder. The plain loop does what
CelebAMask-HQ's own script does: read each part mask, paint its id where it is bright, write the label map. ``prep masks``
does more: it looks for what is odd in the masks, checks and copies the photos, and writes digests, manifest and report. All
go over the same files, in turns, five times; medians, and the ratio. The label maps must be equal to the pixel.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from facesynth import images
from facesynth.labels import CELEBAMASK_HQ
from facesynth.prep.celebamask import index_tree
from facesynth.prep.masks import merge_files
from facesynth.prep.pipeline.workers import Workers
from facesynth.prep.portraits.sample import make_sample
from facesynth.prep.stages import prepare_masks

PHOTOS = 200
RUNS = 5

Tree = dict[str, dict[str, Path]]


def plain(tree: Tree, out: Path) -> None:
    """The loop as one writes it: one process, OpenCV for everything."""
    for identifier, parts in tree.items():
        labels = np.zeros((512, 512), np.uint8)
        for number, name in enumerate(CELEBAMASK_HQ.classes):
            if name in parts:
                labels[cv2.imread(str(parts[name]))[..., 0] > 127] = number
        cv2.imwrite(str(out / f"{identifier}.png"), labels)


def merged(tree: Tree, out: Path) -> None:
    """Our merge and nothing else, one process."""
    for identifier, parts in tree.items():
        images.write_labels(out / f"{identifier}.png", merge_files(parts, CELEBAMASK_HQ)[0], CELEBAMASK_HQ)


def prepared(raw: Path, out: Path, jobs: int) -> None:
    """All of `facesynth prep masks`: photos checked and copied, digests, manifest and report as well."""
    prepare_masks(raw, out.parent, workers=Workers(jobs), force=True)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def bound(tree: Tree, maps: list[np.ndarray]) -> None:
    """Read and decode every mask and encode every map, one process."""
    for parts in tree.values():
        for path in parts.values():
            images.read_part_mask(path)
    for labels in maps:
        images.encode_labels(labels, CELEBAMASK_HQ)


def main() -> None:
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(sys.argv[1]) if sys.argv[1:] else Path(folder, "raw")
        if not sys.argv[1:]:
            make_sample(raw, count=PHOTOS)
        tree: Tree = {photo.id: {name: file.path for name, file in photo.parts.items()} for photo in index_tree(raw)}
        megabytes = sum(path.stat().st_size for parts in tree.values() for path in parts.values()) / 1e6
        outs = {name: Path(folder, name, "labels") for name in ("plain", "merged", "one", "two")}
        for out in outs.values():
            out.mkdir(parents=True)
        plain(tree, outs["plain"])
        maps = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(outs["plain"].iterdir())]
        ways: dict[str, Callable[[], object]] = {
            "plain loop, cv2": lambda: plain(tree, outs["plain"]),
            "our merge, 1 process": lambda: merged(tree, outs["merged"]),
            "prep masks, 1 process": lambda: prepared(raw, outs["one"], 1),
            "prep masks, 2 processes": lambda: prepared(raw, outs["two"], 2),
            "decode and encode alone": lambda: bound(tree, maps),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for run in range(RUNS + 1):
            for name, work in ways.items():
                took = seconds(work)
                if run:  # the first fills the caches and starts the processes
                    times[name].append(took)
        for identifier in tree:
            first, *others = (cv2.imread(str(out / f"{identifier}.png"), cv2.IMREAD_UNCHANGED) for out in outs.values())
            assert all(np.array_equal(first, other) for other in others), f"{identifier} differs"
        masks = sum(map(len, tree.values()))
        print(f"{len(tree)} photos, {masks} part masks, {megabytes:.1f} MB; {os.cpu_count()} cores; label maps equal")
        reference = statistics.median(times["plain loop, cv2"])
        for name, values in times.items():
            median = statistics.median(values)
            print(
                f"{name:24s} {median:6.2f} s  {len(tree) / median:6.1f} photos/s  {megabytes / median:5.1f} MB/s of masks  "
                f"{reference / median:4.1f} x"
            )
        for name in ("plain", "merged"):
            size = statistics.mean(path.stat().st_size for path in outs[name].iterdir()) / 1e3
            print(f"{size:.1f} kB a map, {name}")


if __name__ == "__main__":
    main()
