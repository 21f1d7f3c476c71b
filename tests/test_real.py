"""The whole way on the research-only sample: every map right, sketches of all, a training that learns, faces."""

from __future__ import annotations

import csv
import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facesynth import images
from facesynth.labels import CELEBAMASK_HQ
from facesynth.manifest import read_dataset, write_dataset
from facesynth.model.checkpoints.native import find, load_parser
from facesynth.model.inference.parser import Parser

pytestmark = pytest.mark.real

SAMPLE = Path(os.environ.get("FACESYNTH_REAL_SAMPLE", "/nonexistent"))
STEPS = 400
BY_HEART = 600


@pytest.fixture(scope="module", autouse=True)
def sample() -> None:
    if not (SAMPLE / "build_raw_tree.py").is_file():
        pytest.skip("FACESYNTH_REAL_SAMPLE names no folder with the sample")


def facesynth(*arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from facesynth.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = tmp_path_factory.mktemp("real") / "raw"
    subprocess.run([sys.executable, SAMPLE / "build_raw_tree.py", raw], check=True)
    return raw


@pytest.fixture(scope="module")
def data(raw: Path) -> Path:
    data = raw.parent / "data"
    assert "240 written, 0 already there, 0 failed" in facesynth("prep", "masks", raw, "--out", data)
    for method in ("dodge", "xdog"):
        done = facesynth("prep", "sketches", raw, "--out", data, "--method", method)
        assert "240 written, 0 already there, 0 failed" in done
    return data


def test_every_map_is_the_expected_one(raw, data):
    rows = read_dataset(data).rows
    assert len(rows) == 240
    for identifier, path in zip(rows["id"], rows["labels"], strict=True):
        expected = images.read_labels(raw / "expected" / f"{int(identifier)}.png", CELEBAMASK_HQ)
        assert np.array_equal(images.read_labels(data / path, CELEBAMASK_HQ), expected), identifier


def test_every_photo_has_its_drawings(data):
    rows = read_dataset(data).rows
    for method in ("dodge", "xdog"):
        drawings = np.stack([images.read_sketch(data / path) for path in rows[f"sketch_{method}"]])
        assert drawings.shape == (240, 512, 512)
        assert drawings.mean(axis=(1, 2)).min() > 60
        assert drawings.std(axis=(1, 2)).min() > 5


PARTS = (
    ["background"],
    ["skin"],
    ["hair"],
    ["l_brow", "r_brow"],
    ["l_eye", "r_eye"],
    ["nose"],
    ["u_lip", "l_lip", "mouth"],
    ["cloth"],
    ["neck"],
)


def test_the_bundled_parser_segments_photos_of_other_people(data):
    """The mean IoU, over all pixels of the photos, of left and right together."""
    parser = Parser(load_parser(find(Path("photo-parser"))), device="cpu")
    rows = read_dataset(data).with_columns("labels", "photo")
    both, either = np.zeros(len(PARTS)), np.zeros(len(PARTS))
    for labels, photo in zip(rows["labels"], rows["photo"], strict=True):
        true = images.resize(images.read_labels(data / labels, CELEBAMASK_HQ), (512, 512), labels=True)
        found = parser.parse(images.resize(images.read_photo(data / photo), (512, 512)))
        for number, names in enumerate(PARTS):
            ids = [CELEBAMASK_HQ.classes.index(name) for name in names]
            is_true, is_found = np.isin(true, ids), np.isin(found, ids)
            both[number] += (is_true & is_found).sum()
            either[number] += (is_true | is_found).sum()
    found = {names[0]: round(iou, 3) for names, iou in zip(PARTS, both / either, strict=True)}
    print(f"\nIoU of the parser on {len(rows)} photos: {found}; mean {np.mean(both / either):.3f}")
    assert np.mean(both / either) >= 0.55


def references(data: Path, size: int) -> tuple[float, float]:
    """L2 on the validation split of the mean training photo, and of every class painted in its mean training colour."""
    dataset = read_dataset(data)

    def read(split: str) -> tuple[np.ndarray, np.ndarray]:
        rows = dataset.with_columns("labels", "photo", split=split)
        photos = [images.resize(images.read_photo(data / path), (size, size)) for path in rows["photo"]]
        maps = [images.read_labels(data / path, CELEBAMASK_HQ) for path in rows["labels"]]
        return np.stack(photos) / 127.5 - 1, np.stack([images.resize(map_, (size, size), labels=True) for map_ in maps])

    photos, maps = read("train")
    colours = np.zeros((len(CELEBAMASK_HQ), 3))
    for number in np.unique(maps):
        colours[number] = photos[maps == number].mean(axis=0)
    unseen, unseen_maps = read("val")
    mean, painted = photos.mean(axis=0), colours[unseen_maps]
    return float(((unseen - mean) ** 2).mean()), float(((unseen - painted) ** 2).mean())


def test_training_learns_and_translates(data):
    run, faces = data.parent / "run", data.parent / "faces"
    options = ["--steps", STEPS, "--interval", 100, "--train-generator", "--quiet"]
    facesynth("train", "--data", data, "--task", "seg2face", "--out", run, *options)
    rows = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    l2 = rows[0].index("l2")
    validation = [float(row[l2]) for row in rows if row[1] == "val"]
    mean, painted = references(data, 64)
    print(f"\nvalidation L2: {validation}; best over first {min(validation) / validation[0]:.3f}")
    print(f"beside it: the mean photo {mean:.3f}, classes in their mean colours {painted:.3f}")
    assert min(validation) <= 0.6 * validation[0]

    facesynth("translate", data, "--checkpoint", run, "--out", faces, "--sheet")
    names = read_dataset(data).with_columns("labels", split="val")["id"]
    pictures = np.stack([images.read_photo(faces / f"{name}.png") for name in names])
    assert pictures.shape == (28, 64, 64, 3)
    assert pictures.std(axis=0).mean() > 3, "the faces do not follow their label maps"
    assert (faces / "sheet.png").is_file()


def test_eight_photos_are_learnt_by_heart(data):
    few, run = data.parent / "few", data.parent / "few_run"
    few.mkdir()
    for name in ("photos", "labels", "sketches"):
        shutil.copytree(data / name, few / name, copy_function=os.link)
    dataset = read_dataset(data)
    rows = dataset.rows.head(9).assign(split=["train"] * 8 + ["val"])
    write_dataset(dataclasses.replace(dataset, root=few, rows=rows))
    options = ["--preset", "small", "--train-generator", "--no-flip", "--lpips", 0, "--w-norm", 0, "--quiet"]
    facesynth("train", "--data", few, "--task", "seg2face", *options, "--steps", BY_HEART, "--out", run)
    with (run / "metrics.csv").open() as file:
        l2 = [float(row["l2"]) for row in csv.DictReader(file) if row["split"] == "train"]
    print(
        f"\ntrain L2 of eight photos: {l2[0]:.3f} at first, {np.mean(l2[-20:]):.4f} over the last 20 of {BY_HEART} steps"
    )
    assert np.mean(l2[-20:]) < 0.01
