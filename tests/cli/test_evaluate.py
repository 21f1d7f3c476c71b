from __future__ import annotations

import csv
import dataclasses
import json
import shutil
import socket
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from facesynth import images
from facesynth.evaluation import blocks, inception
from facesynth.labels import CELEBAMASK_HQ, get_scheme
from facesynth.manifest import read_dataset, write_dataset
from facesynth.model.checkpoints import native
from facesynth.model.config.model import ParserConfig
from facesynth.model.networks.parser import ParserNetwork

from ..runs import assert_refused, resplit, save_model, write_lpips
from ..trees import PATIENCE, contents

SIZE = 64
FAST = ("--metric", "l1", "--metric", "ssim", "--metric", "lines")


@pytest.fixture(scope="session")
def data(dataset, tmp_path_factory):
    """Six portraits of 64 px: one to train on, five to evaluate on."""
    return resplit(dataset, tmp_path_factory.mktemp("evaluate") / "data", "train test test test test test")


@pytest.fixture(scope="session")
def true_faces(data, tmp_path_factory):
    """The photos themselves as faces, 64 px."""
    folder = tmp_path_factory.mktemp("true")
    for name, path in read_dataset(data).with_columns("photo", split="test")["photo"].items():
        photo = images.resize(images.read_photo(data / path), (SIZE, SIZE))
        images.write_png(folder / f"{name}.png", photo)
    return folder


