"""Finished label maps from one scheme to another: what is renumbered, what fails, and what is refused at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from facesynth.cli.prep.remap import remap as command
from PIL import Image

from facesynth import images
from facesynth.errors import InputError, OutputError
from facesynth.labels import CELEBAMASK_HQ, LabelScheme, get_scheme, remap
from facesynth.prep.remap import Remapped, remap_folder

from ..trees import contents

FACE_PARSING = get_scheme("face-parsing")
MAPS = {name: np.random.default_rng(number).integers(0, 19, (9, 12), np.uint8) for number, name in enumerate("ab")}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of maps in the order of face-parsing: a of ids, b in colours."""
    folder = tmp_path / "maps"
    folder.mkdir()
    images.write_labels(folder / "a.png", MAPS["a"], FACE_PARSING)
    images.write_png(folder / "b.png", images.colourise(MAPS["b"], FACE_PARSING))
    return folder


def to_ours(source: Path, out: Path, **options: object) -> Remapped:
    return remap_folder(source, out, **({"source_scheme": FACE_PARSING, "target_scheme": CELEBAMASK_HQ} | options))


def test_a_folder_of_maps(source: Path, tmp_path: Path) -> None:
    before = contents(source)
    (source / "deeper").mkdir()
    (source / "notes.txt").write_text("not a picture")
    done = to_ours(source, tmp_path / "out")
    assert (done.root, done.written, done.failures) == (tmp_path / "out", 2, [])
    assert sorted(contents(tmp_path / "out")) == ["a.png", "b.png"]
    for name, labels in MAPS.items():
        read = images.read_labels(tmp_path / "out" / f"{name}.png", CELEBAMASK_HQ)
        np.testing.assert_array_equal(read, remap(labels, FACE_PARSING, CELEBAMASK_HQ))
    assert {name: contents(source)[name] for name in before} == before


def test_a_single_map_in_colours(source: Path, tmp_path: Path) -> None:
    done = to_ours(source / "a.png", tmp_path / "out", palette=True, size=18)
    assert done.written == 1
    with Image.open(tmp_path / "out" / "a.png") as picture:
        assert (picture.mode, picture.size) == ("P", (18, 18))
        expected = images.resize(remap(MAPS["a"], FACE_PARSING, CELEBAMASK_HQ), (18, 18), labels=True)
        np.testing.assert_array_equal(np.asarray(picture), expected)
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), images.colourise(expected, CELEBAMASK_HQ))


def test_bad_maps_are_named_and_the_rest_is_done(source: Path, tmp_path: Path) -> None:
    (source / "cut.png").write_bytes((source / "a.png").read_bytes()[:60])
    images.write_png(source / "high.png", np.array([[19]], np.uint8))
    images.write_png(source / "photo.png", 90 + np.arange(27, dtype=np.uint8).reshape(3, 3, 3))
    done = to_ours(source, tmp_path / "out", progress=lambda files, total: list(files)[:total])
    assert done.written == 2
    assert sorted(contents(tmp_path / "out")) == ["a.png", "b.png"]
    assert [path.name for path, _ in done.failures] == ["cut.png", "high.png", "photo.png"]
    reasons = [reason for _, reason in done.failures]
    assert "cannot be decoded" in reasons[0]
    assert "holds the value 19" in reasons[1]
    assert "of 9 pixels in colours of no class" in reasons[2]


def test_classes_that_are_joined(tmp_path: Path) -> None:
    faces = LabelScheme("faces", ("background", "face", "eye"))
    (tmp_path / "maps").mkdir()
    images.write_labels(tmp_path / "maps" / "a.png", MAPS["a"], CELEBAMASK_HQ)
    classes = {name: "eye" if name in ("l_eye", "r_eye") else "face" for name in CELEBAMASK_HQ.parts}
    options = {"source_scheme": CELEBAMASK_HQ, "target_scheme": faces}
    with pytest.raises(InputError, match=r"faces has no class skin, nose.* say for each"):
        remap_folder(tmp_path / "maps", tmp_path / "out", **options)
    remap_folder(tmp_path / "maps", tmp_path / "out", **options, classes=classes)
    read = images.read_labels(tmp_path / "out" / "a.png", faces)
    np.testing.assert_array_equal(read, np.where(np.isin(MAPS["a"], (4, 5)), 2, np.minimum(MAPS["a"], 1)))


def test_nothing_is_overwritten_in_place(source: Path) -> None:
    before = contents(source)
    for given, out in ((source, source), (source / "a.png", source), (source, source / ".." / "maps")):
        with pytest.raises(InputError, match="give another folder"):
            to_ours(given, out)
    assert contents(source) == before


def test_maps_of_one_name(source: Path, tmp_path: Path) -> None:
    Image.fromarray(MAPS["a"]).save(source / "a.bmp")
    with pytest.raises(InputError, match=r"a\.bmp and .*a\.png would both be written as a\.png"):
        to_ours(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [0, -3, 9000])
def test_sizes_that_are_refused(source: Path, tmp_path: Path, size: int) -> None:
    with pytest.raises(InputError, match="needed: 1 to 8192 pixels"):
        to_ours(source, tmp_path / "out", size=size)


def test_folders_that_are_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent does not exist"):
        to_ours(tmp_path / "absent", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no picture in"):
        to_ours(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(OutputError, match="it is a file"):
        to_ours(source, source / "a.png")


# --- the command ---


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_command(source: Path, tmp_path: Path) -> None:
    (tmp_path / "faces.yaml").write_text("name: faces\nclasses: [background, face, hair]\n")
    joined = [f"--class={name}=face" for name in FACE_PARSING.parts if name != "hair"]
    options = ["--from", "face-parsing", "--to", tmp_path / "faces.yaml", "--out", tmp_path / "out", *joined, "-q"]
    result = run(source, *options)
    assert (result.exit_code, result.output) == (0, f"label maps in {tmp_path / 'out'}: 2 written, 0 failed\n")
    read = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    np.testing.assert_array_equal(read, np.where(MAPS["a"] == 17, 2, np.minimum(MAPS["a"], 1)))
    (source / "c.png").write_bytes(b"")
    result = run(source, *options)
    assert result.exit_code == 1
    assert result.stdout == f"label maps in {tmp_path / 'out'}: 2 written, 1 failed\n"
    assert result.stderr.startswith(f"{source / 'c.png'} is not a picture")


@pytest.mark.parametrize("pairs", [["skin"], ["skin=face", "skin=hair"]])
def test_command_with_classes_that_are_no_pairs(source: Path, tmp_path: Path, pairs: list[str]) -> None:
    given = [f"--class={pair}" for pair in pairs]
    result = run(source, "--from", "face-parsing", "--to", "celebamask-hq", "--out", tmp_path / "out", *given)
    assert result.exit_code == 2
    assert "needed: a class and what it becomes" in result.stderr
    assert not (tmp_path / "out").exists()
