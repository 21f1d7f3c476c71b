"""The folder of a run: whose it is, its states, and what a reader of it finds.

::

    RUN/README.md            the command and the environment that made it, and what is what
    RUN/config.yaml          the resolved config; the same command again continues, another one is refused
    RUN/metrics.csv          every loss term at every step, and on the validation split at every interval
    RUN/losses.png           the same as curves
    RUN/samples/             condition | face | photo of the same validation photos at every interval
    RUN/model.safetensors    the best model by the config's metric on the validation split
    RUN/checkpoints/         the newest states of the run
    RUN/events/              what TensorBoard shows, where it was asked for
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
from facesynth.errors import CheckpointError, InputError
from facesynth.files import make_folder, write_text
from facesynth.model.checkpoints import native
from facesynth.model.config.model import ModelConfig
from facesynth.model.config.train import RunConfig, TrainConfig

log = logging.getLogger(__name__)

KEPT_STATES = 2

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
    """A run's folder, which need not be there yet.

    Parameters
    ----------
    root : Path
    keep : int
        How many of the newest states stay.
    """

    configs: ClassVar[Mapping[str, Any]] = MappingProxyType({"": TrainConfig, "model.": ModelConfig})
    """The config's classes, by the prefix that their fields have among the settings."""
    files: ClassVar[Mapping[str, str]] = MappingProxyType(_FILES)
    """What the README says of each file."""

    function: ClassVar[str] = "facesynth.model.training.psp.train.train"
    """What the README says a run without a command line was started by."""

    def __init__(self, root: Path, keep: int = KEPT_STATES) -> None:
        if keep < 1:
            raise InputError(f"keep is {keep}; needed: at least 1")
        self.root, self.keep = root, keep
        self.config, self.readme = root / "config.yaml", root / "README.md"
        self.metrics, self.curves = root / "metrics.csv", root / "losses.png"
        self.model = root / native.MODEL_FILE

    def state(self, step: int) -> Path:
        """Where the state after so many steps is kept."""
        return self.root / "checkpoints" / f"step-{step:08d}.safetensors"

    def samples(self, step: int) -> Path:
        """Where the sample sheet after so many steps is kept."""
        return self.root / "samples" / f"step-{step:08d}.png"

    def states(self) -> list[Path]:
        """The states that are there, oldest first."""
        return sorted((self.root / "checkpoints").glob("step-*.safetensors"))

    def prune(self) -> None:
        """Remove all states but the newest."""
        for old in self.states()[: -self.keep]:
            old.unlink()

    def load(self, path: Path) -> Any:
        """Read a state."""
        return native.load(path)

    def title(self, config: Any) -> str:
        """What the README calls the run."""
        return f"{config.task}, {config.model.output_size} px"

    def newest(self) -> Any:
        """The newest state that can be read; one that cannot is passed over with a warning."""
        for path in reversed(self.states()):
            try:
                return self.load(path)
            except CheckpointError as error:
                log.warning("passing over a damaged checkpoint: %s", error)
        return None

    def refuse_another(self, settings: Mapping[str, Any]) -> None:
        """See that the folder holds no run of other settings; more steps are welcome.

        Raises
        ------
        InputError
            If it does; the text names the first setting that differs.
        CheckpointError
            If its ``config.yaml`` is none.
        """
        if not self.config.is_file():
            return
        try:
            noted = {**self._defaults(), **_flat(yaml.safe_load(self.config.read_text("utf-8")))}
        except (yaml.YAMLError, AttributeError, ValueError, OSError) as error:
            raise CheckpointError(f"{self.config} cannot be read: {' '.join(str(error).split())}") from error
        now = _flat(settings)
        different = [name for name in now if noted.get(name) != now[name] and name != "steps"]
        if different and self.states():  # without a state there is nothing to lose
            name = different[0]
            raise InputError(
                f"{self.root} holds a run with another {name} ({noted.get(name)}, now {now[name]}); "
                "give the same options to continue it, or another --out"
            )

    def _defaults(self) -> dict[str, Any]:
        """What a setting was before it could be chosen: a run of an earlier facesynth doesn't note it."""
        return {
            prefix + field.name: plain(field.default)
            for prefix, kind in self.configs.items()
            for field in dataclasses.fields(kind)
            if field.default is not dataclasses.MISSING
        }

    def begin(self, settings: Mapping[str, Any], config: RunConfig, command: str | None, device: str) -> None:
        """Make the folders, and note the settings and what carries them out."""
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
    """Nested dataclass fields as YAML and JSON hold them: tuples as lists."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, tuple | list) else value


def _flat(nested: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings as one, with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        inner = _flat(value) if isinstance(value, Mapping) else None
        flat |= {f"{name}.{key}": below for key, below in inner.items()} if inner is not None else {name: value}
    return flat
