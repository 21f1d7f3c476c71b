"""Splits: the official one's bounds, lists however they are written, and hashes that don't move."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from facesynth.errors import InputError
from facesynth.manifest import split_by_hash
from facesynth.prep.splits import Splits, official_split, read_split_list


@pytest.mark.parametrize(
    ("number", "split"),
    [(1, "train"), (162770, "train"), (162771, "val"), (182637, "val"), (182638, "test"), (202599, "test")],
)
def test_bounds_of_the_official_split(number: int, split: str) -> None:
    assert official_split(f"{number:06d}.jpg") == split
    assert Splits(official=True).of("00000", f"{number:06d}.jpg") == split


def test_without_a_celeba_file_there_is_no_official_split() -> None:
    assert Splits(official=True).of("00000") == ""


@pytest.mark.parametrize(
    "text",
    [
        "00001,train\n00002,val\nanna b,test\n",
        "id,split\n1,train\n2,val\nanna b,test\n",
        "id split\r\n1.jpg train\r\n\r\n0002.png  val\r\nanna b.jpeg\ttest\r\n",
        '\ufefffile,Split\n"1.JPG", train\n2.webp,val\n"anna b",test\n',
    ],
)
def test_lists_however_they_are_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.txt").write_text(text, encoding="utf-8", newline="")
    splits = read_split_list(tmp_path / "list.txt")
    found = [splits.of(name) for name in ("00001", "00002", "anna b", "00003", "anna")]
    assert found == ["train", "val", "test", "", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,train\n2,validation\n", r"line 2 is '2,validation'; needed: an id and train, val, test"),
        ("1,vall\n2,train\n", r"line 1 is '1,vall'; needed"),
        ("1,train\n2\n", r"line 2 is '2'; needed"),
        ("1,train\n00001.jpg,val\n", r"line 2 gives 00001\.jpg a second split, val"),
        ("id,split\n", r"names no photo; needed: one line per photo"),
        ("", r"names no photo"),
    ],
)
def test_wrong_lists_are_named_by_the_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_split_list(tmp_path / "list.txt")


@pytest.mark.parametrize(
    "line",
    [" " * 200_000 + "x", "a" + " " * 200_000 + "b", "9" * 5000 + " val", "a," * 100_000 + "b", "\t " * 100_000 + ","],
)
def test_lines_are_read_without_backtracking(tmp_path: Path, line: str) -> None:
    (tmp_path / "list.txt").write_text(line)
    start = time.process_time()
    with pytest.raises(
        InputError, match=r"list\.txt, line 1 is .*; needed: an id and train, val, test|names no photo"
    ) as error:
        read_split_list(tmp_path / "list.txt")
    assert time.process_time() - start < 1
    assert len(str(error.value).removeprefix(str(tmp_path))) < 250


@pytest.mark.parametrize("line", ["a , val", "a,val", "a\tval", "a  val", '"a",val', "a ,\tval", "a.jpg val"])
def test_fields_of_a_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "list.txt").write_text(line + "\n")
    assert read_split_list(tmp_path / "list.txt").listed == {"a": "val"}


def test_lists_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the split list .*absent"):
        read_split_list(tmp_path / "absent")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot read the split list"):
        read_split_list(tmp_path / "binary")


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ((-0.1, 0.1), "the share val is -0.1"),
        ((0.1, 1.5), "the share test is 1.5"),
        ((0.6, 0.6), "add up to more than 1"),
    ],
)
def test_shares_out_of_range(shares: tuple[float, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Splits(val=shares[0], test=shares[1])


@pytest.mark.slow
def test_shares_by_hash() -> None:
    ids = [f"{number:05d}" for number in range(30_000)]
    small, large = Splits(val=0.05, test=0.1), Splits(val=0.2, test=0.1)
    counts = Counter(map(small.of, ids))
    assert abs(counts["val"] / 30_000 - 0.05) < 0.006
    assert abs(counts["test"] / 30_000 - 0.1) < 0.006
    assert Splits().of("00042") == split_by_hash("00042")
    assert all(large.of(name) == small.of(name) for name in ids if small.of(name) != "train")
    assert {Splits(val=0, test=0).of(name) for name in ids} == {"train"}
    assert {Splits(val=0, test=1).of(name) for name in ids} == {"test"}
