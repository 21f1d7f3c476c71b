"""StyleGAN2's losses and regularisers as functions: scores, pictures and latents in; losses, penalties and rates out.

No function holds a network or a source of random numbers of its own, so each can be tested against direct computation.

References: Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, section 3 (the non-saturating loss); Mescheder
et al., "Which Training Methods for GANs do actually Converge?", ICML 2018, section 4.1 (R1); Karras et al., "A Style-Based
Generator Architecture for GANs", CVPR 2019, section 3.1 (style mixing); "Analyzing and Improving the Image Quality of
StyleGAN", CVPR 2020, sections 3.1, 3.2 and appendix B (lazy regularisation, path length); "Training Generative Adversarial
Networks with Limited Data", NeurIPS 2020, appendix C (R1's weight, the average's ramp-up); Lim & Ye, "Geometric GAN", 2017,
section 3 (the hinge).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from facesynth.errors import InputError


def generator_loss(fake_scores: Tensor) -> Tensor:
    """The non-saturating loss: the mean of -log sigmoid of the scores of generated pictures.

    Parameters
    ----------
    fake_scores
        (N,), from :class:`facesynth.model.networks.discriminator.Discriminator`; any range.

    Returns
    -------
    Tensor
        A float32 scalar, at least 0.

    References
    ----------
    Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, section 3.
    """
    return F.softplus(-fake_scores.float()).mean()


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """The logistic loss: the mean of -log sigmoid for photos plus the mean of -log (1 - sigmoid) for generated pictures.

    Parameters
    ----------
    real_scores, fake_scores
        (N,) and (M,), any range.

    Returns
    -------
    Tensor
        A float32 scalar, at least 0.

    References
    ----------
    Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, section 3.
    """
    return F.softplus(-real_scores.float()).mean() + F.softplus(fake_scores.float()).mean()


def hinge_generator_loss(fake_scores: Tensor) -> Tensor:
    """The generator's hinge loss: the negative mean of the scores of generated pictures.

    Parameters
    ----------
    fake_scores
        Of any shape.

    Returns
    -------
    Tensor
        A scalar of any sign.
    """
    return -fake_scores.float().mean()


def hinge_discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """The discriminator's hinge loss: mean of max(0, 1 - score) over photos plus mean of max(0, 1 + score) over generated ones.

    Parameters
    ----------
    real_scores, fake_scores
        Of any shape.

    Returns
    -------
    Tensor
        A scalar, at least 0.
    """
    return F.relu(1 - real_scores.float()).mean() + F.relu(1 + fake_scores.float()).mean()


def gradient_penalty(scores: Tensor, pictures: Tensor) -> Tensor:
    """The unweighted R1 penalty: the squared norm of each score's gradient with respect to its picture, averaged.

    Parameters
    ----------
    scores
        (N,), computed from ``pictures``.
    pictures
        (N, 3, H, W) that requires gradients: the discriminator's input, after any augmentation.

    Returns
    -------
    Tensor
        A float32 scalar, at least 0, that can be differentiated again. The loss adds gamma / 2 times it.

    References
    ----------
    Mescheder et al., "Which Training Methods for GANs do actually Converge?", ICML 2018, section 4.1.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), pictures, create_graph=True)
    return gradient.float().square().sum(dim=(1, 2, 3)).mean()


def path_lengths(pictures: Tensor, latents: Tensor, noise: Tensor) -> Tensor:
    """Path lengths |J^T y| with y = noise / sqrt(H W), where J is the Jacobian of a picture with respect to its latents.

    A length is the square root of the squared gradients, summed over the latent's dimensions and averaged over its layers. With
    this normalisation, a weight of 2 corresponds to the paper's ln 2 / (r^2 (ln r - ln 2)) at every resolution r.

    Parameters
    ----------
    pictures
        (N, 3, H, W), generated from ``latents``.
    latents
        (N, n_styles, style_dim) that requires gradients.
    noise
        Standard normal, of the same shape as ``pictures``.

    Returns
    -------
    Tensor
        (N,), float32, which can be differentiated again.

    Raises
    ------
    InputError
        If ``noise`` has another shape than ``pictures``.

    References
    ----------
    Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, section 3.2 and appendix B.
    """
    if noise.shape != pictures.shape:
        raise InputError(f"noise has shape {tuple(noise.shape)}; needed: that of the pictures, {tuple(pictures.shape)}")
    height, width = pictures.shape[2:]
    along = (pictures.float() * noise).sum() / math.sqrt(height * width)
    (gradient,) = torch.autograd.grad(along, latents, create_graph=True)
    return gradient.float().square().sum(dim=2).mean(dim=1).sqrt()


