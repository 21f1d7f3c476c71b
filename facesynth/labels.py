"""Label schemes: the meaning of the class ids in a label map.

A label map is an (H, W) uint8 array of class ids. The files do not record the order of the classes, so a dataset names its
scheme, and every reader converts or refuses. Left and right are those of the person.

The 19 classes and their colours are those of CelebAMask-HQ (Lee et al., "MaskGAN", CVPR 2020). A custom scheme is a YAML or
JSON file (:func:`read_scheme`); datasets and checkpoints store it completely (:func:`describe`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from facesynth.errors import LONGEST, InputError, shortened, shown
from facesynth.values import read_json, read_text, read_yaml

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

MOST_CLASSES = 255
"""Largest number of classes: ids are 0 to 254, and 255 is no class."""

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
_SIDES = (("l_", "r_"), ("left_", "right_"))
_NAME = re.compile(r"[^\s/\\=,]+(?: [^\s/\\=,]+)*")
_HEX = re.compile(r"#?([0-9a-fA-F]{6})")


@dataclass(frozen=True)
class LabelScheme:
    """A named order of classes.

    Attributes
    ----------
    name : str
        Name of the scheme in datasets and checkpoints.
    classes : tuple of str
        2 to 255 class names; the id of a class is its index. The first is the background.
    colours : tuple of (int, int, int)
        One RGB triple (0..255) per class, all different. By default CelebAMask-HQ's for its classes, and generated ones for
        others.
    paint_order : tuple of str
        Every class but the first, in the order in which part masks are painted: later ones cover earlier ones. By default the
        order of the ids.
    mirror : tuple of int
        The id that each id becomes when the picture is flipped horizontally. By default classes whose names differ in ``l_``
        and ``r_``, or ``left_`` and ``right_``, swap.

    Raises
    ------
    InputError
        If a field breaks one of these rules.

    Examples
    --------
    >>> LabelScheme("faces", ("none", "l_eye", "r_eye")).mirror
    (0, 2, 1)
    """

    name: str
    classes: tuple[str, ...]
    colours: tuple[Colour, ...] = ()
    paint_order: tuple[str, ...] = ()
    mirror: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise InputError(f"scheme name is {shown(self.name)}; needed: a text without '/', '=' and ','")
        _check_classes(self.classes)
        derived = {
            "colours": self.colours or _fill_colours(self.classes, {}),
            "paint_order": self.paint_order or self.classes[1:],
            "mirror": self.mirror or _mirror(self.classes, _sides(self.classes)),
        }
        for field, value in derived.items():
            object.__setattr__(self, field, value)
        _check_colours(self.classes, self.colours)
        _check_names("paint_order", self.paint_order, self.classes[1:])
        mirrored_twice = [self.mirror[number] for number in self.mirror if 0 <= number < len(self.mirror)]
        if mirrored_twice != list(range(len(self.classes))):
            raise InputError(
                f"mirror is {shown(self.mirror)}; needed: for each of {len(self)} ids the one it swaps with"
            )

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of all classes but the first, in paint order."""
        return self.paint_order


# ------------------------------------------------------------------------------------------------- validating a scheme


def _listed(names: Sequence[object], most: int = 8) -> str:
    """Some names in one line, and the number of further ones."""
    some = ", ".join(shortened(name) for name in names[:most])
    return f"{some} and {len(names) - most} more" if len(names) > most else some


def _check_classes(classes: tuple[str, ...]) -> None:
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise InputError(f"classes are {len(classes)}; needed: 2 to {MOST_CLASSES}, the first the background")
    for number, name in enumerate(classes):
        if not isinstance(name, str):
            raise InputError(
                f"class {number} is {shown(name)}; needed: a name (in YAML put {shown(str(name).lower())} in quotes)"
            )
        if len(name) > LONGEST:
            raise InputError(f"class {number} has a name of {len(name)} characters; needed: at most {LONGEST}")
        if not _NAME.fullmatch(name) or not name.isprintable():
            raise InputError(f"class {number} is called {shown(name)}; needed: a text without '/', '=' and ','")
    if twice := sorted({name for name in classes if classes.count(name) > 1}):
        raise InputError(f"classes hold {_listed(twice)} more than once")


