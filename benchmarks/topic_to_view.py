"""Topic to PostgreSQL: this project, the hand-written loop, Debezium's JDBC sink, and COPY as the limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import psycopg

from benchmarks import hand_written as hand_written_loop
from benchmarks import register
from benchmarks.debezium import SINKS, SinkSettings, sink
from benchmarks.place import Place, must_live, say
from benchmarks.postgres_server import until_filled
from benchmarks.spread import Figure, ratios, spread, spread_of

Way = Callable[[int], float]
"""Brings so many records into a table; gives the rate."""
_ROWS = "rows/s"


class HandSettings(NamedTuple):
    """What of the hand-written loop is swept. ``processes`` share the partitions."""

    batch: int
    processes: int = 1

    def __str__(self) -> str:
        return f"max_records = {self.batch}, processes = {self.processes}"


_HANDS = (HandSettings(4_000), HandSettings(20_000), HandSettings(4_000, 2))
_WORKERS = (1, 2)


def measure(place: Place, *, records: int, runs: int, rounds: int) -> dict[str, Any]:
    """Ours, theirs, ours, theirs … after a sweep of the settings of each, in ``rounds``, with a third of the records."""
    say(f"topic -> view: {records:,} records of {len(register.COLUMNS)} columns")
    ways, sweeps, best = _swept(place, records, rounds)
    place.kafka.drop_topics(["community.", "bench."])
    register.fill_plain(place.kafka.bootstrap, records)
    register.fill_events(place.kafka.bootstrap, records)
    figures: dict[str, list[Figure]] = {name: [] for name in ways}
    with _copy_source(place, records) as origin:
        ways["copy"] = lambda count: copy(place, origin, count)
        figures["copy"] = []
        for _ in range(runs):
            for name, way in ways.items():
                figures[name].append(place.figure(f"topic -> view, {name}", partial(way, records), _ROWS))
    place.kafka.drop_topics(["community.", "bench."])
    rivals = [name for name in ways if name != "onewindow"]
    return {
        "figures": {"topic_to_view": {name: spread_of(found, _ROWS) for name, found in figures.items()}},
        "ratios": {f"topic_to_view_vs_{name}": spread(ratios(figures["onewindow"], figures[name])) for name in rivals},
        "sweeps": sweeps,
        "settings": {
            "topic_to_view": {
                "records": records,
                "columns": len(register.COLUMNS),
                "partitions": register.PARTITIONS,
                **{name: str(how) for name, how in best.items()},
            }
        },
    }


def _swept(place: Place, records: int, rounds: int) -> tuple[dict[str, Way], dict[str, Any], dict[str, Any]]:
    """Each way under the settings that were the fastest, the rates of the sweep, and those settings."""
    few = max(records // 3, 60_000)
    place.kafka.drop_topics(["community.", "bench."])
    register.fill_plain(place.kafka.bootstrap, few)
    register.fill_events(place.kafka.bootstrap, few)
    tries: dict[str, tuple[Sequence[Any], Callable[[Any, int], float]]] = {
        "onewindow": (_WORKERS, partial(onewindow, place)),
        "jdbc_sink": (SINKS, partial(jdbc_sink, place)),
        "hand_written": (_HANDS, partial(hand_written, place)),
    }
    jdbc_sink(place, SINKS[-1], few)  # warms the JVM, and is not counted
    sweeps: dict[str, Any] = {}
    best: dict[str, Any] = {}
    for name, (settings, way) in tries.items():
        rates = dict.fromkeys(settings, 0)
        for how in [*settings] * rounds:  # the best of the rounds: one that was disturbed says nothing
            rates[how] = max(rates[how], round(way(how, few)))
        best[name] = max(rates, key=rates.__getitem__)
        sweeps[name] = {f"workers = {how}" if isinstance(how, int) else str(how): rate for how, rate in rates.items()}
        for how, rate in sweeps[name].items():
            say(f"  sweep, {name} with {how}: {rate:,}")
    chosen = {name: partial(way, best[name]) for name, (_, way) in tries.items()}
    return dict(chosen), sweeps, best


def onewindow(place: Place, workers: int, records: int) -> float:
    """The projections role: Faust, whole batches, the engine with offsets and numbers, the register as its view."""
    database = place.new_database()
    commands = [
        ("benchmarks.register_role", place.kafka.bootstrap, place.postgres.url(database),
         place.directory / place.name("faust"), f"register-{number}")
        for number in range(workers)
    ]  # fmt: skip
    return _by_processes(place, database, commands, records)


def hand_written(place: Place, how: HandSettings, records: int) -> float:
    """The loop of ``benchmarks.hand_written``."""
    database = place.new_database()
    share = register.PARTITIONS // how.processes
    commands = [
        ("benchmarks.hand_written", place.kafka.bootstrap, place.postgres.conninfo(database), how.batch,
         *range(number * share, (number + 1) * share))
        for number in range(how.processes)
    ]  # fmt: skip
    return _by_processes(place, database, commands, records)


def _by_processes(place: Place, database: str, commands: Sequence[tuple[object, ...]], records: int) -> float:
    with place.database(database) as connection, ExitStack() as running:
        connection.execute(register.ddl("register"))
        connection.execute(hand_written_loop.POSITIONS)
        checks = [must_live(running.enter_context(place.process("worker", *command))) for command in commands]

        def alive() -> None:
            for check in checks:
                check()

        rate = until_filled(connection, "register", records, alive=alive)
    place.drop_database(database)
    return rate


def jdbc_sink(place: Place, how: SinkSettings, records: int) -> float:
    """Debezium's sink, in a worker that runs since the beginning."""
    database, name, worker = place.new_database(), place.name("sink"), place.connect
    settings = sink(place.postgres, database, register.PLAIN_TOPIC, "register", register.KEY, register.COLUMNS, how)
    with place.database(database) as connection:
        connection.execute(register.ddl("register"))
        worker.run(name, settings)
        try:
            rate = until_filled(connection, "register", records, alive=worker.check)
        finally:
            worker.end(name)
    place.drop_database(database)
    return rate


@contextmanager
def _copy_source(place: Place, records: int) -> Iterator[str]:
    """A database whose table holds the records."""
    database = place.new_database()
    with place.database(database) as connection:
        connection.execute(register.ddl("register"))
        with connection.cursor().copy("COPY register FROM STDIN") as rows:
            for number in range(records):
                rows.write_row(tuple(register.person(number).values()))
        connection.execute("VACUUM ANALYZE register")
    yield database
    place.drop_database(database)


def copy(place: Place, origin: str, records: int) -> float:
    """COPY out of one database into the other, in one transaction."""
    database = place.new_database()
    with place.database(database) as connection, place.database(origin) as there:
        connection.execute(register.ddl("register"))
        began = time.monotonic()
        _pipe(there, connection)
        seconds = time.monotonic() - began
    place.drop_database(database)
    return records / seconds


def _pipe(origin: psycopg.Connection[Any], target: psycopg.Connection[Any]) -> None:
    with (
        origin.cursor().copy("COPY register TO STDOUT (FORMAT binary)") as rows,
        target.cursor().copy("COPY register FROM STDIN (FORMAT binary)") as into,
    ):
        for block in rows:
            into.write(block)
