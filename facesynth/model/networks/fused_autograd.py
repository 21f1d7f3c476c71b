"""A frozen generator to train an encoder through: latents in, pictures out, and gradients for the latents alone.

:func:`freeze_for_training` gives a generator's twin, which shares its weights where their layout allows it. The generator
itself stays as it is, with the state dict that checkpoints hold.

A layer is one step of the graph and keeps its output only, which the next layer keeps as its input anyway: from a leaky ReLU's
output follow its input and, less bias and noise, the demodulated convolution, which is all that its gradients need. No weight
has a gradient, so nothing is kept for one. The gradient of a convolution's input is a convolution with the kernel turned about;
that of an upsampling one is a convolution of stride 2 after its blur.

References: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, section 2.2 (the layers);
Rota Bulò et al., "In-Place Activated BatchNorm for Memory-Optimized Training of DNNs", CVPR 2018, section 3 (inputs found
again from outputs).
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
    """A twin of a generator whose layers pass gradients on to the latents, and keep as little as that needs.

    Parameters
    ----------
    generator : Generator
        float32. It stays as it is; the twin stands for its weights of now.

    Returns
    -------
    Generator
        Takes the same latents and noise, gives the same pictures.
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
    """A layer of the synthesis network through which gradients reach features and styles.

    Parameters
    ----------
    layer
        The layer it stands for.
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
        """As :class:`facesynth.model.networks.layers.StyledLayer`."""
        scales: Tensor = self.modulation(style) * self.scale
        factors = torch.rsqrt(scales.square() @ self.energy.t() + 1e-8) * _GAIN
        noise = None if noise is None else self.strength * _GAIN * noise
        features = features.contiguous(memory_format=torch.channels_last)
        out: Tensor = _Layer.apply(features, scales, factors, self.conv, self.bias, noise)
        return out


class FrozenTrainingRGB(nn.Module):
    """What a resolution adds to the picture: a matrix product a row of pixels, so that no scaled map is kept.

    One product a sample would do, but the gradient of its weight, a few numbers out of all pixels, is slow on a CPU.

    Parameters
    ----------
    layer
        The layer it stands for.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: ToRGB) -> None:
        super().__init__()
        self.modulation = copy.deepcopy(layer.conv.modulation).requires_grad_(requires_grad=False)
        self.register_buffer("weight", layer.conv.weight.detach()[:, :, 0, 0].t() * layer.conv.gain)
        self.register_buffer("bias", layer.bias.detach())

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        """As :class:`facesynth.model.networks.layers.ToRGB`."""
        weight = self.modulation(style)[:, :, None] * self.weight
        picture: Tensor = (features.permute(0, 2, 3, 1) @ weight[:, None]).permute(0, 3, 1, 2) + self.bias
        return picture


class _Layer(torch.autograd.Function):
    """Scaled, convolved and scaled again, with bias, noise and activation; the module's first lines say what it keeps."""

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
        by_factors = _inner(grad, linear) - grad.sum(dim=(2, 3)) * bias
        if noise is not None:
            by_factors -= _inner(grad, noise.expand(len(grad), 1, -1, -1))
        by_factors /= factors
        by_scaled: Tensor = ctx.conv.input_gradient(grad.mul_(factors[:, :, None, None]))
        by_scales = _inner(by_scaled, features)
        by_features = by_scaled.mul_(scales[:, :, None, None])
        return by_features, by_scales, by_factors, None, None, None


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Sums over the pixels of the product of two maps, (N, C)."""
    return (a * b).sum(dim=(2, 3))


class _Convolution(nn.Module):
    """The linear part of a layer, and what takes a gradient back through it; the weight is the layer's own.

    Parameters
    ----------
    conv
        The layer it stands for.
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
        """The gradient of what went in, from that of what came out."""
        if not self.upsampling:
            return F.conv_transpose2d(grad, self.weight, padding=1)
        blurred = F.conv2d(grad, binomial_kernel(grad), padding=2, groups=grad.shape[1])  # the filter is its own mirror
        return F.conv2d(blurred, self.weight.transpose(0, 1), stride=2)
