"""Pictures as the world holds them, and pictures that nothing should have to read."""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from .hostile_values import bytes_of

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "I;16", "F")
FORMATS = {
    "PNG": ".png",
    "JPEG": ".jpg",
    "GIF": ".gif",
    "BMP": ".bmp",
    "TIFF": ".tif",
    "WEBP": ".webp",
    "PPM": ".ppm",
    "TGA": ".tga",
    "ICO": ".ico",
    "JPEG2000": ".jp2",
    "AVIF": ".avif",
    "PCX": ".pcx",
    "SGI": ".sgi",
    "DDS": ".dds",
}
SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".bmp",
    ".tif",
    ".tiff",
    ".gif",
    ".avif",
    ".heic",
    ".svg",
    ".dng",
    ".PNG",
    ".npy",
)
NAMES = (
    "-rf",
    "=1+1",
    "@SUM(A1)",
    "a b",
    "größer",
    "a\nb",
    "\x1b[31mred",
    "\u202egnp",
    "x" * 250,
    "%s%n",
    "con",
    "..a",
    " ",
    "\udcff\udc80",
    "00001",
    "'; drop",
    "<script>alert(1)",
)
SPECIAL = ("folder", "pipe", "socket", "loop", "lost", "device", "endless", "unreadable", "outside")
_SVG = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;"><!ENTITY f SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg">&c;&f;</svg>"""


def name(rng: Random) -> str:
    return rng.choice(NAMES) if rng.random() < 0.15 else f"p{rng.randrange(100)}"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, bits: int, colour: int, rows: int, *, extra: bytes = b"") -> bytes:
    """A PNG of zeros whose header promises more than its data may hold."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1)
    packer = zlib.compressobj(9)
    line = bytes(1 + (width * bits * channels + 7) // 8)
    data = b"".join(packer.compress(line) for _ in range(rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _image(rng: Random) -> Image.Image:
    side = rng.choice((1, 2, 17, 32, 64, 100, 200))
    size = (side, side) if rng.random() < 0.7 else (rng.choice((1, 3, 40, 3000)), rng.choice((1, 5, 64)))
    if rng.random() < 0.02:
        size = (2500, 2000)
    mode = rng.choice(MODES)
    made = Image.new("RGB", size, rng.choice(("white", "black", "grey", "#33ffff")))
    draw = ImageDraw.Draw(made)
    for _ in range(rng.choice((0, 1, 12))):
        box = sorted(rng.randrange(size[0]) for _ in "ab"), sorted(rng.randrange(size[1]) for _ in "ab")
        draw.ellipse(
            (box[0][0], box[1][0], box[0][1], box[1][1]), outline=rng.randrange(1 << 24), width=rng.choice((1, 3))
        )
    if rng.random() < 0.3:
        made = Image.fromarray(
            np.frombuffer(rng.randbytes(size[0] * size[1] * 3), np.uint8).reshape(size[1], size[0], 3)
        )
    if mode == "I;16":
        return made.convert("I").convert("I;16")
    if mode in ("LAB", "HSV", "RGBX", "PA"):
        try:
            return made.convert(mode)
        except ValueError:
            return made.convert("RGBA").convert("P")
    if mode == "F":
        floats = np.asarray(made.convert("L"), np.float32) * rng.choice((1.0, 1 / 255, 1e30))
        floats.flat[0] = rng.choice((0.0, np.nan, np.inf, -1.0))
        return Image.fromarray(floats)
    if mode == "P" and rng.random() < 0.5:
        ids = np.asarray(made.convert("L")) % rng.choice((2, 19, 20, 255))
        indexed = Image.fromarray(ids.astype(np.uint8))
        indexed.putpalette(rng.randbytes(3 * rng.choice((1, 19, 256))))
        return indexed
    return made.convert(mode)


def good(rng: Random) -> tuple[bytes, str]:
    """A picture that some program may have written, and its suffix."""
    for _ in range(20):
        image, kind = _image(rng), rng.choice(list(FORMATS))
        if kind in ("JPEG2000", "AVIF") and rng.random() < 0.7:
            kind = "PNG"
        options: dict[str, object] = {}
        if rng.random() < 0.1:
            exif = Image.Exif()
            exif[274] = rng.choice((0, 3, 6, 8, 9, 300))
            options["exif"] = exif.tobytes() if rng.random() < 0.7 else b"Exif\0\0" + rng.randbytes(50)
        if rng.random() < 0.1:
            options["icc_profile"] = rng.randbytes(rng.choice((0, 10, 500)))
        if rng.random() < 0.1:
            options["transparency"] = rng.choice((0, 255, b"\0\xff", b""))
        if rng.random() < 0.1 and kind in ("GIF", "PNG", "WEBP", "TIFF"):
            options |= {"save_all": True, "append_images": [image.copy() for _ in range(rng.choice((1, 5)))]}
        if kind == "TIFF" and rng.random() < 0.5:
            options["compression"] = rng.choice(("tiff_lzw", "tiff_deflate", "jpeg", "packbits", "group4"))
        stream = io.BytesIO()
        try:
            image.save(stream, kind, **options)
        except Exception:
            continue
        return stream.getvalue(), FORMATS[kind]
    return png_of(8, 8, 8, 0, 8), ".png"


def _forged(rng: Random) -> bytes:
    how = rng.randrange(12)
    if how == 0:
        return png_of(60_000, 60_000, 8, 0, 40)
    if how == 1:
        return png_of(rng.choice((12_000, 16_384)), 12_000, 1, 0, 12_000)
    if how == 2:
        return png_of(1, rng.choice((60_000, 400_000)), 8, 0, 60_000)
    if how == 3:
        return png_of(rng.choice((60_000, 1_000_000)), 1, 8, 2, 1)
    if how == 4:
        return png_of(16, 16, 8, 3, 16)  # a palette without PLTE
    if how == 5:
        return png_of(16, 16, rng.choice((1, 3, 16, 255)), rng.choice((1, 2, 3, 5, 255)), 16)
    if how == 6:
        bomb = zlib.compress(bytes(100_000_000), 9)
        return png_of(16, 16, 8, 0, 16, extra=chunk(rng.choice((b"iCCP", b"zTXt")), b"a\0\0" + bomb))
    if how == 7:
        return png_of(16, 16, 8, 0, 16, extra=chunk(b"tEXt", b"a\0" + bytes(1 << 20)) * rng.choice((1, 90)))
    if how == 8:
        return png_of(16, 16, 8, 0, 16, extra=chunk(b"acTL", struct.pack(">II", 1 << 31, 0)))
    if how == 9:
        return b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80 | 7, 0, 0) + rng.randbytes(768) + b","
    if how == 10:
        return (
            b"P6\n"
            + rng.choice((b"100000 100000 255\n", b"9" * 5000 + b" 1 255\n", b"-1 -1 255\n", b"8 8 0\n"))
            + bytes(64)
        )
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 1 << 20, -(1 << 20), 1, 24, 0, 0, 0, 0, 0, 0)


def data(rng: Random) -> tuple[bytes, str]:
    """The bytes of a picture, whole or not, and a suffix that may be another's."""
    kind = rng.random()
    if kind < 0.12:
        made, suffix = _forged(rng), ".png"
    elif kind < 0.18:
        other = (
            b"",
            bytes(4096),
            b"<!DOCTYPE html><html>404",
            _SVG,
            b"\x93NUMPY\x01\0" + rng.randbytes(80),
            rng.randbytes(300),
        )
        made, suffix = rng.choice(other), rng.choice(SUFFIXES)
    else:
        made, suffix = good(rng)
        if rng.random() < 0.65:
            made = bytes_of(rng, made)
    if rng.random() < 0.15:
        suffix = rng.choice(SUFFIXES)
    return made, suffix


def special(rng: Random, path: Path) -> None:
    """Something that is no regular file, in its place."""
    what = rng.choice(SPECIAL)
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "socket":
        here = os.getcwd()
        os.chdir(path.parent)  # a socket's path is short
        try:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(path.name)
        except OSError:
            path.mkdir()
        finally:
            os.chdir(here)
    elif what == "loop":
        path.symlink_to(path.name)
    elif what == "lost":
        path.symlink_to("nowhere")
    elif what == "device":
        path.symlink_to(rng.choice(("/dev/zero", "/dev/random", "/dev/tty", "/dev/stdin", "/proc/self/mem")))
    elif what == "endless":
        path.symlink_to("/dev/full")
    elif what == "outside":
        path.symlink_to("/etc/passwd")
    else:
        path.write_bytes(b"x")
        path.chmod(0)


def put(rng: Random, folder: Path, stem: str | None = None, suffix: str | None = None) -> Path:
    """A hostile picture in a folder, called by a stem or an odd name."""
    folder.mkdir(parents=True, exist_ok=True)
    content, own = data(rng)
    path = folder / ((stem if stem is not None else name(rng)) + (suffix or own))
    if len(os.fsencode(path.name)) > 255:
        path = path.with_name(path.name[5:])
    if os.path.lexists(path):
        path.unlink() if path.is_symlink() or not path.is_dir() else path.rmdir()
    if rng.random() < 0.1:
        special(rng, path)
    else:
        path.write_bytes(content)
    return path
