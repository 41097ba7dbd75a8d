"""Makes a picture of a screen small: at most 256 colours, which is plenty for text and lines.

Reads what Chromium writes (8 bits, RGB or RGBA, not interlaced), and nothing else.
"""

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

_HEAD = b"\x89PNG\r\n\x1a\n"
_RGB, _RGBA = 2, 6


def reduced(png: bytes) -> bytes:
    """The same picture with a palette."""
    width, height, pixels = _pixels(png)
    counts: Counter[bytes] = Counter(
        row[n : n + 3] for row in pixels for n in range(0, len(row), 3)
    )
    palette = [colour for colour, _ in counts.most_common(256)]
    place = {colour: n for n, colour in enumerate(palette)}
    for colour in counts.keys() - place.keys():
        place[colour] = _nearest(colour, palette)
    rows = b"".join(
        b"\0" + bytes(place[row[n : n + 3]] for n in range(0, len(row), 3)) for row in pixels
    )
    return _HEAD + b"".join(
        _chunk(kind, content)
        for kind, content in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            (b"PLTE", b"".join(palette)),
            (b"IDAT", zlib.compress(rows, 9)),
            (b"IEND", b""),
        )
    )


def _nearest(colour: bytes, palette: list[bytes]) -> int:
    def far(n: int) -> int:
        return sum((a - b) ** 2 for a, b in zip(colour, palette[n], strict=True))

    return min(range(len(palette)), key=far)


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_HEAD)
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length


def _pixels(png: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height, and the rows as RGB."""
    chunks = list(_chunks(png))
    width, height, depth, kind, *_, lace = struct.unpack(">IIBBBBB", dict(chunks)[b"IHDR"])
    assert (depth, lace) == (8, 0), "8 bits, not interlaced"
    size = {_RGB: 3, _RGBA: 4}[kind]
    raw = zlib.decompress(b"".join(content for name, content in chunks if name == b"IDAT"))
    before = bytearray(width * size)
    rows = []
    for y in range(height):
        at = y * (width * size + 1)
        row = bytearray(raw[at + 1 : at + 1 + width * size])
        _unfilter(raw[at], row, before, size)
        before = row
        rows.append(bytes(row) if size == 3 else _opaque(row))
    return width, height, rows


def _opaque(row: bytearray) -> bytes:
    return b"".join(bytes(row[n : n + 3]) for n in range(0, len(row), 4))


def _unfilter(how: int, row: bytearray, up: bytearray, size: int) -> None:
    """Undo one of the five filters of PNG, in place."""
    for n in range(len(row)):
        left = row[n - size] if n >= size else 0
        corner = up[n - size] if n >= size else 0
        if how == 1:
            row[n] = (row[n] + left) & 255
        elif how == 2:
            row[n] = (row[n] + up[n]) & 255
        elif how == 3:
            row[n] = (row[n] + (left + up[n]) // 2) & 255
        elif how == 4:
            row[n] = (row[n] + _paeth(left, up[n], corner)) & 255


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda one: abs(guess - one))
