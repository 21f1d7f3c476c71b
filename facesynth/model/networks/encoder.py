"""The pSp encoders: a condition (a label map's one-hot, a sketch or a photo) to codes for the W+ layers.

The contract, for input size S, trunk channels (C1, C2, C3, C4), style dimension D and L = 2 log2(output size) - 2; codes
are relative to the average latent:

======  ==========================  =========================================================
in      (N, input_channels, S, S)   one-hot in {0, 1}; sketch in [0, 1]; photo in [-1, 1]
out     (N, L, D)                   gradual, last-layer-w-plus: a code for every W+ layer
out     (N, D)                      last-layer-w: one code for all of them
======  ==========================  =========================================================

========  =================  ========  ==========  ============================
tap       after the trunk's  channels  stride      read by the gradual layers
========  =================  ========  ==========  ============================
fine      stage 2            C2        4           7 .. L - 1
middle    stage 3            C3        8           3 .. 6
coarse    stage 4            C4        16          0 .. 2
========  =================  ========  ==========  ============================

* gradual: a pyramid brings every tap to D channels, adding the coarser ones to the finer; a style head turns one of its maps
  into one code.
* last-layer-w, last-layer-w-plus: the coarse tap alone, by one head (:class:`WHead`, :class:`WPlusHead`).

Taps lie at the ends of stages, so they are the same for trunks of 50, 100 and 152 units.

References: Richardson et al., "Encoding in Style", CVPR 2021, section 3 (the gradual encoder) and section 4.1 (the two that
it is compared with); the trunk: Deng et al., "ArcFace", CVPR 2019 (improved residual units), with Hu et al.,
"Squeeze-and-Excitation Networks", CVPR 2018, section 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesynth.errors import InputError
from facesynth.model.config.model import EncoderKind
from facesynth.model.networks.layers import EqualizedLinear

if TYPE_CHECKING:
    from facesynth.model.config.model import ModelConfig

_SQUEEZE = 16
_COARSE_LAYERS = 3
_MIDDLE_LAYERS = 4
_WINDOWS = 7
_LARGE_STAGES = 1
"""Stages of the trunk whose maps take most of the memory."""


class FeatureTap(NamedTuple):
    """A map that leaves the trunk: its name, its channels, and how many input pixels one of its pixels spans."""

    name: str
    channels: int
    stride: int


def feature_taps(config: ModelConfig) -> tuple[FeatureTap, FeatureTap, FeatureTap]:
    """The trunk's three taps, finest first."""
    _, fine, middle, coarse = config.encoder_channels
    return FeatureTap("fine", fine, 4), FeatureTap("middle", middle, 8), FeatureTap("coarse", coarse, 16)


def head_taps(config: ModelConfig) -> tuple[FeatureTap, ...]:
    """For every W+ layer, the tap that its style head reads."""
    fine, middle, coarse = feature_taps(config)
    n_fine = config.n_styles - _COARSE_LAYERS - _MIDDLE_LAYERS
    return (coarse,) * _COARSE_LAYERS + (middle,) * _MIDDLE_LAYERS + (fine,) * n_fine


