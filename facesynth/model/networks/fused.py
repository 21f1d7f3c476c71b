"""Fused networks for inference on a CPU: a model in, a model with frozen weights out that is several times faster.

:func:`fuse` replaces layers by equivalent ones, up to rounding, that move less memory:

* modulation is applied to the weight or to the feature map, whichever is smaller, together with the gain of the activation;
  the sums over weights that demodulation needs are precomputed;
* batch norms are folded into the adjacent convolutions. At the border, where a convolution sees padding, their shift must not
  apply, so the border is corrected afterwards;
* the first convolutions of style heads that read the same feature map are merged.

Feature maps use the channels-last memory format, which is faster with oneDNN's convolutions.

Reference: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, section 2.2 (modulation).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesynth.model.networks.encoder import (
    BasicUnit,
    Encoder,
    GradualEncoder,
    LastLayerEncoder,
    ResidualUnit,
    StyleHead,
)
from facesynth.model.networks.layers import ModulatedConv, StyledLayer, ToRGB
from facesynth.model.networks.psp import LatentModel

if TYPE_CHECKING:
    from facesynth.model.networks.generator import Generator
    from facesynth.model.networks.psp import PSP

_GAIN = math.sqrt(2.0)
_SLOPE = 0.2


class FusedPSP(LatentModel):
    """A pSp model that gives the same faces as another, faster.

    Parameters
    ----------
    model : PSP
        float32. It is taken apart, so that no weight is held twice: its generator becomes this one's.
    """

    encoder: FrozenEncoder

    def __init__(self, model: PSP) -> None:
        super().__init__()
        model.eval().requires_grad_(requires_grad=False)
        self.config = model.config
        self.generator = _fuse_generator(model.generator)
        self.encoder = FrozenEncoder(model.encoder)
        self.spatial = None if model.spatial is None else model.spatial.to(memory_format=torch.channels_last)
        self.register_buffer("latent_avg", model.latent_avg)
        self._average_face: Tensor | None = None
        self.eval()

    def average_face(self) -> Tensor:
        """As :meth:`facesynth.model.networks.psp.LatentModel.average_face`; made once, since the weights are frozen."""
        if self._average_face is None:
            self._average_face = super().average_face()
        return self._average_face


def fuse(model: PSP) -> FusedPSP:
    """The fused twin of a model, which takes the model's place.

    Parameters
    ----------
    model : PSP
        float32; not to be used afterwards (see :class:`FusedPSP`).
    """
    return FusedPSP(model)


def _fuse_generator(generator: Generator) -> Generator:
    """Replace a generator's layers in place."""
    generator.first = cast("StyledLayer", FrozenStyledLayer(generator.first))
    generator.first_to_rgb = cast("ToRGB", FrozenToRGB(generator.first_to_rgb))
    for block in generator.blocks:
        for name in ("enlarge", "refine"):
            setattr(block, name, FrozenStyledLayer(getattr(block, name)))
        block.to_rgb = FrozenToRGB(cast("ToRGB", block.to_rgb))
    return generator


# ------------------------------------------------------------------------------------------------------- the generator


