"""The models of the studio: conditions and styles in, faces out, on one thread.

A condition is encoded once; faces of it in other styles need the generator alone. Whatever runs a network does so through
:meth:`Engine.run`, one call after the other, so that two requests never share the cores.
"""

from __future__ import annotations

import asyncio
import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from PIL import Image

from facesynth import Parser, Styling, Translator
from facesynth.errors import InputError, shown
from facesynth.studio import frames

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

DEFAULT_MODELS = ("photo-sketch", "photo-seg")
"""The bundled models that the studio opens with."""
PARSER = "photo-parser"
SIDE = 512
"""Height and width of the page's documents, pixels."""
MOST_SIDE = 1024
"""The largest height or width of a condition in a request, pixels."""
MOST_NUMBER = 63
"""The highest number of a random style."""
MOST_SEED = (1 << 32) - 1
_FRAME_MS = 80
_Made = TypeVar("_Made")


@dataclass(frozen=True, kw_only=True)
class Style:
    """The style of a face.

    Attributes
    ----------
    source : str
        own: the encoder's; random: of ``seed`` and ``number``; given: of latents that come with the request.
    seed, number : int
        As `facesynth translate --seed` and the number of the sample, from 0.
    colours : tuple of (str, str)
        Colours of regions in a random style, as `--colour`: (region, ``#rrggbb``).
    layers : str
        The layers that take the style, as `--mix-layers`.
    alpha, truncation, follow : float
        As `--mix-alpha`, `--truncation` and `--follow`.
    latents : bytes
        Of a given style: (n_styles, style_dim) float32, little-endian.
    """

    source: str = "own"
    seed: int = 0
    number: int = 0
    colours: tuple[tuple[str, str], ...] = ()
    layers: str = ""
    alpha: float = 1.0
    truncation: float = 1.0
    follow: float = 1.0
    latents: bytes = b""

    @classmethod
    def of(cls, header: object, latents: bytes = b"") -> Style:
        """The style that a request describes.

        Raises
        ------
        InputError
            If it is no object of these fields, or one is out of its range.
        """
        if not isinstance(header, Mapping):
            raise InputError(f"the style is {shown(header)}; needed: an object")
        return cls(
            source=frames.text(header, "source", "own", choices=("own", "random", "given")),
            seed=frames.whole(header, "seed", 0, MOST_SEED, 0),
            number=frames.whole(header, "number", 0, MOST_NUMBER, 0),
            colours=frames.texts(header, "colours"),
            layers=frames.text(header, "layers", ""),
            alpha=frames.number(header, "alpha", 0, 1, 1),
            truncation=frames.number(header, "truncation", 0, 2, 1),
            follow=frames.number(header, "follow", 0, 1, 1),
            latents=latents,
        )

    @property
    def styling(self) -> Styling:
        """How the latents are modified, but for where the style is from."""
        return Styling(
            seed=self.seed,
            mix_layers=self.layers,
            mix_alpha=self.alpha,
            truncation=self.truncation,
            follow=self.follow,
        )


@dataclass(frozen=True)
class Encoded:
    """What the encoder makes of a condition.

    Attributes
    ----------
    latents : (1, n_styles, style_dim) float32 tensor
    maps : mapping of int to tensor, or None
        The spatial path's maps, for a model with one.
    """

    latents: Tensor
    maps: Any


