"""The errors that facesynth raises on purpose.

Each carries one line that says what came, what was needed and how to get it. Only ``cli`` turns them into messages and
exit codes; a caller of the library catches :class:`FacesynthError`.
"""

from __future__ import annotations


class FacesynthError(Exception):
    """Base of every deliberate error; its text is one line meant for the user."""


class InputError(FacesynthError):
    """A parameter or an input folder is not what the operation needs."""


class PictureError(InputError):
    """A picture cannot be read, or is not the kind of picture that was asked for."""


class DatasetError(InputError):
    """A dataset folder or its manifest breaks the contract of :mod:`facesynth.manifest`."""


class CheckpointError(InputError):
    """A checkpoint cannot be read, or does not fit what it is used for."""


class OutputError(FacesynthError):
    """An output cannot be written: no permission, no space, or another run holds it."""


class DivergenceError(FacesynthError):
    """A training loss is no longer a finite number."""


class WrongKindError(PictureError):
    """A picture can be read but is of another kind than was asked for."""


class ColourError(WrongKindError):
    """A colour-coded label map has colours that are no class's."""
