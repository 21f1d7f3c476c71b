"""Pictures whose kind is known, in every form in which people store them; used by ``benchmarks/recognise.py`` and its recipe.

Photos, label maps and sketches of drawn portraits, of photos that are given, and of hand-made drawings are changed as scanners,
phones, editors and file formats change them, and encoded.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from PIL import Image

from facesynth import images
from facesynth.labels import CELEBAMASK_HQ, numbered_scheme
from facesynth.prep.portraits.draw import draw_portrait
from facesynth.prep.sketches.drawing import draw
from facesynth.prep.sketches.presets import all_sketches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Rng = np.random.Generator

ROOT = Path(__file__).parents[1]
HAND_MADE = sorted(path for name in ("docs", "facesynth") for path in (ROOT / name / "drawings").glob("*.png"))
LONGEST = 400
"""The longer side of the people's photos, pixels; inputs are made in other sizes too."""
NO_DRAWING = "blocks"
"""A label map."""


class Input(NamedTuple):
    """A file's content, and what it is: the kind, and how it was made."""

    kind: str
    group: str
    data: bytes


class Person(NamedTuple):
    """A photo (H, W, 3) and its label map (H, W), if there is one."""

    photo: Picture
    labels: Picture | None


# ------------------------------------------------------------------------------------------------------------------ people


def drawn_people(seed: int, count: int, *, size: int = 512) -> list[Person]:
    people = []
    for index in range(count):
        portrait = draw_portrait(seed, index, size=size, mask_size=size)
        labels = np.zeros((size, size), np.uint8)
        for name, mask in portrait.parts.items():
            labels[mask] = CELEBAMASK_HQ.classes.index(name)
        people.append(Person(portrait.photo, labels))
    return people


def given_people(photos: Sequence[Path], maps: Path | None = None) -> list[Person]:
    return [
        Person(images.read_photo(path), images.read_labels(maps / f"{path.stem}.png", CELEBAMASK_HQ) if maps else None)
        for path in photos
    ]


def limited(person: Person) -> Person:
    photo = images.limit_size(person.photo, LONGEST)
    labels = None if person.labels is None else images.resize(person.labels, photo.shape[:2], labels=True)
    return Person(photo, labels)


# ------------------------------------------------------------------------------------------------------------------- files


