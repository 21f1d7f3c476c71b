"""A stand-in for the Hugging Face Hub on this machine, which answers as the Hub does for single files."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from huggingface_hub import constants

from facesynth.files import sha256
from facesynth.model.checkpoints import named

if TYPE_CHECKING:
    import pytest


@dataclass
class Hub:
    """Files by ``/owner/name/resolve/main/file``, and what was asked for.

    Attributes
    ----------
    files : dict of str to bytes
        Contents by path.
    digests : dict of str to str
        ETags by path, where they are not the SHA-256 of the content.
    requests : list of (str, str)
        Method and range of every request for a file.
    breaks : int
        The number of downloads that will end in the middle.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    breaks: int = 0

    def publish(self, name: str, content: bytes, monkeypatch: pytest.MonkeyPatch, **changes: str) -> named.Published:
        """Put a file under a published name, and its digest into the table."""
        values = {"sha256": sha256(content), "size": None, **changes}
        known = dataclasses.replace(named.PUBLISHED[name], **values)
        monkeypatch.setitem(named.PUBLISHED, name, known)
        if known.repository:
            self.files[self.path(known)] = content
        return known

    @staticmethod
    def path(known: named.Published) -> str:
        return f"/{known.repository}/resolve/main/{known.file}"


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            wanted = self.headers.get("Range", "")
            if "/resolve/" in self.path:  # huggingface_hub asks for other things now and then
                hub.requests.append((self.command, wanted))
            content = hub.files.get(self.path.replace("%2B", "+"))
            if content is None:
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            match = re.fullmatch(r"bytes=(\d+)-", wanted)
            start = int(match[1]) if match else 0
            body = content[start:]
            self.send_response(206 if match else 200)
            self.send_header("ETag", f'"{hub.digests.get(self.path, sha256(content))}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("X-Linked-Size", str(len(content)))
            self.send_header("Content-Length", str(len(body)))
            if match:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            if with_body and hub.breaks:
                hub.breaks -= 1
                body = body[: len(body) // 2]
                self.close_connection = True
            if with_body:
                self.wfile.write(body)

    return Handler


@contextmanager
def running_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A running stand-in that huggingface_hub takes for the Hub, with empty caches below ``folder``."""
    hub = Hub()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub)) as server:
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        point_at(hub.url, folder, monkeypatch)
        yield hub
        server.shutdown()


def point_at(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub use this address and these caches: it reads the environment when it is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(folder / "assets"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
