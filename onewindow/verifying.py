"""``onewindow verify``: the view as of one moment, compared with the log folded to the same offsets (guarantee 5)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from contracts.errors import ViewMissing
from onewindow.events_log import EventsLog
from onewindow.settings import Deployment
from projections.databases import open_view, reading
from projections.reading import gaps
from projections.tables import VIEW
from projections.verify import LogBatch, Positions, compare, differences, fold, snapshot
from projections.winners import Authority

_FIRST_DIFFERENCES = 10


class _Told:
    """A log reader that tells how far it has come."""

    def __init__(self, log: EventsLog, progress: Callable[[int, int], None]) -> None:
        self._log, self._progress = log, progress

    def batches(self, until: Positions) -> Iterator[LogBatch]:
        done, total = 0, sum(until.values())
        for batch in self._log.batches(until):
            yield batch
            done += batch.to - batch.first
            self._progress(done, total)


def existing_view(deployment: Deployment) -> sa.Engine:
    """The view's engine. Raises ViewMissing when there is no view yet."""
    engine = open_view(deployment.view_url)
    path = engine.url.database or ""
    missing = engine.dialect.name == "sqlite" and not Path(path).exists()
    if not missing:
        with reading(engine) as connection:
            missing = not sa.inspect(connection).has_table("resident")
    if missing:
        raise ViewMissing(
            f"there is no view at {engine.url.render_as_string(hide_password=True)} yet",
            fix=f"start the deployment: onewindow -C {deployment.directory} up",
        )
    return engine


def verify(deployment: Deployment, progress: Callable[[int, int], None] = lambda *_: None) -> dict[str, Any]:
    """Compare. ``equal`` says it all; ``differences`` names the first rows that differ, without their values."""
    live_engine = existing_view(deployment)
    live = snapshot(live_engine)
    log = EventsLog(deployment.bootstrap)
    try:
        with tempfile.TemporaryDirectory(prefix="onewindow-verify-") as folder:
            authority = Authority(deployment.settings.authority)
            folded_engine = fold(_Told(log, progress), live.positions, f"sqlite:///{folder}/folded.sqlite", authority)
            try:
                found = compare(live, snapshot(folded_engine))
                with reading(live_engine) as ours, reading(folded_engine) as theirs:
                    open_gaps = gaps(ours)
                    different = [
                        {"table": table.name, "key": list(row.key), "columns": list(row.columns)}
                        for table in VIEW
                        if table.name in found.tables
                        for row in islice(differences(ours, theirs, table), _FIRST_DIFFERENCES)
                    ]
            finally:
                folded_engine.dispose()
    finally:
        log.close()
        live_engine.dispose()
    return {
        "equal": found.identical and not open_gaps,
        "digest": live.digest,
        "tables": {name: {**about, "equal": name not in found.tables} for name, about in live.tables.items()},
        "events": sum(live.positions.values()),
        "gaps": [gap._asdict() for gap in open_gaps],
        "differences": different,
    }
