"""``onewindow demo``: the sample city, from nothing to a live view."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from contracts.errors import RoleFailing
from onewindow import damage, run_files
from onewindow.city import Departments, size_and_seed, write_deployment
from onewindow.roles import ROLES
from onewindow.settings import Deployment
from onewindow.status import Watcher
from onewindow.supervisor import Supervisor, command
from onewindow.verifying import verify
from projections.databases import open_view, reading
from projections.tables import resident

_BOOKS = ("read", "accepted", "quarantined", "duplicate", "stale", "filtered", "pending", "balanced")
_ON_THE_WAY = ("starting", "loading", "catching up")
_LOOK_EACH_S = 0.4
_DRAINED_S = 1.0  # what is under way when it is stopped takes a few tenths of a second
_SETTLED_S = 1.5  # after the last change: a look at each source, and a file that has come to rest
Show = Callable[[str, dict[str, Any] | None, "Demo"], None]


class Demo:
    """A running sample city: departments, roles, and a watcher.

    ``residents`` and ``seed``: None for those of the city in the directory. Raises CityDiffers or NoSampleCity.
    """

    def __init__(
        self,
        directory: Path,
        *,
        residents: int | None,
        seed: int | None,
        rate: float = 0.0,
        dump_each: int = 0,
        commands: Callable[[Path, str], Sequence[str]] = command,
    ) -> None:
        residents, seed = size_and_seed(directory, residents, seed)
        write_deployment(directory, seed)
        self.directory, self.residents, self.seed = directory, residents, seed
        self.departments = Departments(directory, residents=residents, seed=seed, rate=rate, dump_each=dump_each)
        self.deployment = Deployment(directory)
        roles = [name for name in ROLES if name != "broker" or self.deployment.settings.kafka.embedded]
        self.supervisor = Supervisor(self.deployment.directory, roles, commands=commands)
        self.watcher = Watcher(self.deployment)
        self.found: dict[str, Any] | None = None
        self._stopping = threading.Event()
        self._tending: threading.Thread | None = None
        self.started, self._next_look = time.monotonic(), 0.0

    def start(self, show: Show) -> None:
        """Start everything; the connectors once the departments are there to be read."""
        self.departments.start()
        connectors = next(role for role in self.supervisor.roles if role.name == "connectors")
        connectors.down = True  # nothing to read yet
        self._tending = threading.Thread(target=self._tend, name="supervisor", daemon=True)
        for role in self.supervisor.roles:
            if role is not connectors:
                self.supervisor.start_role(role)
        self._tending.start()
        while not self.departments.up:
            self._turn(show, self.departments.doing)
        connectors.down = False
        while connectors.process is None:
            self._turn(show, "starting")

    def _tend(self) -> None:
        """A thread of its own: looking at a broker that is away may take long, starting it again may not wait for that."""
        while not self._stopping.wait(0.1):
            self.supervisor.tend()

    def _turn(self, show: Show, what: str) -> None:
        self.departments.look()
        lost = self.supervisor.lost
        if lost is not None:
            said = "\n".join(lost.said)
            raise RoleFailing(f"{lost.name}: {said}", fix=f"see {self.directory}/run/{lost.name}.log")
        damaged = damage.found(self.directory)
        if damaged is not None:
            raise damaged
        show(what, self.found, self)
        time.sleep(0.1)

    def _look(self) -> bool:
        """Look at everything, if the last look is long enough ago: looking takes time from those who work."""
        if time.monotonic() < self._next_look:
            return False
        self.found = self.watcher.look()
        self._next_look = time.monotonic() + _LOOK_EACH_S
        return True

    def until_reading(self, show: Show) -> None:
        """Go on until the connectors are ready to read."""
        while run_files.read(self.directory, "connectors").get("state") != "ready":
            self._turn(show, "loading")

    def until_caught_up(self, show: Show, what: str, since: float = 0.0) -> None:
        """Go on until all that the sources held at ``since`` (wall clock) is in the view."""
        while True:
            self._turn(show, what)
            if self._look() and self._is_caught_up(since):
                return

    def _is_caught_up(self, since: float) -> bool:
        assert self.found is not None
        looked = all((s["looked_at"] or 0) > since for s in self.found["sources"])
        return looked and self.watcher.caught_up(self.found)

    def follow(self, show: Show, until: Callable[[], bool]) -> None:
        """Keep everything going and shown; the changes begin when what is there is loaded."""
        begun = False
        while not until():
            self._turn(show, "live" if self.found else "starting")
            if self._look() and not begun and self._is_loaded():
                self.departments.begin()
                begun = True

    def _is_loaded(self) -> bool:
        """Whether no source is on its way; one that can't be read holds up nothing."""
        assert self.found is not None
        return all(source["state"] not in _ON_THE_WAY for source in self.found["sources"])

    def change(self, show: Show, count: int, rate: float, dump_each: int) -> None:
        """Make so many changes in the departments, and follow them into the view."""
        self.departments.change(count, rate, dump_each)
        while not self.departments.changed:
            self._turn(show, "living")
            self._look()
        self.until_caught_up(show, "living", since=time.time() + _SETTLED_S)

    def drain(self, show: Show) -> None:
        """End the changes, and let what is under way come to the view, for a second at most: changes that were left over
        would be late ones when the city goes on."""
        self.departments.quiet()
        told, drained = time.time(), time.monotonic() + _DRAINED_S
        while time.monotonic() < drained:
            self._turn(show, "stopping")
            if self.departments.is_quiet and self._look() and self._is_caught_up(told):
                return

    def stop(self) -> None:
        """Stop everything, in order."""
        self._stopping.set()
        if self._tending is not None:
            self._tending.join()
        self.watcher.close()
        self.supervisor.stop()
        self.departments.stop()


def once(
    directory: Path,
    *,
    residents: int | None,
    seed: int | None,
    changes: int,
    rate: float,
    show: Show,
    keep_going: bool = False,
) -> dict[str, Any]:
    """Load the city, live through some changes, verify, and tell. ``seconds`` are those from nothing to a verified view
    of what the departments held at first; the changes come after them."""
    demo = Demo(directory, residents=residents, seed=seed)
    try:
        demo.start(show)
        demo.until_reading(show)
        loading = time.monotonic()
        demo.until_caught_up(show, "loading")
        loaded = time.monotonic()
        first = verify(demo.deployment, lambda *_: show("verifying", demo.found, demo))
        seconds = time.monotonic() - demo.started
        records = sum(source["read"] or 0 for source in (demo.found or {})["sources"])
        if changes:
            demo.change(show, changes, rate, dump_each=max(changes // 2, 1))
        last = verify(demo.deployment, lambda *_: show("verifying", demo.found, demo)) if changes else first
        found = demo.watcher.look()
    finally:
        demo.stop()
    return {
        "residents": _count(demo.deployment),
        "asked": demo.residents,
        "seed": demo.seed,
        "sources": [
            {"system": s["system"], "dataset": s["dataset"], **{name: s[name] for name in _BOOKS}}
            for s in found["sources"]
        ],
        "freshness_ms": found["freshness_ms"],
        "changes": changes,
        "seconds": round(seconds, 2),
        "load_records_per_s": round(records / max(loaded - loading, 1e-3)),
        "verified": bool(first["equal"] and last["equal"]),
        "digest": last["digest"],
        "tables": last["tables"],
        "directory": str(directory) if keep_going else None,
    }


def _count(deployment: Deployment) -> int:
    engine = open_view(deployment.view_url)
    try:
        with reading(engine) as connection:
            return int(connection.scalar(sa.select(sa.func.count()).select_from(resident)) or 0)
    finally:
        engine.dispose()
