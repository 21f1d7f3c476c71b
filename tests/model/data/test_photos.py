from __future__ import annotations

import shutil

import numpy as np
import pytest

from facesynth import images
from facesynth.errors import DatasetError
from facesynth.manifest import read_dataset
from facesynth.model.data.order import Pick
from facesynth.model.data.photos import Photos


def test_photos_are_those_of_the_split_at_the_size(faces):
    dataset = read_dataset(faces)
    photos = Photos(dataset, "val", 32)
    assert (photos.ids, len(photos)) == (["00001", "00003", "00005"], 3)
    for index, name in enumerate(photos.ids):
        whole = images.read_photo(faces / dataset.rows.set_index("id").loc[name, "photo"])
        number, photo = photos[index]
        assert number == index
        np.testing.assert_array_equal(photo, images.resize(whole, (32, 32)))
        assert photos[index][1] is photo  # kept in memory
    assert [index for index, _ in photos] == [0, 1, 2]


def test_half_of_what_training_sees_is_mirrored_by_the_seed(faces):
    dataset = read_dataset(faces)
    picks = [Pick(draw % 3, draw) for draw in range(60)]
    plain = Photos(dataset, "train", 32)
    shown = []
    for seed in (0, 0, 1):
        photos = Photos(dataset, "train", 32, flip=True, seed=seed)
        mirrored = []
        for pick in picks:
            index, photo = photos[pick]
            _, straight = plain[pick]
            assert index == pick.pair
            assert np.array_equal(photo, straight) or np.array_equal(photo, straight[:, ::-1])
            mirrored.append(not np.array_equal(photo, straight))
        assert 20 <= sum(mirrored) <= 40
        np.testing.assert_array_equal(photos[0][1], plain[0][1])  # by its index it is as it stands
        shown.append(mirrored)
    assert shown[0] == shown[1] != shown[2]


def test_the_digest_is_of_the_photos_alone(faces, tmp_path):
    dataset = read_dataset(faces)
    splits = [Photos(dataset, split, 32).digest for split in ("train", "val")]
    assert splits[0] != splits[1]
    without = dataset.rows.drop(columns=["sketch_dodge", "sketch_dodge_sha256"])
    assert Photos(type(dataset)(**{**vars(dataset), "rows": without}), "train", 32).digest == splits[0]
    changed = dataset.rows.assign(photo_sha256="0" * 64)
    assert Photos(type(dataset)(**{**vars(dataset), "rows": changed}), "train", 32).digest != splits[0]


def test_a_bad_photo_is_named_and_an_empty_split_refused(faces, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(faces, root)
    dataset = read_dataset(root)
    (root / dataset.rows.set_index("id").loc["00003", "photo"]).write_bytes(b"")
    photos = Photos(dataset, "val", 32)
    assert photos[0][1].shape == (32, 32, 3)
    with pytest.raises(DatasetError, match=r"^id 00003: "):
        photos[1]
    with pytest.raises(DatasetError, match="test"):
        Photos(dataset, "test", 32)
