"""Label schemes: the classes of the contract, their colours, mirrors, and the way from one scheme to another."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from facesynth.errors import InputError
from facesynth.labels import (
    CELEBAMASK_HQ,
    SCHEMES,
    LabelScheme,
    describe,
    from_description,
    get_scheme,
    read_scheme,
    remap,
)

from .trees import CLASSES

COLOURS = [
    "000000",
    "cc0000",
    "4c9900",
    "cccc00",
    "3333ff",
    "cc00cc",
    "00ffff",
    "ffcccc",
    "663300",
    "ff0000",
    "66cc00",
    "ffff00",
    "000099",
    "0000cc",
    "ff3399",
    "00cccc",
    "003300",
    "ff9933",
    "00cc00",
]
EACH = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


def test_ids_of_the_contract() -> None:
    assert list(CELEBAMASK_HQ.classes) == CLASSES
    assert CELEBAMASK_HQ.parts == tuple(CLASSES[1:])
    assert len(CELEBAMASK_HQ) == 19


def test_colours_of_the_contract() -> None:
    assert ["".join(f"{value:02x}" for value in colour) for colour in CELEBAMASK_HQ.colours] == COLOURS


@EACH
def test_schemes_hold_the_same_classes_and_colours(scheme: LabelScheme) -> None:
    assert sorted(scheme.classes) == sorted(CLASSES)
    assert scheme.classes[0] == "background"
    assert dict(zip(scheme.classes, scheme.colours, strict=True)) == dict(
        zip(CLASSES, CELEBAMASK_HQ.colours, strict=True)
    )


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("face-parsing", {"skin": 1, "l_brow": 2, "r_eye": 5, "eye_g": 6, "nose": 10, "cloth": 16, "hat": 18}),
        ("celebamask-hq-older", {"skin": 1, "neck": 2, "hat": 3, "hair": 5, "l_eye": 9, "nose": 13, "l_lip": 18}),
    ],
)
def test_ids_of_other_schemes(name: str, ids: dict[str, int]) -> None:
    assert {part: get_scheme(name).classes.index(part) for part in ids} == ids


def test_mirror_pairs_of_the_contract() -> None:
    pairs = {frozenset(pair) for pair in enumerate(CELEBAMASK_HQ.mirror) if pair[0] != pair[1]}
    assert pairs == {frozenset(pair) for pair in ((4, 5), (6, 7), (8, 9))}


@EACH
def test_mirror_twice_is_nothing(scheme: LabelScheme) -> None:
    assert [scheme.mirror[scheme.mirror[number]] for number in range(len(scheme))] == list(range(len(scheme)))


@EACH
@pytest.mark.parametrize("other", SCHEMES)
def test_remap_keeps_names_and_comes_back(scheme: LabelScheme, other: str) -> None:
    target = get_scheme(other)
    labels = np.arange(len(scheme), dtype=np.uint8)[None].repeat(2, axis=0)
    there = remap(labels, scheme, target)
    assert there.dtype == np.uint8
    assert [target.classes[number] for number in there[1]] == list(scheme.classes)
    np.testing.assert_array_equal(remap(there, target, scheme), labels)


def test_remap_of_an_empty_map() -> None:
    assert remap(np.zeros((0, 4), np.uint8), CELEBAMASK_HQ, get_scheme("face-parsing")).shape == (0, 4)


def test_remap_refuses_an_id_too_high() -> None:
    with pytest.raises(InputError, match="id 19; celebamask-hq has 0 to 18"):
        remap(np.array([[3, 19]], np.uint8), CELEBAMASK_HQ, get_scheme("face-parsing"))


def test_remap_refuses_other_classes() -> None:
    with pytest.raises(InputError, match=r"cats has no class skin, nose.* of celebamask-hq; .* whiskers"):
        remap(np.zeros((1, 1), np.uint8), CELEBAMASK_HQ, LabelScheme("cats", ("background", "whiskers")))


def test_unknown_scheme_lists_the_known() -> None:
    with pytest.raises(InputError, match=r"'celeba' is not known.*celebamask-hq, face-parsing, celebamask-hq-older"):
        get_scheme("celeba")


# --- classes that differ ---

CATS = LabelScheme("cats", ("none", "cat", "l_ear", "r_ear"))


def test_remap_by_given_classes() -> None:
    classes = {"l_eye": "cat", "cat": "hair"}
    with pytest.raises(InputError, match="celebamask-hq has no class cat"):
        remap(np.zeros((1, 1), np.uint8), CELEBAMASK_HQ, CATS, classes=classes)
    labels = np.array([[0, 1, 2, 3]], np.uint8)
    assert remap(labels, CATS, CELEBAMASK_HQ, classes={"cat": "hair"}).tolist() == [[0, 13, 8, 9]]
    swapped = remap(labels, CATS, CELEBAMASK_HQ, classes={"cat": "hair", "l_ear": "r_ear", "r_ear": "l_ear"})
    assert swapped.tolist() == [[0, 13, 9, 8]]
    with pytest.raises(InputError, match="celebamask-hq has no class whiskers; it has: background"):
        remap(labels, CATS, CELEBAMASK_HQ, classes={"cat": "whiskers"})


# --- schemes of one's own ---


def test_defaults_of_an_own_scheme() -> None:
    assert CATS.parts == CATS.paint_order == ("cat", "l_ear", "r_ear")
    assert CATS.mirror == (0, 1, 3, 2)
    assert CATS.colours[0] == (0, 0, 0)
    assert CATS.colours[2:] == (CELEBAMASK_HQ.colours[8], CELEBAMASK_HQ.colours[9])
    words = LabelScheme("hands", ("none", "left_hand", "right_hand", "left_over"))
    assert words.mirror == (0, 2, 1, 3)


@pytest.mark.parametrize("count", [2, 19, 255])
def test_generated_colours_differ(count: int) -> None:
    scheme = LabelScheme("many", tuple(f"class {number}" for number in range(count)))
    assert len(set(scheme.colours)) == len(scheme) == count
    assert scheme.colours[0] == (0, 0, 0)


FULL = """
name: cats
classes:
  - none
  - {name: cat, colour: "#102030"}
  - {name: l_ear, colour: [1, 2, 3]}
  - right ear
