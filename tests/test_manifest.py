"""The dataset folder: what is written comes back, and every breach of the contract is one line."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from facesynth.errors import DatasetError
from facesynth.labels import get_scheme
from facesynth.manifest import Dataset, is_dataset, read_dataset, split_by_hash, write_dataset


@pytest.fixture
def data(dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dataset, tmp_path / "data"))


def changed(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    """A breach that rewrites a file of the dataset folder."""
    return lambda root: (root / name).write_text(change((root / name).read_text()))


def rows_changed(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def apply(root: Path) -> None:
        rows = pd.read_csv(root / "manifest.csv", dtype=str, keep_default_na=False)
        change(rows).to_csv(root / "manifest.csv", index=False)

    return apply


def path_changed(column: str, path: str) -> Callable[[Path], None]:
    return rows_changed(lambda rows: rows.assign(**{column: [path, *rows[column][1:]]}))


def described(**values: object) -> Callable[[Path], None]:
    return changed("dataset.json", lambda text: json.dumps({**json.loads(text), **values}))


BREACHES = {
    "no manifest": (lambda root: (root / "manifest.csv").unlink(), r"manifest\.csv is missing; make one with"),
    "no description": (lambda root: (root / "dataset.json").unlink(), r"has a manifest\.csv but no dataset\.json"),
    "newer schema": (described(schema=2), "has schema 2, this facesynth reads up to 1; upgrade"),
    "no schema": (changed("dataset.json", lambda text: text.replace("schema", "scheme")), "cannot be read as a desc"),
    "broken description": (changed("dataset.json", lambda text: text[:20]), "cannot be read as a description"),
    "unknown scheme": (described(label_scheme="mine"), r"dataset\.json: label scheme 'mine' is not known"),
    "missing column": (
        rows_changed(lambda rows: rows.drop(columns=["split", "width"])),
        "lacks the columns split, width",
    ),
    "repeated id": (rows_changed(lambda rows: pd.concat([rows, rows[2:3]])), "the id '00002' more than once"),
    "unknown split": (rows_changed(lambda rows: rows.assign(split="dev")), "the split 'dev'; needed: train, val, test"),
    "absolute path": (path_changed("photo", "/etc/a.jpg"), "names '/etc/a.jpg'; paths must be relative"),
    "path outside": (path_changed("labels", "labels/../../a.png"), "paths must be relative, inside the folder"),
    "backslash": (path_changed("sketch_xdog", "sketches\\a.png"), "with '/'"),
    "empty": (changed("manifest.csv", lambda text: ""), "cannot be read as CSV"),
    "not CSV": (changed("manifest.csv", lambda text: 'id,"split\n' + text), "cannot be read as CSV"),
    "too many fields": (changed("manifest.csv", lambda text: text + "," * 40 + "\n"), "cannot be read as CSV"),
    "not text": (lambda root: (root / "manifest.csv").write_bytes(b"\xff\xfe\x00id"), "cannot be read as CSV"),
}


@pytest.mark.parametrize(("breach", "reason"), BREACHES.values(), ids=BREACHES)
def test_breach_is_one_line(data: Path, breach: Callable[[Path], object], reason: str) -> None:
    read_dataset(data)
    breach(data)
    with pytest.raises(DatasetError, match=reason) as raised:
        read_dataset(data)
    assert str(data) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_paths_too_long_for_the_system_are_no_dataset() -> None:
    assert not is_dataset(Path("a" * 300))
    with pytest.raises(DatasetError, match="is not a dataset folder"):
        read_dataset(Path("a" * 300))


def test_what_is_written_comes_back(data: Path, tmp_path: Path) -> None:
    before = read_dataset(data)
    (tmp_path / "copy").mkdir()
    copy = Dataset(tmp_path / "copy", before.rows.iloc[::-1], get_scheme("face-parsing"), {"mine": {"a": 1}})
    write_dataset(copy)
    after = read_dataset(copy.root)
    pd.testing.assert_frame_equal(after.rows, before.rows)
    assert (after.scheme, after.stages) == (copy.scheme, copy.stages)
    assert (copy.root / "manifest.csv").read_bytes() == (data / "manifest.csv").read_bytes()


def test_plain_pandas_reads_the_manifest(dataset: Path) -> None:
    rows = pd.read_csv(dataset / "manifest.csv")
    assert rows["id"].tolist() == list(range(6))
    assert set(rows["split"]) <= {"train", "val", "test"}
    assert all((dataset / path).is_file() for name in ("photo", "labels", "sketch_xdog") for path in rows[name])


def test_manifest_is_written_last(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, written = read_dataset(data), []
    original = Path.replace

    def replace(path: Path, target: Path) -> Path:
        written.append(target.name)
        return original(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    rows = read.rows.assign(celeba_file="1.jpg")
    write_dataset(Dataset(data, rows, read.scheme, {"another": {}}))
    assert written == ["dataset.json", "manifest.csv"]


def test_rows_of_a_split_with_columns(data: Path) -> None:
    path_changed("labels", "")(data)
    opened = read_dataset(data)
    assert opened.columns_of("labels") == ["labels"]
    assert opened.columns_of("sketch") == ["sketch_dodge", "sketch_xdog"]
    assert opened.with_columns("photo", "labels").index.tolist() == [f"{number:05d}" for number in range(1, 6)]
    for split, count in Counter(opened.rows["split"]).items():
        assert len(opened.with_columns("photo", split=split)) == count


@pytest.mark.parametrize(
    ("columns", "split", "reason"),
    [
        (["sketch_pen"], None, "no column 'sketch_pen' .*facesynth prep sketches"),
        (["photo"], "dev", "no row with photo in split 'dev'"),
    ],
)
def test_rows_that_are_not_there(dataset: Path, columns: list[str], split: str | None, reason: str) -> None:
    with pytest.raises(DatasetError, match=reason):
        read_dataset(dataset).with_columns(*columns, split=split)


def test_split_by_hash_is_stable_and_8_1_1() -> None:
    splits = {number: split_by_hash(f"{number:05d}") for number in range(5000)}
    assert [splits[number] for number in range(12)] == [split_by_hash(f"{number:05d}") for number in range(12)]
    counts = Counter(splits.values())
    assert counts["train"] == pytest.approx(4000, abs=100)
    assert counts["val"] == pytest.approx(500, abs=75)
    assert counts["test"] == pytest.approx(500, abs=75)


def test_known_splits_by_hash() -> None:
    """These must never change: a photo would move from training to test."""
    assert "".join(split_by_hash(f"{number:05d}")[1] for number in range(24)) == "rrrrrrarrarrrraerrrrarrr"


@pytest.mark.parametrize("identifier", ["../up", "a/b", "a\\b", ".hidden", "tab\there"])
def test_an_id_that_cannot_name_a_file_is_refused(dataset, tmp_path, identifier):
    root = shutil.copytree(dataset, tmp_path / "data")
    header, first, *rest = (root / "manifest.csv").read_text().splitlines()
    changed = identifier + first[first.index(",") :]
    (root / "manifest.csv").write_text("\n".join([header, changed, *rest]) + "\n")
    with pytest.raises(DatasetError, match="ids name files"):
        read_dataset(root)
