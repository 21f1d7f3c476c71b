"""The exceptions that facesynth raises deliberately.

The text of each is one line: what was found, what was needed and how to get it. Only ``cli`` turns them into messages and exit
codes; callers of the library catch :class:`FacesynthError`.
"""

from __future__ import annotations


class FacesynthError(Exception):
    """Base class of all deliberate errors; the text is one line for the user."""


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
