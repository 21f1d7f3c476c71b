"""The settings of a generator's training: a frozen dataclass, and presets in one table.

:mod:`facesynth.model.config.train` has those of models, :mod:`facesynth.model.config.model` the networks' sizes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from facesynth.errors import InputError, shown
from facesynth.model.config.model import DiscriminatorConfig, GeneratorConfig

TASK = "generator"
"""The task recorded in the folder of a generator's run."""
DISCRIMINATORS = ("stylegan2", "projected")
"""The kinds of discriminators."""
COARSEST = 16
"""Size of the coarsest level that the sliced Wasserstein distance compares, pixels."""


def default_r1_weight(size: int, batch_size: int) -> float:
    """The default of R1's gamma: 0.0002 times the number of pixels of a picture, divided by the batch size.

    Parameters
    ----------
    size : int
        Height and width of the pictures, pixels.
    batch_size : int
        Photos per step, over all processes together.
    """
    return 0.0002 * size**2 / batch_size


@dataclass(frozen=True, kw_only=True)
class GANConfig:
    """The settings of a generator's training; two runs with the same config and photos give the same weights.

    The defaults are StyleGAN2's (Karras et al., CVPR 2020, appendix B) with adaptive augmentation (NeurIPS 2020). Images are
    counted by the photos that the discriminator sees; it sees as many generated pictures. A projected discriminator (Sauer et
    al., NeurIPS 2021) sees pictures through a frozen network, has the hinge loss and no R1 penalty.
    """

    generator: GeneratorConfig
    """The generator's sizes."""
    discriminator_kind: Literal["stylegan2", "projected"] = "stylegan2"
    """The kind of discriminator."""
    discriminator: DiscriminatorConfig | None
    """The sizes of StyleGAN2's discriminator; None for a projected one, which has none to choose."""
    lpips_network: Literal["alex", "vgg"] = "alex"
    """The frozen network of a projected discriminator: LPIPS's AlexNet or VGG16."""
    steps: int = 781_250
    """Number of steps, each with one update of the generator and one of the discriminator."""
    batch_size: int = 32
    """Images per step."""
    accumulate: int = 1
    """Micro-batches into which each step's images are split to save memory."""
    generator_learning_rate: float = 2e-3
    """Learning rate of the generator; that of the mapping network is a hundredth of it."""
    discriminator_learning_rate: float = 2e-3
    """Learning rate of the discriminator."""
    r1_weight: float
    """Gamma: the weight of half the discriminator's squared gradient; 0 for no R1 penalty."""
    r1_interval: int = 16
    """Steps between two updates by the R1 penalty."""
    path_weight: float = 2.0
    """Weight of path length regularisation; 0 for none."""
    path_interval: int = 4
    """Steps between two updates by path length regularisation."""
    path_decay: float = 0.99
    """Decay of the running mean of path lengths at each of these updates."""
    path_shrink: int = 2
    """Path length regularisation uses one of this many of a step's images."""
    mixing: float = 0.9
    """Probability that a picture is generated with the styles of two z."""
    average_half_life: int = 10_000
    """Half-life of the moving average of the generator's weights, images; 0 for no average."""
    average_ramp: float = 0.05
    """Early in a run, the half-life is at most this fraction of the images so far; 0 for no such limit."""
    augment_target: float = 0.6
    """Target of the mean sign of the photos' scores, to which augmentation is adapted; 0 for a fixed probability."""
    augment_speed: int = 500_000
    """Number of images in which the augmentation probability can change from 0 to 1."""
    augment_interval: int = 4
    """Steps between two adjustments of the augmentation probability."""
    augment_p: float = 0.0
    """The initial augmentation probability."""
    flip: bool = True
    """Mirror photos with probability 1/2."""
    precision: Literal["float32", "bf16"] = "float32"
    """Precision of the networks; penalties are always computed in float32."""
    metric: str = "swd"
    """The distance that selects the best generator, by its lowest value on the validation split: swd, or that at one scale."""
    interval: int = 2000
    """Steps between validations, each with a checkpoint."""
    seed: int = 0
    """Seed of the initial weights, the order of photos and all other random numbers."""

    def __post_init__(self) -> None:
        if self.discriminator_kind not in DISCRIMINATORS:
            raise InputError(
                f"discriminator_kind is {self.discriminator_kind!r}; needed: {' or '.join(DISCRIMINATORS)}"
            )
        if self.lpips_network not in ("alex", "vgg"):
            raise InputError(f"lpips_network is {self.lpips_network!r}; needed: alex or vgg")
        if self.is_projected and self.discriminator is not None:
            raise InputError(
                "discriminator has sizes; needed: None, because a projected discriminator has none to choose"
            )
        if self.is_projected and self.r1_weight:
            raise InputError(
                f"r1_weight is {self.r1_weight}; needed: 0, because a projected discriminator has no R1 penalty"
            )
        if not self.is_projected and self.discriminator is None:
            raise InputError("discriminator is None; needed: the sizes of StyleGAN2's discriminator")
        if self.discriminator is not None and self.discriminator.input_size != self.generator.output_size:
            raise InputError(
                f"the discriminator's input_size is {self.discriminator.input_size}; needed: the generator's output_size, "
                f"{self.generator.output_size}"
            )
        for name in ("steps", "batch_size", "accumulate", "r1_interval", "path_interval", "path_shrink"):
            self._need(name, getattr(self, name) >= 1, "at least 1")
        for name in ("augment_speed", "augment_interval", "interval"):
            self._need(name, getattr(self, name) >= 1, "at least 1")
        for name in ("steps", "batch_size", "interval", "average_half_life", "augment_speed"):
            self._need(name, getattr(self, name) <= 10**9, "at most 1000000000")
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
            raise InputError(f"precision is {shown(self.precision)}; needed: float32 or bf16")
        if self.metric not in self.distances:
            raise InputError(f"metric is {shown(self.metric)}; needed: {', '.join(self.distances)}")

    def _need(self, name: str, is_met: bool, needed: str) -> None:
        if not is_met:
            raise InputError(f"{name} is {shown(getattr(self, name))}; needed: {needed}")

    @property
    def distances(self) -> tuple[str, ...]:
        """The distances measured on the validation split: the mean over all scales, and that at each scale, finest first."""
        scales = self.generator.output_size.bit_length() - COARSEST.bit_length() + 1
        return ("swd", *(f"swd_{self.generator.output_size >> scale}" for scale in range(scales)))

    @property
    def is_projected(self) -> bool:
        """Whether the discriminator is a projected one."""
        return self.discriminator_kind == "projected"

    @property
    def is_augmenting(self) -> bool:
        """Whether the discriminator ever sees augmented pictures."""
        return self.augment_target > 0 or self.augment_p > 0


