from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from facesynth import images
from facesynth.errors import InputError, WrongKindError
from facesynth.images import Picture
from facesynth.kinds import Recognised
from facesynth.labels import CELEBAMASK_HQ, SCHEMES, LabelScheme
from facesynth.model.data.conditions import read_condition
from facesynth.model.inference import sources
from facesynth.model.inference.kinds import DRAWN, PARSED, ConditionReader
from facesynth.model.inference.translate_files import translate_files
from facesynth.model.inference.translator import Translator
from facesynth.xdog import draw_photo

from ...looks import face, face_map, photo


class FaceParser:
    """One that finds the same face in every photo."""

    def __init__(self, scheme: LabelScheme = CELEBAMASK_HQ) -> None:
        self.scheme = scheme

    def parse(self, rgb: np.ndarray) -> np.ndarray:
        return images.resize(face_map(), rgb.shape[:2], labels=True)


@pytest.fixture(autouse=True)
def parser(monkeypatch) -> None:
    """In place of the bundled parser."""
    monkeypatch.setattr("facesynth.model.inference.kinds.bundled_parser", lambda device: FaceParser())


@pytest.fixture(autouse=True)
def models(monkeypatch, seg, sketcher) -> dict[str, str]:
    """Small models in place of the bundled ones."""
    small = {"labels": str(seg), "sketch": str(sketcher)}
    monkeypatch.setattr(sources, "SHIPPED_MODELS", small)
    return small


@pytest.fixture
def reader(models):
    def make(takes: str, kind: str = "auto", *, is_bundled: bool = False) -> ConditionReader:
        return ConditionReader(Translator.from_checkpoint(models[takes], device="cpu"), kind, is_bundled=is_bundled)

    return make


PICTURES = {
    "labels": face_map(),
    "sketch": face(),
    "photo": photo(),
    "grey photo": cv2.cvtColor(photo(), cv2.COLOR_RGB2GRAY),
}


def condition_of(pixels: np.ndarray, takes: str) -> np.ndarray:
    return read_condition(pixels, takes, CELEBAMASK_HQ, 32).pixels


# ------------------------------------------------------------------------------------------------ one picture, one model


@pytest.mark.parametrize(
    ("takes", "picture", "kind", "is_bundled", "becomes", "note"),
    [
        ("labels", "labels", "auto", True, face_map(), ""),
        ("labels", "labels", "labels", False, face_map(), ""),
        ("labels", "photo", "auto", True, face_map(), PARSED),
        ("labels", "photo", "photo", False, face_map(), PARSED),
        ("labels", "grey photo", "photo", True, face_map(), PARSED),
        ("sketch", "sketch", "auto", True, face(), ""),
        ("sketch", "sketch", "auto", False, face(), ""),
        ("sketch", "photo", "auto", True, draw_photo(photo()), DRAWN),
        ("sketch", "photo", "photo", False, draw_photo(photo()), DRAWN),
        ("sketch", "photo", "sketch", True, draw_photo(photo()), DRAWN),
    ],
)
def test_what_a_picture_becomes(reader, takes, picture, kind, is_bundled, becomes, note):
    condition = reader(takes, kind, is_bundled=is_bundled).read(Picture.of(PICTURES[picture]))
    assert (condition.kind, condition.note) == (takes, note)
    np.testing.assert_array_equal(condition.pixels, condition_of(becomes, takes))


@pytest.mark.parametrize(
    ("takes", "picture", "kind", "says"),
    [
        ("labels", "sketch", "auto", r"the picture is a sketch \(lines: .*\); .* takes labels$"),
        ("sketch", "labels", "auto", r"the picture is a label map \(class ids 0 to 18 in areas\); .* takes sketch$"),
        ("labels", "photo", "sketch", "the picture is given as a sketch; .* takes labels$"),
        ("labels", "photo", "labels", "in colours of no class.*is a seg2face checkpoint$"),
        ("sketch", "photo", "labels", "the picture is given as a label map; .* takes sketch$"),
        ("sketch", "labels", "sketch", "no value above 31: that is a label map"),
    ],
)
def test_kinds_that_do_not_fit(reader, takes, picture, kind, says):
    with pytest.raises(WrongKindError, match=says):
        reader(takes, kind, is_bundled=True).read(Picture.of(PICTURES[picture]))


def test_a_model_of_the_callers_choice_is_given_what_came(reader, monkeypatch):
    grey = Picture.of(PICTURES["grey photo"])
    condition = reader("sketch").read(grey)
    assert condition.note.startswith("looks like a photo; --kind photo draws it by XDoG first")
    np.testing.assert_array_equal(condition.pixels, condition_of(PICTURES["grey photo"], "sketch"))
    monkeypatch.setattr("facesynth.model.inference.kinds.recognise", lambda picture: Recognised("photo", "soft tones"))
    colourful = np.clip(photo() * 3.0 - 2.0 * PICTURES["grey photo"][..., None], 0, 255).astype(np.uint8)
    for takes, says in (("labels", "makes its label map first"), ("sketch", "draws it by XDoG first")):
        with pytest.raises(WrongKindError, match=f"checkpoint; it looks like a photo; --kind photo {says}"):
            reader(takes).read(Picture.of(colourful))


