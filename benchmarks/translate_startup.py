"""What ``facesynth translate`` of a label map takes besides PyTorch and the face: ``python benchmarks/translate_startup.py``.

A checkpoint of the published sizes at 256 px, with random weights (1.2 GB, in a temporary folder), and one label map. Each
of these is a process of its own, five times in turns: the whole command; Python that imports torch; and the first forward
pass of the same model in a process that holds it already, as the command makes it. What remains of the medians is
start-up: Python's other imports, reading the checkpoint, making the weights ready, reading the map and writing the face.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "2"

import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from faces import condition_of, model_of

from facesynth import images
from facesynth.labels import CELEBAMASK_HQ
from facesynth.model.checkpoints import native
from facesynth.model.devices import keep_memory
from facesynth.model.networks.fused import fuse

COMMAND = str(Path(sysconfig.get_path("scripts"), "facesynth"))
RUNS = 5


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def forward() -> None:
    """Print the seconds of a first forward pass."""
    keep_memory()
    model, condition = fuse(model_of(256)), condition_of(1)
    with torch.no_grad():
        started = time.perf_counter()
        model(condition)
    print(time.perf_counter() - started)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file, labels = Path(folder, "model.safetensors"), Path(folder, "labels.png")
        model = model_of(256)
        native.save(
            file, "model", model.state_dict(), config=model.config, task="seg2face", scheme=CELEBAMASK_HQ, info={}
        )
        del model
        images.write_png(labels, np.random.default_rng(0).integers(0, 19, (256, 256), dtype=np.uint8))
        own = [sys.executable, __file__, "forward"]
        times: dict[str, list[float]] = {"whole command": [], "importing torch": [], "forward pass": []}
        for run in range(RUNS):
            out = str(Path(folder, f"faces{run}"))
            command = [COMMAND, "translate", str(labels), "--checkpoint", str(file), "--out", out]
            times["whole command"].append(seconds(command))
            times["importing torch"].append(seconds([sys.executable, "-c", "import torch"]))
            done = subprocess.run(own, check=True, stdout=subprocess.PIPE, text=True)
            times["forward pass"].append(float(done.stdout))
        medians = {name: statistics.median(values) for name, values in times.items()}
        for name, value in medians.items():
            print(f"{name:16s} {value:5.2f} s")
        rest = medians["whole command"] - medians["importing torch"] - medians["forward pass"]
        print(f"{'the rest':16s} {rest:5.2f} s")


if __name__ == "__main__":
    torch.set_num_threads(2)
    if sys.argv[1:] == ["forward"]:
        forward()
    else:
        main()
