"""Trees of hostile files: nothing crashes, nothing is blank, and every photo is either whole or named in the report."""

from __future__ import annotations

import csv
import io
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from facesynth.manifest import is_dataset, iter_rows
from facesynth.prep.check import check_dataset
from facesynth.prep.pipeline.findings import KINDS
from facesynth.prep.pipeline.workers import Workers
from facesynth.prep.sketches.presets import resolve
from facesynth.prep.stages import prepare_masks, prepare_sketches

from ..trees import leftovers

MASKS, PHOTOS = "CelebAMask-HQ-mask-anno", "CelebA-HQ-img"
ONE = Workers(jobs=1)


def encoded(array: np.ndarray, kind: str = "PNG", mode: str | None = None) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array, mode).save(buffer, kind)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, bits: int, rows: int) -> bytes:
    """A grey PNG of zeros, small as a file whatever its size."""
    packer = zlib.compressobj(9)
    line = bytes(1 + (width * bits + 7) // 8)
    data = b"".join(packer.compress(line * 64) for _ in range(rows // 64)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


DISC = np.hypot(*np.mgrid[-32:32, -32:32]) < 20
MASK = encoded(np.repeat(DISC[..., None].astype(np.uint8) * 255, 3, 2))
PHOTO = encoded(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), "JPEG")

BAD_PICTURES = {
    "nothing": b"",
    "zeros": bytes(4096),
    "text": b"this is no picture\n" * 20,
    "half a PNG": MASK[: len(MASK) // 2],
    "half a JPEG": PHOTO[: len(PHOTO) // 2],
    "PNG with a wrong byte": MASK[:60] + bytes([MASK[60] ^ 255]) + MASK[61:],
    "only a header": MASK[:33],
    "bomb": png_of(60_000, 60_000, 8, 640),
    "16k x 16k": png_of(16_384, 16_384, 1, 16_384),
    "no width": png_of(1, 1, 8, 64)[:16] + bytes(4) + png_of(1, 1, 8, 64)[20:],
    "HTML": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
}
"""Files that are no picture of a face, or of a part of it."""

FORMS = {
    "RGB": MASK,
    "all pixels but no end": MASK[:-12],
    "grey": encoded(DISC.astype(np.uint8) * 255),
    "ones": encoded(DISC.astype(np.uint8)),
    "1 bit": encoded(DISC),
    "16 bit": encoded(DISC.astype(np.uint16) * 65535),
    "JPEG": encoded(DISC.astype(np.uint8) * 255, "JPEG"),
    "small": encoded(DISC[::2, ::2].astype(np.uint8) * 255),
    "empty": encoded(np.zeros_like(DISC, np.uint8)),
}
"""Part masks that can be read."""

SPECIAL = ("folder", "pipe", "loop", "lost link", "link to a folder")


def put(path: Path, what: str) -> None:
    """Make a file, or something in its place, called ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "loop":
        path.symlink_to(path.name)
    elif what == "lost link":
        path.symlink_to("nowhere")
    elif what == "link to a folder":
        path.symlink_to(path.parent.parent, target_is_directory=True)
    else:
        path.write_bytes({**BAD_PICTURES, **FORMS, "photo": PHOTO}[what])


BAD = st.sampled_from([*BAD_PICTURES, *SPECIAL])
PARTS = st.dictionaries(
    st.sampled_from(["skin", "hair", "nose", "beard", "l_eye"]),
    st.one_of(st.sampled_from(list(FORMS)), BAD),
    max_size=3,
)
FACES = st.dictionaries(st.integers(0, 4001), st.tuples(st.one_of(st.just("photo"), BAD, st.none()), PARTS), max_size=4)
ODD_NAMES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12).filter(
        lambda name: name not in (".", "..")
    )
    | st.sampled_from([" 1.jpg", "1 .jpg", "zwölf.jpg", "a\nb.jpg", "-1.jpg", "1.jpg.part", "\u0661.jpg", "x.png"]),
    max_size=3,
)


def build(raw: Path, faces: dict[int, tuple[str | None, dict[str, str]]], odd: list[str]) -> None:
    put(raw / PHOTOS / "9000.jpg", "photo")  # so that there is a tree at all
    put(raw / MASKS / "4" / "09000_skin.png", "RGB")
    for number, (photo, parts) in faces.items():
        if photo:
            put(raw / PHOTOS / f"{number}.jpg", photo)
        for part, what in parts.items():
            put(raw / MASKS / str(number // 2000) / f"{number:05d}_{part}.png", what)
    for name in odd:
        for folder in (raw / PHOTOS, raw / MASKS / "0"):
            if not os.path.lexists(folder / name) and len(os.fsencode(name)) < 200:
                put(folder / name, "text")


def findings(out: Path) -> list[dict[str, str]]:
    with (out / "report.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(FACES, ODD_NAMES)
def test_every_photo_is_whole_or_named(
    place: Path, faces: dict[int, tuple[str | None, dict[str, str]]], odd: list[str]
) -> None:
    shutil.rmtree(place, ignore_errors=True)
    raw, out = place / "raw", place / "data"
    build(raw, faces, odd)
    done = prepare_masks(raw, out, workers=ONE)
    whole = {row["id"]: row for row in iter_rows(out)} if is_dataset(out) else {}
    named = {row["id"] for row in findings(out) if row["level"] == "error"}
    assert {failure.id for failure in done.failures} == named
    assert not whole.keys() & named
    assert all(row["finding"] in KINDS and row["detail"] for row in findings(out))
    for number, (photo, parts) in faces.items():
        identifier = f"{number:05d}"
        is_listed = photo is not None or bool(parts)
        assert (identifier in whole) + (identifier in named) == is_listed
        known = {part: what for part, what in parts.items() if part != "beard"}
        is_good = photo == "photo" and set(known.values()) <= set(FORMS) and bool(set(known.values()) - {"empty"})
        if set(parts.values()) <= set(FORMS):  # what an unknown part holds is nobody's business
            assert (identifier in whole) == is_good
        elif identifier in whole:
            assert is_good
    for identifier, row in whole.items():
        with Image.open(out / row["labels"]) as labels:
            assert np.asarray(labels).any()
        assert (out / row["photo"]).read_bytes() == PHOTO, identifier
    assert leftovers(out) == []
    if is_dataset(out):
        assert check_dataset(out, workers=ONE).problems == []
        assert not prepare_sketches(out, out, drawings=[resolve("xdog")], workers=ONE).failures
    assert (out / "report.html").read_text("utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("what", [*BAD_PICTURES, *SPECIAL])
@pytest.mark.parametrize("where", ["photo", "mask"])
def test_each_is_named_with_its_file(tmp_path: Path, what: str, where: str) -> None:
    photo, mask = (what, "RGB") if where == "photo" else ("photo", what)
    build(tmp_path / "raw", {7: (photo, {"skin": mask, "hair": "RGB"})}, [])
    done = prepare_masks(tmp_path / "raw", tmp_path / "data", workers=ONE)
    assert [(failure.id, failure.kind) for failure in done.failures] == [("00007", "unreadable")]
    assert ("7.jpg" if where == "photo" else "00007_skin.png") in done.failures[0].reason
    assert "\n" not in done.failures[0].reason
    assert str(tmp_path) not in done.failures[0].reason
    assert [row["id"] for row in iter_rows(tmp_path / "data")] == ["09000"]