@pytest.fixture(scope="session")
def blurred(true_faces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("blurred")
    for path in true_faces.iterdir():
        images.write_png(folder / path.name, cv2.GaussianBlur(images.read_photo(path), (0, 0), 2))
    return folder


@pytest.fixture
def evaluate(facesynth, data, tmp_path):
    def run(*arguments, out="eval", folder=data):
        return facesynth("evaluate", "--data", folder, "--out", tmp_path / out, "--device", "cpu", "-q", *arguments)

    return run


def metrics_of(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def test_the_photos_themselves_are_perfect(evaluate, true_faces, tmp_path):
    code, out, err = evaluate("--faces", true_faces, "--sketch", "xdog", *FAST, "--metric", "psnr", "--metric", "miou")
    assert (code, err) == (0, "")
    assert out.startswith("metric")
    told = metrics_of(tmp_path / "eval")["metrics"]
    assert told["l1"]["value"] == 0
    assert told["ssim"]["value"] == pytest.approx(1)
    assert told["psnr"]["value"] == "Infinity"
    assert told["line_f1"]["value"] == told["line_f1"]["photos"]
    assert told["miou"]["value"] == told["miou"]["photos"]
    with (tmp_path / "eval" / "pictures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == sorted(path.stem for path in true_faces.iterdir())
    assert {row["l1"] for row in rows} == {"0"}


def test_every_figure_says_what_it_rests_on(evaluate, blurred, data, tmp_path):
    assert evaluate("--faces", blurred, "--sketch", "dodge", *FAST, "--metric", "condition", "--seed", "3")[0] == 0
    content = metrics_of(tmp_path / "eval")
    parser = native.find(Path("photo-parser"))
    for name, figure in content["metrics"].items():
        if not name.startswith("iou_"):  # a class may be in fewer maps
            assert figure["n"] == 5, name
        assert figure["low"] <= figure["value"] <= figure["high"], name
        told = {key: figure[key] for key in ("size", "split", "reference", "seed")}
        assert told == {"size": SIZE, "split": "test", "reference": "test", "seed": 3}
        assert figure["filter"].startswith("area")
        assert len(figure["data"]) == len(figure["faces"]) == 64
        has_parser = name.startswith(("iou_", "miou", "picture_iou", "pixel_accuracy"))
        assert figure["weights"] == (blocks.sha256(parser.read_bytes()) if has_parser else "")
    assert content["metrics"]["line_f1"]["note"] == "lines of faces drawn by dodge; photos: those of the true photo"
    table = (tmp_path / "eval" / "table.md").read_text()
    assert f"| l1 | {content['metrics']['l1']['value']:.4g} |" in table
    latex = (tmp_path / "eval" / "table.tex").read_text()
    assert latex.count(r"\\") == 2 + len(content["metrics"]) + len(content["skipped"]) - 1
    page = (tmp_path / "eval" / "report.html").read_text()
    for what in ("By ssim", "By line_f1", "best", "median", "worst", "data:image/jpeg;base64,"):
        assert what in page
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.slow
def test_a_model_is_evaluated_with_all_that_is_there(evaluate, data, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    model = save_model(tmp_path / "model.safetensors")
    alexnet = write_lpips(tmp_path / "alexnet.safetensors")
    code, out, _ = evaluate("--checkpoint", model, "--alexnet", alexnet, "--styles", "3")
    assert code == 0
    content = metrics_of(tmp_path / "eval")
    assert {"l1", "lpips_alex", "miou", "kid_parser", "frechet_parser", "lpips_styles", "iou_styles"} <= set(
        content["metrics"]
    )
    assert content["metrics"]["lpips_styles"]["value"] > 0
    skipped = content["skipped"]
    assert set(skipped) >= {"lpips_vgg", "kid_vgg", "fid", "kid", "identity", "memory", "lines", "ms_ssim"}
    assert "fetch https://github.com/mseitzer/pytorch-fid" in skipped["fid"]
    assert "not measured: fid: FID's Inception is not on this machine" in out
    for name, why in skipped.items():
        assert f"- {name}: {why}" in (tmp_path / "eval" / "table.md").read_text()
    suite = ElementTree.parse(tmp_path / "eval" / "junit.xml").getroot()
    assert int(suite.get("skipped")) == len(skipped)
    with np.load(tmp_path / "eval" / "statistics" / "parser-faces.npz") as stored:
        assert stored["sigma"].shape == (len(stored["mu"]),) * 2


def test_a_stopped_evaluation_continues(evaluate, blurred, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "SIZE", 2)
    monkeypatch.setattr("facesynth.evaluation.evaluate.at_once", lambda size: 1)
    assert evaluate("--faces", blurred, *FAST[:4], out="whole")[0] == 0

    from facesynth.evaluation.pairs import FaceFiles

    make, made = FaceFiles.make, []

    def stop(self, ids):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(ids[0])
        return make(self, ids)

    monkeypatch.setattr(FaceFiles, "make", stop)
    with pytest.raises(click.Abort):
        evaluate("--faces", blurred, *FAST[:4])
    assert not (tmp_path / "eval" / "metrics.json").exists()
    again = []
    monkeypatch.setattr(FaceFiles, "make", lambda self, ids: again.append(ids[0]) or make(self, ids))
    assert evaluate("--faces", blurred, *FAST[:4])[0] == 0
    assert (
        again[:3] == sorted(path.stem for path in blurred.iterdir())[2:]
    )  # the first block is there; the page reads more
    assert contents(tmp_path / "eval") == contents(tmp_path / "whole")


PROGRAM = """
from facesynth.cli import main
from facesynth.evaluation import blocks

blocks.SIZE = 2
main()
"""


@pytest.mark.slow
def test_processes_share_the_work(evaluate, data, blurred, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        str(free_port()),
        program,
    ]
    options = ["--data", data, "--faces", blurred, *FAST[:4], "--device", "cpu", "-q", "--out", tmp_path / "both"]
    done = subprocess.run(
        [*map(str, launch), "evaluate", *map(str, options)], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("results in") == 1
    assert len(list((tmp_path / "both" / "blocks").glob("*/*.npz"))) == 3
    assert evaluate("--faces", blurred, *FAST[:4])[0] == 0
    for name in ("metrics.json", "pictures.csv", "report.html"):
        assert (tmp_path / "both" / name).read_bytes() == (tmp_path / "eval" / name).read_bytes()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_changed_faces_are_measured_anew(evaluate, blurred, true_faces, tmp_path):
    folder = Path(shutil.copytree(blurred, tmp_path / "faces"))
    evaluate("--faces", folder, *FAST[:2])
    first = metrics_of(tmp_path / "eval")["metrics"]["l1"]["value"]
    shutil.rmtree(folder)
    shutil.copytree(true_faces, folder)
    evaluate("--faces", folder, *FAST[:2])
    assert first > 0 == metrics_of(tmp_path / "eval")["metrics"]["l1"]["value"]
    assert len(list((tmp_path / "eval" / "blocks").iterdir())) == 1


def test_limits_give_exit_code_3(evaluate, blurred, tmp_path):
    code, _, err = evaluate("--faces", blurred, *FAST[:4], "--fail-if", "ssim < 0.99", "--fail-if", "l1>1")
    assert code == 3
    assert err.startswith("facesynth: ssim is 0.")
    assert err.endswith("and so ssim < 0.99\n")
    suite = ElementTree.parse(tmp_path / "eval" / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.get("name") for case in suite if case.find("failure") is not None] == ["not ssim < 0.99"]
    assert evaluate("--faces", blurred, *FAST[:4], "--fail-if", "ssim < 0.01")[0] == 0
    assert_refused(evaluate("--faces", blurred, "--fail-if", "ssim"), "the limit is 'ssim'; needed: a metric")
    assert_refused(
        evaluate("--faces", blurred, *FAST[:2], "--fail-if", "lpips < 1"), "names lpips, which was not measured"
    )


def test_comparing(evaluate, facesynth, blurred, true_faces, tmp_path):
    evaluate("--faces", true_faces, *FAST[:4], "--name", "true", out="a")
    evaluate("--faces", blurred, *FAST[:4], "--name", "blurred", out="b")
    code, out, _ = facesynth("evaluate", "--compare", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "c")
    assert code == 0
    assert "| metric | true | blurred |" in out
    assert (tmp_path / "c" / "comparison.md").read_text() == out
    content = json.loads((tmp_path / "c" / "comparison.json").read_text())
    of_blurred = metrics_of(tmp_path / "b")["metrics"]["l1"]
    assert content["values"]["l1"] == [0, of_blurred["value"]]
    assert content["tests"]["blurred"]["l1"]["difference"] == pytest.approx(of_blurred["value"], rel=1e-6)
    assert content["tests"]["blurred"]["l1"]["p"] is None  # five pairs are too few
    evaluate("--faces", blurred, *FAST[:2], "--size", "32", out="d")
    refused = facesynth("evaluate", "--compare", tmp_path / "a", tmp_path / "d", "--out", tmp_path / "e")
    assert_refused(refused, "has size 32, .* 64; needed: the same")
    assert_refused(
        facesynth("evaluate", "--compare", tmp_path / "a", "--out", tmp_path / "e"), "1 evaluation to compare"
    )
    assert_refused(
        facesynth("evaluate", "--compare", tmp_path / "a", blurred, "--out", tmp_path / "e"), "holds no metrics.json"
    )
    assert not (tmp_path / "e").exists()


def other_parser(path: Path) -> Path:
    scheme = get_scheme("face-parsing")
    config = ParserConfig(input_size=32, channels=(4, 6))
    native.save_parser(path, ParserNetwork(config, len(scheme)).state_dict(), config=config, scheme=scheme, info={})
    return path


def test_bad_input_is_one_line(evaluate, data, true_faces, tmp_path):
    assert_refused(evaluate(), "give either a checkpoint or a folder of faces")
    assert_refused(evaluate("--faces", tmp_path / "none"), "none does not exist")
    assert_refused(evaluate("--faces", true_faces, "--metric", "beauty"), "metric is 'beauty'; needed: l1, l2")
    assert_refused(evaluate("--faces", true_faces, "--split", "tset"), "split is 'tset'")
    assert_refused(
        evaluate("--faces", true_faces, "--reference", "other"),
        "reference: split is 'other'; needed: train, val, test, .* or an .npz file",
    )
    assert_refused(
        evaluate("--faces", true_faces, "--parser", other_parser(tmp_path / "p.safetensors")),
        "label scheme face-parsing",
    )

    names = sorted(path.name for path in true_faces.iterdir())
    others = tmp_path / "others"
    others.mkdir()
    Image.new("RGB", (SIZE, SIZE)).save(others / "someone.png")
    assert_refused(
        evaluate("--faces", others), "no face in .*others has an id of the dataset: faces are someone, ids are 00001"
    )

    sizes = Path(shutil.copytree(true_faces, tmp_path / "sizes"))
    Image.new("RGB", (32, 32)).save(sizes / names[2])
    assert_refused(
        evaluate("--faces", sizes), "different sizes: .* is 64 x 64, .* is 32 x 32; needed: one size, or --size"
    )
    Image.new("RGB", (SIZE, 32)).save(sizes / names[2])
    assert_refused(evaluate("--faces", sizes, "--size", "64"), "is 64 x 32; needed: square faces")

    Image.new("RGB", (SIZE, SIZE)).save(true_faces / "00001.jpg")
    try:
        assert_refused(evaluate("--faces", true_faces), "are both the face of 00001; remove one")
    finally:
        (true_faces / "00001.jpg").unlink()
    assert not (tmp_path / "eval" / "metrics.json").exists()


def test_a_picture_of_nan_is_refused(evaluate, true_faces, tmp_path):
    folder = Path(shutil.copytree(true_faces, tmp_path / "nan"))
    (folder / "00002.png").unlink()
    Image.fromarray(np.full((SIZE, SIZE), np.nan, np.float32)).save(folder / "00002.tif")
    assert_refused(
        evaluate("--faces", folder, *FAST[:2]), "00002.tif has values that are not finite; needed: a picture"
    )


def test_one_picture_has_no_interval_and_no_distance(evaluate, true_faces, tmp_path):
    folder = tmp_path / "one"
    folder.mkdir()
    shutil.copy(true_faces / "00003.png", folder)
    assert evaluate("--faces", folder, *FAST[:4], "--metric", "frechet_parser")[0] == 0
    content = metrics_of(tmp_path / "eval")
    assert (content["metrics"]["l1"]["n"], content["metrics"]["l1"]["low"]) == (1, None)
    assert content["skipped"]["frechet_parser"] == "there is 1 face; needed: at least 2"
    assert content["settings"]["ids_without_face"] == 4
    assert_refused(
        evaluate("--faces", folder, "--metric", "kid_parser", out="two"),
        "none of the metrics can be measured: kid_parser",
    )


def test_classes_that_no_map_has_are_left_out(evaluate, data, true_faces, tmp_path):
    bare = Path(shutil.copytree(data, tmp_path / "bare"))
    dataset = read_dataset(bare)
    for path in dataset.rows["labels"]:
        images.write_labels(bare / path, np.minimum(images.read_labels(bare / path, CELEBAMASK_HQ), 1), CELEBAMASK_HQ)
    assert evaluate("--faces", true_faces, "--metric", "miou", folder=bare)[0] == 0
    told = metrics_of(tmp_path / "eval")["metrics"]
    assert [name for name in told if name.startswith("iou_")] == ["iou_background", "iou_skin"]
    assert told["miou"]["value"] == pytest.approx((told["iou_background"]["value"] + told["iou_skin"]["value"]) / 2)
    write_dataset(dataclasses.replace(dataset, rows=dataset.rows.assign(labels="")))
    assert_refused(
        evaluate("--faces", true_faces, "--metric", "miou", folder=bare, out="no"), "not every photo has a label map"
    )


def random_inception(path: Path) -> Path:
    torch.manual_seed(0)
    state = {
        name: torch.randn_like(value) * 0.05 if value.is_floating_point() and value.ndim > 1 else value
        for name, value in inception.inception().state_dict().items()
    }
    save_file(state, path)
    return path


def test_weights_of_a_wrong_digest_are_refused(evaluate, true_faces, tmp_path):
    (tmp_path / "pt_inception.pth").write_bytes(b"other weights")
    refused = evaluate("--faces", true_faces, "--inception-weights", tmp_path / "pt_inception.pth")
    assert_refused(refused, "is not the Inception of FID: its SHA-256 begins with .*; needed: 6726825d")
    assert_refused(
        evaluate("--faces", true_faces, "--inception-weights", "nowhere.pth"), "there is no file nowhere.pth"
    )


@pytest.mark.slow
def test_fid_against_statistics_of_another_program(evaluate, true_faces, blurred, tmp_path, monkeypatch):
    path = random_inception(tmp_path / "inception.safetensors")
    monkeypatch.setattr(inception, "DIGEST", blocks.sha256(path.read_bytes())[:8])
    options = ("--metric", "fid", "--metric", "kid", "--inception-weights", path, "--count", "3")
    assert evaluate("--faces", blurred, *options)[0] == 0
    own = metrics_of(tmp_path / "eval")["metrics"]
    assert own["fid"]["value"] > 0
    assert "biased upward by few pictures: 3 of them" in own["fid"]["note"]
    assert next(iter(own)) == "kid"
    statistics = tmp_path / "eval" / "statistics" / "inception-photos.npz"
    assert evaluate("--faces", blurred, *options, "--reference", statistics, out="other")[0] == 0
    told = metrics_of(tmp_path / "other")["metrics"]["fid"]
    assert told["value"] == pytest.approx(own["fid"]["value"], rel=1e-6)
    assert (told["reference"], own["kid"]["reference"]) == (str(statistics), "test")
