"""All outlines of a procedural portrait, from back to front.

:func:`build_figure` draws a person's traits at random (:mod:`facesynth.prep.portraits.traits`) and turns them into outlines
in picture units. Nothing here depends on pixels: the same outlines are rasterised for the masks and for the photo.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facesynth.prep.portraits.accessories import (
    outline_cloth,
    outline_earrings,
    outline_glasses,
    outline_hat,
    outline_necklace,
)
from facesynth.prep.portraits.features import (
    outline_beard,
    outline_ear,
    outline_eye,
    outline_freckles,
    outline_mouth,
    outline_nose,
)
from facesynth.prep.portraits.hair import style_hair
from facesynth.prep.portraits.traits import LONG_STYLES, curve, draw_traits, points, resampled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from facesynth.prep.portraits.hair import Lock
    from facesynth.prep.portraits.traits import Points, Traits


@dataclass(frozen=True)
class Layer:
    """The outlines of one part at one depth: the union of ``polygons`` minus the union of ``cut``, in picture units."""

    part: str
    polygons: tuple[Points, ...]
    cut: tuple[Points, ...] = ()


@dataclass(frozen=True)
class Figure:
    """All outlines of a portrait, in picture units.

    Attributes
    ----------
    traits : Traits
        The person that they belong to.
    shapes : mapping of str to tuple of (N, 2) float64 arrays
        Outlines by name: those of the layers, and those that are only painted (iris, lashes, wrinkles, ...).
    back_hair, front_hair : tuple of Lock
        Hair behind the neck, and hair over face, ears and shoulders.
    layers : tuple of Layer
        The labelled outlines from back to front; where two overlap, the later one is visible.
    """

    traits: Traits
    shapes: Mapping[str, tuple[Points, ...]]
    back_hair: tuple[Lock, ...] = ()
    front_hair: tuple[Lock, ...] = ()
    layers: tuple[Layer, ...] = ()


def _head(t: Traits) -> Points:
    w, j, c, y = t.face_width, t.jaw_width, t.chin_width, t.chin_y
    half = points(
        (0.0, -0.335), (0.13, -0.305), (0.21 * w / 0.24, -0.215), (w * 0.985, -0.09), (w, 0.01),
        (0.5 * (w + j) + 0.012, 0.115), (j, 0.2), (0.52 * (j + c), 0.2 + 0.62 * (y - 0.2)), (c * 0.62, y - 0.012),
    )  # fmt: skip
    control = np.concatenate([half, points((0.0, y)), (half[1:] * np.array([-1, 1]))[::-1]])
    depth = 0.13 * np.clip((control[:, 1] + 0.05) / 0.38, 0, 1)
    return t.pose.project(curve(control, 120, closed=True), resampled(depth, 120))


def _neck(t: Traits) -> Points:
    w = t.neck_width
    top = t.pose.project(points((-w * 0.97, 0.15), (w * 0.97, 0.15)), 0.0)
    sag = 0.012 * (1 - t.masculine)
    right = t.pose.project_body(
        points((w, 0.36), (w + 0.018, 0.43 + sag), (0.22, 0.49 + sag), (0.27, 0.56), (0.27, 0.9))
    )
    left = t.pose.project_body(
        points((-0.27, 0.9), (-0.27, 0.56), (-0.22, 0.49 + sag), (-w - 0.018, 0.43 + sag), (-w, 0.36))
    )
    drift = 0.55 * (top.mean(0)[0] - t.pose.centre[0])
    right[0, 0] += drift
    left[-1, 0] += drift
    return np.concatenate([curve(np.concatenate([top[1:], right])), curve(np.concatenate([left, top[:1]]))])


def build_figure(rng: np.random.Generator) -> Figure:
    """The outlines of one random person.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the random numbers.
    """
    t = draw_traits(rng)
    back, front = style_hair(rng, t)
    shapes: dict[str, tuple[Points, ...]] = {"face": (_head(t),), "neck": (_neck(t),), "beard": (outline_beard(t),)}
    cloth, pieces = outline_cloth(t)
    shapes |= {
        "cloth": (cloth, *pieces),
        "cloth_body": (cloth,),
        "cloth_pieces": pieces,
        "necklace": outline_necklace(t),
    }
    shapes |= outline_nose(t) | outline_mouth(t) | outline_glasses(t) | outline_hat(t)
    ears = []
    for side, name in ((-1.0, "r"), (1.0, "l")):
        shapes |= {f"{name}_{key}": value for key, value in outline_eye(t, side).items()}
        ear = outline_ear(t, side)
        if ear is not None:
            ears.append(side)
        if ear is not None and t.hair_style not in LONG_STYLES:
            shapes |= {f"{name}_ear": ear[:1], f"{name}_ear_rim": ear[1:]}
    shapes["earrings"] = outline_earrings(t, ears)
    shapes["freckles"] = outline_freckles(rng, t)
    return Figure(t, shapes, back, front, _layers(shapes, back, front))


def _layers(shapes: Mapping[str, tuple[Points, ...]], back: Sequence[Lock], front: Sequence[Lock]) -> tuple[Layer, ...]:
    frames = shapes.get("frames", ())
    cloth = shapes["cloth"]
    layers = [
        Layer("hair", tuple(lock.outline for lock in back)),
        Layer("neck", shapes["neck"]),
        Layer("neck_l", shapes["necklace"]),
        Layer("cloth", cloth),
        Layer("l_ear", shapes.get("l_ear", ())),
        Layer("r_ear", shapes.get("r_ear", ())),
        Layer("skin", shapes["face"]),
        Layer("nose", shapes["nose"]),
        Layer("mouth", shapes.get("mouth", ())),
        Layer("u_lip", shapes["u_lip"]),
        Layer("l_lip", shapes["l_lip"]),
        Layer("eye_g", frames + shapes.get("lenses", ())),
        Layer("l_eye", shapes["l_eye"], frames),
        Layer("r_eye", shapes["r_eye"], frames),
        Layer("l_brow", shapes["l_brow"], frames),
        Layer("r_brow", shapes["r_brow"], frames),
        Layer("hair", tuple(lock.outline for lock in front if lock.tucked), cloth),
        Layer("hair", tuple(lock.outline for lock in front if not lock.tucked)),
        Layer("hat", shapes.get("hat", ())),
        Layer("ear_r", shapes["earrings"]),
    ]
    return tuple(layer for layer in layers if layer.polygons)
