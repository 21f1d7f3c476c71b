"""The text of a run's plan: its settings as YAML, what it trains on, and the memory that a step takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

_MEBIBYTE = 1 << 20


def plan_text(
    settings: Mapping[str, Any], lines: Sequence[str], memory: float, shares: Mapping[str, float], note: str = ""
) -> str:
    """The plan of a run in words.

    Parameters
    ----------
    settings : mapping
        The settings, as plain values.
    lines : sequence of str
        What the run trains, and on how many photos.
    memory : float
        Peak memory of a step in one process, bytes.
    shares : mapping of str to float
        What it consists of, bytes by name.
    note : str
        Where the last share occurs.
    """
    named = ", ".join(f"{name} {count / _MEBIBYTE:,.0f}" for name, count in shares.items())
    return "\n".join(
        [
            yaml.safe_dump(dict(settings), sort_keys=False),
            *lines,
            f"memory of a step: about {memory / _MEBIBYTE:,.0f} MiB a process ({named}{note})",
        ]
    )