def coded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _deep(picture: Image.Image, bits: int) -> bytes:
    grey = np.asarray(picture.convert("L"), np.uint16).astype(np.uint32)
    return coded(Image.fromarray((grey * ((1 << bits) - 1) // 255).astype(np.uint16)), "TIFF")


def _transparent(picture: Image.Image, *, colour: int) -> bytes:
    """Lines on transparent paper."""
    alpha = Image.fromarray(255 - np.asarray(picture.convert("L")))
    ink = Image.new("L", picture.size, colour)
    return coded(Image.merge("LA", (ink, alpha)) if colour else Image.merge("RGBA", (ink, ink, ink, alpha)), "PNG")


def _reduced(picture: Image.Image, colours: int) -> Image.Image:
    return picture.convert("RGB").quantize(colours)


def _bmp16(picture: Image.Image) -> bytes:
    """A BMP of four bits a pixel, which Pillow reads but does not write."""
    few = _reduced(picture, 16)
    width, height = few.size
    pixels = np.asarray(few)[::-1]
    pixels = np.pad(pixels, ((0, 0), (0, -width % 8)))
    rows = (pixels[:, ::2] << 4 | pixels[:, 1::2]).tobytes()
    palette = np.zeros((16, 4), np.uint8)
    found = np.array(few.getpalette()[:48], np.uint8).reshape(-1, 3)
    palette[: len(found), :3] = found[:, ::-1]
    head = np.array([40, width, height], "<i4").tobytes() + np.array([1, 4], "<u2").tobytes()
    head += np.array([0, len(rows), 2835, 2835, 16, 0], "<i4").tobytes()
    offset = 14 + len(head) + palette.nbytes
    start = b"BM" + np.array([offset + len(rows), 0, offset], "<i4").tobytes()
    return start + head + palette.tobytes() + rows


Coding = Callable[[Image.Image], bytes]

LOSSLESS: dict[str, Coding] = {
    "PNG, RGB": lambda picture: coded(picture.convert("RGB"), "PNG"),
    "PNG, RGBA": lambda picture: coded(picture.convert("RGBA"), "PNG"),
    "BMP": lambda picture: coded(picture.convert("RGB"), "BMP"),
    "TIFF": lambda picture: coded(picture.convert("RGB"), "TIFF", compression="tiff_lzw"),
    "WebP, lossless": lambda picture: coded(picture.convert("RGB"), "WEBP", lossless=True),
}
LOSSY: dict[str, Coding] = {
    **{
        f"JPEG, quality {quality}": lambda picture, quality=quality: coded(
            picture.convert("RGB"), "JPEG", quality=quality
        )
        for quality in (30, 60, 75, 90, 95)
    },
    "WebP, quality 60": lambda picture: coded(picture.convert("RGB"), "WEBP", quality=60),
    "WebP, quality 90": lambda picture: coded(picture.convert("RGB"), "WEBP", quality=90),
}
GREY: dict[str, Coding] = {
    "PNG, L": lambda picture: coded(picture.convert("L"), "PNG"),
    "PNG, LA": lambda picture: coded(picture.convert("L").convert("LA"), "PNG"),
    "PNG, 16 bits": lambda picture: coded(
        Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257), "PNG"
    ),
    "TIFF, 12 of 16 bits": lambda picture: _deep(picture, 12),
    "TIFF, 16 bits": lambda picture: _deep(picture, 16),
    "TIFF, float": lambda picture: coded(
        Image.fromarray(np.asarray(picture.convert("L")).astype(np.float32) / 255), "TIFF"
    ),
    "JPEG, L, quality 85": lambda picture: coded(picture.convert("L"), "JPEG", quality=85),
}
INDEXED: dict[str, Coding] = {
    **{
        f"PNG, {count} colours": lambda picture, count=count: coded(_reduced(picture, count), "PNG")
        for count in (4, 8, 16, 64, 256)
    },
    "GIF, 16 colours": lambda picture: coded(_reduced(picture, 16), "GIF"),
    "GIF, 256 colours": lambda picture: coded(_reduced(picture, 256), "GIF"),
    "BMP, 16 colours": _bmp16,
}
FOR_SKETCHES: dict[str, Coding] = {
    "PNG, 1 bit": lambda picture: coded(
        picture.convert("L").point(lambda value: 255 * (value > 150)).convert("1"), "PNG"
    ),
    "PNG, 2 colours": lambda picture: coded(
        _reduced(picture.convert("L").point(lambda value: 255 * (value > 150)), 2), "PNG"
    ),
    "PNG, 12 colours": lambda picture: coded(_reduced(picture, 12), "PNG"),
    "PNG, black on transparent": lambda picture: _transparent(picture, colour=0),
}


# ------------------------------------------------------------------------------------------------------------------ photos


def _tinted(photo: Picture, _: Rng) -> Picture:
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None]
    return np.clip(grey * np.array([1.07, 0.95, 0.75], np.float32), 0, 255).astype(np.uint8)


def _grey(photo: Picture, _: Rng) -> Picture:
    return np.repeat(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def _toned(photo: Picture, rng: Rng) -> Picture:
    """Other exposure and contrast."""
    gamma, low, high = rng.uniform(0.5, 1.9), rng.uniform(0, 60), rng.uniform(190, 255)
    return (low + (photo / 255.0) ** gamma * (high - low)).astype(np.uint8)


def _grained(photo: Picture, rng: Rng) -> Picture:
    noise = rng.normal(0, rng.uniform(3, 18), photo.shape)
    return np.clip(photo + noise, 0, 255).astype(np.uint8)


def _blurred(photo: Picture, rng: Rng) -> Picture:
    return np.asarray(cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.7, 3)), np.uint8)


def _framed(photo: Picture, rng: Rng) -> Picture:
    edge = int(rng.integers(10, 60))
    return np.pad(photo, ((edge, edge), (edge, edge), (0, 0)), constant_values=int(rng.choice([0, 255])))


def _sized(photo: Picture, rng: Rng) -> Picture:
    height, width = photo.shape[:2]
    factor = int(rng.integers(96, 1000)) / max(height, width)
    return images.resize(photo, (max(64, round(height * factor)), max(64, round(width * factor))))


def _cropped(photo: Picture, rng: Rng) -> Picture:
    height, width = photo.shape[:2]
    part = rng.uniform(0.5, 0.95)
    top, left = (int(rng.integers(0, side - int(part * side) + 1)) for side in (height, width))
    return np.ascontiguousarray(photo[top : top + int(part * height), left : left + int(part * width)])


