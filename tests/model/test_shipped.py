"""The bundled models, on portraits that they have not seen. The thresholds are far below the figures in docs/portraits.md.

Also the photographic ones are tested on drawn portraits, because there are no photos here: they follow their lines and parts.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from facesynth import images
from facesynth.labels import CELEBAMASK_HQ
from facesynth.model.checkpoints import native
from facesynth.model.checkpoints.conversion import describe
from facesynth.model.checkpoints.load import load_generator
from facesynth.model.checkpoints.recognise import recognise
from facesynth.model.inference.parser import Parser
from facesynth.model.inference.translator import Translator
from facesynth.prep.portraits.draw import draw_portrait
from facesynth.prep.sketches.drawing import draw
from facesynth.prep.sketches.presets import resolve

COUNT = 6
SEED = 99


@pytest.fixture(scope="module")
def portraits():
    """Photos, label maps and sketches, all 256 px."""
    made = []
    for index in range(COUNT):
        portrait = draw_portrait(SEED, index, size=256, mask_size=256)
        labels = np.zeros((256, 256), np.uint8)
        for name, mask in portrait.parts.items():
            labels[mask] = CELEBAMASK_HQ.classes.index(name)
        made.append((portrait.photo, labels, draw(portrait.photo, resolve("xdog"))))
    return made


FAMILIES = ("portrait", "photo")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def seg(family):
    return Translator.from_pretrained(f"{family}-seg", device="cpu")


@pytest.fixture(scope="module")
def parser(family):
    return Parser(native.load_parser(native.find(Path(f"{family}-parser"))), device="cpu")


def iou(labels, parsed):
    ids = np.unique(labels)
    return np.mean([((labels == k) & (parsed == k)).sum() / ((labels == k) | (parsed == k)).sum() for k in ids])


def lines_found(wanted, found):
    near = cv2.dilate(found.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))) > 0
    return (wanted & near).sum() / wanted.sum()


@pytest.mark.slow
def test_they_are_small_and_described():
    files = [native.find(Path(name)) for name in native.SHIPPED]
    assert sum(file.stat().st_size for file in files) <= 72_000_000
    for name, file in zip(native.SHIPPED, files, strict=True):
        told = dict(describe(Path(name)))
        assert told["file"] == str(file)
        card = recognise(file).content.info["card"]
        for what in ("Data", "Made by", "Measured", "Limits"):
            assert f"**{what}" in card, (name, what)


def test_a_folder_of_that_name_counts_more(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert native.find(Path("portrait-seg")).parent.name == "weights"
    Path("portrait-seg").write_bytes(b"")
    assert native.find(Path("portrait-seg")) == Path("portrait-seg")


def test_the_parser_finds_the_parts(portraits, parser):
    found = [iou(labels, parser.parse(photo)) for photo, labels, _ in portraits]
    assert np.mean(found) > 0.6


@pytest.mark.slow
def test_faces_have_the_parts_of_their_label_maps(portraits, seg, parser, family):
    faces = [np.asarray(seg(labels)) for _, labels, _ in portraits]
    small = [images.resize(labels, (128, 128), labels=True) for _, labels, _ in portraits]
    own = np.mean([iou(a, parser.parse(face)) for a, face in zip(small, faces, strict=True)])
    others = np.mean([iou(a, parser.parse(face)) for a, face in zip(small, faces[1:] + faces[:1], strict=True)])
    least, apart = {"portrait": (0.6, 0.25), "photo": (0.5, 0.2)}[
        family
    ]  # drawn heads are smaller than those of photos
    assert own > least
    assert own > others + apart


@pytest.mark.slow
def test_faces_have_the_lines_of_their_sketches(portraits, family):
    translator = Translator.from_pretrained(f"{family}-sketch", device="cpu")
    shares = []
    for shift in (0, 1):
        for index in range(COUNT):
            face = np.asarray(translator(portraits[index][2], size=256))
            wanted = images.resize(portraits[(index + shift) % COUNT][2], (128, 128)) < 128
            shares.append(lines_found(wanted, draw(images.resize(face, (128, 128)), resolve("xdog")) < 128))
    own, others = np.mean(shares[:COUNT]), np.mean(shares[COUNT:])
    assert own > 0.42
    assert own > others + 0.1


@pytest.mark.slow
def test_styles_change_colours_and_leave_the_parts(portraits, seg, parser):
    _, labels, _ = portraits[0]
    small = images.resize(labels, (128, 128), labels=True)
    faces = [np.asarray(face) for face in seg(labels, samples=8)]
    for name in ("skin", "hair", "background"):
        means = np.array([face[small == CELEBAMASK_HQ.classes.index(name)].mean(0) for face in faces])
        assert means.std(0).max() > 12, name
    own = [iou(small, parser.parse(face)) for face in faces]
    assert min(own) > 0.5
    assert np.std(own) < 0.12


def test_random_latents_are_different_people(seg):
    faces = seg.synthesise(seg.styles(6, 0)[:, None].expand(-1, seg.config.n_styles, -1)).astype(float)
    assert np.abs(faces[:, None] - faces[None]).mean((2, 3, 4))[~np.eye(6, dtype=bool)].min() > 12


def test_pictures_come_in_any_way(portraits, seg):
    _, labels, _ = portraits[0]
    coloured = Image.fromarray(images.colourise(labels, CELEBAMASK_HQ))
    assert np.asarray(seg(coloured)).tobytes() == np.asarray(seg(labels)).tobytes()
    assert seg(coloured, size=300).size == (300, 300)


@pytest.mark.parametrize(
    ("first", "names"),
    [("portrait-generator", ("portrait-seg", "portrait-sketch")), ("photo-seg", ("photo-seg", "photo-sketch"))],
)
def test_their_weights_train_on(first, names):
    """The generator is one that `train --generator` takes, the same in both models."""
    given = load_generator(first)
    digests = set()
    for name in names:
        other = load_generator(name)
        assert other.config == given.config
        digests.add(
            hashlib.sha256(b"".join(other.tensors[key].numpy().tobytes() for key in sorted(other.tensors))).digest()
        )
        assert all(torch.equal(value, given.tensors[key]) for key, value in other.tensors.items())
    assert len(digests) == 1
