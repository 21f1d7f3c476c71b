"""Adaptive discriminator augmentation: pictures in, the same pictures moved and recoloured at random out.

The discriminator sees photos and made pictures through the same transformations, so that a small set of photos cannot be
learnt by heart. Each is applied to a sample with probability p; those of a kind are composed into one matrix a sample: an
affine map of coordinates, by which the picture is read once, bilinearly and mirrored at its edges, and an affine map of
colours. Samples that nothing befalls stay as they are, to the bit. Gradients flow to the pictures.

The controller moves p so that the discriminator is sure of a given share of the photos.

Reference: Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020, section 3 (the
heuristic) and appendix B (the transformations: pixel blitting, geometry and colours). There the picture is read at twice
its size through a wavelet's filter; here it is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional as F

from facesynth.errors import InputError

Draw = Callable[[int, float, int, torch.Generator], Tensor]
"""A transformation: samples, p, the pictures' size and a source of chance on the CPU, to a float64 matrix a sample."""


@dataclass(frozen=True)
class Changes:
    """What befalls each sample of a batch.

    Attributes
    ----------
    placement : Tensor
        (N, 3, 3) on the CPU: where each pixel comes from.
    colours : Tensor
        (N, 4, 4) on the CPU: what becomes of colours.
    """

    placement: Tensor
    colours: Tensor

    def of(self, places: Sequence[int]) -> Changes:
        """Those of some of the samples."""
        chosen = list(places)
        return Changes(self.placement[chosen], self.colours[chosen])

    def __call__(self, pictures: Tensor) -> Tensor:
        """Pictures (N, 3, S, S), around [-1, 1], changed; not clipped.

        Raises
        ------
        InputError
            If they have another shape.
        """
        if pictures.ndim != 4 or pictures.shape[1] != 3 or pictures.shape[2] != pictures.shape[3]:
            raise InputError(f"pictures has shape {tuple(pictures.shape)}; needed: (N, 3, S, S)")
        return recolour(move(pictures, self.placement), self.colours)


def draw_changes(
    count: int, p: float, size: int, rng: torch.Generator, *, only: Collection[str] | None = None
) -> Changes:
    """Every transformation for each of ``count`` samples, applied with probability ``p``.

    Parameters
    ----------
    count
        Samples.
    p
        0 to 1; at 0 pictures come back untouched.
    size
        Height and width of the pictures, pixels.
    rng
        On the CPU.
    only
        The names of the transformations, of :data:`PLACEMENTS` and :data:`COLOURS`; all of them if not given.

    Raises
    ------
    InputError
        If p is out of its range.
    """
    if not 0 <= p <= 1:
        raise InputError(f"p is {p}; needed: 0 to 1")
    if not p:
        return Changes(_identity(count, 3), _identity(count, 4))
    return Changes(draw_placement(count, p, size, rng, only), draw_colours(count, p, size, rng, only))


def draw_placement(
    count: int, p: float, size: int, rng: torch.Generator, only: Collection[str] | None = None
) -> Tensor:
    """Where each pixel of a changed picture comes from: (count, 3, 3), on coordinates that are -1 to 1 in a picture.

    The matrices are those of :data:`PLACEMENTS`, multiplied so that the first of them befalls a picture first.
    """
    matrices = _identity(count, 3)
    for draw in _chosen(PLACEMENTS, only):
        matrices = matrices @ draw(count, p, size, rng)  # each is an inverse, so the last one stands rightmost
    return matrices


def draw_colours(count: int, p: float, size: int, rng: torch.Generator, only: Collection[str] | None = None) -> Tensor:
    """What becomes of colours: (count, 4, 4), on (red, green, blue, 1); those of :data:`COLOURS`, the first first."""
    matrices = _identity(count, 4)
    for draw in _chosen(COLOURS, only):
        matrices = draw(count, p, size, rng) @ matrices
    return matrices


def _chosen(table: Mapping[str, Draw], only: Collection[str] | None) -> list[Draw]:
    return [draw for name, draw in table.items() if only is None or name in only]


def move(pictures: Tensor, placement: Tensor) -> Tensor:
    """Pictures read at other places.

    Parameters
    ----------
    pictures
        (N, C, S, S).
    placement
        (N, 3, 3) on the CPU, as of :func:`draw_placement`.

    Returns
    -------
    Tensor
        (N, C, S, S). Beyond its edges a picture goes on as its mirror image.
    """
    return _changed(pictures, placement, _read)


