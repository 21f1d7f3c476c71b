"""The sample dataset: procedural portraits as a raw tree with the layout of CelebAMask-HQ."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from facesynth import images
from facesynth.errors import InputError, shortened
from facesynth.files import locked, make_folder, write_bytes, write_text
from facesynth.prep import celebamask
from facesynth.prep.pipeline.dataset import Prepared
from facesynth.prep.pipeline.workers import Progress, Workers, call_one_thread, run_all
from facesynth.prep.portraits.draw import draw_portrait
from facesynth.values import read_json, read_text


def make_sample(
    out: Path,
    *,
    count: int = 200,
    seed: int = 0,
    size: int = 512,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Draw procedural portraits into a raw tree with the layout of CelebAMask-HQ.

    Run again, it draws only the portraits that are missing.

    Parameters
    ----------
    out : Path
        The raw tree; created if missing.
    count : int
        Number of portraits, with ids 0 to ``count - 1``.
    seed : int
        A portrait depends only on the seed and its id.
    size : int
        Height and width of the photos, pixels; the part masks are 512 x 512, as in the archive.
    workers : Workers, optional
        How portraits are drawn in parallel; by default in one process per core.
    progress : callable, optional
        Shows the progress.

    Raises
    ------
    InputError
        If a number is out of its range, or ``out`` holds other portraits.
    OutputError
        If ``out`` cannot be written.
    """
    if not 1 <= count <= 100_000:
        raise InputError(f"count is {count}; needed: 1 to 100000 portraits")
    draw_portrait(seed, 0, size=size, mask_size=64)  # report a wrong seed or size once, not for every portrait
    make_folder(out)
    with locked(out):
        _claim_sample(out, {"facesynth_sample": 1, "seed": seed, "size": size, "count": count})
        make_folder(out / celebamask.PHOTOS)
        for folder in range(-(-count // 2000)):
            make_folder(out / celebamask.MASKS / str(folder))
        # The photo is written last: if it exists, the portrait is complete.
        missing = [index for index in range(count) if not _is_written(out / celebamask.PHOTOS / f"{index}.jpg")]
        calls = ((call_one_thread, _write_portrait, out, seed, index, size) for index in missing)
        for _ in run_all(calls, len(missing), workers=workers or Workers(), progress=progress):
            pass
        lines = (f"{index} {number - 1} {number:06d}.jpg\n" for index, number in enumerate(_celeba_numbers(count)))
        write_text(out / celebamask.MAPPING, "idx orig_idx orig_file\n" + "".join(lines))
    return Prepared(len(missing), count - len(missing), root=out)


def _is_written(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _write_portrait(root: Path, seed: int, index: int, size: int) -> None:
    portrait = draw_portrait(seed, index, size=size)
    folder = root / celebamask.MASKS / str(index // 2000)
    for name, mask in portrait.parts.items():
        rgb = np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=2)
        images.write_png(folder / f"{index:05d}_{name}.png", rgb)
    write_bytes(root / celebamask.PHOTOS / f"{index}.jpg", images.encode_jpeg(portrait.photo))


def _claim_sample(out: Path, parameters: dict[str, int]) -> None:
    """Record the parameters of the sample in its folder, or check them against those recorded before."""
    path = out / "sample.json"
    if path.is_file():
        try:
            recorded = read_json(read_text(path))
            fits = all(recorded[name] == parameters[name] for name in ("facesynth_sample", "seed", "size"))
            fits = fits and recorded["count"] <= parameters["count"]
        except (InputError, OSError, ValueError, KeyError, TypeError):
            recorded, fits = "unreadable", False
        if not fits:
            raise InputError(
                f"{out} holds another or a larger sample ({shortened(recorded)}); give an empty folder, or the same numbers"
            )
    elif any(entry for entry in out.iterdir() if not entry.name.startswith(".")):
        raise InputError(f"{out} is not empty and holds no sample; give an empty folder")
    write_text(path, json.dumps(parameters) + "\n")


def _celeba_numbers(count: int) -> list[int]:
    """CelebA file numbers for ids 0, 1, ..., each used once and spread evenly over the official partitions."""
    files, step = 202_599, 125_213  # the step is coprime to the number of files and near its golden section
    return [(61_803 + index * step) % files + 1 for index in range(count)]
