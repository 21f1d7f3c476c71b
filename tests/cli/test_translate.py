from __future__ import annotations

import pickle
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import safetensors.torch
import torch

from facesynth import cli, images
from facesynth.model.inference.parser import Parser

from ..looks import photo
from ..runs import assert_refused, save_model, small_disk
from ..trees import COMMAND, contents, leftovers, pictures
from ..trees import facesynth as installed


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {task: save_model(root / f"{task}.safetensors", task) for task in ("seg2face", "sketch2face")}


@pytest.fixture
def translate(facesynth, models, tmp_path):
    """``facesynth translate`` with the segmentation model into ``out``."""

    def run(*arguments, task="seg2face", out=tmp_path / "out"):
        options = ("--checkpoint", models[task], "--out", out, "--device", "cpu", "--quiet")
        return facesynth("translate", *options, *arguments)

    return run


def test_a_folder_and_what_is_said_of_it(faces, tmp_path, translate):
    code, out, err = translate(faces / "labels", "--samples", 2, "--sheet")
    assert (code, err) == (0, "")
    assert (
        out
        == f"faces in {tmp_path}/out: 12 written, 0 already there, 0 inputs failed\ncontact sheet: {tmp_path}/out/sheet.png\n"
    )
    names = {f"0000{number}_{sample}.png" for number in range(6) for sample in range(2)}
    assert set(contents(tmp_path / "out")) == names | {"sheet.png", "faces.jsonl"}


@pytest.mark.slow
def test_the_installed_command(faces, models, tmp_path, translate):
    options = ("--checkpoint", models["seg2face"], "--device", "cpu", "--seed", 5, "--samples", 1)
    done = installed("translate", faces, *options, "--out", tmp_path / "other")
    assert done.returncode == 0
    assert re.fullmatch(r"faces: 100%.*3/3 .*\n", done.stderr)
    translate(faces, "--seed", 5, "--samples", 1)
    assert contents(tmp_path / "other") == contents(tmp_path / "out")


@pytest.fixture(scope="module")
def many(faces, models, tmp_path_factory):
    """300 label maps, and what a call that nothing stops makes of them."""
    inputs, out = (tmp_path_factory.mktemp("many") / name for name in ("inputs", "out"))
    inputs.mkdir()
    for source in (faces / "labels").iterdir():
        for copy in range(50):
            shutil.copy(source, inputs / f"{source.stem}-{copy}.png")
    options = ("--checkpoint", models["seg2face"], "--out", out, "--device", "cpu", "--quiet", "--batch-size", 1)
    cli.facesynth.main([str(item) for item in ("translate", inputs, *options)], standalone_mode=False)
    return inputs, out


@pytest.mark.slow
@pytest.mark.parametrize("enough", [1, 60, 250])
def test_a_call_killed_at_any_time_ends_as_an_undisturbed_one(many, models, tmp_path, translate, enough):
    inputs, whole = many
    out = tmp_path / "out"
    command = [COMMAND, "translate", inputs, "--checkpoint", models["seg2face"], "--device", "cpu", "--out", out]
    process = subprocess.Popen([*command, "--batch-size", "1"], stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(out.glob("*.png"))) < enough:
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert enough <= len(list(out.glob("*.png"))) < 300
    translate(inputs, "--batch-size", 1)
    assert leftovers(out) == []
    assert contents(out) == contents(whole)
    assert len(pictures(out)) == 300


@pytest.mark.slow
def test_options_reach_the_faces(faces, tmp_path, translate):
    for name, options in {"a": (), "b": ("--seed", 1), "c": ("--batch-size", 1), "d": ("--split", "train")}.items():
        translate(faces, "--samples", 1, *options, out=tmp_path / name)
    a, b, c, d = (pictures(tmp_path / name) for name in "abcd")
    assert a.keys() == b.keys() == c.keys() == {"00001_0.png", "00003_0.png", "00005_0.png"}
    assert d.keys() == {"00000_0.png", "00002_0.png", "00004_0.png"}
    assert a["00001_0.png"] != b["00001_0.png"]
    for name in a:
        pixels, others = (images.read_photo(tmp_path / root / name).astype(int) for root in "ac")
        assert np.abs(pixels - others).max() <= 1


