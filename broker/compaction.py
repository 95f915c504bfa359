"""Compaction: of the closed segments of a partition, only the newest record of each key stays.

Offsets never change; a tombstone (a null value) stays for ``delete.retention.ms`` and then goes too. A segment is
written anew beside the old one and put in its place by one rename, so that a crash leaves one or the other.
"""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from typing import Any

from crc32c import crc32c
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from broker.batches import PREFIX, Header, batches
from broker.journal import sync_directory
from broker.log import Partition, Segment

_CRC_AT, _ATTRIBUTES_AT, _LAST_DELTA_AT = 17, 21, 23


def compact(partition: Partition, *, tombstones_before_ms: int) -> int:
    """Compact the closed segments. Returns how many bytes it saved."""
    newest: dict[bytes, int] = {}
    for segment in partition.segments:
        for _, header, raw in _batches_of(segment):
            for record in DefaultRecordBatch(raw):
                if record.key is not None:
                    newest[record.key] = header.base + (record.offset - header.base)
    return sum(_rewrite(partition, segment, newest, tombstones_before_ms) for segment in list(partition.closed()))


def _batches_of(segment: Segment) -> list[tuple[int, Header, bytes]]:
    data = os.pread(segment.fd, segment.size, 0)
    return [(at, header, data[at : at + header.size]) for at, header in batches(memoryview(data), check=True)]


def _rewrite(partition: Partition, segment: Segment, newest: dict[bytes, int], tombstones_before_ms: int) -> int:
    kept: list[bytes] = []
    for _, header, raw in _batches_of(segment):
        records = [
            record
            for record in DefaultRecordBatch(raw)
            if newest.get(record.key, record.offset) == record.offset
            and not (record.value is None and record.timestamp < tombstones_before_ms)
        ]
        if len(records) == header.records:
            kept.append(raw)
        elif records:
            kept.append(_rebuild(header, records))
    data = b"".join(kept)
    saved = segment.size - len(data)
    if saved > 0:
        _swap(partition, segment, data)
    return saved


def _rebuild(header: Header, records: list[Any]) -> bytes:
    """A batch with fewer records, and the offsets, sequence and reach of the old one."""
    builder = DefaultRecordBatchBuilder(
        2,
        header.attributes & 7,
        False,
        header.producer_id,
        header.producer_epoch,
        header.sequence,
        1 << 31,
    )
    for record in records:
        builder.append(record.offset - header.base, record.timestamp, record.key, record.value, record.headers)
    batch = bytearray(builder.build())
    PREFIX.pack_into(batch, 0, header.base, len(batch) - 12, header.leader_epoch)
    struct.pack_into(">i", batch, _LAST_DELTA_AT, header.last_delta)
    struct.pack_into(">I", batch, _CRC_AT, crc32c(memoryview(batch)[_ATTRIBUTES_AT:]))
    return bytes(batch)


def _swap(partition: Partition, old: Segment, data: bytes) -> None:
    beside = Path(f"{old.path}.cleaned")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(old.path)
    sync_directory(partition.path)
    os.close(old.fd)
    new = Segment(old.path)
    for _, header in batches(memoryview(data), check=False):
        new.note(header.base, header.size, header.max_timestamp)
    new.trusted = new.size
    partition.segments[partition.segments.index(old)] = new


def now_ms() -> int:
    """The time as Kafka counts it."""
    return int(time.time() * 1_000)
