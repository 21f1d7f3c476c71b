"""Synchronised batch norm: each process's features in, the features normalised by the statistics over all processes out.

When a batch is split among several processes, the encoder's batch norms use the statistics of the whole batch, as in a single
process. PyTorch's SyncBatchNorm does the same, but only on CUDA.

Reference: Ioffe and Szegedy, "Batch Normalization", ICML 2015, algorithm 1 and the gradients after it.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable


class _Normalise(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) * weight + bias, where mean and variance depend on the x of all processes."""

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
        normalised = (x.float() - _wide(mean)) * _wide(scale)
        local_sums = torch.stack([gradient.sum(dim=(0, 2, 3)), (gradient * normalised).sum(dim=(0, 2, 3))])
        global_sums = local_sums.clone()
        distributed.all_reduce(global_sums)
        count = x.numel() // x.shape[1] * distributed.get_world_size()
        bias_mean, weight_mean = global_sums / count
        x_gradient = (gradient - _wide(bias_mean) - normalised * _wide(weight_mean)) * _wide(weight * scale)
        return x_gradient.to(x.dtype), local_sums[1], local_sums[0], None, None, None


def _wide(channels: Tensor) -> Tensor:
    """(C,) as (C, 1, 1), which broadcasts over feature maps."""
    return channels[:, None, None]


class SharedBatchNorm2d(nn.BatchNorm2d):
    """:class:`torch.nn.BatchNorm2d` with statistics over all processes in training.

    All processes must have the same number of photos.
    """

    def forward(self, features: Tensor) -> Tensor:
        """(N, num_features, H, W), N per process, to the same shape and dtype."""
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
    """Mean and variance per channel over all processes, (C,) float32 each, and the number of values per channel."""
    variance, mean = torch.var_mean(features.float(), dim=(0, 2, 3), correction=0)
    local = torch.stack([mean, variance])
    world_size = distributed.get_world_size()
    gathered = [torch.empty_like(local) for _ in range(world_size)]
    distributed.all_gather(gathered, local)
    means, variances = torch.stack(gathered).unbind(dim=1)
    mean = means.mean(dim=0)
    variance_between = (means - mean).square().mean(dim=0)
    return mean, variances.mean(dim=0) + variance_between, features.numel() // features.shape[1] * world_size


def share_batch_norms(module: nn.Module) -> None:
    """Convert every 2D batch norm in ``module`` to a synchronised one, in place; names, weights and statistics stay."""
    for inner in module.modules():
        if type(inner) is nn.BatchNorm2d:
            inner.__class__ = SharedBatchNorm2d
