"""The studio's server: the page and its files, pictures that are brought along, and a WebSocket for faces.

Starlette answers, uvicorn listens. No path or file name of a request is used; the page's files are read when the server starts.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import resources
from typing import TYPE_CHECKING, Any

import uvicorn
import websockets  # noqa: F401 - uvicorn loads it later, where nobody would say how to get it
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from facesynth import __version__
from facesynth.errors import FacesynthError, InputError
from facesynth.studio import frames
from facesynth.studio.engine import DEFAULT_MODELS, MOST_SIDE, SIDE, Engine
from facesynth.studio.guard import LOOPBACK, Guard
from facesynth.studio.pictures import document_of, portrait_map, sketch_methods
from facesynth.studio.session import Session

if TYPE_CHECKING:
    from starlette.requests import Request as HTTPRequest
    from starlette.types import ASGIApp

MOST_MESSAGE = 2 << 20
"""The most bytes of a message of the page."""
MOST_PAGES = 8
"""The most pages open at a time."""
MOST_UPLOADS = 2
"""The most pictures being read at a time."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}")
_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Studio:
    """The application: what answers requests that the guard has let pass.

    Parameters
    ----------
    engine : Engine
    hosts : sequence of str
        The exact values of Host, with the port.
    token : str
        The token of the address.
    """

    def __init__(self, engine: Engine, *, hosts: Sequence[str], token: str) -> None:
        self.engine = engine
        self.pages = self.uploads = 0
        self._files = {
            file.name: Response(file.read_bytes(), media_type=_TYPES[file.name[file.name.rindex(".") :]])
            for file in resources.files("facesynth.studio").joinpath("static").iterdir()
        }
        statics = [Route(f"/{name}", self._file(name), methods=["GET"]) for name in self._files]
        routes = [
            Route("/", self._file("index.html"), methods=["GET"]),
            Mount("/static", routes=statics),
            Route("/picture", self.picture, methods=["POST"]),
            Route("/portrait", self.portrait, methods=["POST"]),
            WebSocketRoute("/engine", self.page),
        ]
        self.app: ASGIApp = Guard(Starlette(routes=routes), hosts=hosts, token=token)

    def _file(self, name: str) -> Callable[[HTTPRequest], Any]:
        async def answer(_: HTTPRequest) -> Response:
            return self._files[name]

        return answer

    def about(self) -> dict[str, Any]:
        """What the page needs to know before it asks for faces."""
        return {
            "kind": "about",
            "id": 0,
            "version": __version__,
            "side": SIDE,
            "models": [model.describe() for model in self.engine.models.values()],
            "methods": sketch_methods(),
        }

    async def picture(self, request: HTTPRequest) -> Response:
        """A picture that someone brought along, as a document."""
        return await self._document(request, self._read_picture)

    async def portrait(self, request: HTTPRequest) -> Response:
        """The label map of a drawn portrait, as a document."""
        return await self._document(request, self._draw_portrait)

    async def _read_picture(self, header: dict[str, Any], payload: bytes) -> bytes:
        return (await document_of(self.engine, self.engine.model(header), header, payload)).tobytes()

    async def _draw_portrait(self, header: dict[str, Any], _: bytes) -> bytes:
        scheme = self.engine.model(header).translator.scheme
        number = frames.whole(header, "number", 0, 1_000_000)
        return (await asyncio.to_thread(portrait_map, number, scheme)).tobytes()

    async def _document(self, request: HTTPRequest, make: Callable[[dict[str, Any], bytes], Any]) -> Response:
        if self.uploads >= MOST_UPLOADS:
            return JSONResponse({"message": "other pictures are being read; try again in a moment"}, 429)
        self.uploads += 1
        try:
            header, payload = frames.unpack(await request.body())
            pixels: bytes = await make(header, payload)
        except FacesynthError as error:
            return JSONResponse({"message": " ".join(str(error).split())}, 400)
        finally:
            self.uploads -= 1
        return Response(frames.pack({"width": SIDE, "height": SIDE}, pixels), media_type="application/octet-stream")

    async def page(self, socket: WebSocket) -> None:
        """A page that opened its WebSocket, until it closes it."""
        if self.pages >= MOST_PAGES:
            await socket.close(1013)
            return
        self.pages += 1
        try:
            await socket.accept()
            await self._talk(socket)
        finally:
            self.pages -= 1

    async def _talk(self, socket: WebSocket) -> None:
        session = Session(self.engine, socket.send_bytes)
        reading = asyncio.ensure_future(self._read(socket, session))
        working = asyncio.ensure_future(session.work())
        try:
            await session.send(frames.pack(self.about()))
            await asyncio.wait((reading, working), return_when=asyncio.FIRST_COMPLETED)
            if working.done() and not isinstance(working.exception(), WebSocketDisconnect | TimeoutError):
                working.result()
        except (TimeoutError, WebSocketDisconnect):
            pass
        finally:
            for task in (reading, working):
                task.cancel()
            for task in (reading, working):
                with suppress(asyncio.CancelledError, TimeoutError, WebSocketDisconnect, RuntimeError):
                    await task
            with suppress(RuntimeError, WebSocketDisconnect, asyncio.TimeoutError):
                await asyncio.wait_for(socket.close(1008), 1)

    async def _read(self, socket: WebSocket, session: Session) -> None:
        with suppress(WebSocketDisconnect):
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                session.take(message.get("bytes") or b"")


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(24)


