"""docs/training.md: its tables agree with the code."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from facesynth import cli
from facesynth.model.config.presets import preset
from facesynth.model.config.train import TERMS

PAGE = (Path(__file__).parents[1] / "docs" / "training.md").read_text("utf-8")
PRESETS = [
    ("published", "seg2face"),
    ("published", "photo2face"),
    ("super-resolution", "photo2face"),
    ("small", "seg2face"),
    ("portrait", "sketch2face"),
    ("photographs", "sketch2face"),
]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def rows_of(title: str) -> list[list[str]]:
    section = re.search(rf"^## {title}\n(.*?)(?=^## )", PAGE, re.DOTALL | re.MULTILINE)[1]
    return [cells(line) for line in section.splitlines() if line.startswith("|")][2:]


def value_of(rows: dict[str, str], pattern: str) -> str:
    """The cell of the one row whose label contains the pattern, whatever else the label says."""
    (label,) = [label for label in rows if re.search(pattern, label, re.IGNORECASE)]
    return rows[label]


@pytest.mark.parametrize(("place", "known"), [*enumerate(PRESETS)], ids=["-".join(known) for known in PRESETS])
def test_every_preset_is_documented(place, known):
    config = preset(*known, n_classes=19)
    documented = {row[0]: row[1:][place].replace(" 000", "000") for row in rows_of("Presets")}
    weights = {"L2": "l2", "L1": "l1", "LPIPS": "lpips", "identity": "identity", "Laplacian": "laplacian"}
    weights |= {"lines": "lines", "parsing": "parsing"}
    assert float(value_of(documented, "adversarial")) == config.adversarial
    for text, name in {**weights, "W-norm": "w_norm"}.items():
        assert float(value_of(documented, text)) == config.weights[name], text
    assert [name for name in TERMS if config.weights[name] and name not in (*weights.values(), "w_norm")] == []
    assert config.lpips_network == "alex"
    optimizer, rate = value_of(documented, "optimiser").lower().split(", ")
    assert (optimizer, float(rate)) == (config.optimizer, config.learning_rate)
    assert float(value_of(documented, "cooldown")) == config.cooldown
    assert int(value_of(documented, "px")) == config.model.input_size == config.model.output_size
    counts = (config.batch_size, config.steps, config.interval)
    assert tuple(int(value_of(documented, name)) for name in ("batch size", "^steps$", "steps between")) == counts
    metrics = {"L2": "l2", "LPIPS": "lpips", "Laplacian pyramids": "laplacian"}
    assert metrics[value_of(documented, "metric")] == config.metric
    assert documented["tasks"] == "all" or known[1] in documented["tasks"]


def test_every_documented_option_exists_and_every_term_has_its_own():
    command = cli.facesynth.get_command(click.Context(cli.facesynth), "train")
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    of_others = {
        "--nproc-per-node",
        "--no-python",
        "--num_processes",
        "--checkpoint",
        "--help",
        "--sizes",
        "--batches",
        "--split",
        "--count",
        "--no-deps",
        "--follow",
    }
    assert set(re.findall(r"--[a-z][a-z0-9_-]+", PAGE)) - of_others <= options
    documented = [re.findall(r"`(--[a-z0-9-]+)`", row[1])[0] for row in rows_of("Losses")]
    assert documented == [f"--{name.replace('_', '-')}" for name in (*TERMS, "adversarial")]
