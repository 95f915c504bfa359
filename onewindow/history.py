"""``onewindow rebuild`` and ``onewindow archive write``: the view made anew from history, and history kept beyond the topics."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from contracts.events import RESIDENT_TOPIC
from onewindow.archive import Archive, History
from onewindow.events_log import EventsLog, identity
from onewindow.settings import Deployment
from projections.databases import open_view
from projections.rebuild import Rebuilt, rebuild, renew
from projections.verify import snapshot
from projections.winners import Authority

Progress = Callable[[int, int], None]


def archive_of(deployment: Deployment) -> Archive:
    """The deployment's archive, whether there is one yet or not."""
    return Archive(deployment.path(deployment.settings.archive.directory))


def rebuild_view(deployment: Deployment, progress: Progress) -> dict[str, Any]:
    """Make the view anew beside the live one, from archive and topics, and swap. Says what it became."""
    done = _made_anew(deployment, progress, rebuild)
    assert done is not None
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


def is_archived(deployment: Deployment) -> bool:
    """Whether the archive holds events of residents, so that the topic alone may not be all of history."""
    return any(topic == RESIDENT_TOPIC for topic, _ in archive_of(deployment).ends())


def renew_view(deployment: Deployment, progress: Progress) -> Rebuilt | None:
    """The same for a view that an older version made, or that is not there; None where it is as it should be."""
    return _made_anew(deployment, progress, renew)


def _made_anew(deployment: Deployment, progress: Progress, how: Callable[..., Rebuilt | None]) -> Rebuilt | None:
    with closing(EventsLog(deployment.bootstrap, [RESIDENT_TOPIC])) as log:
        return how(
            deployment.view_url,
            Authority(deployment.settings.authority),
            identity(deployment.bootstrap, [RESIDENT_TOPIC]),
            History(archive_of(deployment), log),
            progress,
        )


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
