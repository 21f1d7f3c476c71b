"""Attack facesynth for as long as one likes: ``python -m tests.attack --seconds 3600``.

Every attack is made by a seed and a number: ``--seed S --number N --count 1`` repeats one. What went wrong is printed, and the
files of the first hundred such attacks are kept below ``--keep``.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # a process with threads cannot be forked safely

import argparse
import sys
import tempfile
from pathlib import Path

from .campaign import KINDS, Campaign


def main() -> int:
    parser = argparse.ArgumentParser(description="Hostile inputs for facesynth.")
    parser.add_argument("--seconds", type=float, default=180, help="how long")
    parser.add_argument("--count", type=int, default=0, help="at most so many attacks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(KINDS), action="append", help="these kinds alone")
    parser.add_argument("--number", type=int, default=0, help="the first attack's number")
    parser.add_argument("--keep", type=Path, default=Path("attack-found"), help="folder for what went wrong")
    options = parser.parse_args()
    in_memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # spares the disk
    with tempfile.TemporaryDirectory(prefix="attack-", dir=in_memory) as folder:
        os.chmod(folder, 0o755)
        campaign = Campaign(Path(folder), options.seed, kinds=options.only, keep=options.keep, log=_log)
        campaign.run(options.seconds, first=options.number, most=options.count or None)
        print(campaign.summary())
    return 1 if campaign.found else 0


def _log(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
