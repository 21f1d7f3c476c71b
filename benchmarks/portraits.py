"""Portraits a second on one core: ``python benchmarks/portraits.py``.

Portraits of several sizes, with the archive's masks of 512 px, in turns; medians by the time that the core was on them, and the
ratio to encoding what was drawn, as a JPEG and PNGs, in the same run.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before anything loads numpy

import time
from statistics import median

import cv2
import numpy as np

from facesynth.prep.portraits.draw import Portrait, draw_portrait

SIZES = (64, 256, 1024)
SEED, WARM_UP, COUNT = 11, 2, 60


def encode(portrait: Portrait) -> None:
    cv2.imencode(".jpg", portrait.photo)
    for mask in portrait.parts.values():
        cv2.imencode(".png", mask.astype(np.uint8) * 255)


def main() -> None:
    cv2.setNumThreads(1)
    drawing: dict[int, list[float]] = {size: [] for size in SIZES}
    encoding: dict[int, list[float]] = {size: [] for size in SIZES}
    for index in range(WARM_UP + COUNT):
        for size in SIZES:
            began = time.process_time()
            portrait = draw_portrait(SEED, index, size=size)
            drawn = time.process_time()
            encode(portrait)
            if index >= WARM_UP:
                drawing[size].append(drawn - began)
                encoding[size].append(time.process_time() - drawn)
    print("  px   portraits/s   of encoding")
    for size in SIZES:
        middle = median(drawing[size])
        print(f"{size:4d} {1 / middle:13.1f} {middle / median(encoding[size]):12.1f}x")


if __name__ == "__main__":
    main()
