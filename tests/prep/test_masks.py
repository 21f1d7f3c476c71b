"""The merge: later classes cover earlier ones, whatever the order in which parts come."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesynth.errors import InputError
from facesynth.labels import CELEBAMASK_HQ, SCHEMES, LabelScheme, get_scheme
from facesynth.prep.masks import inspect, merge_files, merge_masks
from facesynth.prep.pipeline.findings import Refused


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("scheme", SCHEMES)
def test_highest_id_at_a_pixel_wins(seed: int, scheme: str) -> None:
    rng, classes = np.random.default_rng(seed), get_scheme(scheme)
    names = rng.permutation(classes.parts)[: rng.integers(1, 19)]
    parts = {str(name): rng.random((9, 11)) < rng.choice([0.05, 0.3, 0.7]) for name in names}
    expected = np.max([mask * classes.classes.index(name) for name, mask in parts.items()], axis=0)
    merged = merge_masks(parts, classes)
    assert merged.dtype == np.uint8
    np.testing.assert_array_equal(merged, expected)


def test_no_part_is_background() -> None:
    assert not merge_masks({"skin": np.zeros((3, 4), bool)}, CELEBAMASK_HQ).any()


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({}, "no part mask to merge"),
        ({"skin": (2, 2), "beard": (2, 2)}, "part 'beard' is not in celebamask-hq, which has: skin, nose"),
        ({"background": (2, 2)}, "part 'background' is not in"),
        ({"skin": (2, 3), "nose": (4, 2)}, "differ in size: 3 x 2, 2 x 4"),
    ],
)
def test_what_cannot_be_merged(parts: dict[str, tuple[int, int]], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        merge_masks({name: np.ones(shape, bool) for name, shape in parts.items()}, CELEBAMASK_HQ)


def test_paint_order_decides_and_ids_are_the_schemes() -> None:
    scheme = LabelScheme("turned", ("none", "a", "b", "c"), paint_order=("c", "b", "a"))
    a, b, c = np.array([[[1, 0, 0, 1]], [[1, 1, 0, 0]], [[1, 1, 1, 0]]], bool)
    assert merge_masks({"a": a, "b": b, "c": c}, scheme).tolist() == [[1, 2, 3, 1]]


# --- from files ---


def circle(y: int, x: int, radius: int, size: int = 128) -> np.ndarray:
    rows, columns = np.indices((size, size))
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


FACE = {"skin": circle(64, 64, 40), "nose": circle(64, 64, 8), "l_eye": circle(50, 80, 5), "hair": circle(30, 64, 25)}


def save(folder: Path, masks: dict[str, np.ndarray], **odd: Image.Image) -> dict[str, Path]:
    """Part masks as the archive names them."""
    pictures = {name: Image.fromarray(mask.astype(np.uint8) * 255) for name, mask in masks.items()} | odd
    for name, picture in pictures.items():
        picture.save(folder / f"00000_{name}.png")
    return {name: folder / f"00000_{name}.png" for name in pictures}


def test_files_are_merged(tmp_path: Path) -> None:
    labels, findings = merge_files(save(tmp_path, FACE), CELEBAMASK_HQ)
    np.testing.assert_array_equal(labels, merge_masks(FACE, CELEBAMASK_HQ))
    assert findings == ()


def test_masks_of_several_forms_are_one_photo(tmp_path: Path) -> None:
    odd = {
        "skin": Image.fromarray(FACE["skin"]),
        "nose": Image.fromarray(FACE["nose"].astype(np.uint8)),
        "l_eye": Image.fromarray(FACE["l_eye"].astype(np.uint16) * 65535),
        "hair": Image.fromarray(np.dstack([np.zeros((128, 128, 3), np.uint8), FACE["hair"].astype(np.uint8) * 255])),
    }
    labels, findings = merge_files(save(tmp_path, {}, **odd), CELEBAMASK_HQ)
    np.testing.assert_array_equal(labels, merge_masks(FACE, CELEBAMASK_HQ))
    assert findings == ()


def test_unknown_part_is_left_out(tmp_path: Path) -> None:
    labels, (finding,) = merge_files(save(tmp_path, FACE | {"beard": circle(90, 64, 20)}), CELEBAMASK_HQ)
    np.testing.assert_array_equal(labels, merge_masks(FACE, CELEBAMASK_HQ))
    assert finding.kind == "unknown-part"
    assert finding.detail == "00000_beard.png: celebamask-hq has no class beard; left out"


@pytest.mark.parametrize(
    ("sizes", "size", "wanted"),
    [
        ([128, 128, 64, 64], None, 128),
        ([128, 64, 64, 64], None, 64),
        ([512, 64, 64, 64], None, 512),
        ([128, 128, 128, 128], 256, 256),
    ],
)
def test_sizes_that_differ(tmp_path: Path, sizes: list[int], size: int | None, wanted: int) -> None:
    pictures = {
        name: Image.fromarray(mask).resize((one, one), Image.Resampling.NEAREST)
        for one, (name, mask) in zip(sizes, FACE.items(), strict=True)
    }
    labels, findings = merge_files(save(tmp_path, {}, **pictures), CELEBAMASK_HQ, size=size)
    assert labels.shape == (wanted, wanted)
    small = np.asarray(Image.fromarray(labels).resize((64, 64), Image.Resampling.NEAREST))
    expected = merge_masks({name: mask[1::2, 1::2] for name, mask in FACE.items()}, CELEBAMASK_HQ)
    assert np.mean(small == expected) > 0.98
    assert [finding.kind for finding in findings] == ["resized"] * sum(
        one != (128 if size else wanted) for one in sizes
    )
    assert all(f"resized to {wanted} x {wanted} by nearest" in finding.detail for finding in findings)


def test_greys_are_found(tmp_path: Path) -> None:
    soft = FACE["skin"].astype(np.uint8) * 255
    soft[0, :7] = 100
    labels, (finding,) = merge_files(save(tmp_path, FACE, skin=Image.fromarray(soft)), CELEBAMASK_HQ)
    np.testing.assert_array_equal(labels, merge_masks(FACE, CELEBAMASK_HQ))
    assert (finding.kind, finding.detail) == (
        "threshold",
        "00000_skin.png: 7 of 16384 pixels are grey; thresholded at half of its maximum",
    )


def test_empty_and_full_parts_are_found(tmp_path: Path) -> None:
    parts = FACE | {"hat": np.zeros((128, 128), bool), "cloth": np.ones((128, 128), bool)}
    labels, findings = merge_files(save(tmp_path, parts), CELEBAMASK_HQ)
    assert {(finding.kind, finding.detail) for finding in findings} == {
        ("empty-part", "00000_hat.png has no pixel set"),
        ("full-part", "00000_cloth.png has every pixel set"),
    }
    assert (labels == 18).all()


@pytest.mark.parametrize(
    ("masks", "kind", "reason"),
    [
        ({"skin": np.zeros((8, 8), bool), "hair": np.zeros((9, 9), bool)}, "blank-map", "all 2 part masks"),
        ({}, "no-parts", "no part mask of a class of celebamask-hq, which has: skin"),
        ({"beard": np.ones((8, 8), bool)}, "no-parts", "no part mask of a class of celebamask-hq"),
    ],
)
def test_photos_that_are_refused(tmp_path: Path, masks: dict[str, np.ndarray], kind: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason) as raised:
        merge_files(save(tmp_path, masks), CELEBAMASK_HQ)
    assert raised.value.kind == kind


def test_a_mask_that_cannot_be_read(tmp_path: Path) -> None:
    parts = save(tmp_path, FACE)
    whole = parts["nose"].read_bytes()
    for data in (whole[:60], whole[:70] + b"?" + whole[71:], b""):
        parts["nose"].write_bytes(data)
        with pytest.raises(Refused, match=r"00000_nose\.png") as raised:
            merge_files(parts, CELEBAMASK_HQ)
        assert raised.value.kind == "unreadable"
    parts["nose"].unlink()
    with pytest.raises(Refused, match=r"cannot read .*00000_nose\.png"):
        merge_files(parts, CELEBAMASK_HQ)


# --- what is odd ---


def kinds(**masks: np.ndarray) -> list[str]:
    return [finding.kind for finding in inspect(masks)]


@pytest.mark.parametrize("size", [128, 512, 513, 300])
def test_specks_far_from_their_part(size: int) -> None:
    skin = circle(size // 2, size // 2, size // 4, size)
    assert kinds(skin=skin) == []
    skin[2:4, 5:8] = True
    (finding,) = inspect({"skin": skin}, {"skin": "00007_skin.png"})
    assert finding.kind == "islands"
    assert finding.detail == "00007_skin.png has 1 speck away from the rest, of 6 pixels in all"
    skin[-1, -1] = True
    (finding,) = inspect({"skin": skin})
    assert finding.detail == "skin has 2 specks away from the rest, of 7 pixels in all"


def test_pieces_that_are_no_specks() -> None:
    two = circle(200, 100, 50, 512) | circle(200, 400, 20, 512)  # a part in two pieces
    near = circle(200, 200, 100, 512)
    near[200, 302] = True  # a pixel beside its part, as smoothing leaves it
    assert kinds(hair=two, skin=near) == []


@pytest.mark.parametrize(
    ("one", "other", "odd"),
    [
        ("l_eye", "r_eye", True),
        ("l_ear", "r_ear", True),
        ("nose", "mouth", True),
        ("neck", "l_lip", True),
        ("u_lip", "mouth", False),
        ("skin", "nose", False),
        ("hair", "l_brow", False),
        ("eye_g", "r_eye", False),
        ("neck_l", "neck", False),
    ],
)
def test_overlaps_that_are_odd(one: str, other: str, odd: bool) -> None:
    masks = {one: circle(64, 60, 10), other: circle(64, 64, 10)}
    assert kinds(**masks) == ["overlap"] * odd
    if odd:
        (finding,) = inspect(masks)
        shared = np.count_nonzero(masks[one] & masks[other])
        assert finding.detail in {f"{a} and {b} share {shared} pixels" for a, b in ((one, other), (other, one))}


def test_overlaps_that_are_slight_or_hidden() -> None:
    left, right = circle(64, 50, 10), circle(64, 67, 10)
    assert (left & right).any()
    assert kinds(l_eye=left, r_eye=right) == []
    both = circle(64, 60, 10)
    assert kinds(l_ear=both, r_ear=both, ear_r=both) == []
    assert kinds(l_ear=both, r_ear=both, ear_r=circle(64, 100, 10)) == ["overlap"]


def test_other_schemes_parts_may_overlap() -> None:
    assert kinds(cat=circle(64, 60, 10), dog=circle(64, 60, 10)) == []


@pytest.mark.parametrize("shape", [(60_000, 1), (1, 300_000)])
def test_narrow_masks_are_inspected_in_their_own_memory(shape: tuple[int, int]) -> None:
    mask = np.zeros(shape, bool)
    mask.ravel()[: mask.size // 2] = True
    mask.ravel()[-1] = True
    tracemalloc.start()
    findings = inspect({"hair": mask})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [finding.kind for finding in findings] == ["islands"]
    assert peak < 100 * mask.size + 1_000_000