def path_penalty(
    lengths: Tensor, mean: Tensor, *, decay: float = 0.99, batch_mean: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The unweighted path length penalty: the mean squared difference of the lengths from their running mean.

    Parameters
    ----------
    lengths
        (N,) from :func:`path_lengths`.
    mean
        The running mean so far, a scalar; 0 at first.
    decay
        Decay of the running mean, 0 to 1.
    batch_mean
        The mean length with which to update it, a scalar; the mean of ``lengths`` if not given. If a step is split among
        processes, pass the mean over all of them.

    Returns
    -------
    penalty : Tensor
        A scalar, at least 0. The running mean is a constant in its gradient.
    mean : Tensor
        The updated running mean, a scalar without gradients.

    References
    ----------
    Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, section 3.2 and appendix B.
    """
    mean = torch.lerp(lengths.detach().mean() if batch_mean is None else batch_mean, mean, decay)
    return (lengths - mean).square().mean(), mean


def lazy_adam(learning_rate: float, interval: int, betas: tuple[float, float] = (0.0, 0.99)) -> dict[str, object]:
    """Adam's settings for lazy regularisation, in which every ``interval`` steps one extra step is for a regulariser alone.

    There are k + 1 steps instead of k, so the learning rate is multiplied by c = k / (k + 1), and the betas are raised to the
    power of c.

    Parameters
    ----------
    learning_rate
        The learning rate without lazy regularisation.
    interval
        Steps of the loss between two steps of the regulariser; 0 if there is no regulariser.
    betas
        The betas without lazy regularisation.

    Returns
    -------
    dict
        ``lr``, ``betas`` and ``eps`` for :class:`torch.optim.Adam`.

    Examples
    --------
    >>> lazy_adam(0.002, 4)["lr"]
    0.0016
    """
    c = interval / (interval + 1) if interval else 1.0
    return {"lr": learning_rate * c, "betas": (betas[0] ** c, betas[1] ** c), "eps": 1e-8}


def draw_crossovers(count: int, n_styles: int, probability: float, rng: torch.Generator) -> Tensor:
    """Random crossover layers for style mixing.

    Parameters
    ----------
    count
        Number of samples.
    n_styles
        Number of W+ layers.
    probability
        Probability that a sample is mixed.
    rng
        On the CPU.

    Returns
    -------
    Tensor
        (count,) int64: the first layer that takes the second w, from 1 to n_styles - 1; n_styles for no mixing.

    References
    ----------
    Karras et al., "A Style-Based Generator Architecture for GANs", CVPR 2019, section 3.1.
    """
    layers = torch.randint(1, n_styles, (count,), generator=rng)
    is_mixed = torch.rand(count, generator=rng) < probability
    return torch.where(is_mixed, layers, n_styles)


def cross_over(first: Tensor, second: Tensor, crossovers: Tensor, n_styles: int) -> Tensor:
    """W+ latents with one w in the layers before a crossover and another w from there on.

    Parameters
    ----------
    first, second
        (N, style_dim).
    crossovers
        (N,) int64: the first layer that takes ``second``; n_styles if none does.
    n_styles
        Number of W+ layers.

    Returns
    -------
    Tensor
        (N, n_styles, style_dim).
    """
    is_second = torch.arange(n_styles, device=first.device) >= crossovers.to(first.device)[:, None]
    return torch.where(is_second[..., None], second[:, None], first[:, None])


def averaging_decay(batch_size: int, seen: int, half_life: float, ramp: float = 0.0) -> float:
    """The decay of the exponential moving average of the weights for one step.

    Parameters
    ----------
    batch_size
        Number of images in the step.
    seen
        Number of images in the run so far, including this step.
    half_life
        Number of images after which the contribution of a step has halved.
    ramp
        If not 0, the half-life is at most ``ramp`` times ``seen``, so that the initial weights are forgotten soon.

    Returns
    -------
    float
        0 to 1.

    Examples
    --------
    >>> averaging_decay(32, 10_000, half_life=32)
    0.5
    """
    images = min(half_life, ramp * seen) if ramp else half_life
    return float(0.5 ** (batch_size / images)) if images > 0 else 0.0
