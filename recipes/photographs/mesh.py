"""Indices of mediapipe's face mesh by name, and areas between its points. Left and right are the person's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Area = NDArray[np.bool_]
    Points = NDArray[np.floating[Any]]

OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""The outline of the face, from the middle of the forehead towards the person's left."""
JAW = (361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132)
"""The outline from below the left ear to below the right ear."""
R_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
L_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
R_IRIS, L_IRIS = (469, 470, 471, 472), (474, 475, 476, 477)
R_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
L_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
UPPER_OUT = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
UPPER_IN = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_OUT = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
LOWER_IN = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
NOSE_RIDGE = (168, 417, 351, 399, 420, 198, 174, 122, 193)
NOSE_TIP = (129, 358, 102, 331, 64, 294, 98, 327, 97, 326, 2, 49, 279, 198, 420)
CHIN, FOREHEAD, MOUTH = 152, 10, 13
R_EAR, L_EAR = (127, 234, 93), (356, 454, 323)
"""The borders between the ears and the face, from top to bottom."""


def polygon(points: Points, size: int) -> Area:
    """The inside of an (N, 2) polygon in a square of ``size`` pixels."""
    area = np.zeros((size, size), np.uint8)
    cv2.fillPoly(area, [np.rint(points * 16).astype(np.int32)], 1, shift=4)
    return area.astype(bool)


def hull(points: Points, size: int) -> Area:
    """The convex hull of (N, 2) points, filled."""
    return polygon(cv2.convexHull(points.astype(np.float32))[:, 0], size)


def grown(area: Area, by: float) -> Area:
    """An area dilated by ``by`` pixels; eroded if negative."""
    side = 2 * int(np.ceil(abs(by))) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    change = cv2.dilate if by > 0 else cv2.erode
    return change(area.astype(np.uint8), kernel).astype(bool)


def features(mesh: Points, size: int) -> dict[str, Area]:
    """Brows, eyes, nose, lips and mouth by their names in celebamask-hq."""

    def of(*indices: Sequence[int]) -> Points:
        return np.concatenate([mesh[list(each)] for each in indices])

    return {
        "nose": polygon(of(NOSE_RIDGE), size) | hull(of(NOSE_TIP), size),
        "l_eye": polygon(of(L_EYE), size),
        "r_eye": polygon(of(R_EYE), size),
        "l_brow": polygon(of(L_BROW), size),
        "r_brow": polygon(of(R_BROW), size),
        "mouth": polygon(of(UPPER_IN, LOWER_IN[::-1]), size),
        "u_lip": polygon(of(UPPER_OUT, UPPER_IN[::-1]), size),
        "l_lip": polygon(of(LOWER_OUT, LOWER_IN[::-1]), size),
    }
