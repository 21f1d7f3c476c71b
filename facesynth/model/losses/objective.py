"""The training loss: faces, photos and latents in; the weighted sum of its terms, and every term, out.

===========  ==========================================================  ===============
term         what it compares                                            needs
===========  ==========================================================  ===============
l2           the pictures, mean squared difference
l1           the pictures, mean absolute difference
l2_crop      the same on the face alone
lpips        the pictures, by a network's features                       LPIPS
lpips_crop   the same on the face alone                                  LPIPS
identity     the persons                                                 IR-SE50
moco         the pictures, by features learnt without labels             MoCo v2
laplacian    the pictures' Laplacian pyramids
lines        the pictures' lines
parsing      the faces' segmentations                                    a parser
w_norm       the latents with the average latent
===========  ==========================================================  ===============

Pictures of more than 256 px are compared at 256 px, as the published code does, whatever the generator makes.

Reference: Richardson et al., "Encoding in Style", CVPR 2021, section 3 (loss functions).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from facesynth.errors import InputError
from facesynth.model.config.train import NETWORK_OF_TERM, TERMS
from facesynth.model.devices import precise
from facesynth.model.losses import pixel

if TYPE_CHECKING:
    from facesynth.model.config.train import TrainConfig

_COMPARED_AT = 256


class Objective(nn.Module):
    """The weighted sum of the terms whose weights in a config are more than 0.

    Parameters
    ----------
    config
        Gives the weights. L2 and W-norm are reported even if their weight is 0, since they cost little.
    networks
        By name: ``lpips``, ``identity``, ``moco`` and ``parsing``, as far as terms that need them weigh more than 0. They are
        frozen and evaluated.

    Raises
    ------
    InputError
        If a network is missing.
    """

    def __init__(self, config: TrainConfig, networks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.weights = config.weights
        self._precision = config.precision
        for term, name in NETWORK_OF_TERM.items():
            if self.weights[term] > 0 and name not in networks:
                raise InputError(
                    f"{term} weighs {self.weights[term]} but the {name} network is not there; give it, or weigh it 0"
                )
        used = {name for term, name in NETWORK_OF_TERM.items() if self.weights[term] > 0}
        self.networks = nn.ModuleDict({name: networks[name] for name in sorted(used)})
        self.terms = [name for name in TERMS if self.weights[name] > 0 or name in ("l2", "w_norm")]
        """The reported terms, in order."""
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Objective:  # noqa: ARG002 - the networks stay as they are
        """Does nothing: the networks are always evaluated."""
        return super().train(False)

    def forward(
        self, faces: Tensor, photos: Tensor, latents: Tensor, latent_avg: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and its terms.

        Parameters
        ----------
        faces, photos
            (N, 3, S, S); photos in [-1, 1], faces near that range.
        latents
            (N, n_styles, style_dim).
        latent_avg
            (n_styles, style_dim).

        Returns
        -------
        loss : Tensor
            A scalar.
        terms : dict of str to Tensor
            Every unweighted term, a scalar, averaged over the batch; and ``loss`` itself.
        """
        faces, photos = _shrunk(faces), _shrunk(photos)
        terms = {"l2": pixel.l2(faces, photos)}
        weights, networks = self.weights, self.networks
        if weights["l1"] > 0:
            terms["l1"] = pixel.l1(faces, photos)
        if weights["l2_crop"] > 0:
            terms["l2_crop"] = pixel.l2(pixel.face_crop(faces), pixel.face_crop(photos))
        if weights["lpips"] > 0:
            terms["lpips"] = networks["lpips"](faces, photos)
        if weights["lpips_crop"] > 0:
            terms["lpips_crop"] = networks["lpips"](pixel.face_crop(faces), pixel.face_crop(photos))
        for name in ("identity", "moco"):
            if weights[name] > 0:
                terms[name] = networks[name](faces, photos)
        if weights["laplacian"] > 0:
            terms["laplacian"] = pixel.laplacian(faces, photos)
        if weights["lines"] > 0:
            terms["lines"] = pixel.lines(faces, photos)
        if weights["parsing"] > 0:
            with precise(self._precision, faces.device)():
                terms["parsing"] = networks["parsing"](faces, photos)
        terms["w_norm"] = pixel.w_norm(latents, latent_avg)
        loss = faces.new_zeros(())
        for name, value in terms.items():
            if weights[name] > 0:
                loss = loss + weights[name] * value
        return loss, {"loss": loss, **terms}


def _shrunk(pictures: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(pictures, _COMPARED_AT) if pictures.shape[2] > _COMPARED_AT else pictures
