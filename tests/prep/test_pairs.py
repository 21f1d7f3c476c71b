"""One's own pairs: joined by stem, listed where they don't pair, and never shifted."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from facesynth import images
from facesynth.errors import InputError
from facesynth.labels import CELEBAMASK_HQ, get_scheme
from facesynth.manifest import read_dataset
from facesynth.prep.check import check_dataset
from facesynth.prep.pairs import prepare_pairs
from facesynth.prep.pipeline.dataset import Prepared
from facesynth.prep.pipeline.workers import Workers
from facesynth.prep.splits import Splits

from ..trees import contents

NAMES = ["anna", "bob smith", "zoë", "10", "9"]


def photo_of(name: str) -> np.ndarray:
    return np.random.default_rng(len(name) + ord(name[0])).integers(0, 256, (24, 24, 3), np.uint8)


def labels_of(name: str) -> np.ndarray:
    labels = np.random.default_rng(ord(name[0])).integers(0, 19, (24, 24)).astype(np.uint8)
    labels[0, 0] = 18
    return labels


def sketch_of(name: str) -> np.ndarray:
    sketch = np.full((24, 24), 255, np.uint8)
    for row in np.random.default_rng(ord(name[0])).integers(2, 22, 3):
        sketch[row, 4:20] = 40
    return sketch


@pytest.fixture
def own(tmp_path: Path) -> Path:
    for folder in ("photos", "labels", "sketches"):
        (tmp_path / folder).mkdir()
    for name in NAMES:
        Image.fromarray(photo_of(name)).save(tmp_path / "photos" / f"{name}.jpg", quality=95)
        Image.fromarray(labels_of(name)).save(tmp_path / "labels" / f"{name}.png")
        Image.fromarray(sketch_of(name)).save(tmp_path / "sketches" / f"{name}.webp", lossless=True)
    return tmp_path


def pair(own: Path, kind: str = "labels", **options: Any) -> Prepared:
    conditions = own / ("labels" if kind == "labels" else "sketches")
    return prepare_pairs(own / "photos", conditions, own / "data", kind=kind, workers=Workers(jobs=1), **options)


def rows(own: Path) -> pd.DataFrame:
    return read_dataset(own / "data").rows


def report(own: Path) -> list[list[str]]:
    return pd.read_csv(own / "data" / "report.csv", dtype=str, keep_default_na=False).to_numpy().tolist()


def test_label_maps_are_joined_by_stem(own: Path) -> None:
    done = pair(own)
    assert (done.written, done.kept, done.failures, done.noticed) == (5, 0, [], {})
    assert rows(own)["id"].tolist() == sorted(NAMES)
    for name in NAMES:
        assert (own / "data" / rows(own)["photo"][name]).read_bytes() == (own / f"photos/{name}.jpg").read_bytes()
        np.testing.assert_array_equal(np.asarray(Image.open(own / "data" / rows(own)["labels"][name])), labels_of(name))


def test_photographed_sketches_are_levelled_on_demand(own: Path) -> None:
    for name in NAMES:
        sheet = np.full((64, 64), 180, np.uint8)
        sheet[20:44, 30:32] = 60
        for path in (own / "sketches").glob(f"{name}.*"):
            Image.fromarray(sheet).save(path, lossless=True)
    found = []
    for paper in ("keep", "auto"):
        pair(own, "sketch", name="mine", paper=paper)
        found.append(images.read_sketch(own / "data" / rows(own)["sketch_mine"]["10"]))
    assert [(int(drawn[5, 5]), int(drawn[30, 30])) for drawn in found] == [(180, 60), (255, 0)]
    with pytest.raises(InputError, match="paper is 'level', but the kind is labels; it applies to sketches only"):
        pair(own, paper="level")
    with pytest.raises(InputError, match="paper is 'flat'; needed: auto, keep, level"):
        pair(own, "sketch", paper="flat")


def test_sketches_come_under_their_name(own: Path) -> None:
    pair(own, "sketch", name="by hand")
    assert (rows(own)["sketch_by hand"] == "sketches/by hand/" + rows(own)["id"] + ".png").all()
    for name in NAMES:
        drawn = images.read_sketch(own / "data" / rows(own)["sketch_by hand"][name])
        np.testing.assert_array_equal(drawn, sketch_of(name))


def test_both_kinds_come_into_one_dataset(own: Path) -> None:
    pair(own)
    pair(own, "sketch")
    assert (rows(own)[["labels", "sketch_own"]] != "").all(axis=None)
    assert pair(own).kept == 5


def test_what_does_not_pair_is_listed_and_nothing_shifts(own: Path) -> None:
    (own / "labels" / "bob smith.png").unlink()
    (own / "photos" / "10.jpg").unlink()
    shutil.copyfile(own / "photos" / "9.jpg", own / "photos" / "9.jpeg")
    done = pair(own)
    assert done.written == 2
    assert [(failure.id, failure.kind, failure.reason) for failure in done.failures] == [
        ("10", "no-photo", "labels/10.png has no photo in photos"),
        ("9", "duplicate", "photos/9.jpeg and 9.jpg have the same name; keep one of them"),
        ("bob smith", "no-condition", "photos/bob smith.jpg has no labels in labels"),
    ]
    assert [row[1] for row in report(own)] == ["10", "9", "bob smith"]
    for name in ("anna", "zoë"):
        np.testing.assert_array_equal(
            images.read_labels(own / "data/labels" / f"{name}.png", CELEBAMASK_HQ), labels_of(name)
        )


def test_colour_coded_maps_are_decoded(own: Path) -> None:
    scheme = get_scheme("face-parsing")
    for name in NAMES:
        Image.fromarray(images.colourise(labels_of(name), scheme)).save(own / "labels" / f"{name}.png")
    broken = images.colourise(labels_of("anna"), scheme)
    broken[2:10, 4:12] = (90, 90, 90)
    Image.fromarray(broken).save(own / "labels" / "anna.png")
    done = pair(own, scheme=scheme, palette=True)
    assert read_dataset(own / "data").scheme == scheme
    assert [(failure.id, failure.kind) for failure in done.failures] == [("anna", "colours")]
    assert (
        "has 64 of 576 pixels in colours of no class of face-parsing (the first is #5a5a5a)" in done.failures[0].reason
    )
    for name in NAMES[1:]:
        with Image.open(own / "data/labels" / f"{name}.png") as labels:
            assert labels.mode == "P"
            np.testing.assert_array_equal(np.asarray(labels), labels_of(name))


def test_a_picture_of_another_kind_is_a_finding(own: Path) -> None:
    Image.fromarray(np.full((24, 24), 255, np.uint8)).save(own / "sketches" / "anna.webp", lossless=True)
    done = pair(own, "sketch")
    assert (done.written, done.noticed) == (5, {"kind": 1})
    said = "given as a sketch; it is a blank sheet: no line or area on 100.0% of it"
    assert report(own) == [["pairs-sketch-own", "anna", "warning", "kind", said]]
    assert [failure.id for failure in pair(own, "sketch", strict=True).failures] == ["anna"]


def test_other_proportions_are_a_finding(own: Path) -> None:
    Image.fromarray(np.hstack([sketch_of("anna")] * 2)).save(own / "sketches" / "anna.webp", lossless=True)
    done = pair(own, "sketch")
    assert (done.written, done.noticed) == (5, {"proportions": 1})
    assert report(own) == [["pairs-sketch-own", "anna", "warning", "proportions", "photo 24 x 24, sketch 48 x 24"]]
    assert [failure.id for failure in pair(own, "sketch", strict=True).failures] == ["anna"]


@pytest.mark.parametrize("name", ["a\nb", ".a", "a\\b"])
def test_names_that_cannot_be_ids_are_remarked(own: Path, name: str) -> None:
    Image.fromarray(photo_of("x")).save(own / "photos" / f"{name}.jpg")
    done = pair(own)
    assert done.written == 5
    assert done.noticed == ({} if name == ".a" else {"no-id": 1})
    if done.noticed:
        assert report(own)[0][1] == f"photos/{name}.jpg".replace("\n", "\\n")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\uff1d"])
def test_names_that_spreadsheets_run_get_no_id(own: Path, start: str) -> None:
    for folder, suffix in (("photos", "jpg"), ("labels", "png")):
        picture = photo_of("x") if folder == "photos" else labels_of("x")
        Image.fromarray(picture).save(own / folder / f"{start}cmd.{suffix}")
    done = pair(own)
    assert (done.written, done.noticed) == (5, {"no-id": 2})
    assert all("that does not begin with =, +, - or @; rename the picture" in row[4] for row in report(own)[:2])


@pytest.mark.parametrize("length", [251, 250])
def test_the_longest_names_are_taken(own: Path, length: int) -> None:
    name = "x" * length
    Image.fromarray(photo_of("x")).save(own / "photos" / f"{name}.jpg")
    Image.fromarray(labels_of("x")).save(own / "labels" / f"{name}.png")
    assert (pair(own).written, check_dataset(own / "data", workers=Workers(jobs=1)).problems) == (6, [])


def test_names_that_grow_too_long_are_remarked(own: Path) -> None:
    name = "\u0958" * 80  # NFC writes each as two characters, six bytes
    Image.fromarray(photo_of("x")).save(own / "photos" / f"{name}.jpg")
    assert (pair(own).written, pair(own).noticed) == (5, {"no-id": 1})


def test_no_cell_of_the_report_is_a_formula(own: Path) -> None:
    (own / "photos").rename(own / "=photos")
    (own / "labels" / "anna.png").unlink()
    Image.fromarray(photo_of("x")).save(own / "=photos" / "-1.jpg")
    prepare_pairs(own / "=photos", own / "labels", own / "data", kind="labels", workers=Workers(jobs=1))
    rows = report(own)
    assert [row[1] for row in rows if row[3] == "no-id"] == ["'=photos/-1.jpg"]
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]
    assert "&#39;=photos" not in (own / "data" / "report.html").read_text()


def test_bad_pictures_are_left_out(own: Path) -> None:
    (own / "labels" / "anna.png").write_text("no picture")
    (own / "photos" / "zoë.jpg").write_bytes((own / "photos" / "zoë.jpg").read_bytes()[:200])
    (own / "labels" / "9.png").unlink()
    (own / "labels" / "9.png").symlink_to("9.png")
    Image.fromarray(labels_of("x") + 100).save(own / "labels" / "10.png")
    done = pair(own)
    assert [(failure.id, failure.kind) for failure in done.failures] == [
        (name, "unreadable") for name in ("10", "9", "anna", "zoë")
    ]
    assert not [name for name in contents(own / "data") if "anna" in name or "zoë" in name]


def test_only_what_changed_is_done_again(own: Path) -> None:
    pair(own)
    Image.fromarray(labels_of("b")).save(own / "labels" / "anna.png")
    (own / "photos" / "new.jpg").write_bytes((own / "photos" / "9.jpg").read_bytes())
    shutil.copyfile(own / "labels" / "9.png", own / "labels" / "new.png")
    done = pair(own)
    assert (done.written, done.kept) == (2, 4)


def test_signs_of_two_codes_are_one_name(own: Path) -> None:
    (own / "photos" / "zoë.jpg").rename(own / "photos" / "zoe\u0308.jpg")
    assert pair(own).written == 5
    assert "zo\u00eb" in rows(own)["id"].tolist()


def test_other_folders_of_the_same_sizes_and_dates_are_other_pictures(own: Path) -> None:
    for folder in ("photos", "labels"):
        shutil.copytree(own / folder, own / "other" / folder)
    for number, (mine, name) in enumerate((mine, name) for mine in (own, own / "other") for name in NAMES):
        for folder in ("photos", "labels"):
            for path in (mine / folder).glob(f"{name}.*"):
                path.unlink()
            Image.fromarray(np.full((24, 24, 3), number * 10, np.uint8)).save(mine / "photos" / f"{name}.bmp")
            Image.fromarray(np.full((24, 24), 1 + number, np.uint8)).save(mine / "labels" / f"{name}.bmp")
        for path in (*(mine / "photos").iterdir(), *(mine / "labels").iterdir()):
            os.utime(path, (0, 0))
    seen = []
    for mine in (own, own / "other", own):
        done = prepare_pairs(mine / "photos", mine / "labels", own / "data", kind="labels", workers=Workers(jobs=1))
        assert (done.written, done.failures) == (5, [])
        seen.append([images.read_photo(own / "data" / path)[0, 0, 0].item() for path in rows(own)["photo"]])
        labels = [images.read_labels(own / "data" / path, CELEBAMASK_HQ)[0, 0].item() for path in rows(own)["labels"]]
        assert [value // 10 + 1 for value in seen[-1]] == labels
    assert seen[0] == seen[2] != seen[1]


def test_what_another_stage_replaced_is_done_again(own: Path) -> None:
    other = Path(shutil.copytree(own, own / "other"))
    for folder in (own, other):
        for name in NAMES:
            (folder / "photos" / f"{name}.jpg").unlink()
            shade = 10 if folder == own else 200
            Image.fromarray(np.full((24, 24, 3), shade, np.uint8)).save(folder / "photos" / f"{name}.bmp")
    pair(own)
    done = prepare_pairs(other / "photos", other / "sketches", own / "data", kind="sketch", workers=Workers(jobs=1))
    assert done.outdated == {"labels": 5}
    assert (rows(own)[["labels", "labels_sha256", "classes", "class_pixels"]] == "").all(axis=None)
    done = pair(own)
    assert (done.written, done.kept, done.outdated) == (5, 0, {"sketch_own": 5})
    assert images.read_photo(own / "data" / rows(own)["photo"]["anna"])[0, 0, 0] == 10
    assert check_dataset(own / "data", workers=Workers(jobs=1)).problems == []


def test_splits_stay_with_the_photos(own: Path) -> None:
    pair(own, splits=Splits(val=0, test=1))
    pair(own, "sketch")
    assert set(rows(own)["split"]) == {"test"}
    pair(own, "sketch", splits=Splits(val=1, test=0))
    assert set(rows(own)["split"]) == {"val"}


def test_splits(own: Path) -> None:
    done = pair(own, splits=Splits(listed={"anna": "test", "9": "val"}, source="mine.txt"))
    assert rows(own)["split"].to_dict() == {"9": "val", "anna": "test"}
    assert {(failure.kind, failure.reason) for failure in done.failures} == {
        ("no-split", "not in mine.txt, which defines the splits")
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "photo"}, "kind 'photo' is not known; give one of: labels, sketch"),
        ({"name": "a_sha256"}, "'a_sha256' cannot name your sketches"),
        ({"name": "xdog"}, "'xdog' cannot name your sketches"),
        ({"conditions": "photos"}, "photos was given both for the photos and for the labels; give two folders"),
        ({"name": "a/b"}, "'a/b' cannot name your sketches"),
        ({"photos": "absent"}, "cannot read .*absent: No such file or directory; give a folder of pictures"),
        ({"conditions": "empty"}, "no picture in .*empty; looked for .png"),
        (
            {"conditions": "others"},
            "no picture in .*photos has the same name as one in .*others: for example 10 and stranger",
        ),
    ],
)
def test_wrong_input(own: Path, change: dict[str, str], message: str) -> None:
    (own / "empty").mkdir()
    (own / "others").mkdir()
    Image.fromarray(labels_of("x")).save(own / "others" / "stranger.png")
    given = {"photos": "photos", "conditions": "labels", "kind": "labels", "name": "own"} | change
    with pytest.raises(InputError, match=message):
        prepare_pairs(
            own / given["photos"], own / given["conditions"], own / "data", kind=given["kind"], name=given["name"]
        )
    assert not (own / "data").exists()


def test_names_that_differ_by_a_pattern(own: Path) -> None:
    for path in (own / "sketches").iterdir():
        path.rename(path.with_name(f"F2-{path.stem}-sz1{path.suffix}"))
    with pytest.raises(InputError, match=r"; --match '\{id\}' 'F2-\{id\}-sz1' would join \d$"):
        pair(own, "sketch")
    done = prepare_pairs(own / "photos", own / "sketches", own / "data", kind="sketch", match=("{id}", "F2-{id}-sz1"))
    assert done.written == len(list((own / "data/sketches/own").iterdir())) > 0
    np.testing.assert_array_equal(images.read_sketch(own / "data/sketches/own/anna.png"), sketch_of("anna"))
    with pytest.raises(InputError, match=r"match has 'x'; needed: two patterns"):
        prepare_pairs(own / "photos", own / "sketches", own / "data", kind="sketch", match=("x", "{id}"))
