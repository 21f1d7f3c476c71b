"""A label map to a face on the CPU, beside the formulas as the papers write them: ``python benchmarks/faces.py [1024] [256]``.

One sample, float32, two threads, the published sizes with random weights. The reference is what the published code does where
its CUDA kernels are not compiled: a weight for every sample in a grouped convolution, upsampling by zero insertion and a
4 x 4 blur in steps of their own, and the encoder layer by layer. Ours is what ``facesynth translate`` does:
:mod:`facesynth.model.networks.fused` and memory that is kept, without and with ``--compile``. All give the same face to 2e-3,
which is asserted. Medians of five runs in turns, each way in a process of its own, with that process's peak memory (Linux); and
what share of each the convolutions would take, at the speed of a large matrix product and run bare, one by one.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "2"

import sys
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from turns import MIB, serve, take_turns

from facesynth.model.config.model import ModelConfig
from facesynth.model.devices import keep_memory
from facesynth.model.networks.fused import fuse
from facesynth.model.networks.generator import Generator
from facesynth.model.networks.layers import ModulatedConv, StyledLayer, ToRGB
from facesynth.model.networks.psp import PSP

RUNS = 5
WAYS = ("reference", "trained layers", "frozen", "frozen, compiled")
BOUNDS = ("a matrix product", "bare convolutions")
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


def convolutions(model: PSP, condition: Tensor) -> list[tuple[Tensor, torch.nn.Module]]:
    """The model's convolutions in their order, each with a map of the size that goes in."""
    met = []

    def note(module: torch.nn.Module, given: tuple[Tensor, ...], _: Tensor) -> None:
        met.append((torch.randn(given[0].shape).contiguous(memory_format=torch.channels_last), module))

    kinds = (torch.nn.Conv2d, ModulatedConv)
    hooks = [module.register_forward_hook(note) for module in model.modules() if isinstance(module, kinds)]
    model(condition)
    for hook in hooks:
        hook.remove()
    return met


def arithmetic(met: list[tuple[Tensor, torch.nn.Module]]) -> float:
    """Multiplications and additions of convolutions."""
    total = 0.0
    for given, module in met:
        area = given.shape[2:].numel() / (1 if isinstance(module, ModulatedConv) else module.stride[0] ** 2)
        total += 2 * module.weight.numel() * area
    return total


def bare(given: Tensor, module: torch.nn.Module) -> Tensor:
    """A convolution alone, as oneDNN does it."""
    if not isinstance(module, ModulatedConv):
        return F.conv2d(given, module.weight, stride=module.stride, padding=module.padding)
    if module.upsampling:
        return F.conv_transpose2d(given, module.weight.transpose(0, 1), stride=2)
    return F.conv2d(given, module.weight, padding=module.padding)


def condition_of(samples: int) -> Tensor:
    """Label maps of noise as one-hot."""
    return F.one_hot(torch.randint(0, 19, (samples, 256, 256)), 19).permute(0, 3, 1, 2).float()


def work_of(way: str, size: int) -> Callable[[], object]:
    """What one way does in its turn."""
    if way == "a matrix product":
        one = torch.randn(2048, 2048)
        return lambda: one @ one
    condition, model = condition_of(1), model_of(size)
    if way == "bare convolutions":
        met = [
            (given, module) for given, module in convolutions(model.to(memory_format=torch.channels_last), condition)
        ]
        return lambda: [bare(given, module) for given, module in met]
    if way == "reference":
        return lambda: reference(model.generator, model.encode(condition))
    if way == "trained layers":
        return lambda: model(condition)
    keep_memory()
    frozen = fuse(model)
    if way == "frozen, compiled":
        frozen.generator.compile()
    return lambda: frozen(condition)


@torch.no_grad()
def assert_equal(size: int) -> float:
    """The largest difference between the reference's face and ours; returns the arithmetic too."""
    model, condition = model_of(size), condition_of(1)
    face = reference(model.generator, model.encode(condition))
    total = arithmetic(convolutions(model, condition))
    difference = (fuse(model)(condition) - face).abs().max().item()
    assert difference < 2e-3, difference
    print(f"{size} px; the faces differ by {difference:.1e}")
    return total


def measure(size: int) -> None:
    total = assert_equal(size)
    turns = take_turns(__file__, [*WAYS, *BOUNDS], [str(size)], RUNS)
    least = total / (2 * 2048**3 / min(turns["a matrix product"].seconds))
    apart = turns["bare convolutions"].median
    print(f"  the arithmetic alone {least:.2f} s, the bare convolutions {apart:.2f} s")
    whole = turns["reference"]
    for way in WAYS:
        own = turns[way]
        print(
            f"  {way:17s} {own.median:6.2f} s  {whole.median / own.median:4.1f} x  (the first {own.first:6.2f} s)  arithmetic "
            f"{least / own.median:4.0%}, bare convolutions {apart / own.median:4.0%}  peak {own.peak / MIB:5.0f} MiB "
            f"({own.peak / whole.peak:4.0%})"
        )


if __name__ == "__main__":
    torch.set_num_threads(2)
    if sys.argv[1:2] == ["serve"]:
        with torch.no_grad():
            serve(work_of(sys.argv[2], int(sys.argv[3])))
    else:
        for text in sys.argv[1:] or ["256", "1024"]:
            measure(int(text))
