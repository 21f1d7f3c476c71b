from __future__ import annotations

import numpy as np
import pytest

from facesynth.evaluation.blocks import Blocks
from facesynth.evaluation.metrics.distances import Moments
from facesynth.evaluation.summary import Summary, names_on
from facesynth.labels import CELEBAMASK_HQ

NUMBER = 60
METRICS = ("kid_vgg", "frechet_vgg", "precision_recall", "kid", "fid", "memory", "identity")


def stored(folder, name, number, seed, *, shift=0.0, same=False):
    """Blocks with features of 8 dimensions, in which faces are shifted photos or other ones."""
    rng = np.random.default_rng(seed)
    photos = rng.normal(size=(number, 8)).astype(np.float32)
    made = photos if same else rng.normal(size=(number, 8)).astype(np.float32)
    blocks = Blocks(folder, name, [f"{each:03d}" for each in range(number)], {})
    blocks.prepare()

    def measure(ids):
        places = [int(each) for each in ids]
        columns = {}
        for network in ("vgg", "inception", "dlib"):
            columns |= {f"features_{network}": made[places] + shift, f"features_{network}@photo": photos[places]}
        return columns

    blocks.fill(measure, 16)
    return blocks


def figures_of(pairs, network="vgg", **options):
    summary = Summary(pairs, METRICS, CELEBAMASK_HQ, 0, **options)
    summary.of_network(network, names_on(network, METRICS))
    return summary.figures


def test_the_same_pictures_are_at_no_distance_and_chance_is_beside_it(tmp_path):
    found = figures_of(stored(tmp_path, "pairs", NUMBER, 0, same=True))
    assert found["frechet_vgg"].value == pytest.approx(0, abs=1e-6)
    assert found["frechet_vgg"].photos > 0.5  # of halves, although both are of one distribution
    assert found["kid_vgg"].value < 0
    assert found["kid_vgg"].low <= found["kid_vgg"].value <= found["kid_vgg"].high
    assert (found["precision_vgg"].value, found["recall_vgg"].value) == (1, 1)


def test_others_of_one_distribution_are_near_and_shifted_ones_far(tmp_path):
    near, far = (figures_of(stored(tmp_path / str(shift), "pairs", NUMBER, 1, shift=shift)) for shift in (0.0, 2.0))
    assert near["kid_vgg"].low < 0 < near["kid_vgg"].high
    assert far["kid_vgg"].low > near["kid_vgg"].high
    assert far["frechet_vgg"].low > near["frechet_vgg"].high
    assert near["precision_vgg"].value > 0.5 > 0.2 > far["precision_vgg"].value
    assert "60 of them" in far["frechet_vgg"].note


def test_other_photos_and_statistics_can_be_the_reference(tmp_path):
    pairs, others = (stored(tmp_path / str(seed), "pairs", number, seed) for seed, number in ((2, 40), (3, 70)))
    moments = Moments.of(others.each("features_inception@photo"))
    by_photos = figures_of(pairs, "inception", reference=others)
    by_statistics = figures_of(pairs, "inception", statistics=moments)
    assert by_photos["fid"].value == pytest.approx(by_statistics["fid"].value, rel=1e-6)
    assert by_photos["fid"].value != pytest.approx(figures_of(pairs, "inception")["fid"].value, rel=1e-3)


def test_many_pictures_are_sampled_for_kernels_and_counted_whole_for_frechet(tmp_path, monkeypatch):
    pairs = stored(tmp_path, "pairs", NUMBER, 4, shift=0.5)
    whole = figures_of(pairs)
    monkeypatch.setattr("facesynth.evaluation.summary.SAMPLED", 20)
    some = figures_of(pairs)
    assert (some["kid_vgg"].n, some["frechet_vgg"].n) == (20, NUMBER)
    assert some["frechet_vgg"].value == pytest.approx(whole["frechet_vgg"].value, rel=1e-6)


def test_a_copied_training_photo_is_noticed(tmp_path):
    train = stored(tmp_path / "train", "training", 80, 5)
    innocent, copied = stored(tmp_path / "a", "pairs", 40, 6), stored(tmp_path / "b", "pairs", 40, 6)
    known = train.column("features_dlib@photo")
    column = copied.column
    copied.column = lambda name: known[:40] + 0.01 if name == "features_dlib" else column(name)
    told = {}
    for name, pairs in (("innocent", innocent), ("copied", copied)):
        summary = Summary(pairs, METRICS, CELEBAMASK_HQ, 0)
        summary.of_memory("dlib", train)
        told[name] = summary.figures
    assert told["copied"]["nearest_train_dlib"].value == pytest.approx(0.01 * np.sqrt(8), rel=0.05)
    assert told["copied"]["nearest_train_dlib"].photos == told["innocent"]["nearest_train_dlib"].photos > 1
    assert 0.25 < told["innocent"]["closer_to_train_dlib"].value < 0.75
    assert told["copied"]["closer_to_train_dlib"].value > told["innocent"]["closer_to_train_dlib"].value


def test_the_true_person_is_the_nearest(tmp_path):
    for same, least, most in ((True, 1, 1), (False, 0, 0.2)):
        summary = Summary(stored(tmp_path / str(same), "pairs", 30, 7, same=same), METRICS, CELEBAMASK_HQ, 0)
        summary.of_persons("dlib")
        assert least <= summary.figures["person_dlib"].value <= most
