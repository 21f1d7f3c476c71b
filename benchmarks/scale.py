"""Time and memory of preparing many photos: ``python benchmarks/scale.py [3000 30000]``.

A raw tree of so many ids is made by linking 200 embedded portraits, and ``facesynth prep masks`` and ``prep sketches`` run
on it, each twice: the second run finds everything done. Peak memory is the main process's own (VmHWM, so Linux only);
what counts is its ratio between the numbers of photos.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from facesynth.prep.celebamask import MASKS, PHOTOS
from facesynth.prep.portraits.sample import make_sample

COMMAND = str(Path(sysconfig.get_path("scripts"), "facesynth"))
PORTRAITS = 200


def link_tree(sample: Path, raw: Path, count: int) -> None:
    """A raw tree of ``count`` ids whose files are links to those of the sample."""
    parts: dict[int, list[Path]] = {}
    for path in (sample / MASKS / "0").iterdir():
        parts.setdefault(int(path.name[:5]), []).append(path)
    (raw / PHOTOS).mkdir(parents=True)
    for number in range(count):
        folder = raw / MASKS / str(number // 2000)
        folder.mkdir(parents=True, exist_ok=True)
        os.link(sample / PHOTOS / f"{number % PORTRAITS}.jpg", raw / PHOTOS / f"{number}.jpg")
        for path in parts[number % PORTRAITS]:
            os.link(path, folder / f"{number:05d}{path.name[5:]}")


def run(*arguments: object) -> tuple[float, float]:
    """Seconds that a command takes, and the peak memory of its main process in MiB."""
    started, peak = time.perf_counter(), 0
    process = subprocess.Popen([COMMAND, *map(str, arguments), "-q"], stdout=subprocess.DEVNULL)
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak = int(line.split()[1])
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"facesynth {' '.join(map(str, arguments))} ended with {process.returncode}")
    return time.perf_counter() - started, peak / 1024


def main(counts: list[int]) -> None:
    peaks: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder, "sample")
        make_sample(sample, count=PORTRAITS)
        for count in counts:
            raw, out = Path(folder, f"raw{count}"), Path(folder, f"data{count}")
            link_tree(sample, raw, count)
            masks = ("prep", "masks", raw, "--out", out)
            sketches = ("prep", "sketches", out, "--out", out, "--method", "xdog")
            for name, command in (("masks", masks), ("sketches", sketches)):
                for again in ("", ", again"):
                    seconds, peak = run(*command)
                    peaks.setdefault(name + again, []).append(peak)
                    print(
                        f"{count} photos, {name}{again}: {seconds:.1f} s, {count / seconds:.0f}/s, peak {peak:.1f} MiB"
                    )
    for name, values in peaks.items():
        if len(values) > 1:
            print(f"peak memory of {name}, {counts[-1]} photos over {counts[0]}: {values[-1] / values[0]:.2f}")


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [3000, 30_000])
