"""Outlines of clothes, hat, glasses, necklace and earrings, in picture units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facesynth.prep.portraits.traits import curve, oval, points, ring, stroke

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facesynth.prep.portraits.traits import Points, Traits


def outline_cloth(t: Traits) -> tuple[Points, tuple[Points, ...]]:
    """Outlines of the clothing.

    Parameters
    ----------
    t : Traits
        The person.

    Returns
    -------
    outline : (N, 2) float64 array
        The garment, in picture units.
    pieces : tuple of (N, 2) float64 arrays
        Collar or lapels on top of it; empty for a plain neckline.
    """
    w, project_body = t.neck_width, t.pose.project_body
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
        pieces = (project_body(flap), project_body(flap * np.array([-1, 1])))
    elif t.neckline in ("crew", "scoop", "vee"):
        pieces = (stroke(project_body(dipping), 0.018, taper=(1, 1)),)
    elif t.neckline == "turtle":
        pieces = (
            project_body(
                curve(
                    points((-x, top), (0, dip + 0.02), (x, top), (x + 0.01, 0.46), (0, 0.51), (-x - 0.01, 0.46)),
                    40,
                    closed=True,
                )
            ),
        )
    return project_body(outline), pieces


def outline_necklace(t: Traits) -> tuple[Points, ...]:
    """Outlines of the beads, or of the chain and its pendant.

    Parameters
    ----------
    t : Traits
        The person.

    Returns
    -------
    tuple of (N, 2) float64 arrays
        Polygons in picture units; empty without a necklace.
    """
    if not t.necklace:
        return ()
    w = t.neck_width
    deep = {"chain": 0.49, "pendant": 0.5, "beads": 0.475}[t.necklace]
    path = t.pose.project_body(
        curve(points((-w - 0.02, 0.395), (-0.75 * w, 0.45), (0, deep), (0.75 * w, 0.45), (w + 0.02, 0.395)), 40)
    )
    if t.necklace == "beads":
        return tuple(oval(x, y, 0.0115, 0.0115, count=14) for x, y in path[::2])
    chain = stroke(path, 0.007, taper=(1, 1))
    if t.necklace == "chain":
        return (stroke(path, 0.01, taper=(1, 1)),)
    x, y = t.pose.project_body(points((0, deep + 0.014)))[0]
    return (chain, oval(float(x), float(y), 0.014, 0.018, power=1.6))


def outline_glasses(t: Traits) -> dict[str, tuple[Points, ...]]:
    """Outlines of the glasses.

    Parameters
    ----------
    t : Traits
        The person.

    Returns
    -------
    dict of str to tuple of (N, 2) float64 arrays
        Polygons in picture units by name: ``lenses`` and ``frames``; empty without glasses.
    """
    if not t.glasses:
        return {}
    rx, ry, power, thick = {
        "round": (0.067, 0.062, 2.0, 0.009), "box": (0.077, 0.052, 4.0, 0.011), "cat": (0.077, 0.053, 2.7, 0.011),
        "wire": (0.071, 0.054, 2.5, 0.006),
    }[t.glasses]  # fmt: skip
    lenses, frames = [], []

    def project(local: Points) -> Points:
        return t.pose.project(local, 0.19 - 0.25 * np.abs(local[:, 0]))

    for s in (-1.0, 1.0):
        outer = oval(0, 0, rx, ry, power=power, count=48)
        if t.glasses == "cat":
            outer[:, 1] -= np.clip(outer[:, 0], 0, None) * np.clip(-outer[:, 1] / ry, 0, 1) * 0.3
        inner = outer * (1 - thick / np.array([rx, ry]))
        move, flip = np.array([t.eye_x + 0.003, 0.007]), np.array([s, 1.0])
        lenses.append(project((inner + move) * flip))
        frames.append(ring(project((outer + move) * flip), project((inner + move) * flip)))
        arm = points((t.eye_x + rx, -0.016), (t.face_width * 0.96, -0.012), (t.face_width + 0.012, -0.006)) * flip
        depth = np.array([0.19 - 0.25 * (t.eye_x + rx), 0.05, 0.0])
        frames.append(stroke(t.pose.project(arm, depth), thick * 0.9, taper=(1, 1)))
    inner_x = t.eye_x + 0.003 - rx + thick * 0.4
    bridge = curve(points((-inner_x, -0.004), (0, -0.014), (inner_x, -0.004)), 12)
    frames.append(stroke(t.pose.project(bridge, 0.2), thick, taper=(1, 1)))
    return {"lenses": tuple(lenses), "frames": tuple(frames)}


def outline_hat(t: Traits) -> dict[str, tuple[Points, ...]]:
    """Outlines of the hat.

    Parameters
    ----------
    t : Traits
        The person.

    Returns
    -------
    dict of str to tuple of (N, 2) float64 arrays
        Polygons in picture units by name: ``hat`` holds all of them, ``hat_body`` and ``hat_band`` (band, brim or
        peak) one each, ``hat_ribbon`` only that of a hat with a brim. Empty without a hat.
    """
    if not t.hat:
        return {}
    w, v = t.face_width + 0.026 + 0.5 * t.hair_volume, t.hair_volume
    project = t.pose.project
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
    dome_shape, band_shape = project(curve(dome, 80, closed=True)), project(curve(band, 80, closed=True), depth)
    shapes = {"hat": (dome_shape, band_shape), "hat_body": (dome_shape,), "hat_band": (band_shape,)}
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
        shapes["hat_ribbon"] = (project(curve(ribbon, 60, closed=True)),)
    return shapes


def outline_earrings(t: Traits, ears: Sequence[float]) -> tuple[Points, ...]:
    """Outlines of the earrings.

    Parameters
    ----------
    t : Traits
        The person.
    ears : sequence of float
        The sides on which an ear is visible: -1 left, 1 right in the picture.

    Returns
    -------
    tuple of (N, 2) float64 arrays
        Polygons in picture units; empty without earrings.
    """
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
        pieces += [t.pose.project(p * np.array([s, 1.0]), 0.0) for p in local]
    return tuple(pieces)
