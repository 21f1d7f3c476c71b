"""The outlines of drawn portraits, back to front.

:func:`build_figure` decides on a person (:mod:`facesynth.prep._portrait_traits`) and turns the traits into outlines in
picture units. Nothing here knows a pixel: :mod:`facesynth.prep.portraits` rasterises the same outlines for the masks
and for the photo.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facesynth.prep._portrait_hair import style_hair
from facesynth.prep._portrait_traits import LONG_STYLES, curve, draw_traits, oval, points, ring, stroke, surface

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from facesynth.prep._portrait_hair import Lock
    from facesynth.prep._portrait_traits import Points, Traits


@dataclass(frozen=True)
class Layer:
    """One part's outlines at one depth: the union of ``polygons`` less the union of ``cut``."""

    part: str
    polygons: tuple[Points, ...]
    cut: tuple[Points, ...] = ()


@dataclass(frozen=True)
class Figure:
    """All outlines of a portrait in picture units.

    Attributes
    ----------
    traits : Traits
        What they were made from.
    shapes : mapping of str to tuple of (N, 2) arrays
        Outlines by name: those of the layers and those that are only painted (iris, lashes, wrinkles, ...).
    back_hair, front_hair : tuple of Lock
        Hair behind the neck, and hair over face, ears and shoulders.
    layers : tuple of Layer
        The labelled outlines from back to front: where two overlap, the later one is seen.
    """

    traits: Traits
    shapes: Mapping[str, tuple[Points, ...]]
    back_hair: tuple[Lock, ...] = ()
    front_hair: tuple[Lock, ...] = ()
    layers: tuple[Layer, ...] = ()


# ---------------------------------------------------------------------------------------------------------------------
# Head, body
# ---------------------------------------------------------------------------------------------------------------------


def _head(t: Traits) -> Points:
    w, j, c, y = t.face_width, t.jaw_width, t.chin_width, t.chin_y
    half = points(
        (0.0, -0.335), (0.13, -0.305), (0.21 * w / 0.24, -0.215), (w * 0.985, -0.09), (w, 0.01),
        (0.5 * (w + j) + 0.012, 0.115), (j, 0.2), (0.52 * (j + c), 0.2 + 0.62 * (y - 0.2)), (c * 0.62, y - 0.012),
    )  # fmt: skip
    control = np.concatenate([half, points((0.0, y)), (half[1:] * np.array([-1, 1]))[::-1]])
    depth = 0.13 * np.clip((control[:, 1] + 0.05) / 0.38, 0, 1)
    return t.pose.place(curve(control, 120, closed=True), _along(depth, 120))


def _along(values: Points, count: int) -> Points:
    """Values of a closed outline's control points, spread over the ``count`` points of its curve."""
    n = len(values)
    at = np.linspace(0, n, count, endpoint=False)
    return np.asarray(np.interp(at, np.arange(n + 1), np.append(values, values[0])))


def _ear(t: Traits, side: float) -> tuple[Points, Points] | None:
    """Outline and inner rim of the ear on one side of the picture, or nothing if the turn hides it."""
    wide = 1 - side * np.sin(t.pose.yaw) * 3.0
    if wide < 0.35:
        return None
    wide = min(wide, 1.5)
    big = 0.92 + 0.12 * t.age + 0.06 * t.masculine
    shape = points(
        (-0.02, -0.03), (0.006, -0.058), (0.03, -0.062), (0.046, -0.035), (0.042, 0.01), (0.028, 0.05),
        (0.018, 0.08), (0.002, 0.083), (-0.012, 0.06), (-0.03, 0.02),
    )  # fmt: skip
    rim = points((0.006, -0.03), (0.02, -0.04), (0.031, -0.025), (0.028, 0.012), (0.014, 0.042), (0.006, 0.03))
    move = np.array([t.face_width - 0.004, 0.02])
    flip = np.array([side, 1.0])
    outline, inner = ((s * np.array([wide * big, big]) + move) * flip for s in (shape, rim))
    return t.pose.place(curve(outline, 40, closed=True), 0.0), t.pose.place(curve(inner, 24), 0.0)