def test_the_sketch_method_is_chosen(faces, tmp_path, translate):
    for method in ("dodge", "xdog"):
        assert translate(faces, "--sketch", method, task="sketch2face", out=tmp_path / method)[0] == 0
    assert contents(tmp_path / "dodge").keys() == contents(tmp_path / "xdog").keys()
    assert contents(tmp_path / "dodge") != contents(tmp_path / "xdog")
    assert_refused(translate(faces, task="sketch2face"), "choose one with --sketch")


@pytest.mark.parametrize(
    ("task", "source", "says"),
    [
        ("seg2face", "photos/00001.jpg", "00001.jpg has .* pixels in colours of no class"),
        ("seg2face", "sketches/xdog/00001.png", "00001.png holds the value 255"),
        ("sketch2face", "labels/00001.png", "00001.png has no value above 31: that is a label map"),
    ],
)
def test_the_wrong_kind_of_picture(faces, models, tmp_path, translate, task, source, says):
    code, out, err = translate(faces / source, task=task)
    assert code == 2
    assert out == f"faces in {tmp_path}/out: 0 written, 0 already there, 1 inputs failed\n"
    assert err.count("\n") == 1
    assert re.search(
        rf"^00001: .*{says}.*; {models[task]} is a {task} checkpoint(; it looks like a photo; .*)?$", err.rstrip()
    )
    assert contents(tmp_path / "out") == {"faces.jsonl": b""}


def test_damaged_pictures_among_good_ones(faces, tmp_path, translate):
    shutil.copytree(faces / "labels", tmp_path / "in")
    (tmp_path / "in/00002.png").write_bytes((faces / "labels/00002.png").read_bytes()[:-40])
    (tmp_path / "in/00004.png").write_bytes(b"text")
    code, out, err = translate(tmp_path / "in")
    assert code == 1
    assert out == f"faces in {tmp_path}/out: 4 written, 0 already there, 2 inputs failed\n"
    assert [line.partition(": ")[0] for line in err.splitlines()] == ["00002", "00004"]
    assert set(contents(tmp_path / "out")) == {"00000.png", "00001.png", "00003.png", "00005.png", "faces.jsonl"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nothing",), "nothing does not exist; give a picture, or a folder of pictures"),
        (("{data}", "--samples", -1), "samples is -1; needed: at least 0"),
        (("{data}", "--seed", -1), "seed is -1; needed: at least 0"),
        (("{data}", "--batch-size", 0), "batch_size is 0; needed: at least 1"),
        (("{data}", "--split", "foo"), "split is 'foo'; needed: train, val, test or all"),
        (("{data}/labels", "{data}/photos"), r"labels/00000\.png and .*photos/00000\.jpg would both become 00000\.png"),
        (("{data}", "--out", "{data}/manifest.csv"), "it is a file; give a folder"),
        (("{data}/labels", "--out", "{data}/labels"), "would take the place of the input"),
        (("{data}", "--device", "cuda"), "device 'cuda' is not available here; this machine has: cpu"),
    ],
)
def test_what_is_refused_before_anything_is_done(faces, tmp_path, translate, monkeypatch, arguments, says):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    before = contents(faces)
    assert_refused(translate(*(str(item).format(data=faces) for item in arguments)), says)
    assert contents(faces) == before
    assert not (tmp_path / "out").exists()


def test_an_empty_folder(tmp_path, translate):
    (tmp_path / "empty").mkdir()
    assert_refused(translate(tmp_path / "empty"), "no picture in .*/empty; looked for")


class Spoil:
    """Something that ends the process when it is unpickled."""

    def __reduce__(self):
        return exit, (77,)


