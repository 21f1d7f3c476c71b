from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from facesynth import images
from facesynth.errors import DatasetError
from facesynth.labels import CELEBAMASK_HQ
from facesynth.manifest import read_dataset
from facesynth.model.data.augment import Augmentation, augment
from facesynth.model.data.conditions import read_condition
from facesynth.model.data.freehand import Roughness, roughen
from facesynth.model.data.order import Pick, TrainingOrder, batches
from facesynth.model.data.pairs import PairedFaces
from facesynth.prep.pipeline.workers import Workers
from facesynth.prep.stages import prepare_photos

from ...runs import reading_processes, shuffle_rows, small_model


def pairs_of(root, column="labels", split="train", **sizes):
    return PairedFaces(
        read_dataset(root), column, split, small_model("seg2face" if column == "labels" else "sketch2face", **sizes)
    )


def copy(source, root):
    shutil.copytree(source, root)
    return root


# ------------------------------------------------------------------------------------------------------ reading pairs


@pytest.mark.parametrize("column", ["labels", "sketch_xdog", "sketch_dodge"])
def test_a_pair_is_the_condition_and_photo_of_one_id(faces, column):
    pairs = pairs_of(faces, column, input_size=64, output_size=64)
    assert pairs.ids == ["00000", "00002", "00004"]
    for place, identifier in enumerate(pairs.ids):
        index, condition, photo = pairs[place]
        assert index == place
        np.testing.assert_array_equal(photo, images.read_photo(faces / f"photos/{identifier}.jpg"))
        folder = column.replace("sketch_", "sketches/")
        original = np.asarray(Image.open(faces / folder / f"{identifier}.png"))
        wanted = images.resize(original, (64, 64), labels=column == "labels")
        np.testing.assert_array_equal(condition, wanted)


def test_the_smallest_photos_that_are_large_enough_are_read(faces, tmp_path):
    root = copy(faces, tmp_path / "data")
    before = pairs_of(root, output_size=32)
    for size in (16, 32, 48):
        prepare_photos(root, root, size=size, workers=Workers(jobs=1))
    after = pairs_of(root, output_size=32)
    assert [path.parent.name for path in after.photos] == ["photos_32"] * len(after)
    assert after.digest == before.digest
    for index in range(len(after)):
        difference = after[index][2].astype(int) - before[index][2]
        assert np.abs(difference).max() == 0
    assert pairs_of(root, output_size=64).photos == before.photos
    manifest = root / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(f"photos_32/{after.ids[1]}.png", ""))
    assert [path.parent.name for path in pairs_of(root, output_size=32).photos] == ["photos_48"] * len(after)


def test_rows_are_joined_by_id_in_whatever_order_they_are(faces, tmp_path):
    root = copy(faces, tmp_path / "data")
    before = (root / "manifest.csv").read_text()
    shuffle_rows(root)
    assert (root / "manifest.csv").read_text() != before
    one, other = pairs_of(faces), pairs_of(root)
    assert (one.ids, one.digest) == (other.ids, other.digest)
    for index in range(len(one)):
        for array, same in zip(one[index], other[index], strict=True):
            np.testing.assert_array_equal(array, same)


def test_input_and_output_have_sizes_of_their_own(faces):
    _, condition, photo = pairs_of(faces, input_size=64, output_size=32)[0]
    assert (condition.shape, condition.dtype) == ((64, 64), np.uint8)
    assert (photo.shape, photo.dtype) == ((32, 32, 3), np.uint8)


@pytest.mark.parametrize("size", [32, 64, 1024])
def test_label_maps_are_never_averaged(tmp_path, size):
    labels = np.zeros((90, 90), np.uint8)
    labels[::2] = 18
    labels[:, ::3] = 4
    images.write_png(tmp_path / "a.png", labels)
    resized = read_condition(tmp_path / "a.png", "labels", CELEBAMASK_HQ, size, strict=True).pixels
    assert set(np.unique(resized)) == {0, 4, 18}


