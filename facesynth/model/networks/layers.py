"""Layers of a style-based generator: feature maps (N, C, H, W) and styles (N, D) in, feature maps out.

Every layer processes the samples of a batch independently. All layers are plain PyTorch and run on cpu, cuda and mps, in
float32 or under bfloat16 autocast.

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
    """Leaky ReLU with slope 0.2, times sqrt(2), which keeps the second moment of a normal input near 1.

    Parameters
    ----------
    features
        Floating-point tensor of any shape and range.

    Returns
    -------
    Tensor
        Of the same shape and dtype.
    """
    return F.leaky_relu(features, _LEAKY_SLOPE) * math.sqrt(2.0)


def pixel_norm(vectors: Tensor) -> Tensor:
    """Vectors scaled to a mean square of 1 each.

    Parameters
    ----------
    vectors
        (N, D), any range.

    Returns
    -------
    Tensor
        (N, D), float32.
    """
    vectors = vectors.float()
    return vectors * torch.rsqrt(vectors.square().mean(dim=1, keepdim=True) + 1e-8)


def binomial_kernel(like: Tensor) -> Tensor:
    """The depthwise low-pass filter [1, 3, 3, 1] x [1, 3, 3, 1].

    Its taps sum to 4, which compensates for the three zeros that upsampling by 2 inserts next to every pixel. It is built on
    the device, to avoid a copy from the host in every layer.

    Parameters
    ----------
    like
        (N, C, H, W); gives the number of channels, the dtype and the device.

    Returns
    -------
    Tensor
        (C, 1, 4, 4).
    """
    taps = like.new_full((4,), 0.75)
    taps[::3] = 0.25
    return torch.outer(taps, taps).expand(like.shape[1], 1, 4, 4)


def blur_upsampled(features: Tensor) -> Tensor:
    """The output of a transposed 3 x 3 convolution with stride 2, filtered with the [1, 3, 3, 1] low-pass filter.

    Parameters
    ----------
    features
        (N, C, 2 H + 1, 2 W + 1).

    Returns
    -------
    Tensor
        (N, C, 2 H, 2 W), of the same dtype, with the gain of 4 that zero insertion requires.
    """
    return F.conv2d(features, binomial_kernel(features), padding=1, groups=features.shape[1])


def upsample(picture: Tensor) -> Tensor:
    """A picture upsampled by 2 with zero insertion and the [1, 3, 3, 1] filter, zero-padded.

    Parameters
    ----------
    picture
        (N, C, H, W), any range.

    Returns
    -------
    Tensor
        (N, C, 2 H, 2 W), of the same dtype.
    """
    return F.conv_transpose2d(picture, binomial_kernel(picture), stride=2, padding=1, groups=picture.shape[1])


class EqualizedLinear(nn.Module):
    """A linear layer whose weights are stored as N(0, 1) and scaled by 1 / sqrt(fan-in) when used.

    Parameters
    ----------
    in_features, out_features
        Dimensions of the input and output vectors.
    bias_init
        Initial value of every bias.
    lr_multiplier
        Learning rate relative to the rest of the network. Weights and bias are stored divided by it.
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
    """A convolution whose weight is scaled per input channel by each sample's style, then demodulated to unit variance.

    Scaling the weight's input channels is equivalent to scaling the input, and demodulating its output channels is equivalent
    to scaling the output. One convolution with a shared weight therefore serves the whole batch.

    Parameters
    ----------
    in_channels, out_channels
        Channels of the input and output maps.
    kernel_size
        Side of the kernel, odd; 3 if ``upsampling``.
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
        """The factors for the output channels that restore unit variance.

        This is a product and a sum, because autocast would compute a matrix product in bfloat16.

        Parameters
        ----------
        scales
            (N, in_channels), the modulation.

        Returns
        -------
        Tensor
            (N, out_channels), float32.
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
        Channels of the input and output maps.
    style_dim
        Dimension of a style.
    resolution
        Height and width of the output, pixels.
    upsampling
        Whether the input has half that size.
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
        """One pass through the layer.

        Parameters
        ----------
        features
            (N, in_channels, resolution, resolution), or half that height and width if upsampling.
        style
            (N, style_dim).
        noise
            A tensor that broadcasts to (N, 1, resolution, resolution), or None for no noise.

        Returns
        -------
        Tensor
            (N, out_channels, resolution, resolution).
        """
        out: Tensor = self.conv(features, style)
        if noise is not None:
            out = out + (self.noise_strength * noise).to(out.dtype)
        return scaled_leaky_relu(out + self.bias[:, None, None].to(out.dtype))


class ToRGB(nn.Module):
    """A resolution's contribution to the picture: modulated 1 x 1 convolution to three channels, without demodulation.

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
