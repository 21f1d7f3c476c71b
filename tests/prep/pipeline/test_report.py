"""The audit page: true to the folder, the same bytes for the same folder, and safe whatever the folder holds."""

from __future__ import annotations

import base64
import csv
import io
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facesynth import __version__, images, manifest
from facesynth.errors import DatasetError
from facesynth.labels import CELEBAMASK_HQ
from facesynth.manifest import iter_rows, read_columns, read_dataset
from facesynth.prep.pipeline import report
from facesynth.prep.pipeline.findings import KINDS
from facesynth.prep.pipeline.report import write_report

VOID = {"meta", "img", "br", "rect"}


class Page(HTMLParser):
    """A page's tags, and its text and pictures by section."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.source = (root / "report.html").read_text("utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {"": ""}
        self.cells: dict[str, list[list[str]]] = {}
        self.images: dict[str, list[dict[str, str | None]]] = {}
        self._section, self._open = "", []
        self.feed(self.source)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append((tag, values))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section" and "id" in values:
            self._section = values["id"]
            self.text[self._section] = ""
        if tag == "tr":
            self.cells.setdefault(self._section, []).append([])
        if tag in ("td", "th"):
            self.cells[self._section][-1].append("")
        if tag == "img":
            self.images.setdefault(self._section, []).append(values)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" in self._open:
            return
        self.text[self._section] += " ".join(data.split()) + " " if data.strip() else ""
        if {"td", "th"} & set(self._open):
            self.cells[self._section][-1][-1] += data

    def table(self, section: str) -> list[list[str]]:
        return [[" ".join(cell.split()) for cell in row] for row in self.cells[section]]


def decoded(image: dict[str, str | None]) -> np.ndarray:
    kind, data = image["src"].split(",")
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)


def page_of(root: Path) -> Page:
    write_report(root)
    return Page(root)


def find(root: Path, *findings: tuple[str, ...]) -> None:
    with (root / "report.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("stage", "id", "level", "finding", "detail"), *findings])


def rewrite(root: Path, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    """Change every row of the manifest."""
    dataset, rows = read_dataset(root), [change(row) for row in iter_rows(root)]
    manifest.write_rows(root, rows, list(rows[0]), dataset.scheme, dataset.stages)


@pytest.fixture
def data(dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dataset, tmp_path / "data"))


# ----------------------------------------------------------------------------------------------------------- the figures


def test_photos_by_split(data: Path) -> None:
    splits = Counter(row["split"] for row in iter_rows(data))
    order = [name for name in ("train", "val", "test") if splits[name]]
    page = page_of(data)
    counts = [str(splits[name]) for name in order]
    head, photos, share, *columns = page.table("photos")
    assert head == ["", *order, "all"]
    assert photos == ["photos", *counts, "6"]
    assert [float(cell.rstrip("%")) for cell in share[1:-1]] == pytest.approx(
        [100 * splits[name] / 6 for name in order], abs=0.05
    )
    assert columns == [[name, *counts, "6"] for name in ("labels", "sketch_dodge", "sketch_xdog")]
    assert "6 of 64 \N{MULTIPLICATION SIGN} 64 pixels" in page.text["photos"]
    assert "Photos 6 in the manifest Errors 0" in page.text[""]


def test_classes_as_the_label_maps_have_them(data: Path) -> None:
    maps = [images.read_labels(path, CELEBAMASK_HQ) for path in sorted((data / "labels").iterdir())]
    pixels = np.bincount(np.concatenate([array.ravel() for array in maps]), minlength=19)
    page = page_of(data)
    bars = [values for tag, values in page.tags if tag == "rect" and "fill" in values]
    rows = page.table("classes")[1:]
    assert len(rows) == 19
    for number, (name, photos, share) in enumerate(rows):
        count = sum(bool((array == number).any()) for array in maps)
        assert name == f"{number} {CELEBAMASK_HQ.classes[number]}"
        assert photos == f"{count} · {report.share(count, 6)}"
        assert share == report.share(int(pixels[number]), int(pixels.sum()))
        colour = "#" + bytes(CELEBAMASK_HQ.colours[number]).hex()
        assert [bar["fill"] for bar in bars[2 * number : 2 * number + 2]] == [colour, colour]
        assert float(bars[2 * number]["width"]) == pytest.approx(100 * count / 6, abs=0.01)
        assert float(bars[2 * number + 1]["width"]) == pytest.approx(100 * pixels[number] / pixels.max(), abs=0.01)
    assert sum(int(row[1].split()[0]) for row in rows) > 6 * 5


def test_no_share_of_pixels_where_the_manifest_has_none(data: Path) -> None:
    rewrite(data, lambda row: {name: value for name, value in row.items() if name != "class_pixels"})
    assert "class_pixels" not in read_columns(data)
    page = page_of(data)
    assert page.table("classes")[0] == ["class", "label maps"]
    assert {len(row) for row in page.table("classes")} == {2}


def test_classes_that_somebody_broke_do_not_stop_the_page(data: Path) -> None:
    rewrite(data, lambda row: row | {"classes": "0 1 99 x", "class_pixels": "60 y 7"})
    rows = page_of(data).table("classes")[1:]
    assert [row[0] for row in rows if not row[1].startswith("0 ·")] == ["0 background", "1 skin"]
    assert rows[0][2] == "100%"
    assert rows[1][2] == "0%"


def test_parameters_of_every_stage_and_the_version(data: Path) -> None:
    page = page_of(data)
    for stage, parameters in read_dataset(data).stages.items():
        shown = page.text["stages"].split(f" {stage} ")[-1] if stage != "masks" else page.text["stages"]
        for name, value in parameters.items():
            assert f"{name} {value} " in shown or isinstance(value, (bool, dict, list, type(None)))
    assert {"masks", "sketches-dodge", "sketches-xdog"} <= set(page.text["stages"].split())
    assert f"facesynth {__version__} " in page.source


# ---------------------------------------------------------------------------------------------------------- the findings


def test_findings_by_kind(data: Path) -> None:
    find(
        data,
        *(("masks", f"0000{number}", "warning", "islands", f"speck {number}") for number in range(5)),
        ("masks", "00002", "warning", "overlap", "hair over skin"),
        ("masks", "00008", "error", "no-parts", "photo without masks"),
        ("masks", "00009", "error", "no-parts", "another"),
        ("sketches-xdog", "00009", "error", "unreadable", "damaged"),
    )
    page = page_of(data)
    text = page.text["findings"]
    order = ["no-parts", "unreadable", "islands", "overlap"]
    places = [text.index(f"{kind} ") for kind in order]
    assert places == sorted(places)
    assert f"no-parts 2 errors {KINDS['no-parts']} " in text
    assert f"unreadable 1 error {KINDS['unreadable']} " in text
    assert f"islands 5 warnings {KINDS['islands']} " in text
    assert re.findall(r"speck (\d)", text) == ["0", "1", "2"]
    assert "00008 · masks photo without masks" in text
    assert "Errors 2 photos" in page.text[""]
    assert "Warnings 5 photos" in page.text[""]
    assert len(page.images["findings"]) == 4  # 0, 1, 2 and 2 again; 8 and 9 are not in the folder
    assert text.count("no picture of it here") == 3


def test_no_findings(data: Path) -> None:
    find(data)
    assert page_of(data).text["findings"] == "Findings None. "
    (data / "report.csv").unlink()
    assert page_of(data).text["findings"] == "Findings None. "


def test_findings_of_another_version_are_one_group(data: Path) -> None:
    find(data, *(("masks", f"{number}", "warning", f"kind {number}", "new") for number in range(50)))
    text = page_of(data).text["findings"]
    assert "other 50 warnings" in text
    assert "kind 0: new" in text
    assert "kind 40" not in text
    (data / "report.csv").write_text("stage,id,finding\nmasks,00007,every part mask is empty\n")
    text = page_of(data).text["findings"]
    assert "other 1 error" in text
    assert "00007 · masks every part mask is empty" in text


def test_nothing_could_be_prepared(data: Path, tmp_path: Path) -> None:
    root = tmp_path / "failed"
    (root / "photos").mkdir(parents=True)
    shutil.copy(data / "photos" / "00003.jpg", root / "photos" / "00003.jpg")
    Image.new("RGB", (8, 8)).save(tmp_path / "outside.png")
    find(
        root,
        ("masks", "00003", "error", "no-parts", "photo without masks"),
        ("masks", "../../outside", "error", "no-parts", "out of reach"),
        ("masks", "n" * 5000, "error", "no-parts", "too long"),
    )
    page = page_of(root)
    assert "No photo could be prepared" in page.text[""]
    assert "no-parts 3 errors" in page.text["findings"]
    assert set(page.text) == {"", "findings"}
    (image,) = page.images["findings"]
    photo = images.read_photo(data / "photos" / "00003.jpg")
    assert np.abs(decoded(image) - photo).mean() < 6


def test_findings_that_are_no_utf8_and_no_csv(data: Path) -> None:
    (data / "report.csv").write_bytes(b"stage,id,level,finding,detail\nmasks,1,error,unreadable,na\xefve\n")
    assert r"na\xefve" in page_of(data).text["findings"]
    (data / "report.csv").write_text("stage,id,level,finding,detail\nmasks,1,error,unreadable," + "x" * 200_000)
    with pytest.raises(DatasetError, match=r"report\.csv cannot be read as CSV: field larger than"):
        write_report(data)


# ---------------------------------------------------------------------------------------------------------- the pictures


def test_label_maps_lie_over_their_photos(data: Path) -> None:
    page = page_of(data)
    assert len(page.images["labels"]) == 6
    for identifier, image in zip(read_dataset(data).rows["id"], page.images["labels"], strict=True):
        photo = images.read_photo(data / "photos" / f"{identifier}.jpg").astype(int)
        ids = images.read_labels(data / "labels" / f"{identifier}.png", CELEBAMASK_HQ)
        ids = images.resize(ids, photo.shape[:2], labels=True)
        shown = decoded(image)
        assert shown.shape == photo.shape == (int(image["height"]), int(image["width"]), 3)
        inside, colours = ids > 0, images.colourise(ids, CELEBAMASK_HQ).astype(int)
        mixed = 0.55 * photo + 0.45 * colours
        assert np.abs(shown - photo)[~inside].mean() < 8
        assert np.abs(shown - mixed)[inside].mean() < 12
        assert np.abs(shown - photo)[inside].mean() > 25
        assert f"{identifier} · " in page.text["labels"]


def test_sketches_stand_beside_their_photos(data: Path) -> None:
    rewrite(data, lambda row: row | ({"sketch_xdog": ""} if row["id"] == "00001" else {}))
    page = page_of(data)
    shown = iter(page.images["sketches"])
    for identifier in read_dataset(data).rows["id"]:
        photo = images.read_photo(data / "photos" / f"{identifier}.jpg").astype(int)
        assert np.abs(decoded(next(shown)) - photo).mean() < 6
        for method in ("dodge", "xdog"):
            if (identifier, method) != ("00001", "xdog"):
                sketch = images.read_sketch(data / "sketches" / method / f"{identifier}.png").astype(int)
                assert np.abs(decoded(next(shown)) - sketch[..., None]).mean() < 10
    assert next(shown, None) is None
    assert page.text["sketches"].count("no sketch xdog ") == 1


def test_pictures_are_spread_over_the_ids(data: Path) -> None:
    rows = list(iter_rows(data))
    many = [row | {"id": f"{number:05d}"} for number, row in enumerate(rows * 100)]
    dataset = read_dataset(data)
    manifest.write_rows(data, many, list(rows[0]), dataset.scheme, dataset.stages)
    page = page_of(data)
    labels = [int(text) for text in re.findall(r"(\d{5}) ·", page.text["labels"])]
    sketches = [int(text) for text in re.findall(r"(\d{5}) ·", page.text["sketches"])]
    assert len(labels) == report.OVERLAYS
    assert len(sketches) == report.PAIRS
    for chosen in (labels, sketches):
        assert set(np.diff(chosen) // (600 / len(chosen) / 2)) <= {1, 2}
        assert chosen[0] == 0


@given(st.integers(0, 3000), st.integers(1, 13))
def test_spread(total: int, count: int) -> None:
    spread = report.Spread(count)
    for item in range(total):
        spread.add(item)
    chosen = spread.chosen()
    assert len(chosen) == min(total, count)
    edges = [*chosen, total]
    assert chosen[:1] == [0][:total]
    assert all(total / count / 2 - 1 < gap < total / count * 1.5 + 1 for gap in np.diff(edges)) or total <= count


DAMAGE = {
    "missing": (Path.unlink, "missing"),
    "empty": (lambda path: path.write_bytes(b""), "cannot be read"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-60]), "cannot be read"),
    "text": (lambda path: path.write_text("<script>"), "cannot be read"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
    "huge": (lambda path: Image.new("1", (20_000, 9000)).save(path, "PNG"), "cannot be read"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("damage", "note"), DAMAGE.values(), ids=DAMAGE)
def test_pictures_that_cannot_be_shown(
    data: Path, damage: Callable[[Path], object], note: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000_000)
    for name in ("photos/00001.jpg", "labels/00002.png", "sketches/dodge/00004.png"):
        damage(data / name)
    find(data, ("masks", "00001", "warning", "islands", "specks"))
    page = page_of(data)
    assert page.text["labels"].count(f"photo under its label map: {note}") == 2
    assert len(page.images["labels"]) == 4
    assert page.text["sketches"].count(f"photo: {note}") == 1
    assert page.text["sketches"].count(f"dodge: {note}") == 1
    assert len(page.images["sketches"]) == 16
    assert f"{note} 00001 · masks specks" in page.text["findings"]


def test_label_map_of_another_scheme_is_not_shown(data: Path) -> None:
    Image.fromarray(np.full((64, 64), 200, np.uint8)).save(data / "labels" / "00000.png")
    page = page_of(data)
    assert page.text["labels"].count("cannot be read") == 1
    assert len(page.images["labels"]) == 5


def test_pictures_keep_to_their_budget(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for path in (data / "photos").iterdir():
        Image.fromarray(rng.integers(0, 256, (200, 90, 3), np.uint8)).save(path, "PNG")
    monkeypatch.setattr(report, "BUDGET", 60_000)
    page = page_of(data)
    every = [image for section in page.images.values() for image in section]
    assert len(every) == 6 + 18
    sizes = [len(base64.b64decode(image["src"].split(",")[1])) for image in every]
    assert max(sizes) <= 60_000 // 24
    shown = decoded(page.images["sketches"][0])
    assert shown.shape[1] / shown.shape[0] == pytest.approx(0.45, abs=0.03)


# ------------------------------------------------------------------------------------------- what may not be in the page


HOSTILE = "<script>alert(1)</script>\"'&amp;<img src=x onerror=alert(2)>"


def test_text_of_unknown_origin_stays_text(data: Path) -> None:
    find(data, ("masks", "00001", "error", "no-parts", "-"), ("masks", "00001", "warning", "islands", "-"))
    harmless = {tag for tag, _ in page_of(data).tags}
    rewrite(data, lambda row: row | {"id": row["id"] + HOSTILE.replace("/", ""), "sketch_<b>": row["sketch_xdog"]})
    dataset = read_dataset(data)
    stages = {**dataset.stages, f"masks{HOSTILE}": {HOSTILE: HOSTILE, "list": [HOSTILE, None, 1]}}
    manifest.write_rows(data, iter_rows(data), read_columns(data), dataset.scheme, stages)
    find(
        data,
        (HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE),
        ("masks", "héä\u202e中", "warning", "islands", "first\nsecond\x00\u200b" + "long " * 500),
    )
    page = page_of(data)
    assert {tag for tag, _ in page.tags} == harmless
    assert "script" not in harmless
    assert not [name for _, values in page.tags for name in values if name.startswith("on")]
    text = page.text["findings"]
    assert HOSTILE in text
    assert r"héä\u202e中" in text
    assert r"first\nsecond\x00\u200blong long" in text
    assert "long" * 90 not in text.replace(" ", "")
    assert HOSTILE in page.text["stages"]
    assert "sketch_<b>" in page.text["photos"]


def test_page_needs_nothing_from_outside(data: Path) -> None:
    page = page_of(data)
    links = [values["href"] for tag, values in page.tags if tag == "a"]
    assert links == [f"#{name}" for name in ("photos", "findings", "classes", "labels", "sketches", "stages")]
    assert set(links) == {f"#{name}" for name in page.text if name}
    sources = [values["src"] for _, values in page.tags if "src" in values]
    assert sources
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    style = page.source.split("<style>")[1].split("</style>")[0]
    assert "@import" not in style
    assert "url(" not in style
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "form"}
    policy = next(values["content"] for _, values in page.tags if "http-equiv" in values)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert "prefers-color-scheme: dark" in style


def test_same_folder_gives_the_same_bytes_wherever_it_lies(data: Path, tmp_path: Path) -> None:
    find(data, ("masks", "00001", "warning", "islands", "specks"))
    write_report(data)
    other = shutil.copytree(data, tmp_path / "elsewhere" / "moved")
    (other / "report.html").unlink()
    write_report(other)
    page = (other / "report.html").read_bytes()
    assert page == (data / "report.html").read_bytes()
    assert str(tmp_path).encode() not in page
    os.utime(other / "report.html", ns=(1, 1))
    write_report(other)
    assert (other / "report.html").stat().st_mtime_ns == 1
    find(other)
    write_report(other)
    assert (other / "report.html").read_bytes() != page
