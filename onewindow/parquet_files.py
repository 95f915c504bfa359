"""Records of a topic in a Parquet file, unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

_SCHEMA = pa.schema(
    [
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp", pa.timestamp("ms", "UTC"), nullable=False),
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field("headers", pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())])), nullable=False),
    ]
)


class ArchivedRecord(NamedTuple):
    """A record as it lay in its topic; ``timestamp`` in milliseconds."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


def write(path: Path, records: Sequence[Any]) -> None:
    """Write records, as a consumer gives them, in their order."""
    columns = [
        [record.offset for record in records],
        [record.timestamp for record in records],
        [record.key for record in records],
        [record.value for record in records],
        [[{"name": name, "value": value} for name, value in record.headers] for record in records],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    pq.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA), path, compression="zstd")


def read(path: Path) -> list[ArchivedRecord]:
    """The records of a file."""
    return [
        ArchivedRecord(
            row["offset"],
            round(row["timestamp"].timestamp() * 1_000),
            row["key"],
            row["value"],
            [(header["name"], header["value"]) for header in row["headers"]],
        )
        for row in pq.read_table(path).to_pylist()
    ]
