"""What a training run does: frozen dataclasses, checked when they are made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

from facesynth.errors import InputError
from facesynth.model.config.model import Condition, ModelConfig


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
TERMS = ("l2", "l1", "l2_crop", "lpips", "lpips_crop", "identity", "moco", "laplacian", "lines", "parsing", "w_norm")
"""The terms of the loss; :mod:`facesynth.model.losses.objective` says what each compares."""
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
    l1: float = 0.0
    """Weight of the mean absolute difference of the same, which blurs less."""
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
    adversarial: float = 0.0
    """Weight of what discriminators that are trained along say of the faces, each of them; they see the pictures through the
    network of the perceptual distance, and one of them the condition too."""
    discriminator_learning_rate: float = 5e-4
    """Of these discriminators."""
    augment_target: float = 0.6
    """How sure they may be of photos, 0 to 1: pictures are changed for them the more often, the surer they are; 0 for
    always."""
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
        for name in ("learning_rate", "generator_learning_rate", "discriminator_learning_rate"):
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
        if not 0 <= self.adversarial < math.inf:
            raise InputError(f"adversarial is {self.adversarial}; needed: a number, at least 0")
        if not 0 <= self.augment_target < 1:
            raise InputError(f"augment_target is {self.augment_target}; needed: 0 to less than 1")
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
