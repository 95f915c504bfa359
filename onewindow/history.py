"""``onewindow rebuild`` and ``onewindow archive write``: the view made anew from history, and history kept beyond the topics."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from contracts.events import RESIDENT_TOPIC
from onewindow.archive import Archive, History
from onewindow.events_log import EventsLog, identity
from onewindow.settings import Deployment
from projections.databases import open_view
from projections.rebuild import rebuild
from projections.verify import snapshot
from projections.winners import Authority

Progress = Callable[[int, int], None]


def archive_of(deployment: Deployment) -> Archive:
    """The deployment's archive, whether there is one yet or not."""
    return Archive(deployment.path(deployment.settings.archive.directory))


def rebuild_view(deployment: Deployment, progress: Progress) -> dict[str, Any]:
    """Make the view anew beside the live one, from archive and topics, and swap. Says what it became."""
    log = EventsLog(deployment.bootstrap, [RESIDENT_TOPIC])
    try:
        done = rebuild(
            deployment.view_url,
            Authority(deployment.settings.authority),
            identity(deployment.bootstrap, [RESIDENT_TOPIC]),
            History(archive_of(deployment), log),
            progress,
        )
    finally:
        log.close()
    engine = open_view(deployment.view_url)
    try:
        now = snapshot(engine)
    finally:
        engine.dispose()
    return {
        "events": done.events,
        "resumed": done.resumed,
        "seconds": round(done.seconds, 2),
        "swap_s": round(done.swap_s, 3),
        "digest": now.digest,
        "tables": dict(now.tables),
    }


def archive_topics(deployment: Deployment, progress: Progress) -> dict[str, Any]:
    """Take over into the archive what the topics hold beyond it, up to where they end now."""
    topics = [*deployment.topics(), RESIDENT_TOPIC]
    archive, began = archive_of(deployment), time.monotonic()
    log = EventsLog(deployment.bootstrap, topics)
    try:
        made = archive.write(log, log.ends(), progress)
    finally:
        log.close()
    return {
        "directory": str(archive.directory),
        "files": len(made),
        "rows": sum(file.rows for file in made),
        "ends": {f"{topic}/{partition}": end for (topic, partition), end in sorted(archive.ends().items())},
        "seconds": round(time.monotonic() - began, 2),
    }


def check_archive(deployment: Deployment, progress: Progress) -> dict[str, Any]:
    """Read the whole archive. Raises ArchiveDamaged at the first file that is not as it was written."""
    archive = archive_of(deployment)
    return {"directory": str(archive.directory), "files": len(archive.files()), "rows": archive.check(progress)}
