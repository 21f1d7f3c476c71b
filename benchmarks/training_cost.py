"""What training costs: ``python benchmarks/training_cost.py [--sizes 64 128 256] [--batches 1 2 4] [--networks published]``.

Each row is a run of its own process on embedded portraits, on the CPU, one thread, float32, from a frozen generator with
random weights, as `facesynth train` makes it: L2 and W-norm, Ranger. Photos a second are those of the fastest step but the
first, by the time that the core was on it, so that what else the machine does counts little. The peak memory is that of the
process (VmHWM, so Linux only) less what it had after a run of the least size; beside it is what ``--dry-run`` expects. The
first row of every size is what the others' growth is told by.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from facesynth.model.checkpoints import native
from facesynth.model.config.presets import preset
from facesynth.model.config.train import TrainConfig
from facesynth.model.losses.objective import Objective
from facesynth.model.networks.generator import Generator
from facesynth.model.training.psp.cost import cost
from facesynth.model.training.psp.train import train
from facesynth.prep.pipeline.workers import Workers
from facesynth.prep.portraits.sample import make_sample
from facesynth.prep.splits import Splits
from facesynth.prep.stages import prepare_masks

STEPS = 3
PORTRAITS = 24
MEBIBYTE = 1 << 20


def config_of(networks: str, size: int, batch_size: int) -> TrainConfig:
    sizes = {"input_size": size, "output_size": size, "style_resolution": min(64, size)}
    if networks == "published":
        sizes["channel_base"] = 32768
    steps = {"steps": STEPS, "interval": 1000, "batch_size": batch_size}
    return preset(
        networks, "seg2face", n_classes=19, model_sizes=sizes, lpips=0.0, optimizer="ranger", ema=0.0, laplacian=0.0,
        metric="l2", **steps,
    )  # fmt: skip


def status(name: str) -> int:
    """A line of /proc/self/status, bytes."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


def work(data: Path, folder: Path, networks: str, size: int, batch_size: int) -> None:
    """One run in this process: what it took, as JSON."""
    torch.set_num_threads(1)
    config = config_of(networks, size, batch_size)
    given = folder / "generator.safetensors"
    if not given.exists():
        sizes = config.model.generator
        torch.manual_seed(0)
        made = Generator(sizes.output_size, sizes.style_dim, sizes.mapping_depth, sizes.channel_base, sizes.channel_max)
        average = torch.zeros(sizes.n_styles, sizes.style_dim)
        native.save_generator(given, made.state_dict(), average, config=sizes, info={})
        del made
    least = preset(
        "small", "seg2face", n_classes=19, model_sizes={"output_size": 32}, train_generator=True, lpips=0.0, steps=1
    )
    train(data, folder / "least", least, device="cpu", workers=0)  # all that is imported is there now
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far counts no more
    before = status("VmRSS")
    ends: list[float] = []

    def note(split: str, step: int, terms: Mapping[str, float]) -> None:  # noqa: ARG001 - the time is all
        if split == "train":
            ends.append(time.process_time())

    train(data, folder / "run", config, generator=given, report=note, device="cpu", workers=0)
    peak = status("VmHWM") - before
    rate = batch_size / min(later - earlier for earlier, later in itertools.pairwise(ends))
    expected = cost(config, Objective(config, {}), n_photos=PORTRAITS)
    print(json.dumps({"rate": rate, "peak": peak, "expected": expected.memory}))


def measure(networks: str, sizes: list[int], batches: list[int]) -> None:
    print("| networks | px | photos a step | photos/s | peak memory, MiB | expected, MiB | expected / peak | growth |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as root:
        raw, data = Path(root, "raw"), Path(root, "data")
        make_sample(raw, count=PORTRAITS, size=max(sizes), workers=Workers(jobs=1))
        prepare_masks(raw, data, splits=Splits(val=0.2, test=0.0), workers=Workers(jobs=1))
        for size in sizes:
            first = 0.0
            for batch_size in batches:
                folder = Path(root, f"{size}-{batch_size}")
                folder.mkdir()
                arguments = ["--work", data, folder, networks, size, batch_size]
                done = subprocess.run(
                    [sys.executable, __file__, *map(str, arguments)], check=True, capture_output=True, text=True
                )
                took = json.loads(done.stdout.splitlines()[-1])
                peak, expected = took["peak"] / MEBIBYTE, took["expected"] / MEBIBYTE
                first = first or peak
                cells = (networks, size, batch_size, f"{took['rate']:.2f}", f"{peak:,.0f}", f"{expected:,.0f}")
                print(f"| {' | '.join(map(str, cells))} | {expected / peak:.2f} | {peak / first:.2f} |", flush=True)
                shutil.rmtree(folder)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        data, folder, networks, size, batch_size = sys.argv[2:]
        work(Path(data), Path(folder), networks, int(size), int(batch_size))
    else:
        parser = argparse.ArgumentParser()
        parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256])
        parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4])
        parser.add_argument("--networks", choices=["small", "published"], default="published")
        chosen = parser.parse_args()
        measure(chosen.networks, chosen.sizes, chosen.batches)
