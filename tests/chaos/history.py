"""What happened in a run, as lines of JSON: reads, looks at the status, faults. Checkers are functions over these entries.

An entry holds ``kind``, ``at`` (seconds since the run began, of a clock that nobody sets) and, by its kind:

    read       positions, sums, orphans, records, gone, lag      one snapshot of the view; records that changed since the last
    unread     error                                             the database did not answer
    status     state, problems, sources, outbox, behind          one look at the status
    fault      number, nemesis, title, target, phase             phase: begin, end, normal, late
    resources  roles, disk                                       memory and open files of each role
    made       changes                                           how many changes the departments made so far
    trouble    what                                              something that may never be
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


class History:
    """The entries of one run, in memory and in a file. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self.path, self.begun = path, time.monotonic()
        self.entries: list[Entry] = []
        self._lock, self._file = threading.Lock(), path.open("a")

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.begun

    def add(self, kind: str, *, at: float | None = None, **what: Any) -> Entry:
        """Write an entry down. ``at``: when it was, if not now."""
        with self._lock:
            entry = {"kind": kind, "at": round(self.now if at is None else at, 3), **what}
            self.entries.append(entry)
            self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            self._file.flush()
        return entry

    def close(self) -> None:
        """No entry comes any more."""
        self._file.close()


def load(path: Path) -> list[Entry]:
    """The entries of a run that is over."""
    return [json.loads(line) for line in path.read_text().splitlines()]
