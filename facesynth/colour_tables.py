"""Label maps in colours: which program's colours a picture has, and the class of each pixel.

Programs paint the same classes in different colours. A table is recognised as a whole: it is the one that leaves the fewest
pixels without a class. Pixels between two colours, as smoothing and lossy compression leave them, get the class of their
surroundings whose colour is nearest; too many of them, or an area in a colour of no class, is an error.

The colours are those of g_color.py of CelebAMask-HQ (Lee et al., "MaskGAN", CVPR 2020), of the demos of MaskGAN and SEAN (Zhu
et al., CVPR 2020), of face-parsing.PyTorch's vis_parsing_maps, and of the PASCAL VOC development kit, which labelme and CVAT
use.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from facesynth.errors import ColourError
from facesynth.labels import CELEBAMASK_HQ, LabelScheme, get_scheme, voc_colours

if TYPE_CHECKING:
    from numpy.typing import NDArray

VOID = 255
"""The id of pixels that an annotation leaves out."""
NEAR = 25
"""Largest distance in RGB from a class's colour; the nearest two colours of a table are 51 apart."""
MOST_UNSURE = 0.2
"""Largest share of pixels farther than that from every colour."""
MOST_FLAT = 1e-4
"""Largest share of pixels inside areas of one colour that is no class's; a class in an unknown colour has more."""
FEWEST_CLASSES = 3
"""A table of another program is recognised by at least so many classes besides the background."""
_FLAT = 16
"""Largest difference of neighbouring pixels in an area of one colour, after lossy compression."""
_AROUND = 3
"""Distance, in pixels, at which a class may be that of a pixel between colours."""
_SAMPLE = 1 << 16
"""Pixels by which tables are compared."""
_WEIGHTS = np.array([1 << 16, 1 << 8, 1], np.uint32)


class ColourTable(NamedTuple):
    """Colours and the class of each.

    Attributes
    ----------
    name : str
        Of the program, for messages.
    colours : (N, 3) uint8 array
        RGB.
    ids : (N,) uint8 array
        The class of each colour in the scheme that the table was made for; :data:`VOID` for no class.
    """

    name: str
    colours: NDArray[np.uint8]
    ids: NDArray[np.uint8]


class InColours(NamedTuple):
    """A decoded colour map: class ids (H, W) uint8, its table, and the number of pixels that do not have its exact colours."""

    ids: NDArray[np.uint8]
    table: ColourTable
    changed: int


_MASKGAN_BROW = (51, 255, 255)
_FACE_PARSING = (
    "ff5500 ffaa00 ff0055 ff00aa 00ff00 55ff00 aaff00 00ff55 00ffaa 0000ff 5500ff aa00ff 0055ff 00aaff ffff00 ffff55 ffffaa "
    "ff00ff"
)
_VOC_VOID = (224, 224, 192)


@lru_cache(maxsize=16)
def tables_of(scheme: LabelScheme) -> tuple[ColourTable, ...]:
    """The known tables whose classes ``scheme`` has, its own first."""
    ours = dict(zip(CELEBAMASK_HQ.classes, CELEBAMASK_HQ.colours, strict=True))
    parsing = get_scheme("face-parsing").classes[1:]
    painted = [("white", (255, 255, 255)), ("black", (0, 0, 0))]
    named: list[tuple[str, list[tuple[str, tuple[int, ...]]]]] = [
        ("celebamask-hq", list(ours.items())),
        ("MaskGAN and SEAN", list({**ours, "r_brow": _MASKGAN_BROW}.items())),
        (
            "face-parsing.PyTorch",
            [("background", colour) for _, colour in painted]
            + [(name, tuple(bytes.fromhex(code))) for name, code in zip(parsing, _FACE_PARSING.split(), strict=True)],
        ),
    ]
    tables = [ColourTable(scheme.name, _array(scheme.colours), np.arange(len(scheme), dtype=np.uint8))]
    for name, pairs in named:
        if name != scheme.name and {each for each, _ in pairs} <= set(scheme.classes):
            ids = np.array([scheme.classes.index(each) for each, _ in pairs], np.uint8)
            tables.append(ColourTable(name, _array([colour for _, colour in pairs]), ids))
    turned = [
        table._replace(name=f"{table.name} with red and blue exchanged", colours=table.colours[:, ::-1].copy())
        for table in tables
    ]
    voc = _array([*voc_colours(len(scheme)), _VOC_VOID])
    tables.append(ColourTable("PASCAL VOC", voc, np.array([*range(len(scheme)), VOID], np.uint8)))
    return (*tables, *turned)


