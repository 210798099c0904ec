"""Reads parquet files into tables, after counting what their values take in memory.

A few hundred bytes of parquet may stand for gigabytes, because a value that repeats is stored once; so the values are counted
while repeated ones are still stored once.  Columns of one name get numbers, as in CSV; text stored as bytes becomes text.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fishersft.corpus.unpack import most_unpacked
from fishersft.errors import CorpusError

MOST_UNPACKED = 8_000_000_000  # bytes that the values of a file may take
NUMBER = 8  # bytes of a number, and of the reference to a text
ROWS = 4_096  # that are counted at a time
# what pyarrow raises over a damaged file
BROKEN = (pa.ArrowException, OSError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError)


def read_parquet(data: bytes, name: str, most: int = MOST_UNPACKED) -> pa.Table:
    """The table of a parquet file; CorpusError if it is damaged or takes more than `most` bytes."""
    check_size(data, name, most)
    with _readable(name):
        table = pq.ParquetFile(io.BytesIO(data)).read()
        counts = _counting_index(table)
        columns = [*counts.values(), *map(_plain, table.columns)]
        return pa.table(columns, names=[*counts, *table.column_names])


def _counting_index(table: pa.Table) -> dict[str, pa.Array]:
    """The named index of a pandas frame that only counts: it is a column too, and no column of the file."""
    for index in (table.schema.pandas_metadata or {}).get("index_columns") or ():
        if isinstance(index, dict) and index.get("kind") == "range" and index.get("name"):
            counts = range(index["start"], index["stop"], index["step"])
            if len(counts) == len(table):
                return {str(index["name"]): pa.array(counts)}
    return {}


def check_size(data: bytes, name: str, most: int = MOST_UNPACKED) -> int:
    """The number of records; CorpusError if the file is damaged or its values take more than `most` bytes."""
    taken, most = 0, most_unpacked(len(data), most)
    with _readable(name):
        for size in _sizes(data, most):
            taken += size
            if taken > most:
                raise CorpusError(
                    f"{name} has {len(data):,} bytes but unpacks to more than {most / 1e6:,.0f} MB, which is too much here; "
                    "split it into several files."
                )
        return int(pq.ParquetFile(io.BytesIO(data)).metadata.num_rows)


def columns_inside(data: bytes, name: str) -> int:
    """How many columns a file has, those inside of others counted one by one; nothing of them is read."""
    with _readable(name):
        return int(pq.read_metadata(io.BytesIO(data)).num_columns)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turns whatever pyarrow says of a damaged file into one sentence."""
    try:
        yield
    except MemoryError as error:
        raise CorpusError(f"{name} takes more memory than there is; split it into several files.") from error
    except BROKEN as error:
        raise CorpusError(f"{name} is not a readable parquet file.") from error


def check_times(table: pa.Table) -> None:
    """OverflowError or ValueError for a time that Python does not have, such as one after the year 9999: pandas keeps it, and no
    export could write it."""
    for column in table.columns:
        for values in column.chunks:
            for leaf in _leaves(values):
                if pa.types.is_timestamp(leaf.type):
                    _ = pc.min_max(leaf).as_py()


def _leaves(values: pa.Array) -> Iterator[pa.Array]:
    """The arrays without inner ones that an array is made of."""
    if pa.types.is_map(values.type):
        inner = [values.keys, values.items]
    elif pa.types.is_nested(values.type):
        inner = values.flatten() if pa.types.is_struct(values.type) else [values.flatten()]
    else:
        inner = []
    for one in inner:
        yield from _leaves(one)
    if not inner:
        yield values


def to_frame(table: pa.Table) -> pd.DataFrame:
    """The table for pandas: integers stay integers beside missing ones, and text is Python's."""
    table = pa.table([_unfolded(column) for column in table.columns], names=table.column_names)
    frame = table.to_pandas(ignore_metadata=True, integer_object_nulls=True)
    return frame.astype({c: object for c in frame.columns if isinstance(frame[c].dtype, pd.StringDtype)})


def _sizes(data: bytes, most: int) -> Iterator[int]:
    """The bytes that the values take, in parts: first those that have a fixed size, then the texts."""
    file = pq.ParquetFile(io.BytesIO(data))
    about, leaves = file.metadata, file.schema
    chunks = [about.row_group(i).column(j) for i in range(about.num_row_groups) for j in range(about.num_columns)]
    yield sum(chunk.num_values for chunk in chunks) * NUMBER
    texts = [leaf for leaf in (leaves.column(j) for j in range(about.num_columns)) if leaf.physical_type == "BYTE_ARRAY"]
    bound = sum(c.num_values * c.total_uncompressed_size for c in chunks if c.physical_type == "BYTE_ARRAY")
    if bound <= most:
        return  # even if every value were as long as all of them together
    longest = max(c.total_uncompressed_size for c in chunks if c.physical_type == "BYTE_ARRAY")  # that a value may be
    rows = min(ROWS, max(1, most // longest))  # some readers write repeated values out, and those must fit too
    counted = pq.ParquetFile(io.BytesIO(data), read_dictionary=[leaf.path for leaf in texts])
    for batch in counted.iter_batches(batch_size=rows, columns=[leaf.path for leaf in texts]):
        yield sum(_text_bytes(column) for column in batch.columns)


def _text_bytes(values: pa.Array) -> int:
    """The bytes of all texts in an array, each counted as often as it stands there."""
    if pa.types.is_dictionary(values.type):
        lengths = pc.binary_length(values.dictionary)
        return int(pc.sum(lengths.take(values.indices)).as_py() or 0)
    if pa.types.is_struct(values.type):
        return sum(map(_text_bytes, values.flatten()))
    if pa.types.is_map(values.type):
        return _text_bytes(values.keys) + _text_bytes(values.items)
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type) or pa.types.is_fixed_size_list(values.type):
        return _text_bytes(values.flatten())
    return int(values.nbytes)


def _unfolded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column in a type whose every value has a Python object: no dictionaries, and times in nanoseconds as text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.string()) if column.type == pa.time64("ns") else column


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of which rows can be taken, and bytes that are UTF-8 as text."""
    views = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    column = column.cast(views[column.type]) if column.type in views else column
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        try:
            return column.cast(pa.large_string() if pa.types.is_large_binary(column.type) else pa.string())
        except pa.ArrowInvalid:
            return column
    return column
