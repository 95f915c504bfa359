"""Compaction: of the closed segments of a partition, only the latest record of each key stays.

Offsets never change. A tombstone (a record without a value) stays for ``delete.retention.ms`` after the compaction that
first met it, so that consumers learn of the deletion. Cleaned segments are new files, merged up to ``segment.bytes``;
the manifest puts them in the place of the old ones at once, so a crash leaves the ones or the others.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from crc32c import crc32c

from broker.batches import CRC_FROM, HEADER, Header
from broker.errors import Damaged
from broker.log import Partition
from broker.messages import CodecMissing, RecordBatch, RecordBatchBuilder
from broker.segments import Segment
from broker.topics import Topic

log = logging.getLogger(__name__)

_CODEC, _TIMESTAMP_TYPE = 0x07, 0x08
_NO_LIMIT = 1 << 31  # the builder silently refuses records beyond it


async def compact(topic: Topic) -> None:
    """Compact the partitions of a topic where its settings ask for it and there is something to gain."""
    if "compact" not in topic.setting("cleanup.policy"):
        return
    keep_ms, ratio = int(topic.setting("delete.retention.ms")), float(topic.setting("min.cleanable.dirty.ratio"))
    for partition in topic.partitions:
        now_ms = int(time.time() * 1_000)
        if partition.compactable and partition.damage is None and _due(partition, ratio, now_ms - keep_ms):
            await _compact(partition, now_ms, now_ms - keep_ms)


def _due(partition: Partition, ratio: float, horizon_ms: int) -> bool:
    closed = partition.segments[:-1]
    dirty = sum(segment.size for segment in closed if segment.cleaned_ms is None)
    ripe = any(segment.tombstones and (segment.cleaned_ms or horizon_ms) < horizon_ms for segment in closed)
    return ripe or bool(dirty and dirty >= ratio * sum(segment.size for segment in closed))


async def _compact(partition: Partition, now_ms: int, horizon_ms: int) -> None:
    closed = partition.segments[:-1]
    for segment in closed:
        segment.pin()
    cleaner = _Cleaner(closed, partition.segment_bytes, now_ms, horizon_ms, partition.sync)
    try:
        await asyncio.get_running_loop().run_in_executor(None, cleaner.run)
    except CodecMissing as missing:
        partition.compactable = False
        cleaner.discard()
        log.warning("partition %s is not compacted, a codec is missing: %s", partition.directory.name, missing)
    except Damaged as damage:
        cleaner.discard()
        partition.fail(damage)
    except BaseException:
        cleaner.discard()
        raise
    else:
        if partition.damage is None and partition.segments[: len(closed)] == closed:
            partition.replace([*cleaner.cleaned, *partition.segments[len(closed) :]])
        else:  # records were deleted meanwhile: the next round begins with what is left
            cleaner.discard()
    finally:
        for segment in closed:
            segment.unpin()


class _Cleaner:
    """Writes the cleaned form of a row of segments, in a thread of its own."""

    def __init__(
        self, dirty: list[Segment], segment_bytes: int, now_ms: int, horizon_ms: int, sync: Callable[[int], None]
    ) -> None:
        self._dirty, self._segment_bytes, self._sync = dirty, segment_bytes, sync
        self._now_ms, self._horizon_ms = now_ms, horizon_ms
        self.cleaned: list[Segment] = []

    def run(self) -> None:
        """Raises Damaged when what is read is not what was written, CodecMissing, and OSError."""
        latest = {
            record.key: record.offset
            for segment in self._dirty
            for _, batch in _batches(segment)
            for record in RecordBatch(batch)
        }
        for segment in self._dirty:
            self._clean(segment, latest)
        for segment in self.cleaned:
            self._sync(segment.fd)
            segment.readable = segment.size
            segment.write_index()

    def discard(self) -> None:
        """Delete what was written."""
        for segment in self.cleaned:
            segment.remove()
        self.cleaned = []

    def _clean(self, segment: Segment, latest: dict[bytes | None, int]) -> None:
        into = self._target(segment)
        drop = segment.cleaned_ms is not None and segment.cleaned_ms < self._horizon_ms
        tombstones = False
        for header, batch in _batches(segment):
            kept = [
                record
                for record in RecordBatch(batch)
                if record.key is None or (latest[record.key] == record.offset and not (drop and record.value is None))
            ]
            tombstones |= any(record.value is None for record in kept)
            if kept:
                _write(into, batch if len(kept) == header.records else _rebuilt(header, kept))
            time.sleep(0)  # let the event loop have the interpreter
        into.end, into.tombstones = segment.end, tombstones
        into.cleaned_ms = segment.cleaned_ms or self._now_ms if tombstones else self._now_ms

    def _target(self, segment: Segment) -> Segment:
        """Where a segment goes to: to the one before if there is room, and no tombstones that wait for their time."""
        last = self.cleaned[-1] if self.cleaned else None
        if last and not last.tombstones and last.size + segment.size <= self._segment_bytes:
            return last
        path = segment.path.with_name(f"{segment.base:020d}.{segment.generation + 1}.log")
        path.unlink(missing_ok=True)
        self.cleaned.append(Segment(path))
        return self.cleaned[-1]


def _batches(segment: Segment) -> Iterator[tuple[Header, bytes]]:
    for position, header in segment.walk(0, segment.size, checked=True):
        yield header, os.pread(segment.fd, header.size, position)


def _write(segment: Segment, batch: bytes) -> None:
    if os.pwrite(segment.fd, batch, segment.size) != len(batch):
        raise OSError("the disk is full")
    header = Header(*HEADER.unpack_from(batch))
    segment.note(header, header.base)


def _rebuilt(header: Header, records: list[Any]) -> bytes:
    """The batch with these of its records alone; offsets, reach and producer's sequence stay."""
    codec, producer = header.attributes & _CODEC, (header.producer_id, header.producer_epoch, header.sequence)
    builder = RecordBatchBuilder(2, codec, False, *producer, _NO_LIMIT)
    for record in records:
        builder.append(record.offset - header.base, record.timestamp, record.key, record.value, record.headers)
    batch = bytearray(builder.build())
    built = Header(*HEADER.unpack_from(batch))
    built = built._replace(
        base=header.base,
        leader_epoch=header.leader_epoch,
        attributes=built.attributes | header.attributes & _TIMESTAMP_TYPE,
        last_delta=header.last_delta,
    )
    HEADER.pack_into(batch, 0, *built)
    HEADER.pack_into(batch, 0, *built._replace(crc=crc32c(memoryview(batch)[CRC_FROM:])))
    return bytes(batch)
