"""From a raw tree to a dataset folder: what is in it, what is done again, and what happens to bad photos."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage.data import astronaut

from facesynth import images
from facesynth.errors import InputError, OutputError
from facesynth.files import locked
from facesynth.labels import LabelScheme, get_scheme
from facesynth.manifest import Dataset, read_dataset, split_by_hash, write_dataset
from facesynth.prep.check import check_dataset
from facesynth.prep.pipeline.dataset import Prepared
from facesynth.prep.pipeline.workers import Workers
from facesynth.prep.portraits.sample import make_sample
from facesynth.prep.sketches.presets import resolve
from facesynth.prep.splits import Splits
from facesynth.prep.stages import prepare_masks, prepare_photos, prepare_sketches

from ..trees import CLASSES, contents, leftovers, times, write_raw

IDS = [f"{number:05d}" for number in range(6)]
MASKS = Path("CelebAMask-HQ-mask-anno", "0")
PHOTOS = Path("CelebA-HQ-img")
MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"
ONE = Workers(jobs=1)


@pytest.fixture
def tree(raw: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(raw, tmp_path / "raw"))


@pytest.fixture(scope="module")
def merged(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset folder of ``raw`` after the masks stage alone."""
    out = tmp_path_factory.mktemp("merged") / "data"
    prepare_masks(raw, out, workers=ONE)
    return out


def merge(raw: Path, out: Path, **options: Any) -> Prepared:
    return prepare_masks(raw, out, workers=ONE, **options)


def draw(source: Path, out: Path, method: str = "xdog", **parameters: float) -> Prepared:
    return prepare_sketches(source, out, drawings=[resolve(method, parameters)], workers=ONE)


def counts(done: Prepared) -> tuple[int, int, int]:
    return done.written, done.kept, len(done.failures)


def rows(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "manifest.csv", dtype=str, keep_default_na=False).set_index("id")


def report(out: Path) -> list[list[str]]:
    return pd.read_csv(out / "report.csv", dtype=str, keep_default_na=False).to_numpy().tolist()


def redone(out: Path, before: dict[str, int]) -> set[str]:
    """Names of the pictures that were written since ``before``."""
    return {name for name, time in times(out).items() if before.get(name) != time and name.startswith(PICTURES)}


PICTURES = ("photos/", "photos_32/", "labels/", "sketches/")


# --- what is in the folder ---


@pytest.mark.parametrize("identifier", IDS)
def test_label_map_is_the_merge_of_the_part_masks(raw: Path, dataset: Path, identifier: str) -> None:
    painted = [np.zeros((512, 512), int)]
    for path in (raw / MASKS).glob(f"{identifier}_*.png"):
        with Image.open(path) as mask:
            painted.append((np.asarray(mask)[..., 0] > 127) * CLASSES.index(path.stem.partition("_")[2]))
    assert len(painted) > 8
    with Image.open(dataset / "labels" / f"{identifier}.png") as labels:
        assert labels.mode == "L"
        found = np.asarray(labels)
    np.testing.assert_array_equal(found, np.max(painted, axis=0))
    assert rows(dataset)["classes"][identifier] == " ".join(map(str, np.unique(found)))


def test_photos_are_the_same_bytes(raw: Path, dataset: Path) -> None:
    for number, identifier in enumerate(IDS):
        path = rows(dataset)["photo"][identifier]
        assert (dataset / path).read_bytes() == (raw / PHOTOS / f"{number}.jpg").read_bytes()


def test_manifest_tells_of_every_file(raw: Path, dataset: Path) -> None:
    table = rows(dataset)
    assert table.index.tolist() == IDS
    assert set(table["width"]) == set(table["height"]) == {"64"}
    named = set()
    for column in ("photo", "labels", "sketch_dodge", "sketch_xdog"):
        for path, digest in zip(table[column], table[f"{column}_sha256"], strict=True):
            assert hashlib.sha256((dataset / path).read_bytes()).hexdigest() == digest
            named.add(path)
    assert {name for name in contents(dataset) if name.startswith(PICTURES)} == named
    mapping = dict(line.split()[::2] for line in (raw / MAPPING).read_text().splitlines()[1:])
    assert table["celeba_file"].tolist() == [mapping[str(number)] for number in range(6)]
    assert leftovers(dataset) == []


