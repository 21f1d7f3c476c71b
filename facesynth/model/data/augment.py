"""Pairs of condition and photo, moved together and the photo's colours changed, as training sees them.

A condition and its photo go through one :class:`~facesynth.model.data.warp.Motion`, each resampled once at its own size. What
comes in from beyond the border is the mirror image of both, so the condition says there what the photo shows.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facesynth.errors import InputError
from facesynth.model.data.warp import Motion, move

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facesynth.model.config.model import Condition


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far pairs are changed at most; what is drawn lies anywhere up to that, both ways. 0 leaves it as it is."""

    flip: bool = True
    """Mirror half of the pairs, the classes of left and right swapped."""
    rotation: float = 5.0
    """Turn, degrees; up to 45."""
    scale: float = 0.05
    """Relative change of size; up to 0.5, which is from 1 / 1.5 to 1.5 times."""
    shift: float = 0.02
    """Shift along rows and along columns, as a share of the width; up to 0.25."""
    brightness: float = 0.08
    """Relative change of the photo's light; up to 0.9."""
    contrast: float = 0.08
    """Relative change of the differences from the photo's mean grey; up to 0.9."""
    saturation: float = 0.15
    """Relative change of the photo's colourfulness; up to 0.9."""
    hue: float = 4.0
    """Turn of the photo's colours about grey, degrees; up to 180."""

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise InputError(f"{name} is {value}; needed: 0 to {most:g}")

    def scaled(self, factor: float, *, flip: bool) -> Augmentation:
        """The same with every strength ``factor`` times as large.

        Parameters
        ----------
        factor : float
            At least 0; 0 leaves nothing but the flip.
        flip : bool
            Whether to mirror.
        """
        return dataclasses.replace(self, flip=flip, **{name: factor * getattr(self, name) for name in _MOST})

    @property
    def moves(self) -> bool:
        """Whether pairs are turned, scaled or shifted."""
        return max(self.rotation, self.scale, self.shift) > 0

    @property
    def recolours(self) -> bool:
        """Whether the photo's colours change."""
        return max(self.brightness, self.contrast, self.saturation, self.hue) > 0


_MOST = {
    "rotation": 45.0,
    "scale": 0.5,
    "shift": 0.25,
    "brightness": 0.9,
    "contrast": 0.9,
    "saturation": 0.9,
    "hue": 180.0,
}

_LUMA = np.array([0.299, 0.587, 0.114])


def augment(
    condition: NDArray[np.uint8],
    photo: NDArray[np.uint8],
    kind: Condition,
    augmentation: Augmentation,
    rng: np.random.Generator,
    *,
    mirror: Sequence[int] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A pair, moved as one and the photo recoloured.

    Parameters
    ----------
    condition : (H, W) uint8 array, or (H, W, 3) for a photo
        A label map, a sketch or a photo.
    photo : (T, U, 3) uint8 array
        RGB, of any size with the same sides' ratio.
    kind : str
        What the condition is: labels, sketch or photo. The face that a photo asks for has the photo's colours, so such a
        condition is recoloured along with it; label maps and sketches say nothing of colours.
    augmentation : Augmentation
    rng : Generator
        All that is random is drawn from it.
    mirror : sequence of int, optional
        For label maps, the id that each id turns into when mirrored.

    Returns
    -------
    condition, photo : uint8 arrays of the same shapes
    """
    motion = draw_motion(augmentation, rng)
    condition, photo = move(condition, motion, labels=kind == "labels"), move(photo, motion)
    if motion.flipped and kind == "labels" and mirror is not None:
        condition = np.array(mirror, np.uint8)[condition]
    if augmentation.recolours:
        matrix = draw_recolouring(augmentation, _mean_grey(photo), rng)
        photo = recolour(photo, matrix)
        condition = recolour(condition, matrix) if kind == "photo" else condition
    return condition, photo


def draw_motion(augmentation: Augmentation, rng: np.random.Generator) -> Motion:
    """Where the next pair goes."""
    flipped = augmentation.flip and bool(rng.random() < 0.5)
    if not augmentation.moves:
        return Motion(flipped=flipped)
    angle, size, right, down = rng.uniform(-1, 1, 4).tolist()
    return Motion(
        flipped=flipped,
        angle=angle * augmentation.rotation,
        scale=math.exp(size * math.log1p(augmentation.scale)),
        right=right * augmentation.shift,
        down=down * augmentation.shift,
    )


def draw_recolouring(augmentation: Augmentation, mean_grey: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """The (3, 4) matrix that the next photo's colours go through (see :func:`recolouring`)."""
    light, contrast, colour, turn = rng.uniform(-1, 1, 4).tolist()
    return recolouring(
        mean_grey,
        brightness=1 + light * augmentation.brightness,
        contrast=1 + contrast * augmentation.contrast,
        saturation=1 + colour * augmentation.saturation,
        hue=turn * augmentation.hue,
    )


def recolouring(
    mean_grey: float, *, brightness: float = 1.0, contrast: float = 1.0, saturation: float = 1.0, hue: float = 0.0
) -> NDArray[np.float64]:
    """One affine map of RGB that changes light, contrast, colourfulness and hue.

    Parameters
    ----------
    mean_grey : float
        The grey that contrast leaves alone, 0 to 255.
    brightness, contrast, saturation : float
        Factors, at least 0.
    hue : float
        Turn of the colours about the axis of greys, degrees. Greys stay, and so does the mean of red, green and blue.

    Returns
    -------
    (3, 4) float64 array
        For :func:`recolour`.
    """
    grey = np.full((3, 3), 1 / 3)
    axis = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    turn = math.radians(hue)
    turned = grey + math.cos(turn) * (np.eye(3) - grey) + math.sin(turn) * axis  # Rodrigues' formula
    luma = np.tile(_LUMA, (3, 1))
    saturated = luma + saturation * (np.eye(3) - luma)
    matrix = brightness * contrast * saturated @ turned
    return np.hstack([matrix, np.full((3, 1), brightness * (1 - contrast) * mean_grey)])


def recolour(photo: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    """An (H, W, 3) RGB photo through a (3, 4) affine map of its colours, clipped to 0..255."""
    return np.asarray(cv2.transform(photo, matrix), np.uint8)


def _mean_grey(photo: NDArray[np.uint8]) -> float:
    return float(np.array(cv2.mean(photo)[:3]) @ _LUMA)
