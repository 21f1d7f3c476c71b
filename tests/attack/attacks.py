"""The attacks: a random number generator and the stock in, a command with hostile input out."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import pickle
import shutil
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import yaml

from facesynth.labels import CELEBAMASK_HQ, describe

from . import pictures
from .arena import Case, Ended, call, said_wrong
from .hostile_values import NUMBERS, TEXTS, bytes_of, json_text, text, yaml_text
from .stock import SIZES, STEPS, TRAIN, Stock, is_whole, picture_of

ONE = ("-j", "1", "-q")


def checked(out: Path, place: Path) -> Callable[[Ended], list[str]]:
    """What is wrong with a dataset folder that a command has left: all that its manifest names must be there and whole."""

    def after(ended: Ended) -> list[str]:
        if ended.code not in (0, 1) or not (out / "manifest.csv").exists():
            return []
        check = call(["prep", "check", str(out), *ONE], place / "here")
        wrong = said_wrong(check)
        return wrong or ([f"prep check: {check.out}{check.err}"] if check.code else [])

    return after


def all_whole(out: Path) -> Callable[[Ended], list[str]]:
    """What is wrong with a folder of pictures."""

    def after(_: Ended) -> list[str]:
        if not out.is_dir():
            return []
        names = [path for path in out.rglob("*") if path.suffix in (".png", ".jpg", ".webp") and path.is_file()]
        wrong = [f"not whole: {path}" for path in names if not is_whole(path)]
        return wrong + [f"left behind: {path}" for path in out.rglob(".*") if path.name != ".stages"]

    return after


# ------------------------------------------------------------------------------------------------------------ pictures


def picture(rng: Random, place: Path, stock: Stock) -> Case:
    """Pictures in every mode and format, damaged, forged, oddly named, and what is no picture at all."""
    folder, out = place / "in" / "pictures", place / "out"
    number = rng.choice((1, 1, 2, 4))
    what = rng.randrange(10)
    if what <= 2:
        photos, conditions = folder / "a", folder / "b"
        kind = rng.choice(("labels", "sketch"))
        for index in range(number):
            stem = pictures.name(rng) if rng.random() < 0.3 else f"p{index}"
            pictures.put(rng, photos, stem)
            pictures.put(rng, conditions, stem)
        if rng.random() < 0.5:
            shutil.copy(picture_of(stock, "photo"), photos / "good.png")
            shutil.copy(picture_of(stock, "labels" if kind == "labels" else "sketch_sobel"), conditions / "good.png")
        options = ["--paper", rng.choice(("keep", "auto", "level"))] if kind == "sketch" else []
        command = ["prep", "pairs", str(photos), str(conditions), "--kind", kind, "--out", str(out), *options, *ONE]
        return Case(command, (out,), after=checked(out, place))
    if what == 3:
        data = place / "out"
        shutil.copytree(stock.data, data)
        column = rng.choice(("photos", "labels", "sketches/sobel"))
        victim = rng.choice(sorted((data / column).iterdir()))
        pictures.put(rng, victim.parent, victim.stem, victim.suffix)
        return Case(_on_dataset(rng, data, place, stock), (data, place / "out2", place / "sheet.png"))
    if what == 4:
        for _ in range(number):
            pictures.put(rng, folder)
        schemes = ["--from", "celebamask-hq", "--to", rng.choice(("face-parsing", "celebamask-hq-older"))]
        return Case(["prep", "remap", str(folder), *schemes, "--out", str(out), "-q"], (out,), after=all_whole(out))
    if what == 5:
        for _ in range(number):
            pictures.put(rng, folder)
        sheet = place / "sheet.png"
        return Case(["prep", "preview", str(folder), "--out", str(sheet)], (sheet,))
    if what == 6:
        raw = place / "in" / "raw"
        shutil.copytree(stock.raw, raw)
        victim = rng.choice(sorted(path for path in raw.rglob("*.*") if path.suffix in (".png", ".jpg")))
        pictures.put(rng, victim.parent, victim.stem, victim.suffix)
        return Case(["prep", "masks", str(raw), "--out", str(out), *ONE], (out,), after=checked(out, place))
    paths = [str(pictures.put(rng, folder)) for _ in range(number)]
    if rng.random() < 0.3:
        paths = [str(folder)]
    if what == 7:
        command = ["parse", *paths, "--out", str(out), "--checkpoint", str(stock.parser), "--device", "cpu", "-q"]
    else:
        model = rng.choice((stock.seg, stock.sketcher, stock.reader))
        options = rng.choice(([], ["--samples", "2"], ["--sheet"], ["--paper", "level"], ["--tone", "invert"]))
        command = [
            "translate",
            *paths,
            "--checkpoint",
            str(model),
            "--out",
            str(out),
            "--device",
            "cpu",
            "-q",
            *options,
        ]
        if rng.random() < 0.1:
            command += ["--style-from", str(pictures.put(rng, folder))]
    if any(argument.startswith("-rf") for argument in paths):
        command.insert(1, "--")
    return Case(command, (out,), after=all_whole(out))


# -------------------------------------------------------------------------------------------------------------- datasets


def _on_dataset(rng: Random, data: Path, place: Path, stock: Stock) -> list[str]:
    """A command that reads a dataset folder; most write into it."""
    out = place / "out2"
    commands = (
        ["prep", "photos", data, "--out", data, "--size", rng.choice((32, 48)), *ONE],
        ["prep", "sketches", data, "--out", data, "--method", "sobel", "--method", "xdog", *ONE],
        ["prep", "sketches", data, "--out", data, "--method", rng.choice(("contours", "dodge")), *ONE],
        ["prep", "masks", stock.raw, "--out", data, *ONE],
        ["prep", "check", data, *ONE],
        ["prep", "preview", data, "--out", place / "sheet.png"],
        ["train", "--data", data, *TRAIN, *SIZES, *STEPS, "--out", out, "--dry-run"],
        ["translate", data, "--split", "all", "--checkpoint", stock.seg, "--out", out, "--device", "cpu", "-q"],
        ["translate", data, "--sketch", "xdog", "--checkpoint", stock.sketcher, "--out", out, "--device", "cpu", "-q"],
        ["train-generator", "--data", data, "--size", 32, "--steps", 1, "--out", out, "--dry-run", "--device", "cpu"],
    )
    return [str(part) for part in rng.choice(commands)]


def dataset(rng: Random, place: Path, stock: Stock) -> Case:
    """Dataset folders whose manifest, description, journals, pictures or folders are not what they were."""
    data = place / "out"
    shutil.copytree(stock.data, data)
    for _ in range(rng.choice((1, 1, 2))):
        what = rng.randrange(6)
        journals = [path for path in (data / ".stages").glob("*") if path.is_file()]
        if what == 0:
            _edit_manifest(rng, data / "manifest.csv")
        elif what == 1 and _is_text(data / "dataset.json"):
            good = json.loads((stock.data / "dataset.json").read_text())
            (data / "dataset.json").write_bytes(json_text(rng, good))
        elif what in (2, 3) and journals:
            _edit_journal(rng, rng.choice(journals), stock)
        elif what == 4:
            victim = rng.choice(sorted(path for path in data.rglob("*") if path.is_file()))
            victim.unlink()
            pictures.special(rng, victim)
        else:
            victim = rng.choice(
                (data / "photos", data / "labels", data / ".stages", data / "sketches", data / "photos_32")
            )
            if victim.is_symlink() or not victim.is_dir():
                continue
            shutil.rmtree(victim)
            if rng.random() < 0.6:
                victim.symlink_to(
                    rng.choice((place / "canary", Path("nowhere"), Path("/etc"), Path("."), Path("..", "canary")))
                )
            elif rng.random() < 0.5:
                victim.write_bytes(b"")
    return Case(_on_dataset(rng, data, place, stock), (data, place / "out2", place / "sheet.png"))


def _is_text(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _edit_manifest(rng: Random, path: Path) -> None:
    if not _is_text(path):
        return
    if rng.random() < 0.25:
        path.write_bytes(bytes_of(rng, path.read_bytes()))
        return
    with path.open(newline="", encoding="utf-8") as stream:
        try:
            rows = list(csv.reader(stream))
        except (csv.Error, ValueError):
            return
    for _ in range(rng.choice((1, 2))):
        row = rng.choice(rows)
        how = rng.randrange(6)
        if how == 0:
            rows.insert(rng.randrange(len(rows)), list(rng.choice(rows)))
        elif how == 1 and row:
            row.pop(rng.randrange(len(row)))
        elif how == 2:
            row.append(text(rng))
        elif how == 3 and row:
            other = rng.choice(rows)
            row[rng.randrange(len(row))] = rng.choice(other) if other else ""
        elif row:
            odd = (text(rng), str(rng.choice(NUMBERS)), "photos/00000.jpg/../../../canary/victim.png", "0 " * 300)
            row[rng.randrange(len(row))] = rng.choice(odd)
    with path.open("w", newline="", encoding="utf-8", errors="surrogatepass") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


def _edit_journal(rng: Random, path: Path, stock: Stock) -> None:
    if not _is_text(path):
        return
    lines = path.read_bytes().splitlines(keepends=True) or [b"{}\n"]
    at = rng.randrange(len(lines))
    how = rng.randrange(5)
    if how == 0:
        lines[at] = bytes_of(rng, lines[at])
    elif how == 1:
        try:
            entry = json.loads(lines[at])
        except ValueError:
            return
        columns = entry.get("columns") if isinstance(entry, dict) else None
        if isinstance(columns, dict):
            odd = rng.choice(
                ("../canary/victim.png", "../../canary/victim.png", "/etc/passwd", "photos", "manifest.csv", "a\0b")
            )
            columns[rng.choice([*columns, "photo_5", "sketch_../x", "photo_99999999999"])] = odd
            if rng.random() < 0.5:
                entry.setdefault("files", {})[odd] = 4
        lines[at] = json.dumps(entry).encode() + b"\n"
    elif how == 2:
        lines.insert(at, rng.choice(lines))
        rng.shuffle(lines)
    else:
        good = json.loads((stock.data / ".stages" / path.name).read_text().splitlines()[0])
        lines[at] = json_text(rng, good) + b"\n"
    path.write_bytes(b"".join(lines))


# ----------------------------------------------------------------------------------------------------------- checkpoints


class _Runs:
    """Something that makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


