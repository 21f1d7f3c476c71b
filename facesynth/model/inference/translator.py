"""Inference: label maps, sketches or photos in, faces out.

::

    picture -- read --> condition -- encode --> W+ latents -- stylise --> W+ latents -- synthesise --> faces
    path, Pillow,       (S, S) uint8           (N, L, D)                  one set a sample            (N, T, T, 3) uint8
    array

:class:`Translator` has a method for every step; :meth:`Translator.translate` does all of them, and calling a translator turns a
picture into a face. :mod:`facesynth.model.inference.translate_files` translates whole folders.
"""

from __future__ import annotations

import dataclasses
import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from huggingface_hub import ModelHubMixin
from PIL import Image
from torch import Tensor

from facesynth import images
from facesynth.errors import InputError, shown
from facesynth.label_maps import check_void
from facesynth.model.checkpoints import native, state_dict
from facesynth.model.checkpoints.hub import fetch, is_repository
from facesynth.model.checkpoints.load import find, load_model
from facesynth.model.checkpoints.named import published
from facesynth.model.data.conditions import SketchReading, Tone, read_condition
from facesynth.model.data.tensors import condition_tensor, to_pictures
from facesynth.model.devices import choose_device, need_compiler, precise
from facesynth.model.inference.model_card import CARD, card_values
from facesynth.model.inference.styles import MOST_SAMPLES, Styling, layers_of, noise_sources, random_styles
from facesynth.model.networks.fused import fuse
from facesynth.model.networks.generator import truncate
from facesynth.model.networks.psp import PSP, LatentModel
from facesynth.model.networks.spatial import scale_maps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facesynth.model.checkpoints.native import Checkpoint
    from facesynth.model.networks.spatial import SpatialMaps
    from facesynth.paper import PaperMode

log = logging.getLogger(__name__)