def test_stages_are_recorded_with_all_parameters(dataset: Path) -> None:
    described = json.loads((dataset / "dataset.json").read_text())
    assert (described["schema"], described["label_scheme"]) == (1, "celebamask-hq")
    drawn = {"reference_width": 512, "size": None, "background": "keep"}
    assert described["stages"] == {
        "masks": {"label_scheme": "celebamask-hq", "size": None, "palette": False},
        "sketches-dodge": {"method": "dodge", "sigma": 10.0, "strength": 1.0, **drawn},
        "sketches-xdog": {
            "method": "xdog", "sigma": 1.4, "k": 1.6, "p": 40.0, "epsilon": 0.15, "phi": 2.0, **drawn,
        },
    }  # fmt: skip


def test_manifest_counts_the_pixels_of_each_class(dataset: Path) -> None:
    for identifier, row in rows(dataset).iterrows():
        labels = images.read_labels(dataset / "labels" / f"{identifier}.png", get_scheme("celebamask-hq"))
        present, counts = np.unique(labels, return_counts=True)
        assert row["classes"] == " ".join(map(str, present))
        assert row["class_pixels"] == " ".join(map(str, counts))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "hair"), [("face-parsing", 17), ("celebamask-hq-older", 5)])
def test_label_maps_of_another_scheme(raw: Path, merged: Path, tmp_path: Path, name: str, hair: int) -> None:
    scheme = get_scheme(name)
    merge(raw, tmp_path / "data", scheme=scheme)
    assert json.loads((tmp_path / "data" / "dataset.json").read_text())["label_scheme"] == name
    for identifier in IDS:
        ours = np.asarray(Image.open(merged / "labels" / f"{identifier}.png"))
        other = np.asarray(Image.open(tmp_path / "data" / "labels" / f"{identifier}.png"))
        painted = np.zeros((512, 512), np.uint8)
        for number, part in enumerate(scheme.classes[1:], start=1):
            path = raw / MASKS / f"{identifier}_{part}.png"
            if path.is_file():
                painted[np.asarray(Image.open(path).convert("L")) > 127] = number
        np.testing.assert_array_equal(other, painted)
        assert ((other == hair) & (ours == 13)).sum() > 100


def test_small_label_maps_in_indexed_colour(raw: Path, merged: Path, tmp_path: Path) -> None:
    merge(raw, tmp_path / "data", size=128, palette=True)
    for identifier in IDS:
        with Image.open(tmp_path / "data" / "labels" / f"{identifier}.png") as small:
            assert (small.mode, small.size) == ("P", (128, 128))
            assert small.getpalette()[3:6] == [204, 0, 0]
            found = np.asarray(small)
        whole = np.asarray(Image.open(merged / "labels" / f"{identifier}.png"))
        np.testing.assert_array_equal(found, images.resize(whole, (128, 128), labels=True))


@pytest.mark.parametrize("method", ["dodge", "xdog"])
def test_sketches_of_a_raw_tree_and_of_its_dataset_are_the_same(
    raw: Path, dataset: Path, tmp_path: Path, method: str
) -> None:
    draw(raw, tmp_path / "out", method)
    drawn = {name: data for name, data in contents(tmp_path / "out").items() if name.startswith(PICTURES)}
    assert len(drawn) == 12
    assert drawn.items() <= contents(dataset).items()
    assert rows(tmp_path / "out")[f"sketch_{method}"].equals(rows(dataset)[f"sketch_{method}"])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dodge", "xdog"])
