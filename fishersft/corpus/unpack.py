"""From a file's bytes to its text: unpacks them up to a limit, refuses endless lines, and names the byte that is no text.

A few hundred bytes may stand for gigabytes, so what they unpack to is counted as it comes and compared with their own number.
"""

from __future__ import annotations

import codecs
import io
import zlib
from gzip import GzipFile
from pathlib import PurePath
from typing import Any

import pyarrow as pa

from fishersft.errors import CorpusError

COMPRESSED = (".gz", ".zst")  # behind any ending but .parquet
MOST_UNPACKED = 4_000_000_000  # bytes that a compressed file may unpack to
ALWAYS, TIMES = 64_000_000, 200  # bytes that any file may unpack to; and how many times its own size: texts shrink to a fiftieth
LONGEST_LINE = 10_000_000  # bytes


def most_unpacked(packed: int, most: int) -> int:
    """The bytes that a file of `packed` bytes may unpack to: at most `most`, and no bomb's share of them."""
    return min(most, max(ALWAYS, TIMES * packed))


def unpacked(data: bytes, name: str, most: int = MOST_UNPACKED) -> bytes:
    """The bytes of a compressed file, or those of any other as they are; CorpusError if they are damaged or more than `most`."""
    if not name.lower().endswith(COMPRESSED):
        return data
    most = most_unpacked(len(data), most)
    pieces, size = [], 0
    try:
        gz = name.lower().endswith(".gz")
        stream: Any = GzipFile(fileobj=io.BytesIO(data)) if gz else pa.CompressedInputStream(pa.BufferReader(data), "zstd")
        while size <= most and (piece := stream.read(min(1 << 24, most + 1 - size))):
            pieces.append(piece)
            size += len(piece)
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise CorpusError(f"{name} is not a readable {PurePath(name).suffix} file; compress it again.") from error
    if size > most:
        raise CorpusError(
            f"{name} has {len(data):,} bytes but unpacks to more than {most / 1e6:,.0f} MB, which is too much here; split it "
            "into several files."
        )
    if not size:
        raise CorpusError(f"{name} is empty.")
    return b"".join(pieces)


def check_lines(data: bytes, name: str) -> None:
    """Refuse lines that are longer than any example; looks only at the last line end of every LONGEST_LINE bytes."""
    start = 0
    while len(data) - start > LONGEST_LINE:
        end = data.rfind(b"\n", start, start + LONGEST_LINE + 1)
        if end < 0:
            raise CorpusError(f"{name} has a line of more than {LONGEST_LINE / 1e6:,.0f} MB, which is no example; cut it up.")
        start = end + 1


def decode(data: bytes, name: str) -> str:
    """Decode UTF-8, with or without a byte-order mark, or UTF-16 with one; otherwise the error names the first bad byte."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise CorpusError(f"{name} is in UTF-32; save it as UTF-8.")
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if not marked and b"\x00" in data:
        raise CorpusError(f"{name} looks like a binary file (a zero byte at position {data.index(0):,}), not text.")
    encoding = "utf-16" if marked else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        # utf-8-sig counts positions after the mark
        at = error.start + (len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0)
        shown = f" (0x{data[at]:02x})" if at < len(data) else ""
        kind = "UTF-16" if marked else "UTF-8"
        raise CorpusError(f"{name} is not {kind}: byte {at:,}{shown} is invalid; save it as UTF-8.") from error
    if "\x00" in text:
        raise CorpusError(f"{name} contains zero characters, so it is not a text file; save it as UTF-8.")
    return text
