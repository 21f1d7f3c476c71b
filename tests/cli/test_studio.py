"""``facesynth studio``: what it says, and what it refuses."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest

from ..trees import COMMAND, PATIENCE


@pytest.mark.slow
def test_it_prints_the_address_and_ends_at_an_interrupt() -> None:
    with subprocess.Popen(
        [COMMAND, "studio", "--no-browser", "--checkpoint", "photo-seg"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stdout
        assert process.stderr
        line = process.stdout.readline()
        assert line.startswith("studio: http://127.0.0.1:")
        address = line.removeprefix("studio: ").strip()
        with urllib.request.urlopen(address, timeout=PATIENCE) as page:
            assert b"facesynth" in page.read()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(address[:-1] + "~", timeout=PATIENCE)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) in (0, 130)
        said = process.stderr.read()
    assert "Traceback" not in said
    assert said.startswith("stop with Ctrl-C\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "192.0.2.1"], "host is 192.0.2.1, which others reach; needed: --token, 16 or more characters"),
        (["--host", "0.0.0.0", "--token", "0123456789abcdef"], "every address of this machine"),
        (["--token", "short"], "token has 5 characters; needed: 16 to 200 letters, digits, - and _"),
        (["--checkpoint", "nothing-here"], "nothing-here"),
        (["--checkpoint", "photo-parser"], "photo-parser"),
    ],
)
def test_what_is_refused_is_one_line(facesynth, arguments, said):
    code, _, err = facesynth("studio", "--no-browser", *arguments)
    assert code == 2
    assert said in err
    assert err.startswith("facesynth: ")
    assert err.count("\n") == 1


def test_a_host_that_others_reach_says_what_that_means(facesynth):
    code, _, err = facesynth("studio", "--no-browser", "--host", "192.0.2.1", "--token", "0123456789abcdef")
    assert code == 2
    first, second = err.splitlines()
    assert first.startswith("others can reach 192.0.2.1: whoever has the address with the token can use the models")
    assert second.startswith("facesynth: cannot listen at 192.0.2.1, port 0")


def test_the_browser_is_opened_beside_the_server(facesynth, monkeypatch):
    opened, told = threading.Event(), []

    def browse(address):
        told.append(address)
        opened.set()

    def serve(checkpoints, *, opened, **_):
        opened("http://127.0.0.1:1/?token=x")

    monkeypatch.setattr("webbrowser.open", browse)
    monkeypatch.setattr("facesynth.studio.server.serve", serve)
    code, out, _ = facesynth("studio")
    assert (code, out) == (0, "studio: http://127.0.0.1:1/?token=x\n")
    assert opened.wait(30)
    assert told == ["http://127.0.0.1:1/?token=x"]


@pytest.mark.parametrize("name", ["starlette", "uvicorn", "websockets"])
def test_without_the_extra_it_says_how_to_install_it(facesynth, monkeypatch, name):
    for module in [
        each for each in sys.modules if each.startswith(("facesynth.studio.server", "facesynth.studio.guard"))
    ]:
        monkeypatch.delitem(sys.modules, module)
    for module in [each for each in sys.modules if each.split(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)

    class Missing:
        def find_spec(self, wanted, *_):
            if wanted.split(".")[0] == name:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    monkeypatch.delattr(importlib.import_module("facesynth.studio"), "server", raising=False)
    code, _, err = facesynth("studio", "--no-browser")
    needed = f"facesynth: the studio needs {name}, which is not installed; run: pip install 'facesynth[studio]'\n"
    assert (code, err) == (2, needed)
