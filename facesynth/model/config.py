"""What a model and a training run are made of: frozen dataclasses, presets in one table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Literal, Protocol, get_args

from facesynth.errors import InputError

Condition = Literal["labels", "sketch", "photo"]
EncoderKind = Literal["gradual", "last-layer-w", "last-layer-w-plus"]
StageUnits = tuple[int, int, int, int]

TRUNK_UNITS: Mapping[int, StageUnits] = MappingProxyType({50: (3, 4, 14, 3), 100: (3, 13, 30, 3), 152: (3, 8, 36, 3)})
"""Residual units in the four stages of IR-SE50, IR-SE100 and IR-SE152 (Deng et al., "ArcFace", CVPR 2019)."""


def is_power_of_two(value: int) -> bool:
    """Whether ``value`` is 1, 2, 4, 8, ..."""
    """Whether ``value`` is 1, 2, 4, 8, ..."""
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """The sizes of a generator with its mapping network; :class:`ModelConfig` has the same fields and says what they are."""

    output_size: int
    style_dim: int
    mapping_depth: int
    channel_base: int
    channel_max: int

    def __post_init__(self) -> None:
        if not (is_power_of_two(self.output_size) and 32 <= self.output_size <= 1024):
            raise InputError(f"output_size is {self.output_size}; needed: a power of two from 32 to 1024")
        for name in ("style_dim", "mapping_depth", "channel_max"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; needed: at least 1")
        if self.channel_base < self.output_size:
            raise InputError(f"channel_base is {self.channel_base}; needed: at least output_size, {self.output_size}")

    @property
    def n_styles(self) -> int:
        """W+ layers: 2 log2(output_size) - 2."""
        return 2 * (self.output_size.bit_length() - 1) - 2

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels at 4, 8, ... px: the same for some different ``channel_base`` and ``channel_max``."""
        return _channels(self.output_size, self.channel_base, self.channel_max)


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """The sizes of a discriminator."""

    input_size: int
    """Height and width of the pictures, pixels; a power of two, 32 to 1024."""
    channel_base: int
    """Channels at resolution r are min(channel_max, channel_base / r)."""
    channel_max: int
    """Most channels of a layer."""
    group_size: int = 4
    """Most samples of a batch that are compared with one another."""

    def __post_init__(self) -> None:
        if not (is_power_of_two(self.input_size) and 32 <= self.input_size <= 1024):
            raise InputError(f"input_size is {self.input_size}; needed: a power of two from 32 to 1024")
        for name in ("channel_max", "group_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; needed: at least 1")
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
    """Height and width of the photos that it sees, pixels; a power of two, 32 to 1024."""
    channels: tuple[int, ...] = (16, 32, 64, 96)
    """Channels at that size, at half of it, and so on."""

    def __post_init__(self) -> None:
        if not (is_power_of_two(self.input_size) and 32 <= self.input_size <= 1024):
            raise InputError(f"input_size is {self.input_size}; needed: a power of two from 32 to 1024")
        if not self.channels or min(self.channels) < 1 or self.input_size >> (len(self.channels) - 1) < 1:
            raise InputError(f"channels is {self.channels}; needed: numbers of at least 1, one a halving of input_size")


