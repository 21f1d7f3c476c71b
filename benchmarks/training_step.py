"""A training step with a frozen generator, beside the papers' formulas: ``python benchmarks/training_step.py [RUNS]``.

256 px, two samples, float32, two threads, the published sizes with random weights; from the label maps to the gradients of the
encoder's weights. The reference is that of ``benchmarks/faces.py``, whose generator has gradients of its weights too, as
in the published code. Ours is what ``facesynth train`` does, :class:`facesynth.model.training.psp.network.Translation`. Each
way has a process of its own, which makes a step whenever it is its turn; medians of five. Peak memory is the process's own
(VmHWM, so Linux only), whole and beyond what it held before the first step: weights, pictures and Python itself.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "2"
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # or threads that wait for each other take the processor of others

import sys
from collections.abc import Callable

import torch
from faces import condition_of, model_of, reference
from torch import Tensor
from turns import MIB, serve, take_turns

from facesynth.model.devices import keep_memory
from facesynth.model.losses import pixel
from facesynth.model.training.psp.network import Translation

RUNS = 5
WAYS = ("reference", "trained layers, frozen generator", "ours")


def step_of(way: str) -> Callable[[], None]:
    """What makes one step, from a condition to the encoder's gradients."""
    if way == "ours":
        keep_memory()
    model = model_of(256).train()
    model.encoder.requires_grad_(requires_grad=True)
    model.generator.requires_grad_(requires_grad=way == "reference")
    condition, indices = condition_of(2), torch.arange(2)
    photo = torch.rand(2, 3, 256, 256) * 2 - 1
    no_codes = torch.nn.Parameter(torch.empty(0, model.config.style_dim))
    translation = Translation(model, no_codes, lean=way == "ours")

    def translated() -> tuple[Tensor, Tensor]:
        if way != "reference":
            return translation(condition, indices, None, None)
        latents = model.encode(condition)
        return reference(model.generator, latents), latents

    def step() -> None:
        model.zero_grad(set_to_none=True)
        faces, latents = translated()
        loss = pixel.l2(faces, photo) + 0.005 * pixel.w_norm(latents, model.latent_avg)
        loss.backward()

    return step


def main(runs: int) -> None:
    turns = take_turns(__file__, WAYS, [], runs)
    whole = turns["reference"]
    for way in WAYS:
        own = turns[way]
        step, beyond = own.peak - own.before, whole.peak - whole.before
        print(
            f"{way:34s} {own.median:6.2f} s  {whole.median / own.median:4.1f} x  peak {own.peak / MIB:5.0f} MiB "
            f"({own.peak / whole.peak:4.0%}), {step / MIB:5.0f} MiB of the step ({step / beyond:4.0%})"
        )


if __name__ == "__main__":
    torch.set_num_threads(2)
    if sys.argv[1:2] == ["serve"]:
        serve(step_of(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else RUNS)
