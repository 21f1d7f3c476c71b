"""The server, as a page and as an attacker talk to it."""

from __future__ import annotations

import io
import struct
import threading
import time
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus

from facesynth import LabelScheme, Translator, get_scheme, images
from facesynth.errors import InputError
from facesynth.model.checkpoints import native
from facesynth.prep import draw, draw_portrait, resolve
from facesynth.studio import engine as engines
from facesynth.studio import frames, server, session
from facesynth.studio.engine import Engine, Style
from facesynth.studio.pictures import portrait_map

from ..model.recipe import tiny_config
from ..runs import model_of, save_model
from .conftest import Running, ask, condition

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from websockets.sync.client import ClientConnection


def receive(page: ClientConnection, kind: str) -> frames.Frame:
    """The next message of a kind."""
    while True:
        data = page.recv(timeout=60)
        assert isinstance(data, bytes)
        frame = frames.unpack(data)
        assert frame.header["kind"] in (kind, "strip", "face", "film", "about"), frame.header
        if frame.header["kind"] == kind:
            return frame


def picture(frame: frames.Frame) -> NDArray[np.uint8]:
    return np.frombuffer(frame.payload, np.uint8).reshape(frame.header["height"], frame.header["width"], 3)


def document(body: bytes) -> NDArray[np.uint8]:
    header, payload = frames.unpack(body)
    return np.frombuffer(payload, np.uint8).reshape(header["height"], header["width"])


def test_a_page_learns_what_there_is(studio: Running) -> None:
    with studio.open() as page:
        about = receive(page, "about").header
    sketch, labels = about["models"]
    assert (sketch["name"], sketch["kind"], sketch["output"]) == ("photo-sketch", "sketch", 128)
    assert (labels["name"], labels["kind"], labels["follows"]) == ("photo-seg", "map", True)
    assert labels["scheme"]["classes"][13] == "hair"
    assert labels["scheme"]["mirror"][4:6] == [5, 4]
    assert {"xdog", "fxdog:ink", "contours", "canny:outline"} <= set(about["methods"])
    for name in about["methods"]:
        assert resolve(name).method == name.partition(":")[0]


def test_faces_are_those_of_the_translator(studio: Running, drawn: NDArray[np.uint8]) -> None:
    translator = Translator.from_pretrained("photo-seg", device="cpu")
    styled = translator.translate(translator.read(drawn)[None], samples=4, seed=9, mix_layers="fine", mix_alpha=0.5)[0]
    other = translator.read(np.ascontiguousarray(drawn[:, ::-1]))[None]
    latents = translator.encode(other)[0]
    given = translator.translate(translator.read(drawn)[None], style=latents, truncation=0.7)[0, 0]
    style = {"source": "random", "seed": 9, "layers": "fine", "alpha": 0.5}
    with studio.open() as page:
        page.send(condition(1, drawn))
        page.send(ask("face", 1))
        assert np.array_equal(picture(receive(page, "face")), np.asarray(translator(drawn)))
        page.send(ask("strip", 2, *[{**style, "number": number} for number in range(4)]))
        for number in range(4):
            assert np.array_equal(picture(receive(page, "strip")), styled[number])
        data = latents.numpy().tobytes()
        taken = {"source": "given", "bytes": len(data), "truncation": 0.7}
        header = {"kind": "face", "id": 3, "model": "photo-seg", "revision": 1, "styles": [taken]}
        page.send(frames.pack(header, data))
        assert np.array_equal(picture(receive(page, "face")), given)
        page.send(frames.pack(header | {"styles": [taken | {"bytes": 8}]}, data[:8]))
        assert "the style has 8 bytes; needed: float32 latents of shape (12, 96)" in str(receive(page, "error"))


def test_a_film_goes_from_one_style_to_the_other(studio: Running, drawn: NDArray[np.uint8]) -> None:
    ends = [{"source": "random", "seed": 1, "number": number} for number in (0, 1)]
    with studio.open() as page:
        page.send(condition(1, drawn))
        faces = []
        for style in ends:
            page.send(ask("face", 1, style))
            faces.append(picture(receive(page, "face")))
        page.send(ask("film", 2, *ends, frames=4))
        film = [picture(receive(page, "film")) for _ in range(4)]
        file = receive(page, "film-file").payload
    assert np.array_equal(film[0], faces[0])
    assert np.array_equal(film[3], faces[1])
    distances = [np.abs(film[0].astype(int) - each).mean() for each in film]
    assert distances == sorted(distances)
    with Image.open(io.BytesIO(file)) as opened:
        assert (opened.format, opened.n_frames) == ("WEBP", 6)
        opened.seek(2)
        assert np.array_equal(np.asarray(opened.convert("RGB")), film[2])


