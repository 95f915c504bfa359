"""The sample city on what a city runs: three nodes of Apache Kafka, and PostgreSQL with a streaming standby.

Every link goes through a proxy: to each node (other nodes come that way too), to the database that is primary now, and
from the standby to its primary.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import psycopg
from services.apache_kafka import VERSION, ApacheKafka
from services.databases import postgres_programs
from services.processes import Process, Run, owned_by, server_user, spawn, until_said

from chaos.proxy import Proxy
from chaos.town import NotPossible, Town
from examples.postgres import free_port

_OPTIONS = ("wal_level=replica", "max_wal_senders=10", "fsync=off", "max_connections=60", "wal_keep_size=256MB")
_READY = "database system is ready to accept"


class ProxiedKafka(ApacheKafka):
    """Three nodes that say their proxies' addresses."""

    def __init__(self, directory: Path, keep, seed: int) -> None:
        super().__init__(directory, 3, keep)
        self.proxies = {
            node: Proxy(lambda node=node: ("127.0.0.1", self._ports[node][0]), seed + node) for node in self.nodes
        }

    @property
    def bootstrap(self) -> str:
        return ",".join(proxy.address for proxy in self.proxies.values())

    def _format(self, node: int, cluster: str) -> None:
        super()._format(node, cluster)
        path = self._settings(node)
        told = f"advertised.listeners=PLAINTEXT://127.0.0.1:{self._ports[node][0]}"
        assert told in path.read_text()
        path.write_text(
            path.read_text().replace(told, f"advertised.listeners=PLAINTEXT://{self.proxies[node].address}")
        )


