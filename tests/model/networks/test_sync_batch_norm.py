from __future__ import annotations

import threading

import pytest
import torch
from torch import distributed, nn

from facesynth.model.networks import sync_batch_norm
from facesynth.model.networks.sync_batch_norm import SharedBatchNorm2d, share_batch_norms


class Group:
    """Processes that are threads: collective calls wait until everybody has come."""

    def __init__(self, size: int) -> None:
        self.size, self.barrier, self.given = size, threading.Barrier(size, timeout=30), {}
        self.local = threading.local()

    def get_world_size(self) -> int:
        return self.size

    def _collected(self, value: torch.Tensor) -> list[torch.Tensor]:
        self.given[self.local.rank] = value.clone()
        self.barrier.wait()
        all_given = [self.given[rank] for rank in range(self.size)]
        self.barrier.wait()
        return all_given

    def all_gather(self, out: list[torch.Tensor], own: torch.Tensor) -> None:
        for place, value in zip(out, self._collected(own), strict=True):
            place.copy_(value)

    def all_reduce(self, value: torch.Tensor) -> None:
        value.copy_(torch.stack(self._collected(value)).sum(dim=0))

    def run(self, work) -> list:
        results: list = [None] * self.size

        def one(rank: int) -> None:
            self.local.rank = rank
            results[rank] = work(rank)

        threads = [threading.Thread(target=one, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results


def norm() -> nn.BatchNorm2d:
    module = nn.BatchNorm2d(5)
    with torch.no_grad():
        module.weight.copy_(torch.linspace(0.5, 1.5, 5))
        module.bias.copy_(torch.linspace(-1, 1, 5))
    return module


def shared_norm() -> nn.Module:
    module = nn.Sequential(norm())
    share_batch_norms(module)
    return module[0]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_process_normalises_by_the_photos_of_all(monkeypatch, size):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(6, 5, 4, 4, generator=rng) * 3 + 20
    wanted = torch.randn(6, 5, 4, 4, generator=rng)
    one, whole = norm(), x.clone().requires_grad_()
    expected = one(whole)
    ((expected - wanted) ** 2).sum().backward()

    group = Group(size)
    monkeypatch.setattr(sync_batch_norm, "distributed", group)

    def work(rank: int):
        module, own = shared_norm(), x.chunk(size)[rank].clone().requires_grad_()
        out = module(own)
        # Autograd's own thread would not know which process it is, so the gradient is asked of the function itself.
        context = out.grad_fn
        gradients = context.apply if hasattr(context, "apply") else context
        of_x, of_weight, of_bias, *_ = gradients(2 * (out.detach() - wanted.chunk(size)[rank]))
        return out.detach(), of_x, of_weight, of_bias, module

    outs, of_x, of_weight, of_bias, modules = zip(*group.run(work), strict=True)
    torch.testing.assert_close(torch.cat(outs), expected.detach(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(torch.cat(of_x), whole.grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(sum(of_weight), one.weight.grad, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(sum(of_bias), one.bias.grad, atol=1e-3, rtol=1e-4)
    for module in modules:
        torch.testing.assert_close(module.running_mean, one.running_mean)
        torch.testing.assert_close(module.running_var, one.running_var)
        assert module.num_batches_tracked == 1


def test_its_state_is_that_of_a_batch_norm_and_so_is_its_evaluation():
    module, plain = shared_norm(), norm()
    assert isinstance(module, SharedBatchNorm2d)
    assert module.state_dict().keys() == plain.state_dict().keys()
    x = torch.randn(2, 5, 4, 4)
    assert torch.equal(module.eval()(x), plain.eval()(x))
    assert not distributed.is_initialized()  # nothing is asked of other processes