def foreign(path):
    safetensors.torch.save_file({"a": torch.zeros(3)}, path)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "checkpoint .* does not exist"),
        (lambda path: path.mkdir(), "holds no model.safetensors; give a checkpoint file, or the --out of"),
        (foreign, "is a safetensors file but no facesynth checkpoint"),
        (lambda path: torch.save({"a": torch.zeros(3)}, path), "cannot be read as a checkpoint"),
        (lambda path: path.write_bytes(pickle.dumps(Spoil())), "cannot be read as a checkpoint"),
        (lambda path: path.write_bytes(b""), "cannot be read as a checkpoint"),
    ],
    ids=["nothing", "folder", "foreign", "pt", "pickle", "empty"],
)
def test_what_is_no_checkpoint(faces, tmp_path, translate, make, says):
    make(tmp_path / "given")
    assert_refused(translate(faces, "--checkpoint", tmp_path / "given"), says)
    assert not (tmp_path / "out").exists()


def test_a_dataset_is_no_checkpoint(faces, translate):
    assert_refused(translate(faces, "--checkpoint", faces), r"data holds no model\.safetensors")


def test_a_training_state_is_one(faces, tmp_path, translate):
    save_model(tmp_path / "step-00000007.safetensors", kind="training")
    assert translate(faces, "--checkpoint", tmp_path / "step-00000007.safetensors", out=tmp_path / "a")[0] == 0
    assert translate(faces, out=tmp_path / "b")[0] == 0
    assert pictures(tmp_path / "a") == pictures(tmp_path / "b")


def test_a_full_disk(faces, tmp_path, translate):
    with small_disk(tmp_path / "disk", "36k") as disk:
        assert_refused(translate(faces, "--split", "all", "--samples", 3, out=disk.root), "No space left on device")
        assert leftovers(disk.root) == []
        assert {images.read_photo(path).shape for path in disk.root.glob("*.png")} == {(32, 32, 3)}


@pytest.mark.slow
def test_a_list_on_standard_input(faces, tmp_path, models):
    listed = f"{faces}/labels/00001.png\r\n\n{faces}/labels/00004.png\n"
    command = [COMMAND, "translate", "-", faces / "labels/00000.png", "--checkpoint", models["seg2face"], "-q", "--out"]
    done = subprocess.run([*command, tmp_path / "out"], input=listed, capture_output=True, text=True, check=True)
    assert done.stdout == f"faces in {tmp_path}/out: 3 written, 0 already there, 0 inputs failed\n"
    assert pictures(tmp_path / "out").keys() == {"00000.png", "00001.png", "00004.png"}
    done = subprocess.run(
        [*command[:2], *command[2:3], *command[4:], tmp_path / "a"], input="\n", capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (2, "facesynth: no input on standard input; needed: one path per line\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("--samples", 1, "--mix-layers", "8px"),
        ("--samples", 1, "--mix-alpha", 0.3),
        ("--truncation", 0.4),
        ("--style-from", "{data}/labels/00000.png", "--mix-layers", "all"),
        ("--samples", 1, "--seed", 9),
        ("--size", 16),
    ],
)
def test_options_change_the_faces(faces, tmp_path, translate, options):
    plain = ("--samples", 1) if "--samples" in options else ()
    translate(faces, *plain, out=tmp_path / "plain")
    assert translate(faces, *(str(item).format(data=faces) for item in options))[0] == 0
    one, other = pictures(tmp_path / "plain"), pictures(tmp_path / "out")
    assert one.keys() == other.keys()
    assert not [name for name in one if one[name] == other[name]]


def test_latents_out_and_in(faces, tmp_path, translate):
    assert translate(faces, "--save-latents", "--format", "jpg")[0] == 0
    assert contents(tmp_path / "out").keys() == {
        "faces.jsonl",
        *(f"{name}.{kind}" for name in ("00001", "00003", "00005") for kind in ("jpg", "npy")),
    }
    assert translate(tmp_path / "out", "--from-latents", out=tmp_path / "again")[0] == 0
    translate(faces, out=tmp_path / "straight")
    for name in pictures(tmp_path / "straight"):
        pixels, others = (images.read_photo(tmp_path / root / name).astype(int) for root in ("again", "straight"))
        assert np.abs(pixels - others).max() <= 1
    ends = (tmp_path / "out/00001.npy", tmp_path / "out/00003.npy")
    assert translate("--interpolate", *ends, "--frames", 3, out=tmp_path / "way")[0] == 0
    way = pictures(tmp_path / "way")
    assert way.keys() == {f"00001-00003_{number}.png" for number in range(3)}
    assert way["00001-00003_2.png"] == (tmp_path / "again/00003.png").read_bytes()


