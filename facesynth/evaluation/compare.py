"""Several evaluations of the same pictures in one table, with paired tests against the first."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facesynth.errors import InputError
from facesynth.evaluation.metrics import sampling
from facesynth.evaluation.results import FILE, Results
from facesynth.evaluation.tables import escaped, number, read_pictures
from facesynth.files import make_folder, write_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARKDOWN, LATEX, JSON = "comparison.md", "comparison.tex", "comparison.json"
_SAME = ("data_sha256", "split", "size", "reference", "seed")
"""Settings in which evaluations must agree; the digest of the data includes its ids."""


def compare(folders: Sequence[Path], out: Path, *, seed: int = 0) -> str:
    """Write one table of several evaluations.

    Every figure that has a number a picture is tested by Wilcoxon's signed-rank test against that of the first evaluation, on
    the same pictures, and the p-values of an evaluation are corrected by Holm's method for the number of its figures.

    Parameters
    ----------
    folders : sequence of Path
        What `facesynth evaluate` wrote; at least two.
    out : Path
        The folder for ``comparison.md``, ``comparison.tex`` and ``comparison.json``; created if missing.
    seed : int
        Of the intervals of differences.

    Returns
    -------
    str
        The table as Markdown.

    Raises
    ------
    InputError
        If there are fewer than two, or they are not of the same pictures at the same size.
    """
    if len(folders) < 2:
        raise InputError(
            f"there {'is 1 evaluation' if folders else 'are no evaluations'} to compare; needed: at least 2"
        )
    all_results = [Results.read(folder) for folder in folders]
    pictures = [read_pictures(folder) for folder in folders]
    names = _names(folders, all_results)
    _check(folders, all_results)
    tests = [
        _tests(pictures[0][1], columns, _common(all_results[0], results), seed)
        for results, (_, columns) in zip(all_results[1:], pictures[1:], strict=True)
    ]
    rows = list(dict.fromkeys(name for results in all_results for name in results.figures))
    make_folder(out)
    text = _markdown(names, all_results, tests, rows)
    write_text(out / MARKDOWN, text)
    write_text(out / LATEX, _latex(names, all_results, tests, rows))
    content = {
        "evaluations": [str(folder) for folder in folders],
        "values": {name: [_value(results, name) for results in all_results] for name in rows},
        "tests": dict(zip(names[1:], tests, strict=True)),
    }
    write_text(out / JSON, json.dumps(_plain(content), indent=1, allow_nan=False) + "\n")
    return text


def _names(folders: Sequence[Path], all_results: Sequence[Results]) -> list[str]:
    """What the evaluations are called: their own names if they differ, else their folders."""
    names = [results.name for results in all_results]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _check(folders: Sequence[Path], all_results: Sequence[Results]) -> None:
    first = all_results[0].settings
    for folder, results in zip(folders[1:], all_results[1:], strict=True):
        for name in _SAME:
            one, other = first.get(name), results.settings.get(name)
            if one != other:
                raise InputError(
                    f"{folder / FILE} has {name} {_short(other)}, {folders[0] / FILE} {_short(one)}; needed: the same, for "
                    "only figures of the same pictures can be compared"
                )


def _short(value: Any) -> str:
    return str(value)[:12]


def _common(first: Results, other: Results) -> list[str]:
    """The figures that rest on the same weights in both."""
    return [
        name
        for name, figure in first.figures.items()
        if name in other.figures and other.figures[name].weights == figure.weights
    ]


def _tests(
    first: dict[str, NDArray[Any]], other: dict[str, NDArray[Any]], names: Sequence[str], seed: int
) -> dict[str, dict[str, float]]:
    """Difference, interval and corrected p-value of every figure with a number a picture."""
    tested = [name for name in names if name in first and name in other]
    p = sampling.corrected([sampling.paired_test(other[name], first[name]) for name in tested])
    told = {}
    for name, value in zip(tested, p, strict=True):
        difference, (low, high) = sampling.difference(other[name], first[name], seed)
        told[name] = {"difference": difference, "low": low, "high": high, "p": value}
    return told


def _value(results: Results, name: str) -> float:
    return results.figures[name].value if name in results.figures else math.nan


def _cell(results: Results, name: str, test: dict[str, float] | None) -> str:
    if name not in results.figures:
        return "not measured"
    value = number(results.figures[name].value)
    if test is None or math.isnan(test["p"]):
        return value
    p = test["p"]
    return f"{value} (p < 0.001)" if p < 0.001 else f"{value} (p = {p:.3f})"


def _cells(all_results: Sequence[Results], tests: Sequence[dict[str, dict[str, float]]], name: str) -> list[str]:
    by_evaluation = [None, *(each.get(name) for each in tests)]
    return [_cell(results, name, test) for results, test in zip(all_results, by_evaluation, strict=True)]


def _markdown(
    names: Sequence[str],
    all_results: Sequence[Results],
    tests: Sequence[dict[str, dict[str, float]]],
    rows: Sequence[str],
) -> str:
    settings = all_results[0].settings
    about = (
        f"{settings['ids']} pictures of {settings['data']}, {settings['split']}, {settings['size']} px. p: Wilcoxon's "
        f"signed-rank test of the same pictures against {names[0]}, corrected by Holm."
    )
    lines = [
        about,
        "",
        f"| metric | {' | '.join(names)} |",
        f"|---{'|---' * len(names)}|",
        *(f"| {name} | {' | '.join(_cells(all_results, tests, name))} |" for name in rows),
    ]
    return "\n".join(lines) + "\n"


def _latex(
    names: Sequence[str],
    all_results: Sequence[Results],
    tests: Sequence[dict[str, dict[str, float]]],
    rows: Sequence[str],
) -> str:
    lines = [
        rf"\begin{{tabular}}{{l{'r' * len(names)}}}",
        r"\hline",
        " & ".join(["metric", *map(escaped, names)]) + r" \\",
        r"\hline",
    ]
    for name in rows:
        cells = [cell.replace("<", "$<$").replace("not measured", "--") for cell in _cells(all_results, tests, name)]
        lines.append(" & ".join([escaped(name), *cells]) + r" \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}"]) + "\n"


def _plain(value: Any) -> Any:
    """JSON has no numbers that are not finite."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None if math.isnan(value) else "Infinity"
    return value