@pytest.mark.parametrize(("kind", "fill"), [("labels", 0), ("sketch", 255)])
def test_what_lies_around_a_wide_condition_is_empty(tmp_path, kind, fill):
    images.write_png(tmp_path / "a.png", np.full((32, 64), 7 if kind == "labels" else 90, np.uint8))
    square = read_condition(tmp_path / "a.png", kind, CELEBAMASK_HQ, 64, strict=True).pixels
    assert (square[:16] == fill).all()
    assert (square[48:] == fill).all()
    assert (square[16:48] == (7 if kind == "labels" else 90)).all()


def test_another_split_holds_other_photos(faces):
    train, val = pairs_of(faces), pairs_of(faces, split="val")
    assert val.ids == ["00001", "00003", "00005"]
    assert train.digest != val.digest


def test_the_digest_tells_changed_pictures(faces, tmp_path):
    root = copy(faces, tmp_path / "data")
    table = (root / "manifest.csv").read_text()
    digest = read_dataset(root).rows.loc["00002", "labels_sha256"]
    (root / "manifest.csv").write_text(table.replace(digest, "0" * 64))
    assert pairs_of(root).digest != pairs_of(faces).digest
    assert pairs_of(root, "sketch_xdog").digest == pairs_of(faces, "sketch_xdog").digest


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_pairs_are_kept_in_memory_if_they_fit(faces, tmp_path, monkeypatch, limit):
    monkeypatch.setattr("facesynth.model.data.pairs.CACHE_BYTES", limit)
    root = copy(faces, tmp_path / "data")
    pairs = pairs_of(root)
    first = pairs[0]
    shutil.rmtree(root / "labels")
    if limit:
        np.testing.assert_array_equal(pairs[0][1], first[1])
    else:
        with pytest.raises(DatasetError, match="id 00000: cannot read"):
            pairs[0]


# ------------------------------------------------------------------------------------------------------------- errors


def test_a_missing_column_and_an_empty_split(faces):
    with pytest.raises(DatasetError, match=r"no column 'sketch_pencil' \(it has .*labels.*\); make it with"):
        pairs_of(faces, "sketch_pencil")
    with pytest.raises(DatasetError, match="no row with labels and photo in split 'test'"):
        pairs_of(faces, split="test")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("photos/00002.jpg", b"", "id 00002: .*00002.jpg"),
        ("labels/00002.png", b"no picture", "id 00002: .*00002.png is not a picture"),
        ("labels/00002.png", images.encode_png(np.full((64, 64), 19, np.uint8)), "id 00002: .* holds the value 19"),
        ("labels/00002.png", None, "id 00002: cannot read"),
    ],
)
def test_a_bad_picture_is_named_by_its_id(faces, tmp_path, name, content, says):
    root = copy(faces, tmp_path / "data")
    (root / name).unlink()
    if content is not None:
        (root / name).write_bytes(content)
    pairs = pairs_of(root)
    pairs[0], pairs[2]
    with pytest.raises(DatasetError, match=says):
        pairs[1]


# ----------------------------------------------------------------------------------------- as training sees the pairs


CHANGED = {"augmentation": Augmentation(), "roughness": Roughness(), "seed": 5}


def faces_of(root, columns="labels", config=None, **options):
    return PairedFaces(read_dataset(root), columns, "train", config or small_model(), **options)


def test_a_pick_is_the_pair_roughened_and_moved(faces):
    pairs = faces_of(faces, **CHANGED)
    for pick in (Pick(0, 0), Pick(2, 7)):
        index, labels, photo = pairs[pick]
        rng = np.random.default_rng([5, pick.draw, pick.pair])
        assert rng.integers(1) == 0  # which of the columns
        _, plain, original = pairs[pick.pair]
        wanted = roughen(plain, "labels", Roughness(), rng, pairs.scheme)
        wanted, moved = augment(wanted, original, "labels", Augmentation(), rng, mirror=pairs.scheme.mirror)
        assert index == pick.pair
        np.testing.assert_array_equal(labels, wanted)
        np.testing.assert_array_equal(photo, moved)
        assert (labels != plain).any()
        assert (photo != original).any()


