"""Turns the changes of a page into records for the department topic: key, CloudEvents headers, JSON value."""

from __future__ import annotations

from typing import Any

from connectors.base import Delete, Page, Upsert
from contracts.changes import FastChange, FastSource, Op, columns_fingerprint, encode
from contracts.identity import Hasher, event_id
from producers._kafka import partition_of
from producers.publisher import Record

LARGEST = 900_000  # bytes of one value; Kafka's default limit of a batch is 1 MiB

_TYPES = {op: f"onewindow.change.{op}".encode() for op in ("snapshot", "upsert", "delete")}


class EventWriter:
    """Writes the events of one dataset under one epoch.

    ``ce_sequence`` is ``<epoch>.<n>``: n counts the events of this dataset and epoch in each partition, from 0 and without
    gaps, so that a batch which was lost on the way shows.
    """

    def __init__(self, system: str, dataset: str, epoch: int, hasher: Hasher, partitions: int) -> None:
        self.system, self.dataset, self._epoch, self._hasher = system, dataset, epoch, hasher
        self._next = [0] * partitions
        self._fingerprints: dict[tuple[str, ...], str] = {}
        self._version = ("ce_specversion", b"1.0")
        self._source = ("ce_source", f"/department/{system}/{dataset}".encode())
        self._content = ("content-type", b"application/json")

    def records(self, page: Page, *, sequence: int, now: str) -> list[Record]:
        """The records of a page. ``sequence`` is its number in the order of reading."""
        return [self._record(change, page, sequence, index, now) for index, change in enumerate(page.changes)]

    def _record(self, change: Upsert | Delete, page: Page, sequence: int, index: int, now: str) -> Record:
        op: Op = "delete" if isinstance(change, Delete) else "snapshot" if page.snapshot else "upsert"
        record = {} if isinstance(change, Delete) else change.record
        source = FastSource(self.system, self.dataset, self._epoch, sequence, index, change.committed_at, change.place)
        value = _encoded(FastChange(op, record, source, self._fingerprint(record)))
        subject = self._hasher.record(self.system, self.dataset, change.key)
        key = subject.encode()
        partition = partition_of(key, len(self._next))
        number = self._next[partition]
        self._next[partition] = number + 1
        headers = (
            self._version,
            ("ce_id", event_id(self.system, self.dataset, subject, change.at).encode()),
            self._source,
            ("ce_type", _TYPES[op]),
            ("ce_time", (change.committed_at or now).encode()),
            ("ce_subject", key),
            ("ce_sequence", b"%d.%d" % (self._epoch, number)),
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
    return encode(FastChange("upsert", {}, change.source, change.columns)).replace(
        b'"op":"upsert"', b'"unreadable":' + _text(trouble) + b',"op":"upsert"', 1
    )


def _text(words: str) -> bytes:
    return b'"' + words.encode("ascii", "replace").replace(b'"', b"'").replace(b"\\", b"/") + b'"'
