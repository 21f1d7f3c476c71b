"""Who may talk to the studio: every request passes here before anything of it is read.

Any page that a browser shows can send requests to this machine, and a name of its own can lead to this machine, too (DNS
rebinding). So a request must name this server as its host, come from the studio's own page, and carry a cookie that only the
address with the token gives. Nothing is allowed to other origins, and no answer may be shown inside of another page.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_UPLOAD = 32 << 20
"""The most bytes of a request."""
CONTENT_TYPE = "application/octet-stream"
"""Of everything that is posted. No form of another page can send it, and no script of one may without asking first."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class _TooLargeError(Exception):
    """A body of more than :data:`MOST_UPLOAD` bytes."""


class Guard:
    """Middleware that refuses what does not come from the studio's own page.

    Parameters
    ----------
    app : ASGI application
    hosts : sequence of str
        The exact values of Host, with the port; at least one.
    token : str
        The token of the address.
    """

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str], token: str) -> None:
        self.app, self._token = app, token
        self.hosts = frozenset(hosts)
        port = hosts[0].rpartition(":")[2]
        self.cookie_name = f"facesynth_studio_{port}"  # browsers give cookies to all ports of a host
        self.cookie = hmac.new(token.encode(), b"facesynth studio", hashlib.sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        is_socket = scope["type"] == "websocket"
        opens_page = not is_socket and scope["method"] == "GET" and scope["path"] == "/" and self._has_token(scope)
        refusal = self._refusal(scope, Headers(scope=scope), opens_page=opens_page)
        if refusal and is_socket:
            await send({"type": "websocket.close", "code": 1008})
        elif refusal:
            status, text = refusal
            await PlainTextResponse(f"{text}\n", status, HEADERS)(scope, receive, send)
        elif is_socket:
            await self.app(scope, receive, send)
        else:
            await self._pass_on(scope, receive, send, sets_cookie=opens_page)

    def _refusal(self, scope: Scope, headers: Headers, *, opens_page: bool) -> tuple[int, str] | None:
        """Status and text of why a request is refused; None if it is not."""
        if len(hosts := headers.getlist("host")) != 1 or hosts[0] not in self.hosts:
            return 421, "this server does not answer to that host; open the address that `facesynth studio` printed"
        origins = headers.getlist("origin")
        needs_origin = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        if (
            any(origin != f"http://{hosts[0]}" for origin in origins)
            or len(origins) > 1
            or (needs_origin and not origins)
        ):
            return 403, "only the studio's own page may ask for this"
        if headers.get("sec-fetch-site", "same-origin") != "same-origin" and scope["path"] != "/":
            return 403, "only the studio's own page may ask for this"
        if not opens_page and not self._has_cookie(headers):
            return 403, "open the address that `facesynth studio` printed, with its token"
        if scope["type"] == "websocket" or scope["method"] in ("GET", "HEAD"):
            return None
        if scope["method"] != "POST":
            return 405, "the studio takes GET and POST"
        if headers.getlist("content-type") != [CONTENT_TYPE]:
            return 415, f"needed: a body of type {CONTENT_TYPE}"
        length = headers.get("content-length", "")
        if not length.isdecimal():
            return 411, "needed: the length of the body"
        if len(length) > 15 or int(length) > MOST_UPLOAD:
            return 413, f"needed: at most {MOST_UPLOAD >> 20} MiB"
        return None

    def _has_token(self, scope: Scope) -> bool:
        query = scope["query_string"]
        given = parse_qs(query.decode("latin-1")).get("token", [""])[0] if len(query) < 1000 else ""
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _has_cookie(self, headers: Headers) -> bool:
        given = cookie_parser(headers.get("cookie", "")).get(self.cookie_name, "")
        return hmac.compare_digest(given.encode(), self.cookie.encode())

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, *, sets_cookie: bool) -> None:
        received = 0
        is_begun = False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MOST_UPLOAD:
                raise _TooLargeError
            return message

        async def with_headers(message: Message) -> None:
            nonlocal is_begun
            if message["type"] == "http.response.start":
                is_begun = True
                headers = MutableHeaders(scope=message)
                for name, value in self._added(sets_cookie=sets_cookie).items():
                    headers[name] = value
            await send(message)

        try:
            await self.app(scope, counted, with_headers)
        except _TooLargeError:
            if not is_begun:
                text = f"needed: at most {MOST_UPLOAD >> 20} MiB\n"
                await PlainTextResponse(text, 413, HEADERS)(scope, receive, send)

    def _added(self, *, sets_cookie: bool) -> Mapping[str, str]:
        if not sets_cookie:
            return HEADERS
        return {**HEADERS, "Set-Cookie": f"{self.cookie_name}={self.cookie}; HttpOnly; SameSite=Strict; Path=/"}
