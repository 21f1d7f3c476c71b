"""The check of a dataset folder: clean where preparation left it, and every damage is named."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from facesynth.cli import main
from PIL import Image

from facesynth import manifest
from facesynth.errors import DatasetError
from facesynth.files import sha256
from facesynth.manifest import iter_rows, read_dataset
from facesynth.prep.check import Checked, Problem, check_dataset
from facesynth.prep.pairs import prepare_pairs
from facesynth.prep.pipeline.workers import Workers
from facesynth.prep.stages import prepare_masks, prepare_photos

from ..trees import contents, times

ONE = Workers(jobs=1)
FILES = ("photo", "labels", "sketch_dodge", "sketch_xdog")


@pytest.fixture
def data(dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dataset, tmp_path / "data"))


def check(root: Path) -> list[Problem]:
    return check_dataset(root, workers=ONE).problems


def row_of(root: Path, identifier: str) -> dict[str, str]:
    return next(row for row in iter_rows(root) if row["id"] == identifier)


def change(root: Path, identifier: str, **values: str) -> None:
    """Change one photo's row of the manifest."""
    dataset = read_dataset(root)
    rows = [row | (values if row["id"] == identifier else {}) for row in iter_rows(root)]
    manifest.write_rows(root, rows, list(rows[0]), dataset.scheme, dataset.stages)


def put(root: Path, identifier: str, column: str, picture: Image.Image) -> None:
    """Write another picture in place of a photo's, and its digest into the manifest."""
    path = root / row_of(root, identifier)[column]
    picture.save(path)
    change(root, identifier, **{f"{column}_sha256": sha256(path.read_bytes())})


def grey(value: int, size: tuple[int, int] = (64, 64)) -> Image.Image:
    return Image.new("L", size, value)


# ---------------------------------------------------------------------------------------------------------------- clean


def test_prepared_folder_is_clean_and_stays_as_it_is(data: Path) -> None:
    before = contents(data), times(data)
    assert check_dataset(data, workers=ONE) == Checked(data, rows=6, files=24, problems=[])
    assert (contents(data), times(data)) == before


def test_other_ways_of_preparing_are_clean(raw: Path, tmp_path: Path) -> None:
    prepare_masks(raw, tmp_path / "data", palette=True, size=64, workers=ONE)
    assert check_dataset(tmp_path / "data", workers=ONE) == Checked(tmp_path / "data", rows=6, files=12)


def test_photos_of_any_shape_shrunk_to_training_size_are_clean(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    (tmp_path / "photos").mkdir()
    (tmp_path / "drawings").mkdir()
    for width, height in ((64, 37), (37, 64), (63, 50), (5, 64), (64, 1), (9, 12), (45, 22), (22, 45)):
        name = f"{width}x{height}.png"
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(tmp_path / "photos" / name)
        grey(230, (width, height)).save(tmp_path / "drawings" / name)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (60, 40), "red").save(tmp_path / "photos" / "turned.jpg", exif=turned)
    grey(255, (40, 60)).save(tmp_path / "drawings" / "turned.png")
    root = tmp_path / "data"
    prepare_pairs(tmp_path / "photos", tmp_path / "drawings", root, kind="sketch", workers=ONE)
    prepare_photos(root, root, size=16, workers=ONE)
    assert check_dataset(root, workers=ONE) == Checked(root, rows=9, files=27)
    assert row_of(root, "turned")["width"] == "40"
    put(root, "64x37", "photo_16", Image.new("RGB", (16, 10)))
    put(root, "9x12", "photo_16", Image.new("RGB", (12, 16)))
    assert check(root) == [
        Problem("64x37", "photo_16", "photos_16/64x37.png is 16 x 10; needed: 16 x 9"),
        Problem("9x12", "photo_16", "photos_16/9x12.png is 12 x 16; needed: 9 x 12"),
    ]


def test_columns_of_older_manifests_need_not_be_there(data: Path) -> None:
    dataset = read_dataset(data)
    rows = [{name: value for name, value in row.items() if name != "class_pixels"} for row in iter_rows(data)]
    manifest.write_rows(data, rows, list(rows[0]), dataset.scheme, dataset.stages)
    assert check(data) == []


