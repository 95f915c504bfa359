"""Faults of processes: killed, paused, restarted, too many of them, with another clock."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from chaos.faults.base import Fault
from contracts.errors import RoleDown, RoleStalled

_FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
_LONG_PAUSE_S = 17.0  # long enough that the status has to say so


class KillRole(Fault):
    nemesis, title, weight = "N1", "kill -9 of a role", 30

    def begin(self) -> str:
        name = self.rng.choice(self.town.names)
        self.town.send(name, signal.SIGKILL)
        return name


class KillAllRoles(Fault):
    nemesis, title, weight = "N1", "kill -9 of all roles at once", 4

    def begin(self) -> str:
        for name in self.town.names:
            self.town.send(name, signal.SIGKILL)
        return ", ".join(self.town.names)


class KillTwice(Fault):
    nemesis, title, weight = "N1", "kill -9 of a role, and again while it starts", 6

    def begin(self) -> str:
        name = self.rng.choice(self.town.names)
        killed = self.town.send(name, signal.SIGKILL)
        self.town.until(lambda: self.town.pid(name) != killed, 20, f"{name} is started again")
        self.town.send(name, signal.SIGKILL)
        return name


class PauseRole(Fault):
    nemesis, title, weight = "N2", "SIGSTOP of a role", 16
    shows = (RoleStalled.code, RoleDown.code)

    def begin(self) -> str:
        self.seconds = _LONG_PAUSE_S if self.rng.random() < 0.15 else self.rng.uniform(2, 8)
        self.name = self.rng.choice(self.town.names)
        self.pid = self.town.send(self.name, signal.SIGSTOP)
        return f"{self.name}, {self.seconds:.0f} s"

    def end(self) -> None:
        if self.town.pid(self.name) == self.pid:
            self.town.send(self.name, signal.SIGCONT)


class RestartBroker(Fault):
    nemesis, title, weight, on = "N1", "broker restarted in good order", 5, ("embedded",)

    def begin(self) -> str:
        self.town.send("broker", signal.SIGTERM)
        return "broker"


class RebalanceStorm(Fault):
    """Workers join and leave, some in good order and some killed."""

    nemesis, title, weight = "N14", "rebalance storm", 6

    def begin(self) -> str:
        self.name = self.rng.choice(["streams", "projections"])
        self.workers: list[subprocess.Popen[bytes]] = []
        count = self.rng.randint(2, 3)
        for instance in range(2, 2 + count):
            self.workers.append(self.town.extra(self.name, instance))
        self.seconds = self.rng.uniform(4, 8)
        return f"{count} more of {self.name}"

    def end(self) -> None:
        for worker in self.workers:
            worker.send_signal(self.rng.choice([signal.SIGTERM, signal.SIGKILL]))
        for worker in self.workers:
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


class ClockJump(Fault):
    """One role lives at another time; its monotonic clock goes on."""

    nemesis, title, weight = "N7", "clock of a role jumps", 5

    @staticmethod
    def missing() -> str | None:
        return None if _FAKETIME else "libfaketime is not installed (Debian package faketime)"

    def begin(self) -> str:
        self.name = self.rng.choice(self.town.names)
        shift = self.rng.choice(["+1h", "-1h", "+25h", "-10m"])
        role = self.town.role(self.name)
        self.command = role.command
        faked = [
            f"LD_PRELOAD={_FAKETIME}",
            f"FAKETIME={shift}",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "DONT_FAKE_MONOTONIC=1",
        ]
        role.command = ["env", *faked, *self.command]
        self.town.send(self.name, signal.SIGKILL)
        self.seconds = self.rng.uniform(4, 7)
        return f"{self.name}, {shift}"

    def end(self) -> None:
        self.town.role(self.name).command = self.command
        self.town.send(self.name, signal.SIGKILL)


class Operator(Fault):
    """What a person does meanwhile: reads a dataset again, or compares the view with its log."""

    nemesis, title, weight = "N19", "an operator at work", 4

    def begin(self) -> str:
        what = self.rng.choice([["source", "reread", "hrss.pension"], ["verify"]])
        done = subprocess.run(
            [sys.executable, "-m", "onewindow", "-C", str(self.town.directory), *what],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        if done.returncode:
            said = (done.stdout + done.stderr)[-300:]
            self.town.history.add(
                "trouble", invariant="I7", what=f"onewindow {' '.join(what)}: {done.returncode}: {said}"
            )
        return " ".join(what)