paint_order: [right ear, l_ear, cat]
mirror: [[l_ear, right ear]]
"""


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_scheme_of_a_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cats{suffix}"
    path.write_text(FULL if suffix == ".yaml" else json.dumps(yaml.safe_load(FULL)))
    scheme = read_scheme(path)
    assert (scheme.name, scheme.classes) == ("cats", ("none", "cat", "l_ear", "right ear"))
    assert scheme.colours[1:3] == ((16, 32, 48), (1, 2, 3))
    assert scheme.parts == ("right ear", "l_ear", "cat")
    assert scheme.mirror == (0, 1, 3, 2)
    assert read_scheme(str(path)) == scheme


def test_scheme_of_names_alone(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: cats\nclasses: [none, cat, l_ear, r_ear]\n")
    assert read_scheme(tmp_path / "a.yaml") == CATS
    (tmp_path / "a.yaml").write_text("name: cats\nclasses: [none, cat, l_ear, r_ear]\nmirror: []\n")
    assert read_scheme(tmp_path / "a.yaml").mirror == (0, 1, 2, 3)


@EACH
def test_known_scheme_by_its_name(scheme: LabelScheme) -> None:
    assert read_scheme(scheme.name) is scheme


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name: [", r"no YAML: .* at line"),
        ("name: a\0b", "no YAML"),
        ("[" * 2000, "no YAML"),
        ("", "is a mapping with name and classes, not empty"),
        ("- a", "is a mapping with name and classes, not a list"),
        ("name: a", "lacks classes"),
        ("name: a\nclasses: [a, b]\ncolors: []", "has no colors; it has: name, classes"),
        ("name: a\nclasses: 3", "classes is 3; needed: a list"),
        ("name: a\nclasses: [a]", "classes are 1; needed: 2 to 255"),
        (f"name: a\nclasses: {list(map(str, range(256)))}", "classes are 256; needed: 2 to 255"),
        ("name: a\nclasses: [a, b, b]", "classes hold b more than once"),
        ("name: a\nclasses: [none, no]", r"class 1 is False; needed: a name \(in YAML put 'false' in quotes\)"),
        ("name: a\nclasses: [none, a/b]", "class 1 is called 'a/b'"),
        ("name: a\nclasses: [none, {colour: 3}]", "class 1 has colour; needed: name, and colour if wanted"),
        ("name: a\nclasses: [none, {name: [a], colour: [1, 2, 3]}]", r"class 1 is \['a'\]; needed: a name"),
        ("name: a\nclasses: [none, {name: b, colour: #ff0000\n}]", "colour of b is None; needed: '#rrggbb', in quotes"),
        ("name: a\nclasses: [none, {name: b, colour: [1, 2, 256]}]", "colour of b is"),
        (
            "name: a\nclasses: [{name: a, colour: '010203'}, {name: b, colour: [1, 2, 3]}]",
            "a and b have the same colour",
        ),
        ("name: a\nclasses: [none, b, c]\npaint_order: [b]", "paint_order lacks c"),
        ("name: a\nclasses: [none, b, c]\npaint_order: [none, b, c]", "paint_order has none"),
        ("name: a\nclasses: [none, b, c]\npaint_order: [b, c, b]", "paint_order has b more than once"),
        ("name: a\nclasses: [none, b, c]\npaint_order: b", "paint_order is 'b'; needed: a list"),
        ("name: a\nclasses: [none, b, c]\nmirror: [[b, d]]", "mirror has d, which is no class"),
        ("name: a\nclasses: [none, b, c]\nmirror: [[b, c], [none, b]]", "each class in one pair at most"),
        ("name: a\nclasses: [none, b, c]\nmirror: [[b, b]]", "each class in one pair at most"),
        ("name: a\nclasses: [none, b, c]\nmirror: [b, c]", "mirror has 'b'; needed: pairs of classes"),
        ("name: 3\nclasses: [none, b]", "scheme name is 3; needed: a text"),
        ("name: face-parsing\nclasses: [none, b]", "name is 'face-parsing', which is another scheme"),
    ],
)
def test_mistakes_are_named_with_the_file(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match=reason) as raised:
        read_scheme(tmp_path / "mine.yaml")
    assert str(raised.value).startswith(f"{tmp_path / 'mine.yaml'}: ")
    assert "\n" not in str(raised.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{'name': 3}")
    with pytest.raises(InputError, match=r"a\.json: no JSON: "):
        read_scheme(tmp_path / "a.json")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"b\.yaml is no label scheme: it is no text"):
        read_scheme(tmp_path / "b.yaml")
    with pytest.raises(InputError, match=r"cannot read .*: it is a folder; needed: a regular file"):
        read_scheme(tmp_path)
    with pytest.raises(InputError, match="label scheme 'celeba' is not known and no file; give one of: celebamask-hq"):
        read_scheme("celeba")


@pytest.mark.parametrize(
    "scheme",
    [
        *SCHEMES.values(),
        CATS,
        LabelScheme("cats", CATS.classes, ((9, 9, 9), (1, 1, 1), (2, 2, 2), (3, 3, 3)), ("r_ear", "l_ear", "cat")),
        LabelScheme("still", CATS.classes, mirror=(0, 1, 2, 3)),
        LabelScheme("celebamask-hq", CATS.classes),
    ],
    ids=lambda scheme: scheme.name,
)
def test_description_goes_through_json(scheme: LabelScheme) -> None:
    described = json.loads(json.dumps(describe(scheme)))
    assert isinstance(described, str) == (scheme in SCHEMES.values())
    if scheme.name == "celebamask-hq" and scheme != CELEBAMASK_HQ:
        with pytest.raises(InputError, match="which is another scheme"):
            from_description(described)
    else:
        assert from_description(described) == scheme


@pytest.mark.parametrize("value", [None, 3, [], {}, "mine", {"name": "a", "classes": None}])
def test_what_describes_nothing(value: object) -> None:
    with pytest.raises(InputError):
        from_description(value)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"mirror": (0, 2, 1)}, "mirror is"),
        ({"mirror": (0, 2, 3, 1)}, "mirror is"),
        ({"colours": ((0, 0, 0),)}, "colours are 1 for 4 classes"),
        ({"colours": ((0, 0, 0), (1, 1, 1), (2, 2, 2), (0, 0, 256))}, "colour of r_ear is"),
        ({"paint_order": ("cat",)}, "paint_order lacks l_ear, r_ear"),
    ],
)
def test_fields_that_break_a_rule(fields: dict[str, tuple], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        LabelScheme("cats", CATS.classes, **fields)


# --- the page about them ---

PAGE = Path(__file__).parent.parent / "docs" / "labels.md"


def test_page_lists_the_ids_of_every_scheme() -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.read_text().splitlines() if "|" in line]
    listed = [row[1:] for row in rows if row[0].isdecimal()]
    assert listed == [list(names) for names in zip(*(scheme.classes for scheme in SCHEMES.values()), strict=True)]


def test_example_of_the_page(tmp_path: Path) -> None:
    (tmp_path / "cats.yaml").write_text(PAGE.read_text().split("```yaml\n")[1].split("```")[0])
    scheme = read_scheme(tmp_path / "cats.yaml")
    assert scheme.classes == ("background", "fur", "nose", "left_eye", "right_eye")
    assert scheme.parts == ("fur", "left_eye", "right_eye", "nose")
    assert scheme.mirror == (0, 1, 2, 4, 3)
