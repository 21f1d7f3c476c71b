"""docs/evaluate.md names every metric, in its group, and the files that are written."""

from __future__ import annotations

import re
from pathlib import Path

from facesynth.evaluation import page, results, tables
from facesynth.evaluation.catalogue import METRICS

PAGE = (Path(__file__).parents[1] / "docs" / "evaluate.md").read_text("utf-8")


def test_every_metric_is_in_the_table_with_its_group():
    rows = re.findall(r"^\| (`[^|]+) \| (\w+) \|", PAGE.split("<!-- sanity -->")[0], re.MULTILINE)
    told = {name: group for names, group in rows for name in re.findall(r"`(\w+)`", names)}
    assert told == {name: metric.group for name, metric in METRICS.items()}


def test_every_file_is_named():
    for name in (page.PAGE, results.FILE, results.PICTURES, tables.MARKDOWN, tables.LATEX, tables.JUNIT):
        assert name in PAGE, name