def test_what_is_random_depends_on_seed_draw_and_pair_alone(faces):
    pairs, again, other = (faces_of(faces, **CHANGED | {"seed": seed}) for seed in (5, 5, 6))
    first = {pick: pairs[pick] for pick in (Pick(0, 0), Pick(1, 0), Pick(0, 1))}
    for pick in reversed(first):
        for array, same in zip(first[pick], again[pick], strict=True):
            np.testing.assert_array_equal(array, same)
        assert (other[pick][2] != first[pick][2]).any()
    assert (first[Pick(0, 0)][2] != first[Pick(0, 1)][2]).any()


def test_without_strengths_a_pick_is_the_pair(faces):
    pairs = faces_of(faces)
    for array, same in zip(pairs[Pick(1, 3)], pairs[1], strict=True):
        np.testing.assert_array_equal(array, same)


def test_every_item_by_index_and_none_beyond(faces):
    pairs = faces_of(faces, **CHANGED)
    assert [index for index, _, _ in pairs] == [0, 1, 2]
    with pytest.raises(IndexError):
        pairs[3]
    with pytest.raises(IndexError):
        pairs[-1]


def test_several_sketches_take_turns(faces):
    columns = ("sketch_dodge", "sketch_xdog")
    config = small_model("sketch2face")
    pairs = faces_of(faces, columns, config)
    single = [faces_of(faces, column, config) for column in columns]
    for index in range(3):  # where nothing is random it is always the same one
        np.testing.assert_array_equal(pairs[index][1], single[index % 2][index][1])
    seen = {0: 0, 1: 0}
    for draw in range(60):
        _, sketch, photo = pairs[Pick(1, draw)]
        (which,) = [number for number in seen if np.array_equal(sketch, single[number][1][1])]
        np.testing.assert_array_equal(photo, single[0][1][2])
        seen[which] += 1
    assert min(seen.values()) > 15
    assert len({pairs.digest, *(one.digest for one in single)}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0, 1 << 30])
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_whoever_reads_them(faces, monkeypatch, limit, workers):
    monkeypatch.setattr("facesynth.model.data.pairs.CACHE_BYTES", limit)
    pairs = faces_of(faces, **CHANGED)
    order = TrainingOrder(len(pairs), 2, 0, 3, 9)
    for picks, (indices, labels, photos) in zip(order, batches(pairs, order, workers=workers), strict=True):
        for place, pick in enumerate(picks):
            index, condition, photo = faces_of(faces, **CHANGED)[pick]
            assert indices[place] == index
            np.testing.assert_array_equal(labels[place], condition)
            np.testing.assert_array_equal(photos[place], photo)


@pytest.mark.slow
def test_processes_that_read_end_with_their_iterator(faces):
    pairs = faces_of(faces)
    for taken in (1, 6):
        reading = iter(batches(pairs, TrainingOrder(3, 1, 0, 0, 6), workers=2))
        for _ in range(taken):
            next(reading)
        assert len(reading_processes()) == 2
        del reading
        assert reading_processes() == []


# ------------------------------------------------------------------------------------------------------- bad pictures


def damaged(faces, root, *names):
    copy(faces, root)
    for name in names:
        (root / name).write_bytes(b"")
    return root


def test_a_bad_pair_may_be_left_out(faces, tmp_path, caplog):
    root = damaged(faces, tmp_path / "data", "photos/00002.jpg")
    pairs = faces_of(root, skip_bad=1, **CHANGED)
    for key in (1, Pick(1, 4)):
        index, labels, photo = pairs[key]
        assert index == 2  # the next one stands in
        whole = faces_of(faces)[2] if key == 1 else (2, labels, photo)
        np.testing.assert_array_equal(photo, whole[2])
    assert pairs.skipped == ["00002"]
    assert caplog.text.count("skipped 1 of at most 1 bad pairs: id 00002: ") == 1
    assert [index for index, _, _ in pairs] == [0, 2, 2]


def test_one_bad_pair_too_many_stops(faces, tmp_path):
    root = damaged(faces, tmp_path / "data", "photos/00002.jpg", "labels/00004.png")
    pairs = faces_of(root, skip_bad=1)
    with pytest.raises(DatasetError, match=r"^id 00004: .*; 2 bad pairs are more than the 1 that may be skipped$"):
        pairs[1]
    nothing = faces_of(damaged(faces, tmp_path / "other", *(f"photos/0000{n}.jpg" for n in (0, 2, 4))), skip_bad=9)
    with pytest.raises(DatasetError, match="no pair of 3 can be read"):
        nothing[0]


