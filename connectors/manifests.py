"""What was in a full dump: key and content fingerprint of each row, in a SQLite file a dump.

The next dump is compared with it: rows that did not change need not be published again, and keys that are absent are
deletions. A manifest belongs to one dump, named by its content; it is made before the dump is read for good, and the one
before it goes only when the position has moved past.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path


def fingerprint(row: Iterable[str]) -> str:
    """Of a row's content: 24 hexadecimal digits."""
    return hashlib.blake2b("\x1f".join(row).encode(), digest_size=12).hexdigest()


class Manifest:
    """The rows of one dump."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("create table if not exists row(key text primary key, print text) without rowid")
        self._db.execute("create table if not exists about(rows integer, unreadable integer)")

    @property
    def complete(self) -> bool:
        """Whether the dump was read to its end."""
        return self._db.execute("select 1 from about").fetchone() is not None

    def fill(self, rows: Iterable[tuple[str | None, str]]) -> None:
        """Write (key, fingerprint) of all rows down, in one transaction. A row without a key is counted as unreadable."""
        self._db.execute("begin")
        self._db.execute("delete from row")
        self._db.execute("delete from about")
        count = unreadable = 0

        def keyed() -> Iterator[tuple[str, str]]:
            nonlocal count, unreadable
            for key, mark in rows:
                count += 1
                if key is None:
                    unreadable += 1
                else:
                    yield key, mark

        self._db.executemany("insert or replace into row values(?, ?)", keyed())
        self._db.execute("insert into about values(?, ?)", (count, unreadable))
        self._db.execute("commit")

    @property
    def rows(self) -> int:
        """Rows of the dump, repeats included."""
        return int(self._db.execute("select rows from about").fetchone()[0])

    @property
    def unreadable(self) -> int:
        """Rows without a key."""
        return int(self._db.execute("select unreadable from about").fetchone()[0])

    @property
    def keys(self) -> int:
        """Distinct keys."""
        return int(self._db.execute("select count(*) from row").fetchone()[0])

    def print_of(self, key: str) -> str | None:
        """The fingerprint of a key's row, or None if there is no such key."""
        found = self._db.execute("select print from row where key = ?", (key,)).fetchone()
        return str(found[0]) if found else None

    def absent_in(self, other: Manifest) -> list[str]:
        """The keys of this dump that the other lacks, in order."""
        self._db.execute("attach ? as other", (str(other.path),))
        try:
            return [
                str(row[0])
                for row in self._db.execute(
                    "select key from main.row where key not in (select key from other.row) order by key"
                )
            ]
        finally:
            self._db.execute("detach other")

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()
