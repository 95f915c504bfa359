"""What a good engineer writes in an afternoon, a process: ``python -m benchmarks.hand_written BOOTSTRAP DSN BATCH PARTITION…``.

aiokafka fetches, the batch of a partition goes into PostgreSQL as one JSON parameter, and the offset moves in the same
transaction. No numbering, no check that the offsets belong to this log, no group, no waiting for a database that is away.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.register import COLUMNS, KEY, PLAIN_TOPIC

_COLUMNS = ", ".join(COLUMNS)
_TYPED = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
_SETS = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != KEY)
_UPSERT = (
    f"INSERT INTO register ({_COLUMNS}) SELECT DISTINCT ON ({KEY}) {_COLUMNS} FROM "  # noqa: S608 - our own names
    f"rows from (json_to_recordset(%s::json) AS ({_TYPED})) WITH ORDINALITY AS r({_COLUMNS}, place) "
    f"ORDER BY {KEY}, place DESC ON CONFLICT ({KEY}) DO UPDATE SET {_SETS}"
)
POSITIONS = "CREATE TABLE positions (part int PRIMARY KEY, next_offset bigint NOT NULL)"
_MOVE = (
    "INSERT INTO positions VALUES (%s, %s) ON CONFLICT (part) DO UPDATE SET next_offset = excluded.next_offset "
    "WHERE positions.next_offset = %s"
)


class Moved(RuntimeError):
    """Another process has moved the offset."""


def apply(database: psycopg.Connection[Any], partition: int, records: Sequence[Any]) -> None:
    """Rows and offset of one batch in one transaction."""
    document = (b"[" + b",".join([record.value for record in records]) + b"]").decode()
    first, last = records[0].offset, records[-1].offset
    with database.transaction():
        database.execute(_UPSERT, (document,))
        if database.execute(_MOVE, (partition, last + 1, first)).rowcount != 1:
            raise Moved(f"partition {partition} does not stand at {first}")


async def main(bootstrap: str, dsn: str, batch: int, partitions: Sequence[int]) -> None:
    """Follow these partitions from their beginning, until the process is ended."""
    database = psycopg.connect(dsn, autocommit=True)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 << 20,
        fetch_max_bytes=16 << 20,
    )
    await consumer.start()
    places = [TopicPartition(PLAIN_TOPIC, partition) for partition in partitions]
    consumer.assign(places)
    await consumer.seek_to_beginning(*places)
    while True:
        for place, records in (await consumer.getmany(timeout_ms=1_000, max_records=batch)).items():
            await asyncio.to_thread(apply, database, place.partition, records)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), [int(each) for each in sys.argv[4:]]))
