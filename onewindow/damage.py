"""Damage of the embedded broker's files, as the broker says it: it is never skipped, so whoever needs the log ends."""

from __future__ import annotations

from pathlib import Path

from contracts.errors import LogDamaged
from onewindow import run_files


def offline(partition: str, why: str) -> LogDamaged:
    """The error for a partition that its broker took offline; ``why`` has the file and the place in it."""
    return LogDamaged(
        f"partition {partition} is offline: {why}",
        fix="restore its directory from a backup while the broker is stopped; nothing of it is skipped meanwhile",
    )


def found(directory: Path) -> LogDamaged | None:
    """What the running embedded broker of a deployment says that it found, None if all is well."""
    about = run_files.read(directory, "broker")
    damaged = about.get("damaged") if about.get("alive") else None
    if not isinstance(damaged, dict):
        return None
    return next((offline(partition, str(why)) for partition, why in damaged.items()), None)
