"""JSON and YAML of unknown origin: text in, plain values of bounded size, depth and digits out."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from facesynth.errors import InputError, reason_of
from facesynth.files import read_file

MOST_TEXT = 1 << 22
"""The largest file of JSON, bytes."""
MOST_YAML = 100_000
"""The longest text of YAML, characters; PyYAML reads about so many in a second."""
MOST_VALUES = 5000
"""The most values in a JSON text."""
MOST_YAML_VALUES = 3000
"""The most values and names in a YAML text, those of aliases counted where they are used."""
DEEPEST = 20
"""The most lists and mappings inside each other."""
MOST_DIGITS = 100
"""The most digits of a whole number."""
_BRACKETS = re.compile(r"(?:[\[{]\s*){21}")
_LONGEST_SCALAR = 2000
"""The longest value in YAML, characters."""


def read_text(path: Path, *, encoding: str = "utf-8", most: int = MOST_TEXT) -> str:
    """The text of a regular file of at most ``most`` bytes.

    Raises
    ------
    OSError
        If it cannot be read, is larger, or is no regular file.
    ValueError
        If it is no text in this encoding.
    """
    return read_file(path, most).decode(encoding)


def read_json(text: str, *, most: int = MOST_VALUES, is_finite: bool = True) -> Any:
    """The value of a JSON text.

    Parameters
    ----------
    text : str
    most : int
        The most values in it.
    is_finite : bool
        Refuse Infinity and NaN.

    Raises
    ------
    InputError
        If it is no JSON, or not within the bounds.

    Examples
    --------
    >>> read_json('{"steps": [1, 2]}')
    {'steps': [1, 2]}
    """
    try:
        number = _finite if is_finite else float
        value = json.loads(text, parse_int=_whole, parse_float=number, parse_constant=number)
    except RecursionError as error:
        raise InputError(f"no JSON: nested too deeply; needed: at most {DEEPEST} levels") from error
    except ValueError as error:
        raise InputError(f"no JSON: {reason_of(error)}") from error
    return _check(value, "JSON", most, is_finite=is_finite)


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits; needed: at most {MOST_DIGITS}")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]}; needed: finite numbers")
    return value


def read_yaml(text: str) -> Any:
    """The value of a YAML text.

    Raises
    ------
    InputError
        If it is no YAML, or not within the bounds.

    Examples
    --------
    >>> read_yaml("steps: [1, 2]")
    {'steps': [1, 2]}
    """
    import yaml

    if len(text) > MOST_YAML:
        raise InputError(f"no YAML: {len(text)} characters; needed: at most {MOST_YAML}")
    if _BRACKETS.search(text):  # PyYAML reads a thousand of them before it composes the first
        raise InputError(f"no YAML: nested too deeply; needed: at most {DEEPEST} levels")

    class Loader(yaml.SafeLoader):
        """Refuses while it composes, before anything is built."""

        def __init__(self, stream: str) -> None:
            super().__init__(stream)
            self.depth = self.count = 0
            self.sizes: dict[int, int] = {}

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.ScalarEvent) and len(self.peek_event().value) > _LONGEST_SCALAR:  # type: ignore[no-untyped-call]
                raise InputError(f"no YAML: a value of more than {_LONGEST_SCALAR} characters")
            is_alias, before = self.check_event(yaml.AliasEvent), self.count
            self.depth += 1
            if self.depth > DEEPEST:
                raise InputError(f"no YAML: nested too deeply; needed: at most {DEEPEST} levels")
            node = super().compose_node(parent, index)
            self.depth -= 1
            if is_alias and id(node) not in self.sizes:
                raise InputError("no YAML: an alias inside of what it stands for")
            self.count += self.sizes[id(node)] if is_alias else 1
            self.sizes.setdefault(id(node), self.count - before)
            if self.count > MOST_YAML_VALUES:
                raise InputError(f"no YAML: too many values; needed: at most {MOST_YAML_VALUES}, aliases included")
            return node

    loader = None
    try:
        loader = Loader(text)
        value = loader.get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise InputError(
            f"no YAML: {reason_of(Exception(getattr(error, 'problem', None) or 'odd characters'))}{where}"
        ) from error
    except (RecursionError, ValueError, OverflowError, AttributeError, TypeError) as error:  # a date that is none
        raise InputError(f"no YAML: {reason_of(error)}") from error
    finally:
        if loader is not None:
            loader.dispose()
    return _check(value, "YAML", MOST_YAML_VALUES)


def _check(value: Any, kind: str, most: int, *, is_finite: bool = True) -> Any:
    """A value, checked to be within the bounds; nothing is called recursively."""
    level, count, depth = [value], 0, 0
    while level:
        count, depth = count + len(level), depth + 1
        if count > most:
            raise InputError(f"no {kind}: too many values; needed: at most {most}")
        if depth > DEEPEST + 1:
            raise InputError(f"no {kind}: nested too deeply; needed: at most {DEEPEST} levels")
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
                inner += (key for key in item if type(key) is not str)
            elif isinstance(item, list | tuple | set):
                inner += item
            elif type(item) is int and abs(item) >= 10**MOST_DIGITS:
                raise InputError(f"no {kind}: a number of more than {MOST_DIGITS} digits")
            elif is_finite and type(item) is float and not math.isfinite(item):
                raise InputError(f"no {kind}: the number {item}; needed: finite numbers")
        level = inner
    return value
