"""The kinds of findings that preparation reports in ``report.csv`` and in the report.

An error leaves the photo out of the manifest; a warning does not. With ``--strict`` warnings are errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from facesynth.errors import InputError
from facesynth.manifest import FORMULA

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "no-photo": "part masks or a condition without a photo",
        "no-parts": "a photo without part masks",
        "no-condition": "a photo without a condition of the same name",
        "no-split": "the photo is missing from the list of splits",
        "no-labels": "the photo has no label map, and the drawing needs one",
        "unreadable": "a file that cannot be decoded, or is not a picture of the required kind",
        "blank-map": "every part mask is empty",
        "unknown-part": "a part that is not in the label scheme",
        "empty-part": "a part mask with no pixel set",
        "full-part": "a part mask with every pixel set",
        "overlap": "two parts overlap that normally lie side by side",
        "islands": "small regions separate from the rest of a part",
        "threshold": "a part mask with grey values, thresholded at half of its maximum",
        "resized": "a part mask of another size, resized by nearest neighbour",
        "colours": "a colour-coded map with pixels whose colour belongs to no class",
        "other-colours": "a label map in the colours of another program",
        "near-colours": "pixels whose colour is not exactly a class's, read as the nearest class around them",
        "interpolated": "a label map resized with interpolation: other classes at the borders between two",
        "other-order": "the parts lie as in another label scheme",
        "exchanged": "the parts lie as with left and right exchanged",
        "misplaced": "a part of the face is not where it is on others, or far larger or smaller",
        "lacks-class": "a label map without a class that nearly all others have",
        "same-photo": "two ids with the same photo",
        "kind": "a condition that looks like another kind of picture than it is given as",
        "proportions": "a photo and a condition with different aspect ratios",
        "no-face": "a photo in which no face was found",
        "several-faces": "a photo in which more than one face was found",
        "no-id": "a picture whose file name is not a valid id",
        "duplicate": "two files with the same name or id",
    }
)
"""The kinds of findings and their meanings."""


@dataclass(frozen=True)
class Finding:
    """Something noticed about one photo.

    Attributes
    ----------
    kind : str
        One of :data:`KINDS`.
    detail : str
        One line: what was found and, for an error, what was needed.
    """

    kind: str
    detail: str


class Refused(InputError):  # noqa: N818, named for what happens to the photo
    """A photo cannot be prepared.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`.
    detail : str
        One line: what was found and what was needed.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind

    def __reduce__(self) -> tuple[type[Refused], tuple[str, str]]:
        return type(self), (self.kind, str(self))


_MARK = "'"


def cells(row: Sequence[str]) -> list[str]:
    """A row of ``report.csv``: text that a spreadsheet would run as a formula gets an apostrophe in front.

    Examples
    --------
    >>> cells(["align", "=1+1.jpg cannot be decoded"])
    ['align', "'=1+1.jpg cannot be decoded"]
    """
    return [_MARK + text if text.startswith((*FORMULA, "\t", "\r", "\n")) else text for text in row]


def text_of(cell: str) -> str:
    """The text of a cell that :func:`cells` wrote.

    Examples
    --------
    >>> text_of("'=1+1.jpg"), text_of("'quoted'")
    ('=1+1.jpg', "'quoted'")
    """
    return cell[1:] if cell[:1] == _MARK and cell.startswith((*FORMULA, "\t", "\r", "\n"), 1) else cell