class Model:
    """A model under the name that the page shows.

    Parameters
    ----------
    name : str
        Unique among the studio's models.
    source : str
        As :meth:`~facesynth.Translator.from_pretrained` takes it.
    device : str

    Raises
    ------
    CheckpointError
        If there is no such model, or it is damaged.
    InputError
        If it takes photos.
    """

    def __init__(self, name: str, source: str, device: str = "auto") -> None:
        translator = Translator.from_pretrained(source, device=device)
        if translator.config.condition == "photo":
            raise InputError(f"{source} takes photos; needed: a model of sketches or label maps")
        if translator.config.condition == "sketch":  # the page's drawings are on white paper already
            translator = Translator(translator.checkpoint, device=device, tone="keep", paper="keep")
        self.name, self.source, self.translator = name, source, translator
        self._style = lru_cache(maxsize=256)(self._random_style)

    def describe(self) -> dict[str, Any]:
        """What the page needs to know of it."""
        config, scheme = self.translator.config, self.translator.scheme
        about: dict[str, Any] = {
            "name": self.name,
            "source": self.source,
            "kind": "map" if config.condition == "labels" else "sketch",
            "input": config.input_size,
            "output": config.output_size,
            "styles": config.n_styles,
            "styleDim": config.style_dim,
            "follows": self.translator.model.spatial is not None,
            "mixed": sorted(config.style_layers),
            "colours": list(config.style_colours),
        }
        if config.condition == "labels":
            about["scheme"] = {
                "name": scheme.name,
                "classes": list(scheme.classes),
                "colours": [list(colour) for colour in scheme.colours],
                "mirror": list(scheme.mirror),
            }
        return about

    def encode(self, pixels: NDArray[np.uint8]) -> Encoded:
        """Encode a condition, (H, W) uint8: class ids, or a sketch of which 255 is the paper.

        Raises
        ------
        PictureError
            If it holds ids that the model's scheme lacks.
        """
        condition = self.translator.read(pixels)[None]
        return Encoded(self.translator.encode(condition), self.translator.spatial_maps(condition))

    def latents(self, encoded: Encoded, style: Style) -> Tensor:
        """The latents of a condition in a style, (1, n_styles, style_dim) float32.

        Raises
        ------
        InputError
            If the style's layers or latents do not fit the model.
        """
        given = None
        if style.source == "random":
            regions = self.translator.config.style_colours
            colours = tuple(pair for pair in style.colours if pair[0] in regions)
            given = self._style(style.seed, style.number, colours)
        elif style.source == "given":
            given = self._given(style.latents)
        return self.translator.stylise(encoded.latents, style.styling, given)[0]

    def face(self, encoded: Encoded, style: Style) -> NDArray[np.uint8]:
        """The face of a condition in a style, (T, T, 3) uint8."""
        return self.picture(self.latents(encoded, style), encoded, style)

    def picture(self, latents: Tensor, encoded: Encoded, style: Style) -> NDArray[np.uint8]:
        """The face of latents, (T, T, 3) uint8."""
        face: NDArray[np.uint8] = self.translator.synthesise(latents, style.styling, 0, encoded.maps)[0]
        return face

    def between(self, first: Tensor, last: Tensor, count: int) -> Tensor:
        """Latents on the way from one face to another, (count, n_styles, style_dim)."""
        return self.translator.interpolate(first[0], last[0], count)

    def _random_style(self, seed: int, number: int, colours: tuple[tuple[str, str], ...]) -> Tensor:
        return self.translator.styles(number + 1, seed, dict(colours))[number]

    def _given(self, data: bytes) -> Tensor:
        shape = (self.translator.config.n_styles, self.translator.config.style_dim)
        if len(data) != 4 * shape[0] * shape[1]:
            raise InputError(f"the style has {len(data)} bytes; needed: float32 latents of shape {shape}")
        latents = np.frombuffer(data, "<f4").reshape(shape).astype(np.float32)
        if not np.isfinite(latents).all():
            raise InputError("the style holds values that are not finite")
        return torch.from_numpy(latents).to(self.translator.device)


class Engine:
    """The models, and the thread that runs them.

    Parameters
    ----------
    sources : sequence of str
        Names of bundled or published models, checkpoint files or run folders.
    device : str
        auto, cpu, cuda or mps.

    Raises
    ------
    InputError
        If a model cannot be loaded or is given twice.
    """

    def __init__(self, sources: Sequence[str] = DEFAULT_MODELS, *, device: str = "auto") -> None:
        self.device = device
        self.models: dict[str, Model] = {}
        for source in sources:
            name = Path(source).stem if Path(source).exists() else source
            if name in self.models:
                raise InputError(f"two checkpoints are called {name}; needed: files of different names")
            self.models[name] = Model(name, source, device)
        self._pool = ThreadPoolExecutor(1, "facesynth-engine")
        self._pool.submit(torch.set_num_threads, threads()).result()

    @cached_property
    def parser(self) -> Parser:
        """The bundled parser of photos."""
        return Parser.from_pretrained(PARSER, device=self.device)

    def model(self, header: Mapping[str, Any]) -> Model:
        """The model that a request names.

        Raises
        ------
        InputError
            If there is no such model.
        """
        return self.models[frames.text(header, "model", choices=self.models)]

    async def run(self, work: Callable[..., _Made], *arguments: Any) -> _Made:
        """Call a function on the engine's thread, after those before it."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    def close(self) -> None:
        """End the thread when its work is done."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def threads() -> int:
    """Threads for the networks: one core is left to the browser, without which nobody sees the face."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores - 1)


def milliseconds(since: float) -> float:
    """The time since a reading of :func:`time.perf_counter`, in ms to two places."""
    return round(1000 * (time.perf_counter() - since), 2)


def npy(latents: Tensor) -> bytes:
    """A ``.npy`` file of the latents of one face, as `facesynth translate --save-latents` writes it.

    Parameters
    ----------
    latents : (1, n_styles, style_dim) tensor
    """
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(latents[0].cpu().numpy(), np.float32), allow_pickle=False)
    return file.getvalue()


def film(faces: Sequence[NDArray[np.uint8]]) -> bytes:
    """An animated WebP of faces, there and back, without loss.

    Parameters
    ----------
    faces : sequence of (T, T, 3) uint8 arrays
        At least two.
    """
    pictures = [Image.fromarray(face) for face in (*faces, *faces[-2:0:-1])]
    file = io.BytesIO()
    pictures[0].save(
        file, "WEBP", save_all=True, append_images=pictures[1:], duration=_FRAME_MS, loop=0, lossless=True, method=0
    )
    return file.getvalue()
