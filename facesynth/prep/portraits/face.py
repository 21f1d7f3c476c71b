"""Painting the face: relief and lighting of the skin, then marks, nose, beard, mouth, eyes and brows."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from facesynth.prep.portraits.features import mouth_line
from facesynth.prep.portraits.palette import Palette
from facesynth.prep.portraits.raster import (
    GRID,
    Field,
    colour_ramp,
    fill_polygons,
    grid_points,
    lighting,
    soft_union,
    tinted,
)
from facesynth.prep.portraits.traits import face_depth

if TYPE_CHECKING:
    from facesynth.prep.portraits.shapes import Figure
    from facesynth.prep.portraits.traits import Points, Traits


def _relief(t: Traits, face: Points) -> tuple[Field, Field]:
    """Height of the face on the shading grid, and how far each grid point lies in a shadowed hollow."""
    pose = t.pose
    grid = pose.unproject(grid_points())
    x, y = (grid[:, k].reshape(GRID, GRID).astype(np.float32) for k in (0, 1))

    def bump(px: float, py: float, sx: float, sy: float, *, lift: float = 0.0) -> Field:
        local = np.array([[px, py]])
        cx, cy = pose.rotate(local, face_depth(local) + lift)[0]
        return cast("Field", np.exp(-0.5 * (((x - np.float32(cx)) / sx) ** 2 + ((y - np.float32(cy)) / sy) ** 2)))

    def pair(px: float, py: float, sx: float, sy: float, *, lift: float = 0.0) -> Field:
        return bump(px, py, sx, sy, lift=lift) + bump(-px, py, sx, sy, lift=lift)

    rim = pose.unproject(face)
    middle = np.array([pose.rotate(np.zeros((1, 2)), 0.06)[0, 0], 0.0])
    polar = np.arctan2(rim[:, 1] - middle[1], rim[:, 0] - middle[0])
    order = np.argsort(polar)
    reach = np.hypot(*(rim - middle).T)[order]
    angle = np.arctan2(y - middle[1], x - middle[0])
    share = np.hypot(x - middle[0], y - middle[1]) / np.interp(angle, polar[order], reach, period=2 * np.pi)
    height = 0.20 * np.clip(1 - np.minimum(share, 0.995) ** 2.3, 0, 1) ** 0.62

    my, ny, nw = mouth_line(t), t.nose_y, t.nose_width
    ys = np.linspace(-0.05, ny + 0.05, 40)
    spine = pose.rotate(np.stack([0 * ys, ys], 1), 0.19 + np.interp(ys, [-0.05, ny], [0.0, 0.045]))
    along = np.interp(y, spine[:, 1], ys)
    centre = np.interp(y, spine[:, 1], spine[:, 0])
    lift = np.interp(along, [-0.05, -0.01, ny - 0.02, ny + 0.004, ny + 0.022], [0, 0.014, 0.042, 0.034, 0])
    wide = np.interp(along, [-0.05, 0.02, ny], [0.022, 0.0195, 0.026])
    height += lift * np.exp(-0.5 * ((x - centre) / wide) ** 2)
    height += 0.014 * bump(0, ny - 0.018, 0.02, 0.018, lift=0.045)
    height += 0.017 * pair(nw * 0.72, ny - 0.012, 0.014, 0.013, lift=0.025)
    height -= 0.022 * pair(t.eye_x - 0.006, -0.006, 0.046, 0.028)
    height += 0.013 * pair(t.eye_x, 0.0, 0.03, 0.02)
    height += (0.007 + 0.006 * t.masculine) * pair(0.085, -t.brow_lift - 0.006, 0.055, 0.016)
    height += (0.013 + 0.008 * max(t.smile, 0)) * pair(0.135, 0.075 - 0.01 * t.smile, 0.05, 0.042)
    height += 0.012 * bump(0, my - 0.005, 0.075, 0.05)
    height += 0.007 * bump(0, my - 0.014, 0.05, 0.009) + 0.010 * bump(0, my + 0.016 + 0.7 * t.gap, 0.038, 0.011)
    height -= 0.008 * bump(0, my + 0.047 + 0.6 * t.gap, 0.04, 0.012)
    height += 0.016 * bump(0, t.chin_y - 0.038, 0.045, 0.028)
    height -= 0.003 * bump(0, 0.5 * (ny + my) + 0.002, 0.008, 0.016)
    hollow = 0.5 * pair(t.eye_x - 0.03, -0.02, 0.032, 0.02) + 0.25 * pair(t.eye_x, 0.028, 0.035, 0.008)
    hollow += 0.55 * bump(0, ny + 0.026, 0.036, 0.011, lift=0.03) + 0.35 * bump(
        0, my + 0.046 + 0.6 * t.gap, 0.04, 0.011
    )
    hollow += 0.3 * pair(nw + 0.012, ny - 0.005, 0.011, 0.014, lift=0.02)
    return height.astype(np.float32), hollow.astype(np.float32)


def face_base(figure: Figure, colours: Palette) -> Field:
    """Colour of the bare face on the shading grid.

    Parameters
    ----------
    figure : Figure
        The outlines.
    colours : Palette
        The person's colours.

    Returns
    -------
    (GRID, GRID, 3) float32 array
        RGB, about 0 to 1.
    """
    t, shapes = figure.traits, figure.shapes
    height, hollow = _relief(t, shapes["face"][0])
    half = np.array(t.light) + np.array([0, 0, 1])  # between light and viewer: what faces it, shines
    half /= np.linalg.norm(half)
    facing, mirrored = lighting(cast("Field", cv2.GaussianBlur(height, (0, 0), 1.2)), (t.light, half), 1.0)
    mirrored = np.maximum(mirrored, 0)
    value = 0.62 * facing + 0.26 - 0.26 * hollow
    over = [lock.outline for lock in figure.front_hair] + list(shapes.get("hat", ()))
    if over:
        value -= 0.20 * soft_union(over, 0.016, shift=(-0.012 * t.light[0], 0.018))
    if "hat" in shapes:
        value -= 0.14 * soft_union(shapes["hat"], 0.02, shift=(-0.03 * t.light[0], 0.05))
    skin = colours.skin
    deep = tinted(skin**1.25, 0.66, 0.52, 0.50)
    dark = tinted(skin**1.08, 0.87, 0.76, 0.72)
    bright = skin + (np.array([1.0, 0.965, 0.91], np.float32) - skin) * np.float32(0.34 - 0.14 * t.tone)
    base = colour_ramp(cast("Field", value), [0.02, 0.42, 0.74, 0.98], [deep, dark, skin, bright])
    shine = mirrored**22 * np.float32(0.05 + 0.05 * t.tone) + mirrored**80 * np.float32(0.05 + 0.05 * t.tone)
    base += shine[..., None] * np.array([1.0, 0.96, 0.9], np.float32)
    flush = soft_union(_cheeks(t), 0.03) * np.float32(0.34 * t.blush)
    rosy = tinted(skin, 1.0, 0.66, 0.64)
    base += flush[..., None] * (rosy - skin)
    if t.makeup > 0.45:
        lids = shapes["l_lid"] + shapes["r_lid"]
        tint = 0.55 * colours.accent + 0.45 * tinted(skin, 0.7, 0.5, 0.5)
        base += (soft_union(lids, 0.008) * np.float32(0.55 * t.makeup))[..., None] * (tint - base) * np.float32(0.6)
    if t.beard:
        shade = soft_union(shapes["beard"], 0.014)
        strength = np.float32(0.62 * t.beard if t.beard < 0.5 else 0.82)
        tint = 0.7 * colours.brow + (0.16 if t.beard < 0.5 else 0.05) * skin
        lit = np.clip(value, 0.2, 0.9)[..., None] * np.float32(0.9) + np.float32(0.35)
        base += (shade * strength)[..., None] * (tint * lit - base)
    return base


def _cheeks(t: Traits) -> list[Points]:
    at = np.array([[-0.135, 0.085], [0.135, 0.085]])
    turn = np.linspace(0, 2 * np.pi, 16)
    rim = np.stack([0.035 * np.cos(turn), 0.024 * np.sin(turn)], 1)
    return [t.pose.project(centre + rim, face_depth(centre + rim)) for centre in at]


def paint_marks(canvas: Field, figure: Figure, colours: Palette) -> None:
    """Paint freckles and wrinkles.

    Parameters
    ----------
    canvas : (size, size, 3) float32 array
        The picture, RGB in [0, 1]; painted in place.
    figure : Figure
        The outlines.
    colours : Palette
        The person's colours.
    """
    t, shapes = figure.traits, figure.shapes
    mark = tinted(colours.skin, 0.62, 0.45, 0.40)
    fill_polygons(canvas, shapes["freckles"], mark, alpha=0.5)
    old = max(t.age - 0.35, 0.0)
    fill_polygons(canvas, shapes["folds"], mark, alpha=min(0.05 + 0.25 * max(t.smile, 0) + 0.5 * old, 0.55), blur=0.004)
    fill_polygons(canvas, shapes["mouth_corners"], mark, alpha=0.55, blur=0.0015)
    for side in ("l", "r"):
        fill_polygons(canvas, shapes[side + "_bag"], mark, alpha=0.14 + 0.55 * old, blur=0.003)
        fill_polygons(canvas, shapes[side + "_crow"], mark, alpha=0.75 * old, blur=0.0012)


def paint_nose(canvas: Field, figure: Figure, colours: Palette) -> None:
    """Paint the nostrils and the shadow below the nose.

    Parameters
    ----------
    canvas : (size, size, 3) float32 array
        The picture, RGB in [0, 1]; painted in place.
    figure : Figure
        The outlines.
    colours : Palette
        The person's colours.
    """
    shapes = figure.shapes
    dark = tinted(colours.skin**1.2, 0.5, 0.32, 0.28)
    fill_polygons(canvas, shapes["nose_base"], dark, alpha=0.35, blur=0.004)
    fill_polygons(canvas, shapes["wings"], dark, alpha=0.42, blur=0.0025)
    fill_polygons(canvas, shapes["nostrils"], dark * np.float32(0.6), alpha=0.8, blur=0.0016)


def paint_mouth(canvas: Field, figure: Figure, colours: Palette) -> None:
    """Paint the lips, and teeth and tongue of an open mouth.

    Parameters
    ----------
    canvas : (size, size, 3) float32 array
        The picture, RGB in [0, 1]; painted in place.
    figure : Figure
        The outlines.
    colours : Palette
        The person's colours.
    """
    shapes, lip = figure.shapes, colours.lip
    if "mouth" in shapes:
        fill_polygons(canvas, shapes["mouth"], np.array([0.25, 0.08, 0.08], np.float32))
        fill_polygons(
            canvas,
            shapes["tongue"],
            np.array([0.66, 0.32, 0.32], np.float32),
            alpha=0.8,
            blur=0.003,
            within=shapes["mouth"],
        )
        fill_polygons(
            canvas, shapes["teeth"], np.array([0.93, 0.91, 0.86], np.float32), blur=0.001, within=shapes["mouth"]
        )
        fill_polygons(
            canvas,
            shapes["lip_line"],
            np.array([0.3, 0.12, 0.1], np.float32),
            alpha=0.6,
            blur=0.005,
            within=shapes["mouth"],
        )
    fill_polygons(canvas, shapes["u_lip"], tinted(lip, 0.86, 0.80, 0.80), alpha=0.86)
    fill_polygons(canvas, shapes["l_lip"], lip, alpha=0.82)
    fill_polygons(
        canvas,
        shapes["lip_line"],
        tinted(lip, 0.55, 0.35, 0.35),
        alpha=0.5,
        blur=0.006,
        within=shapes["u_lip"] + shapes["l_lip"],
    )
    if "mouth" not in shapes:
        fill_polygons(canvas, shapes["lip_line"], tinted(lip, 0.45, 0.3, 0.3), alpha=0.85, blur=0.0008)
    shine = np.float32(1) - (1 - lip) * np.float32(0.45)
    fill_polygons(canvas, shapes["lip_gloss"], shine, alpha=0.35 + 0.3 * figure.traits.makeup, blur=0.003)


def paint_eye(canvas: Field, figure: Figure, colours: Palette, side: str) -> None:
    """Paint eyeball, iris, pupil, lashes and lid crease of one eye.

    Parameters
    ----------
    canvas : (size, size, 3) float32 array
        The picture, RGB in [0, 1]; painted in place.
    figure : Figure
        The outlines.
    colours : Palette
        The person's colours.
    side : str
        The person's side, ``l`` or ``r``.
    """
    t = figure.traits
    get = {
        key: figure.shapes[f"{side}_{key}"]
        for key in ("ball", "lash", "lower", "crease", "duct", "iris", "iris_mid", "iris_low", "pupil")
    }
    ball, iris = get["ball"], colours.iris
    line = tinted(colours.brow, 0.45, 0.38, 0.38)
    fill_polygons(canvas, get["crease"], tinted(colours.skin**1.2, 0.5, 0.34, 0.30), alpha=0.55, blur=0.0018)
    fill_polygons(canvas, ball, np.array([0.93, 0.91, 0.895], np.float32) * np.float32(0.97 - 0.05 * t.tone))
    fill_polygons(canvas, get["duct"], np.array([0.82, 0.52, 0.48], np.float32), alpha=0.8, blur=0.001, within=ball)
    fill_polygons(canvas, get["iris"], tinted(iris, 0.42, 0.42, 0.45), within=ball)
    fill_polygons(canvas, get["iris_mid"], iris, blur=0.0015, within=ball)
    fill_polygons(
        canvas,
        get["iris_low"],
        np.minimum(iris * np.float32(1.45) + np.float32(0.06), 1),
        alpha=0.75,
        blur=0.003,
        within=ball,
    )
    fill_polygons(canvas, get["pupil"], np.array([0.04, 0.03, 0.03], np.float32), within=ball)
    shift = np.array([0.0, 0.006]) * t.pose.scale
    fill_polygons(
        canvas,
        [piece + shift for piece in get["lash"]],
        np.array([0.18, 0.12, 0.12], np.float32),
        alpha=0.5,
        blur=0.004,
        within=ball,
    )
    middle = get["pupil"][0].mean(0)
    toward = np.array([0.0085 * np.sign(t.light[0]), -0.0085])
    turn = np.linspace(0, 2 * np.pi, 12)
    dot = np.stack([np.cos(turn), np.sin(turn)], 1)
    white = np.ones(3, np.float32)
    fill_polygons(canvas, [middle + toward + dot * 0.0048], white, alpha=0.95, within=ball)
    fill_polygons(canvas, [middle - 0.9 * toward + dot * 0.003], white, alpha=0.35, within=ball)
    fill_polygons(canvas, get["lower"], line, alpha=0.35 + 0.25 * t.makeup, blur=0.001)
    fill_polygons(canvas, get["lash"], line, alpha=0.92)


def paint_brow(canvas: Field, figure: Figure, colours: Palette, side: str, rng: np.random.Generator) -> None:
    """Paint one brow with single hairs.

    Parameters
    ----------
    canvas : (size, size, 3) float32 array
        The picture, RGB in [0, 1]; painted in place.
    figure : Figure
        The outlines.
    colours : Palette
        The person's colours.
    side : str
        The person's side, ``l`` or ``r``.
    rng : numpy.random.Generator
        Source of the random numbers.
    """
    brow, spine = figure.shapes[side + "_brow"], figure.shapes[side + "_brow_spine"][0]
    fill_polygons(canvas, brow, colours.brow, alpha=0.78, blur=0.0012)
    count = 32
    i = rng.integers(0, len(spine) - 3, count)
    thick = 0.5 * figure.traits.brow_thick
    root = spine[i] + np.stack([np.zeros(count), rng.uniform(-0.2, 0.9, count) * thick], 1)
    tip = spine[np.minimum(i + 3, len(spine) - 1)] + np.stack(
        [np.zeros(count), rng.uniform(-0.95, 0.1, count) * thick], 1
    )
    across = np.array([0.0, 0.0009])
    hairs = [np.stack([a - across, b, a + across]) for a, b in zip(root, tip, strict=True)]
    fill_polygons(canvas, hairs, tinted(colours.brow, 0.62, 0.6, 0.6), alpha=0.55, within=brow)


def paint_beard(canvas: Field, figure: Figure, colours: Palette, rng: np.random.Generator) -> None:
    """Paint single hairs of stubble or a beard; :func:`face_base` paints the shade under them.

    Parameters
    ----------
    canvas : (size, size, 3) float32 array
        The picture, RGB in [0, 1]; painted in place.
    figure : Figure
        The outlines.
    colours : Palette
        The person's colours.
    rng : numpy.random.Generator
        Source of the random numbers.
    """
    t = figure.traits
    if not t.beard:
        return
    region = figure.shapes["beard"][0]
    low, high = region.min(0), region.max(0)
    root = rng.uniform(low, high, (700, 2))
    flat = region.astype(np.float32)
    root = np.array([at for at in root if cv2.pointPolygonTest(flat, (float(at[0]), float(at[1])), False) > 0])
    full = t.beard > 0.5
    fall = np.array([0.0, 0.016 if full else 0.003]) + rng.normal(0, 0.003 if full else 0.001, root.shape)
    fall[:, 0] += (root[:, 0] - 0.5 * (low[0] + high[0])) * (-0.03 if full else 0)
    across = np.array([0.0009, 0.0])
    hairs = [np.stack([p - across, p + f, p + across]) for p, f in zip(root, fall, strict=True)]
    fill_polygons(
        canvas,
        hairs[::2],
        tinted(colours.brow, 0.6, 0.6, 0.6),
        alpha=0.45 if full else 0.22,
        within=figure.shapes["face"],
    )
    if full:
        fill_polygons(
            canvas,
            hairs[1::2],
            np.minimum(colours.brow * np.float32(1.7) + np.float32(0.03), 1),
            alpha=0.35,
            within=figure.shapes["face"],
        )