def test_photos_without_a_picture_of_a_kind_are_clean(data: Path) -> None:
    (data / "sketches" / "xdog" / "00002.png").unlink()
    change(data, "00002", sketch_xdog="", sketch_xdog_sha256="")
    assert check_dataset(data, workers=ONE) == Checked(data, rows=6, files=23)


# --------------------------------------------------------------------------------------------------------------- damage


GONE = {
    "deleted": (Path.unlink, "{name} is missing"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "{name} is no file (a folder"),
    "empty": (lambda path: path.write_bytes(b""), "{name} is not a picture, or is damaged in its first bytes"),
    "no picture": (lambda path: path.write_text("text"), "{name} is not a picture, or is damaged in its first bytes"),
    "cut off": (
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3]),
        "{name} cannot be decoded: ",
    ),
}


@pytest.mark.parametrize("column", FILES)
@pytest.mark.parametrize(("damage", "detail"), GONE.values(), ids=GONE)
def test_files_that_are_gone_or_damaged(data: Path, column: str, damage: Callable[[Path], object], detail: str) -> None:
    name = row_of(data, "00003")[column]
    damage(data / name)
    (problem,) = check(data)
    assert problem[:2] == ("00003", column)
    assert problem.detail.startswith(detail.format(name=name))
    assert "\n" not in problem.detail


@pytest.mark.parametrize("column", FILES)
def test_whole_files_that_are_not_those_of_the_manifest(data: Path, column: str) -> None:
    path, other = (data / row_of(data, identifier)[column] for identifier in ("00001", "00004"))
    shutil.copy(other, path)
    name = path.relative_to(data)
    theirs, given = (row_of(data, identifier)[f"{column}_sha256"][:12] for identifier in ("00004", "00001"))
    assert check(data) == [
        Problem("00001", f"{column}_sha256", f"{name} has the SHA-256 {theirs}…, the manifest gives {given}…")
    ]
    change(data, "00001", **{f"{column}_sha256": ""})
    assert check(data)[0].detail.endswith(", the manifest gives none")


def test_photo_of_another_size(data: Path) -> None:
    put(data, "00001", "photo", Image.new("RGB", (64, 48)))
    change(data, "00002", width="63")
    change(data, "00003", height="064")
    assert check(data) == [
        Problem("00001", "width", "photos/00001.jpg is 64 x 48, the manifest gives 64 x 64"),
        Problem("00002", "width", "photos/00002.jpg is 64 x 64, the manifest gives 63 x 64"),
        Problem("00003", "width", "photos/00003.jpg is 64 x 64, the manifest gives 64 x 064"),
    ]


def test_label_maps_of_other_classes(data: Path) -> None:
    put(data, "00000", "labels", grey(19))
    put(data, "00001", "labels", Image.new("RGB", (64, 64), "red"))
    half = grey(13, (4, 2))
    half.putpixel((0, 0), 0)
    put(data, "00002", "labels", half)
    put(data, "00003", "labels", half)
    change(data, "00003", classes="0 13", class_pixels="2 6")
    put(data, "00004", "labels", half)
    change(data, "00004", classes="0 13", class_pixels="1 7", class_centres="0,0 2,1")
    told = row_of(data, "00002")["classes"]
    problems = check(data)
    assert [problem[:2] for problem in problems] == [
        ("00000", "labels"),
        ("00001", "labels"),
        ("00002", "classes"),
        ("00003", "class_pixels"),
    ]
    assert problems[0].detail.startswith("labels/00000.png holds the value 19")
    assert problems[1].detail.startswith("labels/00001.png is a")
    assert problems[2].detail == f"labels/00002.png has classes '0 13', the manifest gives {told!r}"
    assert problems[3].detail == "labels/00003.png has class_pixels '1 7', the manifest gives '2 6'"


def test_label_map_in_place_of_a_sketch(data: Path) -> None:
    put(data, "00005", "sketch_dodge", grey(13))
    (problem,) = check(data)
    assert problem[:2] == ("00005", "sketch_dodge")
    assert "that is a label map" in problem.detail


