"""Starts the roles of a deployment as processes, and starts one again when it ends.

A role that ends with exit code 78 (wrong configuration), or because of a damaged log, would end so again: it stays down,
and so does one that failed right after each of its last starts. What only has to be waited for (exit codes 69 and 75) is waited for, unless another
process stands in the way. Any other end is followed by a new start, at once at first, then with longer pauses.

One supervisor works on a deployment, and its roles end with it, also when it is killed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from contracts.errors import AlreadyRunning, ConfigError, DirectoryTaken, LogDamaged, PortTaken
from onewindow import run_files
from onewindow.ending import SUPERVISOR
from onewindow.locks import locked

_LIVED_S = 5.0
_LONGEST_PAUSE_S = 5.0
_STOP_S = 10.0
_LOG_BYTES = 10 << 20  # of a role's log; twice as much with the one before it
_FAILURES = 6  # ends right after a start, one after the other
_WAIT_FOR = (69, 75)
_IN_THE_WAY = tuple(error.code for error in (PortTaken, DirectoryTaken, AlreadyRunning))


def command(directory: Path, role: str) -> list[str]:
    """How a role is started."""
    return [sys.executable, "-m", "onewindow", "-C", str(directory), "run", role]


@dataclass
class Role:
    """One role and its process. ``said`` is the end of what it wrote when it failed for good; ``log_from`` is where in its
    log the last start begins."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    starts: int = 0
    pause_s: float = 0.0
    next_at: float = 0.0
    log_from: int = 0
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
        self._locks = ExitStack()
        self._locks.enter_context(locked(directory, "supervisor"))
        self.roles = [Role(name, commands(directory, name)) for name in roles]
        for name in roles:
            run_files.clear(directory, name)

    def start(self) -> None:
        """Start all roles. They wait for each other by themselves."""
        for role in self.roles:
            self.start_role(role)

    def start_role(self, role: Role) -> None:
        """Start one role, its output appended to its log."""
        with self._log(role).open("ab") as log:
            role.log_from = log.tell()
            role.process = subprocess.Popen(
                role.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, SUPERVISOR: str(os.getpid())},
            )  # fmt: skip
        with suppress(OSError):  # a full disk: it says so itself when there is room
            run_files.starting(self._directory, role.name, role.process.pid)
        role.started_at, role.starts = time.monotonic(), role.starts + 1

    def tend(self) -> None:
        """Look after the roles once: start again what has ended. Call it a few times a second."""
        now = time.monotonic()
        for role in self.roles:
            if role.down:
                continue
            if role.process is not None and role.process.poll() is not None:
                self._ended(role, role.process.returncode, now)
            elif role.process is not None:
                self._cap_log(role)
            elif now >= role.next_at:
                self.start_role(role)

    def _ended(self, role: Role, code: int, now: float) -> None:
        worked = self.is_ready(role) and now - role.started_at > _LIVED_S
        role.process, role.last_exit = None, code
        lived = worked or code < 0  # by a signal: not its own fault, it may start at once
        role.failures = 0 if lived else role.failures + 1
        role.pause_s = 0.0 if lived else min(max(role.pause_s * 2, 0.1), _LONGEST_PAUSE_S)
        role.next_at = now + role.pause_s
        if self._is_hopeless(role, code):
            role.down, role.said = True, self.tail(role)

    def _is_hopeless(self, role: Role, code: int) -> bool:
        """Whether another start would only end again."""
        said = self.tail(role)[0]
        if code == ConfigError.exit_code or said.startswith(LogDamaged.code):
            return True
        waits = code in _WAIT_FOR and not said.startswith(_IN_THE_WAY)
        return role.failures >= _FAILURES and not waits

    @property
    def lost(self) -> Role | None:
        """A role that ended and is not started again. ``said`` and ``last_exit`` tell why."""
        return next((role for role in self.roles if role.down and role.last_exit is not None), None)

    def _log(self, role: Role) -> Path:
        return self._directory / "run" / f"{role.name}.log"

    def _cap_log(self, role: Role) -> None:
        """Keep a running role's log to its size: what it held becomes ``<role>.log.1``. The role goes on appending to the
        same file; a line that it writes just then may be missing."""
        log = self._log(role)
        if log.stat().st_size > _LOG_BYTES:
            with suppress(OSError):  # a full disk: nothing is kept of it
                shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)
            role.log_from = 0

    def tail(self, role: Role) -> list[str]:
        """The message at the end of what a role wrote since its last start: its error and its fix."""
        with self._log(role).open("rb") as log:
            log.seek(role.log_from)
            lines = log.read().decode(errors="replace").splitlines()
        starts = [index for index, line in enumerate(lines) if line.startswith("OW-")]
        said = lines[starts[-1] :][:3] if starts else lines[-3:]
        return said or [f"{role.name} ended with exit code {role.last_exit} and said nothing"]

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
        self._locks.close()

    def _wait(self, role: Role, deadline: float) -> None:
        if role.process is None:
            return
        try:
            role.process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            os.kill(role.process.pid, signal.SIGKILL)  # it did not end in time; nothing acknowledged is lost by it
            role.process.wait()
