"""Outlines of the facial features: ears, eyes, nose, mouth, beard and freckles, in picture units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facesynth.prep.portraits.traits import curve, face_depth, oval, points, resampled, stroke

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.prep.portraits.traits import Points, Traits


def outline_ear(t: Traits, side: float) -> tuple[Points, Points] | None:
    """Outline and inner rim of one ear.

    Parameters
    ----------
    t : Traits
        The person.
    side : float
        -1 for the left side of the picture, 1 for the right side.

    Returns
    -------
    pair of (N, 2) float64 arrays, or None
        Outline and rim in picture units; None if the turn of the head hides the ear.
    """
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
    return t.pose.project(curve(outline, 40, closed=True), 0.0), t.pose.project(curve(inner, 24), 0.0)


def outline_eye(t: Traits, side: float) -> dict[str, tuple[Points, ...]]:
    """Outlines of one eye and its brow.

    Parameters
    ----------
    t : Traits
        The person.
    side : float
        -1 for the left side of the picture, 1 for the right side.

    Returns
    -------
    dict of str to tuple of (N, 2) float64 arrays
        Polygons in picture units by name. ``eye`` and ``brow`` are the labelled parts; the others are painted only.
    """
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

    def project(local: Points) -> Points:
        at = (local + centre) * flip
        return t.pose.project(at, face_depth(at) - 0.012)

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
        "eye": (project(np.concatenate([upper, lower[1:]])), project(lash)),
        "ball": (project(np.concatenate([upper, lower[1:]])),),
        "lash": (project(lash),),
        "lid": (project(np.concatenate([upper, (upper - np.array([0, 0.6 * h]))[::-1]])),),
        "lower": (project(stroke(lower, 0.003)),),
        "crease": (project(stroke(crease, 0.0035)),),
        "bag": (project(stroke(bag, 0.004)),),
        "duct": (project(oval(-w * 0.9, 0.3 * h, 0.005, 0.0045, count=10)),),
        "iris": (project(oval(gaze[0] * side, gaze[1], iris_r, iris_r)),),
        "iris_mid": (project(oval(gaze[0] * side, gaze[1], iris_r * 0.86, iris_r * 0.86)),),
        "iris_low": (project(oval(gaze[0] * side, gaze[1] + iris_r * 0.28, iris_r * 0.62, iris_r * 0.5)),),
        "pupil": (project(oval(gaze[0] * side, gaze[1], iris_r * 0.42, iris_r * 0.42)),),
        "brow": (project(brow),),
        "brow_spine": (project(spine),),
        "crow": tuple(
            project(stroke(curve(points((w + 0.014, y0), (w + 0.027, y0 + dy), (w + 0.038, y0 + 2.4 * dy)), 8), 0.003))
            for y0, dy in ((-0.004, -0.004), (0.008, 0.001), (0.018, 0.005))
        ),
    }


def outline_nose(t: Traits) -> dict[str, tuple[Points, ...]]:
    """Outlines of the nose.

    Parameters
    ----------
    t : Traits
        The person.

    Returns
    -------
    dict of str to tuple of (N, 2) float64 arrays
        Polygons in picture units by name: ``nose`` (the labelled part), ``nose_base``, ``wings`` and
        ``nostrils``.
    """
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
    depth = face_depth(control) + rise
    outline = t.pose.project(curve(control, 60, closed=True), resampled(depth, 60))

    def project(local: Points, lift: float) -> Points:
        return t.pose.project(local, face_depth(local) + lift)

    nostrils = tuple(project(oval(s * w * 0.46, y + 0.0025, 0.0105, 0.0048, count=16), 0.03) for s in (-1, 1))
    wings = tuple(
        project(
            stroke(
                curve(points((s * w * 0.92, y - 0.03), (s * w * 1.03, y - 0.012), (s * w * 0.88, y + 0.006)), 10), 0.004
            ),
            0.02,
        )
        for s in (-1, 1)
    )
    base = project(
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
    """Vertical position of the middle of the mouth, in face units."""
    return t.nose_y + 0.077 + 0.004 * t.masculine


def outline_mouth(t: Traits) -> dict[str, tuple[Points, ...]]:
    """Outlines of the mouth.

    Parameters
    ----------
    t : Traits
        The person.

    Returns
    -------
    dict of str to tuple of (N, 2) float64 arrays
        Polygons in picture units by name: lips, lip line, gloss, corners and folds; ``mouth``, ``teeth`` and
        ``tongue`` only if the mouth is open.
    """
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

    def project(*edges: NDArray[np.float64]) -> Points:
        there = np.stack([x * wide, y + edges[0]], 1)
        back = np.stack([x * wide, y + edges[1]], 1)[::-1]
        at = np.concatenate([there, back])
        return t.pose.project(at, face_depth(at) + 0.012)

    shapes: dict[str, tuple[Points, ...]] = {
        "u_lip": (project(outer_top, inner_top),),
        "l_lip": (project(inner_low, outer_low),),
    }
    shapes["lip_line"] = (project(inner_top - 0.0016 * (0.35 + arc), inner_top + 0.0016 * (0.35 + arc)),)
    shapes["lip_gloss"] = (
        project(
            inner_low + full_low * (0.34 * arc**0.6),
            inner_low + full_low * (0.34 * arc**0.6 + 0.22 * np.clip(0.5 - np.abs(x), 0, 1)),
        ),
    )
    if t.gap > 0:
        shapes["mouth"] = (project(inner_top, inner_low),)
        shapes["teeth"] = (project(inner_top, teeth_low),)
        shapes["tongue"] = (
            project(inner_low - 0.32 * (inner_low - inner_top) * np.clip(1 - (x / 0.6) ** 2, 0, 1), inner_low),
        )
    dimple = 0.0035
    corners = []
    for s in (-1.0, 1.0):
        at = points(
            (s * wide * 0.985, y + corner[0] - 0.003),
            (s * (wide + 0.006), y + corner[0] + 0.001),
            (s * (wide + 0.008), y + corner[0] - 0.003),
        )
        corners.append(t.pose.project(stroke(curve(at, 8), dimple), 0.17))
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
        folds.append(t.pose.project(fold, face_depth(fold) + 0.01))
    shapes["folds"] = tuple(folds)
    return shapes


def outline_beard(t: Traits) -> Points:
    """Outline of the region of beard and moustache, including the lips.

    Parameters
    ----------
    t : Traits
        The person.

    Returns
    -------
    (90, 2) float64 array
        In picture units.
    """
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
    return t.pose.project(curve(control, 90, closed=True), resampled(face_depth(control), 90))


def outline_freckles(rng: np.random.Generator, t: Traits) -> tuple[Points, ...]:
    """Outlines of freckles on nose and cheeks.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the random numbers.
    t : Traits
        The person.

    Returns
    -------
    tuple of (8, 2) float64 arrays
        Polygons in picture units; empty for a person without freckles.
    """
    if not t.freckles:
        return ()
    at = rng.normal(0, 1, (70, 2)) * np.array([0.09, 0.025]) + np.array([0, 0.065])
    at = t.pose.project(at, face_depth(at))
    return tuple(oval(x, y, r, r, count=8) for (x, y), r in zip(at, rng.uniform(0.0012, 0.0028, 70), strict=True))
