"""Outlines and strands of the hair: locks, each a sheet of strands between guide curves, composed into styles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facesynth.prep.portraits.traits import LONG_STYLES, curve, oval, points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facesynth.prep.portraits.traits import Points, Traits


@dataclass(frozen=True)
class Lock:
    """A sheet of hair.

    Attributes
    ----------
    outline : (N, 2) float64 array
        Polygon in picture units.
    strands : (n, points, 2) float64 array
        Polylines in picture units.
    tone : (n,) float64 array
        Brightness of each strand, -1 to 1.
    tucked : bool
        The lock lies behind the clothing.
    """

    outline: Points
    strands: NDArray[np.float64]
    tone: NDArray[np.float64]
    tucked: bool = False


def _on_lock(guides: NDArray[np.float64], across: Points, along: Points) -> NDArray[np.float64]:
    """Points at the fractions ``across`` the guides and ``along`` them; the two arrays are broadcast together."""
    k, n = guides.shape[:2]
    across, along = np.broadcast_arrays(np.clip(across, 0, 1) * (k - 1), np.clip(along, 0, 1) * (n - 1))
    i, j = np.minimum(across.astype(int), k - 2), np.minimum(along.astype(int), n - 2)
    u, v = (across - i)[..., None], (along - j)[..., None]
    near = guides[i, j] * (1 - v) + guides[i, j + 1] * v
    far = guides[i + 1, j] * (1 - v) + guides[i + 1, j + 1] * v
    return np.asarray(near * (1 - u) + far * u)


def _lock(
    rng: np.random.Generator,
    t: Traits,
    guides: Sequence[Points],
    *,
    ragged: float = 0.01,
    strands: int = 90,
    curl: float = 0.0,
    bumps: float = 0.0,
    tucked: bool = False,
) -> Lock:
    """A lock between guides in face units, which are smooth and equally long; its tips are cut unevenly."""
    sheet = np.stack(guides)
    along = np.linspace(0, 1, sheet.shape[1])
    wave = t.wave * np.sin(2 * np.pi * (2.6 * along + rng.random())) * np.clip(2.5 * along - 0.4, 0, 1)
    sheet[..., 0] += wave
    across = np.linspace(0, 1, 14)
    tips = _on_lock(sheet, across, np.ones(1))
    fall = sheet[:, -1] - sheet[:, -4]
    fall = fall.mean(0) / (np.linalg.norm(fall.mean(0)) + 1e-9)
    tips = tips + fall * (rng.uniform(-1, 1, (14, 1)) * ragged)
    roots = _on_lock(sheet, across, np.zeros(1))
    outline = np.concatenate([sheet[0], tips[1:-1], sheet[-1][::-1], roots[::-1][1:-1]])
    if bumps:
        outline = _bumpy(rng, outline, bumps)
    n = strands
    t_across = rng.random((n, 1))
    clump = sum(np.sin(2 * np.pi * (f * t_across[:, 0] + rng.random())) for f in (3.0, 7.0, 13.0)) / 3.0
    tone = 0.55 * clump + 0.45 * rng.uniform(-1, 1, n)
    if curl:
        middle = _on_lock(sheet, t_across, rng.random((n, 1)))
        angle = np.linspace(0, 1, 9) * np.pi * 1.4 + rng.uniform(0, 2 * np.pi, (n, 1))
        r = curl * rng.uniform(0.5, 1.0, (n, 1))
        lines = middle + np.stack([r * np.cos(angle), r * np.sin(angle)], -1)
    else:
        ends = np.sort(rng.uniform(-0.15, 1.1, (n, 2)), axis=1)
        positions = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * np.linspace(0, 1, 18)
        lines = _on_lock(sheet, t_across + 0.03 * rng.standard_normal((n, 1)) * positions, positions)
        lines[..., 0] += (
            0.35 * t.wave * np.sin(2 * np.pi * (2.6 * positions + 0.15 * rng.standard_normal((n, 1)) + rng.random()))
        )
    project = t.pose.project
    return Lock(
        outline=project(outline),
        strands=project(lines.reshape(-1, 2)).reshape(lines.shape),
        tone=tone,
        tucked=tucked,
    )


def _bumpy(rng: np.random.Generator, outline: Points, size: float) -> Points:
    """The outline with rounded bumps, for curls."""
    closed = np.concatenate([outline, outline[:1]])
    step = np.linalg.norm(np.diff(closed, axis=0), axis=1)
    length = np.concatenate([[0], np.cumsum(step)])
    at = np.linspace(0, length[-1], 260, endpoint=False)
    dense = np.stack([np.interp(at, length, closed[:, k]) for k in (0, 1)], 1)
    tangent = np.roll(dense, -2, 0) - np.roll(dense, 2, 0)
    normal = np.stack([tangent[:, 1], -tangent[:, 0]], 1) / (np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9)
    count = max(int(length[-1] / (size * 4.0)), 8)
    knots = np.cumsum(rng.uniform(0.6, 1.4, count))
    phase = np.interp(at / length[-1], np.concatenate([[0], knots / knots[-1]]), np.arange(count + 1))
    tall = rng.uniform(0.5, 1.25, count + 1)[phase.astype(int)]
    bump = (np.abs(np.sin(np.pi * phase)) - 0.5) * tall
    return np.asarray(dense + normal * (bump * size)[:, None])


def _cap(
    rng: np.random.Generator, t: Traits, below: tuple[Points, Points], *, strands: int, ragged: float
) -> list[Lock]:
    """Two sheets from the parting down either side; ``below`` holds the inner and the outer path below the temple."""
    v, w, top = t.hair_volume, t.face_width, -0.355
    hy, p = t.hairline, t.part_x
    locks = []
    for s in (-1.0, 1.0):
        long_way = np.sign(p) != s
        drop = t.sweep if long_way else 0.25 * t.sweep
        q = p * s  # the parting as seen from this side
        inner = [
            (q, hy - 0.012),
            (0.5 * (q + 0.19), hy + 0.012 + drop),
            (0.197, -0.13 + 0.5 * drop),
            (w * 0.935, -0.06),
        ]
        outer = [
            (q * 0.7, top - v),
            (0.14, top + 0.03 - v),
            (0.24 + 0.7 * v, -0.21 - 0.3 * v),
            (w + 0.012 + v, -0.08),
        ]
        paths = []
        for path, rest in ((inner, below[0]), (outer, below[1])):
            paths.append(curve(np.concatenate([points(*path), rest]), 30) * np.array([s, 1.0]))
        middle = 0.5 * (paths[0] + paths[1])
        tucked = not t.hair_in_front[int(s > 0)]
        locks.append(_lock(rng, t, (paths[0], middle, paths[1]), strands=strands, ragged=ragged, tucked=tucked))
    return locks


def _fringe(rng: np.random.Generator, t: Traits) -> Lock:
    v = t.hair_volume
    low = -0.088 - 0.3 * t.brow_arch
    guides = [
        curve(
            points((0.13 * x, -0.33 - 0.6 * v + 0.05 * x**2), (0.2 * x, -0.22), (0.23 * x, low + 0.055 * abs(x) ** 3)),
            16,
        )
        for x in np.linspace(-1, 1, 7)
    ]
    return _lock(rng, replace(t, wave=0.0), guides, strands=120, ragged=0.012)


def _swept_back(
    rng: np.random.Generator, t: Traits, *, curl: float, volume: float, bumps: float = 0.0, low: float = -0.01
) -> Lock:
    """One sheet over the head: roots at the hairline, tips at the silhouette."""
    w, hy = t.face_width, t.hairline
    root = curve(
        points(
            (-w * 0.975, low + 0.03),
            (-w * 0.94, -0.07),
            (-0.192, -0.14),
            (-0.1, hy + 0.008),
            (0, hy),
            (0.1, hy + 0.008),
            (0.192, -0.14),
            (w * 0.94, -0.07),
            (w * 0.975, low + 0.03),
        ),
        41,
    )
    r = volume
    tip = curve(
        points(
            (-w - 0.012 - 0.4 * r, low),
            (-w - 0.018 - r, -0.1),
            (-0.235 - 0.8 * r, -0.22 - 0.3 * r),
            (-0.14 - 0.3 * r, -0.325 - 0.9 * r),
            (0, -0.35 - r),
            (0.14 + 0.3 * r, -0.325 - 0.9 * r),
            (0.235 + 0.8 * r, -0.22 - 0.3 * r),
            (w + 0.018 + r, -0.1),
            (w + 0.012 + 0.4 * r, low),
        ),
        41,
    )
    share = np.linspace(0, 1, 12)[:, None]
    guides = [
        root[i] * (1 - share) + tip[i] * share + np.array([0, -0.02 * (1 - abs(i - 20) / 20)]) * np.sin(np.pi * share)
        for i in range(41)
    ]
    return _lock(rng, t, guides, strands=600 if curl else 190, ragged=0.0, curl=curl, bumps=bumps)


def style_hair(rng: np.random.Generator, t: Traits) -> tuple[tuple[Lock, ...], tuple[Lock, ...]]:
    """The locks of a person's hair style.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the random numbers.
    t : Traits
        The person.

    Returns
    -------
    back, front : tuple of Lock
        Locks behind the head, and in front of it.
    """
    style, v, w, end = t.hair_style, t.hair_volume, t.face_width, t.hair_length
    back: list[Lock] = []
    front: list[Lock] = []
    if style in ("short", "swept"):
        below = points((w * 0.965, 0.0), (w * 0.985, 0.035)), points((w + 0.014 + 0.4 * v, -0.03), (w + 0.006, 0.035))
        front += _cap(rng, t, below, strands=150, ragged=0.004)
    elif style == "buzz":
        front.append(_swept_back(rng, t, curl=0.004, volume=0.004, low=0.0))
    elif style == "receding":
        for s in (-1.0, 1.0):
            inner = curve(
                points((0.203, -0.205), (0.2, -0.16), (w * 0.93, -0.09), (w * 0.965, 0.0), (w * 0.985, 0.04)), 20
            )
            outer = curve(
                points((0.212, -0.225), (0.235, -0.19), (w + 0.018, -0.1), (w + 0.018, -0.02), (w + 0.004, 0.04)), 20
            )
            front.append(
                _lock(rng, t, [path * np.array([s, 1.0]) for path in (inner, outer)], strands=70, ragged=0.004)
            )
    elif style in ("bun", "ponytail"):
        front.append(_swept_back(rng, t, curl=0.0, volume=0.012 + 0.3 * v))
        if style == "bun":
            turn = np.linspace(0, 2 * np.pi, 18)
            y0, r = -0.385 - 0.3 * v, 0.075 + 0.4 * v
            share = np.linspace(0.0, 1, 12)[:, None]
            rim = np.stack([r * 1.15 * np.cos(turn), y0 + r * 0.85 * np.sin(turn)], 1)
            twist = np.stack([-np.sin(turn + 0.9), np.cos(turn + 0.9)], 1) * 0.4 * r
            core = np.array([0.0, y0 + 0.1 * r])
            guides = [core * (1 - share) + rim[i] * share + twist[i] * np.sin(np.pi * share) for i in range(18)]
            back.append(_lock(rng, t, guides, strands=150, ragged=0.0))
        else:
            s = float(np.sign(t.part_x))
            inner = curve(points((0.1, -0.27), (0.24, -0.18), (0.262, 0.02), (0.235, 0.2), (0.25, 0.2 + 0.5 * end)), 24)
            outer = curve(
                points((0.12, -0.32), (0.31, -0.26), (0.365, -0.02), (0.34, 0.18), (0.27, 0.2 + 0.5 * end)), 24
            )
            back.append(_lock(rng, t, [path * np.array([s, 1.0]) for path in (inner, outer)], strands=130, ragged=0.02))
    elif style == "afro":
        r = 0.05 + 1.1 * v
        front.append(_swept_back(rng, t, curl=0.013, volume=r, bumps=0.010, low=0.03))
        ball = oval(0, -0.10, w + 0.022 + 1.1 * r, 0.255 + r, count=60)
        share = np.linspace(0, 1, 8)[:, None]
        centre = np.array([0.0, -0.1])
        guides = [centre * (1 - share) + rim * share for rim in np.concatenate([ball, ball[:1]])]
        back.append(_lock(rng, t, guides, strands=260, ragged=0.0, curl=0.013, bumps=0.012))
    elif style in LONG_STYLES:
        flare = {"bob": 0.02, "long": 0.0, "wavy": 0.025, "curly": 0.045}[style] + v
        far = min(end, 0.34) if style == "bob" else end
        tuck = 0.03 if style == "bob" else 0.0
        curl, bumps = (0.014, 0.014) if style == "curly" else (0.0, 0.0)
        count = 500 if curl else 200
        ys = np.linspace(0.06, far, 4)
        inner_rest = np.stack([np.interp(ys, [0.0, 0.12, 0.3, 0.8], [w * 0.945, w * 0.915, 0.185 - tuck, 0.15]), ys], 1)
        outer_rest = np.stack(
            [
                np.interp(
                    ys,
                    [0.0, 0.15, 0.33, 0.8],
                    [w + 0.03 + flare, w + 0.037 + 1.2 * flare, w + 0.03 + flare - tuck, 0.25 + flare],
                ),
                ys,
            ],
            1,
        )
        shelf = (
            np.concatenate([points((w * 0.945, 0.0)), inner_rest]),
            np.concatenate([points((w + 0.025 + flare, 0.0)), outer_rest]),
        )
        outer = curve(np.concatenate([points((0.0, -0.3), (0.2, -0.25)), shelf[1] - np.array([0.012, 0.0])]), 30)
        guides = [outer * np.array([x, 1.0]) for x in np.linspace(-1, 1, 7)]
        back.append(_lock(rng, t, guides, strands=count, ragged=0.02, curl=curl, bumps=bumps))
        if curl:
            front.append(_swept_back(rng, t, curl=curl, volume=0.03 + flare * 0.8, bumps=0.012, low=0.03))
            for s in (-1.0, 1.0):
                paths = [
                    curve(np.concatenate([points((x, -0.07)), rest]), 24)
                    for x, rest in zip((w * 0.93, w + 0.03 + flare), shelf, strict=True)
                ]
                front.append(
                    _lock(
                        rng,
                        t,
                        [path * np.array([s, 1.0]) for path in paths],
                        strands=260,
                        ragged=0.015,
                        curl=curl,
                        bumps=bumps,
                        tucked=not t.hair_in_front[int(s > 0)],
                    )
                )
        else:
            front += _cap(rng, t, shelf, strands=count, ragged=0.02)
    if t.fringe and not t.hat and style in ("bob", "long", "wavy", "short", "bun", "ponytail"):
        front.append(_fringe(rng, t))
    return tuple(back), tuple(front)