def _pickled(rng: Random, place: Path) -> bytes:
    """A pickle that would do something."""
    owned = place / "canary" / "owned"
    how = rng.randrange(9)
    if how == 0:
        return pickle.dumps({"state_dict": {"a": _Runs(owned)}})
    if how == 1:
        return f"cos\nsystem\n(S'touch {owned}'\ntR.".encode()
    if how == 2:
        return b"(" * 100_000 + b"."
    if how == 3:
        return b"\x80\x04" + b"\x8b" + struct.pack("<I", 1 << 30) + b"\xff" * 100 + b"."
    if how == 4:
        inner = b"]" + b"(h\x00h\x00h\x00h\x00e" * 50
        return b"\x80\x02" + b"]q\x00" + inner + b"."
    if how == 5:
        return b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"x."
    if how == 6:
        return b"I" + b"9" * rng.choice((100, 100_000)) + b"\n."
    if how == 7:
        names = (
            b"builtins\neval",
            b"torch\nload",
            b"torch._utils\n_rebuild_tensor_v2",
            b"numpy\nfromfile",
            b"collections\nOrderedDict",
        )
        return b"c" + rng.choice(names) + b"\n(K\x01K\x02K\x03tR."
    return pickle.dumps([[]], protocol=rng.choice((0, 1, 2, 4, 5))) * rng.choice((1, 1000))