def test_same_drawing_at_any_size(tmp_path: Path, method: str) -> None:
    part = {"skin": np.ones((8, 8), bool)}
    for size in (256, 512, 1024):
        write_raw(tmp_path / "raw", size, part, photo=images.resize(astronaut(), (size, size)))
    draw(tmp_path / "raw", tmp_path / "out", method)
    small, middle, large = (
        images.resize(images.read_sketch(path), (256, 256)).astype(float)
        for path in sorted((tmp_path / "out" / "sketches" / method).iterdir())
    )
    for other in (small, large):
        assert np.corrcoef(middle.ravel(), other.ravel())[0, 1] > 0.95
        assert np.abs(middle - other).mean() < 12


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["processes", "threads"])
def test_every_backend_writes_the_same(raw: Path, merged: Path, tmp_path: Path, backend: str) -> None:
    threads = cv2.getNumThreads()
    prepare_masks(raw, tmp_path / "data", workers=Workers(3, backend))
    assert contents(tmp_path / "data") == contents(merged)
    assert cv2.getNumThreads() == threads


def test_photos_of_training_size(raw: Path, merged: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(merged, tmp_path / "data"))
    assert counts(prepare_photos(out, out, size=32, workers=ONE)) == (6, 0, 0)
    assert counts(prepare_photos(raw, tmp_path / "other", size=32, workers=ONE)) == (6, 0, 0)
    for identifier, row in rows(out).iterrows():
        assert row["photo_32"] == f"photos_32/{identifier}.png"
        data = (out / row["photo_32"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["photo_32_sha256"]
        small = np.asarray(Image.open(io.BytesIO(data)))
        whole = np.asarray(Image.open(out / row["photo"])).astype(float)
        averaged = whole.reshape(32, 2, 32, 2, 3).mean((1, 3))
        assert np.abs(small - averaged).max() <= 0.5
        assert (tmp_path / "other" / row["photo_32"]).read_bytes() == data


def test_photos_keep_their_proportions_and_are_never_enlarged(tmp_path: Path) -> None:
    photo = astronaut()[:200, :300]
    for number, size in enumerate(((200, 300), (20, 30), (300, 3))):
        write_raw(tmp_path / "raw", number, {}, photo=np.ascontiguousarray(np.resize(photo, (*size, 3))))
    prepare_photos(tmp_path / "raw", tmp_path / "data", size=64, workers=ONE)
    shapes = [images.read_photo(tmp_path / "data" / "photos_64" / f"{number:05d}.png").shape for number in range(3)]
    assert shapes == [(43, 64, 3), (20, 30, 3), (64, 1, 3)]


# --- what is done again ---


def test_second_run_writes_nothing(raw: Path, dataset: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(dataset, tmp_path / "data"))
    before = times(out)
    assert counts(merge(raw, out)) == (0, 6, 0)
    for method in ("dodge", "xdog"):
        assert counts(draw(out, out, method)) == (0, 6, 0)
    assert times(out) == before


@pytest.mark.parametrize("changed", ["photo", "mask"])
def test_change_redoes_only_that_id(tree: Path, merged: Path, tmp_path: Path, changed: str) -> None:
    out = Path(shutil.copytree(merged, tmp_path / "data"))
    before, table = times(out), rows(out)
    if changed == "photo":
        shutil.copyfile(tree / PHOTOS / "4.jpg", tree / PHOTOS / "2.jpg")
    else:
        (tree / MASKS / "00002_hair.png").unlink()
    assert counts(merge(tree, out)) == (1, 5, 0)
    assert redone(out, before) == {"photos/00002.jpg" if changed == "photo" else "labels/00002.png"}
    differing = (table != rows(out)).any(axis=1)
    assert differing[differing].index.tolist() == ["00002"]
    assert (rows(out)["photo_sha256"]["00002"] == table["photo_sha256"]["00004"]) == (changed == "photo")
    assert ("13" in rows(out)["classes"]["00002"].split()) == (changed == "photo")


def test_changed_photo_redoes_its_sketch(tree: Path, dataset: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(dataset, tmp_path / "data"))
    shutil.copyfile(tree / PHOTOS / "4.jpg", tree / PHOTOS / "2.jpg")
    merge(tree, out)
    assert counts(draw(out, out)) == (1, 5, 0)
    assert rows(out)["sketch_xdog_sha256"]["00002"] == rows(out)["sketch_xdog_sha256"]["00004"]


@pytest.mark.slow
@pytest.mark.parametrize("changed", ["photo", "labels"])
def test_what_was_made_of_another_photo_leaves_the_manifest(
    raw: Path, tree: Path, dataset: Path, tmp_path: Path, changed: str
) -> None:
    out = Path(shutil.copytree(dataset, tmp_path / "data"))
    prepare_photos(out, out, size=32, workers=ONE)
    if changed == "photo":
        shutil.copyfile(tree / PHOTOS / "4.jpg", tree / PHOTOS / "2.jpg")
    else:
        (tree / MASKS / "00002_hair.png").unlink()
    gone = {"sketch_dodge": 1, "sketch_xdog": 1, "photo_32": 1} if changed == "photo" else {}
    assert merge(tree, out).outdated == gone
    for column in ("sketch_dodge", "sketch_xdog", "photo_32"):
        empty = rows(out)[column] == ""
        assert empty[empty].index.tolist() == (["00002"] if gone else [])
        assert (rows(out)[f"{column}_sha256"][empty] == "").all()
    draw(out, out)
    assert rows(out)["sketch_xdog"]["00002"] == "sketches/xdog/00002.png"


def test_photo_of_another_kind_takes_the_place_of_the_old(tree: Path, merged: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(merged, tmp_path / "data"))
    Image.open(tree / PHOTOS / "2.jpg").save(tree / PHOTOS / "2.png")
    (tree / PHOTOS / "2.jpg").unlink()
    assert counts(merge(tree, out)) == (1, 5, 0)
    assert sorted(path.name for path in (out / "photos").glob("00002.*")) == ["00002.png"]
    assert rows(out)["photo"]["00002"] == "photos/00002.png"


def test_another_split_is_no_work(raw: Path, merged: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(merged, tmp_path / "data"))
    before = times(out)
    assert counts(merge(raw, out, splits=Splits(val=0, test=1))) == (0, 6, 0)
    assert set(rows(out)["split"]) == {"test"}
    assert redone(out, before) == set()
    listed = Splits(listed={str(number): "val" for number in range(5)}, source="list.csv")
    done = merge(raw, out, splits=listed)
    assert counts(done) == (0, 5, 1)
    assert (done.failures[0].id, done.failures[0].kind) == ("00005", "no-split")
    assert rows(out)["labels"]["00005"] == ""


@pytest.mark.slow
def test_a_split_that_was_asked_for_stays(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    merge(raw, out, splits=Splits(val=1, test=0))
    assert set(rows(out)["split"]) == {"val"}
    for again in (lambda: merge(raw, out), lambda: draw(raw, out), lambda: draw(out, out, "dodge")):
        again()
        assert set(rows(out)["split"]) == {"val"}
    assert (rows(out)["celeba_file"] != "").all()
    merge(raw, out, force=True)
    assert set(rows(out)["split"]) != {"val"}


def test_label_maps_of_other_photos_leave_the_manifest(raw: Path, tree: Path, merged: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(merged, tmp_path / "data"))
    shutil.copyfile(tree / PHOTOS / "4.jpg", tree / PHOTOS / "2.jpg")
    assert draw(tree, out).outdated == {"labels": 1}
    row = rows(out).loc["00002"]
    assert (row["labels"], row["labels_sha256"], row["classes"], row["class_pixels"]) == ("", "", "", "")
    assert not (out / "labels" / "00002.png").exists()
    assert check_dataset(out, workers=ONE).problems == []
    assert counts(merge(tree, out)) == (1, 5, 0)
    assert rows(out)["labels"]["00002"] == "labels/00002.png"


@pytest.mark.slow
def test_drawings_that_need_no_label_map_are_made_without(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    draw(tree, out, "dodge")
    without(f"{MASKS}/00003_*")(tree)
    merge(tree, out)
    before = times(out)
    both = [resolve("xdog"), resolve("contours")]
    done = prepare_sketches(out, out, drawings=both, workers=ONE)
    assert counts(done) == (6, 0, 1)
    assert (done.failures[0].id, done.failures[0].kind) == ("00003", "no-labels")
    assert rows(out)["sketch_xdog"].tolist().count("") == 0
    assert rows(out)["sketch_contours"].tolist().count("") == 1
    assert report(out)[-1][:4] == ["sketches-contours", "00003", "error", "no-labels"]
    done = prepare_sketches(out, out, drawings=[resolve("xdog")], workers=ONE)
    assert counts(done) == (0, 6, 0)
    assert "sketches/dodge/00003.png" not in redone(out, before)


@pytest.mark.slow
@pytest.mark.parametrize("left", ['{"id": "00009", "key', '{"id": "00000", "failure": ["unreadable", "x"]}\n', "?\n"])
def test_journal_of_another_stage_that_was_killed(raw: Path, dataset: Path, tmp_path: Path, left: str) -> None:
    out = Path(shutil.copytree(dataset, tmp_path / "data"))
    with (out / ".stages" / "sketches-xdog.jsonl").open("a") as journal:
        journal.write(left)
    assert counts(merge(raw, out)) == (0, 6, 0)
    assert len(report(out)) == ("failure" in left)
    assert (out / "manifest.csv").read_bytes() == (dataset / "manifest.csv").read_bytes()
    assert draw(out, out).failures == []
    assert contents(out) == contents(dataset)


def test_parts_of_any_name_and_in_any_kind_of_file(tmp_path: Path) -> None:
    scheme = LabelScheme("cats", ("background", "left-eye", "right eye", "fur"))
    parts = {name: np.eye(64, k=20 * number, dtype=bool) for number, name in enumerate(scheme.classes)}
    del parts["background"]
    write_raw(tmp_path / "raw", 0, parts, photo=np.zeros((64, 64, 3), np.uint8))
    folder = tmp_path / "raw" / MASKS
    with Image.open(folder / "00000_fur.png") as fur:
        fur.save(folder / "00000_fur.bmp")
    (folder / "00000_fur.png").unlink()
    done = merge(tmp_path / "raw", tmp_path / "data", scheme=scheme)
    assert (done.failures, done.noticed) == ([], {})
    assert rows(tmp_path / "data")["classes"]["00000"] == "0 1 2 3"
    shutil.copyfile(folder / "00000_fur.bmp", folder / "00000_fur.jpg")
    assert merge(tmp_path / "raw", tmp_path / "data", scheme=scheme).failures[0].kind == "duplicate"


def test_what_strict_leaves_out_leaves_no_files(tree: Path, tmp_path: Path) -> None:
    Image.new("RGB", (512, 512)).save(tree / MASKS / "00003_hat.png")
    merge(tree, tmp_path / "data", strict=True)
    assert not [name for name in contents(tmp_path / "data") if "00003" in name]
    assert check_dataset(tmp_path / "data", workers=ONE).problems == []


def test_strict_makes_findings_fatal(tree: Path, tmp_path: Path) -> None:
    Image.new("RGB", (512, 512)).save(tree / MASKS / "00003_hat.png")
    shutil.copyfile(tree / MASKS / "00004_skin.png", tree / MASKS / "00004_beard.png")
    shutil.copyfile(tree / PHOTOS / "4.jpg", tree / PHOTOS / "four.jpg")
    out = tmp_path / "data"
    done = merge(tree, out)
    assert counts(done) == (6, 0, 0)
    assert done.noticed == {"empty-part": 1, "no-id": 1, "unknown-part": 1}
    assert [row[:4] for row in report(out)] == [
        ["masks", "00003", "warning", "empty-part"],
        ["masks", "00004", "warning", "unknown-part"],
        ["masks", "CelebA-HQ-img/four.jpg", "warning", "no-id"],
    ]
    strict = merge(tree, out, strict=True)
    assert counts(strict) == (0, 6, 3)
    assert [failure.id for failure in strict.failures] == ["00003", "00004", "CelebA-HQ-img/four.jpg"]
    assert {row[2] for row in report(out)} == {"error"}
    assert rows(out)["labels"].tolist().count("") == 2
    assert merge(tree, out).noticed == done.noticed
    assert rows(out)["labels"].tolist().count("") == 0


def test_other_parameters_redo_all(dataset: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(dataset, tmp_path / "data"))
    assert counts(draw(out, out, sigma=3.0)) == (6, 0, 0)
    assert not (rows(out)["sketch_xdog_sha256"] == rows(dataset)["sketch_xdog_sha256"]).any()
    assert rows(out)["sketch_dodge_sha256"].equals(rows(dataset)["sketch_dodge_sha256"])


def test_force_redoes_all(raw: Path, merged: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(merged, tmp_path / "data"))
    (out / "photos/00001.jpg").write_bytes(b"damaged")
    (out / "labels/00001.png").unlink()
    before = times(out)
    assert counts(merge(raw, out, force=True)) == (6, 0, 0)
    assert redone(out, before) == {"photos/00001.jpg", "labels/00001.png"}  # the others were the same
    assert contents(out) == contents(merged)


def test_lost_file_is_made_again(raw: Path, merged: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(merged, tmp_path / "data"))
    (out / "labels" / "00001.png").unlink()
    (out / "photos" / "00003.jpg").write_bytes(b"short")
    assert counts(merge(raw, out)) == (2, 4, 0)
    assert contents(out) == contents(merged)


def test_photos_that_come_later_keep_the_splits(raw: Path, tree: Path, tmp_path: Path) -> None:
    (tree / MAPPING).unlink()
    for path in (*tree.rglob("0000[0-2]_*.png"), *tree.glob(f"{PHOTOS}/[0-2].jpg")):
        path.unlink()
    out = tmp_path / "data"
    assert counts(merge(tree, out)) == (3, 0, 0)
    first = rows(out)["split"]
    shutil.copytree(raw, tree, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MAPPING))
    assert counts(merge(tree, out)) == (3, 3, 0)
    splits = rows(out)["split"]
    assert splits[first.index].equals(first)
    assert splits.tolist() == [split_by_hash(identifier) for identifier in IDS]
    assert set(rows(out)["celeba_file"]) == {""}


@pytest.mark.slow
def test_official_split_that_comes_later_stays(raw: Path, tree: Path, dataset: Path, tmp_path: Path) -> None:
    (tree / MAPPING).unlink()
    out = tmp_path / "data"
    merge(tree, out)
    draw(out, out)
    assert not rows(out)["split"].equals(rows(dataset)["split"])
    shutil.copyfile(raw / MAPPING, tree / MAPPING)
    merge(tree, out)
    draw(out, out)
    assert rows(out)["split"].equals(rows(dataset)["split"])


# --- bad photos ---


def cut(name: Path) -> Callable[[Path], None]:
    def breach(tree: Path) -> None:
        data = (tree / name).read_bytes()
        (tree / name).write_bytes(data[: len(data) // 2])

    return breach


def without(pattern: str) -> Callable[[Path], None]:
    return lambda tree: [path.unlink() for path in tree.glob(pattern)]


def blank(tree: Path) -> None:
    for path in (tree / MASKS).glob("00003_*.png"):
        Image.new("RGB", (512, 512)).save(path)


def without_mapping_line(tree: Path) -> None:
    lines = (tree / MAPPING).read_text().splitlines(keepends=True)
    (tree / MAPPING).write_text("".join(line for line in lines if not line.startswith("3 ")))


BREACHES = {
    "truncated photo": (cut(PHOTOS / "3.jpg"), "unreadable", r"3\.jpg cannot be decoded"),
    "truncated mask": (cut(MASKS / "00003_skin.png"), "unreadable", r"00003_skin\.png"),
    "text for a mask": (
        lambda tree: (tree / MASKS / "00003_skin.png").write_text("skin"),
        "unreadable",
        r"00003_skin\.png is not a picture",
    ),
    "empty mask file": (
        lambda tree: (tree / MASKS / "00003_skin.png").write_bytes(b""),
        "unreadable",
        r"00003_skin\.png is not a picture",
    ),
    "photo without masks": (
        without(f"{MASKS}/00003_*"),
        "no-parts",
        "photo without part masks CelebAMask-HQ-mask-anno/0/00003_<pa",
    ),
    "masks without photo": (
        without(f"{PHOTOS}/3.jpg"),
        "no-photo",
        r"part masks without a photo CelebA-HQ-img/3\.jpg",
    ),
    "empty masks": (blank, "blank-map", "all 14 part masks are empty"),
    "id not in the mapping": (without_mapping_line, "no-split", f"not in {MAPPING}, which defines the splits"),
    "photo twice": (
        lambda tree: shutil.copyfile(tree / PHOTOS / "3.jpg", tree / PHOTOS / "00003.png"),
        "duplicate",
        "have the same id; keep one",
    ),
}
EACH = pytest.mark.parametrize(("breach", "kind", "reason"), BREACHES.values(), ids=BREACHES)


def restore(raw: Path, tree: Path) -> None:
    shutil.rmtree(tree)
    shutil.copytree(raw, tree)


@pytest.mark.slow
@EACH
def test_bad_photo_is_a_named_failure(
    raw: Path, tree: Path, merged: Path, tmp_path: Path, breach: Callable[[Path], object], kind: str, reason: str
) -> None:
    breach(tree)
    out = tmp_path / "data"
    done = merge(tree, out)
    assert counts(done) == (5, 0, 1)
    assert done.failures[0].id == "00003"
    failure = done.failures[0]
    assert failure.kind == kind
    assert report(out) == [["masks", "00003", "error", kind, failure.reason]]
    with pytest.raises(InputError, match=reason):
        raise InputError(done.failures[0].reason)
    assert rows(out).index.tolist() == [identifier for identifier in IDS if identifier != "00003"]
    assert not [name for name in contents(out) if "00003" in name]
    restore(raw, tree)
    assert counts(merge(tree, out)) == (1, 5, 0)
    assert report(out) == []
    assert contents(out) == contents(merged)


def test_photo_that_was_good_before_loses_its_label_map(raw: Path, tree: Path, dataset: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(dataset, tmp_path / "data"))
    cut(MASKS / "00003_skin.png")(tree)
    assert counts(merge(tree, out)) == (0, 5, 1)
    row = rows(out).loc["00003"]
    assert (row["labels"], row["labels_sha256"], row["classes"]) == ("", "", "")
    assert row["sketch_xdog"] == "sketches/xdog/00003.png"
    restore(raw, tree)
    merge(tree, out)
    assert contents(out) == contents(dataset)


@pytest.mark.parametrize("source", ["raw", "data"])
def test_photo_that_cannot_be_sketched(tree: Path, merged: Path, tmp_path: Path, source: str) -> None:
    out = tmp_path / "data"
    if source == "data":
        shutil.copytree(merged, out)
        cut(Path("photos", "00003.jpg"))(out)
    else:
        cut(PHOTOS / "3.jpg")(tree)
    done = draw(out if source == "data" else tree, out)
    assert counts(done) == (5, 0, 1)
    assert [row[:2] for row in report(out)] == [["sketches-xdog", "00003"]]
    assert rows(out).get("sketch_xdog").get("00003", "") == ""
    assert not (out / "sketches" / "xdog" / "00003.png").exists()


def test_reports_of_two_stages_are_kept_apart(tree: Path, tmp_path: Path) -> None:
    cut(PHOTOS / "3.jpg")(tree)
    without(f"{MASKS}/00001_*")(tree)
    merge(tree, tmp_path / "data")
    draw(tree, tmp_path / "data", "dodge")
    assert [row[:2] for row in report(tmp_path / "data")] == [
        ["masks", "00001"], ["masks", "00003"], ["sketches-dodge", "00003"],
    ]  # fmt: skip


def test_no_photo_is_good(tree: Path, tmp_path: Path) -> None:
    without(f"{PHOTOS}/*.jpg")(tree)
    write_raw(tree, 6, {}, photo=np.zeros((8, 8, 3), np.uint8))
    assert counts(merge(tree, tmp_path / "data")) == (0, 0, 7)
    assert not (tmp_path / "data" / "manifest.csv").exists()
    assert len(report(tmp_path / "data")) == 7


def test_photo_with_damaged_metadata_is_used(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    buffer = io.BytesIO()
    Image.fromarray(astronaut()[:64, :64]).save(buffer, "JPEG", exif=exif)
    write_raw(tmp_path / "raw", 0, {"skin": np.ones((8, 8), bool)})
    damaged = buffer.getvalue().replace(b"\x00\x2a\x00\x00\x00\x08", b"\x00\x2b\x00\x00\x00\x08", 1)
    assert damaged != buffer.getvalue()
    (tmp_path / "raw" / PHOTOS / "0.jpg").write_bytes(damaged)
    assert counts(merge(tmp_path / "raw", tmp_path / "data")) == (1, 0, 0)


# --- the whole run ---


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["sample", "masks", "sketches"])
def test_second_of_two_runs_is_refused(raw: Path, merged: Path, tmp_path: Path, stage: str) -> None:
    out = tmp_path / "data"
    run = {
        "sample": lambda: make_sample(out, count=2, size=64, workers=ONE),
        "masks": lambda: merge(raw, out),
        "sketches": lambda: draw(raw, out),
    }[stage]
    out.mkdir()
    with locked(out):
        with pytest.raises(OutputError, match="is being written by another facesynth command"):
            run()
        assert [path.name for path in out.iterdir()] == [".facesynth.lock"]
    assert run().written
    assert leftovers(out) == []


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["masks", "sketches"])
@pytest.mark.parametrize("writes", [0, 4, 9])
def test_full_disk_stops_the_run_and_loses_nothing(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, writes: int
) -> None:
    run, left = merge if stage == "masks" else draw, writes
    original = Path.write_bytes

    def write_bytes(path: Path, data: bytes) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            original(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return original(path, data)

    out = tmp_path / "data"
    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(OutputError, match=f"cannot write {out}/.*: No space left on device"):
        run(raw, out)
    monkeypatch.undo()
    assert leftovers(out) == []
    assert not (out / "manifest.csv").exists()
    run(raw, out)
    run(raw, tmp_path / "undisturbed")
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_sketches_keep_the_label_scheme(dataset: Path, raw: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(dataset, tmp_path / "data"))
    opened = read_dataset(out)
    write_dataset(Dataset(out, opened.rows, get_scheme("face-parsing"), opened.stages))
    draw(out, out, sigma=2.0)
    assert read_dataset(out).scheme.name == "face-parsing"
    with pytest.raises(InputError, match="is of scheme face-parsing, not celebamask-hq; give another folder"):
        merge(raw, out)


@pytest.mark.parametrize(
    ("method", "parameters", "reason"),
    [
        ("pen", {}, "'pen' is not known; give one of: dodge, xdog"),
        ("dodge", {"sigma": 0.0}, r"sigma is 0\.0"),
        ("xdog", {"phi": float("nan")}, "phi is nan"),
        ("dodge", {"p": 1.0}, "dodge has no parameter 'p'; it takes: sigma"),
    ],
)
def test_wrong_parameters_are_one_error(
    raw: Path, tmp_path: Path, method: str, parameters: dict[str, float], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        draw(raw, tmp_path / "data", method, **parameters)
    assert not (tmp_path / "data").exists()


def test_dataset_as_source_is_its_own_folder(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a dataset folder and takes the pictures itself"):
        draw(dataset, tmp_path / "other")
