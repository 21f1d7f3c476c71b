from __future__ import annotations

import pytest

from facesynth.errors import DatasetError
from facesynth.manifest import read_dataset
from facesynth.model.data.columns import condition_column, condition_columns


def test_the_sketch_is_chosen_where_there_are_several(faces):
    dataset = read_dataset(faces)
    assert condition_column(dataset, "labels") == "labels"
    assert condition_column(dataset, "sketch", "dodge") == "sketch_dodge"
    with pytest.raises(DatasetError, match="holds the sketches dodge, xdog; choose one with --sketch"):
        condition_column(dataset, "sketch")
    with pytest.raises(DatasetError, match=r"has no sketches 'pencil' \(it has dodge, xdog\)"):
        condition_column(dataset, "sketch", "pencil")


def test_the_only_sketch_needs_no_choice(faces):
    dataset = read_dataset(faces)
    only = dataset.rows.drop(columns=["sketch_dodge", "sketch_dodge_sha256"])
    assert condition_column(type(dataset)(faces, only), "sketch") == "sketch_xdog"
    none = only.drop(columns=["sketch_xdog", "sketch_xdog_sha256"])
    with pytest.raises(
        DatasetError, match=r"has no sketches \(it has none\); make them with `facesynth prep sketches`"
    ):
        condition_column(type(dataset)(faces, none), "sketch")


def test_columns_of_one_sketch_of_several_and_of_all(faces):
    dataset = read_dataset(faces)
    assert condition_columns(dataset, "labels") == ("labels",)
    assert condition_columns(dataset, "sketch", "xdog") == ("sketch_xdog",)
    assert condition_columns(dataset, "sketch", "xdog,dodge", every=True) == ("sketch_xdog", "sketch_dodge")
    assert condition_columns(dataset, "sketch", every=True) == ("sketch_dodge", "sketch_xdog")
    with pytest.raises(DatasetError, match="holds the sketches dodge, xdog; choose one with --sketch"):
        condition_columns(dataset, "sketch")
    with pytest.raises(DatasetError, match=r"has no sketches 'ink' \(it has dodge, xdog\)"):
        condition_columns(dataset, "sketch", "xdog,ink")
    with pytest.raises(DatasetError, match="the condition is labels; leave out --sketch"):
        condition_columns(dataset, "labels", "xdog", every=True)
    none = dataset.rows.drop(columns=[name for name in dataset.rows.columns if name.startswith("sketch_")])
    with pytest.raises(DatasetError, match=r"has no sketches \(it has none\)"):
        condition_columns(type(dataset)(faces, none), "sketch", every=True)
