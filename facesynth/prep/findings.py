"""What preparation finds wrong or odd with a photo: the vocabulary of ``report.csv`` and of the report's page.

An error leaves the photo out of the manifest; a warning is kept beside it. With ``--strict`` warnings are errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from facesynth.errors import InputError

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "no-photo": "part masks or a condition without a photo",
        "no-parts": "a photo without any part mask",
        "no-condition": "a photo without a condition of the same name",
        "no-split": "the photo is not in the list that gives the splits",
        "no-labels": "the photo has no label map, which the drawing needs",
        "unreadable": "a file that cannot be decoded, or is no picture of the kind that was asked for",
        "blank-map": "every part mask is empty",
        "unknown-part": "a part that the label scheme does not have",
        "empty-part": "a part mask without a pixel set",
        "full-part": "a part mask with every pixel set",
        "overlap": "two parts that cover one another, and normally do not",
        "islands": "specks away from the rest of a part",
        "threshold": "a part mask with grey values, cut at half of its white",
        "resized": "a part mask of another size, resized by nearest neighbour",
        "colours": "a colour-coded map with pixels whose colour is no class's",
        "proportions": "a photo and a condition of different proportions",
        "no-face": "a photo in which no face was found",
        "several-faces": "a photo in which more than one face was found",
        "no-id": "a picture whose file name gives no id",
        "duplicate": "two files of the same name or id",
    }
)
"""Every kind of finding, and what it means."""


@dataclass(frozen=True)
class Finding:
    """Something noticed about one photo.

    Attributes
    ----------
    kind : str
        One of :data:`KINDS`.
    detail : str
        What came and, for an error, what was needed; one line.
    """

    kind: str
    detail: str


class Refused(InputError):  # noqa: N818, it names the photo's fate
    """A photo cannot be prepared.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`.
    detail : str
        What came and what was needed; one line.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind

    def __reduce__(self) -> tuple[type[Refused], tuple[str, str]]:
        return type(self), (self.kind, str(self))
