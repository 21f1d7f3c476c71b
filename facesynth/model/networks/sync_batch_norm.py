"""Batch norm over the photos of all processes: every process's features in, normalised by the statistics of all.

The encoder's batch norms learn by the statistics of a step's photos. Where these are shared out to several processes, the
statistics are still those of all of them, as in one process. PyTorch's own SyncBatchNorm does the same on CUDA alone.

Reference: Ioffe and Szegedy, "Batch Normalization", ICML 2015, algorithm 1 and the gradients behind it.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable


class _Normalise(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) * weight + bias, where mean and variance depend on every process's x."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float
    ) -> Tensor:
        scale = torch.rsqrt(variance + eps)
        ctx.save_for_backward(x, weight, mean, scale)
        factor = weight * scale
        return (x * _wide(factor) + _wide(bias - mean * factor)).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        gradient = gradients[0].float()
        normal = (x.float() - _wide(mean)) * _wide(scale)
        own = torch.stack([gradient.sum(dim=(0, 2, 3)), (gradient * normal).sum(dim=(0, 2, 3))])
        of_all = own.clone()
        distributed.all_reduce(of_all)
        count = x.numel() // x.shape[1] * distributed.get_world_size()
        of_bias, of_weight = of_all / count
        inner = (gradient - _wide(of_bias) - normal * _wide(of_weight)) * _wide(weight * scale)
        return inner.to(x.dtype), own[1], own[0], None, None, None


def _wide(channels: Tensor) -> Tensor:
    return channels[:, None, None]


class SharedBatchNorm2d(nn.BatchNorm2d):
    """:class:`torch.nn.BatchNorm2d` that in training takes the statistics of all processes together.

    Every process must have as many photos as the others.
    """

    def forward(self, features: Tensor) -> Tensor:
        """(N, num_features, H, W) to the same shape."""
        if not self.training:
            return super().forward(features)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        mean, variance, count = _statistics(features.detach())
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)
        return cast("Tensor", _Normalise.apply(features, self.weight, self.bias, mean, variance, self.eps))


def _statistics(features: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and variance a channel over all processes, and how many values each is of; from those of each process."""
    variance, mean = torch.var_mean(features.float(), dim=(0, 2, 3), correction=0)
    own = torch.stack([mean, variance])
    world = distributed.get_world_size()
    each = [torch.empty_like(own) for _ in range(world)]
    distributed.all_gather(each, own)
    means, variances = torch.stack(each).unbind(dim=1)
    mean = means.mean(dim=0)
    between = (means - mean).square().mean(dim=0)
    return mean, variances.mean(dim=0) + between, features.numel() // features.shape[1] * world


def share_batch_norms(module: nn.Module) -> None:
    """Turn every 2D batch norm in ``module`` into a shared one, in place; names, weights and statistics stay."""
    for inner in module.modules():
        if type(inner) is nn.BatchNorm2d:
            inner.__class__ = SharedBatchNorm2d
