"""One page's requests: which are answered, in which order, and what the answers hold. The models are stand-ins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facesynth.errors import InputError
from facesynth.studio import frames, session
from facesynth.studio.session import Session

from .conftest import ask, condition

MAP = np.full((2, 3), 7, np.uint8)


class Engine:
    """A stand-in whose work waits for :attr:`open`, and notes what was done."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.models = {
            "photo-seg": SimpleNamespace(
                name="photo-seg",
                **{each: self._work(each) for each in ("encode", "face", "latents", "between", "picture")},
            )
        }

    def _work(self, name: str) -> Callable[..., Any]:
        def work(*given: Any) -> Any:
            if name == "encode":
                self.done.append(f"encode {given[0][0, 0]}")
                return int(given[0][0, 0])
            if name == "between":
                return torch.linspace(float(given[0]), float(given[1]), given[2])[:, None, None]
            if name == "latents":
                self.done.append(f"latents {given[1].number}")
                return (
                    torch.full((1, 2, 3), float(given[1].number))[0, 0, 0]
                    if self.scalar
                    else torch.full((1, 2, 3), 5.0)
                )
            self.done.append(f"face {given[0]} {given[1].number}" if name == "face" else "picture")
            return np.full((1, 1, 3), len(self.done), np.uint8)

        return work

    scalar = False

    def model(self, header: dict[str, Any]) -> Any:
        return self.models[frames.text(header, "model", choices=self.models)]

    async def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        await self.open.wait()
        return work(*arguments)


def talk(script: Callable[[Session, Engine], Any]) -> tuple[Engine, list[frames.Frame]]:
    """Run a script against a session until all is answered."""

    async def run() -> tuple[Engine, list[frames.Frame]]:
        sent: list[bytes] = []

        async def send(data: bytes) -> None:
            sent.append(data)

        engine = Engine()
        page = Session(engine, send)  # type: ignore[arg-type]
        working = asyncio.ensure_future(page.work())
        await script(page, engine)
        count = -1
        while count != len(sent) + len(engine.done):
            count = len(sent) + len(engine.done)
            for _ in range(50):
                await asyncio.sleep(0)
        working.cancel()
        return engine, [frames.unpack(each) for each in sent]

    return asyncio.run(run())


def test_a_condition_is_encoded_once_for_all_its_styles() -> None:
    async def script(page: Session, _: Engine) -> None:
        page.take(condition(1, MAP))
        for number in range(3):
            page.take(ask("face", number, {"source": "random", "number": number}))
            await asyncio.sleep(0.01)
        page.take(condition(2, MAP + 1))
        page.take(ask("face", 9))

    engine, sent = talk(script)
    assert engine.done == ["encode 7", "face 7 0", "face 7 1", "face 7 2", "encode 8", "face 8 0"]
    assert [(each.header["id"], each.header["revision"]) for each in sent] == [(0, 1), (1, 1), (2, 1), (9, 2)]
    assert sent[0].payload == bytes([2, 2, 2])
    assert sent[1].header["times"]["encode"] == 0