def _array(colours: object) -> NDArray[np.uint8]:
    return np.array(colours, np.uint8)


def find_table(rgb: NDArray[np.uint8], scheme: LabelScheme) -> ColourTable | None:
    """The table that a picture is painted with.

    Parameters
    ----------
    rgb : (H, W, 3) uint8 array
    scheme : LabelScheme
        Its own table, and those of other programs whose classes it has, are compared.

    Returns
    -------
    ColourTable or None
        The one that leaves the fewest pixels far from its colours; of equal ones the first. None if all leave too many, or too
        few classes are seen.

    Examples
    --------
    >>> swapped = np.array(CELEBAMASK_HQ.colours, np.uint8)[None, :, ::-1]
    >>> find_table(swapped, CELEBAMASK_HQ).name
    'celebamask-hq with red and blue exchanged'
    >>> find_table(np.full((2, 2, 3), 77, np.uint8), CELEBAMASK_HQ) is None
    True
    """
    codes = rgb.reshape(-1, 3)[:: max(1, rgb.size // 3 // _SAMPLE)] @ _WEIGHTS
    codes, counts = np.unique(codes, return_counts=True)
    colours = _colours_of(codes)
    best, fewest = None, MOST_UNSURE * counts.sum()
    for position, table in enumerate(tables_of(scheme)):
        nearest, distances = nearest_colours(colours, table)
        sure = distances <= NEAR**2
        unsure = int(counts[~sure].sum())
        seen = set(table.ids[nearest[sure]].tolist()) - {0, VOID}
        needed = 1 if position == 0 else FEWEST_CLASSES
        if len(seen) >= needed and (unsure < fewest or (best is None and unsure == 0)):
            best, fewest = table, unsure
    return best


def _colours_of(codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """(N, 3) colours of the numbers that :data:`_WEIGHTS` makes of them."""
    return (codes[:, None] >> np.array([16, 8, 0], np.uint32)).astype(np.uint8)


def nearest_colours(colours: NDArray[np.uint8], table: ColourTable) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """For each of (N, 3) colours the row of the nearest one of the table, and the squared distance."""
    own = table.colours.astype(np.int32)
    given = colours.astype(np.int32)
    squares = (given**2).sum(1)[:, None] - 2 * given @ own.T + (own**2).sum(1)
    rows = squares.argmin(1)
    return rows, squares[np.arange(len(rows)), rows]


def decode_near(
    rgb: NDArray[np.uint8], scheme: LabelScheme, *, opaque: NDArray[np.bool_] | None = None, source: object
) -> InColours:
    """Decode a label map in the colours of a known program, exact or nearly so.

    Parameters
    ----------
    rgb : (H, W, 3) uint8 array
    scheme : LabelScheme
        Of the ids; its own colours are tried with those of other programs.
    opaque : (H, W) bool array, optional
        Pixels that are not are background, whatever their colour.
    source : object
        Its name, for the message.

    Returns
    -------
    InColours

    Raises
    ------
    ColourError
        If no table fits, more than a fifth of the pixels are between colours, or an area has a colour of no class.
    """
    if opaque is not None:
        rgb = np.where(opaque[..., None], rgb, np.array(scheme.colours[0], np.uint8))
    table = find_table(rgb if opaque is None or not opaque.any() else rgb[opaque][None], scheme)
    codes, inverse = np.unique((rgb @ _WEIGHTS).ravel(), return_inverse=True)
    rows, distances = nearest_colours(_colours_of(codes), table or tables_of(scheme)[0])
    sure = (distances <= NEAR**2)[inverse].reshape(rgb.shape[:2])
    exact = (distances == 0)[inverse].reshape(rgb.shape[:2])
    if opaque is not None:
        sure, exact = sure | ~opaque, exact | ~opaque
    unsure = int(np.count_nonzero(~sure))
    if table is None or unsure > MOST_UNSURE * sure.size or (unsure and _flat(rgb, sure) > MOST_FLAT * sure.size):
        wrong = ~exact if table is None else ~sure
        known = ", ".join(each.name for each in tables_of(scheme) if "exchanged" not in each.name)
        first = f"#{rgb[wrong][0].tobytes().hex()}" if wrong.any() else "none"
        count = f"{int(np.count_nonzero(wrong))} of {sure.size} pixels"
        raise ColourError(
            f"{source} has {count} in colours of no class of {scheme.name} (the first "
            f"is {first}); known are the colours of {known}; give the scheme of its colours, or a map in class ids"
        )
    ids = table.ids[rows][inverse].reshape(rgb.shape[:2])
    if opaque is not None:
        ids[~opaque] = 0
    return InColours(_settled(rgb, ids, sure, table) if unsure else ids, table, int(np.count_nonzero(~exact)))


def _flat(rgb: NDArray[np.uint8], sure: NDArray[np.bool_]) -> int:
    """The number of pixels in areas of at least 5 x 5 pixels that have nearly one colour, and no class's."""
    kernel = np.ones((3, 3), np.uint8)
    spread = cv2.subtract(cv2.dilate(rgb, kernel), cv2.erode(rgb, kernel)).max(axis=2)
    flat = ((spread <= _FLAT) & ~sure).astype(np.uint8)
    return int(np.count_nonzero(cv2.erode(flat, kernel)))


def _settled(
    rgb: NDArray[np.uint8], ids: NDArray[np.uint8], sure: NDArray[np.bool_], table: ColourTable
) -> NDArray[np.uint8]:
    """Ids where pixels between colours, and slivers beside them, have a class that covers an area near them.

    Between hair and background some pixels have the colour of a lip; only classes with an area of 3 x 3 pixels near by can be
    theirs. Where there is none, the nearest colour decides. Classes without such an area are lost.
    """
    kernel = np.ones((3, 3), np.uint8)
    around = np.ones((2 * _AROUND + 1, 2 * _AROUND + 1), np.uint8)
    areas = {
        number: cv2.morphologyEx(((ids == number) & sure).astype(np.uint8), cv2.MORPH_OPEN, kernel)
        for number in np.unique(ids[sure]).tolist()
    }
    beside = cv2.dilate((~sure).astype(np.uint8), kernel).astype(np.bool_)
    solid = np.zeros(ids.shape, np.bool_)
    for area in areas.values():
        solid |= area.astype(np.bool_)
    slivers = [number for number, area in areas.items() if not area.any()]
    doubtful = ~sure | (~solid & (beside | np.isin(ids, slivers)))
    pixels = rgb[doubtful].astype(np.int32)
    nearest = np.full(len(pixels), np.iinfo(np.int32).max, np.int32)
    classes = ids[doubtful]
    for number, area in areas.items():
        is_near = cv2.dilate(area, around)[doubtful].astype(np.bool_)
        for colour in table.colours[table.ids == number].astype(np.int32):
            distances = ((pixels - colour) ** 2).sum(1)
            is_better = is_near & (distances < nearest)
            classes[is_better], nearest[is_better] = number, distances[is_better]
    settled: NDArray[np.uint8] = ids.copy()
    settled[doubtful] = classes
    return settled
