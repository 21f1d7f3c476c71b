"""Results of an evaluation: figures with all that they depend on, as ``metrics.json`` and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from facesynth.errors import InputError, reason_of
from facesynth.files import write_text
from facesynth.values import read_json, read_text

FILE = "metrics.json"
PICTURES = "pictures.csv"
SCHEMA = 1
_MOST_VALUES = 100_000


@dataclass(frozen=True)
class Figure:
    """One number.

    Attributes
    ----------
    value : float
    low, high : float
        Its 95 % interval; NaN if there is none.
    n : int
        Pictures that it was computed from.
    photos : float
        The same of the true photos; NaN if it says nothing of them.
    group : str
        As in the catalogue.
    better : str
        low, high or empty.
    network : str
        Whose features or label maps it rests on; empty for none.
    weights : str
        SHA-256 of that network's weights.
    filter : str
        How pictures were resized for it.
    interval : str
        How the interval was found.
    note : str
        What must be known to read it.
    size, split, reference, seed, data, faces
        Height and width of the faces; the split of the pairs; the split or file of the reference photos; seed of everything
        random; digests of the data and of the faces.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    photos: float = math.nan
    group: str = ""
    better: str = ""
    network: str = ""
    weights: str = ""
    filter: str = ""
    interval: str = ""
    note: str = ""
    size: int = 0
    split: str = ""
    reference: str = ""
    seed: int = 0
    data: str = ""
    faces: str = ""


@dataclass(frozen=True)
class Results:
    """All figures of an evaluation.

    Attributes
    ----------
    name : str
        What was evaluated.
    settings : mapping
        What was asked for, and what it was found to mean.
    figures : mapping of str to Figure
    skipped : mapping of str to str
        Metrics that were not measured, and why.
    version : str
        Of facesynth.
    """

    name: str
    settings: Mapping[str, Any]
    figures: Mapping[str, Figure]
    skipped: Mapping[str, str] = field(default_factory=dict)
    version: str = ""

    def write(self, folder: Path) -> None:
        """Write ``metrics.json``. Infinity is the text Infinity, a missing number null."""
        content = {
            "schema": SCHEMA,
            "facesynth": self.version,
            "name": self.name,
            "settings": self.settings,
            "metrics": {
                name: {key: _plain(value) for key, value in asdict(figure).items()}
                for name, figure in self.figures.items()
            },
            "skipped": self.skipped,
        }
        write_text(folder / FILE, json.dumps(content, indent=1, allow_nan=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Results:
        """The results in a folder.

        Raises
        ------
        InputError
            If there are none, or they cannot be read.
        """
        path = folder / FILE
        if not path.is_file():
            raise InputError(f"{folder} holds no {FILE}; needed: the --out of `facesynth evaluate`")
        try:
            content = read_json(read_text(path), most=_MOST_VALUES)
            if content["schema"] != SCHEMA:
                raise ValueError(f"its schema is {content['schema']}; needed: {SCHEMA}")
            figures = {
                name: Figure(**{key: _number(key, value) for key, value in figure.items()})
                for name, figure in content["metrics"].items()
            }
            return cls(content["name"], content["settings"], figures, content["skipped"], content["facesynth"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError) as error:
            raise InputError(f"{path} cannot be read: {reason_of(error)}; evaluate again") from error


_NUMBERS = ("value", "low", "high", "photos")


def _plain(value: Any) -> Any:
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else "Infinity"


def _number(key: str, value: Any) -> Any:
    if key not in _NUMBERS:
        return value
    return math.nan if value is None else float(value)