def _safetensors(rng: Random, data: bytes) -> bytes:
    """A safetensors file with another header."""
    (length,) = struct.unpack("<Q", data[:8])
    header, tensors = json.loads(data[8 : 8 + length]), data[8 + length :]
    how = rng.randrange(5)
    if how == 0:
        made = json_text(rng, header)
    elif how in (1, 2) and "__metadata__" in header:
        meta = header["__metadata__"]
        name = rng.choice(list(meta))
        try:
            inner = json.loads(meta[name])
        except ValueError:
            inner = None
        meta[name] = json_text(rng, inner).decode("utf-8", "replace") if inner is not None else text(rng)
        made = json.dumps(header).encode("utf-8", "surrogatepass")
    else:
        name = rng.choice([name for name in header if name != "__metadata__"])
        part = rng.choice(("dtype", "shape", "data_offsets"))
        odd: dict[str, tuple[Any, ...]] = {
            "dtype": ("F64", "BOOL", "I64", "F8_E4M3", "X", 7, "U64"),
            "shape": ([], [0], [1 << 40, 1 << 40], [-1], "x", [1] * 5000, [1 << 63], header[name]["shape"][::-1]),
            "data_offsets": ([0, 0], [0, 1 << 50], [-4, 0], [8, 4], [1, 5], "x", [0.5, 1]),
        }
        header[name][part] = rng.choice(odd[part])
        made = json.dumps(header).encode()
    size = len(made) if rng.random() < 0.9 else rng.choice((0, 1, 1 << 62, (1 << 64) - 1, 100_000_001))
    return struct.pack("<Q", size) + made + tensors


