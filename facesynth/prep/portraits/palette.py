"""The colours of a portrait: skin, hair, brows, lips, irises, fabric, metal and backdrop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facesynth.prep.portraits.raster import tinted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.prep.portraits.traits import Traits

# fmt: off
_SKIN = np.array([
    (250, 222, 203), (243, 206, 180), (229, 182, 149), (208, 155, 117), (178, 124, 86), (143, 94, 64), (108, 70, 49),
    (80, 52, 40),
], np.float32) / 255
_HAIR = np.array([
    (28, 23, 23), (45, 31, 25), (72, 46, 31), (104, 68, 42), (142, 98, 60), (186, 144, 92), (218, 186, 134),
    (146, 66, 34), (168, 92, 52), (196, 92, 132), (64, 98, 158), (112, 68, 140), (52, 128, 122),
], np.float32) / 255
_IRIS = np.array([
    (64, 40, 26), (96, 60, 34), (126, 88, 46), (98, 118, 72), (84, 128, 166), (112, 134, 146),
], np.float32) / 255
_FABRIC = np.array([
    (44, 52, 74), (236, 232, 224), (58, 58, 62), (154, 62, 58), (78, 110, 92), (196, 168, 130), (110, 140, 176),
    (206, 132, 96), (132, 98, 138), (222, 196, 120), (88, 70, 60), (206, 150, 160), (60, 116, 130),
], np.float32) / 255
# fmt: on
_METAL = np.array([(222, 180, 96), (206, 208, 214), (214, 160, 130)], np.float32) / 255
_FRAME = np.array([(34, 32, 34), (86, 56, 36), (120, 36, 42), (44, 58, 92), (168, 148, 108)], np.float32) / 255


@dataclass(frozen=True)
class Palette:
    """The colours of one portrait, each a (3,) float32 array, RGB in [0, 1]."""

    skin: NDArray[np.float32]
    hair: NDArray[np.float32]
    brow: NDArray[np.float32]
    lip: NDArray[np.float32]
    iris: NDArray[np.float32]
    cloth: NDArray[np.float32]
    accent: NDArray[np.float32]
    hat: NDArray[np.float32]
    metal: NDArray[np.float32]
    frame: NDArray[np.float32]
    backdrop: NDArray[np.float32]


def draw_palette(t: Traits, rng: np.random.Generator) -> Palette:
    """Choose the colours of a person; those of clothes and backdrop are random.

    Parameters
    ----------
    t : Traits
        The person.
    rng : numpy.random.Generator
        Source of the random numbers.
    """
    skin = np.array([np.interp(t.tone * 7, range(8), _SKIN[:, k]) for k in range(3)], np.float32)
    skin = tinted(
        skin,
        1 + 0.012 * t.undertone,
        1 - 0.012 * t.undertone,
        1 - 0.045 * t.undertone * (t.undertone > 0) - 0.05 * t.undertone,
    )
    hair = _HAIR[t.hair_colour] * np.float32(rng.uniform(0.9, 1.12))
    hair = hair * (1 - 0.85 * t.grey) + np.array([0.66, 0.65, 0.64], np.float32) * 0.85 * t.grey
    natural = _HAIR[min(t.hair_colour, 3)] if t.hair_colour > 8 else hair
    brow = 0.72 * natural + 0.12 * skin * np.array([0.9, 0.7, 0.6], np.float32)
    rose = np.array([0.72, 0.30, 0.32], np.float32)
    lip = skin * np.array([0.93, 0.66, 0.64], np.float32)
    lip = lip + (rose * (0.75 + 0.4 * (1 - t.tone)) - lip) * np.float32(0.12 + 0.55 * t.makeup**2)
    fabric = rng.permutation(len(_FABRIC))
    hue = rng.random()
    backdrop = np.array(
        cv2.cvtColor(
            np.array([[[hue * 360, rng.uniform(0.08, 0.34), rng.uniform(0.42, 0.86)]]], np.float32), cv2.COLOR_HSV2RGB
        )[0, 0]
    )
    return Palette(
        skin=skin,
        hair=np.asarray(hair, np.float32),
        brow=np.asarray(brow, np.float32),
        lip=np.asarray(lip, np.float32),
        iris=_IRIS[t.eye_colour],
        cloth=_FABRIC[fabric[0]],
        accent=_FABRIC[fabric[1]],
        hat=_FABRIC[fabric[2]],
        metal=_METAL[int(rng.integers(len(_METAL)))],
        frame=_FRAME[int(rng.integers(len(_FRAME)))],
        backdrop=backdrop.astype(np.float32),
    )
