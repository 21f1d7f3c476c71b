"""The sizes of the networks: frozen dataclasses whose fields are checked on construction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Literal, get_args

from facesynth.errors import InputError, shown

Condition = Literal["labels", "sketch", "photo"]
EncoderKind = Literal["gradual", "last-layer-heads", "last-layer-w", "last-layer-w-plus"]
EncoderTrunk = Literal["ir-se", "resnet"]
StageUnits = tuple[int, int, int, int]

TRUNK_UNITS: Mapping[int, StageUnits] = MappingProxyType({50: (3, 4, 14, 3), 100: (3, 13, 30, 3), 152: (3, 8, 36, 3)})
"""Residual units in the four stages of IR-SE50, IR-SE100 and IR-SE152 (Deng et al., "ArcFace", CVPR 2019)."""
FACE_CHANNELS = 3
"""Channels of a face."""
COLOURED = ("hair", "background", "cloth", "skin")
"""The regions whose colours a model's styles may have."""
_MOST_REFINEMENTS = 20

_MAX_SPATIAL_CHANNELS = 128
"""Limit of the spatial path's channels, unless the config sets them."""


MOST: Mapping[str, int] = MappingProxyType(
    {
        "input_channels": 1024,
        "style_dim": 4096,
        "mapping_depth": 64,
        "channel_base": 1 << 22,
        "channel_max": 8192,
        "group_size": 1024,
        "encoder_units": 128,
        "encoder_channels": 4096,
        "spatial_channels": 8192,
        "channels": 8192,
    }
)
"""The largest value of each size; far above every published model, so that a config that was tampered with builds nothing."""


def _check_most(config: object, *names: str) -> None:
    """Check sizes for their type and their largest value."""
    for name in names:
        value = getattr(config, name)
        is_list = name.startswith("encoder_") or name in ("spatial_channels", "channels")
        values = value if is_list and isinstance(value, tuple) else (value,)
        if is_list != (values is value) or not all(type(size) is int for size in values):
            raise InputError(f"{name} is {shown(value)}; needed: {'whole numbers' if is_list else 'a whole number'}")
        if len(values) > 32 or max(values, default=0) > MOST[name]:
            raise InputError(f"{name} is {shown(value)}; needed: at most {MOST[name]}")


