"""``facesynth prep``: killed and started again, wrong input, full and read-only disks."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from facesynth.cli import main

from ..trees import COMMAND, PATIENCE, contents, facesynth, leftovers

COUNT = 12
DONE = {"sample": "CelebA-HQ-img/*.jpg", "masks": "labels/*.png", "sketches": "sketches/dodge/*.png"}
STAGES = pytest.mark.parametrize("stage", DONE)


def arguments(stage: str, raw: Path, out: Path) -> list[object]:
    """A stage's command; the sketches' blur is so wide that they take their time."""
    return {
        "sample": ["prep", "sample", out, "-n", COUNT, "--size", 128, "-q"],
        "masks": ["prep", "masks", raw, "--out", out, "-q"],
        "sketches": ["prep", "sketches", raw, "--out", out, "--method", "dodge", "--sigma", 2000, "-q"],
    }[stage]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What each stage writes when nothing stops it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for stage in DONE:
        done = facesynth(*arguments(stage, folder / "sample", folder / stage))
        assert (done.returncode, done.stderr) == (0, "")
        assert f": {COUNT} written, 0 already there, 0 failed" in done.stdout
        assert len(list((folder / stage).glob(DONE[stage]))) == COUNT
    return {stage: folder / stage for stage in DONE}


def run_and_kill(command: list[object], has_come_far: Callable[[], bool]) -> bool:
    """Start a command, and tell whether it had to be killed, with all its processes, once it had come far enough."""
    process = subprocess.Popen(
        [COMMAND, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while process.poll() is None and not has_come_far():
        time.sleep(0.002)
    is_running = process.poll() is None
    if is_running:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return is_running


@pytest.mark.slow
@STAGES
def test_killed_runs_end_up_like_an_undisturbed_one(stage: str, undisturbed: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = arguments(stage, undisturbed["sample"], out)
    reached = []

    def done() -> int:
        return len(list(out.glob(DONE[stage])))

    for goal in (1, COUNT // 3, 2 * COUNT // 3):
        run_and_kill(command, lambda goal=goal: done() >= goal)
        reached.append(done())
        assert not (out / "manifest.csv").exists() or reached[-1] == COUNT
    assert any(0 < number < COUNT for number in reached), reached
    last = facesynth(*command)
    assert (last.returncode, last.stderr) == (0, "")
    assert f"{COUNT - reached[-1]} written" in last.stdout or stage != "sample"
    assert contents(out) == contents(undisturbed[stage])
    assert leftovers(out) == []


@pytest.mark.slow
def test_killed_twenty_times_at_random_moments(undisturbed: dict[str, Path], tmp_path: Path) -> None:
    out, rng = tmp_path / "out", random.Random(20)
    drawing = ("prep", "sketches", out, "--out", out, "--method", "xdog", "--method", "dodge", "-q")
    commands = (arguments("masks", undisturbed["sample"], out), list(drawing))
    for command in commands:
        assert facesynth(*command).returncode == 0
    whole, lasts = contents(out), []
    for command in commands:
        started = time.monotonic()
        assert facesynth(*command, "--force").returncode == 0
        lasts.append(time.monotonic() - started)
    assert contents(out) == whole
    shutil.rmtree(out)
    killed = 0
    for number in range(200):  # some runs are done before their moment has come
        # Forced runs begin anew, so that the later kills meet work as well.
        command = [*commands[number % 2], *(["--force"] if killed >= 10 or rng.random() < 0.5 else [])]
        end = time.monotonic() + rng.uniform(0.0, lasts[number % 2])
        killed += run_and_kill(command, lambda end=end: time.monotonic() >= end)
        if killed == 20:
            break
    assert killed == 20
    for command in commands:
        last = facesynth(*command)
        assert (last.returncode, last.stderr) == (0, "")
    assert contents(out) == whole
    assert leftovers(out) == []


@pytest.mark.slow
def test_workers_that_outlive_a_killed_command_do_no_harm(undisturbed: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = arguments("masks", undisturbed["sample"], out)
    process = subprocess.Popen([COMMAND, *map(str, command)], stderr=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and not list(out.glob(DONE["masks"])):
        time.sleep(0.002)
    process.kill()
    process.wait()
    last = facesynth(*command)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    assert (last.returncode, last.stderr) == (0, "")
    written = {name: data for name, data in contents(out).items() if not name.endswith(".part")}
    assert written == contents(undisturbed["masks"])


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["processes", "threads"])
@pytest.mark.parametrize("moment", ["at the start", "in the middle"])
def test_an_interrupt_is_one_line(undisturbed: dict[str, Path], tmp_path: Path, backend: str, moment: str) -> None:
    out = tmp_path / "out"
    command = [*arguments("sketches", undisturbed["sample"], out), "--backend", backend]
    process = subprocess.Popen(
        [COMMAND, *map(str, command)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which jobs in the background don't hear
    )
    wanted = (".stages/*.jsonl", 0) if moment == "at the start" else (DONE["sketches"], 1)
    while process.poll() is None and len(list(out.glob(wanted[0]))) <= wanted[1]:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    told = process.communicate(timeout=PATIENCE)
    stopped = "\nfacesynth: stopped; run the same command again to continue\n"
    assert told[0] == ""
    # A worker that is only just starting may say that it was interrupted; joblib starts some where nobody can keep it from.
    assert told[1].endswith(stopped) if backend == "processes" else told[1] == stopped
    assert process.returncode == 130
    last = facesynth(*command)
    assert (last.returncode, last.stderr) == (0, "")
    assert contents(out) == contents(undisturbed["sketches"])


# --- wrong input ---


def run_main(monkeypatch: pytest.MonkeyPatch, *command: object) -> object:
    """Run the command line in this process, and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["facesynth", *map(str, command)])
    with warnings.catch_warnings(), pytest.raises(SystemExit) as left:
        main()
    return left.value.code or 0


