"""A deployment of this project as a city has it: Apache Kafka, PostgreSQL for streams and view, each role a process."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from services.processes import Process

from benchmarks import people
from benchmarks.place import Place, must_live, until
from benchmarks.register import PARTITIONS
from onewindow.deploying import SECRET, write_secret
from onewindow.settings import FILE

TOPICS = ("community.", "department.", "quarantine.", "onewindow.")
"""How the names of its topics begin."""
ROLES = ("streams", "projections", "connectors")


class Deployment:
    """One deployment in a directory of its own, on new databases and without topics of earlier ones."""

    def __init__(self, place: Place) -> None:
        self._place = place
        place.kafka.drop_topics(TOPICS)
        self.directory = place.directory / place.name("deployment")
        (self.directory / "sources").mkdir(parents=True)
        self.view, self._streams = place.new_database(), place.new_database()
        self.processes: dict[str, Process] = {}
        self._stacks: dict[str, ExitStack] = {}
        write_secret(self.directory / SECRET, secrets.token_hex(32))
        (self.directory / FILE).write_text(
            f"name: benchmark\nkafka:\n  bootstrap_servers: {place.kafka.bootstrap}\n  embedded: false\n"
            f"  partitions: {PARTITIONS}\nview: {{url: '{place.postgres.url(self.view)}'}}\n"
            f"streams: {{url: '{place.postgres.url(self._streams)}'}}\n"
        )

    @classmethod
    @contextmanager
    def open(cls, place: Place) -> Iterator[Deployment]:
        """A new deployment, nothing of it started; its roles are ended and its databases dropped when this is left."""
        made = cls(place)
        try:
            yield made
        finally:
            for name in list(made.processes):
                made.stop(name)
            for database in (made.view, made._streams):
                place.drop_database(database)

    def declare(self, system: str, table: str, database: str) -> None:
        """Add a source: a table of the database."""
        text = people.source_file(system, table, self._place.postgres.url(database))
        (self.directory / "sources" / f"{system}.yaml").write_text(text, encoding="utf-8")

    def start(self, *roles: str) -> None:
        """Start roles, and return when they work."""
        for name in roles:
            (self.directory / "run" / f"{name}.json").unlink(missing_ok=True)
            stack = self._stacks[name] = ExitStack()
            command = ("onewindow", "-C", self.directory, "run", name)
            self.processes[name] = stack.enter_context(self._place.process(name, *command))
        for name in roles:
            until(lambda name=name: self._is_ready(name), f"the start of {name}")  # type: ignore[misc]

    def stop(self, *roles: str) -> None:
        """End roles."""
        for name in roles:
            del self.processes[name]
            self._stacks.pop(name).close()

    def check(self) -> None:
        """Raise Ended when a role has ended."""
        for process in self.processes.values():
            must_live(process)()

    def _is_ready(self, role: str) -> bool:
        must_live(self.processes[role])()
        return self.told(role).get("state") == "ready"

    def told(self, role: str) -> dict[str, Any]:
        """What a role says of itself, nothing before its first word."""
        path: Path = self.directory / "run" / f"{role}.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def pids(self) -> dict[str, int]:
        """The processes of the roles."""
        return {name: process.pid for name, process in self.processes.items()}

    def live(self, datasets: Sequence[str]) -> bool:
        """Whether these datasets, as ``system.dataset``, follow the source's log by now."""
        self.check()
        told = {
            f"{one['system']}.{one['dataset']}": one["state"] for one in self.told("connectors").get("datasets", [])
        }
        return all(told.get(name) == "live" for name in datasets)
