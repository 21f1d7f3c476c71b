"""Colours of a face's regions as numbers of its style: mean colours in, numbers of z out, and back.

The styles of a model with ``style_colours`` say which colours hair, background, clothes and skin have: the last numbers of z,
three for each region, in the config's order. They are scaled so that a standard normal z means plausible colours.

References: the CIE 1976 L*a*b* space, ISO/CIE 11664-4; a style code per region as in Zhu et al., "SEAN", CVPR 2020, here by its
mean colour alone.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import ImageColor

from facesynth.errors import InputError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from facesynth.labels import LabelScheme

    Floats = NDArray[np.float32]

PER_REGION = 3
"""Numbers of z for a region's colour."""
LEAST_AREA = 0.01
"""The fraction of a picture below which a region has no colour of its own."""
MOST = 2.3
"""The greatest absolute value of a number that stands for a measured colour."""
_LIGHT, _SPREAD = (5.0, 92.0), 1.7
"""Least and greatest L* of a region but skin; the number's factor before the normal distribution, more than 1 so that dark and
light are as frequent as medium."""
_HAIR_CHROMA, _HAIR_HUE = 46.0, (40.0, 85.0)
"""Greatest chroma of hair, at medium lightness; its hue, degrees, from red to yellow."""
_SPREAD_OF_AB = {"background": 22.0, "cloth": 18.0}
"""Standard deviation of a* and b*."""
_SKIN = np.array([[57.0, 17.5, 20.5], [8.5, 4.5, 6.0]], np.float32)
"""Mean and standard deviation of the mean colour of skin, L*a*b*, in portraits."""
_NORMAL = NormalDist()


def to_lab(picture: NDArray[np.uint8]) -> Floats:
    """CIE L*a*b* of an RGB picture, (H, W, 3) uint8 to float32; L* is 0 to 100."""
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def to_rgb(lab: Floats) -> NDArray[np.uint8]:
    """RGB of a picture in CIE L*a*b*, (H, W, 3) float32 to uint8; colours outside of sRGB are clipped."""
    rgb: Floats = np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.float32)
    return np.asarray(np.rint(rgb.clip(0, 1) * 255), np.uint8)


def _fullness(lightness: float) -> float:
    """How much chroma hair of a lightness L* has, as a fraction of the greatest."""
    return math.pow(math.sin(math.pi * min(max(lightness / 100, 0.04), 0.92)), 0.8)


def colour_of(region: str, numbers: Floats) -> Floats:
    """The colour that numbers mean.

    Parameters
    ----------
    region : str
        hair, background, cloth or skin.
    numbers : (3,) float array

    Returns
    -------
    (3,) float32 array
        CIE L*a*b*; may be outside of sRGB.
    """
    if region == "skin":
        return np.asarray(_SKIN[0] + _SKIN[1] * numbers, np.float32)
    least, most = _LIGHT
    lightness = least + (most - least) * _NORMAL.cdf(_SPREAD * float(numbers[0]))
    if region != "hair":
        return np.array([lightness, *(_SPREAD_OF_AB[region] * numbers[1:])], np.float32)
    chroma = _HAIR_CHROMA * _fullness(lightness) * _NORMAL.cdf(float(numbers[1]))
    low, high = _HAIR_HUE
    hue = math.radians(low + (high - low) * _NORMAL.cdf(float(numbers[2])))
    return np.array([lightness, chroma * math.cos(hue), chroma * math.sin(hue)], np.float32)


def numbers_of(region: str, lab: Floats) -> Floats:
    """The numbers that mean a colour: the inverse of :func:`colour_of`, at most :data:`MOST`.

    Parameters
    ----------
    region : str
        hair, background, cloth or skin.
    lab : (3,) float array
        CIE L*a*b*.

    Returns
    -------
    (3,) float32 array
    """
    lightness, chroma = float(lab[0]), math.hypot(float(lab[1]), float(lab[2]))
    if region == "skin":
        numbers = (lab - _SKIN[0]) / _SKIN[1]
    else:
        first = _quantile(lightness, *_LIGHT) / _SPREAD
        if region == "hair":
            hue = math.degrees(math.atan2(float(lab[2]), float(lab[1])))
            numbers = np.array(
                [first, _quantile(chroma, 0, _HAIR_CHROMA * _fullness(lightness)), _quantile(hue, *_HAIR_HUE)]
            )
        else:
            numbers = np.array([first, *(lab[1:] / _SPREAD_OF_AB[region])])
    return np.asarray(np.clip(numbers, -MOST, MOST), np.float32)


def _quantile(value: float, low: float, high: float) -> float:
    return _NORMAL.inv_cdf(min(max((value - low) / (high - low), 0.01), 0.99))


def measure_colours(
    photo: NDArray[np.uint8], labels: NDArray[np.uint8], scheme: LabelScheme, regions: Sequence[str]
) -> dict[str, str]:
    """The mean colours of a photo's regions.

    Parameters
    ----------
    photo : (H, W, 3) uint8 array
        RGB.
    labels : (H, W) uint8 array
        Its label map.
    scheme : LabelScheme
    regions : sequence of str
        Classes of the scheme.

    Returns
    -------
    dict of str to str
        ``#rrggbb`` by region; without regions that cover less than :data:`LEAST_AREA` of the photo.
    """
    lab, found = to_lab(photo), {}
    for region in regions:
        mask = labels == scheme.classes.index(region)
        if mask.mean() >= LEAST_AREA:
            red, green, blue = to_rgb(lab[mask].mean(0)[None, None])[0, 0]
            found[region] = f"#{red:02x}{green:02x}{blue:02x}"
    return found


def parse_colours(colours: Mapping[str, str], regions: Sequence[str]) -> dict[int, Floats]:
    """The numbers of z that given colours mean, by the index of their region.

    Parameters
    ----------
    colours : mapping of str to str
        By region: ``#rrggbb``, a name such as ``navy``, or another form of CSS that Pillow reads.
    regions : sequence of str
        A model's ``style_colours``.

    Returns
    -------
    dict of int to (3,) float32 array

    Raises
    ------
    InputError
        If the model has no such region, or a colour is none.
    """
    found = {}
    for region, text in colours.items():
        if region not in regions:
            raise InputError(f"colour is given for {shown(region)}; this model has them for: {', '.join(regions)}")
        try:
            rgb = ImageColor.getrgb(text)[:3]
        except ValueError:
            raise InputError(f"colour of {region} is {shown(text)}; needed: #rrggbb, or a name such as navy") from None
        lab = to_lab(np.array(rgb, np.uint8)[None, None])[0, 0]
        found[regions.index(region)] = numbers_of(region, lab)
    return found
