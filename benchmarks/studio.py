"""From the end of a stroke to the new face on the screen: ``python benchmarks/studio.py [photo-sketch|photo-seg]``.

Chromium draws 100 strokes on the studio's page, each after the face of the one before it, and the page notes when the pointer
was lifted, when the face came and when it had been painted. Printed are the medians and 95th percentiles of

    encode     reading and encoding the drawing, in the server
    generate   the face of its latents, in the server
    transfer   everything else until the face is in the page: the page's own work, the socket, waiting for a live face to end
    paint      from there until the frame with the face has been presented
    all        their sum, by the page's clock: from the end of the stroke to the face on the screen

and of ``Translator`` called with the same drawings in a process of its own, before and after, for comparison.
``--soak MINUTES`` draws random strokes without waiting instead, undoes some, and prints the memory of the server and of the
browser (with this script) every half minute, and whether the last face is that of the last drawing.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import re
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.studio.browser import Studio, chromium

COMMAND = str(Path(sysconfig.get_path("scripts"), "facesynth"))
TOKEN = "a-token-of-the-benchmark"
STROKES = 100
ALONE = """
import os, sys, time
os.environ["OMP_NUM_THREADS"] = "1"
import numpy as np
from facesynth import Translator
from facesynth.studio.engine import Model, Style
model = Model(sys.argv[1], sys.argv[1], "cpu")
pixels = np.full((512, 512), 255, np.uint8) if "sketch" in sys.argv[1] else np.zeros((512, 512), np.uint8)
times = []
for _ in range(40):
    started = time.perf_counter()
    model.face(model.encode(pixels), Style())
    times.append(1000 * (time.perf_counter() - started))
print(*times[10:])
"""


@contextmanager
def server(port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A studio in a process of its own, and the address of its page."""
    command = [COMMAND, "studio", "--no-browser", "--token", TOKEN, "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        yield process, process.stdout.readline().split()[1]
        process.terminate()


def shown(times: list[float]) -> str:
    """Median and 95th percentile."""
    return f"{statistics.median(times):7.1f} {np.quantile(times, 0.95):7.1f}"


def stroke(chance: random.Random, points: int = 8) -> list[tuple[float, float]]:
    """A curve somewhere around the face."""
    x, y = chance.uniform(120, 390), chance.uniform(80, 430)
    dx, dy = chance.uniform(-16, 16), chance.uniform(-16, 16)
    return [(x + step * dx, y + step * dy + chance.uniform(-2, 2)) for step in range(points)]


def alone(model: str) -> None:
    done = subprocess.run([sys.executable, "-c", ALONE, model], check=True, capture_output=True, text=True)
    print(f"{'Translator alone':16} {shown([float(each) for each in done.stdout.split()])}")


def open_page(browser: object, address: str, model: str) -> Studio:
    context = browser.new_context(viewport={"width": 1280, "height": 900})  # type: ignore[attr-defined]
    page = Studio(context, address)
    if model == "photo-seg":
        page.page.click("#mode-map")
    page.strip()
    return page


def measure(model: str) -> None:
    chance = random.Random(1)
    print(f"{model}, {STROKES} strokes, ms      median    95 %")
    alone(model)
    with server() as (_, address), chromium() as browser:
        page = open_page(browser, address, model)
        for _ in range(10):  # the first faces of a process are slower
            page.draw(stroke(chance))
            page.settle()
        faces = []
        for _ in range(STROKES):
            page.page.evaluate("window.shownFaces.length = 0")
            page.draw(stroke(chance))
            page.settle()
            *_, last = (face for face in page.page.evaluate("window.shownFaces") if face.get("since"))
            faces.append(last)  # a slow stroke also has faces on the way
            page.page.wait_for_timeout(chance.uniform(50, 400))
    columns: dict[str, list[float]] = {name: [] for name in ("encode", "generate", "transfer", "paint", "all")}
    for face in faces:
        times = face["times"]
        columns["encode"].append(times["encode"])
        columns["generate"].append(times["generate"])
        columns["transfer"].append(face["received"] - face["since"] - times["encode"] - times["generate"])
        columns["paint"].append(face["painted"] - face["received"])
        columns["all"].append(face["painted"] - face["since"])
    for name, values in columns.items():
        print(f"{name:16} {shown(values)}")
    alone(model)


def memory(root: int) -> float:
    """Resident memory of a process and of all that it started, MB."""
    parents, sizes = {}, {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            values = dict(re.findall(r"^(PPid|RssAnon):\s+(\d+)", status.read_text(), re.MULTILINE))
        except OSError:
            continue
        process = int(status.parent.name)
        parents[process], sizes[process] = int(values["PPid"]), int(values.get("RssAnon", 0))

    def is_below(process: int) -> bool:
        return process == root or (process in parents and is_below(parents[process]))

    return sum(size for process, size in sizes.items() if is_below(process)) / 1024


def soak(model: str, minutes: float) -> None:
    chance = random.Random(2)
    with server() as (process, address), chromium() as browser:
        page = open_page(browser, address, model)
        session = page.page.context.new_cdp_session(page.page)
        started, said, count = time.monotonic(), 0.0, 0
        while (passed := time.monotonic() - started) < 60 * minutes:
            page.draw(stroke(chance, chance.randrange(2, 5)))
            count += 1
            if chance.random() < 0.1:
                page.page.keyboard.press("Control+z")
            if chance.random() < 0.02:
                page.page.keyboard.press("Delete")
            if passed >= said:
                page.page.evaluate("window.shownFaces.length = 0")
                session.send("HeapProfiler.collectGarbage")
                ours, all_of_it = memory(process.pid), memory(os.getpid())
                print(
                    f"{passed:5.0f} s  {count:5} strokes  server {ours:5.0f} MB  browser {all_of_it - ours:5.0f} MB",
                    flush=True,
                )
                said = passed + 30
        page.settle()
        from facesynth import Translator

        with Image.open(io.BytesIO(page.file("save-condition"))) as saved:
            expected = np.asarray(Translator.from_pretrained(model, device="cpu")(np.asarray(saved)))
        print(f"{count} strokes; the last face is that of the last drawing: {np.array_equal(page.picture(), expected)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="photo-sketch", choices=("photo-sketch", "photo-seg"))
    parser.add_argument("--soak", type=float, metavar="MINUTES")
    given = parser.parse_args()
    if given.soak:
        soak(given.model, given.soak)
    else:
        measure(given.model)


if __name__ == "__main__":
    main()