def is_power_of_two(value: int) -> bool:
    """Whether ``value`` is 1, 2, 4, 8, ..."""
    return type(value) is int and value > 0 and value & (value - 1) == 0


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """The sizes of a generator with its mapping network; :class:`ModelConfig` describes the fields."""

    output_size: int
    style_dim: int
    mapping_depth: int
    channel_base: int
    channel_max: int

    def __post_init__(self) -> None:
        _check_most(self, "style_dim", "mapping_depth", "channel_base", "channel_max")
        if not (is_power_of_two(self.output_size) and 32 <= self.output_size <= 1024):
            raise InputError(f"output_size is {self.output_size}; needed: a power of two from 32 to 1024")
        for name in ("style_dim", "mapping_depth", "channel_max"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {shown(getattr(self, name))}; needed: at least 1")
        if self.channel_base < self.output_size:
            raise InputError(f"channel_base is {self.channel_base}; needed: at least output_size, {self.output_size}")

    @property
    def n_styles(self) -> int:
        """W+ layers: 2 log2(output_size) - 2."""
        return 2 * (self.output_size.bit_length() - 1) - 2

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels at 4, 8, ... px. Different ``channel_base`` and ``channel_max`` may give the same channels."""
        return _channels(self.output_size, self.channel_base, self.channel_max)


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """The sizes of a discriminator."""

    input_size: int
    """Height and width of the pictures, pixels; a power of two, 32 to 1024."""
    channel_base: int
    """Channels at resolution r are min(channel_max, channel_base / r)."""
    channel_max: int
    """The most channels of a layer."""
    group_size: int = 4
    """The most samples in a group of the minibatch standard deviation."""

    def __post_init__(self) -> None:
        _check_most(self, "channel_base", "channel_max", "group_size")
        if not (is_power_of_two(self.input_size) and 32 <= self.input_size <= 1024):
            raise InputError(f"input_size is {self.input_size}; needed: a power of two from 32 to 1024")
        for name in ("channel_max", "group_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {shown(getattr(self, name))}; needed: at least 1")
        if self.channel_base < self.input_size:
            raise InputError(f"channel_base is {self.channel_base}; needed: at least input_size, {self.input_size}")

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels at 4, 8, ... px."""
        return _channels(self.input_size, self.channel_base, self.channel_max)


@dataclass(frozen=True, kw_only=True)
class ParserConfig:
    """The sizes of a face parser."""

    input_size: int = 128
    """Height and width of the input photos, pixels; a power of two, 32 to 1024."""
    channels: tuple[int, ...] = (16, 32, 64, 96)
    """Channels at ``input_size``, at half of it, and so on."""

    def __post_init__(self) -> None:
        _check_most(self, "channels")
        if not (is_power_of_two(self.input_size) and 32 <= self.input_size <= 1024):
            raise InputError(f"input_size is {self.input_size}; needed: a power of two from 32 to 1024")
        if not self.channels or min(self.channels) < 1 or self.input_size >> (len(self.channels) - 1) < 1:
            raise InputError(
                f"channels is {shown(self.channels)}; needed: numbers of at least 1, one for input_size and each halving of it"
            )


def _channels(size: int, base: int, most: int) -> tuple[int, ...]:
    return tuple(min(most, base // (4 << k)) for k in range(size.bit_length() - 2))


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The sizes of a pSp model: encoder, mapping network and generator.

    The defaults are the published ones (Richardson et al., CVPR 2021; Karras et al., CVPR 2020) at 256 px.
    """

    condition: Condition
    """The kind of input: a one-hot label map, a sketch in [0, 1], or a photo in [-1, 1]."""
    input_channels: int
    """Channels of the condition: the number of classes for labels, 1 for a sketch, 3 for a photo."""
    input_size: int = 256
    """Height and width of the condition, pixels; a power of two, at least 32."""
    output_size: int = 256
    """Height and width of the face, pixels; a power of two, 32 to 1024."""
    style_dim: int = 512
    """Dimension of z, w and every W+ layer."""
    mapping_depth: int = 8
    """Fully connected layers of the mapping network."""
    channel_base: int = 32768
    """Channels of the generator at resolution r are min(channel_max, channel_base / r)."""
    channel_max: int = 512
    """The most channels of a generator layer."""
    encoder_kind: EncoderKind = "gradual"
    """How codes are predicted: gradual, by one style head per W+ layer on feature maps of three strides; or from the trunk's
    last feature map only, by one style head per layer (last-layer-heads), one code for all layers (last-layer-w) or one per
    layer by one head (last-layer-w-plus)."""
    encoder_trunk: EncoderTrunk = "ir-se"
    """The trunk's residual units: ir-se, of ArcFace's networks; resnet, of ResNet-34."""
    layer_offsets: bool = False
    """Whether the style heads of the layers from 1 on predict offsets from layer 0's code (Tov et al., "Designing an Encoder
    for StyleGAN Image Manipulation", SIGGRAPH 2021); needs a style head per layer."""
    refinements: int = 0
    """Passes of an encoder that sees the photo and the face of the present latents, and predicts what to add to these latents
    (Alaluf et al., "ReStyle", ICCV 2021), 1 to 20; 0 for an encoder that sees only the condition, once."""
    encoder_units: StageUnits = TRUNK_UNITS[50]
    """Residual units in each of the trunk's four stages; :data:`TRUNK_UNITS` has the published ones."""
    encoder_channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    """Channels of each of the trunk's four stages."""
    style_resolution: int = 64
    """Random styles are mixed into the generator's layers from this resolution up, pixels."""
    spatial_resolutions: tuple[int, ...] = ()
    """Resolutions, pixels, at which feature maps of the condition are added to the generator's: powers of two from 8 up, in
    ascending order, such as (8, 16, 32, 64); empty for a model whose generator sees only the latents."""
    spatial_channels: tuple[int, ...] = ()
    """Channels of the spatial path at each of these resolutions; if empty, three quarters of the generator's, at most 128."""
    style_colours: tuple[str, ...] = ()
    """Regions of the face whose mean colours the last numbers of z stand for, three each, in this order: of hair, background,
    cloth and skin; see :mod:`facesynth.model.data.style_colours`. Empty for a model whose styles have no colours by region."""

    def __post_init__(self) -> None:
        _check_most(self, "input_channels", "style_dim", "mapping_depth", "channel_base", "channel_max")
        _check_most(self, "encoder_units", "encoder_channels", "spatial_channels")
        if self.condition not in ("labels", "sketch", "photo"):
            raise InputError(f"condition is {shown(self.condition)}; needed: labels, sketch or photo")
        if self.encoder_kind not in get_args(EncoderKind):
            raise InputError(f"encoder_kind is {shown(self.encoder_kind)}; needed: {', '.join(get_args(EncoderKind))}")
        if self.encoder_trunk not in get_args(EncoderTrunk):
            raise InputError(
                f"encoder_trunk is {shown(self.encoder_trunk)}; needed: {', '.join(get_args(EncoderTrunk))}"
            )
        for name, low, high in (("input_size", 32, 1024), ("output_size", 32, 1024), ("style_resolution", 4, 1024)):
            value = getattr(self, name)
            if not (is_power_of_two(value) and low <= value <= high):
                raise InputError(f"{name} is {shown(value)}; needed: a power of two from {low} to {high}")
        if self.style_resolution > self.output_size:
            raise InputError(
                f"style_resolution is {self.style_resolution}; needed: at most output_size, {self.output_size}"
            )
        for name in ("encoder_units", "encoder_channels"):
            stages = getattr(self, name)
            if len(stages) != 4 or min(stages) < 1:
                raise InputError(f"{name} is {shown(stages)}; needed: four numbers of at least 1")
        for name in ("input_channels", "style_dim", "mapping_depth", "channel_base", "channel_max"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {shown(getattr(self, name))}; needed: at least 1")
        self._check_codes()
        self._check_spatial()
        self._check_colours()

    def _check_codes(self) -> None:
        if type(self.layer_offsets) is not bool:
            raise InputError(f"layer_offsets is {shown(self.layer_offsets)}; needed: True or False")
        if self.layer_offsets and self.encoder_kind not in ("gradual", "last-layer-heads"):
            raise InputError(
                f"layer_offsets is True but encoder_kind {self.encoder_kind}; needed: gradual or last-layer-heads, or False"
            )
        if type(self.refinements) is not int or not 0 <= self.refinements <= _MOST_REFINEMENTS:
            raise InputError(f"refinements is {shown(self.refinements)}; needed: 0 to {_MOST_REFINEMENTS}")
        if self.refinements and (self.condition != "photo" or self.input_channels != FACE_CHANNELS):
            raise InputError(
                f"refinements is {self.refinements} but the condition {self.condition} of {self.input_channels} channels; "
                f"needed: a photo of {FACE_CHANNELS} channels, or 0"
            )
        if self.refinements and self.spatial_resolutions:
            raise InputError(
                f"refinements is {self.refinements} but spatial_resolutions {self.spatial_resolutions}; needed: 0, or none"
            )

    def _check_spatial(self) -> None:
        chosen, most = self.spatial_resolutions, min(self.input_size, self.output_size)
        if list(chosen) != sorted({size for size in chosen if is_power_of_two(size) and 8 <= size <= most}):
            raise InputError(
                f"spatial_resolutions is {shown(chosen)}; needed: powers of two from 8 to {most}, in ascending order, or none"
            )
        if self.spatial_channels and (len(self.spatial_channels) != len(chosen) or min(self.spatial_channels) < 1):
            raise InputError(
                f"spatial_channels is {shown(self.spatial_channels)}; needed: a number of at least 1 for each of "
                f"spatial_resolutions, {shown(chosen)}, or none"
            )

    def _check_colours(self) -> None:
        regions = self.style_colours
        if not isinstance(regions, tuple) or any(name not in COLOURED or regions.count(name) > 1 for name in regions):
            raise InputError(
                f"style_colours is {shown(regions)}; needed: each at most once of {', '.join(COLOURED)}, or none"
            )
        if 3 * len(regions) > self.style_dim:
            raise InputError(
                f"style_dim is {self.style_dim}; needed: three for each of style_colours, {3 * len(regions)}"
            )

    @property
    def encoder_input_channels(self) -> int:
        """Channels of the encoder's input: those of the condition, and with ``refinements`` those of a face."""
        return self.input_channels + (FACE_CHANNELS if self.refinements else 0)

    @property
    def spatial_widths(self) -> dict[int, int]:
        """Channels of the spatial path by resolution, pixels, ascending, from the lowest to the highest of those chosen."""
        chosen = self.spatial_resolutions
        if not chosen:
            return {}
        explicit = dict(zip(chosen, self.spatial_channels, strict=False))
        widths: dict[int, int] = {}
        for size in (1 << k for k in range(chosen[0].bit_length() - 1, chosen[-1].bit_length())):
            derived = max(min(_MAX_SPATIAL_CHANNELS, 3 * min(self.channel_max, self.channel_base // size) // 4), 1)
            widths[size] = explicit.get(size, derived)
        return widths

    @property
    def n_styles(self) -> int:
        """W+ layers: 2 log2(output_size) - 2."""
        return 2 * (self.output_size.bit_length() - 1) - 2

    @property
    def generator(self) -> GeneratorConfig:
        """The sizes of the generator."""
        return GeneratorConfig(**{field.name: getattr(self, field.name) for field in fields(GeneratorConfig)})

    @property
    def style_layers(self) -> tuple[int, ...]:
        """The W+ layers that a random style replaces: those whose input is at ``style_resolution`` or above.

        Layer 0 has an input of 4 px, and layers 2 k - 1 (upsampling) and 2 k have an output of 4 * 2 ** k px. The inputs are
        therefore at r px or above from layer 2 log2(r / 4) on: for 64 px, layers 8 to 17 of a 1024 px generator, as published.
        """
        first = 2 * (self.style_resolution.bit_length() - 3)
        return tuple(range(first, self.n_styles))
