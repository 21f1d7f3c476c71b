from __future__ import annotations

import io
import logging
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from huggingface_hub import constants

from facesynth.errors import CheckpointError
from facesynth.files import sha256
from facesynth.model.checkpoints import conversion, named, native
from facesynth.model.checkpoints.load import find, load_generator, load_model
from facesynth.model.inference.translator import Translator
from facesynth.model.losses.identity import load_identity

from ...hub import Hub, point_at, running_hub
from ...trees import leftovers
from .files import assert_same, saved

NAME = "psp-sketch-to-face"


def stored(content: object) -> bytes:
    """What ``torch.save`` writes."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub(tmp_path, monkeypatch) as running:
        yield running


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hub that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    point_at(f"http://127.0.0.1:{port}", tmp_path, monkeypatch)


def hashed(_: Path) -> str:
    raise AssertionError("a digest was computed again")


def test_the_table() -> None:
    assert set(named.PUBLISHED) == {
        *("psp-sketch-to-face", "psp-seg-to-face", "psp-ffhq-encode", "psp-super-resolution", "psp-frontalization"),
        *("e4e-ffhq", "restyle-e4e-ffhq", "stylegan2-ffhq", "ir-se50"),
    }
    for known in named.PUBLISHED.values():
        assert known.url.startswith(("https://huggingface.co/", "https://drive.google.com/"))
        assert bool(known.repository) != bool(known.link)
        assert re.fullmatch("[0-9a-f]{64}", known.sha256) or known.link
        assert known.source.startswith("https://github.com/")
    address = named.PUBLISHED["ir-se50"].url
    assert address == (
        "https://huggingface.co/lithiumice/ArcFace_PyTorch/resolve/main/InsightFace_Pytorch%2Bmodel_ir_se50.pth"
    )


def test_the_page_lists_the_table() -> None:
    page = (Path(__file__).parents[3] / "docs/translate.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| (model|generator|face recogniser)", page, re.MULTILINE)
    assert {name: holds.removeprefix("face ") for name, holds in rows} == {
        known.name: known.holds for known in named.PUBLISHED.values()
    }
    assert all(known.source in page for known in named.PUBLISHED.values())


def test_fetched_verified_and_converted_once(hub, psp, monkeypatch, caplog):
    known = hub.publish(NAME, stored(psp), monkeypatch)
    with caplog.at_level(logging.INFO, "facesynth"):
        given = load_model(NAME)
    (said,) = [record.getMessage() for record in caplog.records if record.name.startswith("facesynth")]
    size = f"{len(hub.files[hub.path(known)]) / 1e6:,.1f} MB"
    assert said == (
        f"{NAME}: downloading psp_celebs_sketch_to_face.pt, {size}, from {hub.url}{hub.path(known)}; "
        f"published by {known.source}; licence: {known.licence}"
    )
    assert given.path == named.folder() / f"{NAME}-{known.sha256[:16]}.safetensors"
    assert given.info["source"] == {"file": known.file, "format": "psp", "sha256": known.sha256}
    assert (given.info["published"], given.info["licence"]) == (NAME, known.licence)
    assert {path.name for path in named.folder().iterdir()} == {given.path.name, f".{NAME}.lock"}
    before, asked = given.path.stat(), len(hub.requests)
    monkeypatch.setattr(named, "sha256_of", hashed)
    assert_same(load_model(NAME).model_state(), given.model_state())
    assert load_generator(Path(NAME)).path == given.path
    assert len(hub.requests) == asked
    assert given.path.stat() == before


def test_the_tensors_are_those_of_the_file(hub, psp, tmp_path, monkeypatch):
    hub.publish(NAME, stored(psp), monkeypatch)
    assert_same(load_model(NAME).model_state(), load_model(saved(tmp_path, psp)).model_state())


def test_a_generator(hub, rosinality, tmp_path, monkeypatch):
    hub.publish("stylegan2-ffhq", stored(rosinality), monkeypatch)
    given, expected = load_generator("stylegan2-ffhq"), load_generator(saved(tmp_path, rosinality))
    assert_same(given.tensors, expected.tensors)
    assert torch.equal(given.latent_avg, expected.latent_avg)


def test_weights_of_the_wrong_kind_are_not_fetched(hub):
    asked = "train an encoder for it with `facesynth train --generator`; needed here: a model"
    with pytest.raises(CheckpointError, match=f"stylegan2-ffhq is a generator alone; {asked}"):
        load_model("stylegan2-ffhq")
    for load, needed in ((load_model, "a model"), (load_generator, "a model or a generator")):
        with pytest.raises(CheckpointError, match=f"ir-se50 is a face recogniser; .*needed here: {needed}$"):
            load("ir-se50")
    with pytest.raises(CheckpointError, match="ir-se50 is a face recogniser"):
        conversion.convert(Path("ir-se50"), Path("a"))
    with pytest.raises(CheckpointError, match="e4e-ffhq is a model; needed here: a recogniser"):
        load_identity("e4e-ffhq")
    assert hub.requests == []


def test_the_recogniser_is_kept_as_it_is(hub, monkeypatch):
    content = stored({"output_layer.3.weight": torch.zeros(2, 2)})
    known = hub.publish("ir-se50", content, monkeypatch)
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"ir-se50-[0-9a-f]{16}\.pth: the network lacks input_layer"):
            load_identity("ir-se50")
        monkeypatch.setattr(named, "sha256_of", hashed)
    assert named.converted(known).read_bytes() == content
    assert leftovers(named.folder()) == [named.folder() / ".ir-se50.lock"]


def test_a_file_that_the_loader_refuses(hub, monkeypatch):
    hub.publish("e4e-ffhq", stored({"state_dict": {}}), monkeypatch)
    with pytest.raises(CheckpointError, match=r"e4e_ffhq_encode\.pt"):
        load_model("e4e-ffhq")
    assert leftovers(named.folder()) == [named.folder() / ".e4e-ffhq.lock"]
    assert list(named.folder().glob("*.safetensors")) == []


@pytest.mark.slow  # huggingface_hub waits for a second
def test_a_broken_download_is_resumed(hub, psp, monkeypatch):
    content = stored(psp)
    hub.publish(NAME, content, monkeypatch)
    hub.breaks = 1
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    load_model(NAME)
    first, second = (wanted for method, wanted in hub.requests if method == "GET")
    assert first == ""
    assert second == f"bytes={len(content) // 2 // 1000 * 1000}-"


def test_a_damaged_file_is_refused_and_removed(hub, psp, monkeypatch):
    content = stored(psp)
    known = hub.publish(NAME, content, monkeypatch)
    hub.files[hub.path(known)] = content[:-1] + bytes([content[-1] ^ 1])
    hub.digests[hub.path(known)] = known.sha256
    monkeypatch.setattr("facesynth.model.checkpoints.torch_save.read", lambda *_: pytest.fail("the file was read"))
    with pytest.raises(CheckpointError) as refused:
        load_model(NAME)
    monkeypatch.undo()
    assert re.fullmatch(
        rf"/.*/{known.file} is damaged or another file: its SHA-256 is [0-9a-f]{{64}}; needed for {NAME}: {known.sha256}; "
        "it was removed; run the same again to fetch it anew",
        str(refused.value),
    )


def test_after_a_damaged_file_it_is_fetched_anew(hub, psp, tmp_path, monkeypatch):
    content = stored(psp)
    known = hub.publish(NAME, content, monkeypatch)
    hub.files[hub.path(known)] = content[:-1] + bytes([content[-1] ^ 1])
    hub.digests[hub.path(known)] = known.sha256
    with pytest.raises(CheckpointError, match="is damaged or another file"):
        load_model(NAME)
    assert [path for path in (tmp_path / "hub").rglob("*") if path.is_file() and path.stat().st_size > 1000] == []
    assert list(named.folder().glob("*.safetensors")) == []
    hub.files[hub.path(known)] = content
    assert load_model(NAME).task == "seg2face"


def test_another_file_on_the_hub_is_not_downloaded(hub, psp, monkeypatch):
    known = hub.publish(NAME, stored(psp), monkeypatch)
    hub.files[hub.path(known)] = b"another"
    with pytest.raises(
        CheckpointError, match=f"another file now, with SHA-256 {sha256(b'another')}; needed: {known.sha256}"
    ):
        load_model(NAME)
    assert [method for method, _ in hub.requests] == ["HEAD"]


def test_no_such_file_on_the_hub(hub, psp, monkeypatch):
    known = hub.publish(NAME, stored(psp), monkeypatch)
    hub.files.clear()
    says = (
        rf"{NAME} is not on this machine and was not fetched: the Hub has no such file any more; download {known.file}"
    )
    with pytest.raises(CheckpointError, match=says):
        load_model(NAME)


def by_hand(known: named.Published) -> str:
    return f"; download {known.file} from {known.url} and put it at {named.folder() / known.file}"


@pytest.mark.usefixtures("nowhere")
def test_without_network_it_says_so_at_once(monkeypatch):
    known = named.PUBLISHED[NAME]
    started = time.monotonic()
    with pytest.raises(CheckpointError) as refused:
        load_model(NAME)
    assert time.monotonic() - started < 5
    assert re.match(
        f"{NAME} is not on this machine and was not fetched: the Hub cannot be reached: ", str(refused.value)
    )
    assert str(refused.value).endswith(by_hand(known))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError) as refused:
        load_model(NAME)
    assert (
        str(refused.value)
        == f"{NAME} is not on this machine and was not fetched: HF_HUB_OFFLINE is set{by_hand(known)}"
    )


def test_a_hub_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr("facesynth.model.checkpoints.hub.PATIENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        point_at(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path, monkeypatch)
        with pytest.raises(CheckpointError, match=f"{NAME} is not on this machine and was not fetched: the Hub "):
            load_model(NAME)


@pytest.mark.usefixtures("nowhere")
def test_a_file_put_there_by_hand(psp, monkeypatch):
    content = stored(psp)
    known = Hub().publish(NAME, content, monkeypatch)
    named.folder().mkdir(parents=True)
    known.place.write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match=rf"{known.file} is damaged or another file: .*; put another copy of"):
        load_model(NAME)
    known.place.write_bytes(content)
    assert load_model(NAME).path == named.converted(known)


@pytest.mark.usefixtures("nowhere")
def test_what_the_cache_of_the_hub_holds_needs_no_network(psp, tmp_path, monkeypatch):
    content = stored(psp)
    known = Hub().publish(NAME, content, monkeypatch)
    root = tmp_path / "hub" / f"models--{known.repository.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs/main").write_text("0" * 40)
    (root / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (root / "snapshots" / ("0" * 40) / known.file).write_bytes(content)
    assert load_model(NAME).path == named.converted(known)


@pytest.mark.usefixtures("nowhere")
def test_what_is_on_a_drive_alone(psp, model):
    known = named.PUBLISHED["psp-seg-to-face"]
    with pytest.raises(CheckpointError) as refused:
        load_model(known.name)
    assert str(refused.value) == f"psp-seg-to-face is not on the Hugging Face Hub{by_hand(known)}"
    assert "https://drive.google.com/file/d/1VpEKc6E6yG3xhYuZ0cq8D2_1CbT0Dstz" in str(refused.value)
    known.place.write_bytes(stored(psp))
    first = load_model(known.name)
    assert first.path.parent == named.folder()
    assert_same(first.model_state(), model.state_dict())
    changed: dict[str, Any] = {**psp, "latent_avg": psp["latent_avg"] + 1}
    time.sleep(0.01)
    known.place.write_bytes(stored(changed))
    second = load_model(known.name)
    assert torch.equal(second.tensors["latent_avg"], changed["latent_avg"])
    known.place.unlink()
    assert load_model(known.name).path == second.path


def test_a_local_name_is_preferred(hub, psp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, psp, NAME)
    assert load_model(NAME).path == Path(NAME)
    (tmp_path / "stylegan2-ffhq").mkdir()
    with pytest.raises(CheckpointError, match=r"stylegan2-ffhq holds no model\.safetensors"):
        load_generator("stylegan2-ffhq")
    assert hub.requests == []
    assert find("portrait-seg").name == "portrait-seg.safetensors"


def test_from_pretrained(hub, psp, monkeypatch):
    known = hub.publish(NAME, stored(psp), monkeypatch)
    with pytest.raises(CheckpointError, match="is not on this machine and local_files_only is set; download"):
        Translator.from_pretrained(NAME, local_files_only=True, device="cpu")
    assert hub.requests == []
    assert Translator.from_pretrained(NAME, device="cpu").path == named.converted(known)
    asked = len(hub.requests)
    Translator.from_pretrained(NAME, local_files_only=True, device="cpu")
    assert len(hub.requests) == asked
    Translator.from_pretrained(NAME, force_download=True, device="cpu")
    assert [method for method, _ in hub.requests].count("GET") == 2


def test_converted_and_described_by_name(hub, psp, tmp_path, monkeypatch):
    known = hub.publish(NAME, stored(psp), monkeypatch)
    assert conversion.convert(Path(NAME), tmp_path / "a.safetensors") == "model"
    assert native.load(tmp_path / "a.safetensors").info["source"]["source"]["sha256"] == known.sha256
    described = conversion.describe(Path(NAME))
    assert ("published", NAME) in described
    assert ("converted from", f"{known.file} (psp), SHA-256 {known.sha256}") in described


def test_leftovers_of_a_killed_process_are_removed(hub, psp, monkeypatch):
    known = hub.publish(NAME, stored(psp), monkeypatch)
    named.folder().mkdir(parents=True)
    (named.folder() / f".{NAME}-{known.sha256[:16]}.safetensors.01234567.part").write_bytes(b"half")
    path = load_model(NAME).path
    assert safetensors.torch.load_file(path)
    assert leftovers(named.folder()) == [named.folder() / f".{NAME}.lock"]
