"""Results as tables: Markdown, LaTeX, CSV and JUnit."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from facesynth.evaluation.results import PICTURES, Figure, Results
from facesynth.files import write_bytes, write_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facesynth.evaluation.limits import Limit

MARKDOWN, LATEX, JUNIT = "table.md", "table.tex", "junit.xml"
_WAY = {"low": "lower", "high": "higher", "": ""}


def number(value: float) -> str:
    """A number with four significant digits.

    Examples
    --------
    >>> number(0.123456), number(12345.6), number(math.nan), number(math.inf), number(7e-15)
    ('0.1235', '12346', '', 'inf', '0')
    """
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if abs(value) < 1e-9:  # what rounding leaves of zero
        return "0"
    if abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.4g}" if abs(value) >= 1e-4 else f"{value:.1e}"


def interval(figure: Figure) -> str:
    """A figure's interval as text; empty if it has none."""
    if math.isnan(figure.low):
        return ""
    return f"{number(figure.low)} to {number(figure.high)}"


def described(results: Results) -> list[tuple[str, str]]:
    """What all figures rest on, as names and values."""
    settings = results.settings
    lines = [
        ("data", f"{settings['data']}, {settings['split']}, {settings['ids']} ids ({settings['data_sha256'][:12]})"),
        ("faces", f"{settings['checkpoint'] or settings['faces']} ({settings['faces_sha256'][:12]})"),
        ("size", f"{settings['size']} px; photos resized by {settings['filter']}"),
        ("reference", f"photos of {settings['reference']}"),
        ("seed", str(settings["seed"])),
    ]
    if settings["checkpoint_sha256"]:
        lines.insert(2, ("checkpoint", settings["checkpoint_sha256"][:12]))
    if settings["ids_without_face"]:
        lines.append(("without a face", f"{settings['ids_without_face']} ids, left out"))
    if settings["sketch"]:
        lines.append(("drawings", settings["sketch"]))
    if settings["parser"]:
        lines.append(("parser", settings["parser"]))
    lines += [(f"weights of {name}", digest[:12]) for name, digest in settings["weights_sha256"].items()]
    return lines


def to_markdown(results: Results) -> str:
    """The whole table as Markdown."""
    lines = [f"# {results.name}", ""]
    lines += [f"- {name}: {value}" for name, value in described(results)]
    lines += [
        f"- facesynth {results.version}",
        "",
        "| metric | value | 95 % interval | true photos | N | better | network |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, figure in results.figures.items():
        network = f"{figure.network} {figure.weights[:8]}" if figure.network else ""
        cells = [name, number(figure.value), interval(figure), number(figure.photos), str(figure.n)]
        lines.append(f"| {' | '.join([*cells, _WAY[figure.better], network])} |")
    if results.skipped:
        lines += ["", "Not measured:", "", *(f"- {name}: {why}" for name, why in results.skipped.items())]
    notes = list(dict.fromkeys(f"- {name}: {each.note}" for name, each in results.figures.items() if each.note))
    if notes:
        lines += ["", "Notes:", "", *notes]
    return "\n".join(lines) + "\n"


_LATEX = str.maketrans({"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}"})


def escaped(text: str) -> str:
    """Text as LaTeX prints it."""
    return text.translate(_LATEX)


def to_latex(results: Results) -> str:
    """The figures as a LaTeX tabular, which needs no package; skipped metrics have a dash."""
    lines = [
        f"% {results.name}",
        *(f"% {name}: {value}" for name, value in described(results)),
        r"\begin{tabular}{lrrrr}",
        r"\hline",
        r"metric & value & 95\,\% interval & true photos & $N$ \\",
        r"\hline",
    ]
    for name, figure in results.figures.items():
        cells = [escaped(name), number(figure.value), interval(figure), number(figure.photos), str(figure.n)]
        lines.append(" & ".join(cells) + r" \\")
    lines += [f"{escaped(name)} & -- & & & " + r"\\" for name in results.skipped]
    return "\n".join([*lines, r"\hline", r"\end{tabular}"]) + "\n"


def to_junit(results: Results, limits: Sequence[Limit]) -> bytes:
    """A test case a limit and a skipped metric, as continuous integration reads them."""
    broken = [limit for limit in limits if limit.is_broken(results.figures)]
    suite = ElementTree.Element(
        "testsuite",
        name=f"facesynth evaluate {results.name}",
        tests=str(len(limits) + len(results.skipped)),
        failures=str(len(broken)),
        skipped=str(len(results.skipped)),
    )
    for limit in limits:
        case = ElementTree.SubElement(suite, "testcase", classname=results.name, name=f"not {limit}")
        if limit in broken:
            value = number(results.figures[limit.name].value)
            ElementTree.SubElement(case, "failure", message=f"{limit.name} is {value}, and so {limit}")
    for name, why in results.skipped.items():
        case = ElementTree.SubElement(suite, "testcase", classname=results.name, name=name)
        ElementTree.SubElement(case, "skipped", message=why)
    ElementTree.indent(suite)
    content: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def write_tables(folder: Path, results: Results, limits: Sequence[Limit]) -> None:
    """Write ``table.md``, ``table.tex`` and ``junit.xml``."""
    write_text(folder / MARKDOWN, to_markdown(results))
    write_text(folder / LATEX, to_latex(results))
    write_bytes(folder / JUNIT, to_junit(results, limits))


def write_pictures(folder: Path, ids: Sequence[str], columns: Mapping[str, NDArray[Any]]) -> None:
    """Write ``pictures.csv``: one row a picture; a number that is missing is empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["id", *columns])
    for row, name in enumerate(ids):
        values = [float(column[row]) for column in columns.values()]
        writer.writerow([name, *("" if math.isnan(value) else f"{value:.9g}" for value in values)])
    write_text(folder / PICTURES, stream.getvalue())


def read_pictures(folder: Path) -> tuple[list[str], dict[str, NDArray[np.float64]]]:
    """The ids and columns of ``pictures.csv``.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    import numpy as np

    from facesynth.errors import InputError, reason_of

    path = folder / PICTURES
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        names = [name for name in rows[0] if name != "id"]
        columns = {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}
        return [row["id"] for row in rows], columns
    except (OSError, ValueError, KeyError, IndexError, TypeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read: {reason_of(error)}; evaluate again") from error


def to_console(results: Results) -> str:
    """The figures in columns, and what was not measured."""
    rows = [("metric", "value", "95 % interval", "true photos", "N")]
    rows += [
        (name, number(each.value), interval(each), number(each.photos), str(each.n))
        for name, each in results.figures.items()
    ]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if not place else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([*lines, *(f"not measured: {name}: {why}" for name, why in results.skipped.items())])
