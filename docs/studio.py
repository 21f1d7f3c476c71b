"""Make the README's animation of the studio, a real session in Chromium: ``python docs/studio.py``.

A face is drawn stroke by stroke, then shown in styles of the strip; then the hair of a label map is changed.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.studio import server
from tests.studio.browser import Points, Studio, chromium, ellipse

DOCS = Path(__file__).parent
SIZE = (1180, 740)
WIDTH = 720
STEP = 110
"""Milliseconds that a picture is shown."""


def other_side(points: Points) -> Points:
    return [(512 - x, y) for x, y in points]


JAW = [
    (126, 240),
    (128, 300),
    (146, 360),
    (182, 412),
    (226, 442),
    (256, 446),
    (286, 442),
    (330, 412),
    (366, 360),
    (384, 300),
]
EYE = [(166, 250), (178, 238), (196, 232), (214, 238), (228, 250), (214, 256), (196, 259), (178, 256), (166, 250)]
IRIS = ellipse(197, 245, 10, 11, count=8)
BROW = [(150, 212), (172, 198), (200, 196), (230, 206)]
NOSE = [(236, 262), (234, 290), (224, 314), (228, 326), (240, 326)]
NOSTRILS = [(240, 328), (250, 334), (262, 334), (272, 328)]
UPPER_LIP = [(206, 374), (228, 366), (244, 361), (256, 365), (268, 361), (284, 366), (306, 374)]
MOUTH = [(206, 374), (232, 376), (256, 378), (280, 376), (306, 374)]
LOWER_LIP = [(214, 380), (234, 394), (256, 398), (278, 394), (298, 380)]
HEAD = [
    (112, 330),
    (96, 250),
    (100, 160),
    (150, 80),
    (220, 46),
    (290, 46),
    (362, 80),
    (412, 160),
    (416, 250),
    (400, 330),
]
FRINGE = [(126, 240), (140, 190), (170, 160), (220, 138), (250, 120), (300, 150), (350, 170), (374, 200), (386, 240)]
NECK = [(188, 420), (190, 460), (150, 490), (90, 512)]
STROKES = [JAW, EYE, other_side(EYE), IRIS, other_side(IRIS), BROW, other_side(BROW), NOSE, other_side(NOSE), NOSTRILS]
STROKES += [MOUTH, UPPER_LIP, LOWER_LIP, FRINGE, HEAD, NECK, other_side(NECK)]


class Film:
    """Pictures of a page, and how long each is shown.

    Parameters
    ----------
    page : Studio
    """

    def __init__(self, page: Studio) -> None:
        self.page = page
        self.pictures: list[Image.Image] = []
        self.times: list[int] = []

    def take(self, time: int = STEP) -> None:
        """Take a picture of the page; one like the last only lengthens that."""
        shot = Image.open(io.BytesIO(self.page.page.screenshot())).convert("RGB")
        picture = shot.resize((WIDTH, WIDTH * SIZE[1] // SIZE[0]), Image.Resampling.LANCZOS)
        if self.pictures and np.array_equal(np.asarray(self.pictures[-1]), np.asarray(picture)):
            self.times[-1] += time
        else:
            self.pictures.append(picture)
            self.times.append(time)

    def draw(self, points: Points) -> None:
        """Draw a stroke, with pictures of it on the way."""
        mouse = self.page.page.mouse
        mouse.move(*self.page.at(*points[0]))
        mouse.down()
        for index, point in enumerate(points[1:]):
            mouse.move(*self.page.at(*point), steps=2)
            if index % 3 == 2:
                self.take()
        mouse.up()
        self.page.settle()
        self.take(2 * STEP)


def act(browser: Any, address: str) -> Film:
    """The session."""
    page = Studio(browser.new_context(viewport={"width": SIZE[0], "height": SIZE[1]}), address)
    film = Film(page)
    film.take(5 * STEP)
    for stroke in STROKES:
        film.draw(stroke)
    page.strip()
    film.take(6 * STEP)
    for name in ("Style 1", "Style 4", "Style 2"):
        page.page.get_by_role("radio", name=name).click()
        page.settle()
        film.take(8 * STEP)
    page.page.click("#mode-map")
    page.strip()
    film.take(8 * STEP)
    page.page.get_by_role("radio", name="hair", exact=True).click()
    page.page.locator("#size").fill("46")
    page.page.click("#symmetric")
    film.draw([(106, 330), (92, 370), (88, 410), (96, 450), (112, 480)])
    page.page.get_by_role("radio", name="hat", exact=True).click()
    film.draw([(130, 150), (170, 108), (220, 84), (256, 78)])
    film.draw([(150, 110), (200, 60), (256, 44)])
    page.strip()
    film.take(20 * STEP)
    return film


def main() -> None:
    with server() as (_, address), chromium() as browser:
        film = act(browser, address)
    path = DOCS / "studio.webp"
    first, *others = film.pictures
    first.save(path, save_all=True, append_images=others, duration=film.times, loop=0, quality=70, method=4)
    print(f"{path}: {len(film.pictures)} pictures, {path.stat().st_size / 1000:.0f} kB, {sum(film.times) / 1000:.0f} s")


if __name__ == "__main__":
    main()