def _read(pictures: Tensor, placement: Tensor) -> Tensor:
    grid = F.affine_grid(placement[:, :2], list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def recolour(pictures: Tensor, colours: Tensor) -> Tensor:
    """Pictures in other colours.

    Parameters
    ----------
    pictures
        (N, 3, H, W).
    colours
        (N, 4, 4) on the CPU, as of :func:`draw_colours`.

    Returns
    -------
    Tensor
        (N, 3, H, W), not clipped.
    """
    return _changed(pictures, colours, _multiply)


def _multiply(pictures: Tensor, colours: Tensor) -> Tensor:
    moved = torch.baddbmm(colours[:, :3, 3:], colours[:, :3, :3], pictures.flatten(2))
    return moved.view_as(pictures)


def _changed(pictures: Tensor, matrices: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """``change`` on the samples whose matrix is not the identity."""
    is_changed = (matrices != torch.eye(matrices.shape[-1], dtype=matrices.dtype)).any(dim=2).any(dim=1)
    if not is_changed.any():
        return pictures
    chosen = is_changed.nonzero().squeeze(1)
    matrices = matrices[chosen].to(pictures.device, pictures.dtype)
    if len(chosen) == len(pictures):
        return change(pictures, matrices)
    chosen = chosen.to(pictures.device)
    return pictures.index_copy(0, chosen, change(pictures[chosen], matrices))


# ------------------------------------------------------------------------------------------------------------- matrices


def _identity(count: int, size: int) -> Tensor:
    return torch.eye(size, dtype=torch.float64).repeat(count, 1, 1)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    matrices = _identity(len(x), 3)
    matrices[:, 0, 0], matrices[:, 1, 1] = x, y
    return matrices


def _translation(x: Tensor, y: Tensor) -> Tensor:
    matrices = _identity(len(x), 3)
    matrices[:, 0, 2], matrices[:, 1, 2] = x, y
    return matrices


def _rotation(cosine: Tensor, sine: Tensor) -> Tensor:
    matrices = _identity(len(cosine), 3)
    matrices[:, 0, 0], matrices[:, 0, 1] = cosine, -sine
    matrices[:, 1, 0], matrices[:, 1, 1] = sine, cosine
    return matrices


def _uniform(count: int, low: float, high: float, rng: torch.Generator) -> Tensor:
    return torch.rand(count, generator=rng, dtype=torch.float64) * (high - low) + low


def _normal(count: int, deviation: float, rng: torch.Generator) -> Tensor:
    return torch.randn(count, generator=rng, dtype=torch.float64) * deviation


def _with_probability(p: float, values: Tensor, neutral: float, rng: torch.Generator) -> Tensor:
    """The values of some samples, and for the others what leaves a picture as it is."""
    return torch.where(torch.rand(len(values), generator=rng) < p, values, neutral)


# ------------------------------------------------------------------- where pixels come from: the inverse of each movement


def _mirror(count: int, p: float, _size: int, rng: torch.Generator) -> Tensor:
    signs = 1.0 - 2.0 * torch.randint(2, (count,), generator=rng).double()
    return _scaling(_with_probability(p, signs, 1.0, rng), torch.ones(count, dtype=torch.float64))


def _quarter_turns(count: int, p: float, _size: int, rng: torch.Generator) -> Tensor:
    turns = torch.randint(4, (count,), generator=rng).double()
    turns = _with_probability(p, turns, 0.0, rng).long()
    cosines, sines = (torch.tensor(row, dtype=torch.float64) for row in ((1, 0, -1, 0), (0, 1, 0, -1)))  # to the bit
    return _rotation(cosines[turns], sines[turns])


def _whole_pixels(count: int, p: float, size: int, rng: torch.Generator) -> Tensor:
    x, y = (torch.round(_uniform(count, -0.125, 0.125, rng) * size) * 2 / size for _ in range(2))
    is_moved = _with_probability(p, torch.ones(count, dtype=torch.float64), 0.0, rng)
    return _translation(x * is_moved, y * is_moved)


def _size(count: int, p: float, _size: int, rng: torch.Generator) -> Tensor:
    scale = torch.exp2(_with_probability(p, _normal(count, 0.2, rng), 0.0, rng))
    return _scaling(1 / scale, 1 / scale)


def _turn(count: int, p: float, _size: int, rng: torch.Generator) -> Tensor:
    """One of two turns, before and after the stretching: with either its own probability, one of them has p."""
    angle = _with_probability(1 - math.sqrt(1 - p), _uniform(count, -math.pi, math.pi, rng), 0.0, rng)
    return _rotation(angle.cos(), angle.sin())


def _stretch(count: int, p: float, _size: int, rng: torch.Generator) -> Tensor:
    scale = torch.exp2(_with_probability(p, _normal(count, 0.2, rng), 0.0, rng))
    return _scaling(1 / scale, scale)


def _parts_of_pixels(count: int, p: float, _size: int, rng: torch.Generator) -> Tensor:
    x, y = (_normal(count, 0.125, rng) * 2 for _ in range(2))
    is_moved = _with_probability(p, torch.ones(count, dtype=torch.float64), 0.0, rng)
    return _translation(x * is_moved, y * is_moved)


PLACEMENTS: Mapping[str, Draw] = MappingProxyType(
    {
        "mirror": _mirror,
        "quarter_turns": _quarter_turns,
        "whole_pixels": _whole_pixels,
        "size": _size,
        "turn_before": _turn,
        "stretch": _stretch,
        "turn_after": _turn,
        "parts_of_pixels": _parts_of_pixels,
    }
)
"""Movements in the order in which they befall a picture; each gives inverse matrices, (N, 3, 3). The first three keep every
pixel's value, a shift by whole pixels up to an eighth of the size; sizes and stretches are 2 to a normal exponent of
deviation 0.2, the last shift normal with an eighth of the size."""


# --------------------------------------------------------------------------------------------------- what becomes of colours

_AXIS = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64) / math.sqrt(3.0)
_LUMA = torch.outer(_AXIS, _AXIS)
"""Projects colours on the line of greys."""


def _brightness(count: int, p: float, _size: int, rng: torch.Generator) -> Tensor:
    matrices = _identity(count, 4)
    matrices[:, :3, 3] = _with_probability(p, _normal(count, 0.2, rng), 0.0, rng)[:, None]
    return matrices


def _contrast(count: int, p: float, _size: int, rng: torch.Generator) -> Tensor:
    matrices = _identity(count, 4)
    matrices[:, :3, :3] *= torch.exp2(_with_probability(p, _normal(count, 0.5, rng), 0.0, rng))[:, None, None]
    return matrices


def _luma_flip(count: int, p: float, _size: int, rng: torch.Generator) -> Tensor:
    flips = torch.randint(2, (count,), generator=rng).double()
    return _identity(count, 4) - 2 * _LUMA * _with_probability(p, flips, 0.0, rng)[:, None, None]


def _hue(count: int, p: float, _size: int, rng: torch.Generator) -> Tensor:
    """A turn around the line of greys, by Rodrigues' formula."""
    angle = _with_probability(p, _uniform(count, -math.pi, math.pi, rng), 0.0, rng)[:, None, None]
    across = torch.zeros(4, 4, dtype=torch.float64)
    x, y, z = _AXIS[:3].tolist()
    across[:3, :3] = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return _identity(count, 4) + angle.sin() * across + (1 - angle.cos()) * (across @ across)


def _saturation(count: int, p: float, _size: int, rng: torch.Generator) -> Tensor:
    factor = torch.exp2(_with_probability(p, _normal(count, 1.0, rng), 0.0, rng))[:, None, None]
    chroma = torch.eye(4, dtype=torch.float64) - _LUMA
    chroma[3, 3] = 0.0
    return _identity(count, 4) + (factor - 1) * chroma


COLOURS: Mapping[str, Draw] = MappingProxyType(
    {
        "brightness": _brightness,
        "contrast": _contrast,
        "luma_flip": _luma_flip,
        "hue": _hue,
        "saturation": _saturation,
    }
)
"""Changes of colours in their order; each gives matrices, (N, 4, 4). Brightness adds a normal value of deviation 0.2; contrast
and saturation multiply by 2 to a normal exponent of deviation 0.5 and 1."""


# ---------------------------------------------------------------------------------------------------------- the controller


@dataclass
class Controller:
    """Moves p, so that the mean sign of the discriminator's scores of training photos comes to a target.

    A discriminator that is sure of all of them, where the mean is 1, has learnt them by heart; one that cannot tell has 0.

    Parameters
    ----------
    p : float
        Where to start; where it is.
    target : float
        The mean sign that is wanted.
    speed : int
        Images in which p goes from 0 to 1.
    interval : int
        Steps between two changes.
    """

    p: float = 0.0
    target: float = 0.6
    speed: int = 500_000
    interval: int = 4
    steps: int = 0
    images: int = 0
    signs: float = 0.0
    sign_mean: float = math.nan
    """The mean at the last change."""

    def see(self, scores: Tensor) -> None:
        """Take in a step's scores, (N,), of the photos as the discriminator saw them; every few steps p moves."""
        self.steps += 1
        self.images += len(scores)
        self.signs += float(scores.detach().sign().sum())
        if self.steps < self.interval:
            return
        self.sign_mean = self.signs / self.images
        direction = (self.sign_mean > self.target) - (self.sign_mean < self.target)
        self.p = min(max(self.p + direction * self.images / self.speed, 0.0), 1.0)
        self.steps, self.images, self.signs = 0, 0, 0.0
