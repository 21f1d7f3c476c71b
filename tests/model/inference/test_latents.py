from __future__ import annotations

import numpy as np
import pytest

from facesynth.errors import InputError, PictureError
from facesynth.model.inference.latents import latents_in, read_latents, write_latents

from ...runs import small_model

CONFIG = small_model()
LATENTS = np.random.default_rng(0).standard_normal((8, 16)).astype(np.float32)


def test_there_and_back(tmp_path):
    write_latents(tmp_path / "a.npy", LATENTS)
    np.testing.assert_array_equal(read_latents(tmp_path / "a.npy", CONFIG), LATENTS)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), LATENTS)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (LATENTS[None, None], LATENTS),
        (LATENTS.astype(np.float64), LATENTS),
        (LATENTS.astype(np.float16), LATENTS.astype(np.float16)),
        (LATENTS[0], np.tile(LATENTS[0], (8, 1))),
        (LATENTS[:1], np.tile(LATENTS[0], (8, 1))),
        (np.ones((8, 16), int), np.ones((8, 16))),
    ],
)
def test_forms_that_will_do(tmp_path, given, expected):
    np.save(tmp_path / "a.npy", given)
    array = read_latents(tmp_path / "a.npy", CONFIG)
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, expected, rtol=1e-6)


class Spoil:
    def __reduce__(self):
        return exit, (77,)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (LATENTS[:7], r"a\.npy holds float32 of shape \(7, 16\); needed: numbers of shape \(8, 16\)"),
        (np.zeros((2, 8, 16)), r"float64 of shape \(2, 8, 16\)"),
        (np.zeros((8, 16), complex), "holds complex128"),
        (np.full((8, 16), "a"), "holds <U1"),
        (np.full((8, 16), np.nan), "holds values that are not finite"),
        (np.array([Spoil()], object), r"cannot be read as latents .*: Object arrays cannot be loaded"),
        ({"a": LATENTS}, "cannot be read as latents"),
    ],
)
def test_what_are_no_latents(tmp_path, given, says):
    np.save(tmp_path / "a.npy", given, allow_pickle=True)
    with pytest.raises(PictureError, match=says):
        read_latents(tmp_path / "a.npy", CONFIG)


BRACKETS = b"\x93NUMPY\x01\x00" + (9000).to_bytes(2, "little") + b"(" * 9000


@pytest.mark.parametrize("content", [b"", b"text", b"\x93NUMPY", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4'", BRACKETS])
def test_damaged_files(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(PictureError, match=r"a\.npy cannot be read as latents \(a \.npy file of numbers\): ") as error:
        read_latents(tmp_path / "a.npy", CONFIG)
    assert len(str(error.value)) < len(str(tmp_path)) + 300


def test_a_truncated_file(tmp_path):
    write_latents(tmp_path / "a.npy", LATENTS)
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    with pytest.raises(PictureError, match=r"cannot be read as latents"):
        read_latents(tmp_path / "a.npy", CONFIG)


def test_a_header_that_asks_for_more_memory_than_there_is(tmp_path):
    np.save(tmp_path / "a.npy", LATENTS)
    data = (tmp_path / "a.npy").read_bytes().replace(b"(8, 16), }        ", b"(8000000, 1600000)")
    assert len(data) == (tmp_path / "a.npy").stat().st_size
    (tmp_path / "a.npy").write_bytes(data.replace(b"1600000)", b"160000)}"))
    with pytest.raises(PictureError, match=r"cannot be read as latents"):
        read_latents(tmp_path / "a.npy", CONFIG)


def test_files_and_folders(tmp_path):
    for name in ("b.npy", "a.npy", ".c.npy", "d.png"):
        (tmp_path / name).touch()
    assert [path.name for path in latents_in([tmp_path])] == ["a.npy", "b.npy"]
    assert latents_in([tmp_path / "b.npy"]) == [tmp_path / "b.npy"]
    with pytest.raises(InputError, match=r"c\.npy does not exist; give a \.npy file of latents"):
        latents_in([tmp_path / "c.npy"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no latents in .*/empty; looked for \*\.npy"):
        latents_in([tmp_path / "empty"])
