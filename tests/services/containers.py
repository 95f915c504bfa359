"""The services as containers, where a Docker engine answers. ``stop`` ends one by its id."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from examples.postgres import free_port
from services.apache_kafka import VERSION
from services.databases import MariaDb, Postgres

KAFKA_IMAGE = f"apache/kafka:{VERSION}"
POSTGRES_IMAGE = "postgres:17.6"
MARIADB_IMAGE = "mariadb:11.8.3"


def engine_answers() -> bool:
    """Whether there is a Docker engine. Asked in a process of its own: the client leaves its sockets open when not."""
    ask = [sys.executable, "-c", "import docker; docker.from_env(timeout=3).ping()"]
    return subprocess.run(ask, capture_output=True, check=False).returncode == 0


def stop(ident: str) -> None:
    """End and remove a container."""
    import docker

    client = docker.from_env()
    client.containers.get(ident).remove(force=True, v=True)
    client.close()


def _start(image: str, port: int, inside: int, said: str, **environment: str) -> str:
    """A container whose port is bound to ``port`` of loopback; gives its id once its log says that it serves."""
    os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"  # a container outlives the worker that started it
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    container: Any = DockerContainer(image)
    container.with_kwargs(ports={f"{inside}/tcp": ("127.0.0.1", port)})
    for name, value in environment.items():
        container.with_env(name, value)
    container.waiting_for(LogMessageWaitStrategy(said).with_startup_timeout(120))
    container.start()
    return str(container.get_wrapped_container().id)


def start_kafka() -> tuple[str, str]:
    """(container id, bootstrap servers) of a node in KRaft mode; the image formats it by itself."""
    port = free_port()
    ident = _start(
        KAFKA_IMAGE, port, 9092, "Kafka Server started",
        KAFKA_NODE_ID="1", KAFKA_PROCESS_ROLES="broker,controller", KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
        KAFKA_LISTENERS="PLAINTEXT://:9092,CONTROLLER://:9093",
        KAFKA_ADVERTISED_LISTENERS=f"PLAINTEXT://127.0.0.1:{port}",
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        KAFKA_CONTROLLER_QUORUM_VOTERS="1@localhost:9093",
        KAFKA_AUTO_CREATE_TOPICS_ENABLE="false", KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
        KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR="1", KAFKA_TRANSACTION_STATE_LOG_MIN_ISR="1",
        KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0", KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS="100",
        KAFKA_LOG_CLEANER_BACKOFF_MS="500", KAFKA_LOG_RETENTION_CHECK_INTERVAL_MS="1000",
    )  # fmt: skip
    return ident, f"127.0.0.1:{port}"


def start_postgres() -> tuple[str, Postgres]:
    """(container id, server)."""
    port = free_port()
    ident = _start(POSTGRES_IMAGE, port, 5432, r"listening on IPv4 address.*[\s\S]*ready to accept connections",
                   POSTGRES_HOST_AUTH_METHOD="trust", POSTGRES_INITDB_ARGS="-c wal_level=logical")  # fmt: skip
    return ident, Postgres("127.0.0.1", port)


def start_mariadb() -> tuple[str, MariaDb]:
    """(container id, server)."""
    port = free_port()
    ident = _start(MARIADB_IMAGE, port, 3306, r"port: 3306", MARIADB_ALLOW_EMPTY_ROOT_PASSWORD="1")
    return ident, MariaDb("127.0.0.1", port)