def test_files_that_no_row_names(data: Path) -> None:
    before = check_dataset(data, workers=ONE)
    shutil.copy(data / "photos" / "00001.jpg", data / "photos" / "00099.jpg")
    shutil.copytree(data / "sketches" / "xdog", data / "sketches" / "old")
    (data / "photos_128").mkdir()
    (data / "photos_128" / "a.txt").touch()
    (data / "labels" / ".00001.png.12ab34cd.part").touch()
    (data / ".manifest.csv.99.part").touch()
    (data / "labels" / ".DS_Store").touch()
    (data / "notes.txt").touch()
    (data / "runs").mkdir()
    (data / "runs" / "a.png").touch()
    taken = "was left half-written; the next `facesynth prep` into the folder removes it"
    names = [
        f".manifest.csv.99.part {taken}",
        f"labels/.00001.png.12ab34cd.part {taken}",
        "photos/00099.jpg is not in the manifest",
        "photos_128/a.txt is not in the manifest",
        *(f"sketches/old/0000{number}.png is not in the manifest" for number in range(6)),
    ]
    done = check_dataset(data, workers=ONE)
    assert done.problems == [Problem("", "", detail) for detail in names]
    assert (done.rows, done.files) == (before.rows, before.files)


def test_paths_however_they_are_written_are_one_file(data: Path) -> None:
    change(data, "00001", photo="photos//./00001.jpg")
    assert check(data) == []
    change(data, "00001", photo="photos/\0.jpg")
    assert check(data)[0][:2] == ("00001", "photo")
    assert check(data)[0].detail.startswith("photos/\0.jpg cannot be read: ")


def test_problems_come_in_order_however_the_work_is_shared(data: Path) -> None:
    for identifier in ("00005", "00000", "00003"):
        (data / row_of(data, identifier)["photo"]).unlink()
        (data / row_of(data, identifier)["labels"]).write_bytes(b"")
    rows = list(iter_rows(data))
    dataset = read_dataset(data)
    with (data / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(reversed(rows))
    assert [row["id"] for row in iter_rows(data)] == sorted(dataset.rows["id"], reverse=True)
    expected = [(number, column) for number in ("00000", "00003", "00005") for column in ("labels", "photo")]
    for workers in (ONE, Workers(jobs=2, backend="threads"), Workers(jobs=2)):
        assert [problem[:2] for problem in check_dataset(data, workers=workers).problems] == expected


def test_progress_counts_photos(data: Path) -> None:
    seen = []

    def progress(items, total):
        for item in items:
            seen.append(total)
            yield item

    assert check_dataset(data, workers=ONE, progress=progress).problems == []
    assert seen == [6] * 6


def test_broken_manifest_is_an_error_not_a_problem(data: Path) -> None:
    change(data, "00001", split="dev")
    with pytest.raises(DatasetError, match="the split 'dev'"):
        check(data)
    with pytest.raises(DatasetError, match=r"is not a dataset folder: manifest\.csv is missing"):
        check(data / "photos")


# --------------------------------------------------------------------------------------------------------- command line


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> object:
    """The command's exit code."""
    monkeypatch.setattr("sys.argv", ["facesynth", "prep", "check", *map(str, arguments), "-j", "1"])
    try:
        main()
    except SystemExit as end:
        return end.code or 0
    return 0


def test_command_on_a_clean_folder(data: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert run(monkeypatch, data, "-q") == 0
    assert capsys.readouterr() == (f"{data}: 6 photos, 24 files, no problems\n", "")
    assert run(monkeypatch, data) == 0
    assert capsys.readouterr().err.startswith("photos checked: 100%")


def test_command_names_the_first_problems(data: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    (data / "photos" / "00004.jpg").unlink()
    assert run(monkeypatch, data, "-q") == 1
    assert capsys.readouterr() == (
        f"{data}: 6 photos, 24 files, 1 problem\n",
        "00004, photo: photos/00004.jpg is missing\n",
    )
    for path in [*(data / "labels").iterdir(), *data.glob("sketches/*/*")]:
        path.unlink()
    (data / "photos" / "b.png").touch()
    (data / "photos" / "c.png").touch()
    assert run(monkeypatch, data, "-q") == 1
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out.endswith(" 24 files, 21 problems\n")
    assert len(lines) == 21
    assert lines[19:] == ["photos/b.png is not in the manifest", "and 1 more"]


def test_command_on_no_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert run(monkeypatch, tmp_path / "absent", "-q") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"facesynth: {tmp_path / 'absent'} is not a dataset folder")
    assert len(err.splitlines()) == 1
