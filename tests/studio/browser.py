"""The page in Chromium, driven as a person would: by mouse, touch and keys, read by what it shows and saves."""

from __future__ import annotations

import base64
import io
import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from playwright.sync_api import Browser, BrowserContext, Page

Points = Sequence[tuple[float, float]]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 60_000
"""Milliseconds until a page is given up: on a busy machine a second's work may take much longer."""
LISTEN = """
window.shownFaces = [];
document.addEventListener("face-shown", (event) => window.shownFaces.push(event.detail));
"""
PIXELS = """(canvas) => {
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let text = "";
  for (let at = 0; at < data.length; at += 8192) text += String.fromCharCode(...data.subarray(at, at + 8192));
  return [canvas.width, canvas.height, btoa(text)];
}"""

DIGESTS = """() => Promise.all(["#board canvas", "#face"].map(async (name) => {
  const canvas = document.querySelector(name);
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", data))).join(" ");
}))"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium without a window."""
    from playwright.sync_api import sync_playwright

    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*root, "--disable-dev-shm-usage"])
        yield browser
        browser.close()


def ellipse(x: float, y: float, rx: float, ry: float, start: float = 0, end: float = 2, count: int = 10) -> Points:
    """Points on an ellipse, angles in units of pi."""
    angles = [math.pi * (start + (end - start) * step / count) for step in range(count + 1)]
    return [(x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in angles]


FACE: list[Points] = [
    ellipse(256, 264, 130, 172, count=14),
    ellipse(196, 244, 28, 13),
    ellipse(316, 244, 28, 13),
    ellipse(194, 214, 38, 14, 1, 2),
    ellipse(318, 214, 38, 14, 1, 2),
    [(246, 244), (236, 300), (230, 318), (256, 330), (282, 318)],
    ellipse(256, 372, 50, 16),
    ellipse(256, 234, 172, 190, 0.9, 2.1, 14),
    [(190, 424), (186, 470), (150, 500)],
    [(322, 424), (326, 470), (362, 500)],
]
"""A face of ten strokes, in pixels of a document."""


class Studio:
    """An open page.

    Parameters
    ----------
    context : BrowserContext
    address : str
        With the token.
    """

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda told: self.problems.append(told.text) if told.type == "error" else None)
        self.page.add_init_script(LISTEN)
        self.page.goto(address)
        self.settle()

    def settle(self) -> None:
        """Wait until the newest face is on the screen."""
        self.until("document.body.dataset.ready && document.querySelector('#busy').hidden")

    def until(self, condition: str) -> None:
        """Wait until an expression is true; playwright's own way needs what the page's policy forbids."""
        patience = time.monotonic() + PATIENCE / 1000
        while not self.page.evaluate(f"Boolean({condition})"):
            assert time.monotonic() < patience, condition
            self.page.wait_for_timeout(10)

    def kept(self) -> None:
        """Wait until the work is in the browser's storage."""
        self.page.wait_for_timeout(350)
        self.until("document.body.dataset.kept")

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A place on the screen, of one in the document."""
        box = self.page.locator("#board canvas").bounding_box()
        assert box
        return box["x"] + x * box["width"] / 512, box["y"] + y * box["height"] / 512

    def draw(self, points: Points) -> None:
        """Draw a stroke with the mouse."""
        mouse = self.page.mouse
        mouse.move(*self.at(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.at(*point))
        mouse.up()

    def click(self, x: float, y: float) -> None:
        """Click into the document."""
        self.page.mouse.click(*self.at(x, y))

    def picture(self, selector: str = "#face") -> NDArray[np.uint8]:
        """What a canvas shows, (H, W, 3) uint8."""
        width, height, data = self.page.locator(selector).evaluate(PIXELS)
        return np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)[..., :3]

    def digest(self) -> list[str]:
        """Digests of what board and face show."""
        digests: list[str] = self.page.evaluate(DIGESTS)
        return digests

    def strip(self) -> None:
        """Wait until the strip of styles is that of the drawing."""
        self.settle()
        tiles = "[...document.querySelectorAll('.tile canvas')]"
        self.until(
            f"{tiles}.every((tile) => tile.dataset.revision === document.querySelector('#strip').dataset.revision)"
        )

    @property
    def board(self) -> NDArray[np.uint8]:
        return self.picture("#board canvas")

    def file(self, button: str) -> bytes:
        """What a button of the File menu saves."""
        self.page.click("#file")
        with self.page.expect_download() as waiting:
            self.page.click(f"#{button}")
        return Path(waiting.value.path()).read_bytes()

    def saved(self, button: str) -> NDArray[np.uint8]:
        """The picture that a button of the File menu saves."""
        with Image.open(io.BytesIO(self.file(button))) as picture:
            return np.asarray(picture)

    def status(self) -> str:
        return self.page.locator("#status").inner_text()

    def bring(self, data: bytes, use: str, *, button: str = "#import", **choices: Any) -> None:
        """Bring a picture through the dialog."""
        self.page.click(button)
        self.page.set_input_files("#picture-file", {"name": "it.png", "mimeType": "image/png", "buffer": data})
        self.page.locator(f"[name=use][value={use}]:visible").check()
        for name, value in choices.items():
            self.page.select_option(f"#{name}", value)
        self.page.click("#import-go")
        self.page.wait_for_selector("#import-dialog", state="hidden")
        self.settle()
