"""Augmentation of conditions that imitates strengths drawing: an exact sketch or label map in, a rough, incomplete one out.

The sketches and label maps of a dataset are exact: every line and border matches the photo. A model trained only on these
treats the inaccuracies of a drawing as features. Training on the output of :func:`roughen`, with the photo unchanged, makes
it robust to them. The individual effects are in :mod:`facesynth.model.data.rough_sketches` and
:mod:`facesynth.model.data.rough_labels`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facesynth.errors import InputError
from facesynth.model.data import rough_labels, rough_sketches
from facesynth.model.data.warp import wobble

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.labels import LabelScheme
    from facesynth.model.config.model import Condition

REFERENCE_WIDTH = 512
"""Width of the pictures to which all lengths refer, pixels; they scale with the width of the actual picture."""


@dataclass(frozen=True, kw_only=True)
class Roughness:
    """The greatest strengths of all effects. Lengths refer to a picture 512 px wide; 0 turns an effect off.

    A carelessness drawn for each picture scales all its effects; see :func:`roughen`.
    """

    proportions: float = 10.0
    """Displacement of features by a coarse smooth warp, px."""
    tremor: float = 2.5
    """Displacement of lines and borders by a fine smooth warp, px."""
    width: float = 1.2
    """Sketches: change of the line width on either side, px."""
    shades: float = 0.7
    """Sketches: probability that shading is removed, 0 to 1."""
    twice: float = 0.4
    """Sketches: probability that lines are drawn twice, 0 to 1."""
    breaks: float = 0.22
    """Sketches: fraction of the area that is erased in small patches, which breaks lines, 0 to 1."""
    erased: float = 0.35
    """Sketches: fraction of the area that is erased in large patches, 0 to 1."""
    faintness: float = 0.5
    """Sketches: distance of black lines from black, 0 to 1."""
    paper: float = 0.2
    """Sketches: distance of the paper from white, 0 to 1."""
    blur: float = 2.0
    """Sketches: standard deviation of the blur, px."""
    corners: float = 12.0
    """Label maps: tolerance of the polygons that replace outlines, px."""
    growth: float = 6.0
    """Label maps: growth or shrinkage of regions on every side, px."""
    shift: float = 8.0
    """Label maps: displacement of single regions, px."""
    dropped: float = 0.2
    """Label maps: probability that a class is left out, 0 to 1; a left and right pair is left out together."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, most = getattr(self, field.name), 1.0 if field.name in _FRACTIONS else REFERENCE_WIDTH / 4
            if not 0 <= value <= most:
                raise InputError(f"{field.name} is {value}; needed: 0 to {most:g}")

    def scaled(self, factor: float) -> Roughness:
        """A copy with every strength multiplied by ``factor``; probabilities and fractions are limited to 1.

        Raises
        ------
        InputError
            If a length becomes too large, or ``factor`` is negative or not finite.
        """
        if not 0 <= factor < math.inf:
            raise InputError(f"the factor of the roughness is {factor}; needed: a number, at least 0")
        scaled = {field.name: factor * getattr(self, field.name) for field in dataclasses.fields(self)}
        return Roughness(**{name: min(value, 1.0) if name in _FRACTIONS else value for name, value in scaled.items()})


_FRACTIONS = frozenset({"shades", "twice", "breaks", "erased", "faintness", "paper", "dropped"})


def roughen(
    condition: NDArray[np.uint8], kind: Condition, roughness: Roughness, rng: np.random.Generator, scheme: LabelScheme
) -> NDArray[np.uint8]:
    """A condition as if drawn by strengths.

    A carelessness is drawn uniformly from 0 to 1 for each picture. Every effect is then applied with its strength, times the
    carelessness, times a random factor from 1/2 to 1. Training therefore sees clean conditions as well.

    Parameters
    ----------
    condition : (H, W) uint8 array, or (H, W, 3) for a photo
        A label map, a sketch, or a photo, which is returned unchanged.
    kind : str
        labels, sketch or photo.
    roughness : Roughness
    rng : Generator
        Source of all random numbers.
    scheme : LabelScheme
        The label map's classes.

    Returns
    -------
    uint8 array of the same shape
    """
    if kind == "photo":
        return condition
    strengths = _Strengths(roughness, condition.shape[1] / REFERENCE_WIDTH, rng)
    return _rough_labels(condition, strengths, scheme) if kind == "labels" else _rough_sketch(condition, strengths)


