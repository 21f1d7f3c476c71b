"""StyleGAN2's training, as functions: scores, pictures and latents in; losses, penalties and rates out.

Nothing here holds a network or draws a random number of its own, so that each piece can be tried against arithmetic.

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
    """The non-saturating loss: the mean of -log sigmoid of the scores of made pictures.

    Parameters
    ----------
    fake_scores
        (N,), as :class:`facesynth.model.networks.discriminator.Discriminator` gives them.

    Returns
    -------
    Tensor
        A scalar, at least 0.
    """
    return F.softplus(-fake_scores.float()).mean()


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """The logistic loss: -log sigmoid of photos' scores and -log (1 - sigmoid) of made pictures', each a mean.

    Parameters
    ----------
    real_scores, fake_scores
        (N,) and (M,).

    Returns
    -------
    Tensor
        A scalar, at least 0.
    """
    return F.softplus(-real_scores.float()).mean() + F.softplus(fake_scores.float()).mean()


def hinge_generator_loss(fake_scores: Tensor) -> Tensor:
    """The hinge loss of what is made: the mean of its scores, times -1.

    Parameters
    ----------
    fake_scores
        Of any shape.

    Returns
    -------
    Tensor
        A scalar.
    """
    return -fake_scores.float().mean()


def hinge_discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """The hinge loss: by how much photos' scores fall short of 1 and made pictures' exceed -1, each a mean.

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
    """R1 without its weight: the squared norm of each score's gradient at its picture, averaged over the batch.

    Parameters
    ----------
    scores
        (N,), made from ``pictures``.
    pictures
        (N, 3, H, W) that requires gradients: what the discriminator saw, augmented if it was.

    Returns
    -------
    Tensor
        A scalar that can be differentiated again. The loss adds gamma / 2 times it.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), pictures, create_graph=True)
    return gradient.float().square().sum(dim=(1, 2, 3)).mean()


def path_lengths(pictures: Tensor, latents: Tensor, noise: Tensor) -> Tensor:
    """How far a picture moves as its latent does, along a random direction of pictures: |J^T y| with y = noise / sqrt(H W).

    The length is the root of the squared gradients, summed over the latent's dimensions and averaged over its layers. With
    that division and that average a weight of 2 is the paper's ln 2 / (r^2 (ln r - ln 2)) at every resolution r.

    Parameters
    ----------
    pictures
        (N, 3, H, W), made from ``latents``.
    latents
        (N, n_styles, style_dim) that requires gradients.
    noise
        Standard normal, of the pictures' shape.

    Returns
    -------
    Tensor
        (N,), which can be differentiated again.
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
    """Path length regularisation without its weight: how far the lengths are from their running mean, squared.

    Parameters
    ----------
    lengths
        (N,) from :func:`path_lengths`.
    mean
        The running mean so far, a scalar; 0 at first.
    decay
        How much of it stays.
    batch_mean
        The mean length to take into it: that of ``lengths`` if not given, which is not all where processes share a step.

    Returns
    -------
    penalty : Tensor
        A scalar. Its gradient takes the mean as given.
    mean : Tensor
        The running mean with these lengths in it, a scalar without gradients.
    """
    mean = torch.lerp(lengths.detach().mean() if batch_mean is None else batch_mean, mean, decay)
    return (lengths - mean).square().mean(), mean


def lazy_adam(learning_rate: float, interval: int, betas: tuple[float, float] = (0.0, 0.99)) -> dict[str, object]:
    """Adam's settings where every ``interval`` steps one more is made for a regulariser alone.

    That is k + 1 steps where k were meant, so the rate is multiplied by c = k / (k + 1), and the betas raised to the power
    of c.

    Parameters
    ----------
    learning_rate
        The rate that is meant.
    interval
        Steps of the loss between two of the regulariser; 0 where there is none.
    betas
        The betas that are meant.

    Returns
    -------
    dict
        ``lr``, ``betas`` and ``eps`` for :class:`torch.optim.Adam`.

    Examples
    --------
    >>> lazy_adam(0.002, 4)["lr"]
    0.0016
    """
    share = interval / (interval + 1) if interval else 1.0
    return {"lr": learning_rate * share, "betas": (betas[0] ** share, betas[1] ** share), "eps": 1e-8}


def draw_crossovers(count: int, n_styles: int, probability: float, rng: torch.Generator) -> Tensor:
    """Where style mixing changes over to the second w: any layer but the first, or behind the last for no mixing.

    Parameters
    ----------
    count
        Samples.
    n_styles
        W+ layers.
    probability
        Share of the samples that are mixed.
    rng
        On the CPU.

    Returns
    -------
    Tensor
        (count,) int64, 1 to n_styles.
    """
    layers = torch.randint(1, n_styles, (count,), generator=rng)
    is_mixed = torch.rand(count, generator=rng) < probability
    return torch.where(is_mixed, layers, n_styles)


def cross_over(first: Tensor, second: Tensor, crossovers: Tensor, n_styles: int) -> Tensor:
    """W+ latents that are one w up to a layer and another from there on.

    Parameters
    ----------
    first, second
        (N, style_dim).
    crossovers
        (N,), the first layer that takes ``second``; n_styles where none does.
    n_styles
        W+ layers.

    Returns
    -------
    Tensor
        (N, n_styles, style_dim).
    """
    is_second = torch.arange(n_styles, device=first.device) >= crossovers.to(first.device)[:, None]
    return torch.where(is_second[..., None], second[:, None], first[:, None])


def averaging_decay(batch_size: int, seen: int, half_life: float, ramp: float = 0.0) -> float:
    """How much of the weights' running average stays after a step.

    Parameters
    ----------
    batch_size
        Images of the step.
    seen
        Images of the run so far, those of the step among them.
    half_life
        Images in which the weight of a step halves.
    ramp
        If not 0, the half-life is at most so many times ``seen``, so that the first weights are soon forgotten.

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