class FrozenModulatedConv(nn.Module):
    """A modulated convolution with precomputed weight energy and kernel layout.

    Parameters
    ----------
    conv
        The layer it stands for.
    gain
        What the output is multiplied by.
    """

    weight: Tensor
    energy: Tensor | None

    def __init__(self, conv: ModulatedConv, *, gain: float = 1.0) -> None:
        super().__init__()
        self.modulation = conv.modulation
        self.gain_in, self.gain = conv.gain, gain
        self.upsampling, self.padding = conv.upsampling, conv.padding
        weight = conv.weight.detach()
        energy = weight.square().sum(dim=(2, 3)) if conv.demodulate else None
        if self.upsampling:
            weight = weight.transpose(0, 1)
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("energy", energy)

    def forward(self, features: Tensor, style: Tensor, bias: Tensor | None = None) -> Tensor:
        """(N, I, H, W), (N, style_dim) and a bias (O,) to (N, O, H, W), or twice that size if upsampling."""
        scales: Tensor = self.modulation(style) * self.gain_in
        factors: Tensor | float = self.gain
        if self.energy is not None:
            factors = torch.rsqrt(scales.square() @ self.energy.t() + 1e-8) * self.gain
        weight = self.weight
        is_one = features.shape[0] == 1 and (weight.numel() < features.numel() or self.energy is None)
        if is_one:
            weight = self._modulated(scales[0], factors)
        else:
            features = features * scales[:, :, None, None]
        out = self._convolve(features, weight, bias if is_one else None)
        if not is_one:
            out *= factors[:, :, None, None] if isinstance(factors, Tensor) else factors
            if bias is not None:
                out += bias[:, None, None]
        return out

    def _modulated(self, scales: Tensor, factors: Tensor | float) -> Tensor:
        rows, columns = (1, 0) if self.upsampling else (0, 1)
        shape = [1, 1, 1, 1]
        shape[columns] = -1
        weight = self.weight * scales.reshape(shape)
        if isinstance(factors, Tensor):
            shape = [1, 1, 1, 1]
            shape[rows] = -1
            return weight.mul_(factors[0].reshape(shape))
        return weight.mul_(factors)

    def _convolve(self, features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not self.upsampling:
            return F.conv2d(features, weight, bias, padding=self.padding)
        taps = features.new_tensor((0.25, 0.75, 0.75, 0.25))
        kernel = torch.outer(taps, taps).expand(weight.shape[1], 1, 4, 4)
        larger = F.conv_transpose2d(features, weight, stride=2)
        return F.conv2d(larger, kernel, bias, padding=1, groups=weight.shape[1])


class FrozenStyledLayer(nn.Module):
    """A layer of the synthesis network with the activation's gain taken into weight, bias and noise.

    Parameters
    ----------
    layer
        The layer it stands for.
    """

    bias: Tensor
    noise: Tensor

    def __init__(self, layer: StyledLayer) -> None:
        super().__init__()
        self.resolution = layer.resolution
        self.conv = FrozenModulatedConv(layer.conv, gain=_GAIN)
        self.strength = float(layer.noise_strength.detach()) * _GAIN
        self.register_buffer("bias", layer.bias.detach() * _GAIN)
        self.register_buffer("noise", layer.noise.detach())

    def forward(self, features: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """Features (N, I, H, W), style (N, style_dim) and noise to features (N, O, H, W), or twice that size if upsampling.

        As :meth:`facesynth.model.networks.layers.StyledLayer.forward`.
        """
        out: Tensor = self.conv(features.contiguous(memory_format=torch.channels_last), style, self.bias)
        if noise is not None and self.strength:
            out += self.strength * noise
        return F.leaky_relu_(out, _SLOPE)


class FrozenToRGB(nn.Module):
    """What a resolution adds to the picture.

    Parameters
    ----------
    layer
        The layer it stands for.
    """

    bias: Tensor

    def __init__(self, layer: ToRGB) -> None:
        super().__init__()
        self.conv = FrozenModulatedConv(layer.conv)
        self.register_buffer("bias", layer.bias.detach().flatten())

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        """(N, I, H, W) and (N, style_dim) to (N, 3, H, W), as :meth:`facesynth.model.networks.layers.ToRGB.forward`."""
        rgb: Tensor = self.conv(features, style, self.bias)
        return rgb


# --------------------------------------------------------------------------------------------------------- the encoder


def _scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """The scale and shift of a batch norm in evaluation mode, (C,) each."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.detach() * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias.detach() - norm.running_mean * scale


class FrozenConv(nn.Module):
    """A convolution into which the batch norms before and after it are folded.

    Parameters
    ----------
    conv
        Without a bias, and with padding that keeps the size at stride 1; of 3 x 3 and stride 1 with a norm before.
    before, after
        Its batch norms.
    """

    weight: Tensor
    bias: Tensor
    rim: Tensor | None

    def __init__(
        self, conv: nn.Conv2d, *, before: nn.BatchNorm2d | None = None, after: nn.BatchNorm2d | None = None
    ) -> None:
        super().__init__()
        self.stride, self.padding = conv.stride, conv.weight.shape[-1] // 2
        weight = conv.weight.detach()
        if after is not None:
            scale, bias = _scale_and_shift(after)
            weight = weight * scale[:, None, None, None]
        else:
            bias = weight.new_zeros(weight.shape[0])
        rim = None
        if before is not None:
            scale, shift = _scale_and_shift(before)
            # A 3 x 3 map of the shift alone: its centre sees no padding, its rim sees the same padding as any map's rim.
            sums = F.conv2d(shift[None, :, None, None].expand(1, -1, 3, 3), weight, padding=1)
            bias = bias + sums[0, :, 1, 1]
            rim = sums - sums[:, :, 1:2, 1:2]
            weight = weight * scale[None, :, None, None]
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)
        self.register_buffer("rim", rim)

    def forward(self, features: Tensor) -> Tensor:
        """(N, I, H, W), H and W at least 2 where there is a norm before, to (N, O, H / stride, W / stride)."""
        out = F.conv2d(features, self.weight, self.bias, stride=self.stride, padding=self.padding)
        if self.rim is not None:  # stride 1, as in the first convolution of every unit
            rim = self.rim
            out[:, :, 0, 1:-1] += rim[:, :, 0, 1:2]
            out[:, :, -1, 1:-1] += rim[:, :, 2, 1:2]
            out[:, :, 1:-1, 0] += rim[:, :, 1:2, 0]
            out[:, :, 1:-1, -1] += rim[:, :, 1:2, 2]
            out[:, :, :: out.shape[2] - 1, :: out.shape[3] - 1] += rim[:, :, ::2, ::2]
        return out


class FrozenUnit(nn.Module):
    """A residual unit of two fused convolutions.

    Parameters
    ----------
    unit
        The unit it stands for.
    """

    def __init__(self, unit: ResidualUnit) -> None:
        super().__init__()
        self.conv_in = FrozenConv(unit.conv_in, before=unit.norm_in)
        self.activation = unit.activation
        self.conv_out = FrozenConv(unit.conv_out, after=unit.norm_out)
        self.attention = unit.attention
        self.shortcut = unit.shortcut
        self.stride = unit.stride

    def forward(self, features: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        out: Tensor = self.conv_out(self.activation(self.conv_in(features)))
        means = out.mean(dim=(2, 3), keepdim=True)
        factors = torch.sigmoid(self.attention.excite(F.relu(self.attention.squeeze(means))))
        shortcut: Tensor = self.shortcut(features[:, :, :: self.stride, :: self.stride])
        return torch.addcmul(shortcut, out, factors)


class FrozenBasicUnit(nn.Module):
    """A ResNet's unit of two fused convolutions.

    Parameters
    ----------
    unit
        The unit it stands for.
    """

    def __init__(self, unit: BasicUnit) -> None:
        super().__init__()
        self.conv_in = FrozenConv(unit.conv_in, after=unit.norm_in)
        self.conv_out = FrozenConv(unit.conv_out, after=unit.norm_out)
        self.shortcut = unit.shortcut
        self.stride = unit.stride

    def forward(self, features: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        out: Tensor = self.conv_out(F.relu_(self.conv_in(features)))
        return F.relu_(out + self.shortcut(features[:, :, :: self.stride, :: self.stride]))


class FrozenHeads(nn.Module):
    """The style heads that read the same feature map, with their first convolutions merged.

    Parameters
    ----------
    heads
        The heads they stand for, all of one size.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, heads: list[StyleHead]) -> None:
        super().__init__()
        firsts = [cast("nn.Conv2d", head.convs[0]) for head in heads]
        weight = torch.cat([conv.weight.detach() for conv in firsts])
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", torch.cat([cast("Tensor", conv.bias).detach() for conv in firsts]))
        self.rests = nn.ModuleList(head.convs[1:] for head in heads).to(memory_format=torch.channels_last)
        self.linears = nn.ModuleList(head.linear for head in heads)

    def forward(self, features: Tensor) -> list[Tensor]:
        """(N, width, H, W) to one code (N, width) per head."""
        firsts = F.conv2d(features, self.weight, self.bias, stride=2, padding=1).chunk(len(self.rests), dim=1)
        return [
            linear(rest(first.contiguous(memory_format=torch.channels_last)).flatten(1))
            for first, rest, linear in zip(firsts, self.rests, self.linears, strict=True)
        ]


def _frozen(unit: nn.Module) -> FrozenUnit | FrozenBasicUnit:
    """The fused twin of one of the trunk's units."""
    return FrozenBasicUnit(unit) if isinstance(unit, BasicUnit) else FrozenUnit(cast("ResidualUnit", unit))


class FrozenEncoder(nn.Module):
    """The encoder with batch norms folded into convolutions and style heads grouped by the feature map that they read.

    Parameters
    ----------
    encoder
        The encoder it stands for, in evaluation mode.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self._check = encoder._check
        stem = encoder.trunk.stem
        self.stem = FrozenConv(cast("nn.Conv2d", stem[0]), after=cast("nn.BatchNorm2d", stem[1]))
        self.activation = stem[2]
        self.stages = nn.ModuleList()
        for stage in encoder.trunk.stages:
            self.stages.append(nn.Sequential(*(_frozen(unit) for unit in cast("nn.Sequential", stage))))
        self.taps = encoder.trunk.taps
        self.head = encoder.head if isinstance(encoder, LastLayerEncoder) else None
        if isinstance(encoder, GradualEncoder):
            self._join(encoder)

    def _join(self, encoder: GradualEncoder) -> None:
        self.pyramid = encoder.pyramid
        self.head_taps = encoder.head_taps
        self.heads = nn.ModuleDict(
            {
                tap: FrozenHeads(
                    [
                        cast("StyleHead", head)
                        for head, its_tap in zip(encoder.heads, encoder.head_taps, strict=True)
                        if its_tap == tap
                    ]
                )
                for tap in dict.fromkeys(encoder.head_taps)
            }
        )

    def forward(self, condition: Tensor) -> Tensor:
        """(N, encoder_input_channels, input_size, input_size) to codes.

        As :meth:`facesynth.model.networks.encoder.Encoder.forward`.
        """
        self._check(condition)
        features = self.activation(self.stem(condition.contiguous(memory_format=torch.channels_last)))
        features = self.stages[0](features)
        maps = {}
        for tap, stage in zip(self.taps, self.stages[1:], strict=True):
            maps[tap.name] = features = stage(features)
        if self.head is not None:
            codes_of_last: Tensor = self.head(features)
            return codes_of_last
        joined = self.pyramid(maps)
        codes = {tap: iter(heads(joined[tap])) for tap, heads in self.heads.items()}
        return torch.stack([next(codes[tap]) for tap in self.head_taps], dim=1)
