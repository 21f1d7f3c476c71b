"""Which JPEGs a general decoder may be given as they are: whole, upright, three colours of 8 bits.

OpenCV decodes a photo in about half of Pillow's time, to the same pixels, but takes a file that was cut off for a whole one
and knows no limit to a picture's size. So the markers are looked at first; whatever is unusual is Pillow's.

Source: ITU-T T.81 (1992), annex B (markers and segments) and F.1.2.3 (no marker occurs inside entropy-coded data).
"""

from __future__ import annotations

import struct

_START, _END, _SCAN, _EXIF, _ADOBE = 0xD8, 0xD9, 0xDA, 0xE1, 0xEE
_FRAMES = (0xC0, 0xC1, 0xC2)
"""Baseline, extended and progressive, Huffman-coded."""
_OTHER_FRAMES = (0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
_MOST_PIXELS = 1 << 26


def is_plain(data: bytes) -> bool:
    """Whether a file is a JPEG that ends as it should and has nothing that changes how its pixels are meant.

    Parameters
    ----------
    data : bytes
        The file's content.

    Examples
    --------
    >>> is_plain(b"GIF89a")
    False
    """
    if data[:3] != b"\xff\xd8\xff":
        return False
    place, has_frame = 2, False
    while True:
        if data[place : place + 1] != b"\xff" or place + 4 > len(data):
            return False
        marker = data[place + 1]
        if marker == _END:
            return False  # before any scan
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        if marker in (_EXIF, _ADOBE) or marker in _OTHER_FRAMES or marker < 0xC0 or 0xD0 <= marker <= _START:
            return False
        if marker in _FRAMES:
            if has_frame or length < 17 or place + 10 > len(data):
                return False
            bits, height, width, colours = struct.unpack_from(">BHHB", data, place + 4)
            if bits != 8 or colours != 3 or not 0 < height * width <= _MOST_PIXELS:
                return False
            has_frame = True
        place += 2 + length
        if marker == _SCAN:
            return has_frame and _ends(data, place)


def _ends(data: bytes, place: int) -> bool:
    """Whether the scans that begin at ``place`` are followed by the end of the picture."""
    while (place := data.find(b"\xff", place)) >= 0 and place + 1 < len(data):
        marker = data[place + 1]
        if marker == _END:
            return True
        if marker in (0x00, 0xFF) or 0xD0 <= marker < _START:  # a stuffed byte, padding, or a restart
            place += 1 + (marker != 0xFF)
        else:  # tables or another scan
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return False
