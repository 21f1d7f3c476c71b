"""What a generator's own training is made of: a frozen dataclass, and presets in one table.

:mod:`facesynth.model.config` has the same for models, and the networks' sizes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from facesynth.errors import InputError
from facesynth.model.config.model import DiscriminatorConfig, GeneratorConfig

TASK = "generator"
"""The task that the folder of a generator's run states."""
COARSEST = 16
"""Size of the coarsest pictures that the sliced Wasserstein distance compares, pixels."""


def default_r1_weight(size: int, batch_size: int) -> float:
    """R1's gamma where none is chosen: 0.0002 times the pixels of a picture, divided by the batch size.

    Parameters
    ----------
    size : int
        Height and width of the pictures, pixels.
    batch_size : int
        Photos a step, over all processes together.
    """
    return 0.0002 * size**2 / batch_size


@dataclass(frozen=True, kw_only=True)
class GANConfig:
    """What a generator's training does; two runs of the same config on the same photos give the same weights.

    The defaults are StyleGAN2's (Karras et al., CVPR 2020, appendix B) with adaptive augmentation (NeurIPS 2020). An image is
    a photo that the discriminator sees; as many pictures are made for it.
    """

    generator: GeneratorConfig
    """The generator's sizes."""
    discriminator: DiscriminatorConfig
    """The discriminator's sizes."""
    steps: int = 781_250
    """Steps in all, each of one update of the generator and one of the discriminator."""
    batch_size: int = 32
    """Images a step."""
    accumulate: int = 1
    """Parts that a step's images go through the networks in, one after another, to save memory."""
    generator_learning_rate: float = 2e-3
    """Of the generator; the mapping network's is a hundredth of it."""
    discriminator_learning_rate: float = 2e-3
    """Of the discriminator."""
    r1_weight: float
    """Gamma, the weight of half the discriminator's squared gradient; 0 for none."""
    r1_interval: int = 16
    """Steps between two updates by that penalty."""
    path_weight: float = 2.0
    """Weight of path length regularisation; 0 for none."""
    path_interval: int = 4
    """Steps between two updates by that penalty."""
    path_decay: float = 0.99
    """How much of the running mean of path lengths stays at such an update."""
    path_shrink: int = 2
    """That penalty is taken on one of so many of a step's images."""
    mixing: float = 0.9
    """Share of the pictures made with the styles of two z."""
    average_half_life: int = 10_000
    """Images in which the running average of the generator's weights forgets half; 0 for no average."""
    average_ramp: float = 0.05
    """Early in a run the half-life is this share of the images so far; 0: as it is from the start."""
    augment_target: float = 0.6
    """Mean sign of photos' scores that augmentation is adapted to; 0: its probability stays what it is."""
    augment_speed: int = 500_000
    """Images in which the probability goes from 0 to 1."""
    augment_interval: int = 4
    """Steps between two changes of it."""
    augment_p: float = 0.0
    """The probability at first."""
    flip: bool = True
    """Mirror half of the photos."""
    precision: Literal["float32", "bf16"] = "float32"
    """What the networks compute in; penalties are float32 always."""
    metric: str = "swd"
    """The distance whose lowest value on the validation split tells which generator is kept: swd, or that at one scale."""
    interval: int = 2000
    """Steps between validations, each with its checkpoint."""
    seed: int = 0
    """Of the initial weights, the order of photos and everything else that is random."""

    def __post_init__(self) -> None:
        if self.discriminator.input_size != self.generator.output_size:
            raise InputError(
                f"the discriminator's input_size is {self.discriminator.input_size}; needed: the generator's output_size, "
                f"{self.generator.output_size}"
            )
        for name in ("steps", "batch_size", "accumulate", "r1_interval", "path_interval", "path_shrink"):
            self._need(name, getattr(self, name) >= 1, "at least 1")
        for name in ("augment_speed", "augment_interval", "interval"):
            self._need(name, getattr(self, name) >= 1, "at least 1")
        for name in ("generator_learning_rate", "discriminator_learning_rate"):
            self._need(name, 0 < getattr(self, name) < 1, "more than 0 and less than 1")
        for name in ("r1_weight", "path_weight", "average_half_life", "average_ramp"):
            self._need(name, 0 <= getattr(self, name) < math.inf, "a number, at least 0")
        for name in ("path_decay", "mixing", "augment_p"):
            self._need(name, 0 <= getattr(self, name) <= 1, "0 to 1")
        self._need("augment_target", 0 <= self.augment_target < 1, "0 to less than 1")
        self._need("seed", 0 <= self.seed < 2**32, f"0 to {2**32 - 1}")
        self._need("batch_size", self.batch_size % self.accumulate == 0, f"a multiple of accumulate, {self.accumulate}")
        if self.precision not in ("float32", "bf16"):
            raise InputError(f"precision is {self.precision!r}; needed: float32 or bf16")
        if self.metric not in self.distances:
            raise InputError(f"metric is {self.metric!r}; needed: {', '.join(self.distances)}")

    def _need(self, name: str, is_met: bool, needed: str) -> None:
        if not is_met:
            raise InputError(f"{name} is {getattr(self, name)}; needed: {needed}")

    @property
    def distances(self) -> tuple[str, ...]:
        """The distances told of the validation split: the mean over all scales, and that at each, the finest first."""
        scales = self.generator.output_size.bit_length() - COARSEST.bit_length() + 1
        return ("swd", *(f"swd_{self.generator.output_size >> scale}" for scale in range(scales)))

    @property
    def is_augmenting(self) -> bool:
        """Whether the discriminator ever sees augmented pictures."""
        return self.augment_target > 0 or self.augment_p > 0