def _zipped(rng: Random, data: bytes, place: Path) -> bytes:
    """A file of torch.save with an entry replaced, added, compressed or renamed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        names = old.namelist()
        victim = next(name for name in names if name.endswith("data.pkl")) if rng.random() < 0.6 else rng.choice(names)
        how = rng.randrange(7)
        for name in names:
            content = old.read(name)
            if name == victim:
                if how == 0:
                    content = bytes_of(rng, content)
                elif how == 1:
                    content = _pickled(rng, place)
                elif how == 2:
                    new.writestr(name, bytes(50_000_000), zipfile.ZIP_DEFLATED)
                    continue
                elif how == 3:
                    continue
                elif how == 4:
                    name = rng.choice(("../canary/owned", "/etc/owned", name + "/..", "x" * 60_000))
                elif how == 5:
                    new.writestr(name, content, rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))
                    continue
                else:
                    content = content.replace(
                        b"FloatStorage", rng.choice((b"LongStorage\0", b"DoubleStorage", b"QInt8Storage"))
                    )
            new.writestr(name, content)
    return stream.getvalue()


def checkpoint(rng: Random, place: Path, stock: Stock) -> Case:
    """Checkpoints of every format: damaged, with forged headers, or with programs in them."""
    source = rng.choice(stock.checkpoints)
    data = source.read_bytes()
    how = rng.random()
    if how < 0.15:
        data = _pickled(rng, place)
    elif how < 0.45 or source.suffix == ".pkl":
        data = bytes_of(rng, data)
    elif source.suffix == ".safetensors":
        data = _safetensors(rng, data)
    elif data[:2] == b"PK":
        data = _zipped(rng, data, place)
    else:
        data = bytes_of(rng, data)
    path = place / "in" / ("a" + rng.choice((source.suffix, source.suffix, ".pt", ".bin")))
    path.write_bytes(data)
    if rng.random() < 0.03:
        path.unlink()
        pictures.special(rng, path)
    out, photo, labels = place / "out", picture_of(stock, "photo"), picture_of(stock, "labels")
    commands = (
        ["info", path],
        ["info", path],
        ["convert", path, out, "--to", rng.choice(("facesynth", "psp", "rosinality"))],
        ["translate", labels, "--checkpoint", path, "--out", out, "--device", "cpu", "-q"],
        ["translate", labels, "--checkpoint", path, "--out", out, "--device", "cpu", "-q"],
        ["parse", photo, "--checkpoint", path, "--out", out, "--device", "cpu", "-q"],
        [
            *(
                "train",
                "--data",
                stock.data,
                "--task",
                "seg2face",
                "--lpips",
                "0",
                "--device",
                "cpu",
                "-q",
                *SIZES,
                *STEPS,
            ),
            *("--out", out, "--dry-run", rng.choice(("--generator", "--identity-weights")), path),
        ],
    )
    return Case([str(part) for part in rng.choice(commands)], (out,))


# --------------------------------------------------------------------------------------------------------------- latents


def _npy(rng: Random, place: Path) -> bytes:
    """A NumPy file with another header, other values, or objects in it."""
    shape = rng.choice(((8, 16), (16,), (1, 8, 16), (8, 17), (0, 16), ()))
    kind = rng.choice((np.float32, np.float64, np.int8, np.complex64, np.bool_, "U4", "M8[s]"))
    stream = io.BytesIO()
    if rng.random() < 0.15:
        np.save(stream, np.array([_Runs(place / "canary" / "owned")], object), allow_pickle=True)
        return stream.getvalue()
    np.save(stream, np.full(shape, rng.choice((0, 1, np.nan, np.inf))).astype(kind, casting="unsafe"))
    data = stream.getvalue()
    header = rng.choice(
        (
            b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 16), }",
            b"{'descr': '<f4', 'fortran_order': True, 'shape': (-1, 16), }",
            b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
            b"{'descr': [('a', '<f4', (1000000, 1000000))], 'fortran_order': False, 'shape': (8, 16), }",
            b"{'descr': '|V4000000000', 'fortran_order': False, 'shape': (8, 16), }",
            b"{'descr': __import__('os').system('touch ../canary/owned'), 'fortran_order': False, 'shape': (1,), }",
            b"(" * 9000,
            b"[" * 300 + b"]" * 300,
            b"{'shape': (" + b"9" * 5000 + b",), 'descr': '<f4', 'fortran_order': False}",
        )
    )
    if rng.random() < 0.5:
        return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + rng.randbytes(512)
    return bytes_of(rng, data)


def latents(rng: Random, place: Path, stock: Stock) -> Case:
    """Latents with other headers, sizes and values, and with objects in them."""
    out, paths = place / "out", [place / "in" / f"{name}.npy" for name in "ab"]
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path.write_bytes(_npy(rng, place))
    if rng.random() < 0.1:
        paths[0].unlink()
        pictures.special(rng, paths[0])
    first, second = map(str, paths)
    inputs = rng.choice(
        (
            [first, "--from-latents"],
            [str(place / "in"), "--from-latents", "--save-latents"],
            [str(picture_of(stock, "labels")), "--style-from", first],
            ["--interpolate", first, second, "--frames", "3"],
        )
    )
    command = ["translate", *inputs, "--checkpoint", str(stock.seg), "--out", str(out), "--device", "cpu", "-q"]
    return Case(command, (out,), after=all_whole(out))


# --------------------------------------------------------------------------------------------------------------- configs


def config(rng: Random, place: Path, stock: Stock) -> Case:
    """Settings, schemes, lists of splits, mapping files and options that ask for the impossible."""
    out, file = place / "out", place / "in" / rng.choice(("c.yaml", "c.json", "c.yml"))
    what = rng.randrange(9)
    train = ["train", "--data", stock.data, *TRAIN, "--out", out, "--dry-run"]
    command: list[Any]
    if what <= 2:
        good = yaml.safe_load((stock.run / "config.yaml").read_text())
        kept = {name: good[name] for name in good if rng.random() < 0.8 or name == "model"}
        file.write_bytes(yaml_text(rng, kept))
        command = [*train, "--config", file]
    elif what == 3:
        sizes = (
            "output_size",
            "input_size",
            "style_dim",
            "channel_max",
            "channel_base",
            "mapping_depth",
            "encoder_units",
        )
        odd = [
            *map(str, NUMBERS),
            *TEXTS[:6],
            "1,2,3,4",
            "1,1,1,1,1",
            "128,128,128,128",
            "4096,4096,4096,4096",
            "1024",
            "8192",
        ]
        changes = [
            ["--model", f"{rng.choice(sizes)}={rng.choice(odd)}".replace("\0", "")] for _ in range(rng.choice((1, 2)))
        ]
        command = [*train, *SIZES, *STEPS, *(part for change in changes for part in change)]
    elif what == 4:
        option = rng.choice(
            ("--batch-size", "--accumulate", "--interval", "--seed", "--learning-rate", "--l2", "--style-probability")
        )
        odd = [*map(str, NUMBERS), "nan", "inf", "1e309", "", "x" * 2000, "\x1b[2J"]
        command = [*train, *SIZES, *STEPS, option, rng.choice(odd)]
    elif what == 5:
        good = describe(dataclasses.replace(CELEBAMASK_HQ, name="mine"))
        file.write_bytes(yaml_text(rng, good))
        command = ["prep", "masks", stock.raw, "--out", out, "--scheme", file, *ONE]
    elif what == 6:
        lines = ["id,split", "00000,train", "00001,val", "00002,test", "00003,train"]
        for _ in range(rng.choice((1, 2))):
            odd = (text(rng), "00001," + text(rng), "9" * 5000 + ",val", " " * 200_000 + "x", ",", "00000,val", "0,0,0")
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(odd))
        file.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
        if rng.random() < 0.3:
            file.write_bytes(bytes_of(rng, file.read_bytes()))
        command = ["prep", "masks", stock.raw, "--out", out, "--split-file", file, *ONE]
    elif what == 7:
        raw = place / "in" / "raw"
        shutil.copytree(stock.raw, raw)
        mapping = next(raw.glob("*.txt"))
        mapping.write_bytes(
            bytes_of(rng, mapping.read_bytes()) if rng.random() < 0.6 else text(rng).encode("utf-8", "surrogatepass")
        )
        command = ["prep", "masks", raw, "--out", out, *ONE]
    else:
        odd = [*map(str, NUMBERS), *TEXTS[:4], "nan", "all", "64px-up", "1-999999999", "-5", "9" * 5000, "1," * 3000]
        option = rng.choice(
            (
                "--samples",
                "--seed",
                "--mix-layers",
                "--mix-alpha",
                "--truncation",
                "--follow",
                "--size",
                "--batch-size",
                "--split",
            )
        )
        chosen = rng.choice(odd).replace("\0", "")
        if option == "--samples" and len(chosen) in (5, 6, 7) and chosen.isdecimal():
            chosen = "3"  # a million faces take their time
        command = [
            "translate",
            picture_of(stock, "labels"),
            "--checkpoint",
            stock.seg,
            "--out",
            out,
            "--device",
            "cpu",
            "-q",
        ]
        command += ["--samples", "1", option, chosen]
    return Case([str(part) for part in command], (out,))


# ------------------------------------------------------------------------------------------------------ runs and records


def run_folder(rng: Random, place: Path, stock: Stock) -> Case:
    """Run folders and folders of faces from elsewhere, to go on with."""
    out = place / "out"
    if rng.random() < 0.4:
        command = [
            "translate",
            str(stock.data / "labels"),
            "--checkpoint",
            str(stock.seg),
            "--out",
            str(out),
            "--device",
            "cpu",
            "-q",
        ]
        here = place / "first" / "here"
        here.mkdir(parents=True)
        call(command, here)
        shutil.rmtree(here.parent)
        record = out / "faces.jsonl"
        lines = record.read_bytes().splitlines(keepends=True)
        at = rng.randrange(len(lines))
        lines[at] = json_text(rng, json.loads(lines[at])) + b"\n" if rng.random() < 0.7 else bytes_of(rng, lines[at])
        record.write_bytes(b"".join(lines))
        if rng.random() < 0.1:
            record.unlink()
            pictures.special(rng, record)
        return Case(command, (out,), after=all_whole(out))
    shutil.copytree(stock.run, out)
    victim = rng.choice(sorted(path for path in out.rglob("*") if path.is_file()))
    how = rng.randrange(4)
    if how == 0:
        victim.unlink()
        pictures.special(rng, victim)
    elif victim.suffix == ".safetensors" and how < 3:
        victim.write_bytes(_safetensors(rng, victim.read_bytes()))
    elif victim.name == "config.yaml":
        victim.write_bytes(yaml_text(rng, yaml.safe_load(victim.read_text())))
    else:
        victim.write_bytes(bytes_of(rng, victim.read_bytes()))
    commands = (
        ["train", "--data", stock.data, *TRAIN, *SIZES, *STEPS, "--steps", "3", "--out", out],
        ["train", "--plot", out, "--out", place / "sheet.png"],
        ["info", out],
        [
            "translate",
            picture_of(stock, "labels"),
            "--checkpoint",
            out,
            "--out",
            place / "out2",
            "--device",
            "cpu",
            "-q",
        ],
    )
    return Case([str(part) for part in rng.choice(commands)], (out, place / "out2", place / "sheet.png"))
