"""Adaptive discriminator augmentation: pictures in, pictures with random geometric and colour transformations out.

The discriminator sees photos and generated pictures through the same transformations, so that it cannot memorise a small set
of photos. Each transformation is applied to a sample with probability p. For each sample, those of one kind are composed into
one matrix: an affine map of coordinates, with a single bilinear resampling and reflection padding, and an affine map of
colours. Samples to which no transformation applies are returned unchanged, to the bit. Gradients flow to the pictures.

The controller adjusts p so that the mean sign of the discriminator's scores of photos reaches a target.

Reference: Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020, section 3 (the
heuristic) and appendix B (the transformations: pixel blitting, geometry and colours). The paper resamples at twice the size
through a wavelet filter; this module does not.
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
"""A transformation: the number of samples N, p, the size in pixels and a random number generator on the CPU in; float64
matrices out, (N, 3, 3) for coordinates or (N, 4, 4) for colours."""


@dataclass(frozen=True)
class Transforms:
    """The transformations of each sample of a batch.

    Attributes
    ----------
    geometry : Tensor
        (N, 3, 3) float64 on the CPU: maps output to input coordinates.
    colours : Tensor
        (N, 4, 4) float64 on the CPU: maps input to output colours.
    """

    geometry: Tensor
    colours: Tensor

    def select(self, indices: Sequence[int]) -> Transforms:
        """The transformations of the samples with these indices."""
        chosen = list(indices)
        return Transforms(self.geometry[chosen], self.colours[chosen])

    def __call__(self, pictures: Tensor) -> Tensor:
        """Pictures (N, 3, S, S), near [-1, 1], to transformed pictures of the same shape, not clipped.

        Raises
        ------
        InputError
            If the pictures have another shape.
        """
        if pictures.ndim != 4 or pictures.shape[1] != 3 or pictures.shape[2] != pictures.shape[3]:
            raise InputError(f"pictures has shape {tuple(pictures.shape)}; needed: (N, 3, S, S)")
        return recolour(warp(pictures, self.geometry), self.colours)


def draw_transforms(
    count: int, p: float, size: int, rng: torch.Generator, *, only: Collection[str] | None = None
) -> Transforms:
    """Random transformations for ``count`` samples, each applied with probability ``p``.

    Parameters
    ----------
    count
        Number of samples.
    p
        Probability, 0 to 1; 0 leaves pictures unchanged.
    size
        Height and width of the pictures, pixels.
    rng
        On the CPU.
    only
        Names of transformations in :data:`GEOMETRY` and :data:`COLOURS`; all by default.

    Raises
    ------
    InputError
        If p is out of its range or ``only`` has an unknown name.
    """
    if not 0 <= p <= 1:
        raise InputError(f"p is {p}; needed: 0 to 1")
    unknown = set(only or ()) - {*GEOMETRY, *COLOURS}
    if unknown:
        raise InputError(f"only has {', '.join(sorted(unknown))}; needed: of {', '.join([*GEOMETRY, *COLOURS])}")
    if not p:
        return Transforms(_identity(count, 3), _identity(count, 4))
    return Transforms(draw_geometry(count, p, size, rng, only), draw_colours(count, p, size, rng, only))


def draw_geometry(count: int, p: float, size: int, rng: torch.Generator, only: Collection[str] | None = None) -> Tensor:
    """Random affine maps from output to input coordinates: the composition of :data:`GEOMETRY`, in that order.

    Parameters
    ----------
    count, p, size, rng, only
        As in :func:`draw_transforms`.

    Returns
    -------
    Tensor
        (count, 3, 3), float64, for homogeneous coordinates (x, y, 1) from -1 to 1 within a picture.
    """
    matrices = _identity(count, 3)
    for draw in _select(GEOMETRY, only):
        matrices = matrices @ draw(count, p, size, rng)  # inverse maps, so the last one comes rightmost
    return matrices


def draw_colours(count: int, p: float, size: int, rng: torch.Generator, only: Collection[str] | None = None) -> Tensor:
    """Random affine maps of colours: the composition of :data:`COLOURS`, in that order.

    Parameters
    ----------
    count, p, size, rng, only
        As in :func:`draw_transforms`.

    Returns
    -------
    Tensor
        (count, 4, 4), float64, for homogeneous colours (red, green, blue, 1).
    """
    matrices = _identity(count, 4)
    for draw in _select(COLOURS, only):
        matrices = draw(count, p, size, rng) @ matrices
    return matrices


def _select(table: Mapping[str, Draw], names: Collection[str] | None) -> list[Draw]:
    return [draw for name, draw in table.items() if names is None or name in names]


def warp(pictures: Tensor, geometry: Tensor) -> Tensor:
    """Pictures resampled bilinearly at transformed coordinates, with reflection padding.

    Parameters
    ----------
    pictures
        (N, C, S, S), floating point, any range.
    geometry
        (N, 3, 3) on the CPU, from :func:`draw_geometry`.

    Returns
    -------
    Tensor
        (N, C, S, S), of the same dtype.
    """
    return _transform(pictures, geometry, _resample)


def _resample(pictures: Tensor, geometry: Tensor) -> Tensor:
    grid = F.affine_grid(geometry[:, :2], list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def recolour(pictures: Tensor, colours: Tensor) -> Tensor:
    """Pictures with transformed colours.

    Parameters
    ----------
    pictures
        (N, 3, H, W), floating point, near [-1, 1].
    colours
        (N, 4, 4) on the CPU, from :func:`draw_colours`.

    Returns
    -------
    Tensor
        (N, 3, H, W), of the same dtype, not clipped.
    """
    return _transform(pictures, colours, _multiply)


def _multiply(pictures: Tensor, colours: Tensor) -> Tensor:
    recoloured = torch.baddbmm(colours[:, :3, 3:], colours[:, :3, :3], pictures.flatten(2))
    return recoloured.view_as(pictures)


def _transform(pictures: Tensor, matrices: Tensor, apply: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Pictures with ``apply`` called on the samples whose matrix is not the identity."""
    is_transformed = (matrices != torch.eye(matrices.shape[-1], dtype=matrices.dtype)).any(dim=2).any(dim=1)
    if not is_transformed.any():
        return pictures
    indices = is_transformed.nonzero().squeeze(1)
    matrices = matrices[indices].to(pictures.device, pictures.dtype)
    if len(indices) == len(pictures):
        return apply(pictures, matrices)
    indices = indices.to(pictures.device)
    return pictures.index_copy(0, indices, apply(pictures[indices], matrices))


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
    """Each value with probability ``p``, else the neutral value."""
    return torch.where(torch.rand(len(values), generator=rng) < p, values, neutral)


