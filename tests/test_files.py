"""Files that are whole or not there, folders that can be written, and locks that go with their holder."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from facesynth import files
from facesynth.errors import InputError, OutputError
from facesynth.files import locked, make_folder, pictures_in, replacing, write_bytes, write_text

from .trees import PATIENCE, contents, leftovers, times

HOLD = """
import sys, time
from pathlib import Path
from facesynth.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_replacing_puts_the_new_file_in_place(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with replacing(tmp_path / "a", sync=True) as beside:
        beside.write_text("new")
        assert (tmp_path / "a").read_text() == "old"
    assert contents(tmp_path) == {"a": b"new"}


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), ValueError("x"), KeyboardInterrupt()]
)
def test_replacing_leaves_the_old_file_on_failure(tmp_path: Path, error: BaseException) -> None:
    def write_half() -> None:
        with replacing(tmp_path / "a") as beside:
            beside.write_text("ne")
            raise error

    (tmp_path / "a").write_text("old")
    with pytest.raises(OutputError if isinstance(error, OSError) else type(error)) as raised:
        write_half()
    assert contents(tmp_path) == {"a": b"old"}
    if isinstance(error, OSError):
        assert str(raised.value) == f"cannot write {tmp_path / 'a'}: No space left on device"


def test_bytes_that_are_there_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_bytes(path, b"same")
    os.utime(path, (1, 1))
    before = times(tmp_path)
    write_bytes(path, b"same")
    assert times(tmp_path) == before
    write_bytes(path, b"some")
    assert path.read_bytes() == b"some"
    path.rename(tmp_path / "b.png")
    path.symlink_to("b.png")
    write_bytes(path, b"some")
    assert not path.is_symlink()  # a folder that is copied without what its links lead to is whole


def test_a_file_takes_the_place_of_another_when_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda number: flushed.append(Path(os.readlink(f"/proc/self/fd/{number}")).name))
    write_bytes(tmp_path / "a", b"first")
    assert flushed == []
    write_bytes(tmp_path / "a", b"second")
    assert len(flushed) == 1
    assert flushed.pop().startswith(".a.")
    write_bytes(tmp_path / "b", b"first", sync=True)
    assert flushed[1:] == [tmp_path.name]


@pytest.mark.parametrize("count", [2, 20])
@pytest.mark.parametrize("has_call", [True, False])
def test_files_and_their_folders_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, has_call: bool
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda number: flushed.append(os.readlink(f"/proc/self/fd/{number}")))
    calls: list[int] = []
    monkeypatch.setattr(files, "_syncfs", lambda: (lambda number: calls.append(number)) if has_call else None)
    (tmp_path / "in" / "ner").mkdir(parents=True)
    names = [f"in/ner/{number}" for number in range(count)]
    for name in names:
        (tmp_path / name).touch()
    files.sync_files(tmp_path, names)
    if has_call and count == 20:
        assert (len(calls), flushed) == (1, [])
    else:
        folders = [tmp_path, tmp_path / "in", tmp_path / "in/ner"]
        assert sorted(flushed) == sorted(map(str, [*folders, *(tmp_path / name for name in names)]))
    files.sync_files(tmp_path, ["removed"])
    with pytest.raises(OutputError, match="cannot write"):
        files.sync_files(tmp_path / "absent", ["removed"])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the call")
def test_a_file_system_is_synced(tmp_path: Path) -> None:
    assert files._sync_file_system(tmp_path)


def test_writing_below_a_file_names_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*file/a: Not a directory"):
        write_bytes(tmp_path / "file" / "a", b"x")


def test_text_that_is_there_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "größer\n")
    os.utime(path, (1, 1))
    before = times(tmp_path)
    write_text(path, "größer\n")
    assert times(tmp_path) == before
    write_text(path, "kleiner\n")
    assert path.read_text("utf-8") == "kleiner\n"
    assert times(tmp_path) != before


def test_make_folder_makes_all_above_and_leaves_nothing(tmp_path: Path) -> None:
    made = make_folder(tmp_path / "a" / "b")
    assert made.is_dir()
    assert make_folder(made) == made
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("path", "reason"), [("file", "it is a file; give a folder"), ("file/below", "Not a directory")]
)
def test_make_folder_refuses_files(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=f"cannot write into .*{path}: {reason}"):
        make_folder(tmp_path / path)


def test_make_folder_refuses_a_folder_that_takes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(OutputError, match="Permission denied; give a folder that you may write"):
        make_folder(tmp_path)


def test_lock_keeps_others_out_until_its_holder_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(OutputError, match="is being written by another facesynth command"), locked(tmp_path):
                pytest.fail("locked twice")
        finally:
            holder.send_signal(signal.SIGKILL)
    with locked(tmp_path):
        assert leftovers(tmp_path)
    assert leftovers(tmp_path) == []


def test_lock_and_leftovers_go_with_an_error(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()

    def fail() -> None:
        with locked(tmp_path):
            (tmp_path / "inner/.a.png.0123cafe.part").touch()
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert leftovers(tmp_path) == []
    with locked(tmp_path):
        pass


def test_pictures_by_name_and_suffix(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", "notes.txt", "other.dat"):
        (tmp_path / name).touch()
    found = pictures_in([tmp_path / "other.dat", tmp_path])
    assert [path.name for path in found] == ["other.dat", "a.jpeg", "b.PNG"]


@pytest.mark.parametrize(("name", "reason"), [("", "no picture in"), ("absent.png", "does not exist; give a picture")])
def test_no_pictures(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        pictures_in([tmp_path / name])


def test_locking_takes_away_what_killed_processes_left(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in (".a.png.12ab34cd.part", "inner/.b.part.00000045.part", "inner/b.part", ".c.part", ".d.cafe.part"):
        (tmp_path / name).touch()
    with locked(tmp_path):
        pass
    assert contents(tmp_path).keys() == {"inner/b.part", ".c.part", ".d.cafe.part"}


def test_two_processes_write_one_file_without_meeting(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from facesynth.files import replacing\n"
    code += "with replacing(Path(sys.argv[1])) as beside: beside.write_text('theirs'); input()"
    other = subprocess.Popen([sys.executable, "-c", code, tmp_path / "a"], stdin=subprocess.PIPE, text=True)
    while not list(tmp_path.glob(".a.*.part")):
        assert other.poll() is None
    write_text(tmp_path / "a", "ours")
    assert contents(tmp_path)["a"] == b"ours"
    other.communicate("\n", timeout=PATIENCE)
    assert contents(tmp_path) == {"a": b"theirs"}
