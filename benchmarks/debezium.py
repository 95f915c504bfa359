"""Settings of Debezium's connectors: those that are swept, and those that stay."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from services.databases import Postgres

from benchmarks.connect import JSON

_KAFKA_TYPES = {"text": "string", "bigint": "int64", "boolean": "boolean"}


class SinkSettings(NamedTuple):
    """What of the JDBC sink is swept. ``tasks``: it can share the partitions among threads."""

    batch: int
    unnest: bool = False
    rewrite: bool = False
    tasks: int = 1

    def __str__(self) -> str:
        parts = [f"batch.size = max.poll.records = {self.batch}"]
        parts += ["unnest"] if self.unnest else []
        parts += ["reWriteBatchedInserts"] if self.rewrite else []
        return ", ".join([*parts, f"tasks.max = {self.tasks}"])


DEFAULT_SINK = SinkSettings(500)
SINKS = (
    DEFAULT_SINK,
    SinkSettings(3_000, rewrite=True),
    SinkSettings(3_000, unnest=True),
    SinkSettings(10_000, rewrite=True),
    SinkSettings(10_000, unnest=True),
    SinkSettings(3_000, unnest=True, tasks=2),
    SinkSettings(10_000, unnest=True, tasks=2),
    SinkSettings(10_000, rewrite=True, tasks=2),
)


class SourceSettings(NamedTuple):
    """What of the PostgreSQL source is swept for its latency."""

    poll_ms: int
    linger_ms: int

    def __str__(self) -> str:
        return f"poll.interval.ms = {self.poll_ms}, linger.ms = {self.linger_ms}"


DEFAULT_SOURCE = SourceSettings(500, 0)
SOURCES = (DEFAULT_SOURCE, SourceSettings(10, 5), SourceSettings(10, 0), SourceSettings(1, 0))


def sink(
    server: Postgres, database: str, topic: str, table: str, key: str, columns: Mapping[str, str], how: SinkSettings
) -> dict[str, Any]:
    """A sink of plain JSON from ``topic`` into ``table``: upserts by ``key``; ``columns`` by name, with their types."""
    url = f"jdbc:postgresql://{server.host}:{server.port}/{database}"
    schema = {
        "type": "struct",
        "optional": False,
        "name": table,
        "fields": [
            {"field": name, "type": _KAFKA_TYPES[kind], "optional": name != key} for name, kind in columns.items()
        ],
    }
    return {
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "tasks.max": how.tasks,
        "topics": topic,
        "connection.url": url + ("?reWriteBatchedInserts=true" if how.rewrite else ""),
        "connection.username": server.owner,
        "connection.password": "none",
        "insert.mode": "upsert",
        "primary.key.mode": "record_value",
        "primary.key.fields": key,
        "schema.evolution": "none",
        "collection.name.format": table,
        "batch.size": how.batch,
        "dialect.postgres.unnest.insert.enabled": str(how.unnest).lower(),
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": JSON,
        "value.converter.schemas.enable": "true",
        "value.converter.schema.content": json.dumps(schema),  # a schema in each message would cost more
        "consumer.override.auto.offset.reset": "earliest",
        "consumer.override.max.poll.records": how.batch,
        "consumer.override.max.partition.fetch.bytes": 4 << 20,
    }


def source(
    server: Postgres, database: str, name: str, tables: Sequence[str], how: SourceSettings, partitions: int
) -> dict[str, Any]:
    """A source of the tables of schema public, each into the topic ``<name>.public.<table>``, as plain JSON of the row."""
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "database.hostname": server.host,
        "database.port": server.port,
        "database.user": server.owner,
        "database.password": "none",
        "database.dbname": database,
        "topic.prefix": name,
        "plugin.name": "pgoutput",
        "slot.name": name,
        "slot.drop.on.stop": "true",
        "publication.name": name,
        "publication.autocreate.mode": "filtered",
        "table.include.list": ",".join(f"public.{table}" for table in tables),
        "topic.creation.default.replication.factor": 1,
        "topic.creation.default.partitions": partitions,
        "transforms": "unwrap",
        "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState",
        "key.converter": JSON,  # settings of a converter count only beside the converter itself
        "key.converter.schemas.enable": "false",
        "value.converter": JSON,
        "value.converter.schemas.enable": "false",
        "poll.interval.ms": how.poll_ms,
        "max.batch.size": 8_192,
        "max.queue.size": 32_768,
        "snapshot.fetch.size": 10_000,
        "producer.override.batch.size": 262_144,
        "producer.override.linger.ms": how.linger_ms,
        "producer.override.compression.type": "lz4",
    }