def test_photos_are_not_parsed_for_a_model_of_another_scheme(reader, monkeypatch):
    monkeypatch.setattr(
        "facesynth.model.inference.kinds.bundled_parser", lambda device: FaceParser(SCHEMES["face-parsing"])
    )
    with pytest.raises(WrongKindError, match=r"makes a label map of face-parsing; .* takes maps of celebamask-hq"):
        reader("labels", is_bundled=True).read(Picture.of(photo()))


@pytest.mark.parametrize("is_bundled", [True, False])
def test_blank_sheets_are_refused(reader, is_bundled):
    with pytest.raises(WrongKindError, match=r"the picture is a blank sheet .*; needed: a picture with a face"):
        reader("sketch", is_bundled=is_bundled).read(Picture.of(np.full((64, 64), 255, np.uint8)))


def test_a_map_of_one_class_is_taken_by_a_model_of_the_callers_choice(reader):
    condition = reader("labels").read(Picture.of(np.full((64, 64), 3, np.uint8)))
    assert np.unique(condition.pixels).tolist() == [3]


def test_unsure_is_refused_until_an_option_settles_it(reader, monkeypatch):
    monkeypatch.setattr(
        "facesynth.model.inference.kinds.recognise",
        lambda picture: Recognised("unsure", "a sketch by 55%, a photo by 45%"),
    )
    with pytest.raises(
        WrongKindError,
        match=r"cannot be recognised \(a sketch by 55%.*\); --kind labels, sketch or photo says what it is",
    ):
        reader("sketch", is_bundled=True).read(Picture.of(face()))
    settled = reader("sketch", "sketch", is_bundled=True).read(Picture.of(face()))
    np.testing.assert_array_equal(settled.pixels, condition_of(face(), "sketch"))


# ------------------------------------------------------------------------------------------------------- without a checkpoint


def write(folder: Path, **pictures: np.ndarray) -> Path:
    folder.mkdir()
    for name, picture in pictures.items():
        images.write_png(folder / f"{name}.png", picture)
    return folder


@pytest.mark.parametrize(
    ("first", "kind", "chosen"),
    [
        ("labels", "auto", "labels"),
        ("photo", "auto", "labels"),
        ("sketch", "auto", "sketch"),
        ("photo", "sketch", "sketch"),
        ("sketch", "photo", "labels"),
    ],
)
def test_the_first_input_chooses_the_model(tmp_path, models, first, kind, chosen):
    folder = write(tmp_path / "in", a=np.full((64, 64), 255, np.uint8), b=PICTURES[first], c=face())
    assert sources.shipped_model([folder], None, kind)[0] == models[chosen]


def test_a_folder_of_all_kinds(tmp_path, models):
    blank = np.full((64, 64), 255, np.uint8)
    folder = write(tmp_path / "in", a=blank, b=photo(), c=face(), d=face_map(), e=blank)
    done = translate_files([folder], None, tmp_path / "out", device="cpu")
    assert done.chosen == models["labels"]
    assert [path.name for path in done.faces] == ["b.png", "d.png"]
    assert done.notes == [("b", PARSED)]
    assert {name: str(error) for name, error in done.failures}.keys() == {"a", "c", "e"}
    assert all(isinstance(error, WrongKindError) for _, error in done.failures)
    np.testing.assert_array_equal(images.read_photo(tmp_path / "out/b.png"), images.read_photo(tmp_path / "out/d.png"))


def test_nothing_but_blank_sheets(tmp_path):
    folder = write(tmp_path / "in", a=np.full((64, 64), 255, np.uint8), b=np.zeros((64, 64), np.uint8))
    with pytest.raises(InputError, match=r"a\.png is a blank sheet"):
        translate_files([folder], None, tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


def test_another_kind_makes_the_faces_again(tmp_path):
    folder = write(tmp_path / "in", a=cv2.cvtColor(photo(), cv2.COLOR_RGB2GRAY))
    faces = []
    for kind in ("photo", "sketch", "sketch"):
        done = translate_files([folder], None, tmp_path / "out", device="cpu", kind=kind)
        faces.append((done.written, images.read_photo(tmp_path / "out/a.png")))
    assert [written for written, _ in faces] == [1, 1, 0]
    assert np.abs(faces[0][1].astype(int) - faces[1][1]).max() > 0


def test_a_label_map_as_an_array(tmp_path, models):
    np.save(tmp_path / "a.npy", face_map().astype(np.int64))
    images.write_png(tmp_path / "b.png", face_map())
    done = translate_files([tmp_path / "a.npy", tmp_path / "b.png"], None, tmp_path / "out", device="cpu")
    assert (done.chosen, done.failures) == (models["labels"], [])
    np.testing.assert_array_equal(*(images.read_photo(path) for path in done.faces))


SKETCH_FILES = {
    "a.tif": Image.fromarray(face().astype(np.uint16) * 16),
    "b.tif": Image.fromarray(face().astype(np.float32) / 255),
    "c.png": Image.fromarray(np.dstack([face(), face() // 2 + 128, face() // 8 + 223])).quantize(12),
    "d.gif": Image.fromarray(face()).convert("RGB").quantize(16),
}


@pytest.mark.parametrize("name", SKETCH_FILES)
def test_sketches_in_deep_and_indexed_files(tmp_path, models, name):
    SKETCH_FILES[name].save(tmp_path / name)
    done = translate_files([tmp_path / name], None, tmp_path / "out", device="cpu")
    assert (done.chosen, done.failures, len(done.faces)) == (models["sketch"], [], 1)
