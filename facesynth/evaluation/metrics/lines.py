"""Agreement of drawings: how many lines of one are near a line of the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from facesynth.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

REACH = 1 / 64
"""How near lines must be, relative to the width of the drawing: 2 px of 128."""
_FAINTEST = 24
"""Drawings without anything darker than the paper by this are blank."""


def line_level(drawing: NDArray[np.uint8]) -> float | None:
    """The grey value below which pixels of a drawing are lines: half-way from the paper to the darkest of 500.

    Pencils are grey and ink is black; relative to the drawing itself the lines of all methods count alike.

    Parameters
    ----------
    drawing : (H, W) uint8 array
        255 is paper.

    Returns
    -------
    float or None
        None for a blank drawing.
    """
    darkest = float(np.quantile(drawing, 0.002))
    return None if darkest > 255 - _FAINTEST else (255 + darkest) / 2


def line_scores(wanted: NDArray[np.bool_], found: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Precision, recall and F1 of lines.

    Parameters
    ----------
    wanted, found : (H, W) bool array
        Line pixels of the given drawing, and of the one made of the face.

    Returns
    -------
    precision : float
        Share of the found line pixels with a wanted one within :data:`REACH`.
    recall : float
        Share of the wanted line pixels with a found one within it.
    f1 : float
        The harmonic mean of both. All are NaN if nothing is wanted.

    Raises
    ------
    InputError
        If the shapes differ.

    Examples
    --------
    >>> wanted, found = np.zeros((2, 128, 128), bool)
    >>> wanted[20:30, 64], found[20:25, 66] = True, True
    >>> [round(score, 3) for score in line_scores(wanted, found)]
    [1.0, 0.5, 0.667]
    """
    if wanted.shape != found.shape:
        raise InputError(f"the drawings have shapes {wanted.shape} and {found.shape}; needed: one shape")
    if not wanted.any():
        return np.nan, np.nan, np.nan
    reach = max(1, round(wanted.shape[1] * REACH))
    far = [
        cv2.distanceTransform(1 - lines.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for lines in (wanted, found)
    ]
    precision = float((far[0][found] <= reach).mean()) if found.any() else 0.0
    recall = float((far[1][wanted] <= reach).mean()) if found.any() else 0.0
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-12)