def _check_colours(classes: tuple[str, ...], colours: tuple[Colour, ...]) -> None:
    if len(colours) != len(classes):
        raise InputError(f"colours are {len(colours)} for {len(classes)} classes; needed: one per class, or none")
    owners: dict[Colour, str] = {}
    for name, colour in zip(classes, colours, strict=True):
        if len(colour) != 3 or not all(type(value) is int and 0 <= value <= 255 for value in colour):
            raise InputError(f"colour of {name} is {shown(colour)}; needed: three numbers of 0 to 255")
        if colour in owners:
            raise InputError(f"{owners[colour]} and {name} have the same colour #{bytes(colour).hex()}")
        owners[colour] = name


def _check_names(what: str, names: Sequence[object], required: Sequence[str]) -> None:
    """Check that ``names`` are exactly the ``required`` ones, in any order."""
    if unknown := [name for name in names if name not in required]:
        raise InputError(f"{what} has {_listed(unknown)}; needed: every class but the first, once each")
    if missing := [name for name in required if name not in names]:
        raise InputError(f"{what} lacks {_listed(missing)}; needed: every class but the first, once each")
    if len(names) != len(required):
        twice = [name for name in required if list(names).count(name) > 1]
        raise InputError(f"{what} has {_listed(twice)} more than once")