class SqueezeExcitation(nn.Module):
    """Channel attention: every channel scaled by a factor in (0, 1) that depends on all the channels' means.

    Parameters
    ----------
    channels
        Channels of the map; the bottleneck has a sixteenth of them, at least 1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // _SQUEEZE)
        self.squeeze = nn.Conv2d(channels, hidden, 1, bias=False)
        self.excite = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        means = features.mean(dim=(2, 3), keepdim=True)
        return features * torch.sigmoid(self.excite(F.relu(self.squeeze(means))))


class ResidualUnit(nn.Module):
    """BN, 3 x 3 conv, PReLU, 3 x 3 conv with the unit's stride, BN, channel attention; plus the shortcut.

    Parameters
    ----------
    in_channels, out_channels
        Channels of the maps that go in and come out.
    stride
        1 or 2.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.norm_in = nn.BatchNorm2d(in_channels)
        self.conv_in = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.activation = nn.PReLU(out_channels)
        self.conv_out = nn.Conv2d(out_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.norm_out = nn.BatchNorm2d(out_channels)
        self.attention = SqueezeExcitation(out_channels)
        self.stride = stride
        self.shortcut: nn.Module
        if in_channels == out_channels:
            self.shortcut = nn.Identity()
        else:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, features: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        residual = self.conv_out(self.activation(self.conv_in(self.norm_in(features))))
        # not by the shortcut's own stride, which with channels last and fewer than 16 of them crashes oneDNN
        kept = features[:, :, :: self.stride, :: self.stride]
        out: Tensor = self.attention(self.norm_out(residual)) + self.shortcut(kept)
        return out


class Trunk(nn.Module):
    """The IR-SE network: a convolution at full size, then four stages that each halve it in their first unit.

    Parameters
    ----------
    config
        ``input_channels``, ``encoder_units`` and ``encoder_channels`` count here.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.encoder_channels[0]
        self.stem = nn.Sequential(
            nn.Conv2d(config.input_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width)
        )
        self.stages = nn.ModuleList()
        for n_units, channels in zip(config.encoder_units, config.encoder_channels, strict=True):
            units = [ResidualUnit(width, channels, stride=2)]
            units += [ResidualUnit(channels, channels, stride=1) for _ in range(n_units - 1)]
            self.stages.append(nn.Sequential(*units))
            width = channels
        self.taps = feature_taps(config)
        self.recomputes = False
        """Whether large maps are made again for the gradients instead of kept: half the memory for a step a little longer."""

    def forward(self, condition: Tensor) -> dict[str, Tensor]:
        """(N, input_channels, S, S) to the map of every tap, by name."""
        maps: dict[str, Tensor] = {}
        features = self._large(self.stem, condition)
        for index, stage in enumerate(self.stages):
            for unit in cast("nn.Sequential", stage):
                features = self._large(unit, features) if index < _LARGE_STAGES else unit(features)
            if index:
                maps[self.taps[index - 1].name] = features
        return maps

    def _large(self, part: nn.Module, features: Tensor) -> Tensor:
        """What a part makes of large maps, which are kept or made again."""
        if not (self.recomputes and self.training and torch.is_grad_enabled()):
            return cast("Tensor", part(features))
        from torch.utils.checkpoint import checkpoint

        made: Tensor = checkpoint(
            part, features, use_reentrant=False, context_fn=lambda: (nullcontext(), _uncounted(part))
        )
        return made


@contextmanager
def _uncounted(part: nn.Module) -> Iterator[None]:
    """Batch norms in ``part`` leave their running statistics as they are: they have counted these features already."""
    norms = [module for module in part.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [(norm.momentum, cast("Tensor", norm.num_batches_tracked).clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, counted) in zip(norms, before, strict=True):
            norm.momentum = momentum
            cast("Tensor", norm.num_batches_tracked).copy_(counted)


class FeaturePyramid(nn.Module):
    """All taps at one width, each with the enlarged coarser one added.

    Parameters
    ----------
    taps
        Finest first.
    width
        Channels of every map that comes out. A coarsest tap that has them already goes in as it is.
    """

    def __init__(self, taps: tuple[FeatureTap, ...], width: int) -> None:
        super().__init__()
        coarsest = taps[-1]
        self.lateral = nn.ModuleDict(
            {
                tap.name: nn.Identity()
                if tap is coarsest and tap.channels == width
                else nn.Conv2d(tap.channels, width, 1)
                for tap in taps
            }
        )

    def forward(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The taps' maps, by name, to maps (N, width, H, W) of the same names and sizes."""
        joined: dict[str, Tensor] = {}
        coarser: Tensor | None = None
        for name, lateral in reversed(list(self.lateral.items())):
            level: Tensor = lateral(maps[name])
            if coarser is not None:
                level = level + F.interpolate(coarser, size=level.shape[2:], mode="bilinear", align_corners=True)
            joined[name] = coarser = level
        return joined


class StyleHead(nn.Module):
    """A map to one code: 3 x 3 convolutions of stride 2 until one pixel is left, then an equalised linear layer.

    Parameters
    ----------
    width
        Channels of the map, and dimension of the code.
    map_size
        Height and width of the map, pixels; a power of two, at least 2.
    """

    def __init__(self, width: int, map_size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(map_size.bit_length() - 1):
            layers += [nn.Conv2d(width, width, 3, stride=2, padding=1), nn.LeakyReLU(0.01)]
        self.convs = nn.Sequential(*layers)
        self.linear = EqualizedLinear(width, width)

    def forward(self, features: Tensor) -> Tensor:
        """(N, width, map_size, map_size) to (N, width)."""
        code: Tensor = self.linear(self.convs(features).flatten(1))
        return code


class WHead(nn.Module):
    """A map to the one code that all W+ layers share: the mean of every channel, then an equalised linear layer.

    Parameters
    ----------
    config
        The model's sizes.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.linear = EqualizedLinear(config.encoder_channels[-1], config.style_dim)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C4, H, W) to (N, style_dim)."""
        code: Tensor = self.linear(features.mean(dim=(2, 3)))
        return code


class WPlusHead(nn.Module):
    """A map to the codes of all W+ layers: batch norm, the means of 7 x 7 windows, a linear and an equalised linear layer.

    Parameters
    ----------
    config
        The model's sizes.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.encoder_channels[-1]
        self.code_shape = (config.n_styles, config.style_dim)
        self.norm = nn.BatchNorm2d(width)
        self.reduce = nn.Linear(width * _WINDOWS**2, width)
        self.linear = EqualizedLinear(width, config.n_styles * config.style_dim)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C4, H, W) to (N, n_styles, style_dim)."""
        features = self.norm(features)
        rows, columns = (window_means(size, _WINDOWS).to(features) for size in features.shape[2:])
        means = rows @ features @ columns.t()
        codes: Tensor = self.linear(self.reduce(means.flatten(1)))
        return codes.reshape(-1, *self.code_shape)


def window_means(size: int, count: int) -> Tensor:
    """The matrix (count, size) that takes a row of pixels to the means of ``count`` windows which together cover it.

    Window i begins at the pixel with i / count of the row before it and ends with the one that reaches to (i + 1) / count;
    neighbours share a pixel where ``count`` doesn't divide ``size``. So adaptive average pooling has them; as a matrix it
    runs on every device, for any two numbers.
    """
    matrix = torch.zeros(count, size)
    for window in range(count):
        first, end = window * size // count, -(-(window + 1) * size // count)
        matrix[window, first:end] = 1.0 / (end - first)
    return matrix


class Encoder(nn.Module):
    """What the encoders share: the trunk, and the check of what goes in. The module's first lines hold the contract.

    Parameters
    ----------
    config
        The model's sizes.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if min(config.encoder_units) < 1:
            raise InputError(f"encoder_units is {config.encoder_units}; needed: at least 1 unit in every stage")
        self.input_channels = config.input_channels
        self.input_size = config.input_size
        self.taps = feature_taps(config)
        self.trunk = Trunk(config)

    def forward(self, condition: Tensor) -> Tensor:
        """A condition to its codes.

        Parameters
        ----------
        condition
            (N, input_channels, input_size, input_size), floating point: one-hot in {0, 1}, sketch in [0, 1] or photo in
            [-1, 1].

        Returns
        -------
        Tensor
            (N, n_styles, style_dim), or (N, style_dim) for all layers, to be added to the average latent.

        Raises
        ------
        InputError
            If ``condition`` has another shape, or holds integers.
        """
        self._check(condition)
        return self.codes(self.trunk(condition))

    def codes(self, maps: Mapping[str, Tensor]) -> Tensor:
        """The map of every tap, by name, to the codes."""
        raise NotImplementedError

    def _check(self, condition: Tensor) -> None:
        size = self.input_size
        if condition.ndim != 4:
            raise InputError(
                f"condition has shape {tuple(condition.shape)}; needed: (N, {self.input_channels}, {size}, {size})"
            )
        if condition.shape[1] != self.input_channels:
            raise InputError(f"condition has {condition.shape[1]} channels; this model needs {self.input_channels}")
        if condition.shape[2:] != (size, size):
            height, width = condition.shape[2:]
            raise InputError(f"condition is {height} x {width} px; this model needs {size} x {size}")
        if not condition.is_floating_point():
            raise InputError(f"condition holds {condition.dtype}; needed: a floating-point tensor, labels as one-hot")


class GradualEncoder(Encoder):
    """Trunk, pyramid and one style head for every W+ layer.

    Parameters
    ----------
    config
        The model's sizes.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.pyramid = FeaturePyramid(self.taps, config.style_dim)
        self.head_taps = tuple(tap.name for tap in head_taps(config))
        self.heads = nn.ModuleList(
            StyleHead(config.style_dim, config.input_size // tap.stride) for tap in head_taps(config)
        )

    def codes(self, maps: Mapping[str, Tensor]) -> Tensor:
        """The map of every tap, by name, to (N, n_styles, style_dim)."""
        joined = self.pyramid(maps)
        return torch.stack([head(joined[name]) for name, head in zip(self.head_taps, self.heads, strict=True)], dim=1)


class LastLayerEncoder(Encoder):
    """Trunk, and one head on its last map.

    Parameters
    ----------
    config
        The model's sizes.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.head = WHead(config) if config.encoder_kind == "last-layer-w" else WPlusHead(config)

    def codes(self, maps: Mapping[str, Tensor]) -> Tensor:
        """The map of every tap, by name, to (N, style_dim) or (N, n_styles, style_dim)."""
        codes: Tensor = self.head(maps[self.taps[-1].name])
        return codes


ENCODERS: Mapping[EncoderKind, type[Encoder]] = MappingProxyType(
    {"gradual": GradualEncoder, "last-layer-w": LastLayerEncoder, "last-layer-w-plus": LastLayerEncoder}
)
"""The encoder of every kind."""
