"""The pieces that a style-based generator is made of.

Feature maps (N, C, H, W) flow through them, each steered by a style (N, D). Every piece treats the samples of a batch
apart from each other, and all of it is plain PyTorch: cpu, cuda and mps, float32 or under bfloat16 autocast.

References: Karras et al., "Progressive Growing of GANs", ICLR 2018, section 4.1 (equalised learning rate); Karras et
al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, section 2.2 and appendix B (demodulation).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LEAKY_SLOPE = 0.2


def scaled_leaky_relu(features: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2 times sqrt(2), which keeps the second moment of a normal input near 1.

    Parameters
    ----------
    features
        Any shape, any range.

    Returns
    -------
    Tensor
        The same shape.
    """
    return F.leaky_relu(features, _LEAKY_SLOPE) * math.sqrt(2.0)


def pixel_norm(vectors: Tensor) -> Tensor:
    """Every vector scaled to a mean square of 1.

    Parameters
    ----------
    vectors
        (N, D).

    Returns
    -------
    Tensor
        (N, D), float32.
    """
    vectors = vectors.float()
    return vectors * torch.rsqrt(vectors.square().mean(dim=1, keepdim=True) + 1e-8)


def binomial_kernel(like: Tensor) -> Tensor:
    """The (C, 1, 4, 4) depthwise filter [1, 3, 3, 1] x [1, 3, 3, 1] for a map with C channels.

    Its taps sum to 4, which makes up for the three zeros that upsampling by 2 puts beside every pixel. Filling it in on
    the device spares a copy from the host in every layer.
    """
    taps = like.new_full((4,), 0.75)
    taps[::3] = 0.25
    return torch.outer(taps, taps).expand(like.shape[1], 1, 4, 4)


def blur_upsampled(features: Tensor) -> Tensor:
    """The [1, 3, 3, 1] low-pass filter over a map that a strided transposed 3 x 3 convolution has just made.

    Parameters
    ----------
    features
        (N, C, 2 H + 1, 2 W + 1).

    Returns
    -------
    Tensor
        (N, C, 2 H, 2 W), with the gain of 4 that zero insertion needs.
    """
    return F.conv2d(features, binomial_kernel(features), padding=1, groups=features.shape[1])


def upsample(picture: Tensor) -> Tensor:
    """A picture at twice its size, by zero insertion and the [1, 3, 3, 1] filter; zeros lie beyond the border.

    Parameters
    ----------
    picture
        (N, C, H, W).

    Returns
    -------
    Tensor
        (N, C, 2 H, 2 W).
    """
    return F.conv_transpose2d(picture, binomial_kernel(picture), stride=2, padding=1, groups=picture.shape[1])


class EqualizedLinear(nn.Module):
    """A linear layer whose weights are stored as N(0, 1) and scaled by 1 / sqrt(fan-in) when used.

    Parameters
    ----------
    in_features, out_features
        Dimensions of the vectors that go in and come out.
    bias_init
        First value of every bias.
    lr_multiplier
        How much slower than the rest of the network this layer learns. Weights and bias are stored divided by it.
    """

    def __init__(
        self, in_features: int, out_features: int, *, bias_init: float = 0.0, lr_multiplier: float = 1.0
    ) -> None:
        super().__init__()
        self.lr_multiplier = lr_multiplier
        self.gain = lr_multiplier / math.sqrt(in_features)
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_multiplier))

    def forward(self, vectors: Tensor) -> Tensor:
        """(N, in_features) to (N, out_features)."""
        return F.linear(vectors, self.weight * self.gain, self.bias * self.lr_multiplier)


class ModulatedConv(nn.Module):
    """A convolution whose weight each sample's style scales by input channel, with unit variance restored afterwards.

    Scaling the weight's input channels is the same as scaling the input, and demodulating its output channels the same
    as scaling the output. So one shared convolution serves the whole batch, and no weight is ever built for a sample.

    Parameters
    ----------
    in_channels, out_channels
        Channels of the maps that go in and come out.
    kernel_size
        Side of the kernel, odd; 3 where ``upsampling``.
    style_dim
        Dimension of a style.
    demodulate
        Divide each output channel by the norm of its modulated weight.
    upsampling
        Double the size: transposed convolution with stride 2, then the [1, 3, 3, 1] filter.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        style_dim: int,
        *,
        demodulate: bool = True,
        upsampling: bool = False,
    ) -> None:
        super().__init__()
        self.demodulate = demodulate
        self.upsampling = upsampling
        self.padding = kernel_size // 2
        self.gain = 1.0 / math.sqrt(in_channels * kernel_size**2)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.modulation = EqualizedLinear(style_dim, in_channels, bias_init=1.0)

    def demodulation(self, scales: Tensor) -> Tensor:
        """Output factors (N, out_channels) that undo what ``scales`` (N, in_channels) do to the variance; float32.

        A product and a sum, because autocast would take a matrix product to bfloat16.
        """
        energy = self.weight.float().square().sum(dim=(2, 3))
        return torch.rsqrt((scales.float().square()[:, None, :] * energy).sum(dim=2) + 1e-8)

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        """(N, in_channels, H, W) and (N, style_dim) to (N, out_channels, H, W), or twice that size if upsampling."""
        scales: Tensor = self.modulation(style) * self.gain
        modulated = features * scales[:, :, None, None].to(features.dtype)
        if self.upsampling:
            convolved = blur_upsampled(F.conv_transpose2d(modulated, self.weight.transpose(0, 1), stride=2))
        else:
            convolved = F.conv2d(modulated, self.weight, padding=self.padding)
        if not self.demodulate:
            return convolved
        return convolved * self.demodulation(scales)[:, :, None, None].to(convolved.dtype)


class StyledLayer(nn.Module):
    """One layer of the synthesis network: modulated 3 x 3 convolution, noise, bias, scaled leaky ReLU.

    Parameters
    ----------
    in_channels, out_channels
        Channels of the maps that go in and come out.
    style_dim
        Dimension of a style.
    resolution
        Height and width of what comes out, pixels.
    upsampling
        Whether what goes in is half that size.
    """

    noise: Tensor
    """The layer's constant noise, (resolution, resolution)."""

    def __init__(
        self, in_channels: int, out_channels: int, style_dim: int, resolution: int, *, upsampling: bool
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.conv = ModulatedConv(in_channels, out_channels, 3, style_dim, upsampling=upsampling)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(resolution, resolution))

    def forward(self, features: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """Features, style (N, style_dim) and noise, which broadcasts to (N, 1, resolution, resolution), to features."""
        out: Tensor = self.conv(features, style)
        if noise is not None:
            out = out + (self.noise_strength * noise).to(out.dtype)
        return scaled_leaky_relu(out + self.bias[:, None, None].to(out.dtype))


class ToRGB(nn.Module):
    """What a resolution adds to the picture: modulated 1 x 1 convolution to three channels, not demodulated.

    Parameters
    ----------
    in_channels
        Channels of the features.
    style_dim
        Dimension of a style.
    """

    def __init__(self, in_channels: int, style_dim: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(in_channels, 3, 1, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3, 1, 1))

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        """(N, in_channels, H, W) and (N, style_dim) to (N, 3, H, W), float32."""
        rgb: Tensor = self.conv(features, style)
        return rgb.float() + self.bias.float()
