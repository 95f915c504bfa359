"""One node of Apache Kafka as one would run it: a server's JVM with half a gigabyte, where the tests have a small one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka.admin import AdminClient
from services import apache_kafka
from services.processes import spawn, until_said

HEAP_MB = 512


class KafkaNode(apache_kafka.ApacheKafka):
    """A cluster of one."""

    def start_node(self, node: int) -> None:
        """Start it, and return when it serves."""
        log = self.directory / f"node{node}.log"
        command = [
            "java", f"-Xms{HEAP_MB}m", f"-Xmx{HEAP_MB}m", "-XX:+ExitOnOutOfMemoryError",
            f"-Dlog4j2.configurationFile=file:{apache_kafka.HERE / 'log4j2.properties'}",
            "-cp", f"{apache_kafka.JARS}/*", "kafka.Kafka", str(self._settings(node)),
        ]  # fmt: skip
        process = self.processes[node] = spawn(command, log=log)
        self._keep(process)
        until_said(process, log, "Kafka Server started")

    @property
    def pid(self) -> int:
        """The process of the node."""
        return self.processes[1].pid

    def drop_topics(self, beginnings: Sequence[str]) -> None:
        """Delete the topics whose names begin so; returns when they are gone."""
        admin, deadline = AdminClient({"bootstrap.servers": self.bootstrap}), time.monotonic() + 60

        def there() -> list[str]:
            return [name for name in admin.list_topics(timeout=30).topics if name.startswith(tuple(beginnings))]

        if names := there():
            for future in admin.delete_topics(names).values():
                future.result(30)
        while there():
            assert time.monotonic() < deadline, "deleted topics are still there"
            time.sleep(0.1)


def log_directory(node: KafkaNode) -> Path:
    """Where the node keeps its data."""
    return node.directory / "node1" / "data"
