"""Attacks on the studio: each is one that another page, another machine or another program could make."""

from __future__ import annotations

import re
import socket

import pytest
from websockets.exceptions import InvalidStatus

from facesynth.studio import frames, guard

from .conftest import TOKEN, Running

DRAW = frames.pack({"model": "photo-seg", "number": 1})


def test_the_token_opens_the_page_and_becomes_a_strict_cookie(studio: Running) -> None:
    reply = studio.ask("GET", f"/?token={TOKEN}", cookie=None)
    assert reply.status == 200
    assert b"facesynth" in reply.body
    cookie = reply.headers["set-cookie"]
    assert re.fullmatch(rf"facesynth_studio_{studio.port}=[0-9a-f]{{64}}; HttpOnly; SameSite=Strict; Path=/", cookie)
    assert TOKEN not in cookie
    again = studio.ask("GET", "/")
    assert (again.status, again.body) == (200, reply.body)
    assert "set-cookie" not in again.headers


@pytest.mark.parametrize(
    "query", ["", "?token=", "?token=another-token-of-tests", "?token=" + "a" * 5000, "?Token=" + TOKEN]
)
def test_nothing_is_there_without_the_token(studio: Running, query: str) -> None:
    reply = studio.ask("GET", f"/{query}", cookie=None)
    assert reply.status == 403
    assert reply.body == b"open the address that `facesynth studio` printed, with its token\n"
    assert "set-cookie" not in reply.headers


def test_the_token_opens_the_page_alone(studio: Running) -> None:
    assert studio.ask("POST", f"/portrait?token={TOKEN}", DRAW, cookie=None).status == 403
    assert studio.ask("GET", f"/static/studio.css?token={TOKEN}", cookie=None).status == 403
    name = studio.cookie.partition("=")[0]
    for wrong in (f"{name}=", f"{name}={TOKEN}", f"{name}=é", f"other={studio.cookie.partition('=')[2]}"):
        assert studio.ask("POST", "/portrait", DRAW, cookie=wrong).status == 403


@pytest.mark.parametrize(
    "host", ["evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.:{port}", "[::]:{port}", ""]
)
def test_a_name_that_leads_here_is_not_answered(studio: Running, host: str) -> None:
    name = host.format(port=studio.port)
    assert studio.ask("GET", "/", Host=name).status in (400, 421)
    assert studio.ask("GET", f"/?token={TOKEN}", cookie=None, Host=name).status in (400, 421)
    if name:
        with pytest.raises(InvalidStatus, match="403"), studio.open(Host=name, Origin=f"http://{name}"):
            pass


def test_two_hosts_are_not_answered(studio: Running) -> None:
    lines = f"GET / HTTP/1.1\r\nHost: {studio.host}\r\nHost: {studio.host}\r\nCookie: {studio.cookie}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", studio.port), timeout=10) as raw:
        raw.sendall(lines.encode())
        assert raw.recv(100).split()[1] in (b"400", b"421")


ORIGINS = [
    "null",
    "http://evil.example",
    "https://{host}",
    "http://127.0.0.1",
    "http://localhost:{port}",
    "http://{host}.evil",
]


@pytest.mark.parametrize("origin", ORIGINS)
def test_another_origin_is_refused(studio: Running, origin: str) -> None:
    name = origin.format(host=studio.host, port=studio.port)
    for reply in (studio.ask("POST", "/portrait", DRAW, Origin=name), studio.ask("GET", "/", Origin=name)):
        assert (reply.status, reply.body) == (403, b"only the studio's own page may ask for this\n")
        assert not [header for header in reply.headers if header.startswith("access-control")]
    with pytest.raises(InvalidStatus, match="403"), studio.open(Origin=name):
        pass


def test_a_socket_or_a_post_without_an_origin_is_refused(studio: Running) -> None:
    assert studio.ask("POST", "/portrait", DRAW, Origin="").status == 403
    with pytest.raises(InvalidStatus, match="403"), studio.open(Origin=None):
        pass
    with pytest.raises(InvalidStatus, match="403"), studio.open(Cookie=None):
        pass


def test_the_page_of_localhost_is_the_page(studio: Running) -> None:
    host = f"localhost:{studio.port}"
    assert studio.ask("POST", "/portrait", DRAW, Host=host, Origin=f"http://{host}").status == 200


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json"],
)
def test_no_form_and_no_simple_request_does_anything(studio: Running, kind: str) -> None:
    assert studio.ask("POST", "/portrait", DRAW, Content_Type=kind).status == 415


def test_requests_that_the_browser_marks_as_cross_site_are_refused(studio: Running) -> None:
    for site in ("cross-site", "same-site", "none"):
        assert studio.ask("POST", "/portrait", DRAW, Sec_Fetch_Site=site).status == 403
    assert studio.ask("GET", f"/?token={TOKEN}", cookie=None, Sec_Fetch_Site="none").status == 200


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_and_preflights_are_refused(studio: Running, method: str) -> None:
    assert studio.ask(method, "/portrait", Origin=f"http://{studio.host}").status == 405
    reply = studio.ask(method, "/portrait", Origin="http://evil.example", Access_Control_Request_Method="POST")
    assert reply.status == 403
    assert not [header for header in reply.headers if header.startswith("access-control")]


def test_every_answer_has_the_headers(studio: Running) -> None:
    replies = [
        studio.ask("GET", "/"),
        studio.ask("GET", "/static/index.html"),
        studio.ask("GET", "/static/nothing"),
        studio.ask("GET", "/", cookie=None),
        studio.ask("POST", "/portrait", DRAW),
        studio.ask("POST", "/portrait", b"junk"),
    ]
    assert [reply.status for reply in replies] == [200, 200, 404, 403, 200, 400]
    for reply in replies:
        for name, value in guard.HEADERS.items():
            assert reply.headers[name.lower()] == value
        assert "server" not in reply.headers
    policy = guard.HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert set(re.findall(r"[\w-]+-src ([^;]+)", policy)) == {"'none'", "'self'"}


@pytest.mark.parametrize(
    "path", ["/static/../server.py", "/static/%2e%2e/server.py", "/static//etc/passwd", "/../../etc/passwd"]
)
def test_no_path_of_a_request_is_read(studio: Running, path: str) -> None:
    assert studio.ask("GET", path).status == 404


def test_bodies_are_bounded(studio: Running) -> None:
    too_many = str(guard.MOST_UPLOAD + 1)
    assert studio.ask("POST", "/picture", b"", Content_Length=too_many).status == 413
    assert studio.ask("POST", "/picture", b"", Content_Length="9" * 40).status in (400, 413)
    chunked = studio.ask("POST", "/picture", b"1\r\na\r\n0\r\n\r\n", Content_Length="", Transfer_Encoding="chunked")
    assert chunked.status == 411