# ------------------------------------------------------------------------- maps of output coordinates to input coordinates


def _x_flip(count: int, p: float, _size: int, rng: torch.Generator) -> Tensor:
    signs = 1.0 - 2.0 * torch.randint(2, (count,), generator=rng).double()
    return _scaling(_with_probability(p, signs, 1.0, rng), torch.ones(count, dtype=torch.float64))


def _rotation_90(count: int, p: float, _size: int, rng: torch.Generator) -> Tensor:
    quarters = torch.randint(4, (count,), generator=rng).double()
    quarters = _with_probability(p, quarters, 0.0, rng).long()
    cosines, sines = (torch.tensor(row, dtype=torch.float64) for row in ((1, 0, -1, 0), (0, 1, 0, -1)))  # exact values
    return _rotation(cosines[quarters], sines[quarters])


def _integer_translation(count: int, p: float, size: int, rng: torch.Generator) -> Tensor:
    x, y = (torch.round(_uniform(count, -0.125, 0.125, rng) * size) * 2 / size for _ in range(2))
    is_applied = _with_probability(p, torch.ones(count, dtype=torch.float64), 0.0, rng)
    return _translation(x * is_applied, y * is_applied)


def _isotropic_scaling(count: int, p: float, _size: int, rng: torch.Generator) -> Tensor:
    scale = torch.exp2(_with_probability(p, _normal(count, 0.2, rng), 0.0, rng))
    return _scaling(1 / scale, 1 / scale)


