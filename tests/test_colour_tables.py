"""Label maps in colours: which program's, exact, smoothed or compressed, and what is refused."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from facesynth.colour_tables import MOST_UNSURE, decode_near, find_table, tables_of
from facesynth.errors import ColourError
from facesynth.labels import CELEBAMASK_HQ, LabelScheme, colour_table, get_scheme, remap, voc_colours

OURS = dict(zip(CELEBAMASK_HQ.classes, CELEBAMASK_HQ.colours, strict=True))
MASKGAN = {**OURS, "r_brow": (0x33, 0xFF, 0xFF)}
PARSING = {
    "background": (255, 255, 255),
    "skin": (255, 85, 0),
    "l_brow": (255, 170, 0),
    "r_brow": (255, 0, 85),
    "l_eye": (255, 0, 170),
    "r_eye": (0, 255, 0),
    "eye_g": (85, 255, 0),
    "l_ear": (170, 255, 0),
    "r_ear": (0, 255, 85),
    "ear_r": (0, 255, 170),
    "nose": (0, 0, 255),
    "mouth": (85, 0, 255),
    "u_lip": (170, 0, 255),
    "l_lip": (0, 85, 255),
    "neck": (0, 170, 255),
    "neck_l": (255, 255, 0),
    "cloth": (255, 255, 85),
    "hair": (255, 255, 170),
    "hat": (255, 0, 255),
}
VOC = dict(zip(CELEBAMASK_HQ.classes, voc_colours(19), strict=True))
TABLES = {
    "celebamask-hq": OURS,
    "MaskGAN and SEAN": MASKGAN,
    "face-parsing.PyTorch": PARSING,
    "PASCAL VOC": VOC,
    "celebamask-hq with red and blue exchanged": {name: colour[::-1] for name, colour in OURS.items()},
    "face-parsing.PyTorch with red and blue exchanged": {name: colour[::-1] for name, colour in PARSING.items()},
}
EACH = pytest.mark.parametrize("name", TABLES)


def a_face(side: int = 128) -> np.ndarray:
    """A face of ellipses, (side, side) uint8 ids of CelebAMask-HQ."""
    face = np.zeros((256, 256), np.uint8)
    for part, centre, axes in (
        ("cloth", (128, 250), (110, 40)),
        ("hair", (128, 110), (84, 90)),
        ("neck", (128, 200), (34, 40)),
        ("skin", (128, 130), (62, 76)),
        ("r_brow", (100, 96), (17, 4)),
        ("l_brow", (156, 96), (17, 4)),
        ("r_eye", (100, 112), (13, 7)),
        ("l_eye", (156, 112), (13, 7)),
        ("nose", (128, 136), (12, 20)),
        ("u_lip", (128, 168), (22, 6)),
        ("l_lip", (128, 178), (20, 7)),
    ):
        cv2.ellipse(face, centre, axes, 0, 0, 360, CELEBAMASK_HQ.classes.index(part), -1)
    return cv2.resize(face, (side, side), interpolation=cv2.INTER_NEAREST_EXACT)


def painted(ids: np.ndarray, colours: dict[str, tuple[int, ...]]) -> np.ndarray:
    return np.array([colours[name] for name in CELEBAMASK_HQ.classes], np.uint8)[ids]


def compressed(rgb: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


@EACH
def test_a_table_is_known_as_a_whole(name: str) -> None:
    ids = a_face()
    found = decode_near(painted(ids, TABLES[name]), CELEBAMASK_HQ, source="a map")
    assert (found.table.name, found.changed) == (name, 0)
    np.testing.assert_array_equal(found.ids, ids)
    assert colour_table(painted(ids, TABLES[name])) == name


def test_colours_of_every_class_come_back() -> None:
    ids = np.arange(19, dtype=np.uint8).repeat(4).reshape(4, 19)
    for name, colours in TABLES.items():
        np.testing.assert_array_equal(decode_near(painted(ids, colours), CELEBAMASK_HQ, source=name).ids, ids)


def test_classes_are_those_of_the_given_scheme() -> None:
    """Colours name classes; VOC's indices are ids."""
    scheme, ids = get_scheme("face-parsing"), a_face()
    by_name = decode_near(painted(ids, MASKGAN), scheme, source="a map").ids
    np.testing.assert_array_equal(by_name, remap(ids, CELEBAMASK_HQ, scheme))
    by_index = decode_near(np.array(voc_colours(19), np.uint8)[ids], scheme, source="a map").ids
    np.testing.assert_array_equal(by_index, ids)


