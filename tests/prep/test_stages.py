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

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage.data import astronaut

from facesynth import images
from facesynth.errors import InputError, OutputError
from facesynth.files import locked
from facesynth.labels import get_scheme
from facesynth.manifest import Dataset, read_dataset, split_by_hash, write_dataset
from facesynth.prep.stages import Prepared, make_sample, prepare_masks, prepare_sketches

from ..trees import CLASSES, contents, leftovers, times, write_raw

IDS = [f"{number:05d}" for number in range(6)]
MASKS = Path("CelebAMask-HQ-mask-anno", "0")
PHOTOS = Path("CelebA-HQ-img")
MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"


@pytest.fixture
def tree(raw: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(raw, tmp_path / "raw"))


@pytest.fixture(scope="module")
def merged(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset folder of ``raw`` after the masks stage alone."""
    out = tmp_path_factory.mktemp("merged") / "data"
    prepare_masks(raw, out, jobs=1)
    return out


def merge(raw: Path, out: Path, **options: bool) -> Prepared:
    return prepare_masks(raw, out, jobs=1, **options)


def draw(source: Path, out: Path, method: str = "xdog", **parameters: float) -> Prepared:
    return prepare_sketches(source, out, method=method, parameters=parameters, jobs=1)


def counts(done: Prepared) -> tuple[int, int, int]:
    return done.written, done.kept, len(done.failures)


def rows(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "manifest.csv", dtype=str, keep_default_na=False).set_index("id")


def report(out: Path) -> list[list[str]]:
    return pd.read_csv(out / "report.csv", dtype=str, keep_default_na=False).to_numpy().tolist()


def redone(out: Path, before: dict[str, int]) -> set[str]:
    """Names of the pictures that were written since ``before``."""
    return {name for name, time in times(out).items() if before.get(name) != time and name.startswith(PICTURES)}


PICTURES = ("photos/", "labels/", "sketches/")


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
    assert described["stages"] == {
        "masks": {"label_scheme": "celebamask-hq"},
        "sketches-dodge": {"method": "dodge", "reference_width": 512, "sigma": 10.0},
        "sketches-xdog": {
            "method": "xdog", "reference_width": 512, "sigma": 1.4, "k": 1.6, "p": 40.0, "epsilon": 0.15, "phi": 2.0,
        },
    }  # fmt: skip


@pytest.mark.parametrize("method", ["dodge", "xdog"])
def test_sketches_of_a_raw_tree_and_of_its_dataset_are_the_same(
    raw: Path, dataset: Path, tmp_path: Path, method: str
) -> None:
    draw(raw, tmp_path / "out", method)
    drawn = {name: data for name, data in contents(tmp_path / "out").items() if name.startswith(PICTURES)}
    assert len(drawn) == 12
    assert drawn.items() <= contents(dataset).items()
    assert rows(tmp_path / "out")[f"sketch_{method}"].equals(rows(dataset)[f"sketch_{method}"])


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
    assert redone(out, before) == {"photos/00002.jpg", "labels/00002.png"}
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


def test_other_parameters_redo_all(dataset: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(dataset, tmp_path / "data"))
    assert counts(draw(out, out, sigma=3.0)) == (6, 0, 0)
    assert not (rows(out)["sketch_xdog_sha256"] == rows(dataset)["sketch_xdog_sha256"]).any()
    assert rows(out)["sketch_dodge_sha256"].equals(rows(dataset)["sketch_dodge_sha256"])


def test_force_redoes_all(raw: Path, merged: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(merged, tmp_path / "data"))
    before = times(out)
    assert counts(merge(raw, out, force=True)) == (6, 0, 0)
    assert len(redone(out, before)) == 12
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
    "truncated photo": (cut(PHOTOS / "3.jpg"), r"3\.jpg cannot be decoded"),
    "truncated mask": (cut(MASKS / "00003_skin.png"), r"00003_skin\.png cannot be decoded"),
    "photo without masks": (
        without(f"{MASKS}/00003_*"),
        "photo without part masks CelebAMask-HQ-mask-anno/0/00003_<pa",
    ),
    "masks without photo": (without(f"{PHOTOS}/3.jpg"), r"part masks without a photo CelebA-HQ-img/3\.jpg"),
    "unknown part": (
        lambda tree: shutil.copyfile(tree / MASKS / "00003_skin.png", tree / MASKS / "00003_beard.png"),
        "part 'beard' is not in celebamask-hq",
    ),
    "empty masks": (blank, "every part mask is empty"),
    "id not in the mapping": (without_mapping_line, f"id 3 is not in {MAPPING}"),
    "masks of two sizes": (
        lambda tree: Image.new("L", (256, 256)).save(tree / MASKS / "00003_nose.png"),
        "part masks differ in size: 256 x 256, 512 x 512",
    ),
}
EACH = pytest.mark.parametrize(("breach", "reason"), BREACHES.values(), ids=BREACHES)


def restore(raw: Path, tree: Path) -> None:
    shutil.rmtree(tree)
    shutil.copytree(raw, tree)


@EACH
def test_bad_photo_is_a_named_failure(
    raw: Path, tree: Path, merged: Path, tmp_path: Path, breach: Callable[[Path], object], reason: str
) -> None:
    breach(tree)
    out = tmp_path / "data"
    done = merge(tree, out)
    assert counts(done) == (5, 0, 1)
    assert done.failures[0].id == "00003"
    assert report(out) == [["masks", "00003", done.failures[0].reason]]
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


@pytest.mark.parametrize("stage", ["sample", "masks", "sketches"])
def test_second_of_two_runs_is_refused(raw: Path, merged: Path, tmp_path: Path, stage: str) -> None:
    out = tmp_path / "data"
    run = {
        "sample": lambda: make_sample(out, count=2, size=64, jobs=1),
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
        ("pen", {}, "sketch method 'pen' is not known; give one of: dodge, xdog"),
        ("dodge", {"sigma": 0.0}, r"sigma is 0\.0"),
        ("xdog", {"phi": float("nan")}, "phi is nan"),
        ("dodge", {"p": 1.0}, "dodge has no parameter 'p'; it has: sigma"),
    ],
)
def test_wrong_parameters_are_one_error(
    raw: Path, tmp_path: Path, method: str, parameters: dict[str, float], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        draw(raw, tmp_path / "data", method, **parameters)
    assert not (tmp_path / "data").exists()


def test_dataset_as_source_is_its_own_folder(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a dataset folder and gets the sketches itself"):
        draw(dataset, tmp_path / "other")


# --- the sample ---


def test_larger_sample_begins_with_the_smaller(raw: Path, tree: Path) -> None:
    assert counts(make_sample(tree, count=8, size=64, jobs=1)) == (2, 6, 0)
    grown, small = contents(tree), contents(raw)
    shared = set(small) - {"sample.json", MAPPING}
    assert {name: grown[name] for name in shared} == {name: small[name] for name in shared}
    assert grown[MAPPING].startswith(small[MAPPING])


@pytest.mark.parametrize("numbers", [{"seed": 1}, {"size": 128}, {"count": 5}])
def test_folder_of_another_sample_is_refused(tree: Path, numbers: dict[str, int]) -> None:
    before = contents(tree)
    with pytest.raises(InputError, match="holds another or a larger sample"):
        make_sample(tree, **{"count": 6, "size": 64, "jobs": 1, **numbers})
    assert contents(tree) == before


def test_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="is not empty and holds no sample"):
        make_sample(tmp_path, count=1, size=64, jobs=1)
    assert contents(tmp_path) == {"mine.txt": b"x"}
