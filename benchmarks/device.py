"""A GPU, or another device, in about a minute: ``python benchmarks/device.py [--device cuda] [--seconds 60]``.

First parity: the published cases of the tests in float32, without TF32, compared with outputs of the published code on a CPU.
Then times: a face at 256 and 1024 px, in batches of one and eight, and a training step at 256 px; in float32, bfloat16 and, on
a GPU, float16, eager and compiled. Weights are random, sizes the published ones. Measurements that do not fit into the time
are skipped and counted. The output is a table in Markdown.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from facesynth.model.checkpoints.pixel2style2pixel import from_published
from facesynth.model.config.model import ModelConfig
from facesynth.model.devices import choose_device, precise
from facesynth.model.losses import pixel
from facesynth.model.networks.psp import PSP

TESTS = Path(__file__).parents[1] / "tests"
CODES, PICTURES = 1e-4, 2e-3
"""Tolerances of the tests for codes and pictures."""
MAX_RUNS = 20


def recipe() -> ModuleType:
    """The tests' weights and inputs."""
    spec = importlib.util.spec_from_file_location("recipe", TESTS / "model/recipe.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["recipe"] = module
    spec.loader.exec_module(module)
    return module


def published(case: str, device: torch.device, made: ModuleType) -> PSP:
    state = {key: made.published_tensor(key, shape, dtype) for key, (shape, dtype) in made.published_keys(case).items()}
    labels = 1 if case == "sketch_256" else 19
    config = ModelConfig(condition="sketch" if labels == 1 else "labels", input_channels=labels)
    model = PSP(config)
    own = from_published(state, config)
    model.load_state_dict({**model.state_dict(), **own})
    model.latent_avg.copy_(made.latent_avg(config.n_styles))
    return model.to(device).eval().requires_grad_(requires_grad=False)


def parity(device: torch.device) -> Iterator[tuple[str, float, float]]:
    """What is compared, the largest difference, and its tolerance."""
    made = recipe()
    for case in ("seg_256", "sketch_256"):
        with np.load(TESTS / "data" / f"published_{case}.npz") as arrays:
            expected = {name: torch.from_numpy(arrays[name]) for name in arrays}
        model = published(case, device, made)
        condition = (made.label_map() if case == "seg_256" else made.sketch()).to(device)
        with torch.inference_mode():
            codes = model.encoder(condition)
            face = F.avg_pool2d(model.generator(codes + model.latent_avg), 4)
        for what, value, name, most in (("codes", codes, "codes", CODES), ("face", face, "image_64", PICTURES)):
            yield f"{case}, {what}", float((value.cpu() - expected[name]).abs().max()), most


def measured(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """The median time of a run, seconds, after one or two warm-up runs."""

    def once() -> float:
        begin = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    once()
    if once() > seconds:
        return once()
    began, times = time.perf_counter(), [once()]
    while len(times) < MAX_RUNS and time.perf_counter() - began < seconds:
        times.append(once())
    return statistics.median(times)


def face_work(model: PSP, condition: Tensor, precision: str) -> Callable[[], object]:
    context = precise(precision, condition.device)

    def work() -> object:
        with torch.inference_mode(), context():
            return model(condition)

    return work


def step_work(model: PSP, condition: Tensor, photos: Tensor, precision: str) -> Callable[[], object]:
    """A training step of encoder and generator with L2 and W-norm, by Adam."""
    context = precise(precision, condition.device)
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    scaler = torch.amp.GradScaler(condition.device.type, enabled=precision == "fp16")

    def work() -> object:
        with context():
            latents = model.encode(condition)
            faces = model.generator(latents, noise="random").float()
        loss = pixel.l2(faces, photos) + 0.005 * pixel.w_norm(latents.float(), model.latent_avg)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        return loss

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="total time; a measurement that has started is finished"
    )
    parser.add_argument("--sizes", default="256,1024", help="sizes of the faces, pixels")
    options = parser.parse_args()
    began = time.perf_counter()
    device = choose_device(options.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    print(f"{name}, PyTorch {torch.__version__}\n\n| parity, float32 | largest difference | at most |\n|---|---|---|")
    worst = 0.0
    for what, difference, most in parity(device):
        worst = max(worst, difference / most)
        print(f"| {what} | {difference:.1e} | {most:.0e} |", flush=True)
    precisions = ("float32", "bf16", *(("fp16",) if device.type == "cuda" else ()))
    print("\n| work | precision | way | milliseconds | a second |\n|---|---|---|---|---|")
    skipped = 0
    for compiled in (False, True):
        for size in (int(value) for value in options.sizes.split(",")):
            config = ModelConfig(condition="labels", input_channels=19, output_size=size)
            for what, count in (("face", 1), ("face", 8), ("training step", 8)):
                if what != "face" and size != 256:
                    continue
                for precision in precisions:
                    if time.perf_counter() - began > options.seconds:
                        skipped += 1
                        continue
                    torch.manual_seed(0)
                    model = PSP(config).to(device).train(what != "face")
                    labels = torch.randint(19, (count, 256, 256), device=device)
                    condition = F.one_hot(labels, 19).permute(0, 3, 1, 2).float()
                    photos = torch.rand(count, 3, size, size, device=device) * 2 - 1
                    if compiled:
                        model.encoder.compile()
                        model.generator.synthesise = torch.compile(model.generator.synthesise)  # type: ignore[method-assign]
                    work = (
                        face_work(model, condition, precision)
                        if what == "face"
                        else step_work(model, condition, photos, precision)
                    )
                    took = measured(work, device, 0.5)
                    way = "compiled" if compiled else "eager"
                    label = f"{what}, {size} px, {count} at a time"
                    print(f"| {label} | {precision} | {way} | {took * 1e3:.1f} | {count / took:.1f} |", flush=True)
                    del model, work
    print(f"\n{skipped} skipped, {time.perf_counter() - began:.0f} seconds in total")
    if worst > 1:
        sys.exit("the published cases differ by more than the tolerance")


if __name__ == "__main__":
    main()
