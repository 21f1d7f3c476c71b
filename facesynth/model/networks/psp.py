"""pixel2style2pixel: a condition -> encoder -> W+ latents, partly replaced by styles -> generator -> a face.

The encoder's codes are offsets from the average latent, which the model stores as a buffer; with ``refinements`` the encoder
takes several passes, each on the photo and the present face, and its codes are offsets from the present latents. If the config
has ``spatial_resolutions``, feature maps of the condition go into the generator too (:mod:`facesynth.model.networks.spatial`).
:mod:`facesynth.model.checkpoints.native` reads and writes files.

Reference: Richardson et al., "Encoding in Style: a StyleGAN Encoder for Image-to-Image Translation", CVPR 2021,
section 3 (the architecture) and section 4 (multi-modal synthesis by style mixing); Tov et al., "Designing an Encoder for
StyleGAN Image Manipulation", SIGGRAPH 2021, section 5.1 (``layer_offsets``); Alaluf et al., "ReStyle: A Residual-Based StyleGAN
Encoder via Iterative Refinement", ICCV 2021, section 3 (``refinements``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesynth.errors import InputError
from facesynth.model.networks.encoder import ENCODERS, Encoder
from facesynth.model.networks.generator import Generator, NoiseMode
from facesynth.model.networks.spatial import SpatialPath, scale_maps

if TYPE_CHECKING:
    from collections.abc import Iterable

    from facesynth.model.config.model import ModelConfig


class LatentModel(nn.Module):
    """What a pSp model and its fused twin (:class:`facesynth.model.networks.fused.FusedPSP`) share: the use of their parts."""

    config: ModelConfig
    encoder: nn.Module
    """A condition to codes, (N, style_dim) or (N, n_styles, style_dim)."""
    generator: Generator
    latent_avg: Tensor
    """The average latent, (n_styles, style_dim)."""

    spatial: SpatialPath | None
    """A condition to feature maps that are added to the generator's, if the config has ``spatial_resolutions``."""

    def encode(self, condition: Tensor) -> Tensor:
        """A condition to the W+ latents of its face.

        Parameters
        ----------
        condition
            (N, input_channels, input_size, input_size), as :mod:`facesynth.model.networks.encoder` asks for.

        Returns
        -------
        Tensor
            (N, n_styles, style_dim): the encoder's codes plus the average latent. A single code is repeated for all layers.
            With ``layer_offsets``, layer 0's code is added to the codes of the others; with ``refinements``, the latents are
            those after the last pass.

        Raises
        ------
        InputError
            If ``condition`` has another shape or an integer dtype.
        """
        if self.config.refinements:
            return self._refined(condition)
        return self._codes(condition) + self.latent_avg

    def _codes(self, condition: Tensor) -> Tensor:
        """What a pass of the encoder adds to latents, (N, n_styles or 1, style_dim)."""
        codes: Tensor = self.encoder(condition)
        if codes.ndim == 2:
            return codes[:, None]
        return torch.cat([codes[:, :1], codes[:, :1] + codes[:, 1:]], dim=1) if self.config.layer_offsets else codes

    def _refined(self, photo: Tensor) -> Tensor:
        """The latents of photos, (N, 3, input_size, input_size), after the passes of ``refinements``."""
        needed = (self.config.input_channels, self.config.input_size, self.config.input_size)
        if photo.shape[1:] != needed:
            raise InputError(f"condition has shape {tuple(photo.shape)}; needed: (N, {', '.join(map(str, needed))})")
        latents, face = self.latent_avg, self.average_face().expand(photo.shape[0], -1, -1, -1)
        for number in range(self.config.refinements):
            if number:
                face = self._seen(latents)
            latents = latents + self._codes(torch.cat([photo, face.to(photo)], dim=1))
        return latents

    def average_face(self) -> Tensor:
        """The face of the average latent as the encoder sees it first, (1, 3, input_size, input_size), near [-1, 1]."""
        return self._seen(self.latent_avg[None])

    def _seen(self, latents: Tensor) -> Tensor:
        """The faces of latents (N, n_styles, style_dim) at the encoder's size, (N, 3, input_size, input_size)."""
        return F.adaptive_avg_pool2d(self.generator(latents), self.config.input_size)

    def spatial_maps(self, condition: Tensor) -> dict[int, Tensor] | None:
        """A condition to the feature maps that are added to the generator's.

        Parameters
        ----------
        condition
            As :meth:`encode` takes it.

        Returns
        -------
        dict of int to Tensor, or None
            (N, channels, resolution, resolution) by resolution, for ``spatial`` of
            :meth:`facesynth.model.networks.generator.Generator.forward`; None for a model without a spatial path.
        """
        if self.spatial is None:
            return None
        maps: dict[int, Tensor] = self.spatial(condition)
        return maps

    def mix(self, latents: Tensor, styles: Tensor, layers: Iterable[int], alpha: float = 1.0) -> Tensor:
        """Latents with some W+ layers blended with other styles.

        Parameters
        ----------
        latents
            (N, n_styles, style_dim).
        styles
            (N, style_dim), one w for all layers, or (N, n_styles, style_dim). An N of 1 serves the whole batch.
        layers
            Which W+ layers, 0 to n_styles - 1.
        alpha
            Weight of the styles, 0 to 1: a mixed layer is ``alpha * styles + (1 - alpha) * latents``.

        Returns
        -------
        Tensor
            (N, n_styles, style_dim), a new tensor.

        Raises
        ------
        InputError
            If a shape, a layer or ``alpha`` is out of range.
        """
        n_styles, style_dim = self.latent_avg.shape
        if latents.ndim != 3 or latents.shape[1:] != (n_styles, style_dim):
            raise InputError(f"latents has shape {tuple(latents.shape)}; needed: (N, {n_styles}, {style_dim})")
        n_samples = latents.shape[0]
        if styles.shape[1:] not in ((style_dim,), (n_styles, style_dim)) or styles.shape[0] not in (1, n_samples):
            raise InputError(
                f"styles has shape {tuple(styles.shape)}; needed: ({n_samples}, {style_dim}) or "
                f"({n_samples}, {n_styles}, {style_dim})"
            )
        chosen = sorted(set(layers))
        if chosen and not (chosen[0] >= 0 and chosen[-1] < n_styles):
            raise InputError(f"layers is {chosen}; needed: numbers from 0 to {n_styles - 1}")
        if not 0.0 <= alpha <= 1.0:
            raise InputError(f"alpha is {alpha}; needed: a number from 0 to 1")

        if styles.ndim == 2:
            styles = styles[:, None, :]
        is_mixed = torch.zeros(n_styles, 1, dtype=torch.bool)
        is_mixed[chosen] = True
        return torch.where(is_mixed.to(latents.device), alpha * styles + (1.0 - alpha) * latents, latents)

    def forward(
        self,
        condition: Tensor,
        *,
        styles: Tensor | None = None,
        layers: Iterable[int] | None = None,
        alpha: float = 1.0,
        follow: float = 1.0,
        noise: NoiseMode = "constant",
        rng: torch.Generator | None = None,
    ) -> Tensor:
        """A condition to a face.

        Parameters
        ----------
        condition
            (N, input_channels, input_size, input_size), as :mod:`facesynth.model.networks.encoder` asks for.
        styles
            (N, style_dim) or (N, n_styles, style_dim) to mix in; none if not given.
        layers
            The W+ layers to mix; those of ``config.style_layers`` if not given. Needs ``styles``.
        alpha
            Weight of the styles, 0 to 1.
        follow
            Scale of the spatial path's feature maps, 0 to 1, if the model has one: 1 as trained, 0 for the latents alone.
        noise, rng
            As in :meth:`facesynth.model.networks.generator.Generator.forward`.

        Returns
        -------
        Tensor
            (N, 3, output_size, output_size), near [-1, 1] but not clipped.
        """
        latents = self.encode(condition)
        if styles is not None:
            latents = self.mix(latents, styles, self.config.style_layers if layers is None else layers, alpha)
        elif layers is not None:
            raise InputError("layers came without styles; needed: the styles to mix into these layers")
        maps = scale_maps(self.spatial_maps(condition), follow)
        face: Tensor = self.generator(latents, noise=noise, rng=rng, spatial=maps)
        return face


class PSP(LatentModel):
    """Encoder, generator and the average latent that joins them.

    Parameters
    ----------
    config
        The model's sizes. The average latent starts as zero; set it from a checkpoint, or from
        :meth:`facesynth.model.networks.generator.Generator.mean_latent`.
    """

    encoder: Encoder

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ENCODERS[config.encoder_kind](config)
        self.generator = Generator(
            config.output_size, config.style_dim, config.mapping_depth, config.channel_base, config.channel_max
        )
        self.register_buffer("latent_avg", torch.zeros(config.n_styles, config.style_dim))
        self.spatial = SpatialPath(config) if config.spatial_resolutions else None
