"""The two ways from a department's table to a view, behind one face: this project, and Debezium with its JDBC sink."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import psycopg

from benchmarks import people
from benchmarks.debezium import SinkSettings, SourceSettings, sink, source
from benchmarks.deployment import TOPICS, Deployment
from benchmarks.place import Place, until
from benchmarks.postgres_server import one
from benchmarks.register import PARTITIONS
from contracts.sources import department_topic
from producers.topics import TopicSpec, ensure_topics


class Side(Protocol):
    """One way, from the database ``source`` into a new one, ``target``. ``table``: of its target, a row a resident; ``marks``: telephone number and
    commit time of the rows that changes marked."""

    name: str
    source: str
    target: str
    table: str
    marks: str

    def await_changes(self) -> None:
        """Make ready whatever may run before there is something to read."""

    def read(self) -> None:
        """Begin to read the source."""

    def read_another(self) -> None:
        """Begin to read another table of the source as well, in full."""

    def check(self) -> None:
        """Raise when a part has failed."""

    def loaded(self, connection: psycopg.Connection[Any]) -> int:
        """How many rows of the other table have come."""

    def pids(self) -> Mapping[str, int]:
        """Its processes, without those of PostgreSQL."""


class OneWindow:
    """This project: connectors, streams and projections, a process each, as ``onewindow up`` runs them."""

    name, table = "onewindow", "resident"
    marks: str = (
        "SELECT phone, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float FROM resident WHERE phone LIKE '101%'"
    )

    def __init__(self, place: Place, deployment: Deployment, database: str) -> None:
        self._place, self._deployment, self.source = place, deployment, database
        self.target = deployment.view
        deployment.declare(people.SYSTEM, people.TABLE, database)

    @classmethod
    @contextmanager
    def open(cls, place: Place, database: str) -> Iterator[OneWindow]:
        """On a new deployment."""
        with Deployment.open(place) as deployment:
            yield cls(place, deployment, database)

    def await_changes(self) -> None:
        """Streams and projections wait for what is read."""
        self._deployment.start("streams", "projections")

    def read(self) -> None:
        """Start the connectors."""
        self._deployment.start("connectors")

    def read_another(self) -> None:
        """A source more; connectors and streams are started anew for it."""
        self._deployment.declare(people.OTHER_SYSTEM, people.OTHER_TABLE, self.source)
        self._deployment.stop("connectors", "streams")
        self._deployment.start("streams", "connectors")
        dataset = f"{people.SYSTEM}.{people.DATASETS[people.TABLE]}"
        until(lambda: self._deployment.live([dataset]), "going on with the log")

    def check(self) -> None:
        """Raise Ended when a role has ended."""
        self._deployment.check()

    def loaded(self, connection: psycopg.Connection[Any]) -> int:
        """Assertions of the other system."""
        return int(one(connection, "SELECT count(*) FROM assertion WHERE system = %s", people.OTHER_SYSTEM))

    def pids(self) -> Mapping[str, int]:
        """The roles; the broker beside."""
        return {**self._deployment.pids(), "kafka": self._place.kafka.pid}

    @property
    def topic(self) -> str:
        """Where the changes of the source go."""
        return department_topic(people.SYSTEM, people.DATASETS[people.TABLE])


class Debezium:
    """Debezium's source and sink in one worker of Kafka Connect, which has been warm for long."""

    name, table = "debezium", people.TABLE
    marks: str = (
        "SELECT aae005, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float FROM ac01 WHERE aae005 LIKE '101%'"
    )

    def __init__(
        self, place: Place, database: str, target: str, how_source: SourceSettings, how_sink: SinkSettings
    ) -> None:
        self._place, self.source, self.target = place, database, target
        self._how_source, self._how_sink = how_source, how_sink
        self._prefixes: dict[str, str] = {}
        self._connectors: list[str] = []
        self._prepare(people.TABLE)

    @classmethod
    @contextmanager
    def open(
        cls, place: Place, database: str, how_source: SourceSettings, how_sink: SinkSettings
    ) -> Iterator[Debezium]:
        """On a new target; the connectors are removed and the target dropped when this is left."""
        made = cls(place, database, place.new_database(), how_source, how_sink)
        try:
            yield made
        finally:
            made.end()

    def _prepare(self, table: str) -> None:
        prefix = self._prefixes[table] = self._place.name("dbz")
        ensure_topics(self._place.kafka.bootstrap, [TopicSpec(f"{prefix}.public.{table}", PARTITIONS)])
        with self._place.database(self.target) as connection:
            connection.execute(people.ddl(table))

    def _sink(self, table: str) -> None:
        settings = sink(
            self._place.postgres, self.target, self._topic(table), table, people.KEY, people.COLUMNS, self._how_sink
        )
        self._run(self._place.name("sink"), settings)

    def _source(self, table: str) -> None:
        prefix = self._prefixes[table]
        self._run(prefix, source(self._place.postgres, self.source, prefix, [table], self._how_source, PARTITIONS))

    def _run(self, name: str, settings: dict[str, Any]) -> None:
        self._place.connect.run(name, settings)
        self._connectors.append(name)
        until(lambda: self._place.connect.running(name), f"the start of {name}")

    def _topic(self, table: str) -> str:
        return f"{self._prefixes[table]}.public.{table}"

    def await_changes(self) -> None:
        """The sink waits for what is read."""
        self._sink(people.TABLE)

    def read(self) -> None:
        """Start the source."""
        self._source(people.TABLE)

    def read_another(self) -> None:
        """A source and a sink more."""
        self._prepare(people.OTHER_TABLE)
        self._sink(people.OTHER_TABLE)
        self._source(people.OTHER_TABLE)

    def check(self) -> None:
        """Raise ConnectorFailed when a connector has failed."""
        self._place.connect.check()

    def loaded(self, connection: psycopg.Connection[Any]) -> int:
        """Rows of the other table."""
        return int(one(connection, "SELECT count(*) FROM registered"))

    def pids(self) -> Mapping[str, int]:
        """The worker; the broker beside."""
        process = self._place.connect.process
        return {"connect": process.pid if process else 0, "kafka": self._place.kafka.pid}

    @property
    def topic(self) -> str:
        """Where the changes of the source go."""
        return self._topic(people.TABLE)

    def end(self) -> None:
        """Remove the connectors, the topics and the target."""
        for name in reversed(self._connectors):
            self._place.connect.end(name)
        self._place.drop_database(self.target)
        self._place.kafka.drop_topics([f"{prefix}." for prefix in self._prefixes.values()])
        _drop_slots(self._place, self.source)


def _drop_slots(place: Place, database: str) -> None:
    """Of this database, those that nobody uses: a slot that stays keeps the server's log."""
    with place.database(database) as connection:
        connection.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s AND NOT active",
            (database,),
        )
        for (name,) in connection.execute("SELECT pubname FROM pg_publication").fetchall():
            connection.execute(f'DROP PUBLICATION "{name}"')


@contextmanager
def onewindow(place: Place, database: str) -> Iterator[OneWindow]:
    """This project on a new deployment; its slot goes with it."""
    with OneWindow.open(place, database) as side:
        yield side
    _drop_slots(place, database)
    place.kafka.drop_topics(TOPICS)
