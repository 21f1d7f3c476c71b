"""What a person can do on the page, in Chromium."""

from __future__ import annotations

import io
import itertools
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from facesynth import Translator, cli, images
from facesynth.prep import draw_portrait
from facesynth.studio.engine import Engine

from ..runs import save_model
from .browser import CHROMIUM, FACE, Studio, chromium
from .conftest import TOKEN, Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest.importorskip("playwright", reason="no playwright; pip install playwright")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; apt-get install chromium"),
]
HAIR, SKIN, R_EYE, L_BROW, R_BROW = 13, 1, 5, 6, 7


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser, studio: Running) -> Iterator[Studio]:
    """The page, opened for the first time by a browser."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = Studio(context, f"http://{studio.host}/?token={TOKEN}")
    yield opened
    context.close()
    assert not opened.problems


def test_a_face_changes_with_each_of_ten_strokes_and_is_what_the_command_gives(
    page: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert TOKEN not in page.page.url
    seen = [page.picture()]
    for stroke in FACE:
        page.draw(stroke)
        page.settle()
        seen.append(page.picture())
        assert np.abs(seen[-1].astype(int) - seen[-2]).max() > 8
    assert page.page.locator("#timing").inner_text().endswith("ms")
    sketch, face = page.saved("save-condition"), page.saved("save-picture")
    assert (sketch.shape, sketch.dtype, sketch.min(), sketch.max()) == ((512, 512), np.uint8, 0, 255)
    assert np.array_equal(sketch, page.board[..., 0])
    assert np.array_equal(face, seen[-1])
    monkeypatch.chdir(tmp_path)
    Path("sketch.png").write_bytes(page.file("save-condition"))
    Path("plain").mkdir()

    def run(command: str) -> None:
        monkeypatch.setattr("sys.argv", shlex.split(command))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code

    run("facesynth translate sketch.png --out plain --save-latents")
    assert np.array_equal(images.read_photo(Path("plain/sketch.png")), face)
    assert page.file("save-latents") == Path("plain/sketch.npy").read_bytes()

    page.page.get_by_role("radio", name="Style 3").click()
    page.page.select_option("#layers", "fine")
    page.page.locator("#alpha").fill("0.6")
    page.settle()
    styled = page.saved("save-picture")
    assert np.abs(styled.astype(int) - face).mean() > 2
    page.page.click("#file")
    page.page.click("#show-command")
    command = page.page.locator("#command").inner_text()
    assert command == (
        "facesynth translate sketch.png --checkpoint photo-sketch --tone keep --paper keep --samples 3 --seed 1 "
        "--mix-layers fine --mix-alpha 0.6 --out faces"
    )
    run(command)
    assert np.array_equal(images.read_photo(Path("faces/sketch_2.png")), styled)
    page.page.keyboard.press("Escape")


def test_undo_to_the_start_and_redo_to_the_end(page: Studio) -> None:
    page.page.click("#mode-map")
    page.settle()
    states = [page.digest()]

    def done() -> None:
        page.settle()
        states.append(page.digest())

    page.page.get_by_role("radio", name="hat", exact=True).click()
    page.draw([(120, 120), (256, 80), (392, 120)])
    done()
    page.page.keyboard.press("g")
    page.click(20, 20)
    done()
    page.page.keyboard.press("l")
    for corner in [(60, 400), (140, 420), (100, 480)]:
        page.click(*corner)
    page.page.keyboard.press("Enter")
    done()
    page.page.keyboard.press("v")
    page.draw([(256, 256), (270, 262), (280, 270)])
    done()
    page.page.keyboard.press("3")
    done()
    page.page.locator("#truncation").fill("0.5")
    done()
    assert all(one != other for one, other in itertools.pairwise(states))
    for expected in states[-2::-1]:
        page.page.keyboard.press("Control+z")
        page.settle()
        assert page.digest() == expected
    page.page.keyboard.press("Control+z")  # back to the sketch, where it began
    page.settle()
    assert page.page.locator("#undo").is_disabled()
    assert page.page.locator("#mode-sketch").get_attribute("aria-checked") == "true"
    for expected in states:
        page.page.click("#redo")
        page.settle()
        assert page.digest() == expected
    assert page.page.locator("#redo").is_disabled()


def test_a_photo_is_parsed_its_hair_changed_saved_reloaded_and_opened(page: Studio, engine: Engine) -> None:
    photo = draw_portrait(5, 1, size=512).photo
    page.page.click("#mode-map")
    page.bring(images.encode_png(photo), "photo")
    labels = page.saved("save-condition")
    assert np.array_equal(labels, engine.parser.parse(photo))
    before = page.picture()
    page.page.get_by_role("radio", name="hair", exact=True).click()
    page.page.get_by_role("button", name="Protect skin").click()
    page.page.locator("#size").fill("60")
    page.draw([(40, 60), (120, 40), (256, 40), (392, 40), (470, 60)])
    page.settle()
    after = page.saved("save-condition")
    assert (after == HAIR).sum() > (labels == HAIR).sum() + 5000
    assert np.array_equal(after == SKIN, labels == SKIN)
    face = page.picture()
    assert np.abs(face.astype(int) - before).mean() > 2
    project = page.file("save-project")
    assert json.loads(project)["format"] == "facesynth-studio"
    page.kept()
    page.page.reload()
    page.settle()
    assert np.array_equal(page.saved("save-condition"), after)
    assert np.array_equal(page.picture(), face)
    page.page.keyboard.press("Delete")
    page.settle()
    assert not np.array_equal(page.saved("save-condition"), after)
    opening: Any = {"name": "face.facesynth", "mimeType": "application/json", "buffer": project}
    page.page.set_input_files("#project-file", opening)
    page.until("document.querySelector('#status').textContent.startsWith('opened')")
    page.settle()
    assert np.array_equal(page.saved("save-condition"), after)
    assert np.array_equal(page.picture(), face)


DAMAGED = [
    (b"junk", "not JSON"),
    (b'{"format": "other"}', "no project of the studio"),
    (b'{"format": "facesynth-studio", "version": 99}', "version 99; this page reads 1"),
    (b'{"format": "facesynth-studio", "version": 1}', "it lacks pixels"),
    (
        b'{"format":"facesynth-studio","version":1,"sketch":{"base":{"length":262144,"deflated":"eJw="}},"map":{}}',
        "the project is damaged",
    ),
]


def test_a_damaged_project_is_told_and_changes_nothing(page: Studio) -> None:
    page.draw(FACE[0])
    page.settle()
    before = page.digest()
    for number, (content, said) in enumerate(DAMAGED):
        opening: Any = {"name": f"bad{number}.facesynth", "mimeType": "application/json", "buffer": content}
        page.page.set_input_files("#project-file", opening)
        page.until(f"document.querySelector('#status').textContent.startsWith('bad{number}.facesynth')")
        assert said in page.status()
    assert page.digest() == before


def test_symmetry_swaps_left_and_right(page: Studio) -> None:
    page.page.click("#symmetric")
    page.draw([(100, 100), (180, 160), (200, 300)])
    page.settle()
    sketch = page.saved("save-condition")
    assert np.array_equal(sketch, sketch[:, ::-1])
    assert (sketch < 128).sum() > 1000
    page.page.click("#mode-map")
    page.page.get_by_role("radio", name="left eye", exact=True).click()
    page.draw([(400, 40), (440, 44)])
    page.page.keyboard.press("g")
    page.page.get_by_role("radio", name="right brow", exact=True).click()
    page.click(92, 42)
    page.settle()
    labels = page.saved("save-condition")
    mirror = np.array(Translator.from_pretrained("photo-seg").scheme.mirror, np.uint8)
    assert np.array_equal(labels[:80], mirror[labels[:80]][:, ::-1])
    assert set(np.unique(labels[20:65, 380:460]).tolist()) == {0, L_BROW}
    assert (labels[20:65, 52:132] == R_BROW).sum() > 500
    page.page.keyboard.press("Control+z")
    assert set(np.unique(page.saved("save-condition")[20:65, 52:132]).tolist()) == {0, R_EYE}


def test_styles_are_kept_taken_and_filmed(page: Studio) -> None:
    for stroke in FACE[:3]:
        page.draw(stroke)
    tiles = page.page.locator(".tile")
    page.strip()
    third = page.picture(".tile:nth-child(4) canvas")
    tiles.nth(3).hover()
    tiles.nth(3).locator(".lock").click()
    page.page.click("#reroll")
    page.settle()
    assert page.page.locator("#seed").input_value() == "2"
    assert tiles.nth(1).locator("figcaption").inner_text() == "1.3"
    page.page.keyboard.press("1")
    page.settle()
    assert np.array_equal(page.picture(), third)
    page.page.locator("#seed").fill("77")
    page.page.keyboard.press("Enter")
    assert "seed 77" in page.status()
    page.strip()
    sheet = page.saved("save-sheet")
    assert sheet.shape == (512, 768, 4)
    small = images.resize(np.ascontiguousarray(sheet[:, 256:, :3]), (128, 128))
    assert np.abs(small.astype(int) - third).mean() < 4
    page.page.select_option("#film-to", "4")
    page.page.click("#play-film")
    page.page.wait_for_selector("#save-film")
    with page.page.expect_download() as waiting:
        page.page.click("#save-film")
    with Image.open(io.BytesIO(Path(waiting.value.path()).read_bytes())) as film:
        assert film.n_frames == 30
    page.page.click("#play-film")
    assert np.array_equal(page.picture(), third)
    drawing = np.full((256, 256), 255, np.uint8)
    drawing[60:200, 100:104] = 0
    page.bring(images.encode_png(drawing), "drawn", button="#style-from")
    assert tiles.nth(1).locator("figcaption").inner_text() == "Given"
    assert not np.array_equal(page.picture(), third)


def test_colours_of_regions_are_set_undone_and_told_as_a_command(browser: Browser, tmp_path: Path) -> None:
    file = save_model(tmp_path / "coloured.safetensors", "sketch2face", style_colours=("hair", "background"))
    made = Engine([str(file)], device="cpu")
    running, context = Running(made), browser.new_context()
    page = Studio(context, f"http://{running.host}/?token={TOKEN}")
    for stroke in FACE[:3]:
        page.draw(stroke)
    page.settle()
    plain = page.picture()
    ground = page.page.locator("#colours input[data-region=background]")
    assert ground.count() == page.page.locator("#colours input[data-region=hair]").count() == 1
    ground.fill("#c8a165")
    page.settle()
    coloured = page.picture()
    assert not np.array_equal(coloured, plain)
    page.page.click("#file")
    page.page.click("#show-command")
    assert "--samples 1 --seed 1 --colour background=#c8a165" in page.page.locator("#command").inner_text()
    page.page.keyboard.press("Escape")
    page.page.locator("#colours button[data-region=background]").click()
    page.settle()
    assert not np.array_equal(page.picture(), coloured)
    page.page.keyboard.press("Control+z")
    page.settle()
    assert np.array_equal(page.picture(), coloured)
    assert ground.input_value() == "#c8a165"
    page.page.keyboard.press("Control+z")
    page.settle()
    assert np.array_equal(page.picture(), plain)
    context.close()
    running.stop()
    made.close()
    assert not page.problems


def test_a_photo_and_a_sheet_of_paper_become_sketches(page: Studio) -> None:
    photo = draw_portrait(5, 1, size=256).photo
    page.bring(images.encode_png(photo), "photo", method="canny:ink")
    assert set(np.unique(page.saved("save-condition")[::7, ::7]).tolist()) >= {0, 255}
    paper = (np.full((300, 300, 3), 150) * np.linspace(0.7, 1, 300)[:, None, None]).astype(np.uint8)
    paper[100:200, 148:152] = 30
    page.bring(images.encode_png(paper), "paper")
    sketch = page.saved("save-condition")
    assert (sketch == 255).mean() > 0.9
    assert sketch[256, 256] < 60
    page.page.keyboard.press("d")
    assert page.board[256, 256, 0] > 195
    assert np.array_equal(page.saved("save-condition"), sketch)
    page.page.click("#import")
    junk: Any = {"name": "it.png", "mimeType": "image/png", "buffer": b"no picture"}
    page.page.set_input_files("#picture-file", junk)
    page.page.click("#import-go")
    page.until("document.querySelector('#import-error').textContent.includes('is not a picture')")
    page.problems.clear()  # Chromium logs the refusal
    page.page.click("#import-cancel")


def test_lines_are_straight_with_shift_and_moves_keep_strokes_sharp(page: Studio) -> None:
    page.page.keyboard.down("Shift")
    page.draw([(100, 100), (180, 300), (300, 100)])
    page.page.keyboard.up("Shift")
    page.settle()
    sketch = page.saved("save-condition")
    rows = np.flatnonzero((sketch < 128).any(axis=1))
    assert (rows.min(), rows.max()) == (98, 101)
    page.page.keyboard.press("v")
    for _ in range(3):
        page.page.click("#larger")
    page.draw([(256, 256), (256, 300), (256, 356)])
    page.settle()
    moved = page.saved("save-condition")
    rows = np.flatnonzero((moved < 128).any(axis=1))
    place = (100 - 256) * 1.05**3 + 256 + 100
    assert abs(rows.mean() - place + 0.5) < 1.5
    assert moved[rows].min() == 0
    page.page.keyboard.press("Control+z")
    page.page.keyboard.press("Control+z")
    page.settle()
    assert np.array_equal(page.saved("save-condition"), sketch)


def test_keys_alone_draw_a_face(page: Studio) -> None:
    keyboard = page.page.keyboard
    for _ in range(40):
        if page.page.evaluate("document.activeElement.id") == "board":
            break
        keyboard.press("Tab")
    assert page.page.locator(".cross").is_visible()
    before = page.picture()
    for key, count in ((" ", 1), ("ArrowLeft", 8), ("ArrowDown", 6), ("ArrowRight", 8), (" ", 1)):
        for _ in range(count):
            keyboard.press(key)
    page.settle()
    sketch = page.saved("save-condition")
    assert (sketch < 128).sum() > 300
    assert sketch[256, 200] < 128
    assert not np.array_equal(page.picture(), before)
    keyboard.press("m")
    page.page.locator("#board").focus()
    page.page.keyboard.press(".")
    assert "class" in page.status()
    keyboard.press("g")
    for _ in range(10):
        keyboard.press("Shift+ArrowUp")
    keyboard.press(" ")
    page.settle()
    assert page.saved("save-condition")[0, 256] == 2
    assert page.page.locator("#status").get_attribute("aria-live") == "polite"
    keyboard.press("?")
    assert page.page.locator("#help-dialog").is_visible()
    keyboard.press("Escape")
    keyboard.press("Control+z")
    assert page.status() == "undone: bucket"


def test_a_phone_and_a_pen(browser: Browser, studio: Running) -> None:
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, device_scale_factor=2
    )
    page = Studio(context, f"http://{studio.host}/?token={TOKEN}")
    assert page.page.evaluate("document.documentElement.scrollWidth") == 360
    board, face = page.page.locator("#board").bounding_box(), page.page.locator("#face").bounding_box()
    assert board
    assert face
    assert board["width"] > 330
    assert face["y"] > board["y"] + board["height"]
    wide = "[...document.querySelectorAll('button, select, input')].filter((each) => each.getBoundingClientRect().right > 361)"
    assert page.page.evaluate(f"{wide}.length") == 0
    session = context.new_cdp_session(page.page)

    def touch(*points: tuple[float, float], radius: float = 5) -> None:
        for index, (x, y) in enumerate(points):
            left, top = page.at(x, y)
            place = {"x": left, "y": top, "radiusX": radius, "radiusY": radius}
            session.send(
                "Input.dispatchTouchEvent", {"type": "touchMove" if index else "touchStart", "touchPoints": [place]}
            )
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    touch((100, 100), (200, 110), (300, 100))
    page.settle()
    first = page.board
    assert (first < 128).sum() > 500
    touch((100, 300), (200, 310), (300, 300), radius=40)  # a palm
    assert np.array_equal(page.board, first)
    pair = [{"x": x, "y": board["y"] + 150} for x in (150, 210)]
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": pair[:1]})
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": pair})
    apart = [{**pair[0], "x": 90}, {**pair[1], "x": 270}]
    session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": apart})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert page.page.locator("#board canvas").bounding_box()["width"] > 2 * board["width"]  # type: ignore[index]
    page.page.locator("#board").focus()
    page.page.keyboard.press("Home")
    assert np.array_equal(page.board, first)
    for kind, x, force in (("mousePressed", 100, 0.3), ("mouseMoved", 200, 0.9), ("mouseReleased", 300, 0.9)):
        left, top = page.at(x, 200)
        pen = {"pointerType": "pen", "force": force, "button": "left", "buttons": 1, "x": left, "y": top}
        session.send("Input.dispatchMouseEvent", {"type": kind, **pen})
    page.settle()
    second = page.board
    assert not np.array_equal(second, first)
    touch((100, 400), (200, 410), (300, 400))  # the hand that holds the pen
    assert np.array_equal(page.board, second)
    page.page.click("#mode-map")
    page.settle()
    assert page.page.evaluate("document.documentElement.scrollWidth") == 360
    context.close()
    assert not page.problems


def test_the_studio_ends_and_runs_again_and_nothing_is_lost(browser: Browser, engine: Engine) -> None:
    running = Running(engine)
    context = browser.new_context()
    page = Studio(context, f"http://{running.host}/?token={TOKEN}")
    page.draw(FACE[0])
    page.settle()
    before = page.picture()
    running.stop()
    page.page.wait_for_selector("#offline")
    page.draw(FACE[1])
    page.draw(FACE[7])
    assert np.array_equal(page.picture(), before)
    other = "another-token-of-the-tests"  # as every start has
    running = Running(engine, running.port, other)
    newer = Studio(context, f"http://{running.host}/?token={other}")
    page.page.wait_for_selector("#offline", state="hidden")
    page.settle()
    assert not np.array_equal(page.picture(), before)
    assert newer.digest() == page.digest()
    assert np.array_equal(
        page.picture(), np.asarray(engine.models["photo-sketch"].translator(page.saved("save-condition")))
    )
    context.close()
    running.stop()