@pytest.mark.slow
def test_what_is_there_stays_unless_forced(faces, tmp_path, translate):
    for options, counts in (((), "3 written, 0"), ((), "0 written, 3"), (("--force",), "3 written, 0")):
        code, out, err = translate(faces, *options)
        assert (code, err) == (0, "")
        assert out == f"faces in {tmp_path}/out: {counts} already there, 0 inputs failed\n"


def test_an_inverted_drawing_is_said(faces, tmp_path, translate):
    images.write_png(tmp_path / "a.png", 255 - images.read_sketch(faces / "sketches/dodge/00001.png"))
    code, out, err = translate(tmp_path / "a.png", task="sketch2face")
    assert (code, err) == (0, "a: light lines on dark: read as dark on light\n")
    assert out.startswith(f"faces in {tmp_path}/out: 1 written")


def test_tone_and_paper_by_option(faces, tmp_path, translate):
    sketch = images.read_sketch(faces / "sketches/xdog/00001.png")
    images.write_png(tmp_path / "a.png", (0.7 * sketch).astype(np.uint8))
    faces_of = []
    for options, note in (
        ((), "a: paper levelled\n"),
        (("--paper", "keep"), ""),
        (("--tone", "keep"), "a: paper levelled\n"),
    ):
        code, out, err = translate(tmp_path / "a.png", *options, task="sketch2face")
        assert (code, err) == (0, note)
        assert "1 written" in out  # other options make another face
        faces_of.append(images.read_photo(tmp_path / "out/a.png"))
    assert np.abs(faces_of[0].astype(int) - faces_of[1]).max() > 0
    np.testing.assert_array_equal(faces_of[0], faces_of[2])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "there is no input; needed: pictures"),
        (("{data}", "--mix-layers", "all"), "mix_layers is all, but there is no style to mix in"),
        (("{data}", "--samples", 1, "--mix-layers", "many"), "mix_layers is 'many'; needed: coarse, middle, fine, all"),
        (("{data}", "--samples", 1, "--mix-alpha", 1.5), r"mix_alpha is 1\.5; needed: a number from 0 to 1"),
        (("{data}", "--truncation", -1), r"truncation is -1\.0; needed: a number, at least 0"),
        (("{data}", "--size", 0), "size is 0; needed: 1 to 8192"),
        (("{data}", "--batch-size", "many"), "batch_size is 'many'; needed: a number or auto"),
        (("{data}", "--frames", 3), "frames is 3, but there is nothing to interpolate between"),
        (("{data}/labels", "--split", "val"), "the split 'val' came without a dataset folder"),
        (("{data}", "--interpolate", "a", "b"), "came beside two inputs to interpolate between"),
        (("--interpolate", "{data}/labels/00000.png", "nothing.png"), r"cannot read nothing\.png: No such file"),
        (("--interpolate", "{data}/labels/00000.png", "{data}/labels/00001.png", "--frames", 1), "frames is 1; needed"),
        (("{data}", "--from-latents"), "no latents in .*data; looked for"),
        (("{data}", "--samples", 1, "--style-from", "{data}/labels/00000.png"), "a given style came with samples 1"),
        (("{data}", "--checkpoint", "{data}/manifest.csv"), "is of no known format"),
        (("{data}", "--tone", "invert"), "tone is invert and paper auto, but .* takes labels; leave them out"),
        (("{data}", "--paper", "level"), "tone is auto and paper level, but .* takes labels; leave them out"),
        (
            ("{data}", "--checkpoint", "photo-sketc"),
            "does not exist; .*photo-sketch, .*; or is downloaded: psp-sketch-to",
        ),
    ],
)
def test_options_that_do_not_fit(faces, tmp_path, translate, arguments, says):
    assert_refused(translate(*(str(item).format(data=faces) for item in arguments)), says)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "chosen"),
    [
        (("labels/00000.png",), "photo-seg"),
        (("labels",), "photo-seg"),
        ((".",), "photo-seg"),
        ((".", "--sketch", "xdog"), "photo-sketch"),
        (("sketches/xdog/00000.png",), "photo-sketch"),
        (("--interpolate", "sketches/xdog/00000.png", "sketches/xdog/00001.png", "--frames", 3), "photo-sketch"),
    ],
)
def test_without_a_checkpoint_the_first_input_chooses_one(faces, facesynth, tmp_path, monkeypatch, arguments, chosen):
    monkeypatch.chdir(faces)
    named, unnamed = tmp_path / "named", tmp_path / "unnamed"
    code, out, err = facesynth("translate", "--device", "cpu", "-q", "--out", unnamed, *arguments)
    assert (code, err) == (0, "")
    assert out.startswith(
        f"model: {chosen}, chosen by the first input; --checkpoint selects another\nfaces in {unnamed}: "
    )
    code, out, err = facesynth("translate", "--device", "cpu", "-q", "--out", named, "--checkpoint", chosen, *arguments)
    assert (code, out.count("model:")) == (0, 0)
    made = {path.name: images.read_photo(path) for path in unnamed.glob("*.png")}
    assert made.keys() == {path.name for path in named.glob("*.png")} != set()
    assert all(np.array_equal(picture, images.read_photo(named / name)) for name, picture in made.items())


