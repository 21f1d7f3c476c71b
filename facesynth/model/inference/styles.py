"""Styles of faces: text and numbers in; W+ layers, w and noise out.

A W+ layer is named by its number, or by the resolution of the input of the generator's layer that it modulates: layers 2 k and
2 k + 1 have inputs of 4 * 2 ** k px. All random numbers depend only on the seed and the number of the sample, so they are the
same for every condition, batch size, order and device.

References: Karras et al., "A Style-Based Generator Architecture for Generative Adversarial Networks", CVPR 2019, sections 3.1
(mixing; coarse, middle and fine styles) and 3.2 (noise), appendix B (truncation); Richardson et al., "Encoding in Style", CVPR
2021, section 4 (multi-modal synthesis).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

import numpy as np
import torch

from facesynth.errors import InputError, shown
from facesynth.model.data.style_colours import PER_REGION, parse_colours
from facesynth.model.networks.generator import NoiseMode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from facesynth.model.config.model import ModelConfig
    from facesynth.model.networks.generator import Generator

RANGES = {"coarse": (4, 8), "middle": (16, 32), "fine": (64, 1024), "all": (4, 1024)}
"""The lowest and highest resolution of each of StyleGAN's named ranges, pixels."""
MOST_SAMPLES = 10_000
"""The most faces per condition."""
_PART = re.compile(r"(?P<low>\d{1,4})(?:-(?P<high>\d{1,4}))?|(?P<from>\d{1,4})px(?:-(?:(?P<to>\d{1,4})px|(?P<up>up)))?")
_FORMS = (
    "coarse, middle, fine, all, resolutions as 64px-up, 16px-32px or 8px, numbers as 8-17 or 3, or several with commas"
)


@dataclass(frozen=True, kw_only=True)
class Styling:
    """How a face's latents are modified, and how many faces are generated from them.

    Examples
    --------
    >>> Styling(samples=4, seed=7, mix_layers="64px-up", mix_alpha=0.6).count
    4
    """

    samples: int = 0
    """Faces per condition, each with a random style, at most :data:`MOST_SAMPLES`; 0 for one face with the style predicted by
    the encoder."""
    seed: int = 0
    """Seed of the random styles and the noise, at least 0."""
    colours: Mapping[str, str] = field(default_factory=dict)
    """Colours of regions in the random styles, for a model with ``style_colours``: ``{"hair": "#c8a165"}``. With ``samples``
    0, the face has the first random style with these colours."""
    mix_layers: str = ""
    """The W+ layers into which a style is mixed, in the form of :func:`layers_of`; those of the model's config if empty."""
    mix_alpha: float = 1.0
    """Weight of the style in these layers, 0 to 1; 1 replaces the encoder's latents."""
    truncation: float = 1.0
    """psi, the scale of the latents' offset from the average latent: 1 keeps them, 0 gives the average face, more than 1
    exaggerates."""
    follow: float = 1.0
    """Scale of the condition's spatial maps, 0 to 1, for a model with a spatial path: 1 follows the condition's lines as
    trained, 0 not at all."""
    noise: NoiseMode = "constant"
    """The noise of every layer: constant, random by seed and sample, or none."""

    def __post_init__(self) -> None:
        for name in ("samples", "seed"):
            value = getattr(self, name)
            if value < 0:
                raise InputError(f"{name} is {shown(value)}; needed: at least 0")
        if self.samples > MOST_SAMPLES:
            raise InputError(f"samples is {shown(self.samples)}; needed: at most {MOST_SAMPLES}")
        if not 0.0 <= self.mix_alpha <= 1.0:
            raise InputError(f"mix_alpha is {self.mix_alpha}; needed: a number from 0 to 1")
        if not 0.0 <= self.follow <= 1.0:
            raise InputError(f"follow is {self.follow}; needed: a number from 0 to 1")
        if not 0.0 <= self.truncation < math.inf:
            raise InputError(f"truncation is {self.truncation}; needed: a number, at least 0")
        if self.noise not in get_args(NoiseMode):
            raise InputError(f"noise is {self.noise!r}; needed: {', '.join(get_args(NoiseMode))}")

    @property
    def draws(self) -> bool:
        """Whether faces have a random style."""
        return self.samples > 0 or bool(self.colours)

    @property
    def count(self) -> int:
        """Faces per condition."""
        return max(self.samples, 1)


