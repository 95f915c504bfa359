"""``onewindow source reconcile``: what a source holds now, compared with what the pipeline holds, record by record.

Each pass reads the source once, gently, into a file of keyed hashes, and compares it with streams and the view: both give
their records in the order of the keys, so little is held in memory. What differs is looked at once more when the pipeline
has passed the end of that reading. What still differs then was changed since it was read, or is wrong: the next pass tells.

wrong        it differs in two passes one after the other, and the pipeline has not touched it in between
in motion    it was decided about between all passes, and never was as the source had just been read
"""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from connectors import open_connector
from connectors.base import copies
from contracts.errors import ComparisonOpen
from contracts.sources import DatasetSource, Source, department_topic
from onewindow.databases import existing_store, existing_view
from onewindow.events_log import EventsLog
from onewindow.holdings import NOTHING, Held, Holdings
from onewindow.passing import PATIENCE_S, Passing
from onewindow.settings import Deployment
from onewindow.source_copy import Content, Reading, SourceCopy
from onewindow.sources import chosen
from projections.databases import reading
from projections.verify import paired
from streams import store as tables
from streams.intake import fingerprints

PASSES = 6  # with 5 % of a dataset changed in each pass, one in a hundred million is still in motion after so many
KEPT = 1_000  # keys of each kind that a document names
DIFFERENT = ("missing", "extra", "different")
COUNTS = ("equal", *DIFFERENT, "refused", "filtered", "in_motion")
_CHUNK = 500
Verdict = Literal["equal", "missing", "extra", "different", "refused", "filtered", "gone"]
Tell = Callable[[str, int, int | None], None]
"""Gets (what is done now, records so far, records in all if known)."""


def verdict(source: Content | None, held: Held) -> Verdict:
    """What is to be said of one record."""
    decided, shown = held.decided, held.shown
    if source is None:
        return "extra" if shown.says or decided.state == "accepted" else "gone"
    same = decided.print == source.print
    if decided.state == "quarantined" and (same or not decided.print):  # of one that no event can hold nothing is known
        return "refused"
    if decided.state == "filtered" and same and not shown.says:
        return "filtered"
    if not shown.says and decided.state in ("gone", "accepted"):
        return "missing"
    right = decided.state == "accepted" and same and shown.says == source.says and not shown.held
    return "equal" if right else "different"


class Sum:
    """A checksum of records in any order: the sum of the SHA-256 of each, modulo 2^256."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, *parts: str) -> None:
        """One record."""
        self._sum += int.from_bytes(hashlib.sha256(" ".join(parts).encode()).digest(), "big")

    def hexadecimal(self) -> str:
        """64 digits."""
        return f"{self._sum % (1 << 256):064x}"


class Findings:
    """What was settled: counts, the first keys of what differs, and a checksum of each side."""

    def __init__(self) -> None:
        self.counts = Counter[str]()
        self.keys: dict[str, list[str]] = {kind: [] for kind in (*DIFFERENT, "in_motion")}
        self.source, self.pipeline = Sum(), Sum()

    def settle(self, key: str, found: Verdict, source: Content | None, held: Held) -> None:
        """This is what is said of the record."""
        if found == "gone":
            return
        self.counts[found] += 1
        if found in self.keys:
            self.name(found, key)
        if found in ("refused", "filtered"):
            self.source.add(key, found)
            self.pipeline.add(key, found)
            return
        if source is not None:
            self.source.add(key, *source)
        if held.decided.state != "gone" or held.shown.says:
            self.pipeline.add(key, held.decided.print, held.shown.says)

    def name(self, kind: str, key: str) -> None:
        """One of the keys that are shown of a kind."""
        if len(self.keys[kind]) < KEPT:
            self.keys[kind].append(key)

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not any(self.counts[kind] for kind in DIFFERENT)


class _Open:
    """The records that differed when they were looked at last, each with the pipeline's mark of it then; in a file."""

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        self._db.execute("CREATE TABLE open (key TEXT PRIMARY KEY, mark TEXT NOT NULL) WITHOUT ROWID")

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM open").fetchone()[0])

    def add(self, rows: Sequence[tuple[str, str]]) -> None:
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR REPLACE INTO open VALUES (?, ?)", rows)
        self._db.execute("COMMIT")

    def close_these(self, keys: Sequence[str]) -> None:
        self._db.execute("BEGIN")
        self._db.executemany("DELETE FROM open WHERE key = ?", [(key,) for key in keys])
        self._db.execute("COMMIT")

    def chunks(self) -> Iterator[dict[str, str]]:
        """All, in the order of their keys, some at a time; those at hand may be closed or added again."""
        after = ""
        while some := dict(
            self._db.execute("SELECT key, mark FROM open WHERE key > ? ORDER BY key LIMIT ?", (after, _CHUNK))
        ):
            yield some
            after = next(reversed(some))

    def close(self) -> None:
        self._db.close()


