"""Optimisers: gradients in, parameters updated in place. Ranger, Muon, and the choice of one for a run.

Ranger is RAdam on centralised gradients, with Lookahead's slow weights.

``state_dict`` holds everything that is needed to resume: moments, step counts and the slow weights.

References: Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", ICLR 2020, algorithm 2 (RAdam);
Zhang et al., "Lookahead Optimizer", NeurIPS 2019, algorithm 1; Yong et al., "Gradient Centralization", ECCV 2020,
section 3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer, ParamsT

from facesynth.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from facesynth.model.config.train import TrainConfig
    from facesynth.model.networks.psp import PSP


def _rectified_rate(step: int, beta1: float, beta2: float, threshold: float) -> tuple[float, bool]:
    """RAdam's factor of the learning rate, and whether the second moment is reliable enough to divide by it."""
    unbias1 = 1.0 - beta1**step
    unbias2 = 1.0 - beta2**step
    longest = 2.0 / (1.0 - beta2) - 1.0
    length = longest - 2.0 * step * beta2**step / unbias2
    if length <= threshold:
        return 1.0 / unbias1, False
    rectification = (length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length)
    return math.sqrt(unbias2 * rectification) / unbias1, True


class Ranger(Optimizer):
    """RAdam inside Lookahead, on centralised gradients.

    Parameters
    ----------
    params
        Parameters or parameter groups.
    lr
        Learning rate.
    betas
        Decay of the first and the second moment.
    eps
        Added to the square root of the second moment.
    sync_every
        Lookahead's k: steps between two updates of the slow weights.
    slow_step
        Lookahead's alpha: the step of the slow weights towards the fast ones, 0 to 1.
    sma_threshold
        RAdam divides by the second moment once its approximated simple moving average is longer than this many steps.
    weight_decay
        Parameters shrink by the fraction ``lr * weight_decay`` per step.

    Raises
    ------
    InputError
        If a parameter is outside its range.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.95, 0.999),
        eps: float = 1e-5,
        sync_every: int = 6,
        slow_step: float = 0.5,
        sma_threshold: float = 5.0,
        weight_decay: float = 0.0,
    ) -> None:
        for name, value, valid, needed in (
            ("lr", lr, lr > 0, "above 0"),
            ("betas", betas, all(0 <= beta < 1 for beta in betas), "two numbers from 0 to below 1"),
            ("eps", eps, eps > 0, "above 0"),
            ("sync_every", sync_every, sync_every >= 1, "at least 1"),
            ("slow_step", slow_step, 0 <= slow_step <= 1, "from 0 to 1"),
            ("sma_threshold", sma_threshold, sma_threshold >= 4, "at least 4"),
            ("weight_decay", weight_decay, weight_decay >= 0, "at least 0"),
        ):
            if not valid:
                raise InputError(f"{name} is {value}; needed: {needed}")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "sync_every": sync_every,
            "slow_step": slow_step,
            "sma_threshold": sma_threshold,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step on every parameter that has a gradient.

        Parameters
        ----------
        closure
            Recomputes the loss, with gradients, and returns it; optional.

        Returns
        -------
        float | None
            The closure's loss, if there is one.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["first_moment"] = torch.zeros_like(parameter)
            state["second_moment"] = torch.zeros_like(parameter)
            state["slow"] = parameter.detach().clone()
        state["step"] += 1
        beta1, beta2 = group["betas"]
        first, second, slow = state["first_moment"], state["second_moment"], state["slow"]

        assert parameter.grad is not None
        gradient = parameter.grad
        if gradient.ndim > 1:
            gradient = gradient - gradient.mean(dim=tuple(range(1, gradient.ndim)), keepdim=True)
        first.lerp_(gradient, 1.0 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1.0 - beta2)

        if group["weight_decay"]:
            parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
        factor, adaptive = _rectified_rate(state["step"], beta1, beta2, group["sma_threshold"])
        if adaptive:
            parameter.addcdiv_(first, second.sqrt().add_(group["eps"]), value=-group["lr"] * factor)
        else:
            parameter.add_(first, alpha=-group["lr"] * factor)

        if state["step"] % group["sync_every"] == 0:
            slow.lerp_(parameter, group["slow_step"])
            parameter.copy_(slow)


def orthogonalized(matrix: Tensor, iterations: int = 5) -> Tensor:
    """A matrix with nearly the same singular vectors and singular values near 1, by a Newton-Schulz iteration.

    Parameters
    ----------
    matrix
        (M, N), floating point, not all zero.
    iterations
        Number of iterations of the quintic polynomial; 5 bring the singular values to between about 0.7 and 1.2.

    Returns
    -------
    Tensor
        (M, N), of the same dtype.

    References
    ----------
    Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.mT if is_tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = _QUINTIC[0] * x + (_QUINTIC[1] * gram + _QUINTIC[2] * gram @ gram) @ x
    return x.mT if is_tall else x


_QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(Optimizer):
    """Orthogonalised momentum for convolution kernels, Adam for all other parameters.

    A kernel (out, in, k, k), k more than 1, is treated as the matrix (out, in k k). The root mean square of its update is
    ``lr``, about as for Adam, so both use the same learning rate. A generator that is trained from scratch needs a fraction of
    the steps that it needs with Adam.

    Parameters
    ----------
    params
        Parameters or parameter groups; Adam updates all parameters of a group with ``"orthogonal": False``.
    lr
        Learning rate.
    momentum
        Decay of the kernels' momentum, which is Nesterov's.
    betas
        Decay of Adam's first and second moment.
    eps
        Added to the square root of Adam's second moment.

    Raises
    ------
    InputError
        If a parameter is outside its range.

    References
    ----------
    Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the scale of the step is that of Liu et
    al., "Muon is Scalable for LLM Training", 2025, section 2.2.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        *,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
    ) -> None:
        for name, value, valid, needed in (
            ("lr", lr, lr > 0, "above 0"),
            ("momentum", momentum, 0 <= momentum < 1, "from 0 to below 1"),
            ("betas", betas, all(0 <= beta < 1 for beta in betas), "two numbers from 0 to below 1"),
            ("eps", eps, eps > 0, "above 0"),
        ):
            if not valid:
                raise InputError(f"{name} is {value}; needed: {needed}")
        super().__init__(params, {"lr": lr, "momentum": momentum, "betas": betas, "eps": eps, "orthogonal": True})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step on every parameter that has a gradient; a closure is not supported."""
        if closure is not None:
            raise InputError("closure came; Muon takes a gradient once a step: call backward, then step()")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if group["orthogonal"] and parameter.ndim == 4 and parameter.shape[-1] > 1:
                    self._update_kernel(parameter, group)
                else:
                    self._update_by_adam(parameter, group)

    def _update_kernel(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(gradient, 1 - group["momentum"])
        nesterov = gradient.lerp(momentum, group["momentum"])
        direction = orthogonalized(nesterov.reshape(parameter.shape[0], -1))
        root_mean_square = max(direction.shape) ** -0.5
        parameter.add_(direction.view_as(parameter), alpha=-group["lr"] / root_mean_square)

    def _update_by_adam(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state["step"] = 0
            state["first_moment"] = torch.zeros_like(parameter)
            state["second_moment"] = torch.zeros_like(parameter)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        first = state["first_moment"].lerp_(gradient, 1 - beta1)
        second = state["second_moment"].lerp_(gradient.square(), 1 - beta2)
        root = (second / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
        parameter.addcdiv_(first, root, value=-group["lr"] / (1 - beta1 ** state["step"]))


def make_optimizer(config: TrainConfig, model: PSP, codes: nn.Parameter) -> torch.optim.Optimizer:
    """The config's optimiser for encoder and spatial path and, if they are trained, the generator and the style codes.

    With an adversary, Adam's beta1 is lower, because the loss changes with every update of the discriminators.

    Parameters
    ----------
    config
    model
    codes
        (n_photos, ...), the learnt style codes of the photos; used only if ``config.style_probability`` is not 0.
    """
    of_condition = [*model.encoder.parameters(), *(model.spatial.parameters() if model.spatial is not None else ())]
    groups: list[dict[str, Any]] = [{"params": of_condition, "orthogonal": config.optimizer == "muon"}]
    if config.train_generator:
        groups.append({"params": list(model.generator.parameters()), "lr": config.generator_learning_rate})
    if config.style_probability:
        groups.append({"params": [codes], "lr": config.generator_learning_rate})
    if config.optimizer == "ranger":
        return Ranger(groups, lr=config.learning_rate)
    if config.optimizer in ("muon", "adam-muon"):
        return Muon(groups, lr=config.learning_rate)
    return torch.optim.Adam(groups, lr=config.learning_rate, betas=(0.5 if config.adversarial else 0.9, 0.99))


def set_rates(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Set the learning rates to a fraction of those with which the optimiser was created.

    Parameters
    ----------
    optimizer
    share
        The fraction, 0 to 1.
    """
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("full_lr", group["lr"]) * share
