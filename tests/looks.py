"""A face as a drawing in lines, as a label map and as a photo."""

from __future__ import annotations

import cv2
import numpy as np

from facesynth.labels import CELEBAMASK_HQ


def face(size: int = 256) -> np.ndarray:
    """A drawing of a face in lines on white."""
    paper = np.full((size, size), 255, np.uint8)

    def at(*numbers: float) -> tuple[int, ...]:
        return tuple(round(number * size) for number in numbers)

    width = max(1, size // 128)
    cv2.ellipse(paper, at(0.5, 0.52), at(0.28, 0.38), 0, 0, 360, 30, width)
    for x in (0.38, 0.62):
        cv2.ellipse(paper, at(x, 0.45), at(0.06, 0.03), 0, 0, 360, 30, width)
        cv2.circle(paper, at(x, 0.45), width + 1, 30, -1)
        cv2.line(paper, at(x - 0.07, 0.38), at(x + 0.07, 0.37), 30, width)
    cv2.ellipse(paper, at(0.5, 0.7), at(0.1, 0.04), 0, 0, 180, 30, width)
    cv2.line(paper, at(0.5, 0.5), at(0.47, 0.6), 30, width)
    return paper


def face_map(size: int = 256) -> np.ndarray:
    """A label map of a face."""
    ids = np.zeros((size, size), np.uint8)

    def ellipse(name: str, x: float, y: float, width: float, height: float) -> None:
        numbers = [round(number * size) for number in (x, y, width, height)]
        cv2.ellipse(ids, numbers[:2], numbers[2:], 0, 0, 360, CELEBAMASK_HQ.classes.index(name), -1)

    for name, place in {
        "cloth": (0.5, 1.05, 0.5, 0.25),
        "neck": (0.5, 0.85, 0.13, 0.15),
        "hair": (0.5, 0.4, 0.36, 0.36),
        "skin": (0.5, 0.52, 0.27, 0.36),
        "l_eye": (0.62, 0.45, 0.06, 0.03),
        "r_eye": (0.38, 0.45, 0.06, 0.03),
        "nose": (0.5, 0.57, 0.05, 0.08),
        "u_lip": (0.5, 0.71, 0.1, 0.03),
    }.items():
        ellipse(name, *place)
    return ids


def photo(size: int = 256) -> np.ndarray:
    """Soft shapes in light and shade with the grain of a sensor."""
    rng = np.random.default_rng(0)
    tones = {0: (150, 160, 175), 1: (205, 160, 135), 13: (70, 45, 30), 17: (190, 145, 120), 18: (60, 70, 110)}
    base = np.zeros((size, size, 3), np.float32)
    ids = face_map(size)
    for number in np.unique(ids):
        base[ids == number] = tones.get(int(number), (150, 90, 85))
    soft = cv2.GaussianBlur(base, (0, 0), size / 80)
    y, x = np.mgrid[:size, :size] / size
    shade = 0.65 + 0.35 * np.exp(-6 * ((x - 0.4) ** 2 + (y - 0.5) ** 2)) + 0.08 * np.sin(9 * x + 5 * y)
    return np.clip(soft * shade[..., None] + rng.normal(0, 3, base.shape), 0, 255).astype(np.uint8)
