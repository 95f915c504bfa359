"""The running sample city, in the hands of whoever wants to harm it: its roles, its departments, its links.

The supervisor is the product's own, in a thread; so a role can be started with another clock or kept down.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from chaos.history import History
from chaos.proxy import Proxy
from chaos.readers import StatusReader
from contracts.errors import RoleFailing
from examples.postgres import Postgres
from onewindow import run_files
from onewindow.city import Departments, write_deployment
from onewindow.roles import ROLES
from onewindow.settings import Deployment
from onewindow.supervisor import Role, Supervisor

RATE, DUMP_EACH = 10.0, 150


class NotPossible(Exception):
    """This fault can't be injected now; the message says why."""


class Town:
    """The city on the embedded parts: our own broker, SQLite, and the packaged PostgreSQL as a source."""

    kind = "embedded"

    def __init__(self, directory: Path, history: History, *, residents: int, seed: int) -> None:
        self.directory, self.history = directory, history
        self._residents, self._seed = residents, seed
        self.poison: set[str] = set()
        self._held: set[str] = set()  # roles that a fault ended and keeps down
        """Records that were put into the source to be refused, as ``system.dataset/key``."""
        self.flowing = False
        self._begun = self._stopping = False
        self._made = 0
        self._tending: threading.Thread | None = None
        self.proxies: dict[str, Proxy] = {}
        self.status: StatusReader
        """The reader of the status, once there is one."""

    # Beginning and end

    def prepare(self) -> None:
        """Bring up what the city stands on, and write its deployment."""
        write_deployment(self.directory, self._seed)
        self.proxies["source"] = Proxy(lambda: ("127.0.0.1", self.source_port), self._seed)
        self._through("hrss.yaml", self._port_file.read_text(), str(self.proxies["source"].port))
        (self.directory / "city" / "ageing-drop").mkdir(exist_ok=True)
        self.share.symlink_to(self.directory / "city" / "ageing-drop")
        self._through("ageing.yaml", "folder: city/ageing-drop", "folder: share")
        # a month passes in 15 s, and a few of some hundred leave in each: no reason to ask a person
        self._through("ageing.yaml", "disappear_limit: 0.05", "disappear_limit: 0.5")
        self._through("grid.yaml", "disappear_limit: 0.1", "disappear_limit: 0.5")

    def _through(self, name: str, old: str, new: str) -> None:
        path = self.directory / "sources" / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def start(self) -> None:
        """Start everything; the connectors once the departments are there. Returns when all roles are ready."""
        self.deployment = Deployment(self.directory)
        self.names = [name for name in ROLES if name != "broker" or self.deployment.settings.kafka.embedded]
        self.supervisor = Supervisor(self.deployment.directory, self.names)
        self._start_departments()
        for role in self.supervisor.roles:
            if role.name != "connectors":
                self.supervisor.start_role(role)
        self.role("connectors").down = True
        self._tending = threading.Thread(target=self._tend, name="supervisor", daemon=True)
        self._tending.start()
        self.until(lambda: self.departments.up, 120, "the departments come up")
        self.role("connectors").down = False
        self.until(lambda: self.supervisor.ready, 120, "all roles are ready")

    def _start_departments(self) -> None:
        departments = Departments(
            self.directory, residents=self._residents, seed=self._seed, rate=RATE, dump_each=DUMP_EACH
        )
        departments.start()
        self.departments = departments  # only now: it is looked at all the while

    def begin_changes(self) -> None:
        """From now on the departments live."""
        self.departments.begin()
        self._begun = self.flowing = True

    def end_changes(self) -> None:
        """No change comes any more; returns when the last one has committed."""
        self.departments.quiet()
        self.until(lambda: self.departments.is_quiet, 60, "the departments are quiet")
        self.flowing = False

    def _tend(self) -> None:
        failing = ""
        while not self._stopping:
            try:
                self.supervisor.tend()
                failing = ""
            except Exception as error:  # noqa: BLE001 - `onewindow up` would have ended here with all its roles
                said = f"the supervisor failed: {type(error).__name__}: {error}"
                if said != failing:
                    self.history.add("trouble", what=said)
                failing = said
            lost = self.supervisor.lost
            if lost is not None and not self.may_be_lost and lost.name not in self._held:
                self.history.add("trouble", what=f"the supervisor gave up: {lost.name}: {' '.join(lost.said)[:300]}")
                self.release(lost.name)
            with suppress(RoleFailing):
                self.departments.look()
            if self.departments.made > self._made:
                self._made = self.departments.made
                self.history.add("made", changes=self._made)
            time.sleep(0.1)

    may_be_lost = False
    """While a log is damaged the supervisor gives up, and should."""

    def stop(self) -> None:
        """Stop everything."""
        self._stopping = True
        if self._tending is not None:
            self._tending.join()
            self.supervisor.stop()
        self.departments.stop()
        for proxy in self.proxies.values():
            proxy.close()

    def until(self, condition: Callable[[], Any], seconds: float, what: str) -> Any:
        """What the condition gives once it holds. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds:g} s: {what}")
            time.sleep(0.05)
        return found

    # Roles

    def role(self, name: str) -> Role:
        return next(role for role in self.supervisor.roles if role.name == name)

    def pid(self, name: str) -> int:
        """Of the process that runs now; waits for one that is being started."""
        return int(
            self.until(lambda: (p := self.role(name).process) and p.poll() is None and p.pid, 20, f"{name} runs")
        )

    def send(self, name: str, number: int) -> int:
        pid = self.pid(name)
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return pid

    def hold_down(self, name: str, number: int = signal.SIGKILL) -> None:
        """End a role, and do not start it again until ``release``."""
        role = self.role(name)
        self._held.add(name)
        role.down = True
        if role.process is not None:
            process = role.process
            process.send_signal(number)
            process.wait(30)
            role.process = None

    def start_over(self, between: Callable[[], None] = lambda: None) -> None:
        """End all roles, and start them again: as a person does with ``onewindow up`` after the supervisor gave up.
        ``between``: what is mended while none runs."""
        for role in self.supervisor.roles:
            role.down = True
        for wave in (
            [name for name in self.names if name != "broker"],
            [name for name in self.names if name == "broker"],
        ):
            for name in wave:
                process = self.role(name).process
                if process is not None and process.poll() is None:
                    process.terminate()
            for name in wave:
                self._ended(name)
        between()
        self.may_be_lost = False
        for name in self.names:
            self.release(name)

    def _ended(self, name: str) -> None:
        """Wait for the end of a role that was told to; it is killed after ten seconds, as the supervisor would."""
        role = self.role(name)
        if role.process is not None:
            try:
                role.process.wait(10)
            except subprocess.TimeoutExpired:
                role.process.kill()
                role.process.wait()
            role.process = None

    def release(self, name: str) -> None:
        """Let the supervisor start it again, as a new ``onewindow up`` would."""
        role = self.role(name)
        role.failures, role.pause_s, role.next_at, role.last_exit = 0, 0.0, 0.0, None
        role.down = False
        self._held.discard(name)

    def working(self) -> bool:
        """Whether every role says that it works."""
        return self.supervisor.ready

    def extra(self, name: str, instance: int) -> subprocess.Popen[bytes]:
        """One more worker of a role."""
        command = [*self.role(name).command, "--instance", str(instance)]
        with (self.directory / "run" / f"{name}-{instance}.log").open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def said(self, name: str) -> dict[str, Any]:
        return run_files.read(self.directory, name)

    # The view

    def view_url(self) -> str:
        """Where readers read the view: not through what a fault may cut."""
        return self.deployment.view_url

    # The departments

    @property
    def _port_file(self) -> Path:
        return self.directory / "city" / "hrss-pg.port"

    @property
    def source_port(self) -> int:
        return int(self._port_file.read_text())

    @property
    def share(self) -> Path:
        """How the deployment reaches the folder of 老龄: a share that may be away."""
        return self.directory / "share"

    @contextmanager
    def source(self) -> Iterator[psycopg.Connection[Any]]:
        """The owner's connection to 人社, each statement a transaction."""
        server = Postgres(self.directory / "city" / "hrss-pg")
        server.port = self.source_port
        with psycopg.connect(server.socket_dsn("hrss"), autocommit=True) as connection:
            yield connection

    def crash_departments(self) -> None:
        """kill -9 of the department's database and of its program."""
        self.flowing = False
        pid = int((self.directory / "city" / "hrss-pg" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        process = self.departments._process
        assert process is not None
        process.kill()
        process.wait(30)
        for ear in self.departments._ears:
            ear.join()

    def start_departments_again(self) -> None:
        """The department comes back, and goes on where it stood."""
        self._start_departments()
        self.until(lambda: self.departments.up, 60, "the departments come back")
        self.begin_changes()

    def change(self, *arguments: object) -> None:
        """Changes by hand, as the department's own program makes them."""
        done = subprocess.run(
            [*self.departments._command[:3], "change", str(self.directory / "city"), *map(str, arguments)],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        if done.returncode:
            raise NotPossible(done.stderr[-300:])

    def logs(self) -> list[Path]:
        """Everything that was written for people to read."""
        return [path for path in (self.directory / "run").rglob("*") if path.is_file()]

    def describe(self) -> dict[str, str]:
        """Versions of what it runs on."""
        with self.source() as connection:
            version = connection.execute("show server_version").fetchone()
        return {
            "broker": "embedded broker",
            "view and streams": "SQLite",
            "source": f"PostgreSQL {version[0]}, packaged",
        }
