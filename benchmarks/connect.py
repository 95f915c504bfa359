"""Kafka Connect with Debezium's connectors: its jars, one standalone worker, and its REST interface."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from services import apache_kafka
from services.processes import Process, spawn

from examples.postgres import free_port

POM = Path(__file__).parent / "debezium" / "pom.xml"
PLUGINS = apache_kafka.JARS.with_name("debezium")
VERSION = re.findall(r"<debezium.version>(.*)</", POM.read_text())[0]
HEAP_MB = 1024
# what Connect itself brings: two of a kind on one path would not know each other's classes
_SHARED = ("connect-", "kafka-clients", "slf4j", "jackson-core", "jackson-databind", "jackson-annotations", "lz4-java",
           "snappy-java", "zstd-jni")  # fmt: skip
_LOGGING = """status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %-5p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""
JSON = "org.apache.kafka.connect.json.JsonConverter"


class ConnectorFailed(RuntimeError):
    """A connector or its task failed; the message is its trace."""


def gather_jars() -> None:
    """Have Maven copy the jars that the pom names, beside those of Apache Kafka, unless they are there."""
    if (PLUGINS / "debezium" / f"debezium-connector-jdbc-{VERSION}.jar").exists():
        return
    part = PLUGINS.with_name("debezium.part")
    for folder in (PLUGINS, part):
        shutil.rmtree(folder, ignore_errors=True)
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={part / 'debezium'}"]
    subprocess.run(["mvn", "-q", "-B", "-f", str(POM), *goal], check=True)
    for jar in (part / "debezium").iterdir():
        if jar.name.startswith(_SHARED):
            jar.unlink()
    part.rename(PLUGINS)


class Connect:
    """One worker. Connectors that it runs are named by whoever starts them; a name is never used twice, since a sink's
    consumer group carries it."""

    def __init__(self, directory: Path, bootstrap: str, keep: Callable[[Process], object]) -> None:
        self._directory, self._bootstrap, self._keep = directory, bootstrap, keep
        self._url = f"http://127.0.0.1:{free_port()}"
        self.process: Process | None = None

    def start(self) -> None:
        """Start the worker, and return when it answers."""
        self._directory.mkdir()
        settings = {
            "bootstrap.servers": self._bootstrap,
            "key.converter": JSON,
            "value.converter": JSON,
            "offset.storage.file.filename": self._directory / "offsets",
            "plugin.path": PLUGINS,
            "plugin.discovery": "service_load",
            "listeners": self._url,
            "connector.client.config.override.policy": "All",
        }
        (self._directory / "worker.properties").write_text(
            "".join(f"{name}={value}\n" for name, value in settings.items())
        )
        (self._directory / "log4j2.properties").write_text(_LOGGING)
        command = [
            "java", "-Xms256m", f"-Xmx{HEAP_MB}m", f"-Dlog4j2.configurationFile=file:{self._directory}/log4j2.properties",
            "-cp", f"{apache_kafka.JARS}/*", "org.apache.kafka.connect.cli.ConnectStandalone",
            str(self._directory / "worker.properties"),
        ]  # fmt: skip
        log, deadline = self._directory / "worker.log", time.monotonic() + 90
        self.process = spawn(command, log=log)
        self._keep(self.process)
        while True:
            try:
                self._call("GET", "/connectors")
            except OSError as error:
                if not self.process.alive or time.monotonic() > deadline:
                    raise ConnectorFailed("the worker did not start:\n" + log.read_text()[-2_000:]) from error
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        """End the worker."""
        if self.process is not None:
            self.process.stop()

    def run(self, name: str, settings: dict[str, Any]) -> None:
        """Start a connector."""
        config = {key: str(value) for key, value in settings.items()}
        self._call("POST", "/connectors", {"name": name, "config": config})

    def end(self, name: str) -> None:
        """Stop and forget a connector."""
        self._call("DELETE", f"/connectors/{name}")

    def check(self) -> None:
        """Raise ConnectorFailed when a connector or task has failed."""
        for name in self._call("GET", "/connectors"):
            with suppress(urllib.error.HTTPError):  # just made, or going: it has no status yet
                status = self._call("GET", f"/connectors/{name}/status")
                for part in (status["connector"], *status["tasks"]):
                    if part["state"] == "FAILED":
                        raise ConnectorFailed(f"{name}: {part.get('trace', '')[:2_000]}")

    def running(self, name: str) -> bool:
        """Whether all tasks of a connector run."""
        try:
            tasks = self._call("GET", f"/connectors/{name}/status")["tasks"]
        except urllib.error.HTTPError:
            return False
        return bool(tasks) and all(task["state"] == "RUNNING" for task in tasks)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - loopback
            self._url + path, method=method, data=data, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            found = answer.read()
        return json.loads(found) if found else None


def java_version() -> str:
    """The version of the Java machine that runs all this."""
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
    return said.split('"')[1]
