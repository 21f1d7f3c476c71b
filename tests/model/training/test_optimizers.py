from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from facesynth.errors import InputError
from facesynth.model.training.optimizers import Muon, Ranger, orthogonalized

from .. import recipe


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


@pytest.mark.parametrize("shape", [(4, 30), (30, 4), (12, 12)])
def test_orthogonalized_keeps_the_directions_and_evens_out_the_values(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    even = left.mT @ orthogonalized(matrix) @ right.mT
    assert values.max() / values.min() > 1.3
    torch.testing.assert_close(even - torch.diag(even.diagonal()), torch.zeros_like(even), atol=1e-3, rtol=0)
    assert even.diagonal().min() > 0.6
    assert even.diagonal().max() < 1.3


def test_muon_moves_kernels_by_the_learning_rate_whatever_the_gradient():
    kernel = torch.nn.Parameter(torch.zeros(8, 4, 3, 3))
    optimizer = Muon([kernel], lr=0.01)
    for scale in (1.0, 1e-4):
        before = kernel.detach().clone()
        kernel.grad = scale * torch.randn(kernel.shape, generator=torch.Generator().manual_seed(1))
        optimizer.step()
        assert (kernel.detach() - before).square().mean().sqrt() == pytest.approx(0.01, rel=0.2)


def test_muon_is_adam_for_the_rest():
    torch.manual_seed(0)
    first = [torch.nn.Parameter(torch.randn(shape)) for shape in ((3, 4), (5,), (2, 3, 1, 1), (2, 2, 3, 3))]
    second = [torch.nn.Parameter(parameter.detach().clone()) for parameter in first]
    muon = Muon([{"params": first[:3]}, {"params": first[3:], "orthogonal": False}], lr=0.02, betas=(0.8, 0.9))
    adam = torch.optim.Adam(second, lr=0.02, betas=(0.8, 0.9), eps=1e-8)
    for _ in range(5):
        for mine, theirs in zip(first, second, strict=True):
            mine.grad = torch.randn(mine.shape)
            theirs.grad = mine.grad.clone()
        muon.step()
        adam.step()
    for mine, theirs in zip(first, second, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_muon_goes_on_from_its_state():
    def run(steps, state=None, kernel=None):
        parameter = torch.nn.Parameter(torch.zeros(4, 2, 3, 3) if kernel is None else kernel.clone())
        optimizer = Muon([parameter], lr=0.01)
        if state:
            optimizer.load_state_dict(state)
        for step in steps:
            parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(step))
            optimizer.step()
        return parameter.detach(), optimizer.state_dict()

    half, state = run(range(3))
    assert torch.equal(run(range(3, 6), state, half)[0], run(range(6))[0])


@pytest.mark.parametrize("wrong", [{"lr": 0.0}, {"momentum": 1.0}, {"betas": (0.9, 1.0)}, {"eps": 0.0}])
def test_muon_refuses_a_wrong_parameter(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Muon([torch.nn.Parameter(torch.zeros(1))], **wrong)