def _neck(t: Traits) -> Points:
    w = t.neck_width
    top = t.pose.place(points((-w * 0.97, 0.15), (w * 0.97, 0.15)), 0.0)
    sag = 0.012 * (1 - t.masculine)
    right = t.pose.body(points((w, 0.36), (w + 0.018, 0.43 + sag), (0.22, 0.49 + sag), (0.27, 0.56), (0.27, 0.9)))
    left = t.pose.body(points((-0.27, 0.9), (-0.27, 0.56), (-0.22, 0.49 + sag), (-w - 0.018, 0.43 + sag), (-w, 0.36)))
    drift = 0.55 * (top.mean(0)[0] - t.pose.centre[0])
    right[0, 0] += drift
    left[-1, 0] += drift
    return np.concatenate([curve(np.concatenate([top[1:], right])), curve(np.concatenate([left, top[:1]]))])


def _cloth(t: Traits) -> tuple[Points, tuple[Points, ...]]:
    """Outline of the clothing, and pieces that lie on it (collar, lapels)."""
    w, body = t.neck_width, t.pose.body
    spread, dip = {
        "crew": (0.028, 0.475), "vee": (0.04, 0.6), "scoop": (0.085, 0.56), "shirt": (0.02, 0.53),
        "turtle": (0.004, 0.42), "jacket": (0.03, 0.58),
    }[t.neckline]  # fmt: skip
    x = w + spread
    top = 0.40 if t.neckline == "turtle" else 0.412 + 0.55 * spread
    if t.neckline in ("vee", "shirt", "jacket"):
        hang = 0.45 * (top + dip) + 0.02
        half = curve(points((-x, top), (-0.55 * x, hang), (0, dip)), 12)
        dipping = np.concatenate([half, (half * np.array([-1, 1]))[::-1]])
    else:
        dipping = curve(
            points(
                (-x, top),
                (-0.75 * x, 0.5 * (top + dip) + 0.012),
                (0, dip),
                (0.75 * x, 0.5 * (top + dip) + 0.012),
                (x, top),
            )
        )
    broad = 0.03 * t.masculine
    shoulder = points((x, top), (x + 0.09, 0.46), (0.37 + broad, 0.515), (0.49 + broad, 0.6), (0.54 + broad, 0.9))
    right = curve(shoulder, 20)
    outline = np.concatenate([dipping, right, (right * np.array([-1, 1]))[::-1]])
    pieces: tuple[Points, ...] = ()
    if t.neckline in ("shirt", "jacket"):
        deep = 0.1 if t.neckline == "shirt" else 0.2
        flap = points(
            (x - 0.012, top - 0.022), (x + 0.04, top + 0.022), (0.75 * x, dip + deep * 0.5), (0.012, dip + deep * 0.35),
            (0.004, dip - 0.012), (0.55 * x, 0.45 * (top + dip) + 0.008),
        )  # fmt: skip
        pieces = (body(flap), body(flap * np.array([-1, 1])))
    elif t.neckline in ("crew", "scoop", "vee"):
        pieces = (stroke(body(dipping), 0.018, taper=(1, 1)),)
    elif t.neckline == "turtle":
        pieces = (
            body(
                curve(
                    points((-x, top), (0, dip + 0.02), (x, top), (x + 0.01, 0.46), (0, 0.51), (-x - 0.01, 0.46)),
                    40,
                    closed=True,
                )
            ),
        )
    return body(outline), pieces


def _necklace(t: Traits) -> tuple[Points, ...]:
    if not t.necklace:
        return ()
    w = t.neck_width
    deep = {"chain": 0.49, "pendant": 0.5, "beads": 0.475}[t.necklace]
    path = t.pose.body(
        curve(points((-w - 0.02, 0.395), (-0.75 * w, 0.45), (0, deep), (0.75 * w, 0.45), (w + 0.02, 0.395)), 40)
    )
    if t.necklace == "beads":
        return tuple(oval(x, y, 0.0115, 0.0115, count=14) for x, y in path[::2])
    chain = stroke(path, 0.007, taper=(1, 1))
    if t.necklace == "chain":
        return (stroke(path, 0.01, taper=(1, 1)),)
    x, y = t.pose.body(points((0, deep + 0.014)))[0]
    return (chain, oval(float(x), float(y), 0.014, 0.018, power=1.6))


# ---------------------------------------------------------------------------------------------------------------------
# Features
# ---------------------------------------------------------------------------------------------------------------------