def _cut_out(photo: Picture, labels: Picture | None, rng: Rng) -> Picture:
    """The person on one colour, as passport photos are."""
    if labels is None:
        return photo
    colour = rng.choice([[255, 255, 255], [0, 0, 0], [235, 235, 240], [90, 130, 190]])
    soft = cv2.GaussianBlur((labels > 0).astype(np.float32), (0, 0), 1.5)[..., None]
    return (photo * soft + colour * (1 - soft)).astype(np.uint8)


PHOTO_CHANGES: dict[str, Callable[[Picture, Rng], Picture]] = {
    "as it came": lambda photo, _: photo,
    "grey": _grey,
    "sepia": _tinted,
    "exposure": _toned,
    "grain": _grained,
    "blur": _blurred,
    "frame": _framed,
    "crop": _cropped,
    "grey, exposure": lambda photo, rng: _grey(_toned(photo, rng), rng),
    "size": _sized,
}


def photo_inputs(person: Person, rng: Rng, count: int) -> Iterator[Input]:
    changes = list(PHOTO_CHANGES)
    forms = {**LOSSLESS, **LOSSY, **GREY, **INDEXED}
    forms.pop("PNG, 4 colours")  # 8 colours and more are a photo to anybody who looks
    sizes = rng.random(count) < 0.4
    for number in range(count):
        change, form = str(rng.choice(changes)), str(rng.choice(list(forms)))
        photo, place = person.photo, ""
        if rng.random() < 0.2 and person.labels is not None:
            photo, place = _cut_out(photo, person.labels, rng), "cut out, "
        photo = PHOTO_CHANGES[change](photo, rng)
        if sizes[number]:
            photo = _sized(photo, rng)
        yield Input("photo", f"photo: {place}{change}: {form}", forms[form](Image.fromarray(photo)))


# -------------------------------------------------------------------------------------------------------------- label maps


def voc_colours() -> Picture:
    return np.array(numbered_scheme(19).colours, np.uint8)


def maskgan_colours() -> Picture:
    colours = np.array(CELEBAMASK_HQ.colours, np.uint8)
    colours[CELEBAMASK_HQ.classes.index("r_brow")] = (0x33, 0xFF, 0xFF)
    return colours


def own_colours(rng: Rng) -> Picture:
    """Of a program that nobody knows: bright, and far from one another."""
    colours: list[NDArray[np.int64]] = [np.zeros(3, np.int64) if rng.random() < 0.7 else rng.integers(0, 256, 3)]
    while len(colours) < 19:
        colour = rng.integers(0, 256, 3)
        if np.ptp(colour) > 60 and min(np.abs(colour - other).sum() for other in colours) > 40:
            colours.append(colour)
    return np.array(colours, np.uint8)


def _with_void(labels: Picture) -> Picture:
    changed = labels.copy()
    edges = cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    changed[edges > 0] = 255
    return changed


def _behind_nothing(colours: Picture, labels: Picture) -> bytes:
    """Colours, the background transparent."""
    return coded(Image.fromarray(np.dstack([colours, np.where(labels > 0, 255, 0).astype(np.uint8)])), "PNG")


def _indexed(labels: Picture, palette: Picture) -> bytes:
    picture = Image.fromarray(labels)
    picture.putpalette(palette.tobytes())
    return coded(picture, "PNG")


def _smooth(picture: Picture, rng: Rng) -> Picture:
    size = int(rng.integers(200, 800))
    method = int(rng.choice([cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_AREA]))
    return np.asarray(cv2.resize(picture, (size, size), interpolation=method), np.uint8)


