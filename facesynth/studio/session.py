"""One open page: its requests come in by a WebSocket, faces go out.

::

    take() -- the newest face, the newest strip, others in order --> work() -- engine --> send()

A request for a face replaces the one before it unless that is being generated, so no page waits for faces that nobody sees.
The strip of styles is made a face at a time while nothing else is asked for, so a stroke waits for one of them at most.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facesynth.errors import FacesynthError, InputError, shown
from facesynth.studio import frames
from facesynth.studio.engine import MOST_NUMBER, MOST_SIDE, Encoded, Model, Style, film, milliseconds, npy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from numpy.typing import NDArray

    from facesynth.studio.engine import Engine

log = logging.getLogger(__name__)

PATIENCE = 20.0
"""Seconds until a page that does not read what it asked for is let go."""
MOST_ASKED = 4
"""The most films and latents that may wait; another one is refused."""
MOST_FRAMES = 48
_KINDS = ("condition", "face", "strip", "film", "latents")


@dataclass(frozen=True)
class Request:
    """A request that has been checked.

    Attributes
    ----------
    kind : str
    number : int
        The page's number of it, which the reply repeats.
    model : Model
    revision : int
        Of the condition that it is about.
    styles : tuple of Style
        One; those of the strip; or both ends of a film.
    frames : int
        Of a film.
    """

    kind: str
    number: int
    model: Model
    revision: int
    styles: tuple[Style, ...]
    frames: int = 0


class Session:
    """A page and its newest condition of every model.

    Parameters
    ----------
    engine : Engine
    send : callable
        Sends a binary message to the page.
    """

    def __init__(self, engine: Engine, send: Callable[[bytes], Awaitable[None]]) -> None:
        self.engine, self._send = engine, send
        self.face: Request | None = None
        self.strip: Request | None = None
        self.asked: deque[Request] = deque()
        self.overtaken = 0
        self._is_late = False
        self._conditions: dict[str, tuple[int, NDArray[np.uint8]]] = {}
        self._encoded: dict[str, tuple[int, Encoded]] = {}
        self._refusals: deque[bytes] = deque(maxlen=MOST_ASKED)
        self._wake = asyncio.Event()

    # ------------------------------------------------------------------------------------------------------ taking requests

    def take(self, data: bytes) -> None:
        """Take a message of the page. A wrong one is answered with what is wrong about it."""
        number = 0
        try:
            frame = frames.unpack(data)
            number = frames.whole(frame.header, "id", 0, 1 << 53, 0)
            self._file(self._request(frame, number))
        except FacesynthError as error:
            self._refusals.append(frames.pack({"kind": "error", "id": number, "message": str(error)}))
        self._wake.set()

    def _request(self, frame: frames.Frame, number: int) -> Request:
        header, payload = frame
        kind = frames.text(header, "kind", choices=_KINDS)
        model = self.engine.model(header)
        revision = frames.whole(header, "revision", 0, 1 << 53)
        given = header.get("styles", [])
        if not isinstance(given, list) or len(given) > MOST_NUMBER + 1:
            raise InputError(f"styles is {shown(given)}; needed: a list of at most {MOST_NUMBER + 1}")
        lengths = [frames.whole(one, "bytes", 0, len(payload), 0) if isinstance(one, dict) else 0 for one in given]
        styles, end = [], len(payload)
        for one, length in zip(reversed(given), reversed(lengths), strict=True):
            if length > end:
                raise InputError("the styles of a message have more bytes than the message")
            styles.append(Style.of(one, payload[end - length : end]))
            end -= length
        styles.reverse()
        if kind == "condition":
            self._condition(model, revision, header, payload[:end])
        needed = {"condition": 0, "face": 1, "latents": 1, "film": 2}.get(kind, len(styles))
        if len(styles) != needed:
            raise InputError(f"{kind} came with {len(styles)} styles; needed: {needed}")
        count = frames.whole(header, "frames", 2, MOST_FRAMES, 12)
        return Request(kind, number, model, revision, tuple(styles), count)

    def _condition(self, model: Model, revision: int, header: dict[str, Any], pixels: bytes) -> None:
        height, width = (frames.whole(header, name, 1, MOST_SIDE) for name in ("height", "width"))
        if len(pixels) != height * width:
            raise InputError(f"a condition of {width} x {height} came with {len(pixels)} bytes; needed: one per pixel")
        self._conditions[model.name] = revision, np.frombuffer(pixels, np.uint8).reshape(height, width)

    def _file(self, request: Request) -> None:
        if request.kind == "face":
            self.overtaken += self.face is not None
            self.face = request
        elif request.kind == "strip":
            self.strip = request
        elif request.kind != "condition":
            if len(self.asked) >= MOST_ASKED:
                raise InputError(f"{MOST_ASKED} requests wait already; needed: one at a time")
            self.asked.append(request)

    # ------------------------------------------------------------------------------------------------------- answering them

    async def work(self) -> None:
        """Answer requests until cancelled.

        Raises
        ------
        TimeoutError
            If the page does not read the answers.
        """
        while True:
            await self._wake.wait()
            self._wake.clear()
            while await self._one():
                await asyncio.sleep(0)  # what has come in meanwhile may be newer

    async def _one(self) -> bool:
        """Answer the most urgent request; False if there is none."""
        if self._refusals:
            await self.send(self._refusals.popleft())
        elif self.face:
            request, self.face = self.face, None
            await self._answer(request, self._make_face)
        elif self.asked:
            request = self.asked.popleft()
            await self._answer(request, self._make_film if request.kind == "film" else self._make_latents)
        elif self.strip:
            request, self.strip = self.strip, None
            await self._answer(request, self._make_strip)
        else:
            return False
        return True

    async def _answer(self, request: Request, make: Callable[[Request], Awaitable[None]]) -> None:
        try:
            await make(request)
        except FacesynthError as error:
            await self.send(frames.pack({"kind": "error", "id": request.number, "message": str(error)}))
        except RuntimeError as error:
            log.exception("a request of kind %s failed", request.kind)
            message = f"the model failed: {' '.join(str(error).split())[:200]}"
            await self.send(frames.pack({"kind": "error", "id": request.number, "message": message}))

    async def send(self, data: bytes) -> None:
        """Send a message.

        Raises
        ------
        TimeoutError
            If it is not taken within :data:`PATIENCE`.
        """
        try:
            await asyncio.wait_for(self._send(data), PATIENCE)
        except asyncio.TimeoutError as error:  # which is another class before Python 3.11
            raise TimeoutError(f"the page has read nothing for {PATIENCE:g} s") from error

    async def _encode(self, model: Model) -> tuple[Encoded, int, float]:
        """The newest condition of a model, encoded; its revision, and how long that took, 0 if it was there."""
        if model.name not in self._conditions:
            raise InputError(f"no condition of {model.name} has come yet; needed: one before its faces")
        revision, pixels = self._conditions[model.name]
        if self._encoded.get(model.name, (None,))[0] == revision:
            return self._encoded[model.name][1], revision, 0.0
        started = time.perf_counter()
        encoded = await self.engine.run(model.encode, pixels)
        took = milliseconds(started)
        self._encoded[model.name] = revision, encoded
        return encoded, revision, took

    async def _make_face(self, request: Request) -> None:
        waited = time.perf_counter()
        encoded, revision, encode = await self._encode(request.model)
        if (
            encode and self.face and not self._is_late
        ):  # overtaken meanwhile; but not twice in a row, lest none is ever shown
            self._is_late = True
            self.overtaken += 1
            return
        self._is_late = False
        started = time.perf_counter()
        face = await self.engine.run(request.model.face, encoded, request.styles[0])
        times = {"encode": encode, "generate": milliseconds(started), "server": milliseconds(waited)}
        await self._send_face(request, face, revision=revision, times=times)

    async def _send_face(self, request: Request, face: NDArray[np.uint8], **more: Any) -> None:
        header = {"kind": request.kind, "id": request.number, "model": request.model.name}
        size = {"height": face.shape[0], "width": face.shape[1]}
        await self.send(frames.pack({**header, **size, **more}, face.tobytes()))

    async def _make_strip(self, request: Request) -> None:
        encoded, revision, _ = await self._encode(request.model)
        for index, style in enumerate(request.styles):
            await asyncio.sleep(0)
            while self._refusals or self.face or self.asked:
                await self._one()
            if self.strip:  # a newer one
                return
            if self._conditions[request.model.name][0] != revision:
                encoded, revision, _ = await self._encode(request.model)
            face = await self.engine.run(request.model.face, encoded, style)
            await self._send_face(request, face, index=index, revision=revision)

    async def _make_film(self, request: Request) -> None:
        encoded, _, _ = await self._encode(request.model)
        first, last = [request.model.latents(encoded, style) for style in request.styles]
        faces = []
        for index, latents in enumerate(request.model.between(first, last, request.frames)):
            if self.face:
                await self._one()
            style = request.styles[0]
            faces.append(await self.engine.run(request.model.picture, latents[None], encoded, style))
            await self._send_face(request, faces[-1], index=index, frames=request.frames)
        await self.send(frames.pack({"kind": "film-file", "id": request.number}, await self.engine.run(film, faces)))

    async def _make_latents(self, request: Request) -> None:
        encoded, _, _ = await self._encode(request.model)
        latents = await self.engine.run(request.model.latents, encoded, request.styles[0])
        await self.send(frames.pack({"kind": "latents", "id": request.number}, npy(latents)))