def _eye(t: Traits, side: float) -> dict[str, tuple[Points, ...]]:
    """Shapes of the eye and brow on one side of the picture."""
    w, h, slant = t.eye_width, t.eye_open, t.eye_slant
    squint = 0.003 * max(t.smile, 0)
    low = h * 0.55 - squint
    upper = curve(
        points((-w, 0.35 * h), (-0.72 * w, -0.28 * h), (-0.1 * w, -h), (0.45 * w, -0.82 * h), (w, -slant)), 22
    )
    lower = curve(
        points((w, -slant), (0.6 * w, low * 0.8), (-0.05 * w, low + 0.002), (-0.6 * w, low * 0.75), (-w, 0.35 * h)), 22
    )
    wing = np.concatenate([upper[2:], points((w * 1.13, -slant - 0.004 - 0.004 * t.makeup))])
    crease = upper[3:] + np.array([0.0, -0.011 - 0.003 * t.age])
    bag = curve(points((-0.8 * w, low + 0.010), (-0.1 * w, low + 0.020), (0.6 * w, low + 0.013)), 12)
    iris_r = 0.0262
    gaze = np.array([t.gaze * side, -0.1 * h])
    centre = np.array([t.eye_x, 0.0])
    flip = np.array([side, 1.0])

    def put(local: Points) -> Points:
        at = (local + centre) * flip
        return t.pose.place(at, surface(at) - 0.012)

    lash = stroke(wing, 0.0075 + 0.004 * t.makeup, taper=(0.1, 0.25))
    b0, b1 = 0.052 + 0.006 * (1 - t.masculine), 0.073 + t.eye_x - 0.106
    lift, arch = -t.brow_lift, t.brow_arch
    spine = curve(
        points(
            (-b0, lift + 0.001),
            (-0.3 * b0, lift - 0.5 * arch),
            (0.45 * b1, lift - arch),
            (b1, lift + 0.35 * arch + 0.003),
        ),
        20,
    )
    s = np.linspace(0, 1, 20)
    half = 0.5 * t.brow_thick * np.interp(s, [0, 0.1, 0.45, 0.75, 1], [0.6, 0.95, 1.0, 0.7, 0.12])
    brow = np.concatenate([spine - np.stack([0 * s, half], 1), (spine + np.stack([0 * s, half], 1))[::-1]])
    return {
        "eye": (put(np.concatenate([upper, lower[1:]])), put(lash)),
        "ball": (put(np.concatenate([upper, lower[1:]])),),
        "lash": (put(lash),),
        "lid": (put(np.concatenate([upper, (upper - np.array([0, 0.6 * h]))[::-1]])),),
        "lower": (put(stroke(lower, 0.003)),),
        "crease": (put(stroke(crease, 0.0035)),),
        "bag": (put(stroke(bag, 0.004)),),
        "duct": (put(oval(-w * 0.9, 0.3 * h, 0.005, 0.0045, count=10)),),
        "iris": (put(oval(gaze[0] * side, gaze[1], iris_r, iris_r)),),
        "iris_mid": (put(oval(gaze[0] * side, gaze[1], iris_r * 0.86, iris_r * 0.86)),),
        "iris_low": (put(oval(gaze[0] * side, gaze[1] + iris_r * 0.28, iris_r * 0.62, iris_r * 0.5)),),
        "pupil": (put(oval(gaze[0] * side, gaze[1], iris_r * 0.42, iris_r * 0.42)),),
        "brow": (put(brow),),
        "brow_spine": (put(spine),),
        "crow": tuple(
            put(stroke(curve(points((w + 0.014, y0), (w + 0.027, y0 + dy), (w + 0.038, y0 + 2.4 * dy)), 8), 0.003))
            for y0, dy in ((-0.004, -0.004), (0.008, 0.001), (0.018, 0.005))
        ),
    }


