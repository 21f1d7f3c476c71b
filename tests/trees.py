"""Trees of files and the command line, as several tests need them."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
from PIL import Image

PATIENCE = 600
"""Seconds after which a process is taken to hang: on a busy machine a second's work may take minutes."""
COMMAND = Path(sysconfig.get_path("scripts"), "facesynth")
CLASSES = [
    "background",
    "skin",
    "nose",
    "eye_g",
    "l_eye",
    "r_eye",
    "l_brow",
    "r_brow",
    "l_ear",
    "r_ear",
    "mouth",
    "u_lip",
    "l_lip",
    "hair",
    "hat",
    "ear_r",
    "neck_l",
    "neck",
    "cloth",
]
"""The contract's classes by id."""


def contents(root: Path) -> dict[str, bytes]:
    """The bytes of every file below ``root``."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def pictures(root: Path) -> dict[str, bytes]:
    """The bytes of every picture below ``root``."""
    return {name: data for name, data in contents(root).items() if name.endswith((".png", ".jpg", ".webp"))}


def times(root: Path) -> dict[str, int]:
    """When each file below ``root`` was last written."""
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def leftovers(root: Path) -> list[Path]:
    """Half-written files, probes and locks."""
    return [path for path in root.rglob(".*") if path.name != ".stages"]


def facesynth(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE)


def link_raw(sample: Path, raw: Path, count: int) -> None:
    """A raw tree of ``count`` ids below 2000 whose files are links to those of a smaller one, over and over."""
    photos, masks = Path("CelebA-HQ-img"), Path("CelebAMask-HQ-mask-anno", "0")
    (raw / photos).mkdir(parents=True)
    (raw / masks).mkdir(parents=True)
    originals = len(list((sample / photos).iterdir()))
    for number in range(count):
        os.link(sample / photos / f"{number % originals}.jpg", raw / photos / f"{number}.jpg")
        for path in (sample / masks).glob(f"{number % originals:05d}_*.png"):
            os.link(path, raw / masks / f"{number:05d}{path.name[5:]}")


def write_raw(raw: Path, number: int, parts: dict[str, np.ndarray], *, photo: np.ndarray | None = None) -> None:
    """Add a photo with its part masks to a raw tree, as the archive lays it out."""
    photos, masks = raw / "CelebA-HQ-img", raw / "CelebAMask-HQ-mask-anno" / str(number // 2000)
    photos.mkdir(parents=True, exist_ok=True)
    masks.mkdir(parents=True, exist_ok=True)
    if photo is not None:
        Image.fromarray(photo).save(photos / f"{number}.png")
    for name, mask in parts.items():
        Image.fromarray(mask.astype(np.uint8) * 255).convert("RGB").save(masks / f"{number:05d}_{name}.png")
