"""The messages of PostgreSQL's logical replication, as its plugin pgoutput writes them (protocol version 1).

A message is a tag and big-endian numbers (PostgreSQL documentation, "Logical Replication Message Formats"):

    B  commit lsn 8, commit time 8 (microseconds since 2000), xid 4
    C  flags 1, commit lsn 8, end lsn 8, commit time 8
    R  oid 4, schema \\0, table \\0, replica identity 1, columns 2, each: flags 1 (1: in the identity), name \\0, type 4, mod 4
    I  oid 4, "N" row          U  oid 4, ["K" | "O" row], "N" row          D  oid 4, "K" | "O" row
    T  tables 4, options 1, oids 4 each

A row is its number of columns (2), and for each: "n" null, "u" unchanged and not sent, or "t" length 4 and text.
O(rigin), Y (type) and M(essage) say nothing about rows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

BEGIN, COMMIT, RELATION, INSERT, UPDATE, DELETE, TRUNCATE = b"BCRIUDT"

Decoder = Callable[[bytes], Any]
"""Makes a value of the text of a column."""

_BEGIN, _COMMIT = struct.Struct(">cqqI"), struct.Struct(">cBqqq")
_OID, _COUNT, _COLUMN = struct.Struct(">I"), struct.Struct(">H"), struct.Struct(">Ii")
_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001  # UTC by definition; the Z is written by hand
_NULL, _UNCHANGED, _TEXT, _NEW, _OLD, _KEY = b"nutNOK"


class Malformed(ValueError):
    """A message does not have the form that its tag promises."""


class _Unchanged:
    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED = _Unchanged()
"""In place of a large value that an update left alone: PostgreSQL does not write it to its log again."""


class Begin(NamedTuple):
    """A committed transaction begins: where its commit is in the log, when that was (ISO 8601, UTC), its 32-bit id."""

    lsn: int
    committed_at: str
    xid: int


class Column(NamedTuple):
    """A column of a table; ``in_identity``: its value names a row in updates and deletes."""

    name: str
    type_oid: int
    in_identity: bool


class Relation(NamedTuple):
    """A table as it is from here on. ``identity``: d(efault), n(othing), f(ull) or i(ndex)."""

    oid: int
    schema: str
    table: str
    identity: str
    columns: tuple[Column, ...]


class Row(NamedTuple):
    """The values of a row in the order of the columns; ``unchanged``: some are UNCHANGED."""

    values: list[Any]
    unchanged: bool


class Update(NamedTuple):
    """``old``: the old row, with only the identity's columns filled unless ``full``; None where the identity stayed."""

    old: Row | None
    full: bool
    new: Row


def begin(message: bytes) -> Begin:
    """Raises Malformed, as all functions here do."""
    try:
        _, lsn, since_2000_us, xid = _BEGIN.unpack(message)
    except struct.error as error:
        raise Malformed(str(error)) from error
    at = _EPOCH + timedelta(microseconds=since_2000_us)
    return Begin(lsn, at.isoformat(timespec="microseconds") + "Z", xid)


def commit_end(message: bytes) -> int:
    """Where the log goes on after a commit."""
    try:
        return int(_COMMIT.unpack(message)[3])
    except struct.error as error:
        raise Malformed(str(error)) from error


def relation(message: bytes) -> Relation:
    """What a Relation message says of its table."""
    try:
        oid = _OID.unpack_from(message, 1)[0]
        schema, at = _name(message, 5)
        table, at = _name(message, at)
        identity, (count,) = chr(message[at]), _COUNT.unpack_from(message, at + 1)
        columns, at = [], at + 3
        for _ in range(count):
            flags = message[at]
            name, at = _name(message, at + 1)
            columns.append(Column(name, _COLUMN.unpack_from(message, at)[0], bool(flags & 1)))
            at += 8
    except (struct.error, IndexError, ValueError) as error:
        raise Malformed(str(error)) from error
    if at != len(message):
        raise Malformed(f"{len(message) - at} bytes after the last column")
    return Relation(oid, schema or "pg_catalog", table, identity, tuple(columns))


def insert(message: bytes, decoders: Sequence[Decoder]) -> Row:
    """The row that was inserted."""
    try:
        if message[5] != _NEW:
            raise Malformed("an insert without a new row")
        return _last_row(message, 5, decoders)
    except (struct.error, IndexError) as error:
        raise Malformed(str(error)) from error


def update(message: bytes, decoders: Sequence[Decoder]) -> Update:
    """The row as it was, where that was sent, and as it is."""
    try:
        kind, old, at = message[5], None, 5
        if kind in (_KEY, _OLD):
            old, at = _row(message, 6, decoders)
        if message[at] != _NEW:
            raise Malformed("an update without a new row")
        return Update(old, kind == _OLD, _last_row(message, at, decoders))
    except (struct.error, IndexError) as error:
        raise Malformed(str(error)) from error


def delete(message: bytes, decoders: Sequence[Decoder]) -> Row:
    """The row that was deleted; only the identity's columns are filled, unless that is full."""
    try:
        if message[5] not in (_KEY, _OLD):
            raise Malformed("a delete without an old row")
        return _last_row(message, 5, decoders)
    except (struct.error, IndexError) as error:
        raise Malformed(str(error)) from error


def truncated(message: bytes) -> tuple[int, ...]:
    """The tables that were emptied."""
    try:
        (count,) = _OID.unpack_from(message, 1)
        return struct.unpack(f">{count}I", message[6:])
    except struct.error as error:
        raise Malformed(str(error)) from error


def _last_row(message: bytes, at: int, decoders: Sequence[Decoder]) -> Row:
    row, end = _row(message, at + 1, decoders)
    if end != len(message):
        raise Malformed(f"{len(message) - end} bytes after the row")
    return row


def _row(message: bytes, at: int, decoders: Sequence[Decoder]) -> tuple[Row, int]:
    """The row at this offset, and the offset after it. The hot path: everything is inline."""
    count = message[at] << 8 | message[at + 1]
    if count != len(decoders):
        raise Malformed(f"a row of {count} columns in a table of {len(decoders)}")
    at += 2
    values: list[Any] = []
    add, unpack, unchanged = values.append, _OID.unpack_from, False
    for decode in decoders:
        kind = message[at]
        if kind == _TEXT:
            (size,) = unpack(message, at + 1)
            begins = at + 5
            at = begins + size
            add(decode(message[begins:at]))
        else:
            if kind == _NULL:
                add(None)
            elif kind == _UNCHANGED:
                add(UNCHANGED)
                unchanged = True
            else:
                raise Malformed(f"a column of kind {kind}")
            at += 1
    if at > len(message):
        raise Malformed("a row ends in the middle of a value")
    return Row(values, unchanged), at


def _name(message: bytes, at: int) -> tuple[str, int]:
    end = message.index(b"\0", at)
    return message[at:end].decode(), end + 1
