"""The log of a partition: a row of segments, of which the last, the active one, is written.

``manifest`` is the truth about what belongs to the log: the names of its segments, its start, its leader epochs, and the
state of its producers as of offset ``end``. A batch that is cut off or torn at the very end of the active segment after
an unclean end is a write that a crash interrupted: it was never acknowledged, and is truncated. Damage anywhere else is
reported, takes the partition offline, and is never skipped.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.batches import CONTROL, PREFIX, TRANSACTIONAL, Header, NotABatch, check, follows, intact, read_header
from broker.errors import Code, Damaged, Refused
from broker.files import line, read_state, sync_directory, write_atomic
from broker.producers import Sequences
from broker.segments import Segment, Slice

log = logging.getLogger(__name__)

_CHECKPOINT_BYTES = 16 << 20  # how much of the active segment a start after a crash has to check, about


@dataclass(frozen=True)
class Opening:
    """How the partitions of this run of the broker are opened."""

    leader_epoch: int
    clean: bool
    wait_for_sync: bool
    sync: Callable[[int], None]


class Partition:
    """The log of one partition; a Durable for the flusher. Belongs to the event loop, but for ``read``.

    ``end`` is the next offset, ``stable`` the one up to which consumers may read: what has not been synced, where
    acknowledgements wait for that, might still vanish.
    """

    def __init__(self, directory: Path, opening: Opening, *, create: bool = False) -> None:
        self.directory, self.segment_bytes, self.max_batch_bytes = directory, 64 << 20, 1 << 20
        self.leader_epoch, self._opening = opening.leader_epoch, opening
        self.damage: Damaged | OSError | None = None
        self.segments: list[Segment] = []
        self.sequences = Sequences()
        self.epochs: list[tuple[int, int]] = []  # (leader epoch, its first offset)
        self.start = self.end = self.stable = self._checked = self._saved_to = 0
        self.compactable, self.sync = True, opening.sync
        self._waiters: set[asyncio.Future[None]] = set()
        try:
            self._create() if create else self._open()
        except (Damaged, OSError) as damage:
            self.fail(damage)

    def fail(self, damage: Damaged | OSError) -> None:
        """Go offline until the next start."""
        if self.damage is None:
            self.damage = damage
            log.error("partition %s is offline: %s", self.directory.name, damage)
        self.wake()

    def _sync_active(self) -> None:
        """A failure is final, see ``Durable``."""
        try:
            self.sync(self.segments[-1].fd)
        except OSError as error:
            self.fail(error)
            raise

    def _online(self) -> None:
        if self.damage is not None:
            raise Refused(Code.KAFKA_STORAGE_ERROR, str(self.damage))

    # -- opening ------------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        manifest = read_state(self.directory / "manifest")
        if manifest is None:
            raise Damaged(self.directory / "manifest", 0, "the file is missing")
        self.start, self.end, self.epochs = (
            manifest["start"],
            manifest["end"],
            [(e, at) for e, at in manifest["epochs"]],
        )
        self.sequences = Sequences(manifest["producers"])
        self._drop_leftovers(set(manifest["segments"]))
        known_to = self._saved_to = self.end
        for name in manifest["segments"]:
            if not (self.directory / name).exists():
                raise Damaged(self.directory / name, 0, "the file is missing")
            self.segments.append(Segment(self.directory / name))
        for segment, follower in zip(self.segments, self.segments[1:], strict=False):
            self._open_closed(segment, follower.base)
        self._open_active(self.segments[-1], known_to)
        if not self.epochs or self.epochs[-1][0] < self.leader_epoch:
            self.epochs.append((self.leader_epoch, self.end))

    def _create(self) -> None:
        self.directory.mkdir(parents=True)
        self.segments = [Segment(self.directory / f"{0:020d}.0.log")]
        self.epochs = [(self.leader_epoch, 0)]
        self._write_manifest()
        sync_directory(self.directory.parent)

    def _drop_leftovers(self, named: set[str]) -> None:
        """Delete what a crash left between two manifests: replaced or expired segments, and ones not yet in use."""
        newest = max(named)  # names sort as offsets do
        for file in self.directory.glob("*.log"):
            if file.name not in named:
                if file.name.split(".")[0] > newest.split(".")[0] and file.stat().st_size:
                    raise Damaged(file, 0, "a segment that the manifest does not know")
                file.unlink()
                file.with_suffix(".index").unlink(missing_ok=True)

    def _open_closed(self, segment: Segment, follower: int) -> None:
        size = os.fstat(segment.fd).st_size
        if not segment.read_head():
            for _, header in segment.walk(0, size, checked=True):
                segment.note(header, header.base)
            segment.readable, segment.end = segment.size, follower
            segment.write_index()
        if segment.size != size or segment.end != follower:
            raise Damaged(segment.path, segment.size, f"{size} bytes to offset {follower} were expected")

    def _open_active(self, segment: Segment, known_to: int) -> None:
        size = os.fstat(segment.fd).st_size
        segment.read_head()
        self._checked = segment.size
        if self._opening.clean and segment.size != size:
            raise Damaged(segment.path, segment.size, f"{size - segment.size} bytes came after a clean end")
        try:
            for _, header in segment.walk(segment.size, size, checked=True):
                if header.base != segment.end:
                    break  # intact, so not torn, but not ours
                segment.note(header, header.base)
                self._follow(header, header.base, header.leader_epoch, known_to)
        except Damaged as flaw:
            rest = os.pread(segment.fd, size - segment.size, segment.size)
            if self._opening.clean or follows(rest[1:], segment.end):
                raise
            log.warning("torn tail of %s: %d bytes truncated (%s)", segment.path, len(rest), flaw.why)
            os.ftruncate(segment.fd, segment.size)
        else:
            if segment.size != size:
                raise Damaged(segment.path, segment.size, f"offset {header.base} follows {segment.end}")
        if segment.end < known_to:
            raise Damaged(segment.path, segment.size, f"it ends at offset {segment.end}, and {known_to} was durable")
        self._sync_again(segment)
        self.end = self.stable = segment.end
        segment.readable = segment.size

    def _follow(self, header: Header, base: int, epoch: int, known_to: int) -> None:
        if base >= known_to:
            self.sequences.record(header, base)
            if not self.epochs or epoch > self.epochs[-1][0]:
                self.epochs.append((epoch, base))

    def _sync_again(self, segment: Segment) -> None:
        """After a crash, write what was found once more and sync it: after a failed sync of the last run, the kernel
        may hold pages for clean that never reached the disk."""
        if not self._opening.clean:
            for position in range(self._checked, segment.size, 1 << 20):
                os.pwrite(segment.fd, os.pread(segment.fd, min(1 << 20, segment.size - position), position), position)
            self.sync(segment.fd)

    def _write_manifest(self) -> None:
        """It may tell of nothing that could still vanish, so the active segment is synced first."""
        self._sync_active()
        self._saved_to = self.end
        manifest = {
            "segments": [segment.path.name for segment in self.segments],
            "start": self.start,
            "end": self.end,
            "epochs": self.epochs,
            "producers": self.sequences.snapshot(),
        }
        write_atomic(self.directory / "manifest", line(manifest))

    # -- writing ------------------------------------------------------------------------------------------------------

    def append(self, records: bytes) -> int:
        """Write one batch at the end, as it is; gives its first offset. Raises Refused, with nothing changed."""
        self._online()
        header = self._accepted(records)
        known = self.sequences.repeated(header)
        if known is not None:
            return known
        base = self.end
        try:
            segment = self.segments[-1]
            if segment.size and segment.size + header.size > self.segment_bytes:
                segment = self.roll()
            self._write(segment, records, PREFIX.pack(base, header.length, self.leader_epoch))
        except OSError as error:
            log.error("append to partition %s refused: %s", self.directory.name, error)
            raise Refused(Code.KAFKA_STORAGE_ERROR, str(error)) from error
        segment.note(header, base)
        self.sequences.record(header, base)
        self.end = segment.end
        if not self._opening.wait_for_sync:
            self._publish(segment, segment.size, self.end)
        return base

    def _accepted(self, records: bytes) -> Header:
        view = memoryview(records)
        try:
            header = read_header(view, 0, len(view))
        except NotABatch as flaw:
            old = flaw.why.startswith("message format")
            raise Refused(Code.UNSUPPORTED_FOR_MESSAGE_FORMAT if old else Code.CORRUPT_MESSAGE, flaw.why) from flaw
        if header.size != len(view) or header.records != header.last_delta + 1:
            raise Refused(Code.INVALID_RECORD, "one batch with all its records is wanted")
        if header.size > self.max_batch_bytes:
            raise Refused(Code.MESSAGE_TOO_LARGE, f"{header.size} bytes; max.message.bytes is {self.max_batch_bytes}")
        if header.attributes & (CONTROL | TRANSACTIONAL):
            raise Refused(Code.INVALID_RECORD, "transactions are not supported")
        if not intact(view, 0, header):
            raise Refused(Code.CORRUPT_MESSAGE, "the checksum does not fit")
        return header

    def _write(self, segment: Segment, records: bytes, prefix: bytes) -> None:
        written = -1
        try:
            written = os.pwritev(segment.fd, [prefix, memoryview(records)[PREFIX.size :]], segment.size)
        finally:
            if written != len(records):  # the disk is full: undo, and take the next batch when there is room
                os.ftruncate(segment.fd, segment.size)
        if written != len(records):
            raise OSError("the disk is full")

    def roll(self) -> Segment:
        """Close the active segment, durably, and begin the next."""
        closed = self.segments[-1]
        self._sync_active()
        self._publish(closed, closed.size, closed.end)
        segment = Segment(self.directory / f"{self.end:020d}.0.log")
        self.segments.append(segment)
        try:
            closed.write_index()
            self._write_manifest()
        except OSError:
            self.segments.pop().remove()
            raise
        self._checked = 0
        return segment

    def _publish(self, segment: Segment, size: int, end: int) -> None:
        """Let consumers read up to here."""
        segment.readable = max(segment.readable, size)
        self.stable = max(self.stable, end)
        self.wake()

    def sync_begins(self) -> tuple[int, tuple[Segment, int, int]] | None:
        if self.damage is not None:
            return None
        segment = self.segments[-1]
        return segment.pin(), (segment, segment.size, segment.end)

    def sync_ended(self, mark: tuple[Segment, int, int], error: OSError | None) -> None:
        segment, size, end = mark
        segment.unpin()
        if error:
            self.fail(error)
        elif self.damage is None:
            self._publish(segment, size, end)

    def confirm(self) -> None:
        """Raise Refused when what was appended can't be acknowledged: the partition went offline meanwhile."""
        self._online()

    def checkpoint(self) -> None:
        """Spare the next start the work of reading all of the active segment."""
        try:
            self._save()
        except OSError as error:
            self.fail(error)

    @property
    def checkpoint_due(self) -> bool:
        """Whether much was written since the last one."""
        return self.damage is None and self.segments[-1].size >= self._checked + _CHECKPOINT_BYTES

    def _save(self) -> None:
        segment = self.segments[-1]
        self._sync_active()
        segment.write_index()
        self._write_manifest()
        self._checked = segment.size

    def close(self) -> bool:
        """Leave everything durable for a quick start, and let go of the files; False if that was not possible."""
        try:
            if self.damage is None and (self._checked, self._saved_to) != (self.segments[-1].size, self.end):
                self._save()
        except OSError as error:
            self.fail(error)
        for segment in self.segments:
            segment.close()
        self.wake()
        return self.damage is None

    def discard(self) -> None:
        """Delete the log: its topic is no more."""
        self.damage = self.damage or Damaged(self.directory, 0, "the topic was deleted")
        self.wake()
        for segment in self.segments:
            segment.close()
        shutil.rmtree(self.directory, ignore_errors=True)  # the rest goes with the next start

    # -- reading ------------------------------------------------------------------------------------------------------

    def locate(self, offset: int, max_bytes: int) -> Slice | None:
        """Whole batches from the one that holds ``offset`` or follows it, at least one; None when consumers have seen
        all. Raises Refused."""
        self._online()
        if not self.start <= offset <= self.end:
            raise Refused(Code.OFFSET_OUT_OF_RANGE, f"{offset} is not in {self.start} to {self.end}")
        at = max(bisect_right(self.segments, offset, key=lambda segment: segment.base) - 1, 0)
        try:
            for segment in self.segments[at:]:  # the next one where compaction took the end of this
                found = segment.locate(offset, max_bytes)
                if found:
                    return found
        except Damaged as damage:
            self.fail(damage)
            self._online()
        return None

    def confirm_intact(self, piece: Slice, data: bytes, size: int) -> None:
        """Raise Refused when bytes that were read are not those that were written: they are never served."""
        try:
            if len(data) != size:
                raise NotABatch(len(data), "the file is shorter than it was")
            check(data)
        except NotABatch as flaw:
            self.fail(Damaged(piece.segment.path, piece.start + flaw.position, flaw.why))
            self._online()

    def at_time(self, timestamp: int) -> tuple[Slice, Header] | None:
        """The first batch with a record at or after this time. Raises Refused."""
        self._online()
        try:
            for segment in self.segments:
                if segment.max_timestamp >= timestamp and (found := segment.at_time(timestamp)):
                    position, header = found
                    return Slice(segment, position, position + header.size), header
        except Damaged as damage:
            self.fail(damage)
            self._online()
        return None

    def epoch_end(self, epoch: int) -> tuple[int, int]:
        """(epoch, end offset) of the greatest leader epoch that is not above this one; (-1, -1) if there is none."""
        known = bisect_right(self.epochs, epoch, key=lambda item: item[0]) - 1
        if known < 0:
            return -1, -1
        end = self.epochs[known + 1][1] if known + 1 < len(self.epochs) else self.stable
        return self.epochs[known][0], end

    def subscribe(self, waiter: asyncio.Future[None]) -> None:
        """Have the waiter told when there is more to read."""
        self._waiters.add(waiter)

    def unsubscribe(self, waiter: asyncio.Future[None]) -> None:
        """Undo ``subscribe``."""
        self._waiters.discard(waiter)

    def wake(self) -> None:
        """Let waiting fetches look again."""
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # -- the start of the log -----------------------------------------------------------------------------------------

    def delete_before(self, offset: int) -> None:
        """Move the start of the log; segments below it are deleted. Raises Refused."""
        self._online()
        if offset > self.stable:
            raise Refused(Code.OFFSET_OUT_OF_RANGE, f"the log ends at {self.stable}")
        if offset > self.start:
            self.start = offset
            keep = [one for one, after in zip(self.segments, self.segments[1:], strict=False) if after.base > offset]
            try:
                self.replace([*keep, self.segments[-1]])
            except OSError as error:
                raise Refused(Code.KAFKA_STORAGE_ERROR, str(error)) from error

    def replace(self, segments: list[Segment]) -> None:
        """Make these the log, then delete the rest: a crash leaves the one or the other."""
        outdated = [segment for segment in self.segments if segment not in segments]
        self.segments = segments
        self._write_manifest()
        for segment in outdated:
            segment.remove()

    def expire(self, *, before_ms: int | None, max_bytes: int | None) -> None:
        """Drop closed segments whose newest record is older than ``before_ms``, or that exceed ``max_bytes``."""
        surplus, target = sum(segment.size for segment in self.segments) - (max_bytes or 0), self.start
        for segment, after in zip(self.segments, self.segments[1:], strict=False):
            surplus -= segment.size
            old = before_ms is not None and 0 <= segment.max_timestamp < before_ms
            if not old and (max_bytes is None or surplus < 0):
                break
            target = after.base
        if target > self.start:
            self.delete_before(target)

    def describe(self) -> dict[str, Any]:
        """The state for people and tests."""
        damage = None if self.damage is None else str(self.damage)
        size = sum(segment.size for segment in self.segments)
        return {"start": self.start, "end": self.end, "bytes": size, "segments": len(self.segments), "damage": damage}