PRESETS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = MappingProxyType(
    {
        # name: the networks' sizes but for the pictures', what differs from GANConfig's defaults
        "published": (
            {"output_size": 256, "style_dim": 512, "mapping_depth": 8, "channel_base": 32768, "channel_max": 512},
            {},
        ),
        "small": (
            {"output_size": 64, "style_dim": 64, "mapping_depth": 4, "channel_base": 1024, "channel_max": 64},
            {
                "steps": 4000,
                "batch_size": 16,
                "average_half_life": 5000,
                "augment_speed": 100_000,
                "interval": 500,
            },
        ),
    }
)
"""The presets: ``published`` has the networks and settings of the papers, ``small`` trains at 64 px on a CPU. Their
generators have the sizes of the same presets of :mod:`facesynth.model.config`."""


def preset(
    name: str,
    size: int | None = None,
    *,
    generator_sizes: Mapping[str, int] | None = None,
    discriminator_sizes: Mapping[str, int] | None = None,
    **values: Any,
) -> GANConfig:
    """The config of a preset.

    Parameters
    ----------
    name : str
        One of :data:`PRESETS`.
    size : int, optional
        Height and width of the pictures; the preset's if not given.
    generator_sizes, discriminator_sizes : mapping, optional
        Fields of the networks' configs that override the preset's. The discriminator's channels are the generator's unless
        given.
    **values
        Fields of :class:`GANConfig` that override the preset's. R1's weight follows from size and batch unless given.

    Raises
    ------
    InputError
        If there is no such preset, or a value is out of its range.

    Examples
    --------
    >>> preset("published", 1024, batch_size=32).r1_weight
    6.5536
    """
    if name not in PRESETS:
        raise InputError(f"preset {name!r} is not known; give one of: {', '.join(PRESETS)}")
    sizes, settings = PRESETS[name]
    sizes = {**sizes, **({"output_size": size} if size is not None else {}), **(generator_sizes or {})}
    generator = GeneratorConfig(**sizes)
    channels = {key: sizes[key] for key in ("channel_base", "channel_max")}
    discriminator = DiscriminatorConfig(
        **{"input_size": generator.output_size, **channels, **(discriminator_sizes or {})}
    )
    values = {**settings, **values}
    if "r1_weight" not in values:
        values["r1_weight"] = default_r1_weight(
            generator.output_size, max(values.get("batch_size", GANConfig.batch_size), 1)
        )
    return GANConfig(generator=generator, discriminator=discriminator, **values)
