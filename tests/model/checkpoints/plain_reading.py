"""The layout of e4e's and ReStyle's files at small sizes, and their forward passes in functional torch.

Written from the papers and the published layout alone, without facesynth's networks: Tov et al., "Designing an Encoder for
StyleGAN Image Manipulation", SIGGRAPH 2021; Alaluf et al., "ReStyle", ICCV 2021; Karras et al., StyleGAN2, CVPR 2020.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import recipe

UNITS, WIDTHS, DIM = (2, 1, 3, 1), (4, 8, 12, 16), 16
LEAVES = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Published:
    """A published model: the class of its encoder, channels of its input, sizes in pixels, and ReStyle's passes."""

    encoder_type: str
    channels: int = 6
    input_size: int = 64
    output_size: int = 64
    passes: int = 0

    @property
    def is_resnet(self) -> bool:
        return self.encoder_type.startswith("ResNet")

    @property
    def has_pyramid(self) -> bool:
        return "Gradual" in self.encoder_type or self.encoder_type == "Encoder4Editing"

    @property
    def has_offsets(self) -> bool:
        return self.encoder_type == "Encoder4Editing" or "Progressive" in self.encoder_type

    @property
    def n_styles(self) -> int:
        return 2 * int(math.log2(self.output_size)) - 2

    def stride(self, layer: int) -> int:
        """The stride of the feature map that a layer's head reads."""
        if not self.has_pyramid or layer < 3:
            return 16
        return 8 if layer < 7 else 4

    def opts(self) -> dict[str, Any]:
        opts: dict[str, Any] = {
            "dataset_type": "ffhq_encode",
            "encoder_type": self.encoder_type,
            "output_size": self.output_size,
            "device": "cuda:0",
            "start_from_latent_avg": True,
            "checkpoint_path": None,
        }
        if self.encoder_type == "Encoder4Editing":
            return opts | {"progressive_steps": [0, 20000, 22000], "delta_norm": 2, "stylegan_size": self.output_size}
        return opts | {"input_nc": self.channels, "n_iters_per_batch": self.passes}

    def content(self) -> dict[str, Any]:
        """What the published file holds."""
        state = {key: recipe.published_tensor(key, shape, "float32") for key, shape in self.shapes().items()}
        state |= {
            key.replace("running_var", "num_batches_tracked"): torch.tensor(0) for key in state if "running_var" in key
        }
        average = 0.2 * recipe.normal("latent_avg", self.n_styles, DIM)
        return {"state_dict": state, "latent_avg": average, "opts": self.opts()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each floating-point tensor."""
        shapes = {f"encoder.{key}": shape for key, shape in self._encoder_shapes().items()}
        return shapes | {f"decoder.{key}": shape for key, shape in _decoder_shapes(self.output_size).items()}

    def _encoder_shapes(self) -> dict[str, tuple[int, ...]]:
        width = WIDTHS[0]
        if self.is_resnet:
            shapes = {"conv1.weight": (width, self.channels, 7, 7), **_norm("bn1", width), "relu.weight": (width,)}
        else:
            shapes = {"input_layer.0.weight": (width, self.channels, 3, 3), **_norm("input_layer.1", width)}
            shapes["input_layer.2.weight"] = (width,)
        for index, (stride, out) in enumerate(self.units()):
            name = f"body.{index}."
            if self.is_resnet:
                shapes |= {f"{name}conv1.weight": (out, width, 3, 3), **_norm(f"{name}bn1", out)}
                shapes |= {f"{name}conv2.weight": (out, out, 3, 3), **_norm(f"{name}bn2", out)}
                if stride == 2 or out != width:
                    shapes |= {f"{name}downsample.0.weight": (out, width, 1, 1), **_norm(f"{name}downsample.1", out)}
            else:
                shapes |= {**_norm(f"{name}res_layer.0", width), f"{name}res_layer.1.weight": (out, width, 3, 3)}
                shapes |= {f"{name}res_layer.2.weight": (out,), f"{name}res_layer.3.weight": (out, out, 3, 3)}
                shapes |= _norm(f"{name}res_layer.4", out)
                hidden = max(1, out // 16)
                shapes[f"{name}res_layer.5.fc1.weight"] = (hidden, out, 1, 1)
                shapes[f"{name}res_layer.5.fc2.weight"] = (out, hidden, 1, 1)
                if out != width:
                    shapes[f"{name}shortcut_layer.0.weight"] = (out, width, 1, 1)
                    shapes |= _norm(f"{name}shortcut_layer.1", out)
            width = out
        for layer in range(self.n_styles):
            for conv in range(int(math.log2(self.input_size // self.stride(layer)))):
                shapes[f"styles.{layer}.convs.{2 * conv}.weight"] = (DIM, DIM, 3, 3)
                shapes[f"styles.{layer}.convs.{2 * conv}.bias"] = (DIM,)
            shapes |= {f"styles.{layer}.linear.weight": (DIM, DIM), f"styles.{layer}.linear.bias": (DIM,)}
        if self.has_pyramid:
            for name, channels in (("latlayer1", WIDTHS[2]), ("latlayer2", WIDTHS[1])):
                shapes |= {f"{name}.weight": (DIM, channels, 1, 1), f"{name}.bias": (DIM,)}
        return shapes

    def units(self) -> list[tuple[int, int]]:
        """The stride and the output channels of every residual unit."""
        units = []
        for stage, (count, out) in enumerate(zip(UNITS, WIDTHS, strict=True)):
            first = 1 if self.is_resnet and stage == 0 else 2
            units += [(first, out)] + [(1, out)] * (count - 1)
        return units


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{leaf}": (width,) for leaf in LEAVES}


def _decoder_shapes(size: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"input.input": (1, 16, 4, 4)}
    for i in (1, 2):
        shapes |= {f"style.{i}.weight": (DIM, DIM), f"style.{i}.bias": (DIM,)}

    def styled(name: str, noise: int, width: int, out: int, resolution: int) -> None:
        shapes[f"{name}.conv.weight"] = (1, out, width, 3, 3)
        shapes[f"{name}.conv.modulation.weight"] = (width, DIM)
        shapes[f"{name}.conv.modulation.bias"] = (width,)
        shapes[f"{name}.noise.weight"], shapes[f"{name}.activate.bias"] = (1,), (out,)
        shapes[f"noises.noise_{noise}"] = (1, 1, resolution, resolution)

    def rgb(name: str, width: int) -> None:
        shapes[f"{name}.conv.weight"] = (1, 3, width, 1, 1)
        shapes[f"{name}.conv.modulation.weight"] = (width, DIM)
        shapes[f"{name}.conv.modulation.bias"], shapes[f"{name}.bias"] = (width,), (1, 3, 1, 1)

    styled("conv1", 0, 16, 16, 4)
    rgb("to_rgb1", 16)
    width = 16
    for block in range(int(math.log2(size)) - 2):
        resolution = 8 << block
        out = min(16, 512 // resolution)
        styled(f"convs.{2 * block}", 2 * block + 1, width, out, resolution)
        styled(f"convs.{2 * block + 1}", 2 * block + 2, out, out, resolution)
        rgb(f"to_rgbs.{block}", out)
        shapes[f"convs.{2 * block}.conv.blur.kernel"] = shapes[f"to_rgbs.{block}.upsample.kernel"] = (4, 4)
        width = out
    return shapes


# ------------------------------------------------------------------------------------------------------ forward passes


def passes(given: Published, content: dict[str, Any], photo: Tensor) -> tuple[list[Tensor], Tensor]:
    """The latents after each pass and the last face, at the generator's size: pSp's and e4e's single pass, or ReStyle's."""
    state, average = content["state_dict"], content["latent_avg"]
    if not given.passes:
        latents = average + predict(given, state, photo)
        return [latents], generate(state, latents)
    seen = F.adaptive_avg_pool2d(generate(state, average[None]), given.input_size).repeat(len(photo), 1, 1, 1)
    latents, after, face = average[None], [], seen
    for _ in range(given.passes):
        latents = latents + predict(given, state, torch.cat([photo, seen], dim=1))
        face = generate(state, latents)
        seen = F.adaptive_avg_pool2d(face, given.input_size)
        after.append(latents)
    return after, face


def predict(given: Published, state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The encoder's codes."""
    maps: dict[int, Tensor] = {}
    if given.is_resnet:
        x = F.conv2d(x, state["encoder.conv1.weight"], stride=2, padding=3)
        x = F.prelu(_normed(state, "encoder.bn1", x), state["encoder.relu.weight"])
    else:
        x = F.conv2d(x, state["encoder.input_layer.0.weight"], padding=1)
        x = F.prelu(_normed(state, "encoder.input_layer.1", x), state["encoder.input_layer.2.weight"])
    for index, (stride, _) in enumerate(given.units()):
        x = (_resnet_unit if given.is_resnet else _ir_se_unit)(state, f"encoder.body.{index}.", x, stride)
        maps[given.input_size // x.shape[2]] = x
    if given.has_pyramid:
        for fine, name in ((8, "latlayer1"), (4, "latlayer2")):
            lateral = F.conv2d(maps[fine], state[f"encoder.{name}.weight"], state[f"encoder.{name}.bias"])
            coarser = F.interpolate(maps[2 * fine], size=lateral.shape[2:], mode="bilinear", align_corners=True)
            maps[fine] = lateral + coarser
    codes = torch.stack([_head(state, layer, maps[given.stride(layer)]) for layer in range(given.n_styles)], dim=1)
    if given.has_offsets:
        codes[:, 1:] += codes[:, :1].clone()
    return codes


def _head(state: dict[str, Tensor], layer: int, x: Tensor) -> Tensor:
    name = f"encoder.styles.{layer}"
    while x.shape[2] > 1:
        conv = f"{name}.convs.{2 * (int(math.log2(_first_size(state, name))) - int(math.log2(x.shape[2])))}"
        x = F.leaky_relu(F.conv2d(x, state[f"{conv}.weight"], state[f"{conv}.bias"], stride=2, padding=1), 0.01)
    return _linear(state, f"{name}.linear", x.flatten(1))


def _first_size(state: dict[str, Tensor], name: str) -> int:
    return 1 << sum(1 for _ in itertools.takewhile(lambda i: f"{name}.convs.{2 * i}.weight" in state, range(9)))


def _linear(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    weight = state[f"{name}.weight"]
    return F.linear(x, weight / math.sqrt(weight.shape[1]), state[f"{name}.bias"])


def _normed(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    weight, bias, mean, var = (state[f"{name}.{leaf}"] for leaf in LEAVES)
    return F.batch_norm(x, mean, var, weight, bias)


def _ir_se_unit(state: dict[str, Tensor], name: str, x: Tensor, stride: int) -> Tensor:
    shortcut = F.max_pool2d(x, 1, stride)
    if f"{name}shortcut_layer.0.weight" in state:
        shortcut = F.conv2d(x, state[f"{name}shortcut_layer.0.weight"], stride=stride)
        shortcut = _normed(state, f"{name}shortcut_layer.1", shortcut)
    x = F.conv2d(_normed(state, f"{name}res_layer.0", x), state[f"{name}res_layer.1.weight"], padding=1)
    x = F.prelu(x, state[f"{name}res_layer.2.weight"])
    x = F.conv2d(x, state[f"{name}res_layer.3.weight"], stride=stride, padding=1)
    x = _normed(state, f"{name}res_layer.4", x)
    hidden = F.relu(F.conv2d(F.adaptive_avg_pool2d(x, 1), state[f"{name}res_layer.5.fc1.weight"]))
    return x * torch.sigmoid(F.conv2d(hidden, state[f"{name}res_layer.5.fc2.weight"])) + shortcut


def _resnet_unit(state: dict[str, Tensor], name: str, x: Tensor, stride: int) -> Tensor:
    shortcut = x
    if f"{name}downsample.0.weight" in state:
        shortcut = F.conv2d(x, state[f"{name}downsample.0.weight"], stride=stride)
        shortcut = _normed(state, f"{name}downsample.1", shortcut)
    x = F.conv2d(x, state[f"{name}conv1.weight"], stride=stride, padding=1)
    x = F.conv2d(F.relu(_normed(state, f"{name}bn1", x)), state[f"{name}conv2.weight"], padding=1)
    return F.relu(_normed(state, f"{name}bn2", x) + shortcut)


def generate(state: dict[str, Tensor], latents: Tensor) -> Tensor:
    """StyleGAN2's synthesis with its stored noise."""
    x = state["decoder.input.input"].repeat(len(latents), 1, 1, 1)
    x = _styled(state, "decoder.conv1", 0, x, latents[:, 0], upsamples=False)
    picture = _rgb(state, "decoder.to_rgb1", x, latents[:, 1])
    for block in range(latents.shape[1] // 2 - 1):
        i = 2 * block + 1
        x = _styled(state, f"decoder.convs.{2 * block}", i, x, latents[:, i], upsamples=True)
        x = _styled(state, f"decoder.convs.{2 * block + 1}", i + 1, x, latents[:, i + 1], upsamples=False)
        larger = torch.zeros(*picture.shape[:2], *x.shape[2:])
        larger[:, :, ::2, ::2] = picture
        picture = _blurred(F.pad(larger, (2, 1, 2, 1)), 4) + _rgb(
            state, f"decoder.to_rgbs.{block}", x, latents[:, i + 2]
        )
    return picture


def _modulated(
    state: dict[str, Tensor], name: str, x: Tensor, style: Tensor, *, demodulates: bool, upsamples: bool
) -> Tensor:
    weight = state[f"{name}.conv.weight"]
    weight = weight / math.sqrt(math.prod(weight.shape[2:]))
    weight = weight * _linear(state, f"{name}.conv.modulation", style)[:, None, :, None, None]
    if demodulates:
        weight = weight * torch.rsqrt(weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8)
    if not upsamples:
        return torch.cat([F.conv2d(one[None], w, padding="same") for one, w in zip(x, weight, strict=True)])
    larger = [F.conv_transpose2d(one[None], w.transpose(0, 1), stride=2) for one, w in zip(x, weight, strict=True)]
    return _blurred(F.pad(torch.cat(larger), (1, 1, 1, 1)), 4)


def _styled(state: dict[str, Tensor], name: str, noise: int, x: Tensor, style: Tensor, *, upsamples: bool) -> Tensor:
    x = _modulated(state, name, x, style, demodulates=True, upsamples=upsamples)
    x = x + state[f"{name}.noise.weight"] * state[f"decoder.noises.noise_{noise}"]
    return math.sqrt(2) * F.leaky_relu(x + state[f"{name}.activate.bias"][:, None, None], 0.2)


def _rgb(state: dict[str, Tensor], name: str, x: Tensor, style: Tensor) -> Tensor:
    return _modulated(state, name, x, style, demodulates=False, upsamples=False) + state[f"{name}.bias"]


def _blurred(x: Tensor, gain: float) -> Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = gain * torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, groups=x.shape[1])