def test_which_sketch_was_read_before_changes_nothing(faces, tmp_path):
    root = damaged(faces, tmp_path / "data", "sketches/dodge/00002.png")
    columns, config = ("sketch_dodge", "sketch_xdog"), small_model("sketch2face")
    picks = [Pick(1, draw) for draw in range(7, 12)]
    pairs = faces_of(root, columns, config, skip_bad=1)
    together = [pairs[pick] for pick in picks]
    assert {index for index, _, _ in together} == {1, 2}  # the sketch that is whole is still taken
    for pick, item in zip(picks, together, strict=True):
        for array, same in zip(item, faces_of(root, columns, config, skip_bad=1)[pick], strict=True):
            np.testing.assert_array_equal(array, same)
    assert pairs.skipped == ["00002"]


def test_bad_pairs_of_others_count(faces, tmp_path):
    root = damaged(faces, tmp_path / "data", "photos/00002.jpg")
    pairs = faces_of(root, skip_bad=1)
    assert pairs[1][0] == 2
    pairs.add_bad(torch.tensor([[0], [2], [0]]))
    with pytest.raises(DatasetError, match=r"^ids 00002, 00004: 2 bad pairs are more than the 1 that may be skipped$"):
        pairs.add_bad(torch.tensor([[0], [0], [1]]))


@pytest.mark.slow
@pytest.mark.parametrize("allowed", [1, 2])
def test_bad_pairs_are_counted_over_all_processes(faces, tmp_path, allowed):
    root = damaged(faces, tmp_path / "data", "photos/00002.jpg", "labels/00004.png")
    pairs = faces_of(root, skip_bad=allowed)
    order = [[Pick(0, 0)], [Pick(1, 1)], [Pick(2, 2)], [Pick(0, 3)], [Pick(0, 4)], [Pick(1, 5)], [Pick(2, 6)]]
    if allowed == 1:
        with pytest.raises(DatasetError, match=r"^id 0000[24]: .*; 2 bad pairs are more than the 1"):
            list(batches(pairs, order, workers=2))
        assert reading_processes() == []
    else:
        assert [int(indices[0]) for indices, _, _ in batches(pairs, order, workers=2)] == [0] * 7
        assert pairs.skipped == ["00002", "00004"]


def test_a_split_without_its_bad_pairs(faces, tmp_path):
    root = damaged(faces, tmp_path / "data", "labels/00002.png")
    pairs = faces_of(root, skip_bad=1)
    pairs.drop_bad()
    assert pairs.ids == ["00000", "00004"]
    for index, original in enumerate((0, 2)):
        for array, same in zip(pairs[index][1:], faces_of(faces)[original][1:], strict=True):
            np.testing.assert_array_equal(array, same)
    with pytest.raises(DatasetError, match="id 00002: "):
        faces_of(root).drop_bad()


def test_pairs_keep_their_sketch_when_bad_ones_go(faces, tmp_path):
    columns, config = ("sketch_dodge", "sketch_xdog"), small_model("sketch2face")
    pairs = faces_of(damaged(faces, tmp_path / "data", "photos/00002.jpg"), columns, config, skip_bad=1)
    before = pairs[2]
    pairs.drop_bad()
    np.testing.assert_array_equal(pairs[1][1], before[1])


def test_photos_as_conditions_are_read_once_and_small(faces, tmp_path):
    root = copy(faces, tmp_path / "data")
    prepare_photos(root, root, size=32, workers=Workers(jobs=1))
    pairs = faces_of(root, "photo", small_model("photo2face", input_size=32, output_size=32), **CHANGED)
    assert [[path.parent.name for path in paths] for paths in pairs.conditions] == [["photos_32"]] * 3
    for key in (0, Pick(0, 1)):  # they are moved and recoloured alike
        _, condition, photo = pairs[key]
        np.testing.assert_array_equal(condition, photo)
    assert (pairs[Pick(0, 1)][1] != pairs[0][1]).any()
