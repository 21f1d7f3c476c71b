"""Augmentation of pairs: a condition and its photo in, both warped alike and the photo's colours changed, out.

A condition and its photo are warped by the same :class:`~facesynth.model.data.warp.Motion`, each resampled once at its own
size. Beyond the border both continue as their mirror images, so they match there as well.
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
    """The greatest strengths of the augmentation. The actual ones are uniform in both directions; 0 turns one off."""

    flip: bool = True
    """Mirror pairs with probability 1/2, swapping the classes of left and right."""
    rotation: float = 5.0
    """Rotation, degrees; up to 45."""
    scale: float = 0.05
    """Relative change of scale; up to 0.5, which is from 1 / 1.5 to 1.5 times."""
    shift: float = 0.02
    """Translation along rows and along columns, as a fraction of the width; up to 0.25."""
    brightness: float = 0.08
    """Relative change of the photo's brightness; up to 0.9."""
    contrast: float = 0.08
    """Relative change of the photo's contrast about its mean grey; up to 0.9."""
    saturation: float = 0.15
    """Relative change of the photo's saturation; up to 0.9."""
    hue: float = 4.0
    """Rotation of the photo's hue, degrees; up to 180."""

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise InputError(f"{name} is {value}; needed: 0 to {most:g}")

    def scaled(self, factor: float, *, flip: bool) -> Augmentation:
        """A copy with every strength multiplied by ``factor``.

        Parameters
        ----------
        factor : float
            At least 0; 0 leaves only the mirroring.
        flip : bool
            Whether to mirror.

        Raises
        ------
        InputError
            If a strength is then out of its range.
        """
        return dataclasses.replace(self, flip=flip, **{name: factor * getattr(self, name) for name in _MOST})

    @property
    def moves(self) -> bool:
        """Whether pairs are rotated, scaled or translated."""
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
    """A pair with condition and photo warped alike and the photo recoloured.

    Parameters
    ----------
    condition : (H, W) uint8 array, or (H, W, 3) for a photo
        A label map, a sketch or a photo.
    photo : (T, U, 3) uint8 array
        RGB, of any size with the same aspect ratio.
    kind : str
        What the condition is: labels, sketch or photo. A photo as the condition determines the colours of the face, so it is
        recoloured as well; label maps and sketches do not.
    augmentation : Augmentation
    rng : Generator
        Source of all random numbers.
    mirror : sequence of int, optional
        For label maps, the id that replaces each id when mirrored.

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
    """A random motion within the limits of ``augmentation``."""
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
    """A random recolouring within the limits of ``augmentation``.

    Parameters
    ----------
    augmentation : Augmentation
    mean_grey : float
        The photo's mean grey, 0 to 255.
    rng : Generator

    Returns
    -------
    (3, 4) float64 array
        For :func:`recolour`.
    """
    brightness, contrast, saturation, hue = rng.uniform(-1, 1, 4).tolist()
    return recolouring(
        mean_grey,
        brightness=1 + brightness * augmentation.brightness,
        contrast=1 + contrast * augmentation.contrast,
        saturation=1 + saturation * augmentation.saturation,
        hue=hue * augmentation.hue,
    )


def recolouring(
    mean_grey: float, *, brightness: float = 1.0, contrast: float = 1.0, saturation: float = 1.0, hue: float = 0.0
) -> NDArray[np.float64]:
    """An affine map of RGB colours that changes brightness, contrast, saturation and hue.

    Parameters
    ----------
    mean_grey : float
        The grey that a change of contrast does not change, 0 to 255.
    brightness, contrast, saturation : float
        Factors, at least 0; 1 changes nothing.
    hue : float
        Rotation about the axis of greys, degrees. It changes neither greys nor the mean of red, green and blue.

    Returns
    -------
    (3, 4) float64 array
        For :func:`recolour`.
    """
    grey = np.full((3, 3), 1 / 3)
    axis = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    angle = math.radians(hue)
    rotation = grey + math.cos(angle) * (np.eye(3) - grey) + math.sin(angle) * axis  # Rodrigues' formula
    luma = np.tile(_LUMA, (3, 1))
    saturated = luma + saturation * (np.eye(3) - luma)
    matrix = brightness * contrast * saturated @ rotation
    return np.hstack([matrix, np.full((3, 1), brightness * (1 - contrast) * mean_grey)])


def recolour(photo: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    """An (H, W, 3) uint8 RGB photo after a (3, 4) affine map of its colours, clipped to 0 to 255."""
    return np.asarray(cv2.transform(photo, matrix), np.uint8)


def _mean_grey(photo: NDArray[np.uint8]) -> float:
    return float(np.array(cv2.mean(photo)[:3]) @ _LUMA)
