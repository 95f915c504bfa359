"""Starts the roles of a deployment as processes, and starts one again when it ends.

A role that ends with exit code 78 (wrong configuration) would end so again: it stays down, and its message is shown. Any
other end is followed by a new start, at once at first, then with longer pauses.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from contracts.errors import AlreadyRunning
from onewindow import run_files

_LIVED_S = 5.0
_LONGEST_PAUSE_S = 5.0
_STOP_S = 10.0
CONFIG_EXIT = 78


def command(directory: Path, role: str) -> list[str]:
    """How a role is started."""
    return [sys.executable, "-m", "onewindow", "-C", str(directory), "run", role]


@dataclass
class Role:
    """One role and its process. ``said`` is the end of what it wrote when it failed for good."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    starts: int = 0
    pause_s: float = 0.0
    next_at: float = 0.0
    last_exit: int | None = None
    failures: int = 0
    down: bool = False
    said: list[str] = field(default_factory=list)


class Supervisor:
    """The roles of one deployment. ``commands`` gives the command of each role, in the order of starting."""

    def __init__(
        self, directory: Path, roles: Sequence[str], *, commands: Callable[[Path, str], Sequence[str]] = command
    ) -> None:
        self._directory = directory
        (directory / "run").mkdir(parents=True, exist_ok=True)
        self._lock = self._take_lock()
        self.roles = [Role(name, commands(directory, name)) for name in roles]

    def _take_lock(self) -> IO[str]:
        file = (self._directory / "run" / "lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise AlreadyRunning(
                f"another onewindow runs the deployment in {self._directory}",
                fix=f"stop it, or look at it: onewindow -C {self._directory} status",
            ) from error
        return file

    def start(self) -> None:
        """Start all roles. They wait for each other by themselves."""
        for role in self.roles:
            self.start_role(role)

    def start_role(self, role: Role) -> None:
        """Start one role, its output appended to its log."""
        with (self._directory / "run" / f"{role.name}.log").open("ab") as log:
            role.process = subprocess.Popen(
                role.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        role.started_at, role.starts = time.monotonic(), role.starts + 1

    def tend(self) -> None:
        """Look after the roles once: start again what has ended. Call it a few times a second."""
        now = time.monotonic()
        for role in self.roles:
            if role.down:
                continue
            if role.process is not None and role.process.poll() is not None:
                self._ended(role, role.process.returncode, now)
            elif role.process is None and now >= role.next_at:
                self.start_role(role)

    def _ended(self, role: Role, code: int, now: float) -> None:
        role.process, role.last_exit = None, code
        if code == CONFIG_EXIT:
            role.down, role.said = True, self.tail(role.name)
            return
        lived = now - role.started_at > _LIVED_S or code < 0  # by a signal: not its own fault, it may start at once
        role.failures = 0 if lived else role.failures + 1
        role.pause_s = 0.0 if lived else min(max(role.pause_s * 2, 0.1), _LONGEST_PAUSE_S)
        role.next_at = now + role.pause_s

    def tail(self, role: str) -> list[str]:
        """The message at the end of a role's log: its error and its fix."""
        lines = (self._directory / "run" / f"{role}.log").read_text(errors="replace").splitlines()
        starts = [index for index, line in enumerate(lines) if line.startswith("OW-")]
        return lines[starts[-1] :][:3] if starts else lines[-3:]

    @property
    def ready(self) -> bool:
        """Whether every role says that it works."""
        return all(self.is_ready(role) for role in self.roles)

    def is_ready(self, role: Role) -> bool:
        """Whether the running process of a role says that it works."""
        about = run_files.read(self._directory, role.name)
        return role.process is not None and about.get("pid") == role.process.pid and about.get("state") == "ready"

    def stop(self) -> None:
        """End the roles in order: those that produce work first, the broker last."""
        order = sorted(self.roles, key=lambda role: role.name == "broker")
        for wave in (
            [role for role in order if role.name != "broker"],
            [role for role in order if role.name == "broker"],
        ):
            for role in wave:
                if role.process is not None and role.process.poll() is None:
                    role.process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + _STOP_S
            for role in wave:
                self._wait(role, deadline)
        self._lock.close()

    def _wait(self, role: Role, deadline: float) -> None:
        if role.process is None:
            return
        try:
            role.process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            os.kill(role.process.pid, signal.SIGKILL)  # it did not end in time; nothing acknowledged is lost by it
            role.process.wait()
