"""The settings of a training run: frozen dataclasses whose fields are checked on construction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

from facesynth.errors import InputError, shown
from facesynth.model.config.model import Condition, ModelConfig


class RunConfig(Protocol):
    """What every run's config has, whatever it trains."""

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""

    @property
    def batch_size(self) -> int:
        """Photos per step."""

    @property
    def accumulate(self) -> int:
        """Micro-batches into which each step's photos are split."""

    @property
    def precision(self) -> str:
        """Precision of the networks: float32, bf16 or fp16."""

    @property
    def metric(self) -> str:
        """The term that selects the best network, by its lowest value on the validation split."""

    @property
    def interval(self) -> int:
        """Steps between validations."""

    @property
    def seed(self) -> int:
        """Seed of all random numbers."""


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
"""The smallest output size that a term needs, pixels."""
MOST_STEPS = 1_000_000_000
"""The most steps of a run, and the largest of the numbers that count photos or steps."""
MOST_CHANGED = 5
"""The largest factor of the strengths of augmentation and roughness."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The settings of a training run; two runs with the same config and data give the same weights.

    The defaults are those of the published segmentation and sketch models (Richardson et al., CVPR 2021, section 4, and the
    published code's commands).
    """

    task: Task
    """What is translated."""
    model: ModelConfig
    """The sizes."""
    train_generator: bool = False
    """Train the generator together with the encoder, instead of keeping it frozen."""
    steps: int = 500_000
    """Optimiser steps in all."""
    batch_size: int = 8
    """Photos per step, over all processes together."""
    accumulate: int = 1
    """Micro-batches into which each step's photos are split to save memory; batch norm uses the statistics of each alone."""
    optimizer: Literal["ranger", "adam", "muon", "adam-muon"] = "ranger"
    """The optimiser; adam-muon uses Adam for the encoder and Muon for the generator."""
    learning_rate: float = 1e-4
    """Learning rate of the encoder."""
    generator_learning_rate: float = 2e-3
    """Learning rate of the generator and the photos' style codes, if they are trained. It is higher than the encoder's because
    the generator's weights are scaled at run time."""
    cooldown: float = 0.0
    """Fraction of the steps, at the end, over which the learning rates decay linearly to 0; 0 for constant rates."""
    l2: float = 1.0
    """Weight of the mean squared difference of the pictures, whose values are in [-1, 1]."""
    l1: float = 0.0
    """Weight of the mean absolute difference of the same pictures, which blurs less."""
    l2_crop: float = 0.0
    """Weight of the same on the face alone."""
    lpips: float = 0.8
    """Weight of the perceptual distance."""
    lpips_crop: float = 0.0
    """Weight of the same on the face alone."""
    lpips_network: Literal["alex", "vgg"] = "alex"
    """The network of the perceptual distance: AlexNet or VGG16."""
    identity: float = 0.0
    """Weight of the identity loss: the dissimilarity of the persons by a face recogniser."""
    moco: float = 0.0
    """Weight of the same with features learnt without labels, for subjects other than faces."""
    laplacian: float = 0.0
    """Weight of the difference of the Laplacian pyramids, which preserves edges if there is no perceptual network."""
    lines: float = 0.0
    """Weight of the difference of the pictures' lines, which count by their length rather than by their contrast."""
    parsing: float = 0.0
    """Weight of the difference of the segmentations by a face parser."""
    adversarial: float = 0.0
    """Weight of the adversarial loss of each discriminator; the discriminators see pictures through the network of the
    perceptual distance, and one of them sees them together with their condition."""
    discriminator_learning_rate: float = 5e-4
    """Learning rate of the discriminators."""
    augment_target: float = 0.6
    """Target of adaptive discriminator augmentation: the mean sign of the discriminators' scores of training photos, 0 to less
    than 1; 0 to augment always."""
    clip_norm: float = 0.0
    """Largest norm of all gradients together; larger ones are scaled down. 0 for no limit."""
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    """Precision of the networks; weights and losses stay in float32."""
    w_norm: float = 0.005
    """Weight of the latents' distance from the average latent."""
    style_probability: float = 0.0
    """Probability that a photo's style layers come from a code learnt for that photo (GLO)."""
    ema: float = 0.0
    """Decay per step of the moving average of the weights, which is then validated and saved; 0 for no average."""
    flip: bool = True
    """Mirror half of the pairs, condition and photo together."""
    augment: float = 0.0
    """Factor of the strengths of Augmentation (rotation, scale, shift, colours); 0 for no augmentation."""
    rough: float = 0.0
    """Factor of the strengths of Roughness, which makes conditions rough and incomplete; 0 for exact conditions."""
    low_resolution: tuple[int, ...] = ()
    """Downsampling factors of photos as conditions, one drawn at random for each photo, which is then upsampled again; empty
    for full resolution."""
    metric: str = "l2"
    """The term, or the whole loss, that selects the best model, by its lowest value on the validation split."""
    interval: int = 2500
    """Steps between validations, each with a checkpoint."""
    seed: int = 0
    """Seed of the initial weights, the data order and all other random numbers."""

    def __post_init__(self) -> None:
        if self.task not in CONDITIONS:
            raise InputError(f"task is {shown(self.task)}; needed: {', '.join(CONDITIONS)}")
        if self.model.condition != CONDITIONS[self.task]:
            raise InputError(
                f"task {self.task} needs a model for {CONDITIONS[self.task]}, not for {self.model.condition}"
            )
        if self.model.refinements:
            raise InputError(f"refinements is {self.model.refinements}; needed: 0, since training takes one pass")
        for name in ("steps", "batch_size", "accumulate", "interval"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {shown(getattr(self, name))}; needed: at least 1")
            if getattr(self, name) > MOST_STEPS:
                raise InputError(f"{name} is {shown(getattr(self, name))}; needed: at most {MOST_STEPS}")
        if self.batch_size % self.accumulate:
            raise InputError(f"accumulate is {self.accumulate}; needed: a divisor of batch_size, {self.batch_size}")
        if self.precision not in ("float32", "bf16", "fp16"):
            raise InputError(f"precision is {shown(self.precision)}; needed: float32, bf16 or fp16")
        if not 0 <= self.clip_norm < math.inf:
            raise InputError(f"clip_norm is {self.clip_norm}; needed: a number, at least 0")
        self._check_conditions()
        if self.optimizer not in ("ranger", "adam", "muon", "adam-muon"):
            raise InputError(f"optimizer is {shown(self.optimizer)}; needed: ranger, adam, muon or adam-muon")
        for name in ("learning_rate", "generator_learning_rate", "discriminator_learning_rate"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name} is {shown(getattr(self, name))}; needed: more than 0 and less than 1")
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
                raise InputError(f"{name} is {shown(getattr(self, name))}; needed: 0 to {MOST_CHANGED}")
        if self.rough and self.model.condition == "photo":
            raise InputError(
                f"rough is {self.rough} but the task is {self.task}; needed: seg2face or sketch2face, or 0"
            )
        factors, size = self.low_resolution, self.model.input_size
        if factors and self.model.condition != "photo":
            raise InputError(
                f"low_resolution is {shown(factors)} but the task is {self.task}; needed: photo2face, or none"
            )
        if any(factor < 1 or size % factor for factor in factors):
            raise InputError(f"low_resolution is {shown(factors)}; needed: divisors of input_size, {size}")

    def _check_loss(self) -> None:
        if not 0 <= self.adversarial < math.inf:
            raise InputError(f"adversarial is {self.adversarial}; needed: a number, at least 0")
        if not 0 <= self.augment_target < 1:
            raise InputError(f"augment_target is {self.augment_target}; needed: 0 to less than 1")
        for name, weight in self.weights.items():
            if not 0 <= weight < math.inf:
                raise InputError(f"{name} is {shown(weight)}; needed: a number, at least 0")
            smallest = _SMALLEST_OUTPUT.get(name, 0)
            if weight and self.model.output_size < smallest:
                raise InputError(
                    f"{name} is {shown(weight)} but output_size {self.model.output_size}; needed: at least {smallest} px, or 0"
                )
        if not any(self.weights.values()):
            raise InputError(f"every term weighs 0; needed: one of {', '.join(TERMS)} above 0")
        if self.lpips_network not in ("alex", "vgg"):
            raise InputError(f"lpips_network is {shown(self.lpips_network)}; needed: alex or vgg")
        if self.metric not in ("loss", *TERMS):
            raise InputError(f"metric is {shown(self.metric)}; needed: loss, {', '.join(TERMS[:-1])} or {TERMS[-1]}")
        if self.metric not in ("loss", "l2", "w_norm") and not getattr(self, self.metric):
            raise InputError(f"metric is {shown(self.metric)}, which weighs 0; needed: a term of the loss")

    @property
    def weights(self) -> dict[str, float]:
        """The weight of every term, by :data:`TERMS`."""
        return {name: getattr(self, name) for name in TERMS}

    def rate_share(self, step: int) -> float:
        """The factor of the learning rates after ``step`` steps: 1 until the cooldown, then decaying linearly.

        Reference: Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", NeurIPS 2024,
        section 3 (a constant rate with a cooldown).
        """
        left, falling = self.steps - step, self.cooldown * self.steps
        return min(1.0, left / falling) if falling else 1.0
