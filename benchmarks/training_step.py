"""A training step with a frozen generator, beside the papers' formulas: ``python benchmarks/training_step.py [RUNS]``.

256 px, two samples, float32, two threads, the published sizes with random weights; from the label maps to the gradients of the
encoder's weights. The reference is that of ``benchmarks/faces.py``, whose generator has gradients of its weights too, as
in the published code. Ours trains through :func:`facesynth.model.frozen_training.freeze_for_training`. Each way has a process
of its own, which makes a step whenever it is its turn; medians of five. Peak memory is the process's own (VmHWM, so
Linux only), whole and beyond what it held before the first step: weights, pictures and Python itself.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "2"
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # or threads that wait for each other take the processor of others

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from faces import MIB, condition_of, model_of, peak_memory, reference
from torch import Tensor

from facesynth.model import losses
from facesynth.model.frozen_training import freeze_for_training

RUNS = 5
WAYS = ("reference", "trained layers, frozen generator", "ours")


def step_of(way: str) -> Callable[[], None]:
    """What makes one step, from a condition to the encoder's gradients."""
    model = model_of(256).train()
    model.encoder.requires_grad_(requires_grad=True)
    model.generator.requires_grad_(requires_grad=way == "reference")
    condition = condition_of(2)
    photo = torch.rand(2, 3, 256, 256) * 2 - 1
    generator = freeze_for_training(model.generator) if way == "ours" else model.generator

    def faces(latents: Tensor) -> Tensor:
        return reference(model.generator, latents) if way == "reference" else generator(latents)

    def step() -> None:
        model.zero_grad(set_to_none=True)
        latents = model.encode(condition)
        loss = losses.l2(faces(latents), photo) + 0.005 * losses.w_norm(latents, model.latent_avg)
        loss.backward()

    return step


def serve(way: str) -> None:
    """Make a step for every line that comes in; answer with the seconds, the loss's gradient and the memory."""
    torch.set_num_threads(2)
    step = step_of(way)
    print(peak_memory(), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        step()
        print(time.perf_counter() - started, peak_memory(), flush=True)


def main(runs: int) -> None:
    processes = {}
    for way in WAYS:
        command = [sys.executable, __file__, "serve", way]
        processes[way] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    before = {way: float(process.stdout.readline()) for way, process in processes.items()}
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    peaks = dict(before)
    for run in range(runs + 1):
        for way, process in processes.items():
            print("step", file=process.stdin, flush=True)
            seconds, peaks[way] = map(float, process.stdout.readline().split())
            if run:  # the first fills the caches
                times[way].append(seconds)
    for process in processes.values():
        process.communicate()
    median = {way: statistics.median(values) for way, values in times.items()}
    whole, beyond = peaks["reference"], peaks["reference"] - before["reference"]
    for way in WAYS:
        own = peaks[way] - before[way]
        print(
            f"{way:34s} {median[way]:6.2f} s  {median['reference'] / median[way]:4.1f} x  peak {peaks[way] / MIB:5.0f} MiB "
            f"({peaks[way] / whole:4.0%}), {own / MIB:5.0f} MiB of the step ({own / beyond:4.0%})"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2])
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else RUNS)
