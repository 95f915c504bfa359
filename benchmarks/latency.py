"""From commit to view: how long changes took, the same way on both sides.

The server stamps each commit (``track_commit_timestamp``). A change took as long as lies between the commit that made it
in the source and the commit that made its row in the view, both on one clock. Reading and writing are not disturbed: the
stamps are read when all has come.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import psycopg

from benchmarks import ROOT, people
from benchmarks.place import Place, until
from benchmarks.sides import Side
from benchmarks.spread import percentiles

_SOURCE_MARKS = (
    "SELECT aae005, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float FROM ac01 WHERE aae005 LIKE '101%'"
)
_WARM_S = 3.0


def change(place: Place, database: str, *, loaded: int, first: int, rate: float, seconds: float) -> float:
    """Let the department change its table; gives the rate that it reached."""
    command = [sys.executable, "-m", "benchmarks.changes", place.postgres.conninfo(database), people.TABLE]
    numbers = [str(loaded), str(first), str(rate), str(seconds)]
    done = subprocess.run([*command, *numbers], cwd=ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout)


class Latencies:
    """Of one side, whose source table is loaded. ``loaded``: how many rows it had."""

    def __init__(self, place: Place, side: Side, loaded: int) -> None:
        self._place, self._side, self._database, self._loaded = place, side, side.source, loaded
        self._first = 0

    def measure(self, rate: float, seconds: float) -> dict[str, Any]:
        """p50, p95 and p99 in milliseconds of changes at this rate, after some that warm up and do not count."""
        self._make(rate, min(_WARM_S, seconds / 3))
        first, reached = self._first, self._make(rate, seconds)
        with self._place.database(self._side.target) as view, self._place.database(self._database) as source:
            made = dict(source.execute(_SOURCE_MARKS).fetchall())
            wanted = {people.marked_phone(serial) for serial in range(first, self._first)}
            seen = until(lambda: self._seen(view, made), "the last changes on their way to the view", 180.0)
        taken = [(seen[phone] - made[phone]) * 1_000 for phone in wanted]
        return {
            "rate": round(reached),
            "changes": len(taken),
            **{k: round(v, 1) for k, v in percentiles(taken).items()},
        }

    def _make(self, rate: float, seconds: float) -> float:
        reached = change(
            self._place, self._database, loaded=self._loaded, first=self._first, rate=rate, seconds=seconds
        )
        self._first += round(rate * seconds)
        return reached

    def _seen(self, view: psycopg.Connection[Any], made: dict[str, float]) -> dict[str, float] | None:
        """When each change came into the view, once all have."""
        self._side.check()
        found = dict(view.execute(self._side.marks).fetchall())
        return found if len(found) >= len(made) else None
