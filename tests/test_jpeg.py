"""The fast way to read a JPEG: the same pixels as Pillow's, and never for a file that is anything but plain."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facesynth import _jpeg, images
from facesynth.errors import PictureError


def saved(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Noise over a gradient: hard edges and all colours, near the clipping points as well."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 255, height * width * 3).reshape(height, width, 3)
    return np.clip(ramp + rng.normal(0, 60, ramp.shape), 0, 255).astype(np.uint8)


PLAIN = saved(picture(40, 56))


def read(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    path = tmp_path_factory.mktemp("jpeg") / "photo.jpg"
    path.write_bytes(data)
    return images.read_photo(path)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(1, 100),
    st.sampled_from([0, 1, 2]),
    st.booleans(),
    st.sampled_from([0, 1, 5]),
)
def test_the_same_pixels_as_pillow(
    tmp_path_factory: pytest.TempPathFactory,
    height: int,
    width: int,
    quality: int,
    subsampling: int,
    progressive: bool,
    restart: int,
) -> None:
    data = saved(
        picture(height, width, quality),
        quality=quality,
        subsampling=subsampling,
        progressive=progressive,
        restart_marker_rows=restart,
    )
    assert _jpeg.plain_size(data) == (width, height)
    with Image.open(io.BytesIO(data)) as decoded:
        np.testing.assert_array_equal(read(data, tmp_path_factory), np.asarray(decoded))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("kind", ["RGB", "L"])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"], ids=["cut", "cut and ended"])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, progressive: bool, kind: str, end: bytes) -> None:
    array = picture(64, 64) if kind == "RGB" else picture(64, 64)[..., 0]
    data = saved(array, progressive=progressive)
    path = tmp_path / "photo.jpg"
    for share in (0.05, 0.3, 0.6, 0.9):
        path.write_bytes(data[: int(len(data) * share)] + end)
        for read_it in (images.read_photo, lambda path: images.photo_size(path.read_bytes(), path)):
            with pytest.raises(PictureError, match=r"photo\.jpg (cannot be decoded|is not a picture)"):
                read_it(path)
    path.write_bytes(data + b"more")
    assert images.photo_size(path.read_bytes(), path) == (64, 64)
    assert images.read_photo(path).shape == (64, 64, 3)


def with_orientation() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(picture(40, 56), exif=exif)


def huge() -> bytes:
    place = PLAIN.index(b"\xff\xc0") + 5
    return PLAIN[:place] + b"\xff\xff\xff\xff" + PLAIN[place + 4 :]


@pytest.mark.parametrize(
    "data",
    [
        with_orientation(),
        saved(picture(40, 56)[..., 0]),
        saved(picture(40, 56), keep_rgb=True),
        huge(),
        PLAIN[2:],
        b"",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xd9",
    ],
    ids=["turned", "grey", "RGB inside", "huge", "no start", "nothing", "start", "start and end"],
)
def test_what_is_unusual_is_not_plain(data: bytes) -> None:
    assert _jpeg.plain_size(data) is None


def test_a_turned_photo_is_read_upright(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(with_orientation())
    assert images.read_photo(tmp_path / "photo.jpg").shape == (56, 40, 3)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_damage_is_an_error_or_nothing(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    changed = bytearray(PLAIN)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    with suppress(PictureError):
        assert read(bytes(changed), tmp_path_factory).ndim == 3
