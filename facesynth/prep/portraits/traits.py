"""The traits of a random person (pose, head, age, hair style, accessories), and the curves that outlines are made of.

Two coordinate systems are used. Face units: the eye line is y = 0, the middle of the face is x = 0, y points down, and the
face is about 0.49 wide and 0.70 high. Picture units: the picture is the unit square. A :class:`Pose` converts between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

Points = NDArray[np.float64]
"""An (N, 2) float64 array of x and y."""

LONG_STYLES = ("bob", "long", "wavy", "curly")


@dataclass(frozen=True)
class Pose:
    """Position of the head in the picture: converts face units into picture units.

    Attributes
    ----------
    yaw, pitch, tilt : float
        Rotation of the head, radians.
    scale : float
        Picture units per face unit.
    centre : (float, float)
        Picture units of the origin of the face units.
    """

    yaw: float
    pitch: float
    tilt: float
    scale: float
    centre: tuple[float, float]

    def rotate(self, points: Points, depth: float | Points) -> Points:
        """Apply yaw and pitch; the result is upright and unscaled.

        Parameters
        ----------
        points : (N, 2) float64 array
            Face units.
        depth : float or (N,) float64 array
            Distance in front of the middle of the head, face units.

        Returns
        -------
        (N, 2) float64 array
            Face units of the rotated head.
        """
        x = points[:, 0] * np.cos(self.yaw) + depth * np.sin(self.yaw)
        return np.stack([x, points[:, 1] + np.asarray(depth) * np.sin(self.pitch)], 1)

    def project(self, points: Points, depth: float | Points = 0.0) -> Points:
        """Convert points on the head into picture units.

        Parameters
        ----------
        points : (N, 2) float64 array
            Face units.
        depth : float or (N,) float64 array
            Distance in front of the middle of the head, face units.

        Returns
        -------
        (N, 2) float64 array
            Picture units.
        """
        x, y = self.rotate(points, depth).T
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        turned = np.stack([x * cos - y * sin, x * sin + y * cos], 1)
        return np.asarray(turned * self.scale + np.array(self.centre))

    def project_body(self, points: Points) -> Points:
        """Convert points on the body, which neither turns nor tilts, into picture units.

        Parameters
        ----------
        points : (N, 2) float64 array
            Face units.

        Returns
        -------
        (N, 2) float64 array
            Picture units.
        """
        return np.asarray(points * self.scale + np.array(self.centre))

    def unproject(self, points: Points) -> Points:
        """The inverse of :meth:`project` except for yaw and pitch.

        Parameters
        ----------
        points : (N, 2) float64 array
            Picture units.

        Returns
        -------
        (N, 2) float64 array
            Face units of the rotated head, as :meth:`rotate` returns them.
        """
        x, y = ((points - np.array(self.centre)) / self.scale).T
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        return np.stack([x * cos + y * sin, y * cos - x * sin], 1)


@dataclass(frozen=True)
class Traits:
    """The random traits of one person. Lengths are in face units, shares in 0..1."""

    pose: Pose
    light: tuple[float, float, float]
    masculine: float
    age: float
    tone: float
    undertone: float
    blush: float
    freckles: bool
    beard: float
    makeup: float
    face_width: float
    jaw_width: float
    chin_width: float
    chin_y: float
    eye_x: float
    eye_width: float
    eye_open: float
    eye_slant: float
    eye_colour: int
    gaze: float
    brow_thick: float
    brow_arch: float
    brow_lift: float
    nose_width: float
    nose_y: float
    mouth_width: float
    lip_fullness: float
    smile: float
    gap: float
    neck_width: float
    hair_style: str
    hair_colour: int
    grey: float
    hair_volume: float
    hairline: float
    part_x: float
    sweep: float
    fringe: bool
    hair_in_front: tuple[bool, bool]
    hair_length: float
    wave: float
    glasses: str
    glasses_tint: float
    hat: str
    earring: str
    necklace: str
    neckline: str
    background: str


def points(*pairs: tuple[float, float]) -> Points:
    """An array of points.

    Parameters
    ----------
    *pairs : (float, float)
        x and y of each point.

    Returns
    -------
    (N, 2) float64 array
    """
    return np.array(pairs, np.float64)


def curve(control: Points, count: int = 24, *, closed: bool = False) -> Points:
    """A smooth Catmull-Rom curve through control points.

    Parameters
    ----------
    control : (n, 2) float64 array
        At least two points, for a closed curve at least three.
    count : int
        Number of points of the curve.
    closed : bool
        The curve returns to the first control point.

    Returns
    -------
    (count, 2) float64 array

    Examples
    --------
    >>> curve(points((0, 0), (1, 2)), 3).tolist()
    [[0.0, 0.0], [0.5, 1.0], [1.0, 2.0]]
    """
    return np.asarray(_catmull_rom(len(control), count, closed) @ control)


@lru_cache(maxsize=128)
def _catmull_rom(n: int, count: int, closed: bool) -> NDArray[np.float64]:
    """Weights, (count, n), of ``n`` control points in the points of a curve."""
    control = np.eye(n)
    if closed:
        padded = np.concatenate([control[-1:], control, control[:2]])
        position = np.linspace(0, n, count, endpoint=False)
    else:
        padded = np.concatenate([2 * control[:1] - control[1:2], control, 2 * control[-1:] - control[-2:-1]])
        position = np.linspace(0, n - 1, count)
    i = np.minimum(position.astype(int), n - 1 if closed else n - 2)
    u = (position - i)[:, None]
    before, start, end, after = (padded[i + k] for k in range(4))
    bend = 2 * before - 5 * start + 4 * end - after
    weights = 0.5 * (2 * start + (end - before) * u + bend * u**2 + (3 * (start - end) + after - before) * u**3)
    weights.flags.writeable = False
    return np.asarray(weights)


def oval(x: float, y: float, rx: float, ry: float, *, power: float = 2.0, count: int = 28) -> Points:
    """An ellipse, or with a power above 2 a rounded box.

    Parameters
    ----------
    x, y : float
        Centre.
    rx, ry : float
        Half axes.
    power : float
        Exponent of the superellipse.
    count : int
        Number of points.

    Returns
    -------
    (count, 2) float64 array
    """
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    round_ = 2 / power
    return np.stack([x + rx * np.sign(c) * np.abs(c) ** round_, y + ry * np.sign(s) * np.abs(s) ** round_], 1)


def stroke(path: Points, width: float, *, taper: tuple[float, float] = (0.15, 0.15)) -> Points:
    """The outline of a brush stroke along a path.

    Parameters
    ----------
    path : (N, 2) float64 array
    width : float
        Largest width, in the unit of the path.
    taper : (float, float)
        Fraction of the width that is left at the start and at the end.

    Returns
    -------
    (2 * N, 2) float64 array
    """
    step = np.gradient(path, axis=0)
    normal = np.stack([-step[:, 1], step[:, 0]], 1) / (np.linalg.norm(step, axis=1, keepdims=True) + 1e-9)
    s = np.linspace(0, 1, len(path))
    ends = taper[0] * (1 - s) + taper[1] * s
    half = 0.5 * width * (ends + (1 - ends) * np.sin(np.pi * s) ** 0.7)
    return np.concatenate([path + normal * half[:, None], (path - normal * half[:, None])[::-1]])


def ring(outer: Points, inner: Points) -> Points:
    """The band between two closed outlines, as one polygon with a seam.

    Parameters
    ----------
    outer, inner : (N, 2) and (M, 2) float64 arrays

    Returns
    -------
    (N + M + 2, 2) float64 array
    """
    return np.concatenate([outer, outer[:1], inner[:1], inner[::-1]])


def face_depth(at: Points) -> Points:
    """Distance of the face's surface in front of the middle of the head.

    Parameters
    ----------
    at : (N, 2) float64 array
        Points of the face, face units.

    Returns
    -------
    (N,) float64 array
        Face units.
    """
    return 0.19 * np.sqrt(np.clip(1 - (at[:, 0] / 0.28) ** 2 - (at[:, 1] / 0.6) ** 2, 0.04, 1))


def _pick(rng: np.random.Generator, choices: Mapping[str, float]) -> str:
    share = np.array(list(choices.values()))
    return list(choices)[int(rng.choice(len(share), p=share / share.sum()))]


def _clipped_normal(rng: np.random.Generator, middle: float, spread: float) -> float:
    """A normally distributed value, clipped to two standard deviations."""
    return middle + spread * float(np.clip(rng.standard_normal(), -2, 2))


def _draw_style(rng: np.random.Generator, masculine: bool, age: float, hat: str) -> str:
    if masculine:
        old = max(age - 0.35, 0.0)
        shares = {"short": 3.2, "swept": 3.2, "buzz": 1.3, "curly": 0.5, "afro": 0.6, "long": 0.4, "wavy": 0.4}
        shares |= {"receding": 0.2 + 3 * old, "bald": 0.3 + 1.2 * old}
    else:
        shares = {"bob": 2.0, "long": 2.2, "wavy": 2.4, "curly": 1.0, "bun": 1.2, "ponytail": 1.2}
        shares |= {"short": 0.4, "swept": 0.7, "afro": 0.8}
    if hat:
        shares = {name: share for name, share in shares.items() if name not in ("afro", "bun", "bald", "receding")}
    return _pick(rng, shares)


def draw_traits(rng: np.random.Generator) -> Traits:
    """Draw the traits of one person at random.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the random numbers.
    """
    masculine = bool(rng.random() < 0.46)
    m = float(np.clip(_clipped_normal(rng, 0.8 if masculine else 0.15, 0.13), 0, 1))
    age = float(rng.beta(1.5, 1.9))
    hat = _pick(rng, {"beanie": 1.0, "brim": 1.1, "cap": 1.0}) if rng.random() < 0.11 else ""
    style = _draw_style(rng, masculine, age, hat)
    long_hair = style in LONG_STYLES
    tone = float(rng.random())
    grey = float(np.clip((age - 0.55) * 2.6 + 0.3 * rng.standard_normal(), 0, 1)) if age > 0.5 else 0.0
    dyed = rng.random() < 0.07
    if dyed:
        hair_colour, grey = int(rng.integers(9, 13)), 0.0
    else:
        light_share = np.clip(1.05 - 2.0 * tone, 0.01, 1) * np.array([0, 0, 0.6, 1, 1, 1, 1, 0.8, 0.7])
        weight = light_share + np.array([1.6, 1.4, 1 - 0.6 * tone, 0.6 - 0.55 * tone, 0.2 - 0.2 * tone, 0, 0, 0, 0])
        hair_colour = int(rng.choice(9, p=weight / weight.sum()))
    expression = _pick(rng, {"calm": 3.0, "smile": 3.0, "grin": 2.6, "open": 1.1})
    smile = {
        "calm": _clipped_normal(rng, 0.3, 0.11),
        "smile": _clipped_normal(rng, 0.65, 0.15),
        "grin": _clipped_normal(rng, 0.95, 0.12),
    }
    gap = {"grin": _clipped_normal(rng, 0.026, 0.005), "open": _clipped_normal(rng, 0.036, 0.008)}.get(expression, 0.0)
    pose = Pose(
        yaw=_clipped_normal(rng, 0, 0.15),
        pitch=_clipped_normal(rng, 0, 0.05),
        tilt=np.deg2rad(_clipped_normal(rng, 0, 4.5)),
        scale=_clipped_normal(rng, 0.99, 0.03),
        centre=(_clipped_normal(rng, 0.5, 0.012), _clipped_normal(rng, 0.445, 0.011)),
    )
    side = -1.0 if rng.random() < 0.5 else 1.0
    light = np.array([side * rng.uniform(0.2, 0.75), -rng.uniform(0.3, 0.65), 0.85])
    light /= np.linalg.norm(light)
    beard = 0.0
    if masculine and rng.random() < 0.6:
        beard = float(rng.choice([rng.uniform(0.2, 0.45), rng.uniform(0.75, 1.0)]))
    glasses = _pick(rng, {"round": 1, "box": 1.2, "cat": 0.6, "wire": 0.8}) if rng.random() < 0.13 else ""
    covered = style in LONG_STYLES
    earring = ""
    if rng.random() < (0.06 if masculine else 0.5) and not covered:
        earring = _pick(rng, {"stud": 1, "hoop": 1.2, "drop": 1.2})
    elif rng.random() < (0.0 if masculine else 0.28) and covered:
        earring = _pick(rng, {"drop": 1, "hoop": 1})
    necklace = _pick(rng, {"chain": 1, "pendant": 1.2, "beads": 1}) if rng.random() < (0.07 if m > 0.5 else 0.2) else ""
    necklines = {"crew": 2.0, "vee": 1.6, "scoop": 0.8 if m > 0.5 else 2, "shirt": 2.2 if m > 0.5 else 1.0}
    necklines |= {"turtle": 0.5, "jacket": 1.3}
    if necklace:
        necklines = {"vee": 1.2, "scoop": 2.0}
    return Traits(
        pose=pose,
        light=(float(light[0]), float(light[1]), float(light[2])),
        masculine=m,
        age=age,
        tone=tone,
        undertone=float(rng.uniform(-1, 1)),
        blush=float(rng.uniform(0.1, 0.9)) * (1.1 - 0.5 * m),
        freckles=bool(rng.random() < 0.14 and tone < 0.6),
        beard=beard,
        makeup=0.0 if masculine else float(rng.uniform(0, 1)),
        face_width=_clipped_normal(rng, 0.237 + 0.008 * m, 0.006),
        jaw_width=_clipped_normal(rng, 0.174 + 0.032 * m, 0.008),
        chin_width=_clipped_normal(rng, 0.080 + 0.036 * m, 0.009),
        chin_y=_clipped_normal(rng, 0.336 + 0.022 * m, 0.010),
        eye_x=_clipped_normal(rng, 0.106, 0.003),
        eye_width=_clipped_normal(rng, 0.057 - 0.004 * m, 0.002),
        eye_open=_clipped_normal(rng, 0.0275 - 0.005 * m - 0.002 * age, 0.002),
        eye_slant=_clipped_normal(rng, 0.005, 0.0035),
        eye_colour=int(rng.choice(6, p=[0.5, 0.3, 0.2, 0, 0, 0] if tone > 0.5 else [0.2, 0.2, 0.16, 0.14, 0.2, 0.1])),
        gaze=_clipped_normal(rng, 0, 0.0035),
        brow_thick=_clipped_normal(rng, 0.0165 + 0.009 * m, 0.003),
        brow_arch=_clipped_normal(rng, 0.016 - 0.008 * m, 0.003),
        brow_lift=_clipped_normal(rng, 0.058 - 0.009 * m, 0.004),
        nose_width=_clipped_normal(rng, 0.047 + 0.005 * m + 0.008 * tone, 0.003),
        nose_y=_clipped_normal(rng, 0.135 + 0.006 * m, 0.005),
        mouth_width=_clipped_normal(rng, 0.076 + 0.004 * m, 0.004),
        lip_fullness=_clipped_normal(rng, 1.22 - 0.27 * m + 0.25 * tone - 0.2 * age, 0.1),
        smile=float(np.clip(smile.get(expression, 0.2), -0.1, 1.1)),
        gap=gap,
        neck_width=_clipped_normal(rng, 0.118 + 0.033 * m, 0.005),
        hair_style=style,
        hair_colour=hair_colour,
        grey=grey,
        hair_volume=float(rng.uniform(0.015, 0.055)) * (0.35 if hat else 1.0),
        hairline=_clipped_normal(rng, -0.205 - 0.02 * m * age, 0.008),
        part_x=float(rng.choice([-1, 1]) * rng.uniform(0.0, 0.1)),
        sweep=float(rng.uniform(0, 0.055)),
        fringe=bool(rng.random() < (0.08 if masculine else 0.3)),
        hair_in_front=(bool(rng.random() < 0.6), bool(rng.random() < 0.6)),
        hair_length=float(rng.uniform(0.5, 0.8) if long_hair and style != "bob" else rng.uniform(0.27, 0.37)),
        wave=float(rng.uniform(0.010, 0.020)) if style == "wavy" else float(rng.uniform(0, 0.003)),
        glasses=glasses,
        glasses_tint=float(rng.choice([0.05, 0.08, rng.uniform(0.25, 0.5)])),
        hat=hat,
        earring=earring,
        necklace=necklace,
        neckline=_pick(rng, necklines),
        background=_pick(rng, {"plain": 1.0, "graded": 1.5, "blobs": 2.0}),
    )


def resampled(values: Points, count: int) -> Points:
    """Values at the control points of a closed curve, interpolated at the points of the curve.

    Parameters
    ----------
    values : (n,) float64 array
        One value per control point.
    count : int
        Number of points of the curve.

    Returns
    -------
    (count,) float64 array
    """
    n = len(values)
    at = np.linspace(0, n, count, endpoint=False)
    return np.asarray(np.interp(at, np.arange(n + 1), np.append(values, values[0])))
