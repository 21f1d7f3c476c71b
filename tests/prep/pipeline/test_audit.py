"""What is odd about a set as a whole: found in sets that are spoilt, and not in those that are drawn."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesynth.labels import CELEBAMASK_HQ, get_scheme
from facesynth.prep.check import check_dataset
from facesynth.prep.masks import merge_masks
from facesynth.prep.pairs import prepare_pairs
from facesynth.prep.pipeline.audit import FEWEST, WHOLE, Remark, audit, class_columns
from facesynth.prep.pipeline.findings import Finding
from facesynth.prep.pipeline.workers import Workers
from facesynth.prep.portraits.draw import draw_portrait

SIZE = 96
ONE = Workers(jobs=1)
NUMBER = {name: number for number, name in enumerate(CELEBAMASK_HQ.classes)}
MIRROR = np.array(CELEBAMASK_HQ.mirror, np.uint8)


@cache
def drawn() -> tuple[np.ndarray, ...]:
    portraits = (draw_portrait(0, number, size=64, mask_size=SIZE) for number in range(FEWEST + 4))
    return tuple(merge_masks(portrait.parts, CELEBAMASK_HQ) for portrait in portraits)


def rows(maps: list[np.ndarray]) -> list[dict[str, str]]:
    return [
        {"id": f"{number:03d}", "photo_sha256": f"digest {number}", **class_columns(labels, CELEBAMASK_HQ)}
        for number, labels in enumerate(maps)
    ]


def found(maps: list[np.ndarray]) -> list[Remark]:
    return audit(rows(maps), CELEBAMASK_HQ)


def kinds(remarks: list[Remark]) -> list[tuple[str, str]]:
    return [(name, finding.kind) for name, finding in remarks]


def with_face(labels: np.ndarray) -> np.ndarray:
    """A copy with skin in place of glasses, and hair in place of a hat, so that nothing hides a part."""
    labels = np.where(labels == NUMBER["eye_g"], np.uint8(NUMBER["skin"]), labels)
    return np.where(labels == NUMBER["hat"], np.uint8(NUMBER["hair"]), labels)


def test_drawn_portraits_are_plausible() -> None:
    assert found(list(drawn())) == []
    assert found(list(drawn()[:3])) == []


@pytest.mark.parametrize("scheme", ["face-parsing", "celebamask-hq-older"])
def test_set_in_another_order_is_one_finding(scheme: str) -> None:
    order = get_scheme(scheme).classes
    to_other = np.array([order.index(name) for name in CELEBAMASK_HQ.classes], np.uint8)
    count = len(drawn())
    ((name, finding),) = found([to_other[labels] for labels in drawn()])
    assert (name, finding.kind) == (WHOLE, "other-order")
    assert finding.detail.startswith(
        f"in {count} of {count} label maps (100%) the parts lie as in the order of the scheme"
    )
    assert f"{scheme}, not celebamask-hq" in finding.detail


def test_set_with_left_and_right_exchanged_is_one_finding_with_its_share() -> None:
    maps = [labels if number < 4 else MIRROR[labels] for number, labels in enumerate(drawn())]
    ((name, finding),) = found(maps)
    assert (name, finding.kind) == (WHOLE, "exchanged")
    assert finding.detail.startswith("in 20 of 24 label maps (83%) the parts lie as with left and right exchanged")


def test_few_maps_that_are_exchanged_are_named_one_by_one() -> None:
    maps = [MIRROR[labels] if number in (2, 5) else labels for number, labels in enumerate(drawn())]
    assert kinds(found(maps)) == [("002", "exchanged"), ("005", "exchanged")]


def test_equal_photos_are_a_finding_for_each_further_id() -> None:
    given = rows(list(drawn()))
    for number in (7, 9):
        given[number]["photo_sha256"] = given[3]["photo_sha256"]
    given[4]["photo_sha256"] = given[5]["photo_sha256"] = ""
    same = Finding("same-photo", "the same photo as 003")
    assert audit(given, CELEBAMASK_HQ) == [("007", same), ("009", same)]


def test_map_without_a_class_that_all_others_have() -> None:
    maps = [with_face(labels) for labels in drawn()]
    maps[6] = np.where(np.isin(maps[6], [NUMBER["l_eye"], NUMBER["r_eye"]]), np.uint8(NUMBER["skin"]), maps[6])
    detail = "no l_eye and no r_eye, which nearly all of the 24 label maps have"
    assert found(maps) == [("006", Finding("lacks-class", detail))]
    assert found(maps[: FEWEST - 1]) == []
    maps[6][: SIZE // 8] = NUMBER["eye_g"]  # glasses may hide them
    assert found(maps) == []


def test_class_that_several_maps_lack_is_a_habit_of_the_set() -> None:
    maps = [with_face(labels) for labels in drawn()]
    for number in (1, 2, 3):
        maps[number] = np.where(maps[number] == NUMBER["neck"], np.uint8(0), maps[number])
        maps[number] = np.where(maps[number] == NUMBER["cloth"], np.uint8(0), maps[number])
    assert found(maps) == []


def test_map_upside_down_has_nose_and_hair_in_the_wrong_place() -> None:
    maps = [with_face(labels) for labels in drawn()]
    maps[8] = MIRROR[maps[8][::-1, ::-1]]
    ((name, finding),) = found(maps)
    assert (name, finding.kind) == ("008", "misplaced")
    assert finding.detail.startswith("the nose is not below the eyes; the hair is below the mouth, not on top")


def test_nose_beside_the_eyes() -> None:
    maps = [with_face(labels) for labels in drawn()]
    nose = maps[8] == NUMBER["nose"]
    maps[8][nose] = NUMBER["skin"]
    maps[8][np.roll(nose, SIZE // 3, axis=1)] = NUMBER["nose"]
    ((name, finding),) = found(maps)
    assert (name, finding.kind) == ("008", "misplaced")
    assert finding.detail.startswith("the nose is not between the eyes")


@pytest.mark.parametrize("count", [FEWEST + 4, 5])
def test_area_far_from_that_of_the_others_or_of_drawn_faces(count: int) -> None:
    maps = [with_face(labels) for labels in drawn()[:count]]
    y, x = (int(values.mean()) for values in np.nonzero(maps[3] == NUMBER["nose"]))
    maps[3][maps[3] == NUMBER["nose"]] = NUMBER["skin"]
    maps[3][y, x] = NUMBER["nose"]
    skin = int((maps[3] == NUMBER["skin"]).sum())
    ((name, finding),) = found(maps)
    assert (name, finding.kind) == ("003", "misplaced")
    assert finding.detail.startswith("nose has 1 pixels, 1/")
    usual = skin * np.exp(-2.7)
    assert int(finding.detail.split("1/")[1].split()[0]) == pytest.approx(usual, rel=0.5)


def test_maps_that_are_no_faces_are_not_judged_as_such() -> None:
    rng = np.random.default_rng(3)
    assert found([rng.integers(0, 19, (SIZE, SIZE)).astype(np.uint8) for _ in range(FEWEST)]) == []


def test_damaged_columns_leave_a_map_out() -> None:
    given = rows(list(drawn()))
    given[0]["class_centres"] = "1,2 nan"
    given[1]["classes"] = given[1]["classes"].replace("1", "99")
    given[2]["class_pixels"] = "many"
    given[3]["class_centres"] = " ".join(["1"] * len(given[3]["classes"].split()))
    del given[4]["class_centres"]
    assert audit(given, CELEBAMASK_HQ) == []


# ---------------------------------------------------------------------------------------------------- from end to end


@pytest.fixture
def exchanged(tmp_path: Path) -> Path:
    """Four pairs with left and right exchanged, the last two with the same photo."""
    for folder in ("photos", "labels"):
        (tmp_path / folder).mkdir()
    for number, labels in enumerate(drawn()[:4]):
        Image.fromarray(MIRROR[labels]).save(tmp_path / "labels" / f"{number}.png")
        Image.new("RGB", (SIZE, SIZE), (min(number, 2), 90, 90)).save(tmp_path / "photos" / f"{number}.png")
    return tmp_path


def report(data: Path) -> list[list[str]]:
    with (data / "report.csv").open(encoding="utf-8", newline="") as stream:
        return [row[:4] for row in csv.reader(stream)][1:]


def test_pairs_report_the_set_once_and_check_repeats_it(exchanged: Path) -> None:
    data = exchanged / "data"
    done = prepare_pairs(exchanged / "photos", exchanged / "labels", data, kind="labels", workers=ONE)
    assert done.noticed == {"exchanged": 1, "same-photo": 1}
    assert report(data) == [["set", "3", "warning", "same-photo"], ["set", WHOLE, "warning", "exchanged"]]
    assert WHOLE in (data / "report.html").read_text("utf-8")
    checked = check_dataset(data, workers=ONE)
    assert checked.problems == []
    assert kinds(checked.remarks) == [("3", "same-photo"), (WHOLE, "exchanged")]


def test_strict_leaves_out_every_map_that_is_exchanged(exchanged: Path) -> None:
    data = exchanged / "data"
    done = prepare_pairs(exchanged / "photos", exchanged / "labels", data, kind="labels", strict=True, workers=ONE)
    assert [failure.kind for failure in done.failures] == ["exchanged"] * 4
    assert {(row[0], row[2]) for row in report(data)} == {("pairs-labels", "error")}
