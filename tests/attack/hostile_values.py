"""Hostile bytes, texts and values, made from good ones by a random number generator."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

NUMBERS = (0, -1, 1, 3, 2**31, -(2**31), 2**63, 2**64 + 1, 10**99, 10**400, 0.0, -0.5, 1e-320, 1e308, 65536, 1_000_001)
RAW = ("Infinity", "-Infinity", "NaN", "1e999", "9" * 5000, "-" + "9" * 5000, "0x10", "[" * 100_000, '{"a":' * 3000, "")
"""Text that stands in JSON where a value is expected."""
TEXTS = (
    "",
    " ",
    "a" * 1000,
    "x" * 100_000,
    "a\0b",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202egnp.exe",
    "\ud800",
    "../canary/victim.png",
    "../../canary/victim.png",
    "/etc/passwd",
    "C:\\victim.png",
    "..\\canary\\victim.png",
    "photos/../../canary/victim.png",
    "photos",
    ".",
    "-rf",
    "=1+1",
    "line\nbreak",
    "größer",
    "%s%n{0}{self}",
    "nan",
    "1e5",
    "!!python/object/apply:os.system ['touch ../canary/owned']",
)
_RAW_MARK = "\ue000raw"


def text(rng: Random) -> str:
    return rng.choice(TEXTS)


def value(rng: Random, depth: int = 0) -> Any:
    """Any value of JSON."""
    kind = rng.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return rng.choice(NUMBERS)
    if kind <= 2:
        return text(rng)
    if kind == 3:
        return rng.choice((True, False, None))
    if kind == 4:
        return f"{_RAW_MARK}{rng.randrange(len(RAW))}"
    if kind == 5:
        return [value(rng, depth + 1) for _ in range(rng.choice((0, 1, 3)))]
    if kind == 6:
        return {text(rng)[:2000]: value(rng, depth + 1) for _ in range(rng.choice((0, 1, 3)))}
    return rng.choice(([0] * 10_000, [[]] * 300, nested(40), {str(i): i for i in range(3000)}))


def nested(depth: int) -> Any:
    inner: Any = 0
    for _ in range(depth):
        inner = [inner]
    return inner


def changed(rng: Random, good: Any) -> Any:
    """A value of JSON with one to three of its parts replaced, removed, doubled or renamed."""
    whole = [copy.deepcopy(good)]
    for _ in range(rng.choice((1, 1, 2, 3))):
        holder, key = _place(rng, whole)
        how = rng.randrange(6)
        if how == 0 and holder is not whole:
            del holder[key]
        elif how == 1 and isinstance(holder, dict):
            holder[text(rng)[:2000]] = holder.pop(key)
        elif how == 2 and isinstance(holder, list) and holder is not whole:
            holder.insert(key, copy.deepcopy(holder[key]))
        else:
            holder[key] = value(rng)
    return whole[0]


def _place(rng: Random, whole: list[Any]) -> tuple[Any, Any]:
    holder: Any = whole
    key: Any = 0
    while rng.random() < 0.85:
        inner = holder[key]
        if not isinstance(inner, dict | list) or not inner:
            break
        holder, key = inner, rng.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
    return holder, key


def json_text(rng: Random, good: Any) -> bytes:
    """The text of a changed value; now and then with text that is no JSON."""
    dumped = json.dumps(changed(rng, good))
    for index, raw in enumerate(RAW):
        dumped = dumped.replace(json.dumps(f"{_RAW_MARK}{index}"), raw)
    data = dumped.encode("utf-8", "surrogatepass")
    return bytes_of(rng, data) if rng.random() < 0.2 else data


YAML = (
    "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)),
    "a: &a [*a]\n",
    "[" * 3000,
    "{a: " * 3000,
    "a" * 100_000,
    " " * 200_000,
    "? " * 5000,
    "- " * 5000 + "x",
    "a: !!python/object/apply:os.system ['touch ../canary/owned']\n",
    "a: !!python/name:os.system\n",
    "%TAG ! tag:x,2000:\n---\n!x 1\n",
    "--- 1\n--- 2\n",
    "\0",
    "\ufeff",
    "a: 1\na: 2\n",
    "<<: [{a: 1}, {b: 2}]\n",
    "<<: x\n",
    "a: 2001-99-99\n",
    "a: 0o777777777777777777777777\n",
    "a: 1:2:3:4:5:6\n",
    "? [1, {2: 3}]\n: 1\n",
    "a: .inf\nb: .nan\n",
    "a: !!binary '@@@'\n",
    "a: !!set {x}\n",
    "a: !!timestamp x\n",
    "a: " + "9" * 5000 + "\n",
    "a: 'unclosed\n",
    "\t- a\n",
    "a: |\n" + " x\n" * 2000,
    "&" * 1000,
    "",
)


def yaml_text(rng: Random, good: Any) -> bytes:
    """YAML that is hostile as a whole, or a changed value."""
    if rng.random() < 0.15:
        return rng.choice(YAML).encode("utf-8", "surrogatepass")
    return json_text(rng, good)  # JSON is YAML


def bytes_of(rng: Random, data: bytes) -> bytes:
    """Bytes that differ from good ones as damaged, cut or forged files do."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        size = max(len(made), 1)
        at = min(int(rng.random() ** 2 * size), size - 1)  # headers are at the beginning
        how = rng.randrange(9)
        if how == 0:
            del made[at:]
        elif how == 1 and made:
            made[at] ^= 1 << rng.randrange(8)
        elif how == 2 and made:
            made[at] = rng.choice((0, 1, 127, 128, 255))
        elif how == 3:
            made[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\x80\0\0\0"))
        elif how == 4:
            made[at : at + 8] = rng.choice((b"\xff" * 8, (1 << 40).to_bytes(8, "little"), (1 << 62).to_bytes(8, "big")))
        elif how == 5:
            del made[at : at + rng.choice((1, 4, 100, 5000))]
        elif how == 6:
            made[at:at] = rng.randbytes(rng.choice((1, 7, 300)))
        elif how == 7:
            made[at:at] = made[at : at + rng.choice((4, 64, 2000))]
        else:
            made += rng.choice((bytes(5000), rng.randbytes(100), bytes(made[:1000])))
    return bytes(made)