class Translator(
    ModelHubMixin,
    library_name="facesynth",
    pipeline_tag="image-to-image",
    tags=["pixel2style2pixel", "stylegan2", "face"],
    paper_url="https://arxiv.org/abs/2008.00951",
    model_card_template=CARD,
):
    """A trained model, ready to turn conditions into faces.

    Parameters
    ----------
    given : Checkpoint
        A checkpoint from :func:`facesynth.model.checkpoints.load.load_model`.
    device : str
        auto, cpu, cuda or mps.
    precision : str
        float32; bf16 or fp16 for convolutions and products, the rest stays in float32.
    compiled : bool
        Compile the networks that this makes faster with :func:`torch.compile`; the first face of every batch size then takes
        longer. On a CPU this needs a C++ compiler.
    tone : str
        auto: invert sketches with light lines on dark; keep: none; invert: all.
    paper : str
        auto: level photographs and scans of sketches, and crop them to the sheet; keep: take them as they are; level: level
        all.
    void : int, optional
        The value of label maps that stands for no class, such as 255; it is read as background.

    Raises
    ------
    InputError
        If the device is not available, ``tone`` or ``paper`` is given to a model that does not take sketches, or ``void`` to
        one that does not take label maps, or has such a class.
    CheckpointError
        If the checkpoint does not fit its own config.
    """

    _hub_mixin_config: dict[str, Any] = {}  # noqa: RUF012 - not None, lest the mixin copy the checkpoint for a config

    def __init__(
        self,
        given: Checkpoint,
        *,
        device: str = "auto",
        precision: str = "float32",
        compiled: bool = False,
        tone: Tone = "auto",
        paper: PaperMode = "auto",
        void: int | None = None,
    ) -> None:
        if void is not None:
            if given.config.condition != "labels":
                raise InputError(f"void is {void}, but {given.path} takes {given.config.condition}; leave it out")
            check_void(void, given.scheme)
        self.void = void
        self.sketches = SketchReading(tone=tone, paper=paper)
        if self.sketches != SketchReading() and given.config.condition != "sketch":
            raise InputError(
                f"tone is {tone} and paper {paper}, but {given.path} takes {given.config.condition}; leave them out"
            )
        self.device = choose_device(device)
        self.precision, self.autocast = precision, precise(precision, self.device)
        self.checkpoint = given
        self.path, self.task, self.info = given.path, given.task, given.info
        self.config, self.scheme = given.config, given.scheme
        self._hub_mixin_config = {"task": given.task, **dataclasses.asdict(given.config)}
        if compiled and self.device.type == "cpu":
            need_compiler()
        state = given.model_state()
        native.check_size(given.config, state, given.path)
        with state_dict.unfilled():
            model = PSP(given.config)
        state_dict.fill(model, state, given.path)
        model.to(self.device).eval().requires_grad_(requires_grad=False)
        is_fused = self.device.type == "cpu" and precision == "float32"
        self.model: LatentModel = fuse(model) if is_fused else model
        if compiled and not is_fused:
            self.model.encoder.compile()
        if compiled:
            self.model.generator.compile()
            if self.model.spatial is not None:
                self.model.spatial.compile()

    # ------------------------------------------------------------------------------------------------ from and to files

    @classmethod
    def from_checkpoint(cls, path: Path | str, **loading: Any) -> Translator:
        """The model of a checkpoint file, facesynth's or pixel2style2pixel's, or the best one of a run folder.

        Parameters
        ----------
        path : Path or str
        **loading
            ``device``, ``precision``, ``compiled``, ``tone``, ``paper`` and ``void``, as the class takes them.

        Raises
        ------
        CheckpointError
            If there is no such model, it is damaged, or it does not fit its own config.
        """
        return cls(load_model(path), **loading)

    @classmethod
    def from_pretrained(  # type: ignore[override]  # the mixin's has the same meaning and more parameters
        cls,
        source: Path | str,
        *,
        revision: str | None = None,
        cache_dir: Path | str | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        **loading: Any,
    ) -> Translator:
        """A model from this machine, from the Hugging Face Hub, or a published one by name.

        Parameters
        ----------
        source : Path or str
            A path on this machine, as for :meth:`from_checkpoint`, a repository of the Hub, ``owner/name``, or a name of
            :data:`facesynth.model.checkpoints.named.PUBLISHED`.
        revision, cache_dir, token, local_files_only, force_download
            As :func:`huggingface_hub.hf_hub_download` takes them.
        **loading
            ``device``, ``precision``, ``compiled``, ``tone``, ``paper`` and ``void``, as the class takes them.

        Raises
        ------
        CheckpointError
            If the source is none of these, cannot be fetched, or is damaged.
        """
        path = Path(source)
        options: dict[str, Any] = {
            "revision": revision,
            "cache_dir": cache_dir,
            "token": token,
            "local_files_only": local_files_only,
            "force_download": force_download,
        }
        if published(path):
            path = find(path, "model", **options)
        elif not path.exists() and is_repository(str(source)):
            path = fetch(str(source), **options)
        return cls.from_checkpoint(path, **loading)

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write the weights; the mixin adds ``config.json`` and the model card."""
        native.save(
            save_directory / native.MODEL_FILE,
            "model",
            self.checkpoint.model_state(),
            config=self.config,
            task=self.task,
            scheme=self.scheme,
            info=self.info,
        )

    def generate_model_card(self, *args: Any, **kwargs: Any) -> Any:
        """The model card, which describes the model and its use."""
        return super().generate_model_card(
            *args, **{**card_values(self.config, self.task, self.scheme, self.info), **kwargs}
        )

    def push_to_hub(self, repo_id: str, *, model_card_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> str:
        """Push the model and its card to a repository of the Hugging Face Hub, ``owner/name``, and return the commit's URL.

        Parameters
        ----------
        repo_id : str
        model_card_kwargs : dict, optional
            ``known``: the card's text on data, quality and limits.
        **kwargs
            As :meth:`huggingface_hub.ModelHubMixin.push_to_hub` takes them.
        """
        card = {"repo_id": repo_id, **(model_card_kwargs or {})}
        url: str = super().push_to_hub(repo_id, model_card_kwargs=card, **kwargs)
        return url

    # -------------------------------------------------------------------------------------------------------- the steps

    def read(self, source: Path | str | Image.Image | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A condition of the kind that the model translates, as :meth:`encode` takes it.

        Parameters
        ----------
        source : Path or str, Pillow picture, or uint8 array
            Of any size; a picture that is not square is padded with background, paper or black. Label maps hold class ids or
            the scheme's colours; transparent paper becomes white; light lines on dark are inverted, and photographed paper is
            levelled, unless the translator was made with another ``tone`` or ``paper``.

        Returns
        -------
        (S, S) uint8 array at the model's input size; (S, S, 3) for a photo

        Raises
        ------
        PictureError
            If the picture cannot be read.
        WrongKindError
            If it is a picture of another kind.
        """
        condition = read_condition(
            Path(source) if isinstance(source, str) else source,
            self.config.condition,
            self.scheme,
            self.config.input_size,
            sketches=self.sketches,
            void=self.void,
        )
        if condition.note:
            log.info("%s: %s", condition.path, condition.note)
        return condition.pixels

    @torch.inference_mode()
    def encode(self, conditions: NDArray[np.uint8]) -> Tensor:
        """The W+ latents of conditions.

        Parameters
        ----------
        conditions : (N, S, S) uint8 array
            Label maps or sketches at the model's input size (see :meth:`read`); photos are (N, S, S, 3).

        Returns
        -------
        (N, n_styles, style_dim) float32 tensor

        Raises
        ------
        InputError
            If they have another shape.
        """
        condition = self._condition(conditions)
        with self.autocast():
            latents = self.model.encode(condition)
        return latents.float()

    @torch.inference_mode()
    def spatial_maps(self, conditions: NDArray[np.uint8]) -> SpatialMaps | None:
        """The spatial path's feature maps of conditions, for :meth:`synthesise`.

        Parameters
        ----------
        conditions : (N, S, S) uint8 array
            As :meth:`encode` takes them.

        Returns
        -------
        mapping of int to (N, channels, resolution, resolution) tensor, or None
            By resolution; None for a model without a spatial path.

        Raises
        ------
        InputError
            If they have another shape.
        """
        if self.model.spatial is None:
            return None
        condition = self._condition(conditions)
        with self.autocast():
            return self.model.spatial_maps(condition)

    def _condition(self, conditions: NDArray[np.uint8]) -> Tensor:
        """Conditions as the networks take them, (N, input_channels, S, S) float32; raises InputError for another shape."""
        size = self.config.input_size
        needed = (size, size, 3) if self.config.condition == "photo" else (size, size)
        if conditions.shape[1:] != needed or conditions.dtype != np.uint8:
            came = f"{conditions.dtype} of shape {conditions.shape}"
            raise InputError(f"conditions is {came}; needed: uint8 of shape (N, {', '.join(map(str, needed))})")
        batch = torch.from_numpy(np.ascontiguousarray(conditions)).to(self.device)
        return condition_tensor(batch, self.config.condition, self.config.input_channels)

    @cached_property
    def centre(self) -> Tensor:
        """The latent that truncation draws towards, (n_styles, style_dim) or (style_dim,).

        It is the average that the codes start from; for a published model whose codes start from zero, the generator's mean.
        """
        average = self.model.latent_avg
        return average if bool(average.any()) else self.model.generator.mean_latent()

    def styles(self, samples: int, seed: int, colours: Mapping[str, str] | None = None) -> Tensor:
        """The w of ``samples`` random styles, (samples, style_dim) float32; each is independent of their number.

        Parameters
        ----------
        samples, seed : int
        colours : mapping of str to str, optional
            Colours of regions that all of them have, as :class:`~facesynth.model.inference.styles.Styling` takes them.

        Raises
        ------
        InputError
            If the model's styles have no such colours.
        """
        styling = Styling(samples=samples, seed=seed, colours=colours or {})
        self._check_colours(styling)
        return random_styles(self.model.generator, styling, self.config.style_colours)[:samples]

    def _check_colours(self, styling: Styling) -> None:
        if styling.colours and not self.config.style_colours:
            raise InputError(f"colours are given, but the styles of {self.path} have none; leave them out")

    @torch.inference_mode()
    def stylise(self, latents: Tensor, styling: Styling, style: Tensor | None = None) -> list[Tensor]:
        """The latents of every sample.

        Parameters
        ----------
        latents : (N, n_styles, style_dim) tensor
        styling : Styling
        style : (n_styles, style_dim) or (style_dim,) tensor, optional
            One style for all faces, instead of random ones.

        Returns
        -------
        list of (N, n_styles, style_dim) tensors
            One per sample.

        Raises
        ------
        InputError
            If both a style and random ones are requested, or the styling names layers or colours that the model does not
            have.
        """
        layers = layers_of(styling.mix_layers, self.config)
        if style is not None and styling.draws:
            came = (
                f"samples {styling.samples}, which are random styles"
                if styling.samples
                else "colours, which are a style"
            )
            raise InputError(f"a given style came with {came}; leave out one of the two")
        self._check_colours(styling)
        chosen = [latents]
        if style is not None or styling.draws:
            regions = self.config.style_colours
            given = random_styles(self.model.generator, styling, regions) if style is None else style[None].to(latents)
            chosen = [self.model.mix(latents, one[None], layers, styling.mix_alpha) for one in given]
        if styling.truncation == 1.0:
            return chosen
        return [truncate(one, self.centre, styling.truncation) for one in chosen]

    @torch.inference_mode()
    def synthesise(
        self, latents: Tensor, styling: Styling | None = None, number: int = 0, maps: SpatialMaps | None = None
    ) -> NDArray[np.uint8]:
        """The faces of latents.

        Parameters
        ----------
        latents : (N, n_styles, style_dim) tensor
        styling : Styling, optional
            Gives the noise, each layer's constant noise by default, and the scale of ``maps``.
        number : int
            Number of the sample, for random noise.
        maps : mapping of int to tensor, optional
            As returned by :meth:`spatial_maps`; by default the faces depend on the latents alone.

        Returns
        -------
        (N, T, T, 3) uint8 array
            At the model's output size.
        """
        styling = styling or Styling()
        rng = noise_sources(styling, number, len(latents))
        maps = scale_maps(maps, styling.follow)
        with self.autocast():
            faces = self.model.generator(latents.to(self.device), noise=styling.noise, rng=rng, spatial=maps)
            return to_pictures(faces)

    # ----------------------------------------------------------------------------------------------------- the whole way

    def translate(
        self, conditions: NDArray[np.uint8], *, style: Tensor | None = None, **styling: Any
    ) -> NDArray[np.uint8]:
        """Faces of conditions.

        Parameters
        ----------
        conditions : (N, S, S) uint8 array
            As :meth:`encode` takes them.
        style : (n_styles, style_dim) or (style_dim,) tensor, optional
            One style for all faces, instead of random ones: for example, latents from :meth:`encode`.
        **styling
            Fields of :class:`~facesynth.model.inference.styles.Styling`: ``samples``, ``seed``, ``colours``, ``mix_layers``,
            ``mix_alpha``, ``truncation``, ``follow``, ``noise``.

        Returns
        -------
        (N, max(samples, 1), T, T, 3) uint8 array
            Faces at the model's output size.

        Raises
        ------
        InputError
            If a number is out of its range or the conditions have another shape.
        """
        chosen = Styling(**styling)
        samples, maps = self.stylise(self.encode(conditions), chosen, style), self.spatial_maps(conditions)
        return np.stack([self.synthesise(one, chosen, number, maps) for number, one in enumerate(samples)], axis=1)

    def __call__(
        self,
        picture: Path | str | Image.Image | NDArray[np.uint8],
        *,
        style: Tensor | None = None,
        size: int | None = None,
        **styling: Any,
    ) -> Any:
        """A picture to a face, or to several with ``samples``.

        Parameters
        ----------
        picture : Path or str, Pillow picture, or uint8 array
            As :meth:`read` takes it.
        style : tensor, optional
            As :meth:`translate` takes it.
        size : int, optional
            Height and width of the face, pixels; the model's output size by default.
        **styling
            Fields of :class:`~facesynth.model.inference.styles.Styling`.

        Returns
        -------
        Pillow picture, or a list of them if ``samples`` is more than 0
        """
        faces = [Image.fromarray(face) for face in self.translate(self.read(picture)[None], style=style, **styling)[0]]
        if size is not None:
            if size < 1:
                raise InputError(f"size is {size}; needed: at least 1")
            faces = [Image.fromarray(images.resize(np.asarray(face), (size, size))) for face in faces]
        return faces if styling.get("samples") else faces[0]

    def interpolate(self, first: Tensor, last: Tensor, frames: int) -> Tensor:
        """Linear interpolation between the latents of two faces in W+.

        Parameters
        ----------
        first, last : (n_styles, style_dim) tensor
        frames : int
            The number of latents, including both ends; at least 2.

        Returns
        -------
        (frames, n_styles, style_dim) tensor

        Raises
        ------
        InputError
            If ``frames`` is less than 2, or more than :data:`~facesynth.model.inference.styles.MOST_SAMPLES`.
        """
        if not 2 <= frames <= MOST_SAMPLES:
            raise InputError(f"frames is {shown(frames)}; needed: at least 2, at most {MOST_SAMPLES}")
        way = torch.linspace(0.0, 1.0, frames, device=first.device)[:, None, None]
        return torch.lerp(first[None], last[None], way)
