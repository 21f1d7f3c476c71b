"""StyleGAN2's discriminator: pictures (N, 3, S, S) in, one score each out, (N,); a higher score means more real.

===========================  =======================================
layer                        output
===========================  =======================================
from-RGB, 1 x 1              (C_S, S, S)
block r, for S, S/2, .., 8   (C_{r/2}, r/2, r/2)
minibatch deviation          (C_4 + 1, 4, 4)
convolution                  (C_4, 4, 4)
two linear layers            C_4, then 1
===========================  =======================================

C_r = min(channel_max, channel_base // r). All layers use the equalised learning rate. All except the shortcuts have a bias,
and all except the shortcuts and the last one a scaled leaky ReLU.

References: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, section 4.1 (residual
connections) and appendix B; "Progressive Growing of GANs", ICLR 2018, section 3 (minibatch standard deviation) and 4.1
(equalised learning rate).
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesynth.errors import InputError
from facesynth.model.networks.layers import EqualizedLinear, scaled_leaky_relu

if TYPE_CHECKING:
    from facesynth.model.config.model import DiscriminatorConfig

_RESIDUAL_GAIN = math.sqrt(0.5)


def minibatch_deviation(features: Tensor, group_size: int) -> Tensor:
    """Feature maps with the minibatch standard deviation appended as a channel, which reveals a lack of variety.

    In each group of samples, the standard deviation over the samples is computed for every value and averaged to a single
    number, which fills the channel. There are as few groups as possible without exceeding ``group_size``, and sample i is in
    group i modulo their number. If ``group_size`` does not divide N, the sizes of the groups therefore differ by one at most.

    Parameters
    ----------
    features
        (N, C, H, W), floating point, N at least 1.
    group_size
        The most samples in a group, at least 1.

    Returns
    -------
    Tensor
        (N, C + 1, H, W), of the same dtype.

    References
    ----------
    Karras et al., "Progressive Growing of GANs", ICLR 2018, section 3.
    """
    n_samples = features.shape[0]
    n_groups = -(-n_samples // group_size)
    exact = features.to(torch.promote_types(features.dtype, torch.float32))
    deviations = torch.stack(
        [(exact[k::n_groups].var(dim=0, correction=0) + 1e-8).sqrt().mean() for k in range(n_groups)]
    )
    groups = torch.arange(n_samples, device=features.device) % n_groups
    channel = deviations[groups].to(features.dtype)[:, None, None, None].expand(-1, 1, *features.shape[2:])
    return torch.cat([features, channel], dim=1)


def low_pass(features: Tensor, *, padding: int, stride: int = 1) -> Tensor:
    """Feature maps filtered with the [1, 3, 3, 1] low-pass filter of gain 1, zero-padded.

    Parameters
    ----------
    features
        (N, C, H, W), floating point.
    padding, stride
        As for a convolution with a 4 x 4 kernel, pixels.

    Returns
    -------
    Tensor
        (N, C, (H + 2 padding - 4) // stride + 1, (W + 2 padding - 4) // stride + 1), of the same dtype.
    """
    taps = features.new_full((4,), 0.375)
    taps[::3] = 0.125
    kernel = torch.outer(taps, taps).expand(features.shape[1], 1, 4, 4)
    return F.conv2d(features, kernel, padding=padding, stride=stride, groups=features.shape[1])


class EqualizedConv(nn.Module):
    """A convolution whose weights are stored as N(0, 1) and scaled by 1 / sqrt(fan-in) when used.

    Parameters
    ----------
    in_channels, out_channels
        Channels of the input and output maps.
    kernel_size
        Side of the kernel, odd.
    downsampling
        Halve the size: the [1, 3, 3, 1] filter, then the convolution with stride 2.
    bias
        Whether to add a bias.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, downsampling: bool = False, bias: bool = True
    ) -> None:
        super().__init__()
        self.downsampling = downsampling
        self.padding = kernel_size // 2
        self.gain = 1.0 / math.sqrt(in_channels * kernel_size**2)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, features: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H, W), or (N, out_channels, H / 2, W / 2) if downsampling."""
        weight = self.weight * self.gain
        if not self.downsampling:
            return F.conv2d(features, weight, self.bias, padding=self.padding)
        if self.padding == 0:  # a 1 x 1 kernel: only the pixels that the stride selects need filtering
            return F.conv2d(low_pass(features, padding=1, stride=2), weight, self.bias)
        return F.conv2d(low_pass(features, padding=1 + self.padding), weight, self.bias, stride=2)


class DiscriminatorBlock(nn.Module):
    """A residual block that halves the size: two 3 x 3 convolutions plus a 1 x 1 shortcut, divided by sqrt(2).

    Parameters
    ----------
    in_channels, out_channels
        Channels of the input and output maps.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.refine = EqualizedConv(in_channels, in_channels, 3)
        self.reduce = EqualizedConv(in_channels, out_channels, 3, downsampling=True)
        self.shortcut = EqualizedConv(in_channels, out_channels, 1, downsampling=True, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / 2, W / 2)."""
        refined = scaled_leaky_relu(self.refine(features))
        out: Tensor = scaled_leaky_relu(self.reduce(refined)) + self.shortcut(features)
        return out * _RESIDUAL_GAIN


class Discriminator(nn.Module):
    """StyleGAN2's residual discriminator; the module's docstring lists its layers.

    Parameters
    ----------
    config
        The sizes.
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.channels[::-1]
        self.from_rgb = EqualizedConv(3, widths[0], 1)
        self.blocks = nn.ModuleList(DiscriminatorBlock(wide, narrow) for wide, narrow in itertools.pairwise(widths))
        self.last_conv = EqualizedConv(widths[-1] + 1, widths[-1], 3)
        self.hidden = EqualizedLinear(widths[-1] * 4 * 4, widths[-1])
        self.score = EqualizedLinear(widths[-1], 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures to their scores.

        Parameters
        ----------
        pictures
            (N, 3, input_size, input_size) in [-1, 1], N at least 1. A score depends on the other pictures of the batch.

        Returns
        -------
        Tensor
            (N,), unbounded; a higher score means more real.

        Raises
        ------
        InputError
            If ``pictures`` has another shape.
        """
        size = self.config.input_size
        if pictures.ndim != 4 or pictures.shape[1:] != (3, size, size) or not len(pictures):
            raise InputError(f"pictures has shape {tuple(pictures.shape)}; needed: (N, 3, {size}, {size})")
        features = scaled_leaky_relu(self.from_rgb(pictures))
        for block in self.blocks:
            features = block(features)
        features = minibatch_deviation(features, self.config.group_size)
        features = scaled_leaky_relu(self.last_conv(features))
        scores: Tensor = self.score(scaled_leaky_relu(self.hidden(features.flatten(1))))
        return scores.squeeze(1)