def _nose(t: Traits) -> dict[str, tuple[Points, ...]]:
    w, y = t.nose_width, t.nose_y
    half = points(
        (0.018, -0.03),
        (0.0175, 0.01),
        (0.022, 0.055),
        (0.6 * w, y - 0.04),
        (w, y - 0.016),
        (w * 0.93, y + 0.005),
        (0.5 * w, y + 0.009),
    )
    control = np.concatenate([half, points((0, y + 0.0165)), (half * np.array([-1, 1]))[::-1]])
    rise = np.interp(control[:, 1], [-0.03, y - 0.02, y + 0.02], [0.012, 0.045, 0.045])
    rise = rise * np.interp(np.abs(control[:, 0]), [0, w], [1, 0.45])
    depth = surface(control) + rise
    outline = t.pose.place(curve(control, 60, closed=True), _along(depth, 60))

    def put(local: Points, lift: float) -> Points:
        return t.pose.place(local, surface(local) + lift)

    nostrils = tuple(put(oval(s * w * 0.46, y + 0.0025, 0.0105, 0.0048, count=16), 0.03) for s in (-1, 1))
    wings = tuple(
        put(
            stroke(
                curve(points((s * w * 0.92, y - 0.03), (s * w * 1.03, y - 0.012), (s * w * 0.88, y + 0.006)), 10), 0.004
            ),
            0.02,
        )
        for s in (-1, 1)
    )
    base = put(
        stroke(
            curve(
                points(
                    (-0.8 * w, y + 0.006),
                    (-0.4 * w, y + 0.009),
                    (0, y + 0.0165),
                    (0.4 * w, y + 0.009),
                    (0.8 * w, y + 0.006),
                ),
                20,
            ),
            0.008,
        ),
        0.03,
    )
    return {"nose": (outline,), "nostrils": nostrils, "wings": wings, "nose_base": (base,)}


def mouth_line(t: Traits) -> float:
    """Height of the mouth's middle in face units."""
    return t.nose_y + 0.077 + 0.004 * t.masculine


def _mouth(t: Traits) -> dict[str, tuple[Points, ...]]:
    x = np.linspace(-1, 1, 41)
    wide = t.mouth_width * (1 + 0.16 * t.smile)
    y = mouth_line(t)
    corner = -0.019 * t.smile * (np.abs(x) ** 1.8) + 0.006 * t.smile
    arc = 1 - x**2
    full_up = 0.0185 * t.lip_fullness * (1 - 0.18 * max(t.smile, 0))
    full_low = 0.0245 * t.lip_fullness * (1 - 0.15 * max(t.smile, 0))
    bow = (
        np.clip(arc, 0, 1) ** 0.85
        * (1 - 0.28 * np.exp(-((x / 0.14) ** 2)))
        * (1 + 0.12 * np.exp(-(((np.abs(x) - 0.26) / 0.14) ** 2)))
    )
    closed = 0.0022 * np.cos(np.pi * x * 2.0) * arc
    inner_top = corner + closed - 0.25 * t.gap * arc**0.8
    inner_low = corner + closed + 0.75 * t.gap * arc**0.75
    outer_top = inner_top - full_up * bow
    outer_low = inner_low + full_low * arc**0.62
    teeth_low = inner_top + (inner_low - inner_top) * (0.78 if t.smile > 0.6 else 0.42)

    def put(*edges: NDArray[np.float64]) -> Points:
        there = np.stack([x * wide, y + edges[0]], 1)
        back = np.stack([x * wide, y + edges[1]], 1)[::-1]
        at = np.concatenate([there, back])
        return t.pose.place(at, surface(at) + 0.012)

    shapes: dict[str, tuple[Points, ...]] = {
        "u_lip": (put(outer_top, inner_top),),
        "l_lip": (put(inner_low, outer_low),),
    }
    shapes["lip_line"] = (put(inner_top - 0.0016 * (0.35 + arc), inner_top + 0.0016 * (0.35 + arc)),)
    shapes["lip_gloss"] = (
        put(
            inner_low + full_low * (0.34 * arc**0.6),
            inner_low + full_low * (0.34 * arc**0.6 + 0.22 * np.clip(0.5 - np.abs(x), 0, 1)),
        ),
    )
    if t.gap > 0:
        shapes["mouth"] = (put(inner_top, inner_low),)
        shapes["teeth"] = (put(inner_top, teeth_low),)
        shapes["tongue"] = (
            put(inner_low - 0.32 * (inner_low - inner_top) * np.clip(1 - (x / 0.6) ** 2, 0, 1), inner_low),
        )
    dimple = 0.0035
    corners = []
    for s in (-1.0, 1.0):
        at = points(
            (s * wide * 0.985, y + corner[0] - 0.003),
            (s * (wide + 0.006), y + corner[0] + 0.001),
            (s * (wide + 0.008), y + corner[0] - 0.003),
        )
        corners.append(t.pose.place(stroke(curve(at, 8), dimple), 0.17))
    shapes["mouth_corners"] = tuple(corners)
    folds = []
    for s in (-1.0, 1.0):
        at = curve(
            points(
                (s * (t.nose_width + 0.014), t.nose_y - 0.02),
                (s * (0.45 * (t.nose_width + wide) + 0.035), t.nose_y + 0.03),
                (s * (wide + 0.022), y - 0.008),
            ),
            14,
        )
        fold = stroke(at, 0.006)
        folds.append(t.pose.place(fold, surface(fold) + 0.01))
    shapes["folds"] = tuple(folds)
    return shapes


