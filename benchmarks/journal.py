"""The journal of a preparation beside a table of SQLite: ``python benchmarks/journal.py [30000]``.

Both are given to the same runs, whose photos take no work: a first run of so many ids, the same again, and reading all
entries. The table has a row a photo, committed as it happens to a write-ahead log that is not flushed to the disk, and at the
end is copied in order of the ids, so that it, too, is the file of a run that was never killed. In turns, which comes first
changing; printed are medians, and those of the ratios, the table's time over the journal's. Then 16 bytes of the finished file
of 150 ids are changed at a random place, forty times each: what runs of the same ids make of it.
"""

from __future__ import annotations

import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

from facesynth.files import make_folder, replacing
from facesynth.prep.pipeline import run as pipeline
from facesynth.prep.pipeline.journal import Columns, Done, Journal, Task, make_key, read_journal, settle_journals
from facesynth.prep.pipeline.workers import Workers

RUNS = 5
DAMAGED, TRIALS = 150, 40
STAGE = "masks"
KEY = make_key(STAGE)
COLUMNS = {
    "photo_sha256": "a" * 64,
    "labels_sha256": "b" * 64,
    "classes": " ".join(map(str, range(16))),
    "class_pixels": " ".join(["12345"] * 16),
}
ROWS = "entries (id BLOB PRIMARY KEY, entry BLOB NOT NULL) WITHOUT ROWID"


class Table(Journal):
    """The same, kept in ``.stages/<stage>.sqlite``."""

    def __init__(self, root: Path, stage: str, _count: int) -> None:
        self.root, self.stage = root, stage
        self.path = root / ".stages" / f"{stage}.sqlite"
        make_folder(self.path.parent)
        self._database = sqlite3.connect(self.path, isolation_level=None)
        for line in (
            "PRAGMA locking_mode = EXCLUSIVE",
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = OFF",
            f"CREATE TABLE IF NOT EXISTS {ROWS}",
            "CREATE TEMP TABLE seen (id BLOB PRIMARY KEY) WITHOUT ROWID",
        ):
            self._database.execute(line)

    def check(self, _: int, task: Task, agrees: Callable[[str, Columns], bool]) -> bool:
        """As the journal."""
        found = self._database.execute("SELECT entry FROM entries WHERE id = ?", (key_of(task.id),)).fetchone()
        try:
            entry = json.loads(found[0]) if found else {}
        except ValueError:
            return False
        if entry.get("key") != task.keys[self.stage] or not self._has_files(entry["files"]):
            return False
        if not agrees(task.id, entry["columns"]):
            return False
        self._database.execute("REPLACE INTO seen VALUES (?)", (key_of(task.id),))
        return True

    def _append(self, _: int, entry: Mapping[str, Any]) -> None:
        key = key_of(entry["id"])
        self._database.execute("REPLACE INTO entries VALUES (?, ?)", (key, json.dumps(entry).encode()))
        self._database.execute("REPLACE INTO seen VALUES (?)", (key,))

    def finish(self) -> None:
        """As the journal."""
        with replacing(self.path, keep_same=True) as beside:
            for line in (
                f"ATTACH '{beside}' AS whole",
                "PRAGMA whole.journal_mode = OFF",
                "BEGIN",
                f"CREATE TABLE whole.{ROWS}",
                "INSERT INTO whole.entries SELECT * FROM main.entries WHERE id IN seen ORDER BY id",
                "COMMIT",
            ):
                self._database.execute(line)
            self.close()

    def close(self) -> None:
        """As the journal."""
        self._database.close()


def key_of(identifier: str) -> bytes:
    """Sorts as the id does, whatever file names have in it."""
    return identifier.encode("utf-8", "surrogatepass")


def read_table(root: Path) -> Iterator[dict[str, Any]]:
    with closing(sqlite3.connect(root / ".stages" / f"{STAGE}.sqlite")) as database:
        for (entry,) in database.execute("SELECT entry FROM entries ORDER BY id"):
            yield json.loads(entry)


def read_lines(root: Path) -> Iterator[dict[str, Any]]:
    settle_journals(root)
    return read_journal(root, STAGE)


WAYS = {"journal": (Journal, read_lines), "table": (Table, read_table)}


def done(todo: tuple[str, ...]) -> Mapping[str, Done]:
    return {stage: Done(COLUMNS) for stage in todo}


class Tasks:
    """Photos that need nothing."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Task]:
        for number in range(self.count):
            name = f"{number:05d}"
            yield Task(name, {"id": name}, {STAGE: KEY}, done, ())


def run(way: str, root: Path, count: int) -> int:
    """Photos that were done, not found done."""
    with mock.patch.object(pipeline, "Journal", WAYS[way][0]):
        outcome = pipeline.run_stages(root, [STAGE], Tasks(count), is_path=lambda _: False, workers=Workers(1))
    return outcome.written


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def compare(count: int) -> None:
    times: dict[str, dict[str, list[float]]] = {}
    for turn in range(RUNS):
        for way in sorted(WAYS, reverse=bool(turn % 2)):
            with tempfile.TemporaryDirectory() as folder:
                root = Path(folder)
                for what, work in {
                    "a first run": lambda way=way, root=root: run(way, root, count),
                    "the same again": lambda way=way, root=root: run(way, root, count),
                    "reading it": lambda way=way, root=root: sum(1 for _ in WAYS[way][1](root)),
                }.items():
                    times.setdefault(what, {}).setdefault(way, []).append(seconds(work))
    for what, took in times.items():
        ratio = statistics.median(two / one for one, two in zip(took["journal"], took["table"], strict=True))
        told = ", ".join(f"{way} {statistics.median(took[way]):.2f} s" for way in WAYS)
        print(f"{count} ids, {what}: {told}; the table's over the journal's {ratio:.2f}", flush=True)


def damage(way: str) -> None:
    """What comes of a finished file that has been changed."""
    rng, came, again = random.Random(0), Counter[str](), []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        run(way, root, DAMAGED)
        (path,) = (root / ".stages").iterdir()
        whole = path.read_bytes()
        for _ in range(TRIALS):
            for left in path.parent.iterdir():
                left.unlink()
            place = rng.randrange(len(whole) - 16)
            path.write_bytes(whole[:place] + rng.randbytes(16) + whole[place + 16 :])
            try:
                settle_journals(root)
                again.append(run(way, root, DAMAGED))
                came["as never damaged" if path.read_bytes() == whole else "another file"] += 1
            except Exception as error:
                came[f"{type(error).__name__}: {error}"] += 1
    print(
        f"{way}, {TRIALS} times damaged: {dict(came)}; at most {max(again, default=0)} of {DAMAGED} photos done again"
    )


if __name__ == "__main__":
    compare(int(sys.argv[1]) if sys.argv[1:] else 30_000)
    for name in WAYS:
        damage(name)
