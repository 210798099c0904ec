"""What an uploaded file may be, checked before it is read: its type, its bytes and lines, and what it unpacks to."""

from __future__ import annotations

from pathlib import PurePath

from fishersft.corpus.files import ENDINGS, ending, not_read, unpacked
from fishersft.corpus.parquet import check_size
from fishersft.errors import CorpusError
from fishersft.ui.session import public

MOST_BYTES, MOST_PUBLIC_BYTES = 200_000_000, 10_000_000
MOST_LINES = 1_000_000
LONGEST_LINE = 5_000_000


def check_upload(name: str, data: bytes) -> str:
    """The file's ending; raises CorpusError for a wrong type, too many bytes or lines, or a line that is too long."""
    suffix = ending(name)
    shown = PurePath(name).name[:80]
    if suffix not in ENDINGS:
        raise not_read(shown, suffix[:12])
    most = MOST_PUBLIC_BYTES if public() else MOST_BYTES
    if len(data) > most:
        raise CorpusError(f"{shown} has {len(data) / 1e6:,.0f} MB; at most {most / 1e6:,.0f} MB are accepted here.")
    if suffix == ".parquet":
        if (records := check_size(data, shown, 4 * most)) > MOST_LINES:
            raise CorpusError(f"{shown} has {records:,} records; at most {MOST_LINES:,} are accepted here.")
        return suffix
    plain = unpacked(data, shown, 4 * most)
    if suffix.split(".")[1] != "json":
        lines = plain.split(b"\n")
        if len(lines) - 1 > MOST_LINES:
            raise CorpusError(f"{shown} has {len(lines) - 1:,} lines; at most {MOST_LINES:,} are accepted here.")
        if (longest := max(map(len, lines))) > LONGEST_LINE:
            raise CorpusError(f"{shown} has a line of {longest:,} bytes; at most {LONGEST_LINE:,} are accepted here.")
    return suffix
