"""The archive's layout: everything by id, the official split, and errors that say what was looked for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from facesynth.errors import InputError
from facesynth.prep.celebamask import MAPPING, MASKS, PHOTOS, find_root, index_tree, official_split, read_mapping

HEADER = "idx\torig_idx\torig_file\n"
LINES = "0 119613 119614.jpg\n1 99094 099095.jpg\n2 200121 200122.jpg\n10 170000 170001.jpg\n"


def tree(root: Path, *names: str) -> Path:
    """A raw tree of empty files: photos by name, part masks by folder and name."""
    (root / PHOTOS).mkdir(parents=True)
    (root / MASKS).mkdir()
    for name in names:
        path = root / (MASKS if "_" in name else PHOTOS) / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return root


def test_everything_is_joined_by_id(tmp_path: Path) -> None:
    raw = tree(
        tmp_path, "10.jpg", "2.jpg", "00003.png", "notes.txt", "x2.jpg", "0/00002_skin.png", "0/2_nose.png",
        "1/00010_skin.png", "00010_l_eye.png", "7/00005_hair.png", "0/readme_skin.png",
    )  # fmt: skip
    found = index_tree(raw)
    assert [photo.id for photo in found] == ["00002", "00003", "00005", "00010"]
    assert [photo.photo and photo.photo.path.name for photo in found] == ["2.jpg", "00003.png", None, "10.jpg"]
    assert [sorted(photo.parts) for photo in found] == [["nose", "skin"], [], ["hair"], ["l_eye", "skin"]]
    assert found[3].parts["l_eye"].path == raw / MASKS / "00010_l_eye.png"


def test_stamps_tell_of_a_change(tmp_path: Path) -> None:
    raw = tree(tmp_path, "0.jpg", "0/00000_skin.png")
    (raw / PHOTOS / "0.jpg").write_bytes(b"abc")
    os.utime(raw / PHOTOS / "0.jpg", ns=(5, 7))
    (photo,) = index_tree(raw)
    assert photo.photo is not None
    assert photo.photo.stamp == (3, 7)


def test_without_masks_only_photos_are_found(tmp_path: Path) -> None:
    raw = tree(tmp_path, "1.jpg", "0/00002_skin.png")
    assert [photo.id for photo in index_tree(raw, masks=False)] == ["00001"]


@pytest.mark.parametrize("start", ["", HEADER, "\ufeff", "\ufeff" + HEADER])
def test_mapping_with_and_without_header(tmp_path: Path, start: str) -> None:
    (tmp_path / MAPPING).write_text(start + LINES + "\n", encoding="utf-8")
    files = {0: "119614.jpg", 1: "099095.jpg", 2: "200122.jpg", 10: "170001.jpg"}
    assert read_mapping(tmp_path / MAPPING) == files


@pytest.mark.parametrize("line", ["3 12", "x 1 000002.jpg", "3 1 photo.jpg", "3 1 2.jpg more", "² 1 000002.jpg"])
def test_broken_mapping_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / MAPPING).write_text(LINES + line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"mapping\.txt, line 5 is .*; needed: id, CelebA number and file"):
        read_mapping(tmp_path / MAPPING)


def test_splits_from_the_mapping(tmp_path: Path) -> None:
    raw = tree(tmp_path, "0.jpg", "2.jpg", "3.jpg", "10.jpg", "0/00000_skin.png")
    (raw / MAPPING).write_text(HEADER + LINES)
    found = [(photo.id, photo.celeba_file, photo.split) for photo in index_tree(raw)]
    assert found == [
        ("00000", "119614.jpg", "train"), ("00002", "200122.jpg", "test"), ("00003", "", ""), ("00010", "170001.jpg", "val"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "split"),
    [(1, "train"), (162770, "train"), (162771, "val"), (182637, "val"), (182638, "test"), (202599, "test")],
)
def test_bounds_of_the_official_split(number: int, split: str) -> None:
    assert official_split(f"{number:06d}.jpg") == split


@pytest.mark.real
def test_official_split_of_the_whole_archive() -> None:
    folder = os.environ.get("FACESYNTH_REAL_SAMPLE")
    if not folder:
        pytest.skip("FACESYNTH_REAL_SAMPLE names no folder")
    files = read_mapping(Path(folder) / MAPPING)
    assert sorted(files) == list(range(30_000))
    assert Counter(map(official_split, files.values())) == {"train": 24_183, "val": 2_993, "test": 2_824}


def test_archive_folder_inside(tmp_path: Path) -> None:
    inner = tree(tmp_path / "CelebAMask-HQ", "4.jpg", "0/00004_skin.png")
    assert find_root(tmp_path) == inner
    (photo,) = index_tree(tmp_path)
    assert (photo.id, list(photo.parts)) == ("00004", ["skin"])


def made(*folders: str) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        for folder in folders:
            (root / folder).mkdir(parents=True)
        return root

    return make


def without_masks(root: Path) -> Path:
    tree(root, "1.jpg")
    (root / MASKS).rmdir()
    return root


WRONG = {
    "missing": (lambda root: root / "absent", "absent does not exist; give the unpacked CelebAMask-HQ folder"),
    "empty": (lambda root: root, f"looked for {PHOTOS}/ and {MASKS}/, found nothing"),
    "other": (made("b", "a"), "found a, b$"),
    "many": (made(*"abcdefgh"), "found a, b, c, d, e and 3 more"),
    "no photo": (tree, f"{PHOTOS} holds no photo; looked for <id>.jpg|holds no part mask"),
    "no masks": (lambda root: tree(root, "1.jpg"), r"holds no part mask: looked for <0\.\.14>/<id>_<part>\.png"),
    "no mask folder": (without_masks, "has photos but no part masks"),
    "photo twice": (lambda root: tree(root, "1.jpg", "00001.png", "0/1_skin.png"), "have the same id 00001; keep one"),
    "part twice": (lambda root: tree(root, "0/1_skin.png", "1/00001_skin.png"), "are the same part of one photo"),
    "too long": (lambda root: root / ("a" * 300), "cannot read .*File name too long|does not exist"),
}


@pytest.mark.parametrize(("make", "reason"), WRONG.values(), ids=WRONG)
def test_what_is_no_raw_tree(tmp_path: Path, make: Callable[[Path], Path], reason: str) -> None:
    with pytest.raises(InputError, match=reason) as raised:
        index_tree(make(tmp_path))
    assert str(tmp_path) in str(raised.value)


def test_file_instead_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "raw.zip").touch()
    with pytest.raises(InputError, match=r"raw\.zip is a file; give the unpacked"):
        index_tree(tmp_path / "raw.zip")
