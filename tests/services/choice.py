"""Which services a test run uses, decided in one place and in this order: the environment, Docker, local processes, embedded.

Docker and local processes come only with ``pytest --services`` (``make test-services``); without it a test run needs
Python alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from services import containers, databases
from services.apache_kafka import VERSION, ApacheKafka
from services.apache_kafka import installed as kafka_installed
from services.databases import MariaDb, Postgres
from services.embedded import packaged_postgres_host
from services.processes import Process, Run

ENVIRONMENT = {
    "kafka": "ONEWINDOW_TEST_KAFKA",
    "postgres": "ONEWINDOW_TEST_POSTGRES",
    "mariadb": "ONEWINDOW_TEST_MARIADB",
}
_EMBEDDED = {"kafka": "embedded broker", "postgres": "packaged PostgreSQL", "mariadb": "none"}


class Services:
    """The services of a run. ``run`` is shared by its workers; ``real`` is whether ``--services`` was given."""

    def __init__(self, run: Run, ways: dict[str, str]) -> None:
        self.run, self.ways = run, ways

    @classmethod
    def choose(cls, run: Run, *, real: bool) -> Services:
        """Decide how each service comes about; nothing is started yet."""
        docker = real and containers.engine_answers()
        return cls(run, {name: _way(name, real=real, docker=docker) for name in ENVIRONMENT})

    def described(self) -> str:
        """One line for the head of the test run."""
        return "services: " + ", ".join(f"{name} = {self._named(name, way)}" for name, way in self.ways.items())

    def _named(self, name: str, way: str) -> str:
        if way == "environment":
            return f"from ${ENVIRONMENT[name]}"
        if way == "docker":
            return {"kafka": containers.KAFKA_IMAGE, "postgres": containers.POSTGRES_IMAGE}.get(
                name, containers.MARIADB_IMAGE
            )
        if way == "local":
            programs = databases.postgres_programs()
            return {
                "kafka": f"Apache Kafka {VERSION}, local process",
                "postgres": f"PostgreSQL {programs.parts[-2] if programs else ''}, local process",
            }.get(name, "MariaDB, local process")
        return _EMBEDDED[name]

    def kafka(self) -> str | None:
        """The bootstrap servers of an Apache Kafka; None when the embedded broker is to be used."""
        return self._start(
            "kafka",
            environment=lambda address: address,
            docker=containers.start_kafka,
            local=self._local_kafka,
        )

    def _local_kafka(self, keep: Callable[[Process], object]) -> str:
        node = ApacheKafka(self.run.directory / "kafka", 1, keep)
        node.start()
        return node.bootstrap

    def postgres(self) -> Postgres:
        """A PostgreSQL server, in any case."""
        found = self._start(
            "postgres",
            environment=lambda url: asdict(Postgres.at(url)),
            docker=lambda: _plain(containers.start_postgres()),
            local=lambda keep: asdict(databases.start_postgres(self.run.directory / "postgres", keep)),
        )
        return Postgres(**found) if found else Postgres(packaged_postgres_host())

    def mariadb(self) -> MariaDb:
        """A MariaDB server; there is no embedded one."""
        found = self._start(
            "mariadb",
            environment=lambda url: asdict(MariaDb.at(url)),
            docker=lambda: _plain(containers.start_mariadb()),
            local=lambda keep: asdict(databases.start_mariadb(self.run.directory / "mariadb", keep)),
        )
        assert found, "MariaDB is asked for by tests that are marked `services` alone"
        return MariaDb(**found)

    def _start(
        self,
        name: str,
        *,
        environment: Callable[[str], Any],
        docker: Callable[[], tuple[str, Any]],
        local: Callable[[Callable[[Process], object]], Any],
    ) -> Any:
        """Where the service is, started by the first worker that asks; None for an embedded one."""

        def start() -> dict[str, Any]:
            if self.ways[name] == "docker":
                container, about = docker()
                return {"about": about, "container": container}
            return {"about": local(self.run.keep)}

        if self.ways[name] == "environment":
            return environment(os.environ[ENVIRONMENT[name]])
        return None if self.ways[name] == "embedded" else self.run.once(name, start)["about"]

    def end(self) -> None:
        """End what this run started."""
        for container in self.run.told("container"):
            containers.stop(container)
        self.run.end()


def _plain(started: tuple[str, Postgres | MariaDb]) -> tuple[str, dict[str, Any]]:
    return started[0], asdict(started[1])


def _way(name: str, *, real: bool, docker: bool) -> str:
    if os.environ.get(ENVIRONMENT[name]):
        return "environment"
    if not real:
        return "embedded"
    if docker:
        return "docker"
    there = {
        "kafka": kafka_installed,
        "postgres": lambda: databases.postgres_programs() is not None,
        "mariadb": databases.mariadb_installed,
    }
    if not there[name]():
        raise pytest.UsageError(
            f"--services: {name} is not installed, and no Docker engine answers; make test-services"
        )
    return "local"
