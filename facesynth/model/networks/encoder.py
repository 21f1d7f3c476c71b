"""The pSp encoders: a condition (one-hot label map, sketch or photo) in, codes for the W+ layers out.

Inputs and outputs, for input size S, trunk channels (C1, C2, C3, C4), style dimension D and L = 2 log2(output size) - 2; codes
are offsets from the average latent:

======  ==========================  =========================================================
in      (N, input_channels, S, S)   one-hot in {0, 1}; sketch in [0, 1]; photo in [-1, 1]
in      (N, 6, S, S)                with refinements: a photo and a face, in [-1, 1]
out     (N, L, D)                   gradual, last-layer-heads, last-layer-w-plus: one code per W+ layer
out     (N, D)                      last-layer-w: one code for all layers
======  ==========================  =========================================================

========  =================  ========  ==========  ============================
tap       after the trunk's  channels  stride      read by the gradual layers
========  =================  ========  ==========  ============================
fine      stage 2            C2        4           7 .. L - 1
middle    stage 3            C3        8           3 .. 6
coarse    stage 4            C4        16          0 .. 2
========  =================  ========  ==========  ============================

* gradual: a feature pyramid projects every tap to D channels and adds the coarser maps to the finer ones; each style head
  maps one of its maps to one code.
* last-layer-heads: one style head per layer, all on the coarse tap.
* last-layer-w, last-layer-w-plus: a single head (:class:`WHead`, :class:`WPlusHead`) on the coarse tap.

Taps are at the ends of stages, so they are the same for trunks of 50, 100 and 152 layers.

References: Richardson et al., "Encoding in Style", CVPR 2021, section 3 (the gradual encoder) and section 4.1 (the two
baselines); the trunk: Deng et al., "ArcFace", CVPR 2019 (improved residual units), with Hu et al.,
"Squeeze-and-Excitation Networks", CVPR 2018, section 3; or He et al., "Deep Residual Learning", CVPR 2016, section 3.3.
last-layer-heads: Alaluf et al., "ReStyle", ICCV 2021, section 3.2.
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
_CHECKPOINTED_STAGES = 1
"""The first stages of the trunk, whose feature maps take most of the memory."""


class FeatureTap(NamedTuple):
    """A feature map that the trunk outputs: its name, its channels, and its stride relative to the input."""

    name: str
    channels: int
    stride: int


def feature_taps(config: ModelConfig) -> tuple[FeatureTap, FeatureTap, FeatureTap]:
    """The trunk's three taps, finest first."""
    _, fine, middle, coarse = config.encoder_channels
    return FeatureTap("fine", fine, 4), FeatureTap("middle", middle, 8), FeatureTap("coarse", coarse, 16)


def head_taps(config: ModelConfig) -> tuple[FeatureTap, ...]:
    """The tap that the style head of each W+ layer reads, in the order of the layers."""
    fine, middle, coarse = feature_taps(config)
    if config.encoder_kind == "last-layer-heads":
        return (coarse,) * config.n_styles
    n_fine = config.n_styles - _COARSE_LAYERS - _MIDDLE_LAYERS
    return (coarse,) * _COARSE_LAYERS + (middle,) * _MIDDLE_LAYERS + (fine,) * n_fine


class SqueezeExcitation(nn.Module):
    """Channel attention: every channel scaled by a factor in (0, 1) that depends on the means of all channels.

    Parameters
    ----------
    channels
        Channels of the feature map; the bottleneck has a sixteenth of them, at least 1.
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


def _projection(in_channels: int, out_channels: int) -> nn.Module:
    """The shortcut of a unit whose output has another shape than its input."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))