PRESETS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = MappingProxyType(
    {
        # name: the generator's sizes, differences from GANConfig's defaults
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
generators have the sizes of the presets of the same names in :mod:`facesynth.model.config.presets`."""


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
        given; a projected discriminator has no sizes.
    **values
        Fields of :class:`GANConfig` that override the preset's. R1's weight follows from size and batch unless given; it is 0
        for a projected discriminator.

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
        raise InputError(f"preset {shown(name)} is not known; give one of: {', '.join(PRESETS)}")
    sizes, settings = PRESETS[name]
    sizes = {**sizes, **({"output_size": size} if size is not None else {}), **(generator_sizes or {})}
    generator = GeneratorConfig(**sizes)
    values = {**settings, **values}
    discriminator = None
    if values.get("discriminator_kind") == "projected":
        if discriminator_sizes:
            raise InputError(
                f"a projected discriminator has no {', '.join(discriminator_sizes)} to choose; leave it out"
            )
        values.setdefault("r1_weight", 0.0)
    else:
        channels = {key: sizes[key] for key in ("channel_base", "channel_max")}
        discriminator = DiscriminatorConfig(
            **{"input_size": generator.output_size, **channels, **(discriminator_sizes or {})}
        )
    if "r1_weight" not in values:
        values["r1_weight"] = default_r1_weight(
            generator.output_size, max(values.get("batch_size", GANConfig.batch_size), 1)
        )
    return GANConfig(generator=generator, discriminator=discriminator, **values)
