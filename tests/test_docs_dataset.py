"""docs/dataset.md: its code runs and does what it says, and its tables are those of the code."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from facesynth.cli import facesynth
from PIL import Image

from facesynth.images import read_labels, read_photo
from facesynth.label_maps import colourise
from facesynth.labels import CELEBAMASK_HQ
from facesynth.manifest import BASE_COLUMNS, SCHEMA, is_path_column, iter_rows, read_columns, read_dataset
from facesynth.prep.pipeline.findings import KINDS

from .trees import PATIENCE

PAGE = (Path(__file__).parents[1] / "docs" / "dataset.md").read_text("utf-8")


def section(title: str) -> str:
    return re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)[1]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def first_cells(text: str) -> list[str]:
    """What stands between backticks in the first column of a table."""
    return [
        name
        for line in text.splitlines()
        if line.startswith("| `")
        for name in re.findall("`(.*?)`", line.split("|")[1])
    ]


@pytest.fixture(scope="module")
def place(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the dataset as DATA in it, and ids that a careless reader spoils."""
    place = tmp_path_factory.mktemp("docs")
    data = Path(shutil.copytree(dataset, place / "DATA"))
    path = data / "labels" / "00003.png"
    picture = Image.open(path)
    picture.load()
    picture.putpalette([value for colour in CELEBAMASK_HQ.colours for value in colour])
    picture.save(path)
    lines = (data / "manifest.csv").read_text("utf-8").replace("\n00005,", "\nNA,").splitlines()
    where = lines[0].split(",").index("labels")
    (cells,) = csv.reader([lines[5]])
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(
        "" if number == where else cell for number, cell in enumerate(cells)
    )
    lines[5] = written.getvalue()
    (data / "manifest.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return place


def run(place: Path, code: str, then: str) -> object:
    """What ``then``, an expression, is after ``code``, in a process of its own without a network."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(place / "cache"), "HF_HOME": str(place)}
    script = f"{code}\nimport json\nprint('\\n' + json.dumps({then}))\n"
    command = [sys.executable, "-W", "error::FutureWarning", "-c", script]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_pandas(place: Path) -> None:
    (code,) = blocks(section("Reading it with pandas"), "python")
    then = """[list(rows["id"]), list(labelled["id"]), list(with_hat["id"]), row["id"], list(photo.shape),
        photo.sum(axis=(0, 1)).tolist(), int(label_map.sum())]"""
    ids, labelled, with_hat, first, shape, photo, labels = run(place, code, then)
    assert ids == ["00000", "00001", "00002", "00003", "00004", "NA"]
    assert labelled == ["00000", "00001", "00002", "00003", "NA"]
    maps = {name: read_labels(path, CELEBAMASK_HQ) for name, path in _labels(place).items() if name in labelled}
    assert with_hat == [name for name, array in maps.items() if (array == 14).any()]
    assert 0 < len(with_hat) < 5
    assert first == "00000"
    assert shape == [64, 64, 3]
    assert photo == read_photo(place / "DATA/photos/00000.jpg").astype(int).sum(axis=(0, 1)).tolist()
    assert labels == int(maps["00000"].astype(int).sum())


def _labels(place: Path) -> dict[str, Path]:
    names = ("00000", "00001", "00002", "00003", "00004", "NA")
    return {name: place / "DATA/labels" / f"0000{number}.png" for number, name in enumerate(names)}


@pytest.mark.slow
def test_hugging_face_datasets(place: Path) -> None:
    (code,) = blocks(section("Reading it with Hugging Face datasets"), "python")
    then = """[[row["id"], row["split"], row["width"], row["photo"].mode, list(row["photo"].size), row["labels"].mode,
        __import__("numpy").asarray(row["labels"]).astype(int).sum().item(),
        __import__("numpy").asarray(row["photo"]).astype(int).sum(axis=(0, 1)).tolist()] for row in rows] + [first["id"]]"""
    *found, first = run(place, code, then)
    expected = [row for row in iter_rows(place / "DATA") if row["split"] == "train" and row["labels"]]
    assert [row["id"] for row in expected] == [entry[0] for entry in found]
    assert "00003" in [entry[0] for entry in found]
    assert first == expected[0]["id"]
    for row, (_, split, width, mode, size, labels_mode, labels, photo) in zip(expected, found, strict=True):
        assert (split, width, mode, size) == ("train", "64", "RGB", [64, 64])
        assert labels_mode == ("P" if row["id"] == "00003" else "L")
        assert labels == int(read_labels(place / "DATA" / row["labels"], CELEBAMASK_HQ).astype(int).sum())
        assert photo == read_photo(place / "DATA" / row["photo"]).astype(int).sum(axis=(0, 1)).tolist()


def test_converting_a_label_map_with_a_palette_spoils_it(place: Path) -> None:
    path = place / "DATA/labels/00003.png"
    ids = read_labels(path, CELEBAMASK_HQ)
    spoilt = np.asarray(Image.open(path).convert("L"))
    assert (np.asarray(Image.open(path)) == ids).all()
    assert (spoilt == np.asarray(Image.fromarray(colourise(ids, CELEBAMASK_HQ)).convert("L"))).all()
    assert (spoilt != ids).any()


@pytest.mark.slow
def test_check(place: Path) -> None:
    (code,) = blocks(section("Checking a folder"), "python")
    rows, files, problems = run(place, code, "[checked.rows, checked.files, checked.problems]")
    assert (rows, files) == (6, 23)
    assert [problem[:2] for problem in problems] == [["00003", "labels_sha256"], ["", ""]]
    assert problems[1][2] == "labels/00004.png is not in the manifest"


def test_columns(dataset: Path) -> None:
    documented = first_cells(section("manifest.csv"))
    plain = [name for name in documented if "<" not in name]
    assert {*BASE_COLUMNS, "labels", "classes", "class_pixels", "class_centres"} - {"photo_sha256"} == set(plain)
    assert [name for name in documented if "<" in name] == ["sketch_<name>", "photo_<size>", "<column>_sha256"]
    patterns = [re.sub("<.*?>", ".+", name) for name in documented]
    columns = read_columns(dataset)
    assert [name for name in columns if not any(re.fullmatch(pattern, name) for pattern in patterns)] == []
    assert is_path_column("photo_256")
    row = next(iter_rows(dataset))
    assert len(row["classes"].split()) == len(row["class_pixels"].split()) == len(row["class_centres"].split())


def test_kinds_of_findings() -> None:
    lines = re.findall(r"^\| `([\w-]+)` \| +(\S.*) \|$", section("report.csv"), re.MULTILINE)
    assert sorted(kind for kind, _ in lines) == sorted(KINDS)


def test_description(dataset: Path) -> None:
    (code,) = blocks(section("dataset.json"), "json")
    shown, real = json.loads(code), json.loads((dataset / "dataset.json").read_text("utf-8"))
    assert shown.keys() == real.keys()
    assert (shown["schema"], shown["label_scheme"]) == (SCHEMA, real["label_scheme"])
    for stage, parameters in shown["stages"].items():
        assert parameters.items() <= dict(read_dataset(dataset).stages[stage]).items()


def test_folders(dataset: Path) -> None:
    (listing,) = blocks(PAGE, "text")
    named = {line.split()[0].removeprefix("DATA/").split("/")[0] for line in listing.splitlines()}
    assert {path.name for path in dataset.iterdir()} <= named
    assert named - {path.name for path in dataset.iterdir()} == {"photos_<size>"}


@pytest.mark.parametrize("line", [line for block in blocks(PAGE, "sh") for line in block.splitlines()])
def test_commands_can_be_given(line: str) -> None:
    program, group, name, *arguments = shlex.split(line)
    assert (program, group) == ("facesynth", "prep")
    command = facesynth.commands[group].commands[name]
    context = command.make_context(name, arguments)
    assert str(context.params.get("out") or context.params["data"]) == "DATA"