def label_inputs(labels: Picture, rng: Rng, count: int) -> Iterator[Input]:
    tables = {
        "own": np.array(CELEBAMASK_HQ.colours, np.uint8),
        "MaskGAN": maskgan_colours(),
        "VOC": voc_colours(),
        "unknown": own_colours(rng),
    }
    if rng.random() < 0.5:
        labels = _cropped(labels, rng)
    if rng.random() < 0.5:
        side = int(rng.integers(64, 512))
        labels = images.resize(labels, (side, side), labels=True)
    ids = Image.fromarray(labels)
    same = np.repeat(labels[..., None], 3, axis=2)
    forms: dict[str, Callable[[], bytes]] = {
        "ids, L": lambda: coded(ids, "PNG"),
        "ids, 16 bits": lambda: coded(Image.fromarray(labels.astype(np.uint16)), "PNG"),
        "ids, equal RGB": lambda: coded(Image.fromarray(same), "PNG"),
        "ids, equal RGBA": lambda: coded(Image.fromarray(same).convert("RGBA"), "PNG"),
        "ids, BMP": lambda: coded(ids, "BMP"),
        "ids, TIFF": lambda: coded(ids, "TIFF"),
        "ids, void 255": lambda: coded(Image.fromarray(_with_void(labels)), "PNG"),
        "ids, JPEG": lambda: coded(ids, "JPEG", quality=90),
        "ids, bilinear": lambda: coded(Image.fromarray(_smooth(labels, rng)), "PNG"),
        "ids, grey palette": lambda: _indexed(labels, np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)),
    }
    for name, table in tables.items():
        colours = table[labels]
        forms |= {
            f"{name} colours, palette": lambda table=table: _indexed(labels, table),
            f"{name} colours, transparent": lambda colours=colours: _behind_nothing(colours, labels),
            f"{name} colours, smooth": lambda colours=colours: coded(Image.fromarray(_smooth(colours, rng)), "PNG"),
            f"{name} colours, smooth JPEG": lambda colours=colours: coded(
                Image.fromarray(_smooth(colours, rng)), "JPEG", quality=int(rng.integers(50, 96))
            ),
            **{
                f"{name} colours, {form}": lambda colours=colours, code=code: code(Image.fromarray(colours))
                for form, code in {**LOSSLESS, **LOSSY}.items()
            },
        }
    weights = np.array([3.0 if name.startswith("ids") else 1.0 for name in forms])
    for name in rng.choice(list(forms), count, p=weights / weights.sum()):
        yield Input("labels", f"labels: {name}", forms[str(name)]())


# ---------------------------------------------------------------------------------------------------------------- sketches


def _light(shape: tuple[int, ...], rng: Rng) -> NDArray[np.float32]:
    """A slope of light over a sheet, with a shadow at times."""
    height, width = shape[:2]
    bright = rng.uniform(0.45, 1.0)
    dark = bright * rng.uniform(0.5, 1.0)
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[: height or 1, : width or 1].astype(np.float32)
    way = (x / width - 0.5) * np.cos(angle) + (y / height - 0.5) * np.sin(angle)
    light = dark + (bright - dark) * np.clip(way + 0.5, 0, 1)
    if rng.random() < 0.25:
        mask = np.zeros((height, width), np.float32)
        points = rng.uniform(0, 1, (3, 2)) * [width, height]
        cv2.fillPoly(mask, [points.astype(np.int32)], 1.0)
        light = light - rng.uniform(0.1, 0.3) * cv2.GaussianBlur(mask, (0, 0), max(height, width) / 20)
    return np.asarray(np.clip(light, 0.1, 1), np.float32)


