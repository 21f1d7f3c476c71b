"""What minimal filtering is worth: frozen models with and without it, in turns: ``python benchmarks/winograd.py [NAME ...]``.

Of each model the encoder and the generator run on one input, float32, in one process, with and without in turns; which comes
first changes from turn to turn. Each pair gives a ratio, processor time without over that with, and printed is the median.
One thread, so that processor time is time, whatever else the machine does. The models are those that come along, by their
names, and the published ones with random weights, ``published-256`` and ``published-1024``. Pictures agree to 2e-3, which is
asserted.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import copy
import statistics
import sys
import time
from collections.abc import Callable
from unittest import mock

import torch
from faces import model_of

from facesynth.model.checkpoints import load_model, state_dict
from facesynth.model.devices import keep_memory
from facesynth.model.networks import winograd
from facesynth.model.networks.fused import FrozenConv, FrozenModulatedConv, FusedPSP, fuse
from facesynth.model.networks.psp import PSP

NAMES = ("portrait-seg", "portrait-sketch", "published-256", "published-1024")
PAIRS = 7


def model_named(name: str) -> PSP:
    """A model as it is trained."""
    if name.startswith("published-"):
        return model_of(int(name.removeprefix("published-")))
    given = load_model(name)
    with state_dict.unfilled():
        model = PSP(given.config)
    state_dict.fill(model, given.model_state(), given.path)
    return model.eval().requires_grad_(requires_grad=False)


def frozen(model: PSP, *, minimal: bool) -> FusedPSP:
    """The model as it translates, with minimal filtering where that pays or nowhere."""
    if minimal:
        return fuse(model)
    with mock.patch.object(winograd, "pays", return_value=False):
        return fuse(model)


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


@torch.no_grad()
def measure(name: str) -> None:
    plain = model_named(name)
    own = frozen(copy.deepcopy(plain), minimal=True)
    plain = frozen(plain, minimal=False)
    convs = [module for module in own.modules() if isinstance(module, FrozenConv | FrozenModulatedConv)]
    count = sum(conv.minimal for conv in convs)
    print(f"{name}: {count} of {len(convs)} convolutions go through minimal filtering", flush=True)
    if not count:
        return
    config = own.config
    condition = torch.rand(1, config.input_channels, config.input_size, config.input_size)
    latents = own.encode(condition)
    assert (own.generator(latents) - plain.generator(latents)).abs().max().item() < 2e-3
    times: dict[str, dict[str, list[float]]] = {part: {"own": [], "plain": []} for part in ("encoder", "generator")}
    for pair in range(PAIRS):
        ways = {"own": own, "plain": plain}
        for way in sorted(ways, reverse=bool(pair % 2)):
            times["encoder"][way].append(seconds(lambda model=ways[way]: model.encode(condition)))
            times["generator"][way].append(seconds(lambda model=ways[way]: model.generator(latents)))
    times["both"] = {
        way: [sum(turns) for turns in zip(times["encoder"][way], times["generator"][way], strict=True)]
        for way in ("own", "plain")
    }
    for part, took in times.items():
        gain = statistics.median(plain / own for own, plain in zip(took["own"], took["plain"], strict=True))
        print(f"  {part:9s} {gain:5.2f} x  ({statistics.median(took['own']):.3f} s with it)", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    keep_memory()
    for chosen in sys.argv[1:] or NAMES:
        measure(chosen)