def _free_rotation(count: int, p: float, _size: int, rng: torch.Generator) -> Tensor:
    """One of two rotations, before and after the anisotropic scaling; p is the probability that at least one is applied."""
    angle = _with_probability(1 - math.sqrt(1 - p), _uniform(count, -math.pi, math.pi, rng), 0.0, rng)
    return _rotation(angle.cos(), angle.sin())


def _anisotropic_scaling(count: int, p: float, _size: int, rng: torch.Generator) -> Tensor:
    scale = torch.exp2(_with_probability(p, _normal(count, 0.2, rng), 0.0, rng))
    return _scaling(1 / scale, scale)


def _fractional_translation(count: int, p: float, _size: int, rng: torch.Generator) -> Tensor:
    x, y = (_normal(count, 0.125, rng) * 2 for _ in range(2))
    is_applied = _with_probability(p, torch.ones(count, dtype=torch.float64), 0.0, rng)
    return _translation(x * is_applied, y * is_applied)


GEOMETRY: Mapping[str, Draw] = MappingProxyType(
    {
        "x_flip": _x_flip,
        "rotation_90": _rotation_90,
        "integer_translation": _integer_translation,
        "isotropic_scaling": _isotropic_scaling,
        "rotation_before": _free_rotation,
        "anisotropic_scaling": _anisotropic_scaling,
        "rotation_after": _free_rotation,
        "fractional_translation": _fractional_translation,
    }
)
"""The geometric transformations in the order of their application; each returns inverse matrices, (N, 3, 3). The first three
(pixel blitting) do not change pixel values; the integer translation is at most an eighth of the size. Scale factors are 2 to
the power of a normal variable with standard deviation 0.2. The fractional translation is normal with a standard deviation of an
eighth of the size."""


# --------------------------------------------------------------------------------------------------------- maps of colours

_AXIS = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64) / math.sqrt(3.0)
_LUMA = torch.outer(_AXIS, _AXIS)
"""Projects colours onto the axis of greys."""


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
    """A rotation about the axis of greys, by Rodrigues' formula."""
    angle = _with_probability(p, _uniform(count, -math.pi, math.pi, rng), 0.0, rng)[:, None, None]
    cross_product = torch.zeros(4, 4, dtype=torch.float64)
    x, y, z = _AXIS[:3].tolist()
    cross_product[:3, :3] = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return _identity(count, 4) + angle.sin() * cross_product + (1 - angle.cos()) * (cross_product @ cross_product)


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
"""The colour transformations in the order of their application; each returns matrices, (N, 4, 4). Brightness adds a normal
variable with standard deviation 0.2. Contrast and saturation multiply by 2 to the power of a normal variable with standard
deviation 0.5 and 1."""


# ---------------------------------------------------------------------------------------------------------- the controller


@dataclass
class Controller:
    """Adjusts p so that the mean sign of the discriminator's scores of training photos reaches a target.

    The mean sign is 1 for a discriminator that classifies all training photos as real, which is a sign of memorising them, and
    0 for one that cannot distinguish them from generated pictures.

    Parameters
    ----------
    p : float
        The augmentation probability: the initial, then the current one.
    target : float
        The target of the mean sign.
    speed : int
        Number of images in which p can change from 0 to 1.
    interval : int
        Steps between two adjustments.
    """

    p: float = 0.0
    target: float = 0.6
    speed: int = 500_000
    interval: int = 4
    steps: int = 0
    images: int = 0
    signs: float = 0.0
    sign_mean: float = math.nan
    """The mean sign at the last adjustment."""

    def update(self, scores: Tensor) -> None:
        """Record the scores of a step and, every ``interval`` steps, adjust p.

        Parameters
        ----------
        scores
            (N,): the discriminator's scores of the step's augmented photos.
        """
        self.steps += 1
        self.images += len(scores)
        self.signs += float(scores.detach().sign().sum())
        if self.steps < self.interval:
            return
        self.sign_mean = self.signs / self.images
        direction = (self.sign_mean > self.target) - (self.sign_mean < self.target)
        self.p = min(max(self.p + direction * self.images / self.speed, 0.0), 1.0)
        self.steps, self.images, self.signs = 0, 0, 0.0