class _Strengths:
    """Random strengths of the effects on one picture."""

    def __init__(self, roughness: Roughness, scale: float, rng: np.random.Generator) -> None:
        self.roughness, self.scale, self.rng = roughness, scale, rng
        self.carelessness = rng.random()

    def amount(self, name: str) -> float:
        """A random strength of an effect: a fraction, or a length in pixels of this picture."""
        strength: float = getattr(self.roughness, name) * self.carelessness * self.rng.uniform(0.5, 1)
        return strength if name in _FRACTIONS else strength * self.scale

    def signed(self, name: str) -> float:
        """A random strength between plus and minus :meth:`amount`."""
        return self.amount(name) * self.rng.uniform(-1, 1)

    def happens(self, name: str) -> bool:
        """Whether an effect with this probability is applied."""
        return bool(self.rng.random() < self.amount(name))


def _rough_sketch(sketch: NDArray[np.uint8], strengths: _Strengths) -> NDArray[np.uint8]:
    """The effects on a sketch, first those on lines, then those on the paper."""
    rng, scale = strengths.rng, strengths.scale
    if strengths.happens("shades"):
        sketch = rough_sketches.leave_out_shades(sketch, rng.uniform(3, 8) * scale, rng.uniform(0.6, 1))
    sketch = rough_sketches.thicken(sketch, strengths.signed("width"))
    sketch = rough_sketches.erase(
        sketch, rough_sketches.gaps(sketch.shape, strengths.amount("breaks"), rng.uniform(10, 36) * scale, rng)
    )
    if strengths.happens("twice"):
        sketch = rough_sketches.restate(sketch, strengths.amount("tremor") * 2, 60 * scale, rng.uniform(0.4, 0.9), rng)
    sketch = rough_sketches.erase(
        sketch, rough_sketches.gaps(sketch.shape, strengths.amount("erased"), rng.uniform(50, 130) * scale, rng)
    )
    sketch = wobble(sketch, strengths.amount("proportions"), rng.uniform(90, 200) * scale, rng)
    sketch = wobble(sketch, strengths.amount("tremor"), rng.uniform(16, 36) * scale, rng)
    sketch = rough_sketches.soften(sketch, strengths.amount("blur"))
    paper = strengths.amount("paper")
    return rough_sketches.on_paper(
        sketch,
        darkness=paper,
        unevenness=rng.random(),
        grain=paper * rng.uniform(0, 0.15),
        faintness=strengths.amount("faintness"),
        rng=rng,
    )


def _rough_labels(labels: NDArray[np.uint8], strengths: _Strengths, scheme: LabelScheme) -> NDArray[np.uint8]:
    """The effects on a label map, first those on whole regions, then those on borders."""
    rng, scale = strengths.rng, strengths.scale
    replacement = rough_labels.grounds(scheme)
    present = np.flatnonzero(rough_labels.areas(labels)).tolist()
    removable = [number for number in present if replacement[number] != number]
    pairs = sorted({min(number, scheme.mirror[number]) for number in removable})
    dropped = {number for number in pairs if strengths.happens("dropped")}
    labels = rough_labels.drop(labels, dropped | {scheme.mirror[number] for number in dropped}, scheme)
    for number in removable:
        right, down = round(strengths.signed("shift")), round(strengths.signed("shift"))
        labels = rough_labels.shift(labels, number, right, down)
        labels = rough_labels.grow(labels, number, strengths.signed("growth"))
    labels = wobble(labels, strengths.amount("proportions"), rng.uniform(90, 200) * scale, rng, labels=True)
    labels = rough_labels.polygons(labels, strengths.amount("corners"))
    return wobble(labels, strengths.amount("tremor"), rng.uniform(16, 36) * scale, rng, labels=True)