@pytest.mark.slow
def test_without_a_checkpoint_latents_go_on(faces, facesynth, tmp_path):
    maps = faces / "labels"
    fixed = ("-q", "--device", "cpu")
    for options in ((), ("--checkpoint", "portrait-seg")):
        first, again = tmp_path / f"first{len(options)}", tmp_path / f"again{len(options)}"
        facesynth("translate", maps, *fixed, *options, "--save-latents", "--out", first)
        code, out, err = facesynth("translate", first, *fixed, *options, "--from-latents", "--out", again)
        assert (code, out.startswith("model: photo-seg")) == (0, not options)
        assert err.startswith("latents: without the spatial path, which needs the picture") == (not options)
        for path in again.glob("*.png"):
            is_same = np.array_equal(images.read_photo(path), images.read_photo(first / path.name))
            assert is_same == bool(options)


def test_without_a_checkpoint_faces_go_to_a_folder_of_that_name(faces, facesynth, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(faces / "sketches/xdog/00000.png", "drawing.png")
    assert facesynth("translate", "drawing.png", "-q")[0] == 0
    assert images.read_photo(tmp_path / "faces" / "drawing.png").shape == (128, 128, 3)


@pytest.mark.slow
def test_without_a_checkpoint_a_photo_is_parsed(facesynth, tmp_path):
    images.write_png(tmp_path / "photo.png", photo())
    code, out, err = facesynth("translate", tmp_path / "photo.png", "--out", tmp_path / "out", "-q", "--device", "cpu")
    assert (code, err) == (0, "photo: a photo: its label map was made by photo-parser\n")
    assert out.startswith("model: photo-seg, chosen by the first input")
    ids = Parser.from_pretrained("photo-parser", device="cpu").parse(photo())
    images.write_png(tmp_path / "map.png", ids)
    facesynth("translate", tmp_path / "map.png", "--out", tmp_path / "out", "-q", "--device", "cpu")
    np.testing.assert_array_equal(
        images.read_photo(tmp_path / "out/photo.png"), images.read_photo(tmp_path / "out/map.png")
    )


def test_a_blank_sheet_alone_is_refused(facesynth, tmp_path):
    images.write_png(tmp_path / "sheet.png", np.full((64, 64), 255, np.uint8))
    ended = facesynth("translate", tmp_path / "sheet.png", "--out", tmp_path / "out", "-q")
    assert_refused(
        ended, r"sheet\.png is a blank sheet \(no line or area on 100.0% of it\); needed: a picture with a face"
    )
    assert not (tmp_path / "out").exists()