SAMPLE, DRAW = ("prep", "sample"), ("prep", "sketches", "{raw}", "--out", "{out}")
WRONG = {
    "raw missing": (("prep", "masks", "{tmp}/absent", "--out", "{out}"), "absent does not exist; give the unpacked"),
    "raw name too long": (("prep", "masks", "{tmp}/" + "a" * 300, "--out", "{out}"), "File name too long"),
    "raw a file": (("prep", "masks", "{tmp}/file", "--out", "{out}"), "file is a file; give the unpacked"),
    "raw empty": (("prep", "masks", "{tmp}/empty", "--out", "{out}"), "looked for CelebA-HQ-img/ and CelebAMask"),
    "sketches of nothing": (("prep", "sketches", "{tmp}/empty", "--out", "{out}"), "found nothing"),
    "out a file": (("prep", "masks", "{raw}", "--out", "{tmp}/file"), "it is a file; give a folder"),
    "out below a file": (("prep", "masks", "{raw}", "--out", "{tmp}/file/out"), "Not a directory"),
    "sample below a file": ((*SAMPLE, "{tmp}/file/out", "-n", 1, "--size", 64), "Not a directory"),
    "sigma 0": ((*DRAW, "--sigma", 0), "sigma is 0.0; needed"),
    "sigma endless": ((*DRAW, "--sigma", "inf"), "sigma is inf; needed"),
    "k 1": ((*DRAW, "--k", 1), "k is 1.0; needed"),
    "epsilon no number": ((*DRAW, "--epsilon", "nan"), "epsilon is nan; needed"),
    "count 0": ((*SAMPLE, "{out}", "-n", 0), "count is 0; needed: 1 to 100000"),
    "seed -1": ((*SAMPLE, "{out}", "--seed", -1), "seed is -1; give a whole number"),
    "size 50": ((*SAMPLE, "{out}", "--size", 50), "size is 50; give a whole number from 64"),
    "jobs 0": ((*SAMPLE, "{out}", "-j", 0), "jobs is 0; needed"),
    "masks with jobs 0": (("prep", "masks", "{raw}", "--out", "{out}", "-j", 0), "jobs is 0; needed"),
    "size 5": ((*DRAW, "--size", 5), "size is 5; needed: 16 to 4096 pixels"),
    "preset unknown": ((*DRAW, "--method", "xdog:oil"), "xdog has no preset 'oil'; give one of: "),
    "method twice": ((*DRAW, "--method", "xdog", "--method", "xdog"), "the sketch xdog is requested twice"),
    "parameter of two": ((*DRAW, "--method", "xdog", "--method", "dodge", "--p", 3), "--p needs one --method"),
    "contours of a raw tree": ((*DRAW, "--method", "contours"), "contours needs label maps and"),
    "blank of a raw tree": ((*DRAW, "--background", "blank"), "--background blank needs label maps and"),
    "masks of size 0": (("prep", "masks", "{raw}", "--out", "{out}", "--size", 0), "size is 0; needed: 16 to"),
    "scheme unknown": (("prep", "masks", "{raw}", "--out", "{out}", "--scheme", "faces"), "'faces'"),
    "shares too large": (
        ("prep", "masks", "{raw}", "--out", "{out}", "--val", 2),
        "the share val is 2.0; needed: 0 to 1",
    ),
    "no split list": (
        ("prep", "masks", "{raw}", "--out", "{out}", "--split-file", "{tmp}/absent"),
        "cannot read the sp",
    ),
    "list and shares": (
        ("prep", "masks", "{raw}", "--out", "{out}", "--split-file", "{tmp}/file", "--val", 0.2),
        "--split-file and --val or --test both define the splits",
    ),
    "scheduler of none": (
        ("prep", "masks", "{raw}", "--out", "{out}", "--scheduler", "tcp://x"),
        "a scheduler is for --backend dask or ray; processes has none",
    ),
    "photos of size 1": (("prep", "photos", "{raw}", "--out", "{out}", "--size", 1), "size is 1; needed: 16 to"),
    "pairs of nothing": (
        ("prep", "pairs", "{tmp}/empty", "{raw}", "--kind", "labels", "--out", "{out}"),
        "no picture in",
    ),
    "pairs of one folder": (
        ("prep", "pairs", "{tmp}/empty", "{tmp}/empty", "--kind", "labels", "--out", "{out}"),
        "was given both for the photos and for the labels; give two folders",
    ),
    "pairs named as a method": (
        ("prep", "pairs", "{tmp}/empty", "{raw}", "--kind", "sketch", "--out", "{out}", "--name", "xdog-mine"),
        "'xdog-mine' cannot name your sketches; needed: a folder name that is no method",
    ),
    "check of nothing": (("prep", "check", "{tmp}/empty"), "empty is not a dataset folder: manifest.csv is missing"),
    "unknown method": ((*DRAW, "--method", "pen"), "'pen' is not known; give one of: dodge, xdog"),
    "dodge with p": ((*DRAW, "--method", "dodge", "--p", 3), "dodge has no parameter 'p'; it takes: sigma"),
}


