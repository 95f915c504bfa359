"""Turns the changes of a page into records for the department topic: key, CloudEvents headers, JSON value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from connectors.base import Delete, Page, Upsert
from contracts.changes import FastChange, FastSource, Op, Unreadable, columns_fingerprint, encode
from contracts.identity import Hasher, event_id
from producers._kafka import partition_of
from producers.publisher import Record

LARGEST = 900_000  # bytes of one value; Kafka's default limit of a batch is 1 MiB

_TYPES = {op: f"onewindow.change.{op}".encode() for op in get_args(Op)}


class EventWriter:
    """Writes the events of one dataset under one epoch.

    ``ce_sequence`` is ``<reading>.<epoch>.<first>.<n>``, so that a batch which was lost on the way shows. ``reading`` is
    the epoch that began to read the dataset from its beginning; n counts the events of that reading in each partition,
    from 0 and without gaps. An epoch that goes on from a saved position goes on with the numbers that were saved with
    it: ``first`` is the number that it began with here (``streams.numbers`` follows them).
    """

    def __init__(
        self,
        system: str,
        dataset: str,
        epoch: int,
        hasher: Hasher,
        partitions: int,
        *,
        reading: int = 0,
        numbers: Sequence[int] = (),
    ) -> None:
        self.system, self.dataset, self._epoch, self._hasher = system, dataset, epoch, hasher
        self._next = [*numbers, *[0] * (partitions - len(numbers))]
        self._began = [b"%d.%d.%d." % (reading, epoch, first) for first in self._next]
        self._fingerprints: dict[tuple[str, ...], str] = {}
        self._version = ("ce_specversion", b"1.0")
        self._source = ("ce_source", f"/department/{system}/{dataset}".encode())
        self._content = ("content-type", b"application/json")

    @property
    def numbers(self) -> tuple[int, ...]:
        """The next number of each partition."""
        return tuple(self._next)

    def records(self, page: Page, *, sequence: int, now: str) -> list[Record]:
        """The records of a page. ``sequence`` is its number in the order of reading."""
        return [self._record(change, page, sequence, index, now) for index, change in enumerate(page.changes)]

    def _record(self, change: Upsert | Delete, page: Page, sequence: int, index: int, now: str) -> Record:
        op: Op = "delete" if isinstance(change, Delete) else "snapshot" if page.snapshot else "upsert"
        record = {} if isinstance(change, Delete) else change.record
        source = FastSource(self.system, self.dataset, self._epoch, sequence, index, change.committed_at, change.place)
        value = _encoded(FastChange(op, record, source, self._fingerprint(record)))
        subject = self._hasher.record(self.system, self.dataset, change.key)
        partition = partition_of(subject.encode(), len(self._next))
        return self._event(op, subject, change.at, value, partition, change.committed_at or now)

    def marks(self, mark: Literal["complete", "cleared"], *, sequence: int, index: int, now: str) -> list[Record]:
        """The mark that stands at the end of page ``sequence``, after ``index`` changes: one for each partition."""
        value = _encoded(FastChange(mark, {}, FastSource(self.system, self.dataset, self._epoch, sequence, index)))
        subject = self._hasher.record(self.system, self.dataset, f"\0{mark}")
        return [
            self._event(mark, subject, f"{self._epoch}.{sequence}/{partition}", value, partition, now)
            for partition in range(len(self._next))
        ]

    def _event(self, op: Op, subject: str, at: str, value: bytes, partition: int, time: str) -> Record:
        number = self._next[partition]
        self._next[partition] = number + 1
        key = subject.encode()
        headers = (
            self._version,
            ("ce_id", event_id(self.system, self.dataset, subject, at).encode()),
            self._source,
            ("ce_type", _TYPES[op]),
            ("ce_time", time.encode()),
            ("ce_subject", key),
            ("ce_sequence", self._began[partition] + b"%d" % number),
            self._content,
        )
        return Record(key, value, headers, partition)

    def _fingerprint(self, record: dict[str, Any]) -> str:
        names = tuple(record)
        found = self._fingerprints.get(names)
        if found is None:
            found = self._fingerprints[names] = columns_fingerprint(names)
        return found


def _encoded(change: FastChange) -> bytes:
    """The value of an event, whatever the record holds.

    A record that JSON or Kafka can't carry must not stop the ones behind it (guarantee 4): it is replaced by a value that
    is no change event, says why and where, and goes to quarantine as unreadable.
    """
    try:
        value = encode(change)
        trouble = (
            f"{len(value)} bytes, more than the {LARGEST} that an event may have" if len(value) > LARGEST else None
        )
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        trouble = f"{type(error).__name__}: not a JSON value"
    if trouble is None:
        return value
    return encode(Unreadable(change.source, trouble))