def check_host(host: str, token: str | None) -> bool:
    """Whether an address to listen at is on this machine alone.

    Parameters
    ----------
    host : str
        A name or an address.
    token : str, optional
        The token that was given.

    Raises
    ------
    InputError
        If the host is every address of the machine, or not loopback and there is no token; or the token is too short.
    """
    if token is not None and not _TOKEN.fullmatch(token):
        raise InputError(f"token has {len(token)} characters; needed: 16 to 200 letters, digits, - and _")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        is_loopback = host == "localhost"
    else:
        if address.is_unspecified:
            raise InputError(
                f"host is {host}, every address of this machine; needed: the one name or address by which the page is opened"
            )
        is_loopback = address.is_loopback
    if not is_loopback and token is None:
        raise InputError(
            f"host is {host}, which others reach; needed: --token, 16 or more characters that only they know"
        )
    return is_loopback


def hosts_of(host: str, port: int, *, is_loopback: bool) -> list[str]:
    """The values of Host under which the page is served; the first is that of the address to open."""
    name = f"[{host.strip('[]')}]" if ":" in host else host
    names = list(dict.fromkeys((name, *LOOPBACK))) if is_loopback else [name]
    return [f"{each}:{port}" for each in names] + (names if port == 80 else [])


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Parameters
    ----------
    host : str
    port : int
        0 for a free one.

    Raises
    ------
    InputError
        If that is not possible.
    """
    plain = host.strip("[]")
    try:
        family = socket.AF_INET6 if ":" in plain else socket.AF_INET
        return socket.create_server((plain, port), family=family, backlog=64)
    except OSError as error:
        raise InputError(
            f"cannot listen at {host}, port {port}: {error.strerror or error}; give another --port, or 0 for a free one"
        ) from error


def configured(app: ASGIApp) -> uvicorn.Config:
    """How uvicorn serves the studio: without a log of requests, in bounded memory."""
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="websockets-sansio",
        ws_max_size=MOST_MESSAGE,
        ws_per_message_deflate=False,
        limit_concurrency=64,
        timeout_graceful_shutdown=1,
    )


def serve(
    sources: Sequence[str] = (),
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
    device: str = "auto",
    opened: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve the studio until it is interrupted.

    Parameters
    ----------
    sources : sequence of str
        Checkpoints, as :class:`~facesynth.studio.engine.Engine` takes them; by default the bundled ones.
    host : str
        The address to listen at; one that others reach needs a token.
    port : int
        0 for a free one.
    token : str, optional
        The token of the address; by default a new one.
    device : str
        auto, cpu, cuda or mps.
    opened : callable, optional
        Called with the page's address when the server listens.

    Raises
    ------
    InputError
        If a model cannot be loaded, or the server cannot listen there.
    """
    is_loopback = check_host(host, token)
    token = token or new_token()
    with listen(host, port) as listening:
        port = listening.getsockname()[1]
        engine = Engine(sources or DEFAULT_MODELS, device=device)
        hosts = hosts_of(host, port, is_loopback=is_loopback)
        config = configured(Studio(engine, hosts=hosts, token=token).app)
        server = _Server(config, lambda: opened(f"http://{hosts[0]}/?token={token}"))
        try:
            server.run(sockets=[listening])
        finally:
            engine.close()


class _Server(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config, opened: Callable[[], None]) -> None:
        super().__init__(config)
        self._opened = opened

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, and say so."""
        await super().startup(sockets)
        self._opened()


assert MOST_MESSAGE > MOST_SIDE**2  # a condition fits into a message
