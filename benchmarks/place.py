"""Where a run takes place: Apache Kafka, PostgreSQL and, once it is asked for, Kafka Connect, all ended with the run."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from services import apache_kafka
from services.processes import Process, Run, spawn

from benchmarks import ROOT, connect, postgres_server
from benchmarks.connect import Connect
from benchmarks.kafka_node import KafkaNode
from benchmarks.spread import Figure
from projections.bench import calibration

_Found = TypeVar("_Found")


def say(text: str) -> None:
    """Progress, on standard error."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


class Ended(RuntimeError):
    """A process that was needed has ended; the message is the end of its log."""


class Place:
    """The services, and the processes that a measurement starts."""

    def __init__(self, run: Run) -> None:
        self.run, self.directory = run, run.directory
        self.calibrations: list[float] = []
        self._names = 0
        self._connect: Connect | None = None
        self.kafka = KafkaNode(self.directory / "kafka", 1, run.keep)
        self.kafka.start()
        self.postgres, self.postgres_process = postgres_server.start(self.directory / "postgres", run.keep)

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Place]:
        """Start Apache Kafka and PostgreSQL; end all that was started when this is left."""
        assert apache_kafka.installed(), "Apache Kafka is not installed; make test-services does that"
        connect.gather_jars()
        run = Run.begin()
        try:
            yield cls(run)
        finally:
            run.end()

    @property
    def connect(self) -> Connect:
        """The worker of Kafka Connect, started when it is first asked for."""
        if self._connect is None:
            worker = Connect(self.directory / "connect", self.kafka.bootstrap, self.run.keep)
            worker.start()
            self._connect = worker
        return self._connect

    def name(self, kind: str) -> str:
        """A name that nothing had before."""
        self._names += 1
        return f"{kind}{self._names}"

    def new_database(self, template: str = "template1") -> str:
        """An empty database, or a copy of another."""
        name = self.name("database")
        with postgres_server.connect(self.postgres, "postgres") as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    @contextmanager
    def database(self, name: str) -> Iterator[psycopg.Connection[Any]]:
        """A connection to a database; the server has written down what was dirty before."""
        with postgres_server.connect(self.postgres, name) as connection:
            connection.execute("CHECKPOINT")
            yield connection

    def drop_database(self, name: str) -> None:
        """Give the room back."""
        with postgres_server.connect(self.postgres, "postgres") as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def process(self, name: str, *command: object) -> Iterator[Process]:
        """A Python process of ours, ``python -m`` with these words; ended when this is left."""
        log = self.directory / f"{self.name(name)}.log"
        process = spawn(["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", *map(str, command)], log=log)
        self.run.keep(process)
        process_logs[process.pid] = log
        try:
            yield process
        finally:
            process.stop()

    def calibrate(self) -> float:
        """The seconds of the calibration loop now."""
        self.calibrations.append(calibration())
        return self.calibrations[-1]

    def figure(self, what: str, measure: Callable[[], float], unit: str) -> Figure:
        """Measure with a calibration before and after, and tell."""
        before = self.calibrate()
        value = measure()
        figure = Figure(value, (before + self.calibrate()) / 2)
        say(f"  {what}: {value:,.0f} {unit} (calibration {figure.calibration_s:.3f} s)")
        return figure


process_logs: dict[int, Path] = {}


def must_live(process: Process) -> Callable[[], None]:
    """Raises Ended when the process has ended."""

    def check() -> None:
        if not process.alive:
            tail = process_logs[process.pid].read_text(errors="replace").splitlines()[-15:]
            raise Ended("\n".join(tail))

    return check


def until(condition: Callable[[], _Found | None], what: str, seconds: float = 120.0) -> _Found:
    """What the condition gives as soon as it gives something. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} took more than {seconds:.0f} s")
        time.sleep(0.05)
    return found


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))