def _beard(t: Traits) -> Points:
    """The region of beard and moustache, lips included."""
    y, c, j, w = mouth_line(t), t.chin_y, t.jaw_width, t.face_width
    top = y - 0.045
    half = points(
        (0.0, top + 0.006),
        (0.05, top),
        (0.1, y - 0.02),
        (0.135, y - 0.02),
        (0.175, 0.12),
        (w * 0.96, 0.05),
        (w + 0.02, 0.08),
        (j + 0.03, 0.22),
        (t.chin_width + 0.05, c),
    )
    control = np.concatenate([half, points((0.0, c + 0.04)), (half[1:] * np.array([-1, 1]))[::-1]])
    return t.pose.place(curve(control, 90, closed=True), _along(surface(control), 90))


def _glasses(t: Traits) -> dict[str, tuple[Points, ...]]:
    if not t.glasses:
        return {}
    rx, ry, power, thick = {
        "round": (0.067, 0.062, 2.0, 0.009), "box": (0.077, 0.052, 4.0, 0.011), "cat": (0.077, 0.053, 2.7, 0.011),
        "wire": (0.071, 0.054, 2.5, 0.006),
    }[t.glasses]  # fmt: skip
    lenses, frames = [], []

    def put(local: Points) -> Points:
        return t.pose.place(local, 0.19 - 0.25 * np.abs(local[:, 0]))

    for s in (-1.0, 1.0):
        outer = oval(0, 0, rx, ry, power=power, count=48)
        if t.glasses == "cat":
            outer[:, 1] -= np.clip(outer[:, 0], 0, None) * np.clip(-outer[:, 1] / ry, 0, 1) * 0.3
        inner = outer * (1 - thick / np.array([rx, ry]))
        move, flip = np.array([t.eye_x + 0.003, 0.007]), np.array([s, 1.0])
        lenses.append(put((inner + move) * flip))
        frames.append(ring(put((outer + move) * flip), put((inner + move) * flip)))
        arm = points((t.eye_x + rx, -0.016), (t.face_width * 0.96, -0.012), (t.face_width + 0.012, -0.006)) * flip
        depth = np.array([0.19 - 0.25 * (t.eye_x + rx), 0.05, 0.0])
        frames.append(stroke(t.pose.place(arm, depth), thick * 0.9, taper=(1, 1)))
    inner_x = t.eye_x + 0.003 - rx + thick * 0.4
    bridge = curve(points((-inner_x, -0.004), (0, -0.014), (inner_x, -0.004)), 12)
    frames.append(stroke(t.pose.place(bridge, 0.2), thick, taper=(1, 1)))
    return {"lenses": tuple(lenses), "frames": tuple(frames)}


