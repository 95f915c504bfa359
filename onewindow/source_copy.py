"""What a source holds of a dataset, as it was read once: record key and content, in a SQLite file that can be thrown away.

    rows  record key (keyed hash) -> print: fingerprint of the source record, as the state of a record has it
                                     says: fingerprint of what the mapping in force makes of it, empty where nothing

No value and no key of the source is in it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from connectors.base import Delete, Page, Upsert
from contracts.dates import today
from contracts.identity import Hasher
from contracts.sources import DatasetSource
from streams.intake import content_print
from streams.mapping import Mapped, RecordMap

_TABLES = """
DROP TABLE IF EXISTS rows;
CREATE TABLE rows (key TEXT PRIMARY KEY, print TEXT, says TEXT) WITHOUT ROWID;
CREATE TABLE came (key TEXT, print TEXT, says TEXT);
"""
_SORT = "INSERT OR REPLACE INTO rows SELECT key, print, says FROM came ORDER BY key, rowid"
"""Once for all: entered one by one, keys in no order would touch a page of the file each."""
_QUICK = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8192; PRAGMA temp_store = FILE;"
_encode = msgspec.json.Encoder(order="deterministic").encode


class Content(NamedTuple):
    """What the source says of one record."""

    print: str
    says: str


def said(resident_id: str, fields: Any, originals: Any, mends: Any, as_of: str | None, provisional: bool) -> str:
    """The fingerprint of what an assertion says, and of whom."""
    body = _encode([resident_id, fields, originals, mends, as_of, bool(provisional)])
    return hashlib.blake2b(body, digest_size=12).hexdigest()


class Reading:
    """Makes contents of the records of a dataset. ``declared``: under the mapping that is in force."""

    def __init__(self, system: str, dataset: str, declared: DatasetSource, hasher: Hasher) -> None:
        self._system, self._dataset, self._hasher = system, dataset, hasher
        self._map = RecordMap(declared, today=today())

    def key(self, change: Upsert | Delete) -> str:
        """The record key, as it is outside of the source."""
        return self._hasher.record(self._system, self._dataset, change.key)

    def content(self, key: str, record: dict[str, Any]) -> Content:
        """What a record says. A record that no event can hold says nothing."""
        try:
            print_ = content_print(record)
        except (ValueError, TypeError, OverflowError, RecursionError):
            return Content("", "")
        found = self._map.map(record) if self._map.wanted(record) else None
        return Content(print_, self._said(key, found) if isinstance(found, Mapped) else "")

    def _said(self, key: str, found: Mapped) -> str:
        number = found.id_number
        owner = self._hasher.resident(number) if number else self._hasher.provisional(key)
        return said(owner, found.fields, found.originals, found.mends, found.as_of, not number)


def _row(change: Upsert | Delete, reading: Reading) -> tuple[str, str | None, str | None]:
    key = reading.key(change)
    return (key, None, None) if isinstance(change, Delete) else (key, *reading.content(key, change.record))


class SourceCopy:
    """One reading at a time: ``read`` forgets the one before."""

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(_QUICK)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def read(self, pages: Iterable[Page], reading: Reading, tell: Callable[[int, int | None], None]) -> None:
        """Take all pages; what comes last of a record counts. ``tell`` gets (rows so far, in all if known). Holds a page."""
        self._db.executescript(_TABLES)
        self._db.execute("BEGIN")
        done = 0
        for page in pages:
            self._db.executemany(
                "INSERT INTO came VALUES (?, ?, ?)", [_row(change, reading) for change in page.changes]
            )
            done += len(page.changes)
            tell(done, page.total)
        self._db.execute(_SORT)
        self._db.execute("DELETE FROM rows WHERE print IS NULL")
        self._db.execute("DROP TABLE came")
        self._db.execute("COMMIT")

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM rows").fetchone()[0])

    def rows(self, keys: Sequence[str] | None = None) -> Iterator[tuple[str, Content]]:
        """In the order of their keys: all, or those of these keys."""
        if keys is None:
            found = self._db.execute("SELECT key, print, says FROM rows ORDER BY key")
        else:
            chosen = "SELECT key, print, says FROM rows WHERE key IN (SELECT value FROM json_each(?)) ORDER BY key"
            found = self._db.execute(chosen, (json.dumps(list(keys)),))
        for key, print_, says in found:
            yield key, Content(print_, says)