@pytest.mark.parametrize(("command", "reason"), WRONG.values(), ids=WRONG)
def test_wrong_input_is_one_line(
    raw: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[object, ...],
    reason: str,
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    places = {"tmp": tmp_path, "raw": raw, "out": tmp_path / "out"}
    assert run_main(monkeypatch, *(str(item).format(**places) for item in command)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert reason in err
    lines = [line for line in err.splitlines() if line and not line.startswith(("Usage:", "Try "))]
    assert len(lines) == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "file"]


def test_failed_photos_are_named_and_exit_1(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = shutil.copytree(raw, tmp_path / "raw")
    (tree / "CelebA-HQ-img" / "4.jpg").write_bytes(b"")
    assert run_main(monkeypatch, "prep", "masks", tree, "--out", tmp_path / "data", "-q", "-j", 1) == 1
    out, err = capsys.readouterr()
    assert ": 5 written, 0 already there, 1 failed; manifest: " in out
    named, summary = err.splitlines()
    assert named.startswith("00004: ")
    assert summary == f"1 failed (all in {tmp_path / 'data' / 'report.csv'})"


def test_findings_are_counted_and_are_no_failure(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tree, data = shutil.copytree(raw, tmp_path / "raw"), tmp_path / "data"
    shutil.copyfile(tree / "CelebA-HQ-img" / "4.jpg", tree / "CelebA-HQ-img" / "four.jpg")
    command = ("prep", "masks", tree, "--out", data, "-q", "-j", 1)
    assert run_main(monkeypatch, *command) == 0
    assert capsys.readouterr().out.splitlines()[1] == f"found: no-id 1 (see {data / 'report.html'})"
    assert run_main(monkeypatch, *command, "--strict") == 1
    assert capsys.readouterr().err.splitlines() == [
        "CelebA-HQ-img/four.jpg: needed: <id>.jpg or <id>.png",
        f"1 failed (all in {data / 'report.csv'})",
    ]


def test_sketches_that_are_out_of_date_are_told(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tree, data = shutil.copytree(raw, tmp_path / "raw"), tmp_path / "data"
    for command in (("masks", tree), ("sketches", data)):
        assert run_main(monkeypatch, "prep", *command, "--out", data, "-q", "-j", 1) == 0
    shutil.copyfile(tree / "CelebA-HQ-img" / "4.jpg", tree / "CelebA-HQ-img" / "2.jpg")
    capsys.readouterr()
    assert run_main(monkeypatch, "prep", "masks", tree, "--out", data, "-q", "-j", 1) == 0
    found, old = capsys.readouterr().out.splitlines()[1:]
    assert found.startswith("found: same-photo 1 (see ")
    assert old == "out of date and removed from the manifest: sketch_xdog 1; run the commands that made them again"


@pytest.mark.slow
def test_progress_where_there_is_no_terminal(raw: Path, tmp_path: Path) -> None:
    done = facesynth("prep", "masks", raw, "--out", tmp_path / "data", "-j", 1)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("label maps: 100%")
    assert "6/6" in line


# --- disks ---


def mount(folder: Path, options: str) -> None:
    command = shutil.which("mount")
    done = command and subprocess.run(
        [command, "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
    )
    if not done or done.returncode:
        pytest.skip("needs the right to mount a tmpfs")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on which to mount a small disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    yield folder
    subprocess.run(["umount", folder], capture_output=True, check=False)


@pytest.mark.slow
@STAGES
def test_full_disk(stage: str, undisturbed: dict[str, Path], disk: Path) -> None:
    mount(disk, "size=100k")
    out = disk / "out"
    command = arguments(stage, undisturbed["sample"], out)
    stopped = facesynth(*command, "-j", 2)
    assert (stopped.returncode, stopped.stdout) == (2, "")
    line = rf"facesynth: cannot write {re.escape(str(out))}/[^\n]*No space left on device\n"
    assert re.fullmatch(line, stopped.stderr), stopped.stderr
    assert leftovers(out) == []
    assert not (out / "manifest.csv").exists()
    written = {name: data for name, data in contents(out).items() if not name.startswith(".stages")}
    assert written.items() <= contents(undisturbed[stage]).items()
    mount(disk, "remount,size=64m")
    assert facesynth(*command).returncode == 0
    assert contents(out) == contents(undisturbed[stage])


@STAGES
def test_read_only_disk(
    stage: str, raw: Path, disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mount(disk, "ro,size=1m")
    assert run_main(monkeypatch, *arguments(stage, raw, disk / "out")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"facesynth: cannot write into {disk / 'out'}: Read-only file system")
