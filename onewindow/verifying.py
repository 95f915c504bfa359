"""``onewindow verify``: the view as of one moment, compared with the log folded to the same offsets (guarantee 5)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from itertools import islice
from typing import Any

from contracts.events import RESIDENT_TOPIC
from onewindow import damage
from onewindow.archive import History
from onewindow.databases import existing_view
from onewindow.events_log import EventsLog
from onewindow.history import archive_of
from onewindow.settings import Deployment
from projections.databases import reading
from projections.reading import gaps
from projections.tables import VIEW
from projections.verify import compare, differences, fold, seen
from projections.winners import Authority

_FIRST_DIFFERENCES = 10


def verify(deployment: Deployment, progress: Callable[[int, int], None] = lambda *_: None) -> dict[str, Any]:
    """Compare. ``equal`` says it all; ``differences`` names the first rows that differ, without their values.

    Raises LogDamaged when the broker found damage in the log, and what else keeps the log or the view from being read.
    """
    damaged = damage.found(deployment.directory)
    if damaged is not None:
        raise damaged
    live_engine = existing_view(deployment)
    log = EventsLog(deployment.bootstrap, [RESIDENT_TOPIC])
    try:
        # One transaction from the first digest to the last row that is compared: the view goes on meanwhile.
        with tempfile.TemporaryDirectory(prefix="onewindow-verify-") as folder, reading(live_engine) as ours:
            live, open_gaps = seen(ours), gaps(ours)
            authority = Authority(deployment.settings.authority)
            history = History(archive_of(deployment), log)
            folded_engine = fold(history, live.positions, f"sqlite:///{folder}/folded.sqlite", authority, progress)
            try:
                with reading(folded_engine) as theirs:
                    found = compare(live, seen(theirs))
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
