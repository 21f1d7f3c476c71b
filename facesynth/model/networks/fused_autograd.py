"""A frozen generator for training an encoder: latents in, pictures out, and gradients only for the latents.

:func:`freeze_for_training` returns a copy of a generator that shares its weights where their layout allows it. The generator
itself does not change, nor does the state dict that checkpoints store.

Each layer is one node of the autograd graph and saves only its output, which the next layer saves as its input anyway. The
input of a leaky ReLU can be recovered from its output; minus bias and noise, this is the demodulated convolution, which is all
that the gradients need. Weights have no gradients, so nothing is saved for them. The gradient with respect to a convolution's
input is a convolution with the flipped kernel; that of an upsampling convolution is its blur, then a convolution of stride 2.

References: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, section 2.2 (the layers);
Rota Bulò et al., "In-Place Activated BatchNorm for Memory-Optimized Training of DNNs", CVPR 2018, section 3 (recovering
inputs from outputs).
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesynth.model.networks.layers import binomial_kernel, blur_upsampled

if TYPE_CHECKING:
    from facesynth.model.networks.generator import Generator
    from facesynth.model.networks.layers import ModulatedConv, StyledLayer, ToRGB

_GAIN = math.sqrt(2.0)
_SLOPE = 0.2


def freeze_for_training(generator: Generator) -> Generator:
    """A copy of a generator with memory-efficient layers that propagate gradients only to the latents.

    Parameters
    ----------
    generator : Generator
        In float32. It is not changed. The copy represents its weights at the time of the call.

    Returns
    -------
    Generator
        Takes the same latents and noise and returns the same pictures.
    """
    shared = {id(value): value for value in [*generator.parameters(), *generator.buffers()]}
    twin = copy.deepcopy(generator, shared)
    twin.first = cast("StyledLayer", FrozenTrainingLayer(generator.first))
    twin.first_to_rgb = cast("ToRGB", FrozenTrainingRGB(generator.first_to_rgb))
    for block in twin.blocks:
        for name in ("enlarge", "refine"):
            setattr(block, name, FrozenTrainingLayer(getattr(block, name)))
        block.to_rgb = FrozenTrainingRGB(cast("ToRGB", block.to_rgb))
    return twin


class FrozenTrainingLayer(nn.Module):
    """A frozen layer of the synthesis network with gradients for features and styles.

    Parameters
    ----------
    layer
        The layer that it replaces.
    """

    energy: Tensor
    bias: Tensor
    noise: Tensor

    def __init__(self, layer: StyledLayer) -> None:
        super().__init__()
        self.resolution = layer.resolution
        self.conv = _Convolution(layer.conv)
        self.modulation = copy.deepcopy(layer.conv.modulation).requires_grad_(requires_grad=False)
        self.scale = layer.conv.gain
        self.strength = layer.noise_strength
        self.register_buffer("energy", layer.conv.weight.detach().square().sum(dim=(2, 3)))
        self.register_buffer("bias", layer.bias.detach() * _GAIN)
        self.register_buffer("noise", layer.noise)

    def forward(self, features: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """Features (N, I, H, W), style (N, style_dim) and noise to features (N, O, H, W), or twice that size if upsampling.

        As :meth:`facesynth.model.networks.layers.StyledLayer.forward`, in float32.
        """
        scales: Tensor = self.modulation(style) * self.scale
        factors = torch.rsqrt(scales.square() @ self.energy.t() + 1e-8) * _GAIN
        noise = None if noise is None else self.strength * _GAIN * noise
        features = features.contiguous(memory_format=torch.channels_last)
        out: Tensor = _Layer.apply(features, scales, factors, self.conv, self.bias, noise)
        return out


class FrozenTrainingRGB(nn.Module):
    """A resolution's contribution to the picture: one matrix product per row of pixels, so that no scaled map is saved.

    One product per sample would suffice, but the gradient of its weight, which reduces all pixels to a few numbers, is slow on
    a CPU.

    Parameters
    ----------
    layer
        The layer that it replaces.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: ToRGB) -> None:
        super().__init__()
        self.modulation = copy.deepcopy(layer.conv.modulation).requires_grad_(requires_grad=False)
        self.register_buffer("weight", layer.conv.weight.detach()[:, :, 0, 0].t() * layer.conv.gain)
        self.register_buffer("bias", layer.bias.detach())

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        """Features (N, I, H, W) and style (N, style_dim) to (N, 3, H, W), float32.

        As :meth:`facesynth.model.networks.layers.ToRGB.forward`.
        """
        weight = self.modulation(style)[:, :, None] * self.weight
        picture: Tensor = (features.permute(0, 2, 3, 1) @ weight[:, None]).permute(0, 3, 1, 2) + self.bias
        return picture


class _Layer(torch.autograd.Function):
    """Modulation, convolution, demodulation, bias, noise and activation; the module's docstring states what is saved."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        scales: Tensor,
        factors: Tensor,
        conv: _Convolution,
        bias: Tensor,
        noise: Tensor | None,
    ) -> Tensor:
        out: Tensor = conv(features * scales[:, :, None, None]).contiguous(memory_format=torch.channels_last)
        out.mul_(factors[:, :, None, None]).add_(bias[:, None, None])
        if noise is not None:
            out += noise
        F.leaky_relu_(out, _SLOPE)
        ctx.save_for_backward(features, scales, factors, out, bias, noise)
        ctx.conv = conv
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        features, scales, factors, out, bias, noise = ctx.saved_tensors
        linear = F.leaky_relu(out, 1 / _SLOPE)
        grad = torch.ops.aten.leaky_relu_backward(grad.contiguous(memory_format=torch.channels_last), out, _SLOPE, True)
        factors_grad = _inner(grad, linear) - grad.sum(dim=(2, 3)) * bias
        if noise is not None:
            factors_grad -= _inner(grad, noise.expand(len(grad), 1, -1, -1))
        factors_grad /= factors
        scaled_grad: Tensor = ctx.conv.input_gradient(grad.mul_(factors[:, :, None, None]))
        scales_grad = _inner(scaled_grad, features)
        features_grad = scaled_grad.mul_(scales[:, :, None, None])
        return features_grad, scales_grad, factors_grad, None, None, None


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """The inner products over the pixels of two feature maps (N, C, H, W), (N, C)."""
    return (a * b).sum(dim=(2, 3))


class _Convolution(nn.Module):
    """The convolution of a layer, without modulation, and its gradient; it shares the layer's weight.

    Parameters
    ----------
    conv
        The layer that it replaces.
    """

    weight: Tensor

    def __init__(self, conv: ModulatedConv) -> None:
        super().__init__()
        self.upsampling = conv.upsampling
        self.register_buffer("weight", conv.weight.detach())

    def forward(self, scaled: Tensor) -> Tensor:
        """(N, I, H, W) to (N, O, H, W), or twice that size if upsampling."""
        if self.upsampling:
            return blur_upsampled(F.conv_transpose2d(scaled, self.weight.transpose(0, 1), stride=2))
        return F.conv2d(scaled, self.weight, padding=1)

    def input_gradient(self, grad: Tensor) -> Tensor:
        """The gradient with respect to the input, from that with respect to the output."""
        if not self.upsampling:
            return F.conv_transpose2d(grad, self.weight, padding=1)
        blurred = F.conv2d(grad, binomial_kernel(grad), padding=2, groups=grad.shape[1])  # the filter is symmetric
        return F.conv2d(blurred, self.weight.transpose(0, 1), stride=2)
