"""Pictures of other kinds than most: HEIC, AVIF, GIF, grey of more than 8 bits, floats, and photos of very many pixels."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from facesynth import images
from facesynth.decoding import decode, photo_size
from facesynth.errors import InputError, PictureError
from facesynth.files import pictures_in

GREY = np.linspace(0, 255, 32 * 24).round().astype(np.uint8).reshape(24, 32)
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def saved(path: Path, array: np.ndarray, **options: object) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_grey_of_more_bits_is_scaled_by_them(tmp_path: Path, bits: int) -> None:
    white = (1 << bits) - 1
    values = np.rint(GREY.astype(np.float64) / 255 * white).astype(np.uint16)
    sketch = images.read_sketch(saved(tmp_path / "a.tif", values))
    assert np.abs(sketch.astype(int) - GREY).max() <= 1
    assert (sketch.min(), sketch.max()) == (0, 255)


def test_the_largest_value_that_a_tiff_states_is_white(tmp_path: Path) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[281] = 4095
    values = GREY.astype(np.uint16) * 4  # no value that needs more than 10 bits
    sketch = images.to_sketch(
        decode(saved(tmp_path / "a.tif", values, tiffinfo=tags).read_bytes(), Path("a")), Path("a")
    )
    np.testing.assert_array_equal(sketch, values // 16)


@pytest.mark.parametrize("white", [1.0, 255.0, 1000.0])
def test_floats_are_scaled_by_their_range(tmp_path: Path, white: float) -> None:
    values = (GREY / np.float32(255) * np.float32(white)).astype(np.float32)
    values[0, 0] = np.nan
    np.testing.assert_array_equal(images.read_sketch(saved(tmp_path / "a.tif", values)), GREY)


@pytest.mark.parametrize("suffix", [".gif", ".avif", ".jfif", ".GIF"])
def test_pictures_of_folders_in_more_formats(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(GREY).save(tmp_path / f"a{suffix}", {".jfif": "JPEG"}.get(suffix))
    (found,) = pictures_in([tmp_path])
    assert np.abs(images.read_sketch(found).astype(int) - GREY).mean() < 3


def test_heic_is_read_with_pillow_heif_or_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.HEIC").write_bytes(HEIC)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (found,) = pictures_in([tmp_path])
    with pytest.raises(PictureError, match=r"a\.HEIC is a HEIC picture; .*pip install 'facesynth\[heif\]'"):
        images.read_photo(found)


def test_heic_photo(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    Image.fromarray(GREY).save(tmp_path / "a.heic", quality=95)
    assert np.abs(images.read_sketch(tmp_path / "a.heic").astype(int) - GREY).mean() < 3


def test_files_that_show_pictures_but_cannot_be_read_are_named(tmp_path: Path) -> None:
    saved(tmp_path / "a.png", GREY)
    (tmp_path / "a.cr2").write_bytes(b"II*\0raw")
    (tmp_path / "b.NEF").write_bytes(b"II*\0raw")
    (tmp_path / "c.svg").write_text("<svg/>")
    (tmp_path / "notes.txt").write_text("no picture")
    found = pictures_in([tmp_path])
    assert [path.name for path in found] == ["a.png", "b.NEF", "c.svg"]
    for path, says in zip(found[1:], ["is a camera's raw file", "is an SVG drawing"], strict=True):
        with pytest.raises(PictureError, match=says):
            images.read_photo(path)
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match="no picture in"):
        pictures_in([tmp_path])


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_of_very_many_pixels_is_reduced(monkeypatch: pytest.MonkeyPatch, orientation: int) -> None:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x112] = orientation
    Image.fromarray(np.kron(GREY, np.ones((16, 16), np.uint8))).convert("RGB").save(buffer, "JPEG", exif=exif)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 512 * 384 // 8)
    picture = decode(buffer.getvalue(), Path("a.jpg"))
    assert picture.size == (128, 96)
    assert np.abs(np.asarray(picture.convert("L")).astype(int) - np.kron(GREY, np.ones((4, 4)))).mean() < 4
    assert photo_size(buffer.getvalue(), Path("a.jpg")) == ((512, 384) if orientation == 1 else (384, 512))
