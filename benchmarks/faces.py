"""A label map to a face on the CPU, beside the formulas as the papers write them: ``python benchmarks/faces.py [1024] [256]``.

One sample, float32, two threads, the published sizes with random weights. The reference is what the published code does where
its CUDA kernels are not compiled: a weight for every sample in a grouped convolution, upsampling by zero insertion and a
4 x 4 blur in steps of their own, and the encoder layer by layer. Ours is :mod:`facesynth.model.frozen`. Both give the same
face to 2e-3, which is asserted. Medians of five runs in turns, and the share of each that the bare convolutions would take
at the speed of a large matrix product.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "2"

import copy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from facesynth.model.config import ModelConfig
from facesynth.model.frozen import freeze
from facesynth.model.layers import ModulatedConv, StyledLayer, ToRGB
from facesynth.model.psp import PSP
from facesynth.model.stylegan2 import Generator

RUNS = 5
MIB = 2**20
TAPS = torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4] * 2)
"""The blur, with the gain of 4 that zero insertion needs."""


def model_of(size: int) -> PSP:
    """The published segmentation model's sizes; random weights, and batch norms that do something."""
    torch.manual_seed(0)
    config = ModelConfig(condition="labels", input_channels=19, output_size=size, channel_base=32768)
    model = PSP(config).eval().requires_grad_(requires_grad=False)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.8, 1.2)
        elif isinstance(module, StyledLayer):
            module.noise_strength.fill_(0.1)
    return model


def blurred(features: Tensor, before: int, after: int) -> Tensor:
    padded = F.pad(features, (before, after, before, after))
    count, channels, height, width = padded.shape
    return F.conv2d(padded.reshape(-1, 1, height, width), TAPS.flip(0, 1)[None, None]).reshape(
        count, channels, height - 3, width - 3
    )


def modulated(conv: ModulatedConv, features: Tensor, style: Tensor) -> Tensor:
    count, channels, height, width = features.shape
    weight = conv.gain * conv.weight * conv.modulation(style).reshape(count, 1, channels, 1, 1)
    if conv.demodulate:
        weight = weight * torch.rsqrt(weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8)
    outputs, kernel = weight.shape[1], weight.shape[3]
    if conv.upsampling:
        weight = weight.transpose(1, 2).reshape(count * channels, outputs, kernel, kernel)
        larger = F.conv_transpose2d(features.reshape(1, -1, height, width), weight, stride=2, groups=count)
        return blurred(larger.reshape(count, outputs, 2 * height + 1, 2 * width + 1), 1, 1)
    weight = weight.reshape(count * outputs, channels, kernel, kernel)
    out = F.conv2d(features.reshape(1, -1, height, width), weight, padding=kernel // 2, groups=count)
    return out.reshape(count, outputs, height, width)


def layer(given: StyledLayer, features: Tensor, style: Tensor) -> Tensor:
    out = modulated(given.conv, features, style) + given.noise_strength * given.noise
    return F.leaky_relu(out + given.bias[None, :, None, None], 0.2) * 2**0.5


def to_rgb(given: ToRGB, features: Tensor, style: Tensor) -> Tensor:
    return modulated(given.conv, features, style) + given.bias


def enlarged(picture: Tensor) -> Tensor:
    count, channels, height, width = picture.shape
    zeros = F.pad(picture[:, :, :, None, :, None], (0, 1, 0, 0, 0, 1))
    return blurred(zeros.reshape(count, channels, 2 * height, 2 * width), 2, 1)


def reference(generator: Generator, latents: Tensor) -> Tensor:
    """W+ latents to pictures."""
    styles = latents.unbind(dim=1)
    features = layer(generator.first, generator.constant.expand(len(latents), -1, -1, -1), styles[0])
    picture = to_rgb(generator.first_to_rgb, features, styles[1])
    for k, block in enumerate(generator.blocks, start=1):
        features = layer(block.enlarge, features, styles[2 * k - 1])
        features = layer(block.refine, features, styles[2 * k])
        picture = enlarged(picture) + to_rgb(block.to_rgb, features, styles[2 * k + 1])
    return picture


def arithmetic(model: PSP, condition: Tensor) -> float:
    """Multiplications and additions of the model's convolutions."""
    total = 0.0

    def count(module: torch.nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal total
        weight = module.weight
        area = given[0].shape[2:].numel() if isinstance(module, ModulatedConv) else out.shape[2:].numel()
        total += 2 * weight.numel() * (area if weight.ndim == 4 else 1)

    kinds = (torch.nn.Conv2d, ModulatedConv)
    hooks = [module.register_forward_hook(count) for module in model.modules() if isinstance(module, kinds)]
    model(condition)
    for hook in hooks:
        hook.remove()
    return total


def condition_of(samples: int) -> Tensor:
    """Label maps of noise as one-hot."""
    return F.one_hot(torch.randint(0, 19, (samples, 256, 256)), 19).permute(0, 3, 1, 2).float()


def peak_memory() -> int:
    """Most bytes that this process has held so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("needs Linux: the peak memory comes from /proc/self/status")


def matrix_speed() -> float:
    """Operations a second of a large matrix product."""
    one = torch.randn(2048, 2048)
    return 2 * 2048**3 / min(seconds(lambda: one @ one) for _ in range(RUNS))


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@torch.no_grad()
def measure(size: int) -> None:
    model = model_of(size)
    condition = F.one_hot(torch.randint(0, 19, (1, 256, 256)), 19).permute(0, 3, 1, 2).float()
    least = arithmetic(model, condition) / matrix_speed()
    frozen = freeze(copy.deepcopy(model))
    difference = (frozen(condition) - reference(model.generator, model.encode(condition))).abs().max().item()
    assert difference < 2e-3, difference
    ways: dict[str, Callable[[], object]] = {
        "reference": lambda: reference(model.generator, model.encode(condition)),
        "trained layers": lambda: model(condition),
        "frozen": lambda: frozen(condition),
        "encoder, as trained": lambda: model.encode(condition),
        "encoder, frozen": lambda: frozen.encode(condition),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(RUNS):
        for name, work in ways.items():
            times[name].append(seconds(work))
    whole = statistics.median(times["reference"])
    print(f"{size} px; the faces differ by {difference:.1e}; the arithmetic alone {least:.2f} s")
    for name, values in times.items():
        median = statistics.median(values)
        more = "" if "encoder" in name else f"{whole / median:4.1f} x, {least / median:4.0%} of the time is arithmetic"
        print(f"  {name:20s} {median:6.2f} s  {more}".rstrip())


if __name__ == "__main__":
    torch.set_num_threads(2)
    for text in sys.argv[1:] or ["256", "1024"]:
        measure(int(text))
