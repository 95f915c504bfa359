"""What a dump held: the keys of its rows and a fingerprint of each, in a SQLite file of its own.

    rows  key -> fingerprint   in the dump
    held  key -> fingerprint   absent from the dump, but not deleted: a person is asked
    gone  key -> dump          deleted, by this dump or an earlier one

The file ``before`` holds how many rows a dump had whose manifest was lost, until its dataset is read again.

Made in ``<name>.building`` while the dump is read, and renamed when that is done, so that a file with its final name is
whole. A crash leaves only a ``.building`` behind, and the dump is read again from its beginning; nothing in it need be
durable before.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

_TABLES = """
CREATE TABLE rows (key TEXT PRIMARY KEY, print BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE held (key TEXT PRIMARY KEY, print BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE gone (key TEXT PRIMARY KEY, dump TEXT NOT NULL) WITHOUT ROWID;
"""
_ABSENT = """
SELECT key, print FROM (SELECT key, print FROM old.rows UNION ALL SELECT key, print FROM old.held)
WHERE key NOT IN (SELECT key FROM main.rows)
"""


class Manifest:
    """The manifest of a dump that is being read, beside that of the dump before, if there is one."""

    def __init__(self, path: Path, previous: Path | None) -> None:
        self._path, self._building = path, path.with_suffix(".building")
        self._building.unlink(missing_ok=True)
        self.compared = previous is not None
        self._db = sqlite3.connect(self._building, isolation_level=None)
        self._building.chmod(0o600)
        self._db.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384;" + _TABLES
        )
        if previous is not None:
            self._db.execute("ATTACH ? AS old", (str(previous),))
        self._db.execute("BEGIN")

    def prints(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The fingerprints of these keys, in this dump so far."""
        return self._prints("SELECT r.key, r.print FROM json_each(?) AS j JOIN main.rows AS r ON r.key = j.value", keys)

    def old_prints(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The fingerprints of these keys, as the dump before left them."""
        if not self.compared:
            return {}
        found = self._prints("SELECT r.key, r.print FROM json_each(?) AS j JOIN old.held AS r ON r.key = j.value", keys)
        found |= self._prints(
            "SELECT r.key, r.print FROM json_each(?) AS j JOIN old.rows AS r ON r.key = j.value", keys
        )
        return found

    def _prints(self, query: str, keys: Sequence[str]) -> dict[str, bytes]:
        return dict(self._db.execute(query, (json.dumps(keys),)).fetchall())

    def put(self, prints: dict[str, bytes]) -> None:
        """These keys are in this dump."""
        self._db.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?)", prints.items())

    def absent(self) -> tuple[int, int]:
        """How many records of the dump before are not in this one, and how many it had."""
        if not self.compared:
            return 0, 0
        (absent,) = self._db.execute(f"SELECT count(*) FROM ({_ABSENT})").fetchone()  # noqa: S608  # our own text
        (had,) = self._db.execute("SELECT (SELECT count(*) FROM old.rows) + (SELECT count(*) FROM old.held)").fetchone()
        return absent, had

    def finish(self, dump: str, *, delete: bool, again: bool) -> int:
        """Settle what is absent (deleted, or held for a person to decide), and keep the manifest for good.

        ``again``: deletions of earlier dumps are to be told again too. Gives how many are to be told.
        """
        if self.compared:
            if delete:
                self._db.execute(f"INSERT INTO gone SELECT key, ? FROM ({_ABSENT})", (dump,))  # noqa: S608
            else:
                self._db.execute(f"INSERT INTO held {_ABSENT}")
            self._db.execute(
                "INSERT OR IGNORE INTO gone SELECT key, CASE WHEN ? THEN ? ELSE dump END FROM old.gone"
                " WHERE key NOT IN (SELECT key FROM main.rows)",
                (again, dump),
            )
        (told,) = self._db.execute("SELECT count(*) FROM gone WHERE dump = ?", (dump,)).fetchone()
        self._db.execute("COMMIT")
        self.close()
        with self._building.open("rb") as stream:
            os.fsync(stream.fileno())
        self._building.replace(self._path)
        return int(told)

    def close(self) -> None:
        """Let go of the files."""
        self._db.close()


def deleted(path: Path, dump: str, after: str, count: int) -> list[str]:
    """Up to ``count`` keys, in order, that this dump deleted."""
    return _keys(path, "SELECT key FROM gone WHERE dump = ? AND key > ? ORDER BY key LIMIT ?", (dump, after, count))


def held(path: Path, after: str, count: int) -> list[str]:
    """Up to ``count`` keys, in order, that are held."""
    return _keys(path, "SELECT key FROM held WHERE key > ? ORDER BY key LIMIT ?", (after, count))


def approve(path: Path, dump: str) -> None:
    """What was held is gone now. May be repeated."""
    for db in _opened(path):
        with db:
            db.execute("INSERT OR IGNORE INTO gone SELECT key, ? FROM held", (dump,))
            db.execute("DELETE FROM held")


BEFORE = "before"


def remember_rows(directory: Path, rows: int) -> None:
    """Keep how many rows a dump had whose manifest was lost."""
    building = directory / f"{BEFORE}.building"
    building.touch(mode=0o600)
    building.write_text(str(rows), encoding="ascii")
    building.replace(directory / BEFORE)


def rows_before(directory: Path) -> int | None:
    """What ``remember_rows`` kept; None where no manifest was lost."""
    path = directory / BEFORE
    return int(path.read_text(encoding="ascii")) if path.exists() else None


def _keys(path: Path, query: str, values: tuple[object, ...]) -> list[str]:
    return [key for db in _opened(path) for (key,) in db.execute(query, values)]


def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(path)
    try:
        yield db
    finally:
        db.close()