def _channels(size: int, base: int, most: int) -> tuple[int, ...]:
    return tuple(min(most, base // (4 << k)) for k in range(size.bit_length() - 2))


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The sizes of a pSp model: encoder, mapping network and generator.

    The defaults are the published ones (Richardson et al., CVPR 2021; Karras et al., CVPR 2020) at 256 px.
    """

    condition: Condition
    """What goes in: a one-hot label map, a sketch in [0, 1], or a photo in [-1, 1]."""
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
    """Most channels of a generator layer."""
    encoder_kind: EncoderKind = "gradual"
    """How codes are made: by a style head for every W+ layer on maps of three strides; or from the trunk's last map alone, one
    code for all layers (last-layer-w) or one for each (last-layer-w-plus)."""
    encoder_units: StageUnits = TRUNK_UNITS[50]
    """Residual units in each of the trunk's four stages; :data:`TRUNK_UNITS` has the published ones."""
    encoder_channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    """Channels of each of the trunk's four stages."""
    style_resolution: int = 64
    """Random styles go into the generator's layers from this resolution up, pixels."""

    def __post_init__(self) -> None:
        if self.condition not in ("labels", "sketch", "photo"):
            raise InputError(f"condition is {self.condition!r}; needed: labels, sketch or photo")
        if self.encoder_kind not in get_args(EncoderKind):
            raise InputError(f"encoder_kind is {self.encoder_kind!r}; needed: {', '.join(get_args(EncoderKind))}")
        for name, low, high in (("input_size", 32, 1024), ("output_size", 32, 1024), ("style_resolution", 4, 1024)):
            value = getattr(self, name)
            if not (is_power_of_two(value) and low <= value <= high):
                raise InputError(f"{name} is {value}; needed: a power of two from {low} to {high}")
        if self.style_resolution > self.output_size:
            raise InputError(
                f"style_resolution is {self.style_resolution}; needed: at most output_size, {self.output_size}"
            )
        for name in ("encoder_units", "encoder_channels"):
            stages = getattr(self, name)
            if len(stages) != 4 or min(stages) < 1:
                raise InputError(f"{name} is {stages}; needed: four numbers of at least 1")
        for name in ("input_channels", "style_dim", "mapping_depth", "channel_base", "channel_max"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; needed: at least 1")

    @property
    def n_styles(self) -> int:
        """W+ layers: 2 log2(output_size) - 2."""
        return 2 * (self.output_size.bit_length() - 1) - 2

    @property
    def generator(self) -> GeneratorConfig:
        """The generator's part of the sizes."""
        return GeneratorConfig(**{field.name: getattr(self, field.name) for field in fields(GeneratorConfig)})

    @property
    def style_layers(self) -> tuple[int, ...]:
        """The W+ layers that a random style replaces: those whose input is at ``style_resolution`` or above.

        Layer 0 reads 4 px; layers 2 k - 1 (upsampling) and 2 k write 4 * 2 ** k px, so a layer's input is at r px from
        layer 2 log2(r / 4) on: 64 px and up are the published layers 8 to 17 of a 1024 px generator.
        """
        first = 2 * (self.style_resolution.bit_length() - 3)
        return tuple(range(first, self.n_styles))


class RunConfig(Protocol):
    """What every run's config has, whatever it trains."""

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""

    @property
    def batch_size(self) -> int:
        """Photos a step."""

    @property
    def accumulate(self) -> int:
        """Parts that a step's photos go through the networks in."""

    @property
    def precision(self) -> str:
        """What the networks compute in: float32, bf16 or fp16."""

    @property
    def metric(self) -> str:
        """The term whose lowest value on the validation split tells what is kept."""

    @property
    def interval(self) -> int:
        """Steps between validations."""

    @property
    def seed(self) -> int:
        """Of everything random."""


Task = Literal["seg2face", "sketch2face", "photo2face"]
CONDITIONS: Mapping[Task, Condition] = MappingProxyType(
    {"seg2face": "labels", "sketch2face": "sketch", "photo2face": "photo"}
)
"""The condition that each task translates."""


TERMS = ("l2", "l2_crop", "lpips", "lpips_crop", "identity", "moco", "laplacian", "lines", "parsing", "w_norm")
"""The terms of the loss; :mod:`facesynth.model.objective` says what each compares."""
NETWORK_OF_TERM: Mapping[str, str] = MappingProxyType(
    {"lpips": "lpips", "lpips_crop": "lpips", "identity": "identity", "moco": "moco", "parsing": "parsing"}
)
"""The trained network that a term needs."""
_SMALLEST_OUTPUT = {"lpips_crop": 64, "identity": 256}
"""Pixels of the face that a term needs."""
MOST_CHANGED = 5
"""Most times that the strengths of augmenting and roughening may be taken."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What a training run does; two runs of the same config on the same data give the same weights.

    The defaults are those of the published segmentation and sketch models (Richardson et al., CVPR 2021, section 4, and the
    published code's commands).
    """

    task: Task
    """What is translated."""
    model: ModelConfig
    """The sizes."""
    train_generator: bool = False
    """Train the generator along with the encoder, instead of keeping a given one as it is."""
    steps: int = 500_000
    """Optimiser steps in all."""
    batch_size: int = 8
    """Photos a step, over all processes together."""
    accumulate: int = 1
    """Parts that a step's photos go through one after another, so that they fit in memory; batch norm sees a part alone."""
    optimizer: Literal["ranger", "adam", "muon", "adam-muon"] = "ranger"
    """How the weights are updated; by adam-muon those of the encoder as Adam does, those of the generator as Muon."""
    learning_rate: float = 1e-4
    """Of the encoder."""
    generator_learning_rate: float = 2e-3
    """Of the generator and the photos' style codes, where they are trained; its weights are scaled at run time, so it takes
    more than the encoder does."""
    cooldown: float = 0.0
    """Share of the steps, the last ones, over which the learning rates fall in a line to nothing; 0 for rates that stay."""
    l2: float = 1.0
    """Weight of the mean squared difference of the pictures, whose values are in [-1, 1]."""
    l2_crop: float = 0.0
    """Weight of the same on the face alone."""
    lpips: float = 0.8
    """Weight of the perceptual distance."""
    lpips_crop: float = 0.0
    """Weight of the same on the face alone."""
    lpips_network: Literal["alex", "vgg"] = "alex"
    """Whose features the perceptual distance compares: AlexNet's or VGG16's."""
    identity: float = 0.0
    """Weight of the difference of the persons, as a face recogniser sees them."""
    moco: float = 0.0
    """Weight of the same by features that were learnt without labels, for what are no faces."""
    laplacian: float = 0.0
    """Weight of the difference of the Laplacian pyramids, which keeps edges where there is no perceptual network."""
    lines: float = 0.0
    """Weight of the difference of the pictures' lines, which count rather by their length than by their contrast."""
    parsing: float = 0.0
    """Weight of the difference of the parts that a face parser sees."""
    clip_norm: float = 0.0
    """Longest that all gradients together may be; longer ones are scaled down. 0 for no limit."""
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    """What the networks compute in; weights and losses stay float32."""
    w_norm: float = 0.005
    """Weight of the latents' distance from the average latent."""
    style_probability: float = 0.0
    """Share of the photos whose style layers come from a code of their own, learnt for each photo (GLO)."""
    ema: float = 0.0
    """Decay a step of the moving average of the weights, which is then what is validated and kept; 0 for none."""
    flip: bool = True
    """Mirror half of the pairs, condition and photo together."""
    augment: float = 0.0
    """How far pairs are turned, scaled, shifted and recoloured: 1 for the strengths of Augmentation, 0 for not at all."""
    rough: float = 0.0
    """How rough and incomplete conditions are: 1 for the strengths of Roughness, 0 for as they are."""
    low_resolution: tuple[int, ...] = ()
    """Photos as a condition go in so many times smaller, each by one of these at random, and enlarged again; none for as
    they are."""
    metric: str = "l2"
    """The term, or the whole loss, whose lowest value on the validation split tells which model is kept."""
    interval: int = 2500
    """Steps between validations, each with its checkpoint."""
    seed: int = 0
    """Of the initial weights, the data order and everything else that is random."""

    def __post_init__(self) -> None:
        if self.task not in CONDITIONS:
            raise InputError(f"task is {self.task!r}; needed: {', '.join(CONDITIONS)}")
        if self.model.condition != CONDITIONS[self.task]:
            raise InputError(
                f"task {self.task} needs a model for {CONDITIONS[self.task]}, not for {self.model.condition}"
            )
        for name in ("steps", "batch_size", "accumulate", "interval"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; needed: at least 1")
        if self.batch_size % self.accumulate:
            raise InputError(f"accumulate is {self.accumulate}; needed: a divisor of batch_size, {self.batch_size}")
        if self.precision not in ("float32", "bf16", "fp16"):
            raise InputError(f"precision is {self.precision!r}; needed: float32, bf16 or fp16")
        if not 0 <= self.clip_norm < math.inf:
            raise InputError(f"clip_norm is {self.clip_norm}; needed: a number, at least 0")
        self._check_conditions()
        if self.optimizer not in ("ranger", "adam", "muon", "adam-muon"):
            raise InputError(f"optimizer is {self.optimizer!r}; needed: ranger, adam, muon or adam-muon")
        for name in ("learning_rate", "generator_learning_rate"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; needed: more than 0 and less than 1")
        if not 0 <= self.cooldown <= 1:
            raise InputError(f"cooldown is {self.cooldown}; needed: 0 to 1")
        self._check_loss()
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed is {self.seed}; needed: 0 to {2**32 - 1}")
        if not 0 <= self.ema < 1:
            raise InputError(f"ema is {self.ema}; needed: 0 to less than 1")
        if not 0 <= self.style_probability <= 1:
            raise InputError(f"style_probability is {self.style_probability}; needed: 0 to 1")
        if self.style_probability and not self.train_generator:
            raise InputError("style_probability needs train_generator: a given generator has its styles already")

    def _check_conditions(self) -> None:
        for name in ("augment", "rough"):
            if not 0 <= getattr(self, name) <= MOST_CHANGED:
                raise InputError(f"{name} is {getattr(self, name)}; needed: 0 to {MOST_CHANGED}")
        if self.rough and self.model.condition == "photo":
            raise InputError(
                f"rough is {self.rough} but the task is {self.task}; needed: seg2face or sketch2face, or 0"
            )
        factors, size = self.low_resolution, self.model.input_size
        if factors and self.model.condition != "photo":
            raise InputError(f"low_resolution is {factors} but the task is {self.task}; needed: photo2face, or none")
        if any(factor < 1 or size % factor for factor in factors):
            raise InputError(f"low_resolution is {factors}; needed: divisors of input_size, {size}")

    def _check_loss(self) -> None:
        for name, weight in self.weights.items():
            if not 0 <= weight < math.inf:
                raise InputError(f"{name} is {weight}; needed: a number, at least 0")
            smallest = _SMALLEST_OUTPUT.get(name, 0)
            if weight and self.model.output_size < smallest:
                raise InputError(
                    f"{name} is {weight} but output_size {self.model.output_size}; needed: at least {smallest} px, or 0"
                )
        if not any(self.weights.values()):
            raise InputError(f"every term weighs 0; needed: one of {', '.join(TERMS)} above 0")
        if self.lpips_network not in ("alex", "vgg"):
            raise InputError(f"lpips_network is {self.lpips_network!r}; needed: alex or vgg")
        if self.metric not in ("loss", *TERMS):
            raise InputError(f"metric is {self.metric!r}; needed: loss, {', '.join(TERMS[:-1])} or {TERMS[-1]}")
        if self.metric not in ("loss", "l2", "w_norm") and not getattr(self, self.metric):
            raise InputError(f"metric is {self.metric!r}, which weighs 0; needed: a term of the loss")

    @property
    def weights(self) -> dict[str, float]:
        """What every term weighs, by :data:`TERMS`."""
        return {name: getattr(self, name) for name in TERMS}

    def rate_share(self, step: int) -> float:
        """What share of the learning rates the step after ``step`` others goes by: 1 until the cooldown, then less.

        Reference: Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", NeurIPS 2024,
        section 3 (a constant rate with a cooldown).
        """
        left, falling = self.steps - step, self.cooldown * self.steps
        return min(1.0, left / falling) if falling else 1.0


PRESETS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = MappingProxyType(
    {
        # name: what differs from ModelConfig's defaults, what differs from TrainConfig's
        "published": ({}, {}),
        "freehand": ({}, {"augment": 1.0, "rough": 1.0}),
        "super-resolution": ({}, {"identity": 0.1, "low_resolution": (1, 2, 4, 8, 16, 32)}),
        "small": (
            {
                "input_size": 64,
                "output_size": 64,
                "style_dim": 64,
                "mapping_depth": 4,
                "channel_base": 1024,
                "channel_max": 64,
                "encoder_units": (1, 2, 2, 1),
                "encoder_channels": (8, 16, 32, 64),
                "style_resolution": 16,
            },
            {
                "steps": 900,
                "optimizer": "adam-muon",
                "learning_rate": 5e-4,
                "generator_learning_rate": 5e-3,
                "laplacian": 1.0,
                "w_norm": 1e-4,
                "ema": 0.99,
                "metric": "laplacian",  # a condition doesn't fix colours, and L2 is mostly colours
                "interval": 100,
            },
        ),
        "portrait": (
            {
                "input_size": 128,
                "output_size": 128,
                "style_dim": 96,
                "mapping_depth": 4,
                "channel_base": 4096,
                "channel_max": 192,
                "encoder_units": (2, 2, 4, 2),
                "encoder_channels": (16, 48, 96, 128),
                "style_resolution": 32,
            },
            {
                "steps": 640,
                "batch_size": 16,
                "optimizer": "muon",
                "learning_rate": 5e-4,
                "cooldown": 0.5,
                "laplacian": 1.0,
                "lines": 0.2,
                "parsing": 0.2,
                "w_norm": 1e-4,
                "ema": 0.99,
                "augment": 0.5,
                "rough": 0.5,
                "metric": "laplacian",
                "interval": 100,
            },
        ),
    }
)
"""The presets: ``published`` and ``super-resolution`` are the 256 px models of the paper, ``freehand`` the published one for
people's own drawings, ``small`` one that trains on a CPU in minutes, ``portrait`` one for the generator that comes along."""
FOR_TASK: Mapping[tuple[str, Task], Mapping[str, Any]] = MappingProxyType(
    {("published", "photo2face"): {"identity": 0.1, "w_norm": 0.0}, ("portrait", "photo2face"): {"rough": 0.0}}
)
"""What differs further where a preset is used for a task: photos of persons are to keep who they are."""


def preset(
    name: str, task: Task, *, n_classes: int, model_sizes: Mapping[str, Any] | None = None, **train: Any
) -> TrainConfig:
    """The config of a preset for a task.

    Parameters
    ----------
    name : str
        One of :data:`PRESETS`.
    task : str
        seg2face, sketch2face or photo2face.
    n_classes : int
        Classes of the label maps.
    model_sizes
        Fields of :class:`ModelConfig` that override the preset's.
    **train
        Fields of :class:`TrainConfig` that override the preset's.

    Raises
    ------
    InputError
        If there is no such preset or task, or a value is out of its range.

    Examples
    --------
    >>> preset("published", "sketch2face", n_classes=19).model.input_channels
    1
    """
    if name not in PRESETS:
        raise InputError(f"preset {name!r} is not known; give one of: {', '.join(PRESETS)}")
    if task not in CONDITIONS:
        raise InputError(f"task is {task!r}; needed: {', '.join(CONDITIONS)}")
    sizes, values = PRESETS[name]
    channels = {"labels": n_classes, "sketch": 1, "photo": 3}[CONDITIONS[task]]
    model = ModelConfig(condition=CONDITIONS[task], input_channels=channels, **{**sizes, **(model_sizes or {})})
    values = {**values, **FOR_TASK.get((name, task), {}), **train}
    if values.get("train_generator"):
        values.setdefault("style_probability", 0.8)
    return TrainConfig(task=task, model=model, **values)
