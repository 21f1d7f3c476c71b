"""Conditions made rough and incomplete, so that people's own drawings work: sketches and label maps as hands make them.

Sketches and label maps of a dataset are exact: every line and border lies where the photo has it. A model that has seen
nothing else takes a slip of the pen for a feature. Training on :func:`roughen`'s output, with the photo as it is, teaches it
what to rely on. :mod:`facesynth.model.data.rough_sketches` and :mod:`facesynth.model.data.rough_labels` hold the single
effects.
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
"""Width of the pictures for which lengths are given, pixels; in a wider one they are longer in proportion."""


@dataclass(frozen=True, kw_only=True)
class Roughness:
    """How rough conditions get at most. Lengths are pixels of a picture 512 wide; 0 turns an effect off.

    Every picture has a hand of its own, from careful to careless, which all effects follow; see :func:`roughen`.
    """

    proportions: float = 10.0
    """How far parts are out of place, bent together with what is around them, px."""
    tremor: float = 2.5
    """How far lines and borders waver, px."""
    width: float = 1.2
    """Sketches: how much wider or narrower lines are on either side, px."""
    shades: float = 0.7
    """Sketches: chance that shades are left out, 0 to 1."""
    twice: float = 0.4
    """Sketches: chance that lines are drawn twice, 0 to 1."""
    breaks: float = 0.22
    """Sketches: share of the lines that is broken away in short pieces, 0 to 1."""
    erased: float = 0.35
    """Sketches: share of the area in which nothing is drawn, 0 to 1."""
    faintness: float = 0.5
    """Sketches: how far black lines are from black, 0 to 1."""
    paper: float = 0.2
    """Sketches: how far the paper is from white, 0 to 1."""
    blur: float = 2.0
    """Sketches: standard deviation of the blur, px."""
    corners: float = 12.0
    """Label maps: how far borders are straightened to polygons, px."""
    growth: float = 6.0
    """Label maps: how much larger or smaller parts are on every side, px."""
    shift: float = 8.0
    """Label maps: how far single parts are out of place, px."""
    dropped: float = 0.2
    """Label maps: chance of each part to be left out, 0 to 1; partners of left and right go together."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, most = getattr(self, field.name), 1.0 if field.name in _SHARES else REFERENCE_WIDTH / 4
            if not 0 <= value <= most:
                raise InputError(f"{field.name} is {value}; needed: 0 to {most:g}")

    def scaled(self, factor: float) -> Roughness:
        """The same with every strength ``factor`` times as large, chances and shares at most 1.

        Raises
        ------
        InputError
            If a length becomes too large, or ``factor`` is negative or no number.
        """
        if not 0 <= factor < math.inf:
            raise InputError(f"the factor of the roughness is {factor}; needed: a number, at least 0")
        scaled = {field.name: factor * getattr(self, field.name) for field in dataclasses.fields(self)}
        return Roughness(**{name: min(value, 1.0) if name in _SHARES else value for name, value in scaled.items()})


_SHARES = frozenset({"shades", "twice", "breaks", "erased", "faintness", "paper", "dropped"})


def roughen(
    condition: NDArray[np.uint8], kind: Condition, roughness: Roughness, rng: np.random.Generator, scheme: LabelScheme
) -> NDArray[np.uint8]:
    """A condition as a hand would make it.

    How careless the hand is, is drawn once a picture between not at all and wholly; every effect then takes between half
    and all of its strength times that. So training sees clean conditions too.

    Parameters
    ----------
    condition : (H, W) uint8 array
        A label map or a sketch. A photo stays as it is.
    kind : str
        labels, sketch or photo.
    roughness : Roughness
    rng : Generator
        All that is random is drawn from it.
    scheme : LabelScheme
        What a label map's ids mean.

    Returns
    -------
    uint8 array of the same shape
    """
    if kind == "photo":
        return condition
    hand = _Hand(roughness, condition.shape[1] / REFERENCE_WIDTH, rng)
    return _rough_labels(condition, hand, scheme) if kind == "labels" else _rough_sketch(condition, hand)


class _Hand:
    """One picture's share of every strength."""

    def __init__(self, roughness: Roughness, scale: float, rng: np.random.Generator) -> None:
        self.roughness, self.scale, self.rng = roughness, scale, rng
        self.careless = rng.random()

    def amount(self, name: str) -> float:
        """How much of an effect to use: a share, or pixels of this picture."""
        most: float = getattr(self.roughness, name) * self.careless * self.rng.uniform(0.5, 1)
        return most if name in _SHARES else most * self.scale

    def either_way(self, name: str) -> float:
        """As :meth:`amount`, or as much less."""
        return self.amount(name) * self.rng.uniform(-1, 1)

    def happens(self, name: str) -> bool:
        """Whether something that has a chance comes about."""
        return bool(self.rng.random() < self.amount(name))


def _rough_sketch(sketch: NDArray[np.uint8], hand: _Hand) -> NDArray[np.uint8]:
    """From the lines to the paper, in the order in which a drawing comes about."""
    rng, scale = hand.rng, hand.scale
    if hand.happens("shades"):
        sketch = rough_sketches.leave_out_shades(sketch, rng.uniform(3, 8) * scale, rng.uniform(0.6, 1))
    sketch = rough_sketches.thicken(sketch, hand.either_way("width"))
    sketch = rough_sketches.erase(
        sketch, rough_sketches.gaps(sketch.shape, hand.amount("breaks"), rng.uniform(10, 36) * scale, rng)
    )
    if hand.happens("twice"):
        sketch = rough_sketches.restate(sketch, hand.amount("tremor") * 2, 60 * scale, rng.uniform(0.4, 0.9), rng)
    sketch = rough_sketches.erase(
        sketch, rough_sketches.gaps(sketch.shape, hand.amount("erased"), rng.uniform(50, 130) * scale, rng)
    )
    sketch = wobble(sketch, hand.amount("proportions"), rng.uniform(90, 200) * scale, rng)
    sketch = wobble(sketch, hand.amount("tremor"), rng.uniform(16, 36) * scale, rng)
    sketch = rough_sketches.soften(sketch, hand.amount("blur"))
    paper = hand.amount("paper")
    return rough_sketches.on_paper(
        sketch,
        darkness=paper,
        unevenness=rng.random(),
        grain=paper * rng.uniform(0, 0.15),
        faintness=hand.amount("faintness"),
        rng=rng,
    )


def _rough_labels(labels: NDArray[np.uint8], hand: _Hand, scheme: LabelScheme) -> NDArray[np.uint8]:
    """From what is drawn at all to how its borders run."""
    rng, scale = hand.rng, hand.scale
    ground = rough_labels.grounds(scheme)
    own = [number for number in np.flatnonzero(rough_labels.areas(labels)).tolist() if ground[number] != number]
    pairs = sorted({min(number, scheme.mirror[number]) for number in own})
    left_out = {number for number in pairs if hand.happens("dropped")}
    labels = rough_labels.drop(labels, left_out | {scheme.mirror[number] for number in left_out}, scheme)
    for part in own:
        right, down = round(hand.either_way("shift")), round(hand.either_way("shift"))
        labels = rough_labels.shift(labels, part, right, down)
        labels = rough_labels.grow(labels, part, hand.either_way("growth"))
    labels = wobble(labels, hand.amount("proportions"), rng.uniform(90, 200) * scale, rng, labels=True)
    labels = rough_labels.polygons(labels, hand.amount("corners"))
    return wobble(labels, hand.amount("tremor"), rng.uniform(16, 36) * scale, rng, labels=True)
