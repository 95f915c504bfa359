"""Processes that outlive the worker that started them: found by id, ready when their log says so, ended by id."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

_SPAWN = 'log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 & echo $!'
_STOP_S = 30.0


class NotReady(AssertionError):
    """A process ended, or did not say that it is ready in time. The message ends with its log."""


@dataclass(frozen=True)
class Process:
    """A process of ours. ``created`` tells it from a later one with the same id."""

    pid: int
    created: float
    end_with: int = signal.SIGTERM

    @property
    def alive(self) -> bool:
        """Whether it runs; one that has ended and waits to be fetched does not."""
        try:
            process = psutil.Process(self.pid)
            return process.create_time() == self.created and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def signal(self, number: int) -> None:
        """Send a signal, if it is still there."""
        if self.alive:
            os.kill(self.pid, number)

    def stop(self) -> None:
        """End it in good order, by force after half a minute; returns when it is gone."""
        self.signal(self.end_with)
        if not self._gone(_STOP_S):
            self.kill()

    def kill(self) -> None:
        """A crash; returns when it is gone."""
        self.signal(signal.SIGKILL)
        self._gone(_STOP_S)

    def _gone(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while self.alive and time.monotonic() < until:
            time.sleep(0.02)
        return not self.alive


def spawn(
    command: Sequence[str | Path], *, log: Path, user: str | None = None, end_with: int = signal.SIGTERM
) -> Process:
    """Start a process that is nobody's child, its output in ``log``; as ``user`` when this process is root."""
    as_user: dict[str, Any] = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
    done = subprocess.run(
        ["/bin/sh", "-c", _SPAWN, "spawn", str(log), *map(str, command)],
        cwd="/", stdout=subprocess.PIPE, text=True, check=True, **as_user,
    )  # fmt: skip
    pid = int(done.stdout)
    try:
        return Process(pid, psutil.Process(pid).create_time(), end_with)
    except psutil.NoSuchProcess:  # it has ended already
        return Process(pid, 0.0, end_with)


def until_said(process: Process, log: Path, line: str, *, after: int = 0, seconds: float = 90.0) -> None:
    """Wait for a line of the log, from byte ``after`` on. Raises NotReady."""
    deadline, wanted = time.monotonic() + seconds, re.compile(line)
    while not wanted.search(said := log.read_bytes()[after:].decode(errors="replace")):
        if not process.alive or time.monotonic() > deadline:
            what = "is not ready" if process.alive else "has ended"
            raise NotReady(f"{log.stem} {what}:\n" + "\n".join(said.splitlines()[-20:]))
        time.sleep(0.05)


class Run:
    """What one test run started: shared by its workers, and ended with it, however it ends."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def begin(cls) -> Run:
        """For the process that owns the run; ``end`` belongs to it."""
        run = cls(Path(tempfile.mkdtemp(prefix="onewindow-services-")))
        run.directory.chmod(0o755)  # database servers run as users of their own
        run._alive = (run.directory / "alive").open("w")
        fcntl.flock(run._alive, fcntl.LOCK_EX)
        return run

    def once(self, name: str, start: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What ``start`` gave in the first worker that asked."""
        told = self.directory / f"{name}.json"
        with _locked(self.directory / f"{name}.lock"):
            if not told.exists():
                told.write_text(json.dumps(start()))
        found: dict[str, Any] = json.loads(told.read_text())
        return found

    def told(self, name: str) -> list[Any]:
        """Each value of this name that a start gave."""
        documents = [json.loads(path.read_text()) for path in self.directory.glob("*.json")]
        return [document[name] for document in documents if name in document]

    def keep(self, process: Process) -> Process:
        """Write a process down, to be ended with the run; if the run is killed, a guard sees that and ends it."""
        guard = spawn(
            ["flock", self.directory / "alive", "kill", f"-{process.end_with}", str(process.pid)],
            log=self.directory / "guards.log",
        )
        with _locked(self.directory / "kept.lock"), (self.directory / "kept").open("a") as kept:
            kept.write(json.dumps([asdict(guard), asdict(process)]) + "\n")
        return process

    def end(self) -> None:
        """End what was started, the last one first, and remove its files."""
        kept = self.directory / "kept"
        pairs = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
        for guard, _ in pairs:
            Process(**guard).kill()
        for _, process in reversed(pairs):
            Process(**process).stop()
        self._alive.close()
        shutil.rmtree(self.directory, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def owned_by(user: str | None, directory: Path) -> Path:
    """A new directory that belongs to ``user``; to this user when it is None."""
    directory.mkdir()
    if user:
        shutil.chown(directory, user, pwd.getpwnam(user).pw_gid)
    return directory


def server_user(name: str) -> str | None:
    """Whom a database server runs as: it refuses root, and needs no other when this is not root."""
    return name if os.geteuid() == 0 else None
