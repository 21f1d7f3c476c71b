"""JSON and YAML of unknown origin: one line within a second, whatever comes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from facesynth.errors import InputError, reason_of, shown
from facesynth.values import read_json, read_text, read_yaml

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
DOUBLING = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("steps: " + "[" * 100_000, "characters; needed: at most 100000"),
        ("steps: " + "[" * 50_000, "nested too deeply"),
        ("{" * 50_000, "nested too deeply"),
        ("- " * 40_000, "nested too deeply"),
        ("".join(f"{' ' * level}a:\n" for level in range(400)), "nested too deeply"),
        (BOMB, "too many values"),
        (DOUBLING, "too many values"),
        (MERGES, "too many values"),
        ("a: &a [*a]", "an alias inside of what it stands for"),
        (f"a: [{'1,' * 20_000}1]", "too many values"),
        ("a: " + "9" * 1500, "a number of more than 100 digits"),
        ("a: " + "9" * 5000, "a value of more than 2000 characters"),
        ("a: " + "1" + ":59" * 600, "a number of more than 100 digits"),
        ("a: .inf", "the number inf; needed: finite numbers"),
        ("a: [.nan]", "the number nan"),
        ("a: 2001-99-99", "month must be in"),
        ("a: [", "no YAML"),
        ("a: !!timestamp x", "no YAML"),
        ("a: '" + "x" * 90_000, "no YAML"),
        (" " * 200_000 + "a: 1", "characters; needed"),
        ("? [a]\n: 1", "unhashable"),
    ],
)
def test_yaml_out_of_bounds(text: str, says: str) -> None:
    start = time.process_time()
    with pytest.raises(InputError, match=says) as error:
        read_yaml(text)
    assert time.process_time() - start < 2
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 300


def test_yaml_within_bounds() -> None:
    assert read_yaml("a: &x [1, 2]\nb: *x\nc: {<<: {d: 1e-4}, e: ~}") == {
        "a": [1, 2], "b": [1, 2], "c": {"d": "1e-4", "e": None},
    }  # fmt: skip
    assert read_yaml("") is None
    assert read_yaml("[" * 18 + "]" * 18) == [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[" * 30 + "]" * 30, "nested too deeply"),
        ("Infinity", "the number Infinity"),
        ("[-1e999]", "the number -1e999"),
        ("9" * 5000, "a number of 5000 digits"),
        (" " * 200_000, "no JSON"),
        (f"[{'1,' * 6000}1]", "too many values"),
        ('"' + "a" * 100_000, "no JSON"),
    ],
)
def test_json_out_of_bounds(text: str, says: str) -> None:
    start = time.process_time()
    with pytest.raises(InputError, match=says) as error:
        read_json(text)
    assert time.process_time() - start < 1
    assert len(str(error.value)) < 300


def test_json_may_hold_infinity_where_it_is_allowed() -> None:
    assert read_json('{"best": Infinity}', is_finite=False) == {"best": float("inf")}


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(OSError, match=f"it is a {kind}; needed: a regular file"):
        read_text(path)


def test_values_in_messages_are_short() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in ("x" * 10**6, 9**10**5, [["x" * 100] * 100] * 100, {"a": "b" * 100}, deep, b"x" * 1000):
        assert len(shown(value)) <= 80
    assert [shown(value) for value in ("a", 1, 1.5, None, (1, 2), [True])] == [
        "'a'",
        "1",
        "1.5",
        "None",
        "(1, 2)",
        "[True]",
    ]
    assert len(reason_of(ValueError("x\ny" * 1000))) == 200
    assert reason_of(AssertionError()) == "AssertionError"
