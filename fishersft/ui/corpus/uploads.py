"""What the server accepts from a stranger's browser: type, size, number and length of lines, checked before reading."""

from __future__ import annotations

import io
from pathlib import PurePath

from fishersft.corpus.read import FORMATS, not_read
from fishersft.errors import CorpusError
from fishersft.ui.session import public

MOST_BYTES, MOST_PUBLIC_BYTES = 200_000_000, 10_000_000
MOST_LINES = 1_000_000
LONGEST_LINE = 5_000_000


def check_upload(name: str, data: bytes) -> str:
    """The file's ending, if it may come in.

    Raises:
        CorpusError: wrong type, too large, too many lines, or a line too long.
    """
    suffix = PurePath(name).suffix.lower()
    shown = PurePath(name).name[:80]
    if suffix not in FORMATS:
        raise not_read(shown, suffix[:12])
    most = MOST_PUBLIC_BYTES if public() else MOST_BYTES
    if len(data) > most:
        raise CorpusError(f"{shown} has {len(data) / 1e6:,.0f} MB; at most {most / 1e6:,.0f} MB are taken here.")
    if suffix == ".parquet":
        _check_parquet(shown, data, most)
    elif suffix != ".json":
        lines = data.count(b"\n")
        if lines > MOST_LINES:
            raise CorpusError(f"{shown} has {lines:,} lines; at most {MOST_LINES:,} are taken here.")
        longest = max(map(len, data.split(b"\n")))
        if longest > LONGEST_LINE:
            raise CorpusError(f"{shown} has a line of {longest:,} bytes; at most {LONGEST_LINE:,} are taken here.")
    return suffix


def _check_parquet(shown: str, data: bytes, most: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        about = pq.ParquetFile(io.BytesIO(data)).metadata
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(f"{shown} is not a readable parquet file.") from error
    unpacked = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
    if about.num_rows > MOST_LINES or unpacked > 4 * most:
        raise CorpusError(f"{shown} unpacks to {about.num_rows:,} records and {unpacked / 1e6:,.0f} MB; that is too much here.")
