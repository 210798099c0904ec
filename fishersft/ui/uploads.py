"""What an uploaded file may be, checked before it is read: its type, its bytes and lines, and what it unpacks to."""

from __future__ import annotations

import io
from pathlib import PurePath

import pyarrow as pa
import pyarrow.parquet as pq

from fishersft.corpus.files import READ_FORMATS, not_read
from fishersft.errors import CorpusError
from fishersft.ui.session import public

MOST_BYTES, MOST_PUBLIC_BYTES = 200_000_000, 10_000_000
MOST_LINES = 1_000_000
LONGEST_LINE = 5_000_000


def check_upload(name: str, data: bytes) -> str:
    """The file's ending; raises CorpusError for a wrong type, too many bytes or lines, or a line that is too long."""
    suffix = PurePath(name).suffix.lower()
    shown = PurePath(name).name[:80]
    if suffix not in READ_FORMATS:
        raise not_read(shown, suffix[:12])
    most = MOST_PUBLIC_BYTES if public() else MOST_BYTES
    if len(data) > most:
        raise CorpusError(f"{shown} has {len(data) / 1e6:,.0f} MB; at most {most / 1e6:,.0f} MB are accepted here.")
    if suffix == ".parquet":
        try:
            about = pq.ParquetFile(io.BytesIO(data)).metadata
        except (pa.ArrowException, OSError) as error:
            raise CorpusError(f"{shown} is not a readable parquet file.") from error
        unpacked = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        if about.num_rows > MOST_LINES or unpacked > 4 * most:
            size = f"{about.num_rows:,} records and {unpacked / 1e6:,.0f} MB"
            raise CorpusError(f"{shown} unpacks to {size}; that is too much here.")
    elif suffix != ".json":
        lines = data.split(b"\n")
        if len(lines) - 1 > MOST_LINES:
            raise CorpusError(f"{shown} has {len(lines) - 1:,} lines; at most {MOST_LINES:,} are accepted here.")
        if (longest := max(map(len, lines))) > LONGEST_LINE:
            raise CorpusError(f"{shown} has a line of {longest:,} bytes; at most {LONGEST_LINE:,} are accepted here.")
    return suffix