def test_the_newest_face_is_made_and_those_overtaken_are_not() -> None:
    async def script(page: Session, engine: Engine) -> None:
        engine.open.clear()
        page.take(condition(1, MAP))
        page.take(ask("face", 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for number in range(2, 1000):
            page.take(condition(number, np.full((2, 3), number % 250, np.uint8)))
            page.take(ask("face", number))
        assert page.overtaken == 997
        engine.open.set()

    engine, sent = talk(script)
    assert [each.header["id"] for each in sent] == [999]
    assert sent[-1].header["revision"] == 999
    assert engine.done == ["encode 7", "encode 249", "face 249 0"]


def test_a_face_is_shown_also_while_new_drawings_keep_coming() -> None:
    async def script(page: Session, engine: Engine) -> None:
        encode = engine.models["photo-seg"].encode

        def draw_on(pixels: Any) -> Any:
            if (number := len(engine.done)) < 12:
                page.take(condition(number + 2, MAP + number))
                page.take(ask("face", number + 2))
            return encode(pixels)

        engine.models["photo-seg"].encode = draw_on
        page.take(condition(1, MAP))
        page.take(ask("face", 1))

    engine, sent = talk(script)
    kinds = [each.split()[0] for each in engine.done]
    assert kinds[:6] == ["encode", "encode", "face"] * 2
    assert kinds[-1] == "face"
    assert len(sent) == kinds.count("face")


def test_a_stroke_goes_before_the_strip_and_the_strip_goes_on_with_the_new_condition() -> None:
    async def script(page: Session, engine: Engine) -> None:
        page.take(condition(1, MAP))
        page.take(ask("strip", 1, *[{"source": "random", "number": number} for number in range(3)]))
        while len(engine.done) < 2:
            await asyncio.sleep(0)
        page.take(condition(2, MAP + 1))
        page.take(ask("face", 2))

    engine, sent = talk(script)
    first = engine.done.index("face 8 0")
    assert engine.done[:2] == ["encode 7", "face 7 0"]
    assert first <= 3
    assert engine.done[-2:] == ["face 8 1", "face 8 2"] or engine.done[-1] == "face 8 2"
    assert [each.header["index"] for each in sent if each.header["kind"] == "strip"] == [0, 1, 2]


def test_a_newer_strip_ends_the_older_one() -> None:
    async def script(page: Session, engine: Engine) -> None:
        page.take(condition(1, MAP))
        page.take(ask("strip", 1, *[{"source": "random", "number": number} for number in range(8)]))
        while len(engine.done) < 3:
            await asyncio.sleep(0)
        page.take(ask("strip", 2, {"number": 60}))

    engine, sent = talk(script)
    assert len(engine.done) < 6
    assert sent[-1].header["id"] == 2


def test_latents_come_as_a_file() -> None:
    async def script(page: Session, _: Engine) -> None:
        page.take(condition(1, MAP))
        page.take(ask("latents", 4))

    _, sent = talk(script)
    assert sent[0].header == {"kind": "latents", "id": 4}
    assert sent[0].payload.startswith(b"\x93NUMPY")
    assert np.frombuffer(sent[0].payload[-24:], "<f4").tolist() == [5.0] * 6


WRONG = [
    (b"", "0 bytes is no frame"),
    (b"\xff\xff\xff\xffabc", "is no frame"),
    (frames.pack({"a": 1})[:-1], "is no frame"),
    (b"\x02\x00\x00\x00\xff\xfe", "no text in UTF-8"),
    (b"\x02\x00\x00\x00[]", "needed: an object"),
    (b"\x02\x00\x00\x00{x", "no JSON"),
    (frames.pack({"id": -1}), "id is -1"),
    (
        frames.pack({"kind": "open", "model": "photo-seg"}),
        "kind is 'open'; needed: condition, face, strip, film, latents",
    ),
    (ask("face", 1, model="../../etc/passwd"), "model is '../../etc/passwd'; needed: photo-seg"),
    (ask("face", 1, {}, {}), "face came with 2 styles; needed: 1"),
    (ask("film", 1, {}), "film came with 1 styles; needed: 2"),
    (ask("film", 1, {}, {}, frames=1000), "frames is 1000; needed: a whole number from 2 to 48"),
    (ask("strip", 1, *[{}] * 65), "needed: a list of at most 64"),
    (ask("face", 1, {"alpha": 2}), "alpha is 2; needed: a number from 0 to 1"),
    (ask("face", 1, {"alpha": True}), "alpha is True"),
    (ask("face", 1, {"seed": 1 << 40}), "seed is 1099511627776"),
    (ask("face", 1, {"source": "file"}), "source is 'file'; needed: own, random, given"),
    (ask("face", 1, {"bytes": 10}), "bytes is 10"),
    (
        frames.pack({"kind": "face", "model": "photo-seg", "revision": 1, "styles": [3]}),
        "the style is 3; needed: an object",
    ),
    (ask("face", 1), "no condition of photo-seg has come yet"),
    (condition(1, MAP)[:-1], "a condition of 3 x 2 came with 5 bytes; needed: one per pixel"),
    (condition(1, np.zeros((1, 2000), np.uint8)), "width is 2000; needed: a whole number from 1 to 1024"),
    (frames.pack({"kind": "face", "pad": "x" * 20000}), "needed: a header of at most 16384 bytes"),
]


@pytest.mark.parametrize(("message", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_wrong_message_is_answered_with_what_is_wrong(message: bytes, said: str) -> None:
    async def script(page: Session, _: Engine) -> None:
        page.take(message)

    engine, sent = talk(script)
    assert [each.header["kind"] for each in sent] == ["error"]
    assert said in sent[0].header["message"]
    assert "\n" not in sent[0].header["message"]
    assert not engine.done


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["photo-seg", "face"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["bytes", "seed", "source"]), inner),
    max_leaves=6,
)
FIELDS = st.sampled_from(["kind", "id", "model", "revision", "styles", "frames", "width", "height"])
GOOD = {"kind": "strip", "id": 1, "model": "photo-seg", "revision": 1, "styles": [{}], "width": 3, "height": 2}


@settings(deadline=None)
@given(st.dictionaries(FIELDS, JSON), st.binary(max_size=40))
def test_no_message_breaks_a_session(changes: dict[str, Any], payload: bytes) -> None:
    async def run() -> None:
        page = Session(Engine(), asyncio.sleep)  # type: ignore[arg-type]
        page.take(frames.pack(GOOD | changes, payload))
        page.take(payload)

    asyncio.run(run())


def test_a_thousand_wrong_messages_are_not_kept() -> None:
    async def script(page: Session, _: Engine) -> None:
        for number in range(1000):
            page.take(ask("open", number))

    _, sent = talk(script)
    assert [each.header["id"] for each in sent] == [996, 997, 998, 999]


def test_films_do_not_pile_up() -> None:
    async def script(page: Session, engine: Engine) -> None:
        engine.open.clear()
        page.take(condition(1, MAP))
        for number in range(1, 100):
            page.take(ask("latents", number))
        assert len(page.asked) == session.MOST_ASKED
        engine.open.set()

    _, sent = talk(script)
    assert [each.header["id"] for each in sent if each.header["kind"] == "latents"] == [1, 2, 3, 4]
    assert "4 requests wait already" in [each.header for each in sent if each.header["kind"] == "error"][-1]["message"]


def test_styles_carry_their_latents_in_order() -> None:
    async def run() -> session.Request:
        page = Session(Engine(), asyncio.sleep)  # type: ignore[arg-type]
        styles = [{"source": "given", "bytes": 3}, {}, {"source": "given", "bytes": 2}]
        header = {"kind": "strip", "id": 1, "model": "photo-seg", "revision": 1, "styles": styles}
        page.take(frames.pack(header, b"abcde"))
        assert page.strip
        return page.strip

    assert [style.latents for style in asyncio.run(run()).styles] == [b"abc", b"", b"de"]


def test_a_page_that_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "PATIENCE", 0.05)

    async def run() -> None:
        page = Session(Engine(), lambda _: asyncio.sleep(60))  # type: ignore[arg-type]
        page.take(condition(1, MAP))
        page.take(ask("face", 1))
        await asyncio.wait_for(page.work(), 10)

    with pytest.raises(TimeoutError):
        asyncio.run(run())


def test_an_error_of_the_model_is_told_and_the_session_goes_on() -> None:
    async def script(page: Session, engine: Engine) -> None:
        def wrong(*_: object) -> None:
            raise InputError("mix_layers is 'x'; needed: layers")

        made, engine.models["photo-seg"].face = engine.models["photo-seg"].face, wrong
        page.take(condition(1, MAP))
        page.take(ask("face", 1))
        while page.face:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        engine.models["photo-seg"].face = made
        page.take(ask("face", 2))

    _, sent = talk(script)
    assert [each.header["kind"] for each in sent] == ["error", "face"]
    assert sent[0].header["message"] == "mix_layers is 'x'; needed: layers"
