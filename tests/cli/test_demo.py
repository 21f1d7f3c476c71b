from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from facesynth import demo, images
from facesynth.demo import Extent, run_demo

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_curves")]

TINY = Extent(portraits=14, steps=2, interval=1, inputs=1, styles=2)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    told = []
    root = tmp_path_factory.mktemp("demo") / "demo"
    page = run_demo(root, extent=TINY, log=told.append)
    return root, page.read_text("utf-8"), told


def pictures(page):
    found = re.findall(r'<img src="data:image/(?:png|jpeg);base64,([^"]+)" alt="([^"]+)">', page)
    return [(np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")), alt) for data, alt in found]


def test_the_page_shows_faces_in_styles(made):
    root, page, _ = made
    shown = pictures(page)
    # a drawing with its photograph in three styles; a label map and a sketch with face, two styles and the portrait each; six
    # rows of three of the data
    assert len(shown) == 4 + 2 * 5 + 6 * 3
    assert page.count("<img") == len(shown)
    assert [alt for _, alt in shown[:4]] == ["drawing", "photograph", "in another style", "in another style"]
    for first, folder, name in ((4, "maps", "label map"), (9, "drawings", "sketch")):
        assert [alt for _, alt in shown[first : first + 5]] == [
            name,
            "face",
            "in another style",
            "in another style",
            "the portrait",
        ]
        (own,) = (root / folder / "own").glob("*.png")
        face = images.read_photo(own)
        assert np.abs(shown[first + 1][0].astype(int) - face).mean() < 3
        assert np.abs(shown[first + 2][0].astype(int) - shown[first + 3][0]).mean() > 5


def test_the_page_needs_nothing_else(made):
    _, page, _ = made
    assert not re.search(r"https?://|<script|<link|src=\"(?!data:)", page)
    assert 'name="viewport" content="width=device-width' in page
    assert "default-src 'none'" in page


def test_the_page_tells_what_the_training_came_to(made):
    root, page, told = made
    lines = [line.split(",") for line in (root / "run" / "metrics.csv").read_text().splitlines()]
    loss = [float(line[lines[0].index("loss")]) for line in lines if line[lines[0].index("split")] == "val"]
    assert f"went from\n{loss[0]:.3f} to {loss[2]:.3f}." in page
    assert "14 portraits were drawn" in page
    assert [line.split()[0] for line in told] == [
        "making",
        "drawing",
        "merging",
        "drawing",
        "training",
        "translating",
        "translating",
    ]
    points = re.search(r'<polyline points="([^"]+)"', page)[1].split()
    assert [float(point.split(",")[0]) for point in points] == [0, 50, 100]
    heights = [60 - float(point.split(",")[1]) for point in points]
    np.testing.assert_allclose(heights, 60 * np.array(loss) / max(loss), atol=0.01)


def test_the_same_again_keeps_what_is_there(made):
    root, page, _ = made
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.png")}
    again = run_demo(root, extent=TINY).read_text("utf-8")
    assert [picture.tobytes() for picture, _ in pictures(again)] == [picture.tobytes() for picture, _ in pictures(page)]
    kept = {path for path, time in before.items() if path.stat().st_mtime_ns == time}
    assert {path for path in before if path.parent.name in ("own", "styles", "labels")} <= kept


def test_the_command(facesynth, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "QUICK", TINY)
    monkeypatch.chdir(tmp_path)
    code, out, err = facesynth("demo", "--quick")
    assert (code, out) == (0, "demo-quick/report.html: open it in a browser\n")
    assert re.search(r"^ +\d+ s  training an encoder for 2 steps$", err, re.MULTILINE)
    assert (tmp_path / "demo-quick" / "report.html").is_file()
