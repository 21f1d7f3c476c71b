"""XDoG, the extended difference of Gaussians: a photo in, a drawing out.

Preparing draws sketches with it (:mod:`facesynth.prep.sketches`), and translating turns photos into what sketch models take.

Reference: Winnemöller, Kyprianidis, Olsen, "XDoG: an eXtended difference-of-Gaussians compendium including advanced image
stylization", Computers & Graphics 36(6), 2012, sections 2.3 to 2.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from facesynth import images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

SIGMA, K, P, EPSILON, PHI = 1.4, 1.6, 40.0, 0.15, 2.0
"""The defaults of ``facesynth prep sketches --method xdog``; sigma in pixels of a picture that is :data:`WIDTH` wide."""
WIDTH = 512
_LONGEST = 1024
"""Photos are reduced to this longer side before they are drawn, pixels; models take fewer."""


def difference(fine: Floats, coarse: Floats, p: float) -> Floats:
    """The sharpened grey, ``(1 + p) fine - p coarse``, of two blurred copies (H, W) in [0, 1]."""
    return np.asarray(cv2.addWeighted(fine, 1 + p, coarse, -p, 0), np.float32)


def threshold(sharpened: Floats, epsilon: float, phi: float) -> Floats:
    """1 at and above ``epsilon``; below it a fall to 0 by a hyperbolic tangent. Works in the array that it is given."""
    below: Floats = np.subtract(sharpened, np.float32(epsilon), out=sharpened)
    below *= np.float32(phi)
    np.minimum(below, 0, out=below)
    np.tanh(below, out=below)
    below += 1
    return below


def draw_photo(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A photo as `facesynth prep sketches` draws it by default.

    Parameters
    ----------
    photo : (H, W, 3) uint8 array
        RGB.

    Returns
    -------
    (h, w) uint8 array
        255 is paper; the longer side is at most 1024 pixels.

    Examples
    --------
    >>> int(draw_photo(np.full((8, 8, 3), 200, np.uint8)).min())
    255
    """
    photo = images.limit_size(photo, _LONGEST)
    grey = photo.astype(np.float32) @ (np.array([0.299, 0.587, 0.114], np.float32) / np.float32(255))
    sigma = SIGMA * grey.shape[1] / WIDTH
    fine, coarse = (
        np.asarray(cv2.GaussianBlur(grey, (0, 0), each, borderType=cv2.BORDER_REFLECT_101), np.float32)
        for each in (sigma, K * sigma)
    )
    return np.asarray(cv2.convertScaleAbs(threshold(difference(fine, coarse, P), EPSILON, PHI), alpha=255), np.uint8)