def _hat(t: Traits) -> dict[str, tuple[Points, ...]]:
    """The hat (every outline), its body, and its band or brim on top."""
    if not t.hat:
        return {}
    w, v = t.face_width + 0.026 + 0.5 * t.hair_volume, t.hair_volume
    place = t.pose.place
    if t.hat == "beanie":
        dome = points(
            (-w, -0.1),
            (-w - 0.004, -0.22),
            (-0.17, -0.37 - v),
            (0, -0.405 - v),
            (0.17, -0.37 - v),
            (w + 0.004, -0.22),
            (w, -0.1),
            (0.12, -0.128),
            (0, -0.133),
            (-0.12, -0.128),
        )
        band = points(
            (-w - 0.006, -0.088),
            (-w - 0.01, -0.16),
            (-0.13, -0.205),
            (0, -0.215),
            (0.13, -0.205),
            (w + 0.01, -0.16),
            (w + 0.006, -0.088),
            (0.12, -0.118),
            (0, -0.124),
            (-0.12, -0.118),
        )
        depth = 0.0
    elif t.hat == "brim":
        dome = points(
            (-w * 0.97, -0.16),
            (-w * 0.93, -0.27),
            (-0.16, -0.39 - v),
            (0, -0.38 - v),
            (0.16, -0.39 - v),
            (w * 0.93, -0.27),
            (w * 0.97, -0.16),
            (0.12, -0.135),
            (0, -0.13),
            (-0.12, -0.135),
        )
        band = points(
            (-0.43, -0.155),
            (-0.3, -0.2),
            (-0.12, -0.19),
            (0, -0.187),
            (0.12, -0.19),
            (0.3, -0.2),
            (0.43, -0.155),
            (0.3, -0.123),
            (0.12, -0.118),
            (0, -0.116),
            (-0.12, -0.118),
            (-0.3, -0.123),
        )
        depth = 0.0
    else:
        dome = points(
            (-w, -0.11),
            (-w - 0.004, -0.22),
            (-0.17, -0.36 - v),
            (0, -0.39 - v),
            (0.17, -0.36 - v),
            (w + 0.004, -0.22),
            (w, -0.11),
            (0.12, -0.165),
            (0, -0.17),
            (-0.12, -0.165),
        )
        band = points(
            (-0.19, -0.15),
            (-0.15, -0.195),
            (0, -0.215),
            (0.15, -0.195),
            (0.19, -0.15),
            (0.17, -0.105),
            (0, -0.118),
            (-0.17, -0.105),
        )
        depth = 0.14
    body_, top = place(curve(dome, 80, closed=True)), place(curve(band, 80, closed=True), depth)
    shapes = {"hat": (body_, top), "hat_body": (body_,), "hat_band": (top,)}
    if t.hat == "brim":
        ribbon = points(
            (-w * 0.965, -0.172),
            (-0.12, -0.205),
            (0, -0.208),
            (0.12, -0.205),
            (w * 0.965, -0.172),
            (w * 0.955, -0.215),
            (0.12, -0.248),
            (0, -0.251),
            (-0.12, -0.248),
            (-w * 0.955, -0.215),
        )
        shapes["hat_ribbon"] = (place(curve(ribbon, 60, closed=True)),)
    return shapes


def _earrings(t: Traits, ears: Sequence[float]) -> tuple[Points, ...]:
    if not t.earring:
        return ()
    pieces: list[Points] = []
    for s in ears:
        x, y = t.face_width + 0.006, 0.102
        if t.earring == "stud":
            local = [oval(x, y - 0.008, 0.011, 0.011, count=14)]
        elif t.earring == "hoop":
            local = [ring(oval(x, y + 0.026, 0.027, 0.034), oval(x, y + 0.026, 0.020, 0.027))]
        else:
            local = [
                oval(x, y - 0.006, 0.008, 0.008, count=12),
                stroke(curve(points((x, y), (x, y + 0.022)), 6), 0.005, taper=(1, 1)),
                oval(x, y + 0.037, 0.013, 0.02, power=1.7),
            ]
        pieces += [t.pose.place(p * np.array([s, 1.0]), 0.0) for p in local]
    return tuple(pieces)


# ---------------------------------------------------------------------------------------------------------------------
# The whole figure
# ---------------------------------------------------------------------------------------------------------------------


def build_figure(rng: np.random.Generator) -> Figure:
    """One person's outlines, from traits by lot."""
    t = draw_traits(rng)
    back, front = style_hair(rng, t)
    shapes: dict[str, tuple[Points, ...]] = {"face": (_head(t),), "neck": (_neck(t),), "beard": (_beard(t),)}
    cloth, pieces = _cloth(t)
    shapes |= {"cloth": (cloth, *pieces), "cloth_body": (cloth,), "cloth_pieces": pieces, "necklace": _necklace(t)}
    shapes |= _nose(t) | _mouth(t) | _glasses(t) | _hat(t)
    ears = []
    for side, name in ((-1.0, "r"), (1.0, "l")):
        shapes |= {f"{name}_{key}": value for key, value in _eye(t, side).items()}
        ear = _ear(t, side)
        if ear is not None:
            ears.append(side)
        if ear is not None and t.hair_style not in LONG_STYLES:
            shapes |= {f"{name}_ear": ear[:1], f"{name}_ear_rim": ear[1:]}
    shapes["earrings"] = _earrings(t, ears)
    shapes["freckles"] = _freckles(rng, t)
    return Figure(t, shapes, back, front, _layers(shapes, back, front))


def _freckles(rng: np.random.Generator, t: Traits) -> tuple[Points, ...]:
    if not t.freckles:
        return ()
    at = rng.normal(0, 1, (70, 2)) * np.array([0.09, 0.025]) + np.array([0, 0.065])
    at = t.pose.place(at, surface(at))
    return tuple(oval(x, y, r, r, count=8) for (x, y), r in zip(at, rng.uniform(0.0012, 0.0028, 70), strict=True))


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