def _sides(classes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The classes of the person's left side, each with its counterpart on the right."""
    for left, right in _SIDES:
        for name in classes:
            partner = right + name.removeprefix(left)
            if name.startswith(left) and partner in classes:
                yield name, partner


def _mirror(classes: Sequence[str], pairs: Iterator[tuple[str, str]]) -> tuple[int, ...]:
    mirror = list(range(len(classes)))
    for one, other in pairs:
        first, second = classes.index(one), classes.index(other)
        if mirror[first] != first or mirror[second] != second or first == second:
            raise InputError(
                f"mirror has {one} and {other}; needed: pairs of two classes, each class in one pair at most"
            )
        mirror[first], mirror[second] = second, first
    return tuple(mirror)


def voc_colours(count: int) -> tuple[Colour, ...]:
    """The first colours of the PASCAL VOC colour map, by the index that labelme and CVAT give a class.

    Examples
    --------
    >>> voc_colours(3)
    ((0, 0, 0), (128, 0, 0), (0, 128, 0))
    """
    return tuple(itertools.islice(_generated_colours(), count))


def colour_table(rgb: NDArray[np.uint8], scheme: LabelScheme | None = None) -> str | None:
    """The program whose colours for label maps a picture has (see :func:`facesynth.colour_tables.find_table`).

    Parameters
    ----------
    rgb : (H, W, 3) uint8 array
    scheme : LabelScheme, optional
        CelebAMask-HQ's by default; the colours of other programs whose classes it has are known too.

    Returns
    -------
    str or None
        The name of a colour table; None if the picture has the colours of none.

    Examples
    --------
    >>> import numpy as np
    >>> colour_table(np.array([voc_colours(19)], np.uint8))
    'PASCAL VOC'
    """
    from facesynth.colour_tables import find_table

    table = find_table(rgb, scheme or CELEBAMASK_HQ)
    return None if table is None else table.name


def _generated_colours() -> Iterator[Colour]:
    """Distinct colours in the order of the PASCAL VOC colour map, beginning with black.

    The bits of a colour's number are distributed to red, green and blue in turn, the lowest to the highest bit of each.
    """
    for number in range(1 << 24):
        yield (_channel(number), _channel(number >> 1), _channel(number >> 2))


def _channel(number: int) -> int:
    return sum((number >> 3 * bit & 1) << 7 - bit for bit in range(8))


def _fill_colours(classes: Sequence[str], chosen: Mapping[str, Colour]) -> tuple[Colour, ...]:
    """A colour per class: the one in ``chosen``, else CelebAMask-HQ's, else a generated one that is not used yet."""
    colours = dict(chosen)
    for name in classes:
        if name in _COLOURS and name not in colours:
            red, green, blue = bytes.fromhex(_COLOURS[name])
            if (red, green, blue) not in colours.values():
                colours[name] = (red, green, blue)
    unused = (colour for colour in _generated_colours() if colour not in colours.values())
    for name in classes:
        if name not in colours:
            colours[name] = next(unused)
    return tuple(colours[name] for name in classes)


# ----------------------------------------------------------------------------------------------------- the known schemes


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
        If there is no such scheme; the message lists the known ones.

    Examples
    --------
    >>> get_scheme("face-parsing").classes[17]
    'hair'
    """
    if name not in SCHEMES:
        raise InputError(f"label scheme {shown(name)} is not known; give one of: {', '.join(SCHEMES)}")
    return SCHEMES[name]


def numbered_scheme(count: int) -> LabelScheme:
    """A scheme for label maps of which only the number of classes is known.

    The classes are called class_0, class_1, ...; their colours are generated, and a flip swaps none of them.

    Parameters
    ----------
    count : int
        Number of classes, 2 to 255.

    Raises
    ------
    InputError
        If ``count`` is out of its range.

    Examples
    --------
    >>> numbered_scheme(3)  # doctest: +NORMALIZE_WHITESPACE
    LabelScheme(name='numbered-3', classes=('class_0', 'class_1', 'class_2'), colours=((0, 0, 0), (128, 0, 0), (0, 128, 0)),
        paint_order=('class_1', 'class_2'), mirror=(0, 1, 2))
    """
    return LabelScheme(f"numbered-{count}", tuple(f"class_{number}" for number in range(count)))


# ------------------------------------------------------------------------------------------------------ schemes in files


def read_scheme(name_or_path: str | Path) -> LabelScheme:
    """A known scheme by its name, or a custom one from a YAML or JSON file.

    The file contains ``name``; ``classes``, a list of names or of ``{name, colour}``; and optionally ``paint_order``, a list of
    every class but the first, and ``mirror``, a list of pairs of classes that swap in a flip.

    Parameters
    ----------
    name_or_path : str or Path
        The name of a known scheme, or the path of a file.

    Raises
    ------
    InputError
        If there is no such scheme or file, or the file breaks a rule of :class:`LabelScheme`; the message names both.

    Examples
    --------
    >>> len(read_scheme("celebamask-hq"))
    19
    """
    if str(name_or_path) in SCHEMES:
        return SCHEMES[str(name_or_path)]
    path = Path(name_or_path)
    try:
        text = read_text(path, encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(
            f"label scheme {shown(str(name_or_path))} is not known and no file; give one of: {', '.join(SCHEMES)}; or a YAML "
            "or JSON file with name and classes"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no label scheme: it is no text in UTF-8") from error
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        return _from_mapping(read_json(text) if path.suffix.lower() == ".json" else read_yaml(text))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def describe(scheme: LabelScheme) -> str | dict[str, Any]:
    """The JSON form of a scheme: the name of a known one, else its content in the form of a scheme file.

    Examples
    --------
    >>> describe(CELEBAMASK_HQ)
    'celebamask-hq'
    >>> describe(LabelScheme("cats", ("none", "cat")))["classes"][1]
    {'name': 'cat', 'colour': '#800000'}
    """
    if SCHEMES.get(scheme.name) == scheme:
        return scheme.name
    classes = [
        {"name": name, "colour": f"#{bytes(colour).hex()}"}
        for name, colour in zip(scheme.classes, scheme.colours, strict=True)
    ]
    pairs = [
        [name, scheme.classes[other]]
        for number, (name, other) in enumerate(zip(scheme.classes, scheme.mirror, strict=True))
        if number < other
    ]
    return {"name": scheme.name, "classes": classes, "paint_order": list(scheme.paint_order), "mirror": pairs}


def from_description(value: object) -> LabelScheme:
    """The scheme whose JSON form is ``value``: the inverse of :func:`describe`.

    Raises
    ------
    InputError
        If ``value`` is not a valid description.

    Examples
    --------
    >>> from_description("face-parsing").name
    'face-parsing'
    """
    return get_scheme(value) if isinstance(value, str) else _from_mapping(value)


_KEYS = ("name", "classes", "paint_order", "mirror")


def _from_mapping(value: object) -> LabelScheme:
    if not isinstance(value, Mapping):
        raise InputError(f"a label scheme is a mapping with name and classes, not {_kind(value)}")
    if odd := [key for key in value if key not in _KEYS]:
        raise InputError(f"a label scheme has no {_listed(odd)}; it has: {', '.join(_KEYS)}")
    if missing := [key for key in _KEYS[:2] if key not in value]:
        raise InputError(f"the label scheme lacks {' and '.join(missing)}")
    entries = value["classes"]
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise InputError(f"classes is {_kind(entries)}; needed: a list of names, or of name and colour")
    names, colours = [], {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            names.append(entry)
            continue
        if "name" not in entry or not set(entry) <= {"name", "colour"}:
            raise InputError(f"class {number} has {_listed(list(entry))}; needed: name, and colour if wanted")
        names.append(entry["name"])
        if "colour" in entry and isinstance(entry["name"], str):
            colours[entry["name"]] = _read_colour(entry["name"], entry["colour"])
    classes = tuple(names)
    _check_classes(classes)
    order = _names(value, "paint_order")
    mirror = _mirror(classes, _pairs(value["mirror"], classes)) if value.get("mirror") is not None else ()
    scheme = LabelScheme(value["name"], classes, _fill_colours(classes, colours), order, mirror)
    if scheme.name in SCHEMES and scheme != SCHEMES[scheme.name]:
        raise InputError(f"name is {shown(scheme.name)}, which is another scheme; give it a name of its own")
    return scheme


def _kind(value: object) -> str:
    return "empty" if value is None else f"a {type(value).__name__}" if isinstance(value, (list, dict)) else repr(value)


def _names(value: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = value.get(key)
    if names is not None and (not isinstance(names, list) or not names):
        raise InputError(f"{key} is {_kind(names)}; needed: a list of every class but the first")
    return tuple(names or ())


def _pairs(pairs: object, classes: Sequence[str]) -> Iterator[tuple[str, str]]:
    if not isinstance(pairs, list):
        raise InputError(f"mirror is {_kind(pairs)}; needed: a list of pairs of classes")
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise InputError(f"mirror has {shown(pair)}; needed: pairs of classes, as [l_eye, r_eye]")
        if odd := [name for name in pair if name not in classes]:
            raise InputError(f"mirror has {_listed(odd)}, which is no class")
        yield pair[0], pair[1]


def _read_colour(name: object, colour: object) -> Colour:
    if isinstance(colour, str) and (match := _HEX.fullmatch(colour)):
        red, green, blue = bytes.fromhex(match[1])
        return red, green, blue
    if (
        isinstance(colour, list)
        and len(colour) == 3
        and all(type(value) is int and 0 <= value <= 255 for value in colour)
    ):
        return colour[0], colour[1], colour[2]
    raise InputError(f"colour of {name} is {shown(colour)}; needed: '#rrggbb', in quotes, or [red, green, blue]")


# ------------------------------------------------------------------------------------------------------------ renumbering


def remap(
    labels: NDArray[np.uint8],
    source: LabelScheme,
    target: LabelScheme,
    *,
    classes: Mapping[str, str] | None = None,
) -> NDArray[np.uint8]:
    """Renumber a label map from one scheme to another.

    Parameters
    ----------
    labels : (H, W) uint8 array
        Class ids of ``source``.
    source, target : LabelScheme
        Classes are matched by name; the first class becomes the first one if there is none of its name.
    classes : mapping of str to str, optional
        The class of ``target`` for classes of ``source`` that have no counterpart of the same name, or need another one.

    Returns
    -------
    (H, W) uint8 array
        The same map in ids of ``target``.

    Raises
    ------
    InputError
        If a class of ``source`` has no target, ``classes`` names one that its scheme does not have, or ``labels`` holds an id
        that ``source`` does not have.

    Examples
    --------
    >>> import numpy as np
    >>> remap(np.array([[1, 17]], np.uint8), get_scheme("face-parsing"), CELEBAMASK_HQ).tolist()
    [[1, 13]]
    >>> faces = LabelScheme("faces", ("none", "face"))
    >>> remap(np.array([[1, 0]], np.uint8), faces, CELEBAMASK_HQ, classes={"face": "skin"}).tolist()
    [[1, 0]]
    """
    import numpy as np

    table = np.array(_table(source, target, classes or {}), np.uint8)
    if labels.size and int(labels.max()) >= len(source):
        raise InputError(f"label map has id {int(labels.max())}; {source.name} has 0 to {len(source) - 1}")
    return table[labels]


def _table(source: LabelScheme, target: LabelScheme, classes: Mapping[str, str]) -> list[int]:
    """The id of ``target`` for each id of ``source``."""
    for scheme, names in ((source, classes.keys()), (target, classes.values())):
        if odd := [name for name in names if name not in scheme.classes]:
            raise InputError(f"{scheme.name} has no class {_listed(odd)}; it has: {', '.join(scheme.classes)}")
    targets = {name: name for name in source.classes if name in target.classes}
    targets = {source.classes[0]: target.classes[0], **targets, **classes}
    if unmapped := [name for name in source.classes if name not in targets]:
        raise InputError(
            f"{target.name} has no class {_listed(unmapped, most=20)} of {source.name}; say for each which of its "
            f"classes it becomes: {', '.join(target.classes)}"
        )
    return [target.classes.index(targets[name]) for name in source.classes]
