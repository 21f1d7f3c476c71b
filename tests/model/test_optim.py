from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from facesynth.errors import InputError
from facesynth.model.optim import Ranger

from . import recipe


def run(parameter: torch.nn.Parameter, optimizer: Ranger, n_steps: int) -> list[torch.Tensor]:
    """Steps on the squared distance to a target."""
    target = recipe.normal("ranger-t", 4, 3)
    trajectory = []
    for _ in range(n_steps):
        optimizer.zero_grad()
        (parameter - target).square().sum().backward()
        optimizer.step()
        trajectory.append(parameter.detach().clone())
    return trajectory


def start() -> tuple[torch.nn.Parameter, Ranger]:
    parameter = torch.nn.Parameter(recipe.normal("ranger-p", 4, 3))
    return parameter, Ranger([parameter], lr=0.01)


def test_trajectory_is_the_published_one():
    with np.load(recipe.DATA / "ranger.npz") as golden:
        expected = torch.from_numpy(golden["trajectory"])
    torch.testing.assert_close(torch.stack(run(*start(), 12)), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("n_before", [3, 6, 8])
def test_state_dict_holds_all_that_a_run_needs(tmp_path, n_before):
    whole = run(*start(), 14)
    parameter, optimizer = start()
    run(parameter, optimizer, n_before)
    torch.save({"parameter": parameter.detach(), "optimizer": optimizer.state_dict()}, tmp_path / "run.pt")
    saved = torch.load(tmp_path / "run.pt", weights_only=True)
    resumed = torch.nn.Parameter(saved["parameter"])
    other = Ranger([resumed], lr=0.5)
    other.load_state_dict(saved["optimizer"])
    for a, b in zip(run(resumed, other, 14 - n_before), whole[n_before:], strict=True):
        assert torch.equal(a, b)


def test_slow_weights_pull_back_every_sixth_step():
    trajectory = run(*start(), 6)
    begin = recipe.normal("ranger-p", 4, 3)
    assert (trajectory[5] - begin).norm() < (trajectory[4] - begin).norm()


def test_gradients_of_matrices_are_centralised_and_of_vectors_are_not():
    matrix, vector = torch.nn.Parameter(torch.zeros(2, 3)), torch.nn.Parameter(torch.zeros(3))
    optimizer = Ranger([matrix, vector], lr=0.1)
    matrix.grad, vector.grad = torch.ones(2, 3), torch.ones(3)
    optimizer.step()
    assert matrix.eq(0).all()
    assert vector.lt(0).all()
    assert matrix.grad.eq(1).all()


def test_parameters_without_a_gradient_stay_and_closures_return_their_loss():
    moved, still = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    optimizer = Ranger([{"params": [moved], "lr": 0.1}, {"params": [still]}])

    def closure() -> float:
        optimizer.zero_grad()
        loss = moved.square().sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 2.0
    assert moved.lt(1).all()
    assert still.eq(1).all()
    assert still not in optimizer.state


def test_weight_decay_shrinks():
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = Ranger([parameter], lr=0.1, weight_decay=0.5)
    parameter.grad = torch.zeros(2)
    optimizer.step()
    torch.testing.assert_close(parameter.detach(), torch.full((2,), 0.95))


def test_a_copy_goes_on_alone():
    parameter, optimizer = start()
    run(parameter, optimizer, 3)
    state = copy.deepcopy(optimizer.state_dict())
    run(parameter, optimizer, 3)
    assert state["state"][0]["step"] == 3


@pytest.mark.parametrize(
    "wrong",
    [{"lr": 0.0}, {"betas": (0.9, 1.0)}, {"eps": 0.0}, {"sync_every": 0}, {"slow_step": 2.0}, {"sma_threshold": 3.0}],
)
def test_errors_name_the_parameter(wrong):
    (name,) = wrong
    with pytest.raises(InputError, match=f"{name} is"):
        Ranger([torch.nn.Parameter(torch.zeros(1))], **wrong)
