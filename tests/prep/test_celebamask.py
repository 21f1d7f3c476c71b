"""The archive's layout: everything by id, the official split, and errors that say what was looked for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from facesynth.errors import InputError
from facesynth.prep.celebamask import MAPPING, MASKS, PHOTOS, find_root, index_tree, read_mapping
from facesynth.prep.splits import Splits, official_split

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
    listed = index_tree(raw)
    found = list(listed)
    assert len(listed) == len(found) == len(list(listed))
    assert [photo.id for photo in found] == ["00002", "00003", "00005", "00010"]
    assert [photo.photo and photo.photo.path.name for photo in found] == ["2.jpg", "00003.png", None, "10.jpg"]
    assert [sorted(photo.parts) for photo in found] == [["nose", "skin"], [], ["hair"], ["l_eye", "skin"]]
    assert found[3].parts["l_eye"].path == raw / MASKS / "00010_l_eye.png"


def test_pictures_without_an_id_are_remarked(tmp_path: Path) -> None:
    raw = tree(tmp_path, "1.jpg", "notes.txt", "x2.jpg", ".hidden.jpg", "0/00001_skin.png", "0/readme_skin.png")
    (raw / MASKS / "0" / "a\nb_skin.png").touch()
    assert [(name, finding.kind) for name, finding in index_tree(raw).remarks] == [
        (f"{PHOTOS}/x2.jpg", "no-id"),
        (f"{MASKS}/0/a\\nb_skin.png", "no-id"),
        (f"{MASKS}/0/readme_skin.png", "no-id"),
    ]


@pytest.mark.parametrize("name", ["99999999999999999999.jpg", "1234567890.png"])
def test_numbers_that_are_no_ids(tmp_path: Path, name: str) -> None:
    raw = tree(tmp_path, "1.jpg", name, "0/00001_skin.png")
    assert [photo.id for photo in index_tree(raw)] == ["00001"]
    assert [remark for remark, _ in index_tree(raw).remarks] == [f"{PHOTOS}/{name}"]


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


@pytest.mark.parametrize(
    "line",
    [
        "3 12",
        "99999999999999999999 1 2.jpg",
        "x 1 000002.jpg",
        "3 1 photo.jpg",
        "3 1 2.jpg more",
        "² 1 000002.jpg",
        "3 1 =x/2.jpg",
        "3 1 " + "9" * 5000,
    ],
)
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


def test_a_given_list_goes_before_the_mapping(tmp_path: Path) -> None:
    raw = tree(tmp_path, "0.jpg", "2.jpg", "0/00000_skin.png")
    (raw / MAPPING).write_text(HEADER + LINES)
    first, second = index_tree(raw, splits=Splits(listed={"0": "val"}, source="list.csv"))
    assert (first.split, first.celeba_file, first.problem) == ("val", "119614.jpg", None)
    assert second.problem is not None
    assert (second.problem.kind, str(second.problem)) == ("no-split", "not in list.csv, which defines the splits")


@pytest.mark.parametrize(
    ("make", "kind", "reason"),
    [
        (lambda raw: (raw / PHOTOS / "00001.png").touch(), "duplicate", "1.jpg have the same id; keep one"),
        (lambda raw: (raw / MASKS / "1_skin.png").touch(), "duplicate", "are the same part of one photo"),
        (lambda raw: (raw / MASKS / "0" / "00001_hair.png").mkdir(), "unreadable", "00001_hair.png is no file"),
        (lambda raw: os.mkfifo(raw / MASKS / "0" / "00001_hair.png"), "unreadable", "00001_hair.png is no file"),
        (lambda raw: loop(raw / MASKS / "0" / "00001_hair.png"), "unreadable", "a link that leads nowhere?"),
        (lambda raw: loop(raw / PHOTOS / "00002.jpg"), "unreadable", "00002.jpg is no file"),
    ],
)
def test_what_cannot_be_taken_is_one_photos_problem(
    tmp_path: Path, make: Callable[[Path], None], kind: str, reason: str
) -> None:
    raw = tree(tmp_path, "1.jpg", "3.jpg", "0/00001_skin.png", "0/00003_skin.png")
    make(raw)
    problems = [photo.problem for photo in index_tree(raw) if photo.problem]
    assert len(problems) == 1
    assert problems[0].kind == kind
    assert reason in str(problems[0])


def loop(path: Path) -> None:
    path.symlink_to(path)


def test_folders_that_loop_are_not_followed(tmp_path: Path) -> None:
    raw = tree(tmp_path, "1.jpg", "0/00001_skin.png")
    (raw / MASKS / "9").symlink_to(raw / MASKS)
    (raw / MASKS / "loop").symlink_to(raw / MASKS / "loop")
    (photo,) = index_tree(raw)
    assert list(photo.parts) == ["skin"]
    assert photo.problem is None


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
