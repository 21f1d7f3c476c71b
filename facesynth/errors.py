"""The exceptions that facesynth raises deliberately.

The text of each is one line: what was found, what was needed and how to get it. Only ``cli`` turns them into messages and exit
codes; callers of the library catch :class:`FacesynthError`. Values of unknown origin are put into it by :func:`shown`, and
:func:`visible` keeps control characters in names of files from the terminal.
"""

from __future__ import annotations

import re
from reprlib import Repr

LONGEST = 80
"""The most characters of a value in a message."""
_REPR = Repr()
_REPR.maxlevel = 3
_REPR.maxtuple = _REPR.maxlist = _REPR.maxdict = _REPR.maxset = _REPR.maxfrozenset = _REPR.maxdeque = 20
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = LONGEST


def shown(value: object) -> str:
    """The representation of a value for a message, in at most 80 characters.

    Examples
    --------
    >>> shown("a"), len(shown("a" * 1000)), shown([[[[[[]]]]]])
    ("'a'", 80, '[[[[...]]]]')
    """
    try:
        text = _REPR.repr(value)
    except ValueError:  # a whole number with more digits than Python converts
        return "a number with thousands of digits"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def shortened(value: object) -> str:
    """A text of at most 80 characters as it is, without quotes; anything else as :func:`shown` does.

    Examples
    --------
    >>> shortened("a"), shortened(None), len(shortened("a" * 1000))
    ('a', 'None', 80)
    """
    return value if isinstance(value, str) and len(value) <= LONGEST else shown(value)


def reason_of(error: BaseException) -> str:
    """What an exception of another library says, on one line of at most 200 characters; its name if it says nothing."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:199]}…"


_BREAK = re.compile(r"[\t\r\n][ \t\r\n]*")


def visible(text: str) -> str:
    r"""A text on one line, with control and other invisible characters as escapes.

    Examples
    --------
    >>> print(visible("größer\n  than"), visible("a\0b\x1b[2J"))
    größer than a\x00b\x1b[2J
    """
    line = _BREAK.sub(" ", text.strip("\t\r\n")).rstrip()
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory was refused; PyTorch's is a RuntimeError."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "alloc" in str(error) and "memory" in str(error)


_LONG_QUOTE = re.compile(r"'[^']{79,}'|\"[^\"]{79,}\"")
_LONGEST_MESSAGE = 1000


def message(text: str) -> str:
    """The text of an error as :func:`visible` makes it, with at most 80 characters of what is quoted, and 1000 of all.

    Examples
    --------
    >>> len(message(f"size is {'a' * 1000!r}"))
    88
    """
    line = _LONG_QUOTE.sub(lambda quoted: f"{quoted[0][: LONGEST - 2]}…{quoted[0][-1]}", visible(text))
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[: _LONGEST_MESSAGE - 1]}…"


class FacesynthError(Exception):
    """Base class of all deliberate errors; the text is one line for the user, as :func:`message` makes it."""

    def __str__(self) -> str:
        return message(super().__str__())


class InputError(FacesynthError):
    """A parameter or an input is not what the operation needs."""


class PictureError(InputError):
    """A picture cannot be read, or is not of the required kind."""


class DatasetError(InputError):
    """A dataset folder or its manifest is not as :mod:`facesynth.manifest` describes."""


class CheckpointError(InputError):
    """A checkpoint cannot be read, or does not fit its use."""


class OutputError(FacesynthError):
    """An output cannot be written: no permission, no space, or another run holds it."""


class DivergenceError(FacesynthError):
    """A training loss is no longer a finite number."""


class WrongKindError(PictureError):
    """A picture can be read but is not of the required kind."""


class ColourError(WrongKindError):
    """A colour-coded label map has colours of no class."""
