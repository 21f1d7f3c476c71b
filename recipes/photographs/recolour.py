"""Colours of hair, background, clothes and skin as the last numbers of a style code, and photos recoloured to match them.

A few hundred portraits have few colours: mostly dark hair, suits, and a blue or grey background. So training photos are
recoloured at random, region by region, and the last :data:`SIZE` numbers of a photo's style code say which colours its regions
have. They are scaled so that a standard normal code means a plausible colour of every region. A model that is trained with
these codes gives faces of all these colours in random styles.

Regions have soft borders: label maps refined by a guided filter with the photo as its guide (He, Sun and Tang, "Guided Image
Filtering", TPAMI 2013, equations 5 to 8).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facesynth.labels import CELEBAMASK_HQ

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

REGIONS = ("hair", "background", "cloth")
"""The regions that are recoloured; the first numbers describe them, three each, in this order. Skin keeps its colour."""
SIZE = 3 * (len(REGIONS) + 1)
SHARE = 0.5
"""The fraction of the photos in which a region is recoloured, for each region."""
LEAST_AREA = 0.01
SKIN = np.array([[57.0, 17.5, 20.5], [8.5, 4.5, 6.0]], np.float32)
"""Mean and standard deviation of the mean colour of skin in the training photos, CIE L*a*b*."""
LIGHT, SPREAD = (5.0, 92.0), 1.7
"""Least and greatest L* of a region, and the factor before the normal distribution: more than 1 favours dark and light."""
HAIR_CHROMA, HAIR_HUE = 46.0, (40.0, 85.0)
"""Greatest chroma of hair, at medium lightness, and its hue, degrees: from red to yellow."""
AB = {"background": 22.0, "cloth": 18.0}
"""Standard deviation of a* and b*."""
MOST = 2.3
_NORMAL = NormalDist()
RADIUS, EPSILON = 3, 1e-3


def _lab(picture: NDArray[np.uint8]) -> Floats:
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return lab.astype(np.float32, copy=False)


def _rgb(lab: Floats) -> NDArray[np.uint8]:
    return np.rint(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).clip(0, 1) * 255).astype(np.uint8)


def _fullness(lightness: float) -> float:
    """How much chroma hair of a lightness can have, as a fraction of the greatest."""
    return math.sin(math.pi * min(max(lightness / 100, 0.04), 0.92)) ** 0.8


def colour(region: str, code: Floats) -> Floats:
    """The colour that a code (3,) gives a region, CIE L*a*b*, (3,)."""
    part = [_NORMAL.cdf(float(value)) for value in code]
    least, most = LIGHT
    lightness = least + (most - least) * _NORMAL.cdf(SPREAD * float(code[0]))
    if region == "hair":
        chroma = HAIR_CHROMA * _fullness(lightness) * part[1]
        hue = math.radians(HAIR_HUE[0] + (HAIR_HUE[1] - HAIR_HUE[0]) * part[2])
        return np.array([lightness, chroma * math.cos(hue), chroma * math.sin(hue)], np.float32)
    return np.array([lightness, *(AB[region] * code[1:])], np.float32)


def code_of(region: str, lab: Floats) -> Floats:
    """The code (3,) of a region's mean colour (3,), CIE L*a*b*: the inverse of :func:`colour`, and for skin."""

    def number(value: float) -> float:
        return _NORMAL.inv_cdf(min(max(value, 0.01), 0.99))

    if region == "skin":
        code = (lab - SKIN[0]) / SKIN[1]
    else:
        least, most = LIGHT
        lightness = number((float(lab[0]) - least) / (most - least)) / SPREAD
        if region == "hair":
            chroma = number(float(np.hypot(lab[1], lab[2])) / (HAIR_CHROMA * _fullness(float(lab[0]))))
            hue = math.degrees(math.atan2(float(lab[2]), float(lab[1])))
            code = np.array([lightness, chroma, number((hue - HAIR_HUE[0]) / (HAIR_HUE[1] - HAIR_HUE[0]))])
        else:
            code = np.array([lightness, *(lab[1:] / AB[region])])
    return np.clip(code, -MOST, MOST).astype(np.float32)


def mattes(photo: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Soft masks of the regions, (regions, S, S), for a photo (S, S, 3) and its label map (S, S)."""
    guide = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255

    def mean(values: Floats) -> Floats:
        return cv2.blur(values, (2 * RADIUS + 1, 2 * RADIUS + 1))  # type: ignore[return-value]

    centre = mean(guide)
    variance = mean(guide * guide) - centre * centre
    found = []
    for region in REGIONS:
        mask = (labels == CELEBAMASK_HQ.classes.index(region)).astype(np.float32)
        slope = (mean(guide * mask) - centre * mean(mask)) / (variance + EPSILON)
        offset = mean(mask) - slope * centre
        found.append(np.rint(np.clip(mean(slope) * guide + mean(offset), 0, 1) * 255))
    return np.stack(found).astype(np.uint8)


def recolour(
    photo: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    soft: NDArray[np.uint8],
    rng: np.random.Generator,
    share: float = SHARE,
) -> tuple[NDArray[np.uint8], Floats]:
    """A photo with new colours of some regions, and the code (SIZE,) of the colours that it then has.

    Numbers of a region that the photo lacks are random.

    Parameters
    ----------
    photo
        (S, S, 3), uint8.
    labels
        (S, S), its label map.
    soft
        Of :func:`mattes`.
    rng
    share
        Fraction of the photos in which a region is recoloured.
    """
    lab = _lab(photo)
    code = rng.normal(size=SIZE).astype(np.float32)
    chosen = rng.random(len(REGIONS)) < share
    for place, region in enumerate((*REGIONS, "skin")):
        mask = labels == CELEBAMASK_HQ.classes.index(region)
        own = code[3 * place : 3 * place + 3]
        if mask.mean() < LEAST_AREA:
            continue
        mean = lab[mask].mean(0)
        if region == "skin" or not chosen[place]:
            own[:] = code_of(region, mean)
            continue
        wanted = colour(region, own)
        gain = min(max((wanted[0] + 20) / (mean[0] + 20), 0.5), 1.8)
        new = np.empty_like(lab)
        new[..., 0] = np.clip(wanted[0] + gain * (lab[..., 0] - mean[0]), 0, 100)
        fuller = np.clip(new[..., 0] / max(float(wanted[0]), 1.0), 0.3, 1.3)[..., None]
        new[..., 1:] = wanted[1:] * fuller + 0.5 * (lab[..., 1:] - mean[1:])
        weight = soft[place][..., None].astype(np.float32) / 255
        lab = lab + weight * (new - lab)
    return (_rgb(lab) if chosen.any() else photo), code
