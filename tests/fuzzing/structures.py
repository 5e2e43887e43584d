"""Files taken to pieces and put together again, valid but for one hostile place.

Random bytes are refused by the first checksum or magic number. These keep checksums, lengths and order as a decoder
wants them, so that what is hostile gets as far as the code that believes it.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

Part = tuple[bytes, bytes]
"""A name, such as that of a chunk, and its content."""

EDGES = (0, 1, 2, 3, 7, 8, 15, 16, 100, 127, 128, 255, 256, 8_000, 19_999, 20_001, 32_767, 32_768, 65_535, 65_536)
"""Numbers at which decoders change what they do."""


def edges(bits: int) -> st.SearchStrategy[int]:
    """Numbers without a sign, mostly near the ends of what so many bits hold."""
    most = 2**bits - 1
    known = sorted({edge for edge in (*EDGES, most // 2, most // 2 + 1, most - 7, most - 1, most) if edge <= most})
    return st.one_of(st.sampled_from(known), st.integers(0, most))


@dataclass(frozen=True)
class Format:
    """How the files of a format are cut into parts and joined again, with right lengths and checksums."""

    split: Callable[[bytes], list[Part]]
    join: Callable[[list[Part]], bytes]
    order: str = ">"
    """Of the bytes of a number: > or <, as in `struct`."""
    extras: tuple[Part, ...] = ()
    """Parts that a file may have and few have."""


@st.composite
def hostile(draw: st.DrawFn, format_: Format, contents: list[bytes]) -> bytes:
    """One of the valid files, in which one part is changed, lost, repeated, moved or added."""
    parts = format_.split(draw(st.sampled_from(contents)))
    at = draw(st.integers(0, len(parts) - 1))
    name, body = parts[at]
    match draw(st.sampled_from(["number"] * 6 + ["content", "lost", "repeated", "moved", "added", "cut"])):
        case "number":
            parts[at] = (name, draw(_with_number(body, format_.order)))
        case "content":
            parts[at] = (name, draw(st.one_of(st.binary(max_size=40), st.just(body * 50))))
        case "lost":
            del parts[at]
        case "repeated":
            parts[at : at + 1] = [(name, body)] * draw(st.sampled_from([2, 3, 50]))
        case "moved":
            parts.insert(draw(st.integers(0, len(parts))), parts.pop(at))
        case "added":
            parts.insert(at, draw(st.sampled_from(format_.extras or tuple(parts))))
        case "cut":
            parts[at] = (name, body[: draw(st.integers(0, len(body)))])
    return format_.join(parts)


@st.composite
def _with_number(draw: st.DrawFn, body: bytes, order: str) -> bytes:
    """The content with another number somewhere near its beginning, where headers are."""
    code, width = draw(st.sampled_from([("B", 1), ("H", 2), ("I", 4)]))
    place = draw(st.integers(0, max(0, min(len(body), 64) - width)))
    return body[:place] + struct.pack(order + code, draw(edges(8 * width))) + body[place + width :]


def _split_png(content: bytes) -> list[Part]:
    parts, at = [], 8
    while at < len(content):
        length, name = struct.unpack(">I4s", content[at : at + 8])
        parts.append((name, content[at + 8 : at + 8 + length]))
        at += 12 + length
    return parts


def _join_png(parts: list[Part]) -> bytes:
    chunks = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


BOMB = zlib.compress(bytes(50_000_000), 9)
"""Fifty kilobytes that become fifty megabytes."""

PNG = Format(
    _split_png,
    _join_png,
    extras=(
        (b"iCCP", b"name\0\0" + BOMB),
        (b"zTXt", b"name\0\0" + BOMB),
        (b"iTXt", b"name\0\1\0\0\0" + BOMB),
        (b"tEXt", b"name\0" + bytes(1000)),
        (b"PLTE", bytes(range(255)) * 4),
        (b"tRNS", bytes(300)),
        (b"acTL", struct.pack(">II", 2**31 - 1, 0)),
        (b"fcTL", struct.pack(">IIIIIHHBB", 0, 20_001, 20_001, 2**31 - 1, 0, 0, 0, 9, 9)),
        (b"eXIf", b"MM\0*\0\0\0\x08\xff\xff" + bytes(20)),
        (b"gAMA", b""),
        (b"IDAT", BOMB),
        (b"IEND", b""),
    ),
)


def _split_jpeg(content: bytes) -> list[Part]:
    """Segments by their marker; what follows the start of a scan is part of it."""
    parts, at = [], 2
    while at + 4 <= len(content) and content[at : at + 2] != b"\xff\xd9":
        length = struct.unpack(">H", content[at + 2 : at + 4])[0]
        end = at + 2 + length
        if content[at + 1] == 0xDA:
            while end < len(content) and (content[end] != 0xFF or content[end + 1] in (0, *range(0xD0, 0xD8))):
                end += 1
        parts.append((content[at : at + 2], content[at + 4 : end]))
        at = end
    return parts


def _join_jpeg(parts: list[Part]) -> bytes:
    found = b"\xff\xd8"
    for marker, body in parts:
        length = len(body) + 2
        if marker == b"\xff\xda" and body:
            # Of the header alone: the number of components, two bytes for each, three more.
            length = min(length, 6 + 2 * body[0])
        found += marker + struct.pack(">H", min(length, 65_535)) + body
    return found + b"\xff\xd9"


JPEG = Format(
    _split_jpeg,
    _join_jpeg,
    extras=(
        (b"\xff\xdd", struct.pack(">H", 1)),
        (b"\xff\xee", b"Adobe" + bytes(6) + b"\x02"),
        (b"\xff\xe1", b"Exif\0\0II*\0\xff\xff\xff\xff"),
        (b"\xff\xe2", b"ICC_PROFILE\0\x01\xff" + bytes(200)),
        (b"\xff\xe2", b"MPF\0II*\0\x08\0\0\0\xff\xff" + bytes(30)),
        (b"\xff\xfe", b"comment" * 9000),
        (b"\xff\xc2", struct.pack(">BHHB", 12, 65_535, 65_535, 4) + bytes(12)),
        (b"\xff\xcc", bytes(4)),
    ),
)


def _split_riff(content: bytes) -> list[Part]:
    parts, at = [], 12
    while at + 8 <= len(content):
        name, length = struct.unpack("<4sI", content[at : at + 8])
        parts.append((name, content[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return parts


def _join_riff(parts: list[Part]) -> bytes:
    body = b"".join(name + struct.pack("<I", len(one)) + one + bytes(len(one) % 2) for name, one in parts)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


WEBP = Format(
    _split_riff,
    _join_riff,
    "<",
    extras=(
        (b"VP8X", struct.pack("<I", 0xFF) + b"\xff\xff\xff\xff\xff\xff"),
        (b"ANIM", bytes(6)),
        (b"ANMF", bytes(16) + b"VP8L"),
        (b"ALPH", bytes(10)),
        (b"EXIF", b"MM\0*\xff\xff\xff\xff"),
        (b"ICCP", bytes(100)),
        (b"VP8L", b"\x2f\xff\xff\xff\xff" + bytes(10)),
    ),
)


def _split_tiff(content: bytes) -> list[Part]:
    """The entries of the first directory by their tags; the last part, without a name, is all the rest."""
    (at,) = struct.unpack("<I", content[4:8])
    (count,) = struct.unpack("<H", content[at : at + 2])
    entries = [content[at + 2 + 12 * number : at + 14 + 12 * number] for number in range(count)]
    return [*((entry[:2], entry[2:]) for entry in entries), (b"", content)]


def _join_tiff(parts: list[Part]) -> bytes:
    """The rest where it was, so that places in it are right, and the entries behind it."""
    entries = [name + body.ljust(10, b"\0")[:10] for name, body in parts if name]
    rest = b"".join(body for name, body in parts if not name)
    rest += bytes(len(rest) % 2)
    return (
        b"II*\0"
        + struct.pack("<I", len(rest))
        + rest[8:]
        + struct.pack("<H", len(entries))
        + b"".join(entries)
        + bytes(4)
    )


def _tag(number: int, kind: int, count: int, value: int) -> Part:
    return struct.pack("<H", number), struct.pack("<HII", kind, count, value)


TIFF = Format(
    _split_tiff,
    _join_tiff,
    "<",
    extras=(
        *(_tag(259, 3, 1, code) for code in (1, 2, 3, 4, 5, 6, 7, 8, 32_773, 34_712, 34_925, 50_000, 50_001)),
        *(_tag(322 + number, 4, 1, side) for number in (0, 1) for side in (1, 16, 20_001, 2**31)),
        _tag(277, 3, 1, 65_535),
        _tag(258, 3, 2**31, 8),
        _tag(278, 4, 1, 0),
        _tag(284, 3, 1, 2),
        _tag(317, 3, 1, 3),
        _tag(330, 4, 2**30, 8),
        _tag(34_665, 4, 1, 8),
        _tag(34_675, 7, 2**31, 0),
        _tag(347, 7, 2**28, 8),
    ),
)
