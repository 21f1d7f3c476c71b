"""The text of an error: one line, printable, of bounded length."""

from __future__ import annotations

import pickle

import pytest

from facesynth.errors import DatasetError, FacesynthError, is_out_of_memory, message, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größer — “so” …", "größer — “so” …"),
        ("a\n  b\r\n\tc", "a b c"),
        ("a  b", "a  b"),
        ("a\0b", r"a\x00b"),
        ("\x1b[2J\x7f", r"\x1b[2J\x7f"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_cannot_be_seen_is_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert str(FacesynthError(text)) == shown
    assert visible(shown) == shown


def test_long_values_and_long_messages_are_shortened() -> None:
    assert message(f"split is {'x' * 78!r}") == f"split is '{'x' * 78}'"
    assert message(f"split is {'x' * 79!r}; needed: 'all'") == f"split is '{'x' * 77}…'; needed: 'all'"
    assert len(message("x" * 100_000)) == 1000
    assert message("it's " * 10) == ("it's " * 10).strip()


def test_an_error_survives_the_way_from_a_worker() -> None:
    error = pickle.loads(pickle.dumps(DatasetError("a\0b")))
    assert (type(error), str(error)) == (DatasetError, r"a\x00b")


@pytest.mark.parametrize(
    ("error", "is_so"),
    [
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("not enough memory to alloc"), False),
    ],
)
def test_what_says_that_memory_is_missing(error: Exception, is_so: bool) -> None:
    assert is_out_of_memory(error) == is_so
