"""What each running role says of itself, in ``run/<role>.json`` of the deployment: written whole, twice a second.

A file says what was so when it was written; whether the process still lives is asked of the system, or, for one on another
host (a container), told from the file's age. One that is not written any more although its process lives belongs to a role
that is stalled.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from contracts.errors import DiskFull

log = structlog.get_logger()

_EACH_S = 0.5
_STALLED_S = 3.0
_GONE_S = 10.0  # after so long a role on another host is taken for ended
_ROOM_BYTES = 4 << 20


class RunFile:
    """The file of one role, kept up to date by a thread of its own until ``stop``."""

    def __init__(self, directory: Path, role: str, tell: Callable[[], dict[str, Any]] = dict) -> None:
        self.path, self._tell, self._role = directory / "run" / f"{role}.json", tell, role
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.state, self._failing = "starting", False
        self._stop = threading.Event()
        self._started_at = time.time()
        self._thread = threading.Thread(target=self._keep, name="run-file", daemon=True)
        self._write_if_possible()
        self._thread.start()

    def ready(self) -> None:
        """The role works."""
        self.state = "ready"
        self._write_if_possible()

    def write(self) -> None:
        """Write it now."""
        about = {
            "role": self._role,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "state": self.state,
            "started_at": self._started_at,
            "written_at": time.time(),
            **self._tell(),
        }
        _replace(self.path, about)

    def _keep(self) -> None:
        while not self._stop.wait(_EACH_S):
            self._write_if_possible()

    def _write_if_possible(self) -> None:
        """A disk that is full is no reason for the role to end, nor to say so twice a second."""
        try:
            self.write()
        except OSError as error:
            if not self._failing:
                code = DiskFull.code if error.errno == errno.ENOSPC else None
                log.error("the run file can't be written", error=error.strerror, code=code)
            self._failing = True
        else:
            self._failing = False

    def stop(self) -> None:
        """The role has ended in order."""
        self._stop.set()
        self._thread.join()
        self.state = "stopped"
        self._write_if_possible()


def starting(directory: Path, role: str, pid: int) -> None:
    """Say for a process that was just started what it will say itself as soon as it can."""
    now = time.time()
    host = socket.gethostname()
    about = {"role": role, "host": host, "pid": pid, "state": "starting", "started_at": now, "written_at": now}
    _replace(directory / "run" / f"{role}.json", about)


def clear(directory: Path, role: str) -> None:
    """Forget what a role said last: it is about to be started."""
    (directory / "run" / f"{role}.json").unlink(missing_ok=True)


def _replace(path: Path, about: dict[str, Any]) -> None:
    beside = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        beside.write_text(json.dumps(about, ensure_ascii=False))
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)  # on a full disk it would stay as it is, half written
        raise


def read(directory: Path, role: str) -> dict[str, Any]:
    """What a role said last, with ``alive``: whether its process still is. Empty if it never ran, or if the file can't be
    made out: the role writes it anew."""
    try:
        about = json.loads((directory / "run" / f"{role}.json").read_text())
        about["written_at"] = float(about["written_at"])
        about["alive"] = about["state"] != "stopped" and _lives(about)
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return {}
    found: dict[str, Any] = about
    return found


def disk_full(directory: Path) -> DiskFull | None:
    """The finding that the disk of a deployment is full, or as good as full; None while there is room."""
    free_bytes = shutil.disk_usage(directory).free
    if free_bytes >= _ROOM_BYTES:
        return None
    return DiskFull(
        f"the disk that holds {directory} is full ({free_bytes >> 10} KiB free)",
        fix="make room on it; what waits goes on by itself",
    )


class Beats:
    """Tells a role that works from one that stands still: whoever looks remembers when it last saw a file change."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._clock, self._wall = clock, wall
        self._seen: dict[str, tuple[tuple[int, float], float]] = {}

    def is_stalled(self, about: dict[str, Any]) -> bool:
        """Whether the living process of this role was ready, and has not written its file (``read``) for three seconds.

        By the wall clock at the first look. After it by the time in which the file stayed the same too, which no clock
        that was set back can hide.
        """
        if not about.get("alive") or about["state"] != "ready":
            return False
        role, beat, now = about["role"], (about["pid"], about["written_at"]), self._clock()
        known, since = self._seen.get(role, (None, now))
        if known != beat:
            since = now
        self._seen[role] = (beat, since)
        return now - since > _STALLED_S or self._wall() - about["written_at"] > _STALLED_S


def _lives(about: dict[str, Any]) -> bool:
    pid = int(about["pid"])
    if about["host"] != socket.gethostname():
        return abs(time.time() - float(about["written_at"])) < _GONE_S
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (OSError, IndexError):
        return False
