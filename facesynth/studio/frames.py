"""Frames: what page and server exchange, a JSON header and bytes in one binary message.

::

    4 bytes          the header's length, little-endian
    the header       a JSON object in UTF-8
    the rest         bytes: pixels, latents or a file
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from facesynth.errors import InputError, shown
from facesynth.values import read_json

MOST_HEADER = 1 << 14
"""The longest header of a request, bytes."""


class Frame(NamedTuple):
    """A header and the bytes that follow it."""

    header: dict[str, Any]
    payload: bytes


def pack(header: Mapping[str, Any], payload: bytes = b"") -> bytes:
    r"""The bytes of a frame.

    Examples
    --------
    >>> pack({"id": 1}, b"ab")
    b'\x08\x00\x00\x00{"id":1}ab'
    """
    text = json.dumps(header, separators=(",", ":")).encode()
    return b"".join((len(text).to_bytes(4, "little"), text, payload))


def unpack(data: bytes) -> Frame:
    """The frame that ``data`` holds.

    Raises
    ------
    InputError
        If it holds none, or the header is longer than :data:`MOST_HEADER`.

    Examples
    --------
    >>> unpack(pack({"id": 1}, b"ab"))
    Frame(header={'id': 1}, payload=b'ab')
    """
    length = int.from_bytes(data[:4], "little")
    if len(data) < 4 or length > min(MOST_HEADER, len(data) - 4):
        raise InputError(f"a message of {len(data)} bytes is no frame; needed: a header of at most {MOST_HEADER} bytes")
    try:
        text = data[4 : 4 + length].decode()
    except UnicodeDecodeError as error:
        raise InputError("the header of a message is no text in UTF-8") from error
    header = read_json(text, most=200)
    if not isinstance(header, dict):
        raise InputError(f"the header of a message is {shown(header)}; needed: an object")
    return Frame(header, data[4 + length :])


def whole(header: Mapping[str, Any], name: str, low: int, high: int, default: int | None = None) -> int:
    """A whole number of a header.

    Raises
    ------
    InputError
        If it is missing without a default, or not a whole number from ``low`` to ``high``.
    """
    value = header.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise InputError(f"{name} is {shown(value)}; needed: a whole number from {low} to {high}")
    return value


def number(header: Mapping[str, Any], name: str, low: float, high: float, default: float) -> float:
    """A number of a header.

    Raises
    ------
    InputError
        If it is not a number from ``low`` to ``high``.
    """
    value = header.get(name, default)
    if type(value) not in (int, float) or not math.isfinite(value) or not low <= value <= high:
        raise InputError(f"{name} is {shown(value)}; needed: a number from {low:g} to {high:g}")
    return float(value)


def text(header: Mapping[str, Any], name: str, default: str | None = None, *, choices: Collection[str] = ()) -> str:
    """A text of a header.

    Raises
    ------
    InputError
        If it is missing without a default, no text of at most 200 characters, or none of the ``choices``.
    """
    value = header.get(name, default)
    if not isinstance(value, str) or len(value) > 200:
        raise InputError(f"{name} is {shown(value)}; needed: a text of at most 200 characters")
    if choices and value not in choices:
        raise InputError(f"{name} is {shown(value)}; needed: {', '.join(choices)}")
    return value


def texts(header: Mapping[str, Any], name: str) -> tuple[tuple[str, str], ...]:
    """An object of texts of a header, as pairs in order of their names; none if it is missing.

    Raises
    ------
    InputError
        If it is no object of at most 16 texts of at most 200 characters.

    Examples
    --------
    >>> texts({"colours": {"skin": "tan", "hair": "#000000"}}, "colours")
    (('hair', '#000000'), ('skin', 'tan'))
    """
    value = header.get(name, {})
    if not isinstance(value, dict) or len(value) > 16:
        raise InputError(f"{name} is {shown(value)}; needed: an object of at most 16 texts")
    return tuple((key, text(value, key)) for key in sorted(value))
