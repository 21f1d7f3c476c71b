"""The folder of a run: its settings, training states and results, and the README that describes them.

::

    RUN/README.md            the command and the environment of the run, and a description of the files
    RUN/config.yaml          the resolved config; the same command again continues, another one is refused
    RUN/metrics.csv          every loss term at every step, and on the validation split at every interval
    RUN/losses.png           the same as curves
    RUN/samples/             condition | face | photo of the same validation photos at every interval
    RUN/model.safetensors    the best model by the config's metric on the validation split
    RUN/checkpoints/         the newest states of the run
    RUN/events/              the events for TensorBoard, if requested
"""

from __future__ import annotations

import dataclasses
import logging
import platform
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import accelerate
import torch
import torchvision
import yaml

import facesynth
from facesynth.errors import CheckpointError, InputError, reason_of, shortened
from facesynth.files import make_folder, write_text
from facesynth.model.checkpoints import native
from facesynth.model.config.model import ModelConfig
from facesynth.model.config.train import RunConfig, TrainConfig
from facesynth.values import read_text, read_yaml

log = logging.getLogger(__name__)

KEPT_STATES = 2
"""Default number of newest states that are kept."""

_README = """# {title}

A run of facesynth {version}. The same command again continues it, exactly:

```sh
{command}
```

| | |
|---|---|
{environment}

| file | content |
|---|---|
{files}
"""


_FILES = {
    "config.yaml": "every setting, as it was resolved; `facesynth train --config` takes it again",
    "metrics.csv": "every term of the loss at every step, and on the validation split; seconds, images a second",
    "losses.png": "the same as curves",
    "samples/": "condition, face and true photo of the same validation photos, every {interval} steps",
    "model.safetensors": "the model with the lowest validation {metric}: for `facesynth translate --checkpoint`",
    "checkpoints/": "the newest states, to go on from",
}


class RunFolder:
    """A run's folder, which need not exist yet.

    Parameters
    ----------
    root : Path
    keep : int
        How many of the newest states are kept.

    Raises
    ------
    InputError
        If ``keep`` is less than 1.
    """

    configs: ClassVar[Mapping[str, Any]] = MappingProxyType({"": TrainConfig, "model.": ModelConfig})
    """The config's classes, by the prefix of their fields in the settings."""
    files: ClassVar[Mapping[str, str]] = MappingProxyType(_FILES)
    """The README's description of each file."""

    function: ClassVar[str] = "facesynth.model.training.train"
    """The function that the README names if the run was not started from the command line."""

    def __init__(self, root: Path, keep: int = KEPT_STATES) -> None:
        if keep < 1:
            raise InputError(f"keep is {keep}; needed: at least 1")
        self.root, self.keep = root, keep
        self.config, self.readme = root / "config.yaml", root / "README.md"
        self.metrics, self.curves = root / "metrics.csv", root / "losses.png"
        self.model = root / native.MODEL_FILE

    def state(self, step: int) -> Path:
        """The path of the state after ``step`` steps."""
        return self.root / "checkpoints" / f"step-{step:08d}.safetensors"

    def samples(self, step: int) -> Path:
        """The path of the sample sheet after ``step`` steps."""
        return self.root / "samples" / f"step-{step:08d}.png"

    def states(self) -> list[Path]:
        """The paths of the existing states, oldest first."""
        return sorted((self.root / "checkpoints").glob("step-*.safetensors"))

    def prune(self) -> None:
        """Remove all but the newest states."""
        for old in self.states()[: -self.keep]:
            old.unlink()

    def load(self, path: Path) -> Any:
        """Read a training state."""
        return native.load(path)

    def title(self, config: Any) -> str:
        """The run's title in the README."""
        return f"{config.task}, {config.model.output_size} px"

    def newest(self) -> Any:
        """The newest readable state, or None; damaged ones are skipped with a warning."""
        for path in reversed(self.states()):
            try:
                return self.load(path)
            except CheckpointError as error:
                log.warning("skipping a damaged checkpoint: %s", error)
        return None

    def refuse_another(self, settings: Mapping[str, Any]) -> None:
        """Check that the folder does not hold a run with other settings; the number of steps may differ.

        Raises
        ------
        InputError
            If it does; the message names the first setting that differs.
        CheckpointError
            If its ``config.yaml`` cannot be read.
        """
        if not self.config.is_file():
            return
        try:
            recorded = {**self._defaults(), **_flat(read_yaml(read_text(self.config)))}
        except (InputError, AttributeError, ValueError, OSError) as error:
            reason = getattr(error, "strerror", None) or reason_of(error)
            raise CheckpointError(f"{self.config} cannot be read: {reason}") from error
        now = _flat(settings)
        different = [name for name in now if recorded.get(name) != now[name] and name != "steps"]
        if different and self.states():  # without a state there is nothing to lose
            name = different[0]
            raise InputError(
                f"{self.root} holds a run with another {name} ({shortened(recorded.get(name))}, now {shortened(now[name])}); "
                "give the same options to continue it, or another --out"
            )

    def _defaults(self) -> dict[str, Any]:
        """The defaults of all settings, for those that a run of an earlier version of facesynth does not record."""
        return {
            prefix + field.name: plain(field.default)
            for prefix, kind in self.configs.items()
            for field in dataclasses.fields(kind)
            if field.default is not dataclasses.MISSING
        }

    def begin(self, settings: Mapping[str, Any], config: RunConfig, command: str | None, device: str) -> None:
        """Create the folders, and write the settings and the README.

        Parameters
        ----------
        settings
            All settings of the run, as plain values.
        config
        command
            The command line that started the run, if any.
        device
            The device's name.

        Raises
        ------
        OutputError
            If a file cannot be written.
        """
        for folder in ("checkpoints", "samples"):
            make_folder(self.root / folder)
        write_text(self.config, yaml.safe_dump(dict(settings), sort_keys=False))
        rows = {
            "Python": platform.python_version(),
            "PyTorch, torchvision": f"{torch.__version__}, {torchvision.__version__}",
            "Accelerate": accelerate.__version__,
            "system": f"{platform.system()} {platform.machine()}",
            "device": device,
            "precision": config.precision,
        }
        text = _README.format(
            title=self.title(config),
            version=facesynth.__version__,
            command=command or f"# started from Python: {self.function}",
            environment="\n".join(f"| {name} | {value} |" for name, value in rows.items()),
            files="\n".join(
                f"| `{name}` | {text.format(interval=config.interval, metric=config.metric)} |"
                for name, text in self.files.items()
            ),
        )
        write_text(self.readme, text)


def plain(value: Any) -> Any:
    """Nested dataclass fields as plain values for YAML and JSON: tuples become lists."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, tuple | list) else value


def _flat(nested: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings as a flat dict with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        inner = _flat(value) if isinstance(value, Mapping) else None
        flat |= {f"{name}.{key}": nested for key, nested in inner.items()} if inner is not None else {name: value}
    return flat