class Comparison:
    """The comparison of one dataset. ``read`` reads the source into the copy, ``wait`` until the pipeline has passed that."""

    def __init__(
        self, folder: Path, holdings: Holdings, read: Callable[[SourceCopy], None], wait: Callable[[], None]
    ) -> None:
        self._copy, self._open = SourceCopy(folder / "source.sqlite"), _Open(folder / "open.sqlite")
        self._holdings, self._read, self._wait = holdings, read, wait
        self.findings, self.passes, self.rows = Findings(), 0, 0

    def run(self) -> None:
        """Compare until all is settled, or the passes are over."""
        while self.passes < PASSES:
            self._read(self._copy)
            self.passes += 1
            if self.passes == 1:
                self.rows = len(self._copy)
                self._look_at_all()
            else:
                self._look_again(passed=False)
            if len(self._open):
                self._wait()
                self._look_again(passed=True)
            if not len(self._open):
                return
        for some in self._open.chunks():
            for key in some:
                self.findings.counts["in_motion"] += 1
                self.findings.name("in_motion", key)

    def _look_at_all(self) -> None:
        differing: list[tuple[str, str]] = []
        for key, source, held in paired(self._copy.rows(), self._holdings.rows()):
            if not self._settled(key, source, held or NOTHING):
                differing.append((key, ""))  # nothing is known yet of how it moves
            if len(differing) >= _CHUNK:
                self._open.add(differing)
                differing.clear()
        self._open.add(differing)

    def _look_again(self, *, passed: bool) -> None:
        """At what is open. ``passed``: the pipeline has passed the reading; what it has not touched since it had passed the
        one before is wrong."""
        for some in self._open.chunks():
            copied, held = dict(self._copy.rows(list(some))), dict(self._holdings.rows(list(some)))
            done, still = [], []
            for key, mark in some.items():
                source, now = copied.get(key), held.get(key, NOTHING)
                if self._settled(key, source, now):
                    done.append(key)
                elif passed and now.mark == mark:
                    self.findings.settle(key, verdict(source, now), source, now)
                    done.append(key)
                elif passed:
                    still.append((key, now.mark))
            self._open.close_these(done)
            self._open.add(still)

    def _settled(self, key: str, source: Content | None, held: Held) -> bool:
        """Whether all is well with a record; then it is noted."""
        found = verdict(source, held)
        if found in DIFFERENT:
            return False
        self.findings.settle(key, found, source, held)
        return True

    def close(self) -> None:
        """Let go of the files."""
        self._copy.close()
        self._open.close()


class _Place(NamedTuple):
    """What all datasets of a comparison share."""

    deployment: Deployment
    store: sa.Engine
    view: sa.Engine
    log: EventsLog


def reconcile(
    deployment: Deployment,
    name: str,
    dataset: str | None = None,
    *,
    tell: Tell = lambda *_: None,
    patience_s: float = PATIENCE_S,
) -> dict[str, Any]:
    """Compare a system, or a dataset of it. ``equal``: no difference was found; ``settled``: and none can have been missed,
    as no record moved all the while. Keys are keyed hashes.

    Raises ComparisonOpen where it can't be told, FullReadImpossible, and what reading the source raises.
    """
    began = datetime.now(UTC)
    source, names = chosen(deployment, name, dataset)
    view = existing_view(deployment)
    store = existing_store(deployment)
    try:
        with closing(EventsLog(deployment.bootstrap)) as log:
            place = _Place(deployment, store, view, log)
            found = [_compared(place, source, each, tell, patience_s) for each in names]
    finally:
        view.dispose()
        store.dispose()
    return {
        "system": source.system,
        "equal": all(each["equal"] for each in found),
        "settled": not any(each["counts"]["in_motion"] for each in found),
        "began_at": began.isoformat(timespec="seconds"),
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "datasets": found,
    }


def _compared(place: _Place, source: Source, dataset: str, tell: Tell, patience_s: float) -> dict[str, Any]:
    deployment, name, began = place.deployment, f"{source.system}.{dataset}", time.monotonic()
    declared = _in_force(place.store, source, dataset)
    read_s = 0.0
    with tempfile.TemporaryDirectory(prefix="onewindow-reconcile-") as text:
        folder = Path(text)

        def read(copy: SourceCopy) -> None:
            nonlocal read_s
            since, state = time.monotonic(), folder / "state"
            state.mkdir(exist_ok=True)
            connector = open_connector(source, password=deployment.password(source), state=state)
            try:
                pages = copies(connector, dataset)
                made = Reading(source.system, dataset, declared, deployment.hasher)
                copy.read(pages, made, lambda done, of: tell(f"reading {name}", done, of))
            finally:
                connector.close()
            read_s += time.monotonic() - since
            tell(f"comparing {name}", 0, None)

        holdings = Holdings(place.store, place.view, source.system, dataset)
        passing = Passing(deployment, place.store, place.view, place.log, name, patience_s=patience_s)
        comparison = Comparison(folder, holdings, read, passing.wait)
        try:
            comparison.run()
        finally:
            comparison.close()
    findings = comparison.findings
    return {
        "dataset": name,
        "equal": findings.equal,
        "mapping": fingerprints(declared)[1],
        "rows": comparison.rows,
        "counts": {kind: findings.counts[kind] for kind in COUNTS},
        "keys": {kind: keys for kind, keys in findings.keys.items() if keys},
        "checksum": {"source": findings.source.hexadecimal(), "pipeline": findings.pipeline.hexadecimal()},
        "passes": comparison.passes,
        "read_s": round(read_s, 2),
        "seconds": round(time.monotonic() - began, 2),
    }


def _in_force(store: sa.Engine, source: Source, dataset: str) -> DatasetSource:
    """The declaration that the dataset is decided under; that of the file before streams has begun with it. Raises
    ComparisonOpen where records were decided under an older one: each of them would differ."""
    name = f"{source.system}.{dataset}"
    with reading(store) as connection:
        found = tables.mappings(connection).get(department_topic(source.system, dataset))
    if found is not None and not found.whole:
        raise ComparisonOpen(
            f"{name} holds records that were decided under an older mapping, so they can't be compared",
            fix=f"onewindow remap {name}, and compare again",
        )
    return DatasetSource.model_validate_json(found.declared) if found else source.datasets[dataset]