def on_paper(sketch: Picture, rng: Rng) -> Picture:
    """A drawing photographed or scanned, (H, W, 3)."""
    sheet = sketch.astype(np.float32) / 255
    if rng.random() < 0.3:
        sheet = 1 - rng.uniform(0.35, 0.8) * (1 - sheet)  # faint pencil
    if rng.random() < 0.2:
        lines = np.ones_like(sheet)
        gap = max(6, sheet.shape[0] // int(rng.integers(16, 30)))
        lines[gap // 2 :: gap] = rng.uniform(0.65, 0.85)
        if rng.random() < 0.5:
            lines[:, gap // 2 :: gap] = rng.uniform(0.65, 0.85)
        sheet = sheet * lines
    lit = sheet * _light(sheet.shape, rng) + rng.normal(0, rng.uniform(0.002, 0.02), sheet.shape)
    paper = rng.choice([[1, 1, 1], [1, 0.97, 0.9], [1, 0.92, 0.78], [0.93, 0.97, 1]])
    photo = np.clip(lit[..., None] * paper, 0, 1).astype(np.float32)
    if rng.random() < 0.25:  # on a table
        height, width = sheet.shape
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        target = 0.8 * corners + 0.1 * np.array([width, height]) + rng.uniform(-0.04, 0.04, (4, 2)) * width
        matrix = cv2.getPerspectiveTransform(corners, target.astype(np.float32))
        covered = cv2.warpPerspective(np.ones_like(sheet), matrix, (width, height))[..., None]
        table = rng.uniform(0.05, 0.4) * rng.uniform(0.7, 1.3, 3) + rng.normal(0, 0.02, photo.shape)
        photo = np.where(covered > 0.5, cv2.warpPerspective(photo, matrix, (width, height)), table).astype(np.float32)
    if rng.random() < 0.3:
        photo = cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.5, 1.2))
    return (np.clip(photo, 0, 1) * 255).astype(np.uint8)


def in_ink(sketch: Picture, rng: Rng) -> Picture:
    """A drawing in coloured ink, (H, W, 3)."""
    ink = np.array(rng.choice([[20, 40, 160], [160, 20, 30], [10, 110, 50], [90, 50, 20], [120, 30, 140]]), np.float32)
    amount = 1 - sketch.astype(np.float32)[..., None] / 255
    return (255 * (1 - amount) + ink * amount).astype(np.uint8)


def _as_it_came(sketch: Picture, _: Rng) -> Picture:
    return sketch


SKETCH_CHANGES: dict[str, Callable[[Picture, Rng], Picture]] = {
    "clean": _as_it_came,
    "light on dark": lambda sketch, _: 255 - sketch,
    "ink": in_ink,
    "faint": lambda sketch, rng: (255 - rng.uniform(0.25, 0.8) * (255.0 - sketch)).astype(np.uint8),
    "paper": on_paper,
    "size": _sized,
    "black margin": lambda sketch, rng: np.pad(
        sketch, int(rng.integers(10, 50)), constant_values=int(rng.integers(20))
    ),
}
_OFTEN = np.array([0.3, 0.08, 0.1, 0.1, 0.27, 0.1, 0.05])


def sketch_inputs(
    sketch: Picture, rng: Rng, count: int, *, source: str, change_to: str | None = None
) -> Iterator[Input]:
    """Inputs of a drawing, with a change by chance or the given one."""
    for _ in range(count):
        change = change_to or str(rng.choice(list(SKETCH_CHANGES), p=_OFTEN))
        picture = SKETCH_CHANGES[change](_sized(sketch, rng) if rng.random() < 0.4 else sketch, rng)
        forms = {**LOSSLESS, **LOSSY, **INDEXED}
        if picture.ndim == 2:
            forms |= GREY
        if change in ("clean", "size"):
            forms |= FOR_SKETCHES
        if change in ("paper", "faint"):
            forms.pop("PNG, 4 colours")
        form = str(rng.choice(list(forms)))
        yield Input("sketch", f"sketch: {source}: {change}: {form}", forms[form](Image.fromarray(picture)))


def sketches_of(person: Person, rng: Rng, count: int) -> Iterator[tuple[str, Picture]]:
    """Drawings by methods of ``facesynth prep sketches``, each with its name."""
    every = all_sketches(labels=person.labels is not None)
    for index in rng.choice(len(every), count):
        yield every[index].name, draw(person.photo, every[index], labels=person.labels)


def hand_made(part: int, parts: int) -> list[tuple[str, Picture]]:
    paths = [path for path in HAND_MADE if path.stem != NO_DRAWING][part::parts]
    return [(path.stem, images.read_sketch(path)) for path in paths]


# ------------------------------------------------------------------------------------------------------------------ blanks


def blank_inputs(rng: Rng, count: int) -> Iterator[Input]:
    for _ in range(count):
        height, width = (int(side) for side in rng.integers(128, 600, 2))
        tone = int(rng.choice([255, 250, 128, int(rng.integers(256)), 0]))
        sheet = np.full((height, width, 3), tone, np.uint8)
        name = str(rng.choice(["one grey", "one colour", "noise", "light", "light and noise"]))
        if name == "one colour":
            sheet[:] = rng.integers(0, 256, 3)
        if "light" in name:
            sheet = (255 * _light(sheet.shape, rng)[..., None] * rng.uniform(0.85, 1, 3)).astype(np.uint8)
        if "noise" in name:
            noise = rng.normal(0, rng.uniform(1, 6), sheet.shape if rng.random() < 0.5 else (*sheet.shape[:2], 1))
            sheet = np.clip(sheet + noise, 0, 255).astype(np.uint8)
        forms = {**LOSSLESS, **LOSSY}
        form = str(rng.choice(list(forms)))
        yield Input("blank", f"blank: {name}: {form}", forms[form](Image.fromarray(sheet)))


def all_inputs(
    people: Sequence[Person], drawings: Sequence[tuple[str, Picture]], rng: Rng, *, each: int = 4
) -> Iterator[Input]:
    """``each`` photos, label maps and sketches of every person, as many sketches of a drawing, and blank sheets."""
    for person in people:
        yield from photo_inputs(person, rng, each)
        if person.labels is not None:
            yield from label_inputs(person.labels, rng, each)
        for name, sketch in sketches_of(person, rng, each):
            yield from sketch_inputs(sketch, rng, 1, source=name)
    for name, sketch in drawings:
        yield from sketch_inputs(sketch, rng, each, source=name)
    yield from blank_inputs(rng, max(1, len(people) * each // 6))