def layers_of(text: str, config: ModelConfig) -> tuple[int, ...]:
    """The W+ layers that a text names.

    Parameters
    ----------
    text : str
        ``coarse`` (4 to 8 px), ``middle`` (16 to 32 px), ``fine`` (64 px and up), ``all``; resolutions, ``64px-up``,
        ``16px-32px`` or ``8px``; numbers, ``8-17`` or ``3``; or several of these with commas. The config's own style layers
        if empty.
    config : ModelConfig

    Returns
    -------
    tuple of int
        In ascending order.

    Raises
    ------
    InputError
        If the text is of another form, or names a layer or resolution that the model does not have.

    Examples
    --------
    >>> from facesynth.model.config.model import ModelConfig
    >>> config = ModelConfig(condition="sketch", input_channels=1, output_size=1024)
    >>> layers_of("fine", config) == layers_of("64px-up", config) == layers_of("8-17", config) == tuple(range(8, 18))
    True
    >>> layers_of("0,2,16px", config)
    (0, 2, 4, 5)
    """
    if not text:
        return config.style_layers
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        layers = _layers_of_part(part, config)
        if not layers:
            raise InputError(
                f"mix_layers {shown(part)} is no layer of a {config.output_size} px model; {_have(config)}"
            )
        found |= layers
    return tuple(sorted(found))


def _layers_of_part(part: str, config: ModelConfig) -> set[int]:
    last = config.n_styles - 1
    match = _PART.fullmatch(part)
    if part in RANGES:
        return _at(*RANGES[part], config)
    if match is None:
        raise InputError(f"mix_layers is {shown(part)}; needed: {_FORMS}")
    if match["low"]:
        low, high = int(match["low"]), int(match["high"] or match["low"])
        if not low <= high <= last:
            raise InputError(f"mix_layers is {shown(part)}; {_have(config)}")
        return set(range(low, high + 1))
    low = int(match["from"])
    high = config.output_size if match["up"] else int(match["to"] or low)
    for resolution in {low, high}:
        if resolution < 4 or resolution & (resolution - 1) or resolution > config.output_size:
            raise InputError(f"mix_layers is {shown(part)}; {_have(config)}")
    return _at(low, high, config)


def _at(low: int, high: int, config: ModelConfig) -> set[int]:
    """The layers with inputs of ``low`` to ``high`` px."""
    return {layer for layer in range(config.n_styles) if low <= 4 << layer // 2 <= high}


def _have(config: ModelConfig) -> str:
    return f"it has the layers 0 to {config.n_styles - 1}, which read maps of 4 to {config.output_size} px"


def random_styles(generator: Generator, styling: Styling, regions: Sequence[str] = ()) -> Tensor:
    """The w of every sample's random z; a sample's w does not depend on their number.

    Parameters
    ----------
    generator : Generator
    styling : Styling
        Gives the seed, the number of samples, and colours that z does not leave to chance.
    regions : sequence of str
        The model's ``style_colours``.

    Returns
    -------
    (styling.count, style_dim) float32 tensor

    Raises
    ------
    InputError
        If the styling has a colour of a region that the model does not have, or one that is no colour.
    """
    device, size = generator.constant.device, generator.style_dim
    places = {
        size - PER_REGION * (len(regions) - index): numbers
        for index, numbers in parse_colours(styling.colours, regions).items()
    }
    w = torch.empty(styling.count, size, device=device)
    for number in range(styling.count):  # one by one, so that rounding does not depend on the batch
        z = np.random.default_rng([styling.seed, number]).standard_normal((1, size), np.float32)
        for place, numbers in places.items():
            z[0, place : place + PER_REGION] = numbers
        w[number] = generator.mapping(torch.from_numpy(z).to(device)).squeeze(0)
    return w


def noise_sources(styling: Styling, number: int, count: int) -> list[torch.Generator] | None:
    """Equally seeded random number generators of the noise for ``count`` faces of a sample; None if no noise is random."""
    if styling.noise != "random":
        return None
    (seed,) = np.random.SeedSequence([styling.seed, number, 1]).generate_state(1, np.uint64)
    return [torch.Generator().manual_seed(int(seed >> 1)) for _ in range(count)]
