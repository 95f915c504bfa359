"""The log of a partition: segment files of whole batches, named by their first offset.

An index of batches (first offset, position, greatest timestamp) is kept in memory and made anew at start from the
headers. A batch that is cut off at the very end of the newest segment is a torn tail: a write that a crash interrupted,
never acknowledged, and truncated. Damage anywhere else is reported, takes the partition offline and is never skipped.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from broker.batches import CONTROL, HEADER, PREFIX, TRANSACTIONAL, Header, NotABatch, batches, find_batch
from broker.errors import Code, Damaged
from broker.sequences import Sequences

log = logging.getLogger(__name__)


class Segment:
    """One file of batches and the index of it. ``trusted`` is where batches begin that this process wrote itself."""

    def __init__(self, path: Path) -> None:
        self.path, self.base, self.size, self.max_timestamp, self.trusted = path, int(path.stem), 0, -1, 0
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
        self.bases, self.positions, self.timestamps = array("q"), array("q"), array("q")

    def note(self, base: int, size: int, timestamp: int) -> None:
        """Add a batch of ``size`` bytes at the end to the index."""
        self.bases.append(base)
        self.positions.append(self.size)
        self.timestamps.append(timestamp)
        self.size += size
        self.max_timestamp = max(self.max_timestamp, timestamp)

    def remove(self) -> None:
        """Close and delete the file."""
        os.close(self.fd)
        self.path.unlink()


class Slice(NamedTuple):
    """A run of whole batches in one segment: what a fetch is answered with."""

    segment: Segment
    start: int
    stop: int


class Partition:
    """The log of one partition. Used from the event loop alone, but for ``read``, which only reads."""

    def __init__(self, path: Path, *, segment_bytes: int, leader_epoch: int, check_tail: bool) -> None:
        self.path, self.segment_bytes, self.leader_epoch = path, segment_bytes, leader_epoch
        self.waiters: set[asyncio.Future[None]] = set()
        self.sequences = Sequences()
        self.epochs: list[tuple[int, int]] = []
        self.damage: Damaged | None = None
        self.failed = False
        path.mkdir(parents=True, exist_ok=True)
        self.segments = [Segment(file) for file in sorted(path.glob("*.log"))] or [Segment(path / f"{0:020d}.log")]
        self.start = self.end = self.segments[0].base
        try:
            for segment in self.segments:
                self._recover(segment, newest=segment is self.segments[-1], check_tail=check_tail)
        except Damaged as damage:
            self.damage = damage
            log.error("partition %s is offline: %s", path.name, damage)

    @property
    def online(self) -> bool:
        """Whether reads and writes are served."""
        return self.damage is None and not self.failed

    def _recover(self, segment: Segment, *, newest: bool, check_tail: bool) -> None:
        """Index a segment from its headers; the newest one is checked in full after an unclean end."""
        size = os.fstat(segment.fd).st_size
        if not size:
            return
        with mmap.mmap(segment.fd, size, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
            good = 0
            try:
                for position, header in batches(data, check=newest and check_tail):
                    if header.base < self.end:
                        raise NotABatch(position, "offsets go backwards")
                    self._note(segment, header, header.base)
                    good = position + header.size
            except NotABatch as flaw:
                if not newest or find_batch(data, good + 1) is not None:
                    raise Damaged(segment.path, flaw.position, flaw.why) from flaw
        segment.trusted = segment.size
        if good < size:
            log.warning("torn tail of %s: %d bytes truncated", segment.path, size - good)
            os.ftruncate(segment.fd, good)
            os.fsync(segment.fd)
        os.lseek(segment.fd, good, os.SEEK_SET)

    def _note(self, segment: Segment, header: Header, base: int, epoch: int | None = None) -> None:
        epoch = header.leader_epoch if epoch is None else epoch
        if not self.epochs or epoch > self.epochs[-1][0]:
            self.epochs.append((epoch, base))
        self.sequences.record(header, base)
        segment.note(base, header.size, header.max_timestamp)
        self.end = base + header.last_delta + 1

    # -- writing ------------------------------------------------------------------------------------------------------

    def append(self, records: bytes) -> tuple[Code, int]:
        """Write batches at the end. Returns (NONE, first offset), or why they were refused and -1; all or nothing."""
        if not self.online:
            return Code.KAFKA_STORAGE_ERROR, -1
        data, accepted, repeated = memoryview(records), [], None
        try:
            for position, header in batches(data, check=True):
                if header.attributes & (CONTROL | TRANSACTIONAL):
                    return Code.INVALID_REQUEST, -1
                code, known = self.sequences.check(header)
                if code:
                    return code, -1
                if known is None:
                    accepted.append((position, header))
                else:
                    repeated = known if repeated is None else repeated
        except NotABatch as flaw:
            wrong_format = flaw.why.startswith("message format")
            return (Code.UNSUPPORTED_FOR_MESSAGE_FORMAT if wrong_format else Code.CORRUPT_MESSAGE), -1
        if not accepted:
            return (Code.NONE, repeated) if repeated is not None else (Code.CORRUPT_MESSAGE, -1)
        first = self.end
        for position, header in accepted:
            if not self._write(header, data[position : position + header.size]):
                return Code.KAFKA_STORAGE_ERROR, -1
        self.wake()
        return Code.NONE, first

    def _write(self, header: Header, batch: memoryview) -> bool:
        segment = self.segments[-1]
        if segment.size and segment.size + header.size > self.segment_bytes:
            segment = self.roll()
        base = self.end
        prefix = PREFIX.pack(base, header.length, self.leader_epoch)
        try:
            written = os.writev(segment.fd, [prefix, batch[PREFIX.size :]])
        except OSError as error:
            log.error("append to %s failed: %s", segment.path, error)
            written = -1
        if written != header.size:  # disk full: undo, refuse, and take the next one when there is room again
            os.ftruncate(segment.fd, segment.size)
            os.lseek(segment.fd, segment.size, os.SEEK_SET)
            return False
        self._note(segment, header, base, self.leader_epoch)
        return True

    def roll(self) -> Segment:
        """Close the newest segment (durably) and start the next."""
        os.fsync(self.segments[-1].fd)
        segment = Segment(self.path / f"{self.end:020d}.log")
        self.segments.append(segment)
        return segment

    def wake(self) -> None:
        """Let waiting fetches look again."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.waiters.clear()

    # -- reading ------------------------------------------------------------------------------------------------------

    def locate(self, offset: int, max_bytes: int) -> Slice | None:
        """Whole batches from the one that holds ``offset`` (or follows it), at least one; None at the end."""
        if offset >= self.end:
            return None
        at = max(bisect_right(self.segments, offset, key=lambda segment: segment.base) - 1, 0)
        while True:
            segment = self.segments[at]
            batch = max(bisect_right(segment.bases, offset) - 1, 0)
            if batch < len(segment.bases):
                if self._batch_end(segment, batch) > offset:
                    break
                batch += 1
                if batch < len(segment.bases):
                    break
            at += 1  # compaction took the rest of this segment
            if at == len(self.segments):
                return None
        begin = segment.positions[batch]
        stop = bisect_right(segment.positions, begin + max_bytes) - 1
        if segment.size - begin <= max_bytes:
            return Slice(segment, begin, segment.size)
        return Slice(segment, begin, segment.positions[stop] if stop > batch else self._position(segment, batch + 1))

    def _position(self, segment: Segment, batch: int) -> int:
        return segment.positions[batch] if batch < len(segment.positions) else segment.size

    def _batch_end(self, segment: Segment, batch: int) -> int:
        """The offset after a batch, from its header."""
        raw = os.pread(segment.fd, HEADER.size, segment.positions[batch])
        return Header(*HEADER.unpack(raw)).next

    def read(self, piece: Slice) -> bytes:
        """The bytes of a slice. Raises Damaged when a batch that this process did not write itself no longer fits its
        checksum: bad bytes are never served as good ones."""
        data = os.pread(piece.segment.fd, piece.stop - piece.start, piece.start)
        if piece.start < piece.segment.trusted:
            try:
                for _ in batches(memoryview(data), check=True):
                    pass
            except NotABatch as flaw:
                raise Damaged(piece.segment.path, piece.start + flaw.position, flaw.why) from flaw
        return data

    def at_time(self, timestamp: int) -> tuple[int, int]:
        """(offset, timestamp) of the first batch with a record at or after this time; (-1, -1) if there is none.

        The offset is that of the batch: never late, and early by less than a batch.
        """
        for segment in self.segments:
            if segment.max_timestamp >= timestamp:
                for base, at in zip(segment.bases, segment.timestamps, strict=True):
                    if at >= timestamp:
                        return max(base, self.start), at
        return -1, -1

    def epoch_end(self, epoch: int) -> tuple[int, int]:
        """(epoch, end offset) of the greatest leader epoch not above this one."""
        known = bisect_right(self.epochs, epoch, key=lambda item: item[0]) - 1
        if known < 0:
            return -1, -1
        end = self.epochs[known + 1][1] if known + 1 < len(self.epochs) else self.end
        return self.epochs[known][0], end

    def closed(self) -> Iterator[Segment]:
        """All segments but the newest."""
        yield from self.segments[:-1]

    # -- the start of the log -----------------------------------------------------------------------------------------

    def delete_before(self, offset: int) -> None:
        """Move the log's start; whole segments below it are deleted."""
        self.start = max(self.start, offset)
        while len(self.segments) > 1 and self.segments[1].base <= self.start:
            self.segments.pop(0).remove()

    def expire(self, *, before: int | None, max_bytes: int | None) -> None:
        """Drop closed segments whose newest record is older than ``before`` (ms), or that exceed ``max_bytes``."""
        while len(self.segments) > 1:
            oldest = self.segments[0]
            too_old = before is not None and 0 <= oldest.max_timestamp < before
            too_big = max_bytes is not None and sum(segment.size for segment in self.segments) > max_bytes + oldest.size
            if not (too_old or too_big):
                return
            self.delete_before(self.segments[1].base)

    def sync(self, sync: Callable[[int], None]) -> None:
        """Make everything durable. A failure is final: what the kernel dropped can't be asked for again (fsyncgate)."""
        try:
            sync(self.segments[-1].fd)
        except OSError as error:
            self.failed = True
            log.error("fsync of %s failed, the partition is offline: %s", self.path.name, error)

    def close(self) -> None:
        """Let go of the files."""
        for segment in self.segments:
            os.close(segment.fd)