class Pair:
    """A primary and a standby that follows it asynchronously. ``primary`` and ``standby`` are 0 or 1, and change places."""

    def __init__(self, directory: Path, keep, seed: int) -> None:
        programs = postgres_programs()
        assert programs is not None
        self._programs, self._user, self._keep = programs, server_user("postgres"), keep
        self.directory = owned_by(self._user, directory)
        self.ports = (free_port(), free_port())
        self.processes: dict[int, Process] = {}
        self.primary, self.standby = 0, 1
        self.proxy = Proxy(lambda: ("127.0.0.1", self.ports[self.primary]), seed)
        self.replication = Proxy(lambda: ("127.0.0.1", self.ports[self.primary]), seed + 1)

    def conninfo(self, port: int, database: str = "postgres") -> str:
        return f"host=127.0.0.1 port={port} user=postgres dbname={database} connect_timeout=3"

    def data(self, server: int) -> Path:
        return self.directory / f"data{server}"

    def _log(self, server: int) -> Path:
        return self.directory / f"postgres{server}.log"

    def start(self) -> None:
        """Make both, and two databases: ``view`` and ``streams``."""
        log = self.directory / "initdb.log"
        made = spawn(
            [self._programs / "initdb", "-D", self.data(0), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"],
            log=log, user=self._user,
        )  # fmt: skip
        until_said(made, log, "Success")
        self.start_server(0)
        with self.admin() as connection:
            for name in ("view", "streams"):
                connection.execute(f"create database {name}")
        self.copy_to_standby()

    def start_server(self, server: int) -> None:
        """Start one on the data that it has."""
        options = [part for option in _OPTIONS for part in ("-c", option)]
        if (before := self.processes.get(server)) is not None:
            _await_fetched(before)
        log = self._log(server)
        said = log.stat().st_size if log.exists() else 0
        process = spawn(
            [self._programs / "postgres", "-D", self.data(server), "-h", "127.0.0.1", "-p", str(self.ports[server]),
             "-c", "unix_socket_directories=", *options],
            log=log, user=self._user, end_with=2,
        )  # fmt: skip
        self.processes[server] = process
        self._keep(process)
        until_said(process, log, _READY, after=said)

    def copy_to_standby(self) -> None:
        """The standby anew, as a copy of the primary that follows it through a link of its own."""
        if (old := self.processes.get(self.standby)) is not None:
            old.kill()
        shutil.rmtree(self.data(self.standby), ignore_errors=True)
        log = self.directory / "basebackup.log"
        done = subprocess.run(
            [self._programs / "pg_basebackup", "-D", self.data(self.standby), "-R", "-c", "fast", "-X", "stream",
             "-d", self.conninfo(self.replication.port)],
            capture_output=True, text=True, check=False, cwd="/", user=self._user,
        )  # fmt: skip
        log.write_text(done.stderr)
        if done.returncode:
            raise NotPossible(f"pg_basebackup: {done.stderr[-200:]}")
        self.start_server(self.standby)

    def admin(self, server: int | None = None) -> psycopg.Connection[Any]:
        """The superuser's connection, each statement a transaction; to the primary unless said otherwise."""
        port = self.ports[self.primary if server is None else server]
        return psycopg.connect(self.conninfo(port), autocommit=True)

    def promote(self) -> None:
        """The standby takes over, with what it has; the old primary is dead."""
        self.processes[self.primary].kill()
        self.primary, self.standby = self.standby, self.primary
        with self.admin() as connection:
            connection.execute("select pg_promote(true, 30)")
        self.proxy.drop()

    def close(self) -> None:
        for process in self.processes.values():
            process.stop()
        for proxy in (self.proxy, self.replication):
            proxy.close()


def _await_fetched(process: Process) -> None:
    """Wait until a dead process was fetched by its parent: till then PostgreSQL takes it for one that holds its files."""
    until = time.monotonic() + 20
    while psutil.pid_exists(process.pid) and time.monotonic() < until:
        time.sleep(0.05)


class ServicesTown(Town):
    """The city on Apache Kafka and PostgreSQL."""

    kind = "services"

    def prepare(self) -> None:
        self.run = Run.begin()
        folder = self.run.directory
        self.kafka = ProxiedKafka(folder / "kafka", self.run.keep, self._seed)
        (folder / "kafka").mkdir()
        self.pair = Pair(folder / "postgres", self.run.keep, self._seed)
        self.kafka.start()
        self.pair.start()
        environment = {
            "ONEWINDOW_KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap,
            "ONEWINDOW_KAFKA__EMBEDDED": "false",
            "ONEWINDOW_KAFKA__REPLICATION": "3",
            "ONEWINDOW_VIEW__URL": f"postgresql+psycopg://postgres@{self.pair.proxy.address}/view",
            "ONEWINDOW_STREAMS__URL": f"postgresql+psycopg://postgres@{self.pair.proxy.address}/streams",
        }
        os.environ.update(environment)
        super().prepare()
        self.proxies |= {f"node {node}": proxy for node, proxy in self.kafka.proxies.items()}
        self.proxies["database"] = self.pair.proxy

    def view_url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.pair.ports[self.pair.primary]}/view"

    def controller(self) -> int:
        """The node that leads the others now."""
        from kafka.admin import KafkaAdminClient

        admin = KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap, request_timeout_ms=10_000)
        try:
            quorum = admin.describe_metadata_quorum()
        finally:
            admin.close()
        return _leader(quorum)

    def logs(self) -> list[Path]:
        return [*super().logs(), *self.run.directory.glob("*/*.log")]

    def stop(self) -> None:
        if "source" in self.proxies:
            super().stop()
        if hasattr(self, "pair"):
            self.pair.close()
        self.run.end()

    def describe(self) -> dict[str, str]:
        with self.pair.admin() as connection:
            row = connection.execute("show server_version").fetchone()
        return {
            **super().describe(),
            "broker": f"Apache Kafka {VERSION}, three nodes, replication 3, min.insync.replicas 2",
            "view and streams": f"PostgreSQL {row and row[0]}, primary and streaming standby",
        }


def _leader(quorum: Any) -> int:
    topic = quorum["topics"][0] if isinstance(quorum, dict) else quorum.topics[0]
    partition = topic["partitions"][0] if isinstance(topic, dict) else topic.partitions[0]
    return int(partition["leader_id"] if isinstance(partition, dict) else partition.leader_id)