class ResidualUnit(nn.Module):
    """BN, 3 x 3 conv, PReLU, 3 x 3 conv with the unit's stride, BN, channel attention; plus the shortcut.

    Parameters
    ----------
    in_channels, out_channels
        Channels of the input and output maps.
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
        self.shortcut: nn.Module = (
            nn.Identity() if in_channels == out_channels else _projection(in_channels, out_channels)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        residual = self.conv_out(self.activation(self.conv_in(self.norm_in(features))))
        # Not a strided convolution: with channels-last memory and fewer than 16 channels, that crashes oneDNN.
        subsampled = features[:, :, :: self.stride, :: self.stride]
        out: Tensor = self.attention(self.norm_out(residual)) + self.shortcut(subsampled)
        return out


class BasicUnit(nn.Module):
    """ResNet's unit: 3 x 3 conv with the unit's stride, BN, ReLU, 3 x 3 conv, BN; plus the shortcut; ReLU.

    Parameters
    ----------
    in_channels, out_channels
        Channels of the input and output maps.
    stride
        1 or 2.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.norm_in = nn.BatchNorm2d(out_channels)
        self.conv_out = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm_out = nn.BatchNorm2d(out_channels)
        self.stride = stride
        is_same = in_channels == out_channels and stride == 1
        self.shortcut: nn.Module = nn.Identity() if is_same else _projection(in_channels, out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        residual = self.norm_out(self.conv_out(F.relu(self.norm_in(self.conv_in(features)))))
        subsampled = features[:, :, :: self.stride, :: self.stride]  # as in ResidualUnit
        return F.relu(residual + self.shortcut(subsampled))


class Trunk(nn.Module):
    """The residual network: a convolution, then four stages, at half, a quarter, an eighth and a sixteenth of the input size.

    In IR-SE networks the first unit of every stage halves the size; in ResNets the first convolution does it for stage 1.

    Parameters
    ----------
    config
        Only ``encoder_input_channels``, ``encoder_trunk``, ``encoder_units`` and ``encoder_channels`` are used.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.encoder_channels[0]
        is_resnet = config.encoder_trunk == "resnet"
        size, stride = (7, 2) if is_resnet else (3, 1)
        first = nn.Conv2d(config.encoder_input_channels, width, size, stride=stride, padding=size // 2, bias=False)
        self.stem = nn.Sequential(first, nn.BatchNorm2d(width), nn.PReLU(width))
        unit = BasicUnit if is_resnet else ResidualUnit
        self.stages = nn.ModuleList()
        for index, (n_units, channels) in enumerate(zip(config.encoder_units, config.encoder_channels, strict=True)):
            units = [unit(width, channels, stride=1 if is_resnet and index == 0 else 2)]
            units += [unit(channels, channels, stride=1) for _ in range(n_units - 1)]
            self.stages.append(nn.Sequential(*units))
            width = channels
        self.taps = feature_taps(config)
        self.recomputes = False
        """Whether large feature maps are recomputed in the backward pass: half the memory for a slightly longer step."""

    def forward(self, condition: Tensor) -> dict[str, Tensor]:
        """(N, encoder_input_channels, S, S) to the tapped maps, by name: (N, channels, S / stride, S / stride) each."""
        maps: dict[str, Tensor] = {}
        features = self._checkpointed(self.stem, condition)
        for index, stage in enumerate(self.stages):
            for unit in cast("nn.Sequential", stage):
                features = self._checkpointed(unit, features) if index < _CHECKPOINTED_STAGES else unit(features)
            if index:
                maps[self.taps[index - 1].name] = features
        return maps

    def _checkpointed(self, module: nn.Module, features: Tensor) -> Tensor:
        """The output of a module, with gradient checkpointing in training if ``recomputes``."""
        if not (self.recomputes and self.training and torch.is_grad_enabled()):
            return cast("Tensor", module(features))
        from torch.utils.checkpoint import checkpoint

        out: Tensor = checkpoint(
            module, features, use_reentrant=False, context_fn=lambda: (nullcontext(), _fixed_statistics(module))
        )
        return out


@contextmanager
def _fixed_statistics(module: nn.Module) -> Iterator[None]:
    """Keep the running statistics of batch norms unchanged while features are recomputed that they already include."""
    norms = [inner for inner in module.modules() if isinstance(inner, nn.BatchNorm2d)]
    before = [(norm.momentum, cast("Tensor", norm.num_batches_tracked).clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, n_batches) in zip(norms, before, strict=True):
            norm.momentum = momentum
            cast("Tensor", norm.num_batches_tracked).copy_(n_batches)


class FeaturePyramid(nn.Module):
    """A feature pyramid: all taps projected to one width, each with the upsampled coarser map added.

    Parameters
    ----------
    taps
        Finest first.
    width
        Channels of every output map. If the coarsest tap has as many channels, it is not projected.
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
        """The taps' feature maps (N, channels, H, W), by name, to maps (N, width, H, W) of the same names and sizes."""
        levels: dict[str, Tensor] = {}
        coarser: Tensor | None = None
        for name, lateral in reversed(list(self.lateral.items())):
            level: Tensor = lateral(maps[name])
            if coarser is not None:
                level = level + F.interpolate(coarser, size=level.shape[2:], mode="bilinear", align_corners=True)
            levels[name] = coarser = level
        return levels


class StyleHead(nn.Module):
    """A feature map to one code: 3 x 3 convolutions of stride 2 down to one pixel, then an equalised linear layer.

    Parameters
    ----------
    width
        Channels of the feature map, and dimension of the code.
    map_size
        Height and width of the feature map, pixels; a power of two, at least 2.
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
    """A feature map to the single code that all W+ layers share: the channels' means, then an equalised linear layer.

    Parameters
    ----------
    config
        The model's sizes.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.linear = EqualizedLinear(config.encoder_channels[-1], config.style_dim)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C4, H, W), C4 being the channels of the trunk's last stage, to (N, style_dim)."""
        code: Tensor = self.linear(features.mean(dim=(2, 3)))
        return code


class WPlusHead(nn.Module):
    """A feature map to the codes of all W+ layers: batch norm, adaptive 7 x 7 average pooling, two linear layers.

    The second linear layer is an equalised one.

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
        """(N, C4, H, W), C4 being the channels of the trunk's last stage, to (N, n_styles, style_dim)."""
        features = self.norm(features)
        rows, columns = (window_means(size, _WINDOWS).to(features) for size in features.shape[2:])
        means = rows @ features @ columns.t()
        codes: Tensor = self.linear(self.reduce(means.flatten(1)))
        return codes.reshape(-1, *self.code_shape)


def window_means(size: int, count: int) -> Tensor:
    """Adaptive average pooling along one axis as a matrix, which runs on every device and for any sizes.

    Window i covers the pixels floor(i size / count) to ceil((i + 1) size / count) - 1, so adjacent windows overlap by one pixel
    where ``count`` does not divide ``size``.

    Parameters
    ----------
    size
        Length of the axis, pixels.
    count
        Number of windows.

    Returns
    -------
    Tensor
        (count, size), float32. Its product with a row of pixels is the means of the windows.
    """
    matrix = torch.zeros(count, size)
    for window in range(count):
        first, end = window * size // count, -(-(window + 1) * size // count)
        matrix[window, first:end] = 1.0 / (end - first)
    return matrix


class Encoder(nn.Module):
    """Base class of the encoders: the trunk and the check of the input. The module's docstring defines inputs and outputs.

    Parameters
    ----------
    config
        The model's sizes.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if min(config.encoder_units) < 1:
            raise InputError(f"encoder_units is {config.encoder_units}; needed: at least 1 unit in every stage")
        self.input_channels = config.encoder_input_channels
        self.input_size = config.input_size
        self.taps = feature_taps(config)
        self.trunk = Trunk(config)

    def forward(self, condition: Tensor) -> Tensor:
        """A condition to its codes.

        Parameters
        ----------
        condition
            (N, encoder_input_channels, input_size, input_size), floating point: one-hot labels in {0, 1}, a sketch in [0, 1] or
            a photo in [-1, 1]; for a model with ``refinements``, a photo and the face of its present latents.

        Returns
        -------
        Tensor
            (N, n_styles, style_dim), or (N, style_dim) for one code that all layers share.
            :meth:`facesynth.model.networks.psp.LatentModel.encode` makes latents of them.

        Raises
        ------
        InputError
            If ``condition`` has another shape or an integer dtype.
        """
        self._check(condition)
        return self.codes(self.trunk(condition))

    def codes(self, maps: Mapping[str, Tensor]) -> Tensor:
        """The taps' feature maps (N, channels, H, W), by name, to codes (N, n_styles, style_dim) or (N, style_dim)."""
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
    """Trunk, feature pyramid of the taps that are read, and one style head per W+ layer.

    Parameters
    ----------
    config
        The model's sizes.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        read = head_taps(config)
        self.pyramid = FeaturePyramid(tuple(tap for tap in self.taps if tap in read), config.style_dim)
        self.head_taps = tuple(tap.name for tap in read)
        self.heads = nn.ModuleList(StyleHead(config.style_dim, config.input_size // tap.stride) for tap in read)

    def codes(self, maps: Mapping[str, Tensor]) -> Tensor:
        """The taps' feature maps (N, channels, H, W), by name, to codes (N, n_styles, style_dim)."""
        levels = self.pyramid(maps)
        return torch.stack([head(levels[name]) for name, head in zip(self.head_taps, self.heads, strict=True)], dim=1)


class LastLayerEncoder(Encoder):
    """Trunk and one head on its last feature map.

    Parameters
    ----------
    config
        The model's sizes.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.head = WHead(config) if config.encoder_kind == "last-layer-w" else WPlusHead(config)

    def codes(self, maps: Mapping[str, Tensor]) -> Tensor:
        """The taps' feature maps (N, channels, H, W), by name, to codes (N, style_dim) or (N, n_styles, style_dim)."""
        codes: Tensor = self.head(maps[self.taps[-1].name])
        return codes


ENCODERS: Mapping[EncoderKind, type[Encoder]] = MappingProxyType(
    {
        "gradual": GradualEncoder,
        "last-layer-heads": GradualEncoder,
        "last-layer-w": LastLayerEncoder,
        "last-layer-w-plus": LastLayerEncoder,
    }
)
"""The encoder class of each kind."""