@EACH
@pytest.mark.parametrize("way", ["jpeg-95", "jpeg-50", "larger", "smaller"])
def test_smoothed_and_compressed_colours(name: str, way: str) -> None:
    ids = a_face(256)
    rgb = painted(ids, TABLES[name])
    if way.startswith("jpeg"):
        rgb = compressed(rgb, int(way[5:]))
    else:
        side = {"larger": 360, "smaller": 180}[way]
        rgb = np.asarray(Image.fromarray(rgb).resize((side, side), Image.Resampling.BICUBIC))
        ids = a_face(side)
    found = decode_near(rgb, CELEBAMASK_HQ, source="a map")
    assert found.table.name == name
    if way != "jpeg-50":
        assert set(np.unique(found.ids)) == set(np.unique(ids))  # hair beside background makes no lips
    assert (found.ids != ids).mean() < 0.015
    exact = (rgb[:, :, None] == found.table.colours).all(-1).any(-1)
    assert found.changed == np.count_nonzero(~exact) > 0


def test_an_unknown_colour_is_refused_and_named() -> None:
    rgb = painted(a_face(256), {**OURS, "r_brow": (90, 120, 90)})
    count = np.count_nonzero(a_face(256) == CELEBAMASK_HQ.classes.index("r_brow"))
    with pytest.raises(
        ColourError, match=rf"m.png has {count} of 65536 pixels in colours of no class .*#5a785a.*MaskGAN"
    ):
        decode_near(rgb, CELEBAMASK_HQ, source="m.png")


def test_too_much_between_colours_is_refused() -> None:
    rgb = painted(a_face(), OURS)
    noise = np.random.default_rng(0).integers(0, 256, rgb.shape, np.uint8)
    few, many = (np.random.default_rng(1).random(rgb.shape[:2]) < share for share in (0.1, MOST_UNSURE + 0.1))
    for chosen, is_right in ((few, True), (many, False)):
        spoilt = np.where(chosen[..., None], noise, rgb)
        if is_right:
            assert (decode_near(spoilt, CELEBAMASK_HQ, source="m").ids == a_face()).mean() > 0.97
        else:
            with pytest.raises(ColourError, match="pixels in colours of no class"):
                decode_near(spoilt, CELEBAMASK_HQ, source="m")


@pytest.mark.parametrize("kind", ["photo", "grey", "white", "drawing"])
def test_other_pictures_have_no_table(kind: str) -> None:
    rgb = np.full((96, 96, 3), 255, np.uint8)
    if kind == "photo":
        y, x = np.mgrid[:96, :96]
        rgb = np.stack([200 - y, 140 - y // 2 + x // 4, 110 + x // 3], -1).astype(np.uint8)
    elif kind == "grey":
        rgb[:] = 128
    elif kind == "drawing":
        cv2.ellipse(rgb, (48, 48), (30, 40), 0, 0, 360, (20, 20, 20), 2)
    assert find_table(rgb, CELEBAMASK_HQ) is None
    assert colour_table(rgb) is None


def test_what_is_not_opaque_is_background() -> None:
    ids = a_face()
    found = decode_near(
        painted(ids, {**PARSING, "background": (7, 99, 200)}), CELEBAMASK_HQ, opaque=ids > 0, source="m"
    )
    np.testing.assert_array_equal(found.ids, ids)


def test_tables_of_schemes_of_other_classes() -> None:
    cats = LabelScheme("cats", ("none", "fur", "nose", "left_eye", "right_eye"))
    assert [table.name for table in tables_of(cats)] == ["cats", "PASCAL VOC", "cats with red and blue exchanged"]
