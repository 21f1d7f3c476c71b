from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import pytest
import uvicorn
from websockets.sync.client import ClientConnection, connect

from facesynth import get_scheme
from facesynth.studio import frames, server
from facesynth.studio.engine import Engine
from facesynth.studio.pictures import portrait_map

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOKEN = "a-token-of-the-tests"


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Running:
    """A studio that listens, and requests to it as a browser or an attacker makes them."""

    def __init__(self, engine: Engine, port: int = 0, token: str = TOKEN) -> None:
        self.listening = server.listen("127.0.0.1", port)
        self.port = self.listening.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.studio = server.Studio(
            engine, hosts=server.hosts_of("127.0.0.1", self.port, is_loopback=True), token=token
        )
        self.server = uvicorn.Server(server.configured(self.studio.app))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listening]}, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.cookie = self.ask("GET", f"/?token={token}", cookie=None).headers["set-cookie"].partition(";")[0]

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        self.listening.close()

    def ask(self, method: str, path: str, body: bytes | None = None, cookie: str | None = "", **headers: str) -> Reply:
        """One request; its headers are those of the page itself unless they are given, with _ for -."""
        sent = {"Host": self.host}
        if method == "POST":
            sent |= {"Origin": f"http://{self.host}", "Content-Type": "application/octet-stream"}
            sent["Content-Length"] = str(len(body or b""))
        if cookie is not None:
            sent["Cookie"] = cookie or self.cookie
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                if value:
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def post(self, path: str, header: dict[str, object], payload: bytes = b"") -> Reply:
        return self.ask("POST", path, frames.pack(header, payload))

    def open(self, max_queue: int = 16, **headers: str | None) -> ClientConnection:
        """A WebSocket; its headers are those of the page itself unless they are given."""
        sent = {"Origin": f"http://{self.host}", "Cookie": self.cookie} | headers
        return connect(
            f"ws://{sent.pop('Host', None) or self.host}/engine",
            additional_headers={name: value for name, value in sent.items() if value},
            sock=socket.create_connection(("127.0.0.1", self.port), timeout=20),
            max_size=None,
            max_queue=max_queue,
            compression=None,
            proxy=None,
        )


def ask(kind: str, number: int, *styles: dict[str, object], model: str = "photo-seg", **more: object) -> bytes:
    """A request; one style, the encoder's, if none is given."""
    return frames.pack({"kind": kind, "id": number, "model": model, "revision": 1, "styles": styles or [{}], **more})


def condition(revision: int, pixels: NDArray[np.uint8], model: str = "photo-seg") -> bytes:
    """A condition for a model."""
    height, width = pixels.shape
    header = {"kind": "condition", "model": model, "revision": revision, "height": height, "width": width}
    return frames.pack(header, pixels.tobytes())


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The bundled models."""
    made = Engine(device="cpu")
    yield made
    made.close()


@pytest.fixture(scope="session")
def drawn() -> NDArray[np.uint8]:
    """A label map of a face, 512 px."""
    return portrait_map(3, get_scheme("celebamask-hq"))


@pytest.fixture(scope="module")
def studio(engine: Engine) -> Iterator[Running]:
    """A studio that listens."""
    running = Running(engine)
    yield running
    running.stop()
