"""StyleGAN2's generator: z (N, D) -> mapping -> w (N, D); W+ latents (N, L, D) -> synthesis -> pictures (N, 3, S, S).

A picture is the sum of the outputs of all to-RGB layers, so its values are near [-1, 1] but not limited to that range.
Convolutions and to-RGB layers read the W+ layers like this:

==========================  ============
part                        W+ layer
==========================  ============
convolution at 4 px         0
to-RGB at 4 px              1
upsampling conv to 4 2^k    2 k - 1
second conv at 4 2^k        2 k
to-RGB at 4 2^k             2 k + 1
==========================  ============

References: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, sections 2 and 4; the
mapping network and noise inputs: Karras et al., "A Style-Based Generator Architecture for GANs", CVPR 2019, section 2 and,
for truncation, appendix B.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from facesynth.errors import InputError
from facesynth.model.config.model import is_power_of_two
from facesynth.model.networks.layers import EqualizedLinear, StyledLayer, ToRGB, pixel_norm, scaled_leaky_relu, upsample
from facesynth.model.networks.spatial import SpatialMaps, check_maps

NoiseMode = Literal["constant", "random", "none"]
NoiseSource = torch.Generator | Sequence[torch.Generator] | None

_MAPPING_LR_MULTIPLIER = 0.01
_SAMPLES_AT_ONCE = 4096
MEAN_LATENT_SAMPLES = 10_000
"""Random z that a mean latent is averaged over where nothing else is asked for."""


class MappingNetwork(nn.Module):
    """z to w: pixel norm, then fully connected layers with a hundredth of the learning rate.

    Parameters
    ----------
    style_dim
        Dimension of z, w and everything between.
    mapping_depth
        Number of layers.
    """

    def __init__(self, style_dim: int, mapping_depth: int) -> None:
        super().__init__()
        self.style_dim = style_dim
        self.layers = nn.ModuleList(
            EqualizedLinear(style_dim, style_dim, lr_multiplier=_MAPPING_LR_MULTIPLIER) for _ in range(mapping_depth)
        )

    def forward(self, z: Tensor) -> Tensor:
        """z, (N, style_dim), standard normal, to w, (N, style_dim)."""
        if z.ndim != 2 or z.shape[1] != self.style_dim:
            raise InputError(f"z has shape {tuple(z.shape)}; needed: (N, {self.style_dim})")
        w = pixel_norm(z)
        for layer in self.layers:
            w = scaled_leaky_relu(layer(w))
        return w


class SynthesisBlock(nn.Module):
    """One doubling of the resolution: upsampling convolution, second convolution, to-RGB.

    Parameters
    ----------
    in_channels, out_channels
        Channels of the input and output maps.
    style_dim
        Dimension of a style.
    resolution
        Height and width of the output, pixels.
    """

    def __init__(self, in_channels: int, out_channels: int, style_dim: int, resolution: int) -> None:
        super().__init__()
        self.enlarge = StyledLayer(in_channels, out_channels, style_dim, resolution, upsampling=True)
        self.refine = StyledLayer(out_channels, out_channels, style_dim, resolution, upsampling=False)
        self.to_rgb = ToRGB(out_channels, style_dim)


class Generator(nn.Module):
    """StyleGAN2 with skip connections from every resolution to the picture.

    Parameters
    ----------
    size
        Height and width of the picture, pixels: a power of two from 32 to 1024.
    style_dim
        Dimension of z, w and every W+ layer.
    mapping_depth
        Layers of the mapping network.
    channel_base, channel_max
        Channels at resolution r are min(channel_max, channel_base // r).

    Raises
    ------
    InputError
        If a size is outside its range.
    """

    def __init__(self, size: int, style_dim: int, mapping_depth: int, channel_base: int, channel_max: int) -> None:
        super().__init__()
        if not (is_power_of_two(size) and 32 <= size <= 1024):
            raise InputError(f"size is {size}; needed: a power of two from 32 to 1024")
        if channel_max < 1 or channel_base < size:
            raise InputError(
                f"channel_base is {channel_base} and channel_max {channel_max}; needed: a channel_base of at "
                f"least {size} and a channel_max of at least 1, so that {size} px has a channel"
            )
        self.size = size
        self.style_dim = style_dim
        self.n_styles = 2 * (size.bit_length() - 1) - 2
        self.mapping = MappingNetwork(style_dim, mapping_depth)

        width = min(channel_max, channel_base // 4)
        self.constant = nn.Parameter(torch.randn(width, 4, 4))
        self.first = StyledLayer(width, width, style_dim, 4, upsampling=False)
        self.first_to_rgb = ToRGB(width, style_dim)
        self.blocks = nn.ModuleList()
        self.spatial_channels: dict[int, int] = {}
        """Channels of the feature maps to which spatial maps can be added, by resolution, pixels."""
        resolution = 8
        while resolution <= size:
            narrower = min(channel_max, channel_base // resolution)
            self.blocks.append(SynthesisBlock(width, narrower, style_dim, resolution))
            self.spatial_channels[resolution] = narrower
            width = narrower
            resolution *= 2

    def forward(
        self,
        latents: Tensor,
        *,
        noise: NoiseMode = "constant",
        rng: NoiseSource = None,
        spatial: SpatialMaps | None = None,
    ) -> Tensor:
        """W+ latents to pictures.

        Parameters
        ----------
        latents
            (N, n_styles, style_dim).
        noise
            ``constant``: each layer's own stored noise. ``random``: new noise for every sample. ``none``: no noise.
        rng
            Random number generator of the noise, on any device, or one for each sample; by default the device's global one.
        spatial
            Feature maps that are added to the output of the upsampling convolution at their resolution, by resolution, from 8
            px up: (N, channels, resolution, resolution), as :class:`facesynth.model.networks.spatial.SpatialPath` returns them;
            none by default.

        Returns
        -------
        Tensor
            (N, 3, size, size), float32, near [-1, 1] but not clipped.

        Raises
        ------
        InputError
            If ``latents`` or ``spatial`` has another shape or ``noise`` another value.
        """
        if latents.ndim != 3 or latents.shape[1:] != (self.n_styles, self.style_dim):
            raise InputError(
                f"latents has shape {tuple(latents.shape)}; needed: (N, {self.n_styles}, {self.style_dim}) "
                f"for {self.size} px"
            )
        if noise not in get_args(NoiseMode):
            raise InputError(f"noise is {noise!r}; needed: {', '.join(get_args(NoiseMode))}")

        if spatial:
            check_maps(spatial, self.spatial_channels, latents.shape[0])
        layers = [self.first]
        for block in self.blocks:
            assert isinstance(block, SynthesisBlock)
            layers += [block.enlarge, block.refine]
        drawn = [_noise_map(layer, latents.shape[0], noise, rng) for layer in layers]
        return self.synthesise(latents, drawn, spatial) if spatial else self.synthesise(latents, drawn)

    def synthesise(self, latents: Tensor, noise: Sequence[Tensor | None], spatial: SpatialMaps | None = None) -> Tensor:
        """W+ latents and explicit noise to pictures; draws no random numbers, so it can be compiled as a whole.

        Parameters
        ----------
        latents
            (N, n_styles, style_dim).
        noise
            For every convolution, lowest resolution first, a tensor that broadcasts to (N, 1, resolution, resolution), or None.
        spatial
            As in :meth:`forward`.

        Returns
        -------
        Tensor
            (N, 3, size, size), float32.
        """
        styles = latents.unbind(dim=1)
        features: Tensor = self.first(self.constant.expand(latents.shape[0], -1, -1, -1), styles[0], noise[0])
        picture: Tensor = self.first_to_rgb(features, styles[1])
        for k, block in enumerate(self.blocks, start=1):
            assert isinstance(block, SynthesisBlock)
            features = block.enlarge(features, styles[2 * k - 1], noise[2 * k - 1])
            if spatial and 4 << k in spatial:
                features = features + spatial[4 << k].to(features.dtype)
            features = block.refine(features, styles[2 * k], noise[2 * k])
            picture = upsample(picture).float() + block.to_rgb(features, styles[2 * k + 1])
        return picture

    @torch.no_grad()
    def mean_latent(self, n_samples: int = MEAN_LATENT_SAMPLES, seed: int = 0) -> Tensor:
        """The average w of random z: the centre of truncation, and the origin of pSp's codes.

        Parameters
        ----------
        n_samples
            Number of z to average over, at least 1.
        seed
            Seed of the z, which are drawn on the CPU so that they are the same for every device.

        Returns
        -------
        Tensor
            (style_dim,).
        """
        if n_samples < 1:
            raise InputError(f"n_samples is {n_samples}; needed: at least 1")
        rng = torch.Generator().manual_seed(seed)
        device = self.constant.device
        total = torch.zeros(self.style_dim, dtype=torch.float64)
        for start in range(0, n_samples, _SAMPLES_AT_ONCE):
            z = torch.randn(min(_SAMPLES_AT_ONCE, n_samples - start), self.style_dim, generator=rng)
            total += self.mapping(z.to(device)).cpu().double().sum(dim=0)
        return (total / n_samples).float().to(device)


def truncate(latents: Tensor, average: Tensor, psi: float, *, cutoff: int | None = None) -> Tensor:
    """Truncated latents, for better pictures with less variety: average + psi (latents - average).

    Parameters
    ----------
    latents
        (N, style_dim), or (N, n_styles, style_dim).
    average
        (style_dim,), or (n_styles, style_dim) for latents that have layers.
    psi
        1 leaves latents unchanged, 0 gives the average.
    cutoff
        Number of W+ layers, from the first, to truncate; all by default. Needs latents that have layers.

    Returns
    -------
    Tensor
        Of the shape of ``latents``, a new tensor.

    Raises
    ------
    InputError
        If the shapes don't fit or a number is out of its range.

    Examples
    --------
    >>> truncate(torch.tensor([[2.0, 4.0]]), torch.tensor([0.0, 2.0]), 0.5)
    tensor([[1., 3.]])
    """
    if latents.ndim not in (2, 3) or tuple(average.shape) not in (latents.shape[-1:], latents.shape[1:]):
        raise InputError(
            f"latents has shape {tuple(latents.shape)} and average {tuple(average.shape)}; needed: (N, style_dim) or "
            "(N, n_styles, style_dim), and that without its first axis or (style_dim,)"
        )
    if not math.isfinite(psi):
        raise InputError(f"psi is {psi}; needed: a finite number, as a rule from 0 to 1")
    drawn = average + psi * (latents - average)
    if cutoff is None:
        return drawn
    if latents.ndim != 3 or not 0 <= cutoff <= latents.shape[1]:
        needed = f"0 to {latents.shape[1]}" if latents.ndim == 3 else "none, since the latents have no layers"
        raise InputError(f"cutoff is {cutoff}; needed: {needed}")
    return torch.cat([drawn[:, :cutoff], latents[:, cutoff:]], dim=1)


def _noise_map(layer: StyledLayer, n_samples: int, noise: NoiseMode, rng: NoiseSource) -> Tensor | None:
    """The noise for one pass through ``layer``: (resolution, resolution), (N, 1, resolution, resolution) or None."""
    if noise == "none":
        return None
    if noise == "constant":
        return layer.noise
    if isinstance(rng, Sequence):
        return torch.cat([_drawn(layer, 1, each) for each in rng])
    return _drawn(layer, n_samples, rng)


def _drawn(layer: StyledLayer, n_samples: int, rng: torch.Generator | None) -> Tensor:
    device = layer.noise.device if rng is None else rng.device
    shape = (n_samples, 1, layer.resolution, layer.resolution)
    return torch.randn(shape, generator=rng, device=device).to(layer.noise.device)
