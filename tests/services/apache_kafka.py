"""Apache Kafka from its jars: one node, or three with replication 3, in KRaft mode, on loopback, each of bounded memory."""

from __future__ import annotations

import base64
import re
import secrets
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import Template

from examples.postgres import free_port
from services.processes import Process, spawn, until_said

HERE = Path(__file__).parent / "kafka"
JARS = Path(__file__).parents[2] / ".services" / "kafka"
VERSION = re.findall(r"<kafka.version>(.*)</", (HERE / "pom.xml").read_text())[0]
_HEAP_MB = 256
_SHORT_LIVED = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")  # starts in half the time, and uses one core less
_READY = r"Kafka Server started"


def installed() -> bool:
    """Whether the jars are there (``make test-services`` gathers them)."""
    return (JARS / f"kafka_2.13-{VERSION}.jar").exists()


def java(logging: str, main: str, *arguments: object, options: tuple[str, ...] = ()) -> list[str]:
    """The command that runs a class of Apache Kafka."""
    logs = f"-Dlog4j2.configurationFile=file:{HERE / logging}"
    return ["java", *_SHORT_LIVED, *options, logs, "-cp", f"{JARS}/*", main, *map(str, arguments)]


def tool(main: str, *arguments: object) -> list[str]:
    """The command of one of its command line tools, named by its class."""
    return java("log4j2-tools.properties", main, *arguments, options=("-Xmx256m",))


class ApacheKafka:
    """A cluster of ``count`` nodes, numbered from 1. ``keep`` is told each process that is started."""

    def __init__(self, directory: Path, count: int = 1, keep: Callable[[Process], object] = lambda _: None) -> None:
        self.directory, self.count, self._keep = directory, count, keep
        self.processes: dict[int, Process] = {}
        self._ports = {node: (free_port(), free_port()) for node in self.nodes}

    @property
    def nodes(self) -> range:
        return range(1, self.count + 1)

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{self._ports[node][0]}" for node in self.nodes)

    def start(self) -> None:
        """Format new nodes, start all, and return when each says that it serves. Raises NotReady."""
        new = [node for node in self.nodes if not self._folder(node).exists()]
        cluster = base64.urlsafe_b64encode(b"onewindow" + secrets.token_bytes(7)).decode().rstrip("=")
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(lambda node: self._format(node, cluster), new))
            list(pool.map(self.start_node, self.nodes))  # a node is ready when the quorum is

    def start_node(self, node: int) -> None:
        """Start a node on the data that it has."""
        log = self.directory / f"node{node}.log"
        said = log.stat().st_size if log.exists() else 0
        memory = (f"-Xms{_HEAP_MB}m", f"-Xmx{_HEAP_MB}m", "-XX:+ExitOnOutOfMemoryError")
        command = java("log4j2.properties", "kafka.Kafka", self._settings(node), options=memory)
        process = self.processes[node] = spawn(command, log=log)
        self._keep(process)
        until_said(process, log, _READY, after=said)

    def kill_node(self, node: int) -> None:
        """kill -9."""
        self.processes[node].kill()

    def stop(self) -> None:
        """Stop all nodes; their data stays."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(Process.stop, self.processes.values()))

    def _folder(self, node: int) -> Path:
        return self.directory / f"node{node}"

    def _settings(self, node: int) -> Path:
        return self._folder(node) / "server.properties"

    def _format(self, node: int, cluster: str) -> None:
        self._folder(node).mkdir(parents=True)
        port, controller_port = self._ports[node]
        text = Template((HERE / "server.properties").read_text()).substitute(
            node=node,
            voters=",".join(f"{other}@127.0.0.1:{self._ports[other][1]}" for other in self.nodes),
            port=port,
            controller_port=controller_port,
            data=self._folder(node) / "data",
            replication=min(self.count, 3),
            insync=2 if self.count >= 3 else 1,
        )
        self._settings(node).write_text(text)
        command = tool("kafka.tools.StorageTool", "format", "-t", cluster, "-c", self._settings(node))
        subprocess.run(command, check=True, capture_output=True, text=True)
