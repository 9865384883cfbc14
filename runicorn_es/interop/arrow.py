"""Rows and columns as Parquet and Arrow files. Needs pyarrow, which takes a quarter of a second to import."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, BinaryIO, Literal

import msgspec
import pyarrow as pa
from pyarrow import parquet

from runicorn_es.interop.columns import Kind, Row

ROWS_AT_ONCE = 4096
_TYPES = {
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "text": pa.string(),
    "time": pa.timestamp("us", tz="UTC"),
    "texts": pa.list_(pa.string()),
    "json": pa.string(),
}


def write(form: Literal["parquet", "arrow"], file: BinaryIO, columns: Mapping[str, Kind], rows: Iterable[Row]) -> int:
    """Write rows to a file, some thousand at a time, and return how many there were.

    ``arrow`` is the IPC file format, also called Feather 2. A list or an object in a column of JSON stands as its text.
    """
    schema = pa.schema([(name, _TYPES[kind]) for name, kind in columns.items()])
    waiting = iter(rows)
    count = 0
    with (
        parquet.ParquetWriter(file, schema, compression="zstd")
        if form == "parquet"
        else pa.ipc.new_file(file, schema) as writer
    ):
        while some := list(islice(waiting, ROWS_AT_ONCE)):
            arrays = [_array([row.get(name) for row in some], kind) for name, kind in columns.items()]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            count += len(some)
    return count


def _array(values: list[Any], kind: Kind) -> Any:
    if kind == "time":
        values = [None if value is None else value // 1000 for value in values]
    elif kind == "json":
        values = [None if value is None else msgspec.json.encode(value).decode() for value in values]
    return pa.array(values, type=_TYPES[kind])
