"""What full reads of a source have given, in a SQLite file of a dataset: what has changed and what is gone is found here.

    rows  key -> fingerprint of its content, number of the full read that saw it last
    meta  id of the ledger: positions speak of it

Every page is committed before it is given. So after a crash the ledger may know more than was published: rows whose
``seen`` lies beyond the last read that a position calls complete.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.base import Position
from contracts.errors import PositionLost, TooManyDisappeared

_TABLES = """
CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, print INTEGER NOT NULL, seen INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (id TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS by_seen ON rows (seen, key);
"""


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -8192;" + _TABLES)
    except sqlite3.DatabaseError:
        db.close()
        raise
    return db


@dataclass(frozen=True, slots=True)
class Entered:
    """What became of the rows of a page. ``differing``: keys to give; ``new``: how many this read had not seen; ``known``: of
    these, how many an earlier read had."""

    differing: frozenset[str]
    new: int
    known: int


class Ledger:
    """The ledger of one dataset, begun anew where it is damaged. One thread at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        try:
            self._db = _opened(path)
        except sqlite3.DatabaseError:  # damaged: what it held can be read again
            for each in path.parent.glob(f"{path.name}*"):
                each.unlink()
            self._db = _opened(path)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @property
    def id(self) -> str | None:
        """Which one it is; None before it was begun."""
        found = self._db.execute("SELECT id FROM meta").fetchone()
        return str(found[0]) if found else None

    @property
    def rows(self) -> int:
        """How many records are known."""
        return int(self._db.execute("SELECT count(*) FROM rows").fetchone()[0])

    @property
    def latest(self) -> int:
        """The number of the latest read that left a trace."""
        return int(self._db.execute("SELECT coalesce(max(seen), 0) FROM rows").fetchone()[0])

    def begin(self) -> str:
        """Forget everything, under a new id."""
        self._db.execute("BEGIN")
        self._db.execute("DELETE FROM rows")
        self._db.execute("DELETE FROM meta")
        self._db.execute("INSERT INTO meta VALUES (?)", (secrets.token_hex(8),))
        self._db.execute("COMMIT")
        return str(self.id)

    def enter(self, rows: Sequence[tuple[str, int]], read: int, *, sure: int) -> Entered:
        """Note that this read saw these (key, fingerprint). What reads between ``sure`` and this one saw counts as not given."""
        keys = json.dumps([key for key, _ in rows])
        query = "SELECT r.key, r.print, r.seen FROM json_each(?) AS j JOIN rows AS r ON r.key = j.value"
        known = {key: (mark, seen) for key, mark, seen in self._db.execute(query, (keys,))}
        differing, new, had = set(), 0, 0
        for key, mark in rows:
            old_mark, seen = known.get(key, (None, None))
            if old_mark != mark or (seen is not None and sure < seen < read):
                differing.add(key)
            new += seen != read
            had += seen is not None and seen != read
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", [(key, mark, read) for key, mark in rows])
        self._db.execute("COMMIT")
        return Entered(frozenset(differing), new, had)

    def absent(self, read: int) -> int:
        """How many records this read, or one after it, did not see."""
        return int(self._db.execute("SELECT count(*) FROM rows WHERE seen < ?", (read,)).fetchone()[0])

    def gone(self, read: int, after: str, count: int) -> list[str]:
        """Up to ``count`` keys of these, in order."""
        query = "SELECT key FROM rows WHERE seen < ? AND key > ? ORDER BY key LIMIT ?"
        return [key for (key,) in self._db.execute(query, (read, after, count))]

    def settle(self, read: int) -> None:
        """The absence of these is told for good."""
        self._db.execute("DELETE FROM rows WHERE seen < ?", (read,))


class Ledgers:
    """The ledgers of a source's datasets, in a directory; opened when they are needed."""

    def __init__(self, state: Path | None, system: str) -> None:
        self._state, self._system, self._open = state, system, dict[str, Ledger]()

    def of(self, dataset: str) -> Ledger:
        """The ledger of a dataset."""
        assert self._state is not None, "a connector that reads everything needs a directory for what it knows"
        if dataset not in self._open:
            self._open[dataset] = Ledger(self._state / f"{self._system}.{dataset}.ledger")
        return self._open[dataset]

    def close(self) -> None:
        """Let go of the files."""
        for ledger in self._open.values():
            ledger.close()
        self._open.clear()


def beginning(ledger: Ledger) -> dict[str, Any]:
    """Where a dataset stands before its first full read. The ledger is begun anew."""
    return {"ledger": ledger.begin(), "read": 0, "phase": "rest", "serial": 0, "anew": True, "held": False, "asks": []}


def raise_if_lost(ledger: Ledger, position: Position, name: str) -> None:
    """Raises PositionLost when it is not the ledger that the position speaks of."""
    if ledger.id != position["ledger"]:
        raise PositionLost(
            f"{name}: what the last full read held is no longer known here; all is read anew, and what does not come"
            " is compared with all that was read before",
            fix="nothing to do; if it happens again, see that nobody empties the state directory of the deployment",
        )


def disappeared(name: str, absent: int, known: int, limit: float) -> TooManyDisappeared | None:
    """Why nothing may be deleted until a person says so: of all that was there, ``absent`` did not come and ``known`` did."""
    had = absent + known
    if absent <= limit * had:
        return None
    return TooManyDisappeared(
        f"{name}: {absent} of {had} records are absent from a full read, more than {limit:.1%}; nobody is deleted",
        fix=f"ask the department why; if they are truly gone: {approval(name)}",
    )


def approval(name: str) -> str:
    """The commands by which a person says that what is absent is gone."""
    return f"onewindow source reread {name}, and then onewindow source resume {name}"
