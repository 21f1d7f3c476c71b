"""A model against an adversary: its terms, its state, and exact resume."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from facesynth.errors import InputError
from facesynth.files import write_text
from facesynth.model.checkpoints import native
from facesynth.model.losses import adversarial
from facesynth.model.losses.objective import Objective
from facesynth.model.training import loop
from facesynth.model.training.psp.adversary import ADVERSARY_TERMS, Adversary
from facesynth.model.training.psp.cost import cost
from facesynth.model.training.psp.train import train

from ....runs import assert_same_outcome, small_model, small_run
from ...recipe import normal
from ..projection import Projection

SPATIAL = small_model(spatial_resolutions=(8, 16))
OPPOSED = small_run(model=SPATIAL, adversarial=0.05, style_probability=0.5, ema=0.9, clip_norm=5.0)


class Stop(Exception):
    pass


@pytest.fixture(scope="module", autouse=True)
def no_curves():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "plot_losses", lambda _, picture: write_text(picture, "curves"))
        yield


def run(faces: Path, out: Path, config: Any = OPPOSED, **options: Any) -> Any:
    networks = {"lpips": Projection()}
    return train(faces, out, config, **({"device": "cpu", "workers": 0, "networks": networks} | options))


def adversary(**changes: Any) -> Adversary:
    config = small_run(**{"adversarial": 0.05, "batch_size": 4, **changes})
    return Adversary(config, Projection(), Accelerator(cpu=True))


@pytest.mark.slow
def test_discriminators_learn_and_the_term_trains_faces() -> None:
    opponent = adversary(augment_target=0.0, discriminator_learning_rate=5e-3)
    photos, condition = normal("photos", 4, 3, 32, 32), torch.zeros(4, 19, 32, 32)
    faces = nn.Parameter(torch.zeros(4, 3, 32, 32))
    losses, terms = [], []
    for step in range(40):
        transforms = opponent.begin_step(torch.Generator().manual_seed(step))
        terms.append(opponent.loss(faces, photos, condition, transforms).item())
        losses.append(float(opponent.finish_step()["discriminator_loss"]))
    assert losses[-1] < 0.5 * losses[0]
    faces.grad = None
    term = opponent.loss(faces, photos, condition, opponent.begin_step(torch.Generator().manual_seed(0)))
    term.backward()
    assert faces.grad is not None
    assert faces.grad.abs().max() > 0
    with torch.no_grad():
        better = faces - 5 * faces.grad / faces.grad.norm()
    lower = opponent.loss(better, photos, condition, opponent.begin_step(torch.Generator().manual_seed(0)))
    assert lower < term


def test_the_terms_are_the_hinge() -> None:
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 1.0])
    assert adversarial.hinge_discriminator_loss(real, fake) == 0.25 + 1.0
    assert adversarial.hinge_generator_loss(fake) == 1.0


def test_the_augmentation_follows_the_discriminators_scores() -> None:
    opponent = adversary(augment_target=0.5)
    opponent.controller.speed = 32
    assert opponent.controller.p == 0.0
    for score in (1.0, -1.0):
        opponent._photo_scores = [torch.full((4,), score)]
        before = opponent.controller.p
        for _ in range(4):
            metrics = opponent.finish_step()
        assert metrics["augment_p"] == before
        assert (opponent.controller.p > before) == (score > 0)
    assert adversary(augment_target=0.0).controller.p == 1.0


def test_the_models_gradients_leave_the_discriminators_alone(faces, tmp_path) -> None:
    opponent = adversary()
    generated = nn.Parameter(torch.zeros(4, 3, 32, 32))
    term = opponent.loss(
        generated, normal("p", 4, 3, 32, 32), torch.zeros(4, 19, 32, 32), opponent.begin_step(torch.Generator())
    )
    before = [weight.grad.clone() for weight in opponent.network.parameters()]
    term.backward()
    for weight, gradient in zip(opponent.network.parameters(), before, strict=True):
        assert torch.equal(weight.grad, gradient)


@pytest.mark.slow
def test_metrics_and_checkpoints(faces, tmp_path) -> None:
    run(faces, tmp_path / "run")
    rows = list(csv.DictReader((tmp_path / "run/metrics.csv").read_text().splitlines()))
    trained = [row for row in rows if row["split"] == "train"]
    assert all(row[name] for row in trained for name in ADVERSARY_TERMS)
    assert not any(row[name] for row in rows if row["split"] == "val" for name in ADVERSARY_TERMS)
    for row in trained:
        expected = float(row["l2"]) + OPPOSED.w_norm * float(row["w_norm"]) + 0.05 * float(row["adversarial"])
        assert float(row["loss"]) == pytest.approx(expected, rel=1e-4)
    state = native.load(sorted((tmp_path / "run/checkpoints").iterdir())[-1])
    assert state.state_of("discriminator")
    assert set(state.info) >= {"controller", "discriminator_optimizer"}
    kept = native.load(tmp_path / "run/model.safetensors")
    assert not any(name.startswith("discriminator") for name in kept.tensors)
    assert any(name.startswith("spatial.") for name in kept.tensors)


@pytest.mark.slow
def test_an_interrupted_run_resumes_to_the_bit(faces, tmp_path) -> None:
    run(faces, tmp_path / "whole")

    def stop(split: str, step: int, _: Any) -> None:
        if (split, step) == ("train", 5):
            raise Stop

    with pytest.raises(Stop):
        run(faces, tmp_path / "stopped", report=stop)
    run(faces, tmp_path / "stopped")
    assert_same_outcome(tmp_path / "stopped", tmp_path / "whole")


def test_parts_of_a_step_give_the_discriminators_one_gradient() -> None:
    photos, generated = normal("photos", 4, 3, 32, 32), normal("made", 4, 3, 32, 32)
    condition = normal("condition", 4, 19, 32, 32)
    found = []
    for parts in (1, 2):
        opponent = adversary(accumulate=parts)
        opponent.network.eval()
        transforms = opponent.begin_step(torch.Generator().manual_seed(0))
        for first in range(0, 4, 4 // parts):
            where = range(first, first + 4 // parts)
            opponent.network.train = lambda mode=True, network=opponent.network: network  # type: ignore[method-assign]
            opponent.loss(generated[where], photos[where], condition[where], transforms.select(where))
        found.append([weight.grad for weight in opponent.network.parameters()])
    for whole, summed in zip(*found, strict=True):
        torch.testing.assert_close(summed, whole, rtol=1e-3, atol=1e-5)


def test_a_run_without_an_adversary_logs_nothing_of_one(faces, tmp_path) -> None:
    run(faces, tmp_path / "run", small_run(steps=1, interval=1))
    header = (tmp_path / "run/metrics.csv").read_text().splitlines()[0].split(",")
    assert not set(header) & set(ADVERSARY_TERMS)
    state = native.load(sorted((tmp_path / "run/checkpoints").iterdir())[-1])
    assert not state.state_of("discriminator")


def test_it_needs_its_network(faces, tmp_path) -> None:
    with pytest.raises(InputError, match=r"adversarial has a weight of 0\.05, but its lpips network"):
        run(faces, tmp_path, networks={})


@pytest.mark.slow
def test_the_cost_counts_it() -> None:
    config = small_run(model=SPATIAL, adversarial=0.05, lpips=1.0)
    taken = cost(config, Objective(config, {"lpips": Projection()}), n_photos=9)
    without = cost(small_run(lpips=1.0), Objective(config, {"lpips": Projection()}), n_photos=9)
    opponent = Adversary(config, Projection(), Accelerator(cpu=True))
    assert taken.discriminators == sum(weight.numel() for weight in opponent.network.parameters())
    assert (without.spatial, without.discriminators) == (0, 0)
    assert taken.spatial > 0
    assert taken.memory > without.memory


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"adversarial": -1.0}, "adversarial is -1.0; needed: a number, at least 0"),
        ({"adversarial": float("nan")}, "adversarial is nan"),
        ({"discriminator_learning_rate": 0.0}, "discriminator_learning_rate is 0.0; needed: more than 0"),
        ({"augment_target": 1.0}, "augment_target is 1.0; needed: 0 to less than 1"),
        ({"l1": -1.0}, "l1 is -1.0"),
    ],
)
def test_wrong_values_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        small_run(**changes)
