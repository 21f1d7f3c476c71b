"""Good things, made once, of which attacks make hostile ones: a raw tree, a dataset, models, runs, checkpoints."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from facesynth import images
from facesynth.labels import CELEBAMASK_HQ
from facesynth.manifest import read_dataset
from facesynth.model.checkpoints import native
from facesynth.model.config.model import ParserConfig
from facesynth.model.networks.parser import ParserNetwork
from facesynth.prep.pipeline.workers import Workers
from facesynth.prep.portraits.sample import make_sample
from facesynth.prep.sketches.presets import resolve
from facesynth.prep.stages import prepare_masks, prepare_photos, prepare_sketches

from ..runs import model_of, resplit, save_model, small_model
from . import arena

TRAIN = (
    "--task",
    "seg2face",
    "--train-generator",
    "--lpips",
    "0",
    "--device",
    "cpu",
    "-q",
    "--workers",
    "0",
    "--seed",
    "1",
)
SIZES = (
    *("--model", "output_size=32", "--model", "input_size=32", "--model", "style_dim=16", "--model", "mapping_depth=2"),
    *("--model", "channel_base=512", "--model", "channel_max=16", "--model", "encoder_units=1,1,1,1"),
    *("--model", "encoder_channels=8,8,16,16", "--model", "style_resolution=16"),
)
STEPS = ("--steps", "2", "--interval", "1", "--batch-size", "2")


@dataclass(frozen=True)
class Stock:
    """The folders and files of the stock, below ``root``."""

    root: Path

    @property
    def raw(self) -> Path:
        return self.root / "raw"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def seg(self) -> Path:
        return self.root / "seg.safetensors"

    @property
    def sketcher(self) -> Path:
        return self.root / "sketcher.safetensors"

    @property
    def reader(self) -> Path:
        return self.root / "photo.safetensors"

    @property
    def parser(self) -> Path:
        return self.root / "parser.safetensors"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def checkpoints(self) -> list[Path]:
        """Checkpoints in every format."""
        return sorted((self.root / "checkpoints").iterdir())


def make(root: Path) -> Stock:
    """Make the stock; takes some seconds."""
    torch.set_num_threads(1)
    stock, one = Stock(root), Workers(jobs=1)
    root.mkdir(parents=True)
    make_sample(stock.raw, count=4, size=64, workers=one)
    prepare_masks(stock.raw, root / "all", workers=one)
    prepare_sketches(root / "all", root / "all", drawings=[resolve("sobel"), resolve("xdog")], workers=one)
    prepare_photos(root / "all", root / "all", size=32, workers=one)
    resplit(root / "all", stock.data, "train val train val")
    for task, path in (("seg2face", stock.seg), ("sketch2face", stock.sketcher), ("photo2face", stock.reader)):
        save_model(path, task)
    torch.manual_seed(0)
    config = ParserConfig(input_size=32, channels=(4, 6))
    network = ParserNetwork(config, 19)
    native.save_parser(stock.parser, network.state_dict(), config=config, scheme=CELEBAMASK_HQ, info={})
    command = ["train", "--data", str(stock.data), *TRAIN, *SIZES, *STEPS, "--out", str(stock.run)]
    here = root / "work" / "here"
    here.mkdir(parents=True)
    ended = arena.call(command, here)
    if ended.code:
        raise RuntimeError(ended.err)
    _checkpoints(stock)
    return stock


def _checkpoints(stock: Stock) -> None:
    folder = stock.root / "checkpoints"
    folder.mkdir()
    for path in (stock.seg, stock.parser, next((stock.run / "checkpoints").iterdir())):
        shutil.copy(path, folder / path.name)
    as_published = save_model(
        stock.root / "published.safetensors", encoder_channels=(4, 8, 12, 16), style_resolution=32
    )
    for layout in ("psp", "rosinality"):
        ended = arena.call(
            ["convert", str(as_published), str(folder / f"{layout}.pt"), "--to", layout], stock.root / "work" / "here"
        )
        if ended.code:
            raise RuntimeError(ended.err)
    state = model_of(small_model()).state_dict()
    torch.save(dict(state), folder / "bare.pt")
    torch.save({"g_ema": state, "args": {"size": 32}}, folder / "older.pt", _use_new_zipfile_serialization=False)
    from ..model.checkpoints.hostile import ada_pickle, ada_tensors

    (folder / "ada.pkl").write_bytes(ada_pickle(ada_tensors(32, 16, 2, 512, 16)))


def picture_of(stock: Stock, column: str) -> Path:
    """A good picture of the dataset."""
    return stock.data / str(read_dataset(stock.data).rows.iloc[0][column])


def is_whole(path: Path) -> bool:
    """Whether a picture decodes to its last pixel."""
    with contextlib.suppress(Exception):
        images.read_photo(path)
        return True
    with contextlib.suppress(Exception), Image.open(path) as opened:
        opened.load()
        return True
    return False
