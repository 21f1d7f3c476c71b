"""Pictures of another kind than the model takes: converted, or refused in a sentence.

Photos become label maps by the bundled parser, or sketches by XDoG. What a picture is, :mod:`facesynth.kinds` says, unless the
caller does.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from facesynth.errors import WrongKindError
from facesynth.images import Picture
from facesynth.kinds import NAMES, Recognised, recognise
from facesynth.model.data.conditions import ReadCondition, SketchReading, read_condition
from facesynth.model.inference.parser import SHIPPED_PARSER, Parser
from facesynth.xdog import draw_photo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facesynth.model.inference.translator import Translator

KindOption = Literal["auto", "labels", "sketch", "photo"]
"""What pictures are; auto recognises each."""
PARSED = f"a photo: its label map was made by {SHIPPED_PARSER}"
DRAWN = "a photo: drawn by XDoG"
_LIKE_A_PHOTO = "looks like a photo; --kind photo draws it by XDoG first"


def recognised(picture: Picture, *, is_settled: bool = False) -> Recognised:
    """What a picture is.

    Parameters
    ----------
    picture : Picture
    is_settled : bool
        What it is taken for does not depend on what it is recognised as.

    Raises
    ------
    PictureError
        If it cannot be decoded.
    WrongKindError
        If it is blank, or is not recognised and not settled.
    """
    found = recognise(picture)
    _refuse_blank(picture, found)
    if found.kind == "unsure" and not is_settled:
        raise WrongKindError(
            f"{picture.path} cannot be recognised ({found.reason}); --kind labels, sketch or photo says what it is"
        )
    return found


def _refuse_blank(picture: Picture, found: Recognised) -> None:
    if found.kind == "blank":
        raise WrongKindError(f"{picture.path} is a blank sheet ({found.reason}); needed: a picture with a face")


class ConditionReader:
    """Reads pictures as a model takes them.

    Parameters
    ----------
    translator : Translator
    kind : str
        What the pictures are; auto recognises each.
    is_bundled : bool
        The model was chosen by the kind of the first picture, not by the caller. Photos are then converted without being asked
        to; to a model of the caller's choice, pictures are given as they came.
    """

    def __init__(self, translator: Translator, kind: KindOption = "auto", *, is_bundled: bool = False) -> None:
        self.translator, self.kind, self.is_bundled = translator, kind, is_bundled

    def of_dataset(self, picture: Picture) -> ReadCondition:
        """A picture of a dataset folder, whose manifest says what it is."""
        return self._read(picture, self.translator.sketches)

    def read(self, picture: Picture) -> ReadCondition:
        """A picture from anywhere.

        Raises
        ------
        PictureError
            If it cannot be read.
        WrongKindError
            If it is blank, not recognised, or of a kind that cannot be converted.
        """
        if self.kind == "auto" and not self.is_bundled:
            return self._as_it_came(picture)
        found = recognised(picture, is_settled=self.kind != "auto")
        takes, kind = self.translator.config.condition, found.kind if self.kind == "auto" else self.kind
        if kind == "photo" and takes == "labels":
            return self._noted(self._read(_parsed(picture, self.translator), self.translator.sketches), PARSED)
        if takes == "sketch" and (kind == "photo" or (kind == "sketch" and found.kind == "photo")):
            drawn = _at(picture.path, draw_photo(picture.rgb()))
            return self._noted(self._read(drawn, SketchReading(tone="keep", paper="keep")), DRAWN)
        if kind != takes:
            given = f"{NAMES[kind]} ({found.reason})" if self.kind == "auto" else f"given as {NAMES[kind]}"
            raise WrongKindError(f"{picture.path} is {given}; {self.translator.path} takes {takes}")
        return self._read(picture, self.translator.sketches)

    def _as_it_came(self, picture: Picture) -> ReadCondition:
        takes, found = self.translator.config.condition, recognise(picture)
        is_photo = found.kind == "photo" and takes != "photo"
        try:
            condition = self._read(picture, self.translator.sketches)
        except WrongKindError as error:
            if not is_photo:
                raise
            raise WrongKindError(f"{error}; it {_LIKE_A_PHOTO if takes == 'sketch' else _TO_BE_PARSED}") from error
        if takes == "sketch":  # ids of one class are a map, and a blurred photo has no lines
            _refuse_blank(picture, found)
        return self._noted(condition, _LIKE_A_PHOTO) if is_photo else condition

    def _noted(self, condition: ReadCondition, note: str) -> ReadCondition:
        notes = ", ".join(each for each in (note, condition.note) if each)
        return ReadCondition(condition.pixels, condition.kind, notes, condition.path)

    def _read(self, picture: Picture, sketches: SketchReading) -> ReadCondition:
        translator = self.translator
        config = translator.config
        try:
            return read_condition(
                picture,
                config.condition,
                translator.scheme,
                config.input_size,
                sketches=sketches,
                void=translator.void,
            )
        except WrongKindError as error:
            raise WrongKindError(f"{error}; {translator.path} is a {translator.task} checkpoint") from error


_TO_BE_PARSED = "looks like a photo; --kind photo makes its label map first"


def _at(path: Path, pixels: NDArray[np.uint8]) -> Picture:
    picture = Picture.of(pixels)
    picture.path = path
    return picture


def _parsed(picture: Picture, translator: Translator) -> Picture:
    """The label map of a photo."""
    parser = bundled_parser(str(translator.device))
    if parser.scheme.classes != translator.scheme.classes:
        raise WrongKindError(
            f"{picture.path} is a photo, of which {SHIPPED_PARSER} makes a label map of {parser.scheme.name}; "
            f"{translator.path} takes maps of {translator.scheme.name}"
        )
    return _at(picture.path, parser.parse(picture.rgb()))


@lru_cache(maxsize=1)
def bundled_parser(device: str) -> Parser:
    """The parser that comes with the package."""
    return Parser.from_pretrained(SHIPPED_PARSER, device=device)