def test_a_thousand_messages_give_the_newest_face(studio: Running, drawn: NDArray[np.uint8]) -> None:
    with studio.open() as page:
        for number in range(500):
            page.send(condition(number, np.roll(drawn, number % 7, axis=1)))
            page.send(ask("face", number))
        page.send(condition(1000, drawn))
        page.send(ask("face", 1000))
        received = [receive(page, "face")]
        while received[-1].header["id"] != 1000:
            received.append(receive(page, "face"))
    assert np.array_equal(
        picture(received[-1]), np.asarray(Translator.from_pretrained("photo-seg", device="cpu")(drawn))
    )
    assert len(received) < 500


def test_a_slow_reader_holds_up_nobody_and_is_let_go(
    studio: Running, engine: Engine, drawn: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PATIENCE", 1.0)
    large = np.zeros((1024, 1024, 3), np.uint8)
    monkeypatch.setattr(engine.models["photo-seg"], "face", lambda *_: large)
    with ExitStack() as stack:
        slow = stack.enter_context(studio.open(max_queue=1))
        slow.send(condition(1, drawn))
        slow.send(ask("strip", 1, *[{}] * 64))
        other = stack.enter_context(studio.open())
        other.send(condition(1, drawn))
        for number in range(3):
            other.send(ask("face", number))
            assert receive(other, "face").header["id"] == number
        patience = time.monotonic() + 30
        while studio.studio.pages > 1 and time.monotonic() < patience:
            time.sleep(0.02)
        assert studio.studio.pages == 1
        other.send(ask("face", 9))
        assert receive(other, "face").header["id"] == 9
        slow.socket.close()


def test_messages_and_pages_are_bounded(studio: Running) -> None:
    with studio.open() as page:
        receive(page, "about")
        page.send(bytes(server.MOST_MESSAGE + 1))
        with pytest.raises(ConnectionClosed) as closed:
            page.recv(timeout=20)
        assert closed.value.rcvd
        assert closed.value.rcvd.code == 1009
    settle(studio)
    with ExitStack() as stack:
        for _ in range(server.MOST_PAGES):
            receive(stack.enter_context(studio.open()), "about")
        with pytest.raises(InvalidStatus, match="403"), studio.open():
            pass
    settle(studio)
    with studio.open() as page:
        receive(page, "about")


def settle(studio: Running) -> None:
    """Wait until no page is open."""
    patience = time.monotonic() + 20
    while studio.studio.pages and time.monotonic() < patience:
        time.sleep(0.01)
    assert studio.studio.pages == 0


def test_a_picture_of_text_is_told(studio: Running) -> None:
    reply = studio.post("/picture", {"model": "photo-seg", "use": "photo"}, b"<p onload=alert(1)>")
    assert reply.status == 400
    assert b"the picture is not a picture" in reply.body


def bomb(width: int, height: int) -> bytes:
    """A small PNG that says it is large."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(8000, 8000), (30000, 30000), (1 << 30, 1 << 30)])
def test_a_bomb_is_refused_before_it_is_decoded(studio: Running, width: int, height: int) -> None:
    started = time.monotonic()
    for use in ("photo", "labels"):
        reply = studio.post("/picture", {"model": "photo-seg", "use": use}, bomb(width, height))
        assert reply.status == 400
        assert b"too large" in reply.body or b"needed: at most 50000000" in reply.body
    assert time.monotonic() - started < 5


def test_pictures_are_read_two_at_a_time(studio: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    started = threading.Semaphore(0)

    def wait(*_: object) -> NDArray[np.uint8]:
        started.release()
        let_go.wait(30)
        return np.zeros((512, 512), np.uint8)

    monkeypatch.setattr(server, "portrait_map", wait)
    header: dict[str, object] = {"model": "photo-seg", "number": 1}
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(studio.post("/portrait", header).status)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    started.acquire()
    patience = time.monotonic() + 20
    while studio.studio.uploads < 2 and time.monotonic() < patience:
        time.sleep(0.01)
    assert studio.post("/portrait", header).status == 429
    let_go.set()
    for thread in threads:
        thread.join()
    assert statuses == [200, 200]


def test_a_portrait_and_a_label_map(studio: Running, drawn: NDArray[np.uint8]) -> None:
    reply = studio.post("/portrait", {"model": "photo-seg", "number": 3})
    assert np.array_equal(document(reply.body), drawn)
    assert {1, 2, 13} <= set(np.unique(drawn).tolist())
    header: dict[str, object] = {"model": "photo-seg", "use": "labels"}
    again = studio.post("/picture", header, images.encode_png(drawn))
    assert np.array_equal(document(again.body), drawn)
    coloured = images.encode_png(images.colourise(drawn, Translator.from_pretrained("photo-seg").scheme))
    assert np.array_equal(document(studio.post("/picture", header, coloured).body), drawn)
    wrong = studio.post("/picture", header, images.encode_png(drawn + 200))
    assert wrong.status == 400
    assert b"celebamask-hq" in wrong.body


def test_a_photo_becomes_a_map_or_any_sketch(studio: Running, engine: Engine) -> None:
    photo = draw_portrait(5, 1, size=512).photo
    file = images.encode_png(photo)
    labels = document(studio.post("/picture", {"model": "photo-seg", "use": "photo"}, file).body)
    assert np.array_equal(labels, engine.parser.parse(photo))
    for method in ("xdog:ink", "canny", "contours"):
        reply = studio.post("/picture", {"model": "photo-sketch", "use": "photo", "method": method}, file)
        sketch = resolve(method)
        expected = draw(photo, sketch, labels=labels if sketch.needs_labels else None)
        assert np.array_equal(document(reply.body), expected)


def test_a_photo_of_paper_is_levelled_and_turned_over(studio: Running) -> None:
    drawing = np.full((400, 400), 255, np.uint8)
    drawing[100:300, 190:196] = 20
    shade = np.linspace(0.45, 0.8, 400)
    for paper in (drawing * shade[None], (255 - drawing) * shade[None] + 10):
        file = images.encode_png(np.repeat(paper.astype(np.uint8)[..., None], 3, axis=2))
        read = document(studio.post("/picture", {"model": "photo-sketch", "use": "paper"}, file).body)
        assert read[256, 246] < 60
        assert (read[:100] == 255).mean() > 0.95
        assert (read[:, :100] == 255).mean() > 0.95


def test_a_crop_is_a_square_of_the_picture(studio: Running, drawn: NDArray[np.uint8]) -> None:
    wide = np.zeros((512, 700), np.uint8)
    wide[:, 100:612] = drawn
    header: dict[str, object] = {"model": "photo-seg", "use": "labels"}
    file = images.encode_png(wide)
    assert np.array_equal(document(studio.post("/picture", {**header, "crop": [100, 0, 512]}, file).body), drawn)
    outside = document(studio.post("/picture", {**header, "crop": [-156, 0, 512]}, file).body)
    assert not outside[:, :256].any()
    assert np.array_equal(outside[:, 256:], drawn[:, :256])
    for crop in ([700, 0, 10], [0, 0, 0], [0, 0, 10**9], [0, 0], ["a", 0, 1], "x"):
        assert studio.post("/picture", {**header, "crop": crop}, file).status == 400


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"model": "photo-seg", "use": "paper"}, b"the picture comes as paper, but photo-seg takes label maps"),
        ({"model": "photo-sketch", "use": "labels"}, b"the picture comes as labels, but photo-sketch takes sketches"),
        ({"model": "photo-sketch", "use": "photo", "method": "oil"}, b"sketch method 'oil' is not known"),
        ({"model": "photo-sketch", "use": "/etc/passwd"}, b"needed: paper, photo, labels, drawn"),
        ({"use": "photo"}, b"model is None; needed: a text"),
    ],
)
def test_a_wrong_request_is_told(studio: Running, header: dict[str, object], said: bytes) -> None:
    reply = studio.post("/picture", header, images.encode_png(np.zeros((8, 8, 3), np.uint8)))
    assert reply.status == 400
    assert said in reply.body


def test_hosts() -> None:
    assert server.check_host("localhost", None)
    assert server.check_host("::1", None)
    assert not server.check_host("192.0.2.1", "x" * 16)
    for host in ("192.0.2.1", "box.example"):
        with pytest.raises(InputError, match="needed: --token"):
            server.check_host(host, None)
    for host in ("0.0.0.0", "::", "[::]"):
        with pytest.raises(InputError, match="every address of this machine"):
            server.check_host(host, "x" * 16)
    for token in ("short", "with space in it", "x" * 300):
        with pytest.raises(InputError, match="16 to 200 letters"):
            server.check_host("localhost", token)
    assert server.hosts_of("box.example", 8000, is_loopback=False) == ["box.example:8000"]
    assert server.hosts_of("::1", 8000, is_loopback=True)[0] == "[::1]:8000"
    assert "localhost" in server.hosts_of("127.0.0.1", 80, is_loopback=True)


def test_a_taken_port_is_told() -> None:
    with server.listen("127.0.0.1", 0) as one:
        port = one.getsockname()[1]
        with pytest.raises(InputError, match=f"cannot listen at 127.0.0.1, port {port}: .*; give another --port"):
            server.listen("127.0.0.1", port)


def test_checkpoints_of_one_name_are_told() -> None:
    with pytest.raises(InputError, match="two checkpoints are called photo-seg"):
        Engine(["photo-seg", "photo-seg"], device="cpu")


def test_models_of_ones_own_bring_their_classes(tmp_path: Path) -> None:
    scheme = LabelScheme("parts", ("none", "hair", "skin"))
    config = tiny_config(input_channels=3)
    file = tmp_path / "mine.safetensors"
    native.save(file, "model", model_of(config).state_dict(), config=config, task="seg2face", scheme=scheme, info={})
    made = Engine([str(file)], device="cpu")
    model = made.models["mine"]
    about = model.describe()
    assert about["scheme"]["classes"] == ["none", "hair", "skin"]
    labels = portrait_map(3, scheme)
    known = portrait_map(3, get_scheme("celebamask-hq"))
    assert np.array_equal(labels == 1, known == 13)
    assert np.array_equal(labels == 2, known == 1)
    assert np.array_equal(model.face(model.encode(labels), Style()), np.asarray(model.translator(labels)))
    with pytest.raises(InputError, match=r"the picture"):
        model.encode(labels + 1)
    with pytest.raises(InputError, match="cats shares no class with celebamask-hq"):
        portrait_map(3, LabelScheme("cats", ("none", "cat")))
    made.close()


def test_colours_of_a_style_are_those_of_the_command(tmp_path: Path) -> None:
    file = save_model(tmp_path / "coloured.safetensors", style_colours=("hair", "skin"))
    made = Engine([str(file)], device="cpu")
    model = made.models["coloured"]
    assert model.describe()["colours"] == ["hair", "skin"]
    encoded = model.encode(portrait_map(3, model.translator.scheme))
    chosen = {
        "source": "random",
        "seed": 3,
        "colours": {"skin": "#ffe0c0", "cloth": "#00ff00"},
    }  # no cloth in this model
    face, plain = (model.face(encoded, Style.of(each)) for each in (chosen, {"source": "random", "seed": 3}))
    condition = model.translator.read(portrait_map(3, model.translator.scheme))[None]
    wanted = model.translator.translate(condition, seed=3, samples=1, colours={"skin": "#ffe0c0"})[0, 0]
    assert np.array_equal(face, wanted)
    assert not np.array_equal(face, plain)
    for wrong, said in (({"skin": "no colour"}, "needed: #rrggbb"), ({"skin": 3}, "needed: a text"), ([], "an object")):
        with pytest.raises(InputError, match=said):
            model.face(encoded, Style.of({"source": "random", "colours": wrong}))
    made.close()


def test_models_of_photos_are_refused(tmp_path: Path) -> None:
    file = save_model(tmp_path / "photos.safetensors", "photo2face")
    with pytest.raises(
        InputError, match=r"photos\.safetensors takes photos; needed: a model of sketches or label maps"
    ):
        Engine([str(file)], device="cpu")


def test_a_core_is_left_to_the_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, threads in ((1, 1), (2, 1), (8, 7)):
        monkeypatch.setattr(engines.os, "sched_getaffinity", lambda _, count=cores: set(range(count)), raising=False)
        assert engines.threads() == threads
