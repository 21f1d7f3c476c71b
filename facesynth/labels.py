"""Label schemes: what the class ids of a label map mean.

A label map is an (H, W) uint8 array of class ids. Files never say which order of classes they use, so a dataset names its
scheme and every reader remaps or refuses. Left and right are the person's own.

The 19 classes and their colours are those of CelebAMask-HQ (Lee et al., "MaskGAN", CVPR 2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from facesynth.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_COLOURS = {
    "background": "000000",
    "skin": "cc0000",
    "nose": "4c9900",
    "eye_g": "cccc00",
    "l_eye": "3333ff",
    "r_eye": "cc00cc",
    "l_brow": "00ffff",
    "r_brow": "ffcccc",
    "l_ear": "663300",
    "r_ear": "ff0000",
    "mouth": "66cc00",
    "u_lip": "ffff00",
    "l_lip": "000099",
    "hair": "0000cc",
    "hat": "ff3399",
    "ear_r": "00cccc",
    "neck_l": "003300",
    "neck": "ff9933",
    "cloth": "00cc00",
}


@dataclass(frozen=True)
class LabelScheme:
    """A named order of classes.

    Attributes
    ----------
    name : str
        What datasets and checkpoints call the scheme.
    classes : tuple of str
        Class names; a class's id is its position. Part masks are painted in this order, so a later class covers an
        earlier one.
    """

    name: str
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of all classes but the background, in paint order."""
        return self.classes[1:]

    @property
    def colours(self) -> tuple[tuple[int, int, int], ...]:
        """One RGB triple (0..255) a class."""
        triples = (bytes.fromhex(_COLOURS[name]) for name in self.classes)
        return tuple((red, green, blue) for red, green, blue in triples)

    @property
    def mirror(self) -> tuple[int, ...]:
        """The id that each id turns into when the picture is flipped left to right."""
        swapped = (
            "r_" + name[2:] if name.startswith("l_") else "l_" + name[2:] if name.startswith("r_") else name
            for name in self.classes
        )
        return tuple(self.classes.index(name) if name in self.classes else i for i, name in enumerate(swapped))


CELEBAMASK_HQ = LabelScheme("celebamask-hq", tuple(_COLOURS))
"""The archive's own order, which the published segmentation model uses as well."""

_FACE_PARSING = (
    "skin l_brow r_brow l_eye r_eye eye_g l_ear r_ear ear_r nose mouth u_lip l_lip neck neck_l cloth hair hat"
)
_OLDER = "skin neck hat eye_g hair ear_r neck_l cloth l_eye r_eye l_brow r_brow nose l_ear r_ear mouth u_lip l_lip"

SCHEMES: Mapping[str, LabelScheme] = MappingProxyType(
    {
        scheme.name: scheme
        for scheme in (
            CELEBAMASK_HQ,
            LabelScheme("face-parsing", ("background", *_FACE_PARSING.split())),
            LabelScheme("celebamask-hq-older", ("background", *_OLDER.split())),
        )
    }
)
"""The known schemes by name."""


def get_scheme(name: str) -> LabelScheme:
    """The scheme called ``name``.

    Raises
    ------
    InputError
        If there is no such scheme; the message lists those there are.

    Examples
    --------
    >>> get_scheme("face-parsing").classes[17]
    'hair'
    """
    if name not in SCHEMES:
        raise InputError(f"label scheme {name!r} is not known; give one of: {', '.join(SCHEMES)}")
    return SCHEMES[name]


def remap(labels: NDArray[np.uint8], source: LabelScheme, target: LabelScheme) -> NDArray[np.uint8]:
    """Renumber a label map from one scheme to another.

    Parameters
    ----------
    labels : (H, W) uint8 array
        Ids of ``source``.
    source, target : LabelScheme
        Must hold the same class names.

    Returns
    -------
    (H, W) uint8 array
        The same map in ids of ``target``.

    Raises
    ------
    InputError
        If the schemes differ in their classes, or ``labels`` holds an id that ``source`` does not have.

    Examples
    --------
    >>> import numpy as np
    >>> remap(np.array([[1, 17]], np.uint8), get_scheme("face-parsing"), CELEBAMASK_HQ).tolist()
    [[1, 13]]
    """
    import numpy as np

    if set(source.classes) != set(target.classes):
        different = sorted(set(source.classes) ^ set(target.classes))
        raise InputError(
            f"schemes {source.name} and {target.name} do not hold the same classes: {', '.join(different)}"
        )
    if labels.size and int(labels.max()) >= len(source):
        raise InputError(f"label map has id {int(labels.max())}; {source.name} has 0 to {len(source) - 1}")
    table = np.array([target.classes.index(name) for name in source.classes], np.uint8)
    return table[labels]
