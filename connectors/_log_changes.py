"""Makes changes of records of a table's messages in the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors import _pgoutput
from connectors._log_channels import Entry, Place
from connectors._pgoutput import COMMIT, DELETE, INSERT, RELATION, TRUNCATE, UNCHANGED, Begin, Decoder, Relation, Row
from connectors._transactions import Snapshot, lsn_text
from connectors.base import Delete, Upsert
from connectors.values import joined_key

KeyPart = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """A table's columns as the log gives them from here on. ``keys``: where the parts of the record key are, and how each
    becomes text."""

    relation: Relation
    decoders: Sequence[Decoder]
    keys: Sequence[tuple[int, KeyPart]]
    names: Sequence[str]

    def key(self, values: Sequence[Any]) -> str:
        """The record key of a row; mostly one plain text, and then found on a short way."""
        if len(self.keys) == 1:
            ((index, part),) = self.keys
            text = str(part(values[index]))
            if "|" not in text and "\\" not in text:
                return text
        return joined_key([part(values[index]) for index, part in self.keys])

    def key_values(self, values: Sequence[Any]) -> list[str]:
        """Its parts, as texts that PostgreSQL reads."""
        return [str(part(values[index])) for index, part in self.keys]


@dataclass(frozen=True, slots=True)
class Gap:
    """A change whose record lacks large values that the log does not repeat: which, and the row's key."""

    change: Upsert
    names: tuple[str, ...]
    key: Sequence[str]
    layout: Layout


@dataclass(slots=True)
class Reading:
    """Where in the log a dataset's decoding is: the table as it is there, the transaction, how many of its messages were
    read. ``layout``: made of the table when the first change needs it."""

    relation: Relation | None = None
    layout: Layout | None = None
    begin: Begin | None = None
    count: int = 0


@dataclass(slots=True)
class Changes:
    """``used`` messages stand for these changes, up to ``place``. ``cleared``: they emptied the table, and nothing else."""

    reading: Reading
    place: Place
    changes: list[Upsert | Delete] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    used: int = 0
    cleared: bool = False


def changes_of(
    entries: Sequence[Entry],
    reading: Reading,
    *,
    after: Place,
    seen: tuple[Snapshot, int] | None,
    layout_of: Callable[[Relation], Layout],
) -> Changes:
    """The changes in these messages beyond ``after``, without transactions that a first copy has seen.

    ``seen``: what the copy saw, and where in the log all of that had committed. ``layout_of`` judges and prepares a table's
    columns; what it raises passes, and so does Malformed; ``reading`` stays as it was then.
    """
    relation, layout, begin, count = reading.relation, reading.layout, reading.begin, reading.count
    found, place = Changes(reading, after), "" if begin is None else lsn_text(begin.lsn)
    skip: float = _skipped(begin, after, seen) if begin is not None else 0
    for of, message in entries:
        if of is not begin:
            begin, count, skip, place = of, 0, _skipped(of, after, seen), lsn_text(of.lsn)
        tag = message[0]
        if tag == RELATION:
            relation, layout = _pgoutput.relation(message), None
        elif tag == COMMIT:
            found.place = max(found.place, (_pgoutput.commit_end(message), 0))
        elif count < skip:
            count += 1
        elif tag == TRUNCATE:
            if not found.changes:
                count += 1
                found.used, found.cleared, found.place = found.used + 1, True, (begin.lsn, count)
            break
        else:
            if layout is None:
                assert relation is not None, "a table's columns come before its rows"
                layout = layout_of(relation)
            count += 1
            _add(found, tag, message, layout, begin, f"{place}/{count}")
            found.place = (begin.lsn, count)
        found.used += 1
    found.reading = Reading(relation, layout, begin, count)
    return found


def _skipped(begin: Begin, after: Place, seen: tuple[Snapshot, int] | None) -> float:
    """How many messages of a transaction are left out."""
    if begin.lsn < after[0] or (seen is not None and begin.lsn < seen[1] and seen[0].saw(begin.xid)):
        return float("inf")
    return after[1] if begin.lsn == after[0] else 0


def _add(found: Changes, tag: int, message: bytes, layout: Layout, begin: Begin, at: str) -> None:
    if tag == DELETE:
        old = _pgoutput.delete(message, layout.decoders)
        found.changes.append(Delete(layout.key(old.values), at, begin.committed_at))
        return
    if tag == INSERT:
        new = _pgoutput.insert(message, layout.decoders)
        key = layout.key(new.values)
    else:
        before, full, new = _pgoutput.update(message, layout.decoders)
        if before is not None:
            _fill(new, before, layout, full=full)
        key = layout.key(new.values)
        if before is not None and (old_key := layout.key(before.values)) != key:
            found.changes.append(Delete(old_key, f"{at}/old", begin.committed_at))
    change = Upsert(key, dict(zip(layout.names, new.values, strict=True)), at, begin.committed_at)
    found.changes.append(change)
    if new.unchanged:
        names = tuple(name for name, value in change.record.items() if value is UNCHANGED)
        if names:
            found.gaps.append(Gap(change, names, layout.key_values(new.values), layout))


def _fill(new: Row, before: Row, layout: Layout, *, full: bool) -> None:
    """Take unchanged values from the old row, where that has them."""
    if new.unchanged:
        for index, column in enumerate(layout.relation.columns):
            if new.values[index] is UNCHANGED and (full or column.in_identity):
                new.values[index] = before.values[index]


def fill_gaps(found: Changes, rows: dict[str, dict[str, Any]]) -> list[Upsert | Delete]:
    """The changes with what ``rows`` (by record key) hold now in their gaps. A row that is gone takes its change along:
    its deletion follows. A column that is gone is left out."""
    gone = set[int]()
    for gap in found.gaps:
        row = rows.get(gap.change.key)
        if row is None:
            gone.add(id(gap.change))
            continue
        for name in gap.names:
            if name in row:
                gap.change.record[name] = row[name]
            else:
                del gap.change.record[name]
    return [change for change in found.changes if id(change) not in gone]
