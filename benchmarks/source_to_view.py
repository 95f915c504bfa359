"""From a department's table into a view: the snapshot into the topic, the full load through the whole way, and latency."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

import psutil
from confluent_kafka import Consumer, KafkaException, TopicPartition

from benchmarks import people
from benchmarks.debezium import SINKS, SOURCES, SinkSettings, SourceSettings
from benchmarks.latency import Latencies
from benchmarks.memory import watched
from benchmarks.place import Place, say
from benchmarks.postgres_server import until_filled
from benchmarks.sides import Debezium, Side, onewindow
from benchmarks.spread import Figure, ratios, spread, spread_of

_ROWS = "rows/s"
_Open = Callable[[], AbstractContextManager[Any]]


class Size(NamedTuple):
    """How much is measured. ``rows``: of the table; ``other_rows``: of the table that is loaded while latency is
    measured; seconds of each phase of changes."""

    rows: int
    other_rows: int
    at_200_s: float
    at_1000_s: float
    loading_s: float
    sweep_s: float


class _Found(NamedTuple):
    snapshots: dict[str, list[Figure]]
    server_us: dict[str, list[Figure]]
    loads: dict[str, list[Figure]]
    latencies: dict[str, dict[str, list[dict[str, Any]]]]
    memory: dict[str, Any]


@contextmanager
def _source(place: Place, size: Size) -> Iterator[str]:
    """The template of the source: a database with the two tables."""
    database = place.new_database()
    with place.database(database) as connection:
        people.fill(connection, people.TABLE, range(size.rows))
        people.fill(connection, people.OTHER_TABLE, range(size.rows * 2, size.rows * 2 + size.other_rows))
    yield database
    place.drop_database(database)


@contextmanager
def _fresh(place: Place, template: str, side: Callable[[str], AbstractContextManager[Any]]) -> Iterator[Side]:
    """A side on a copy of the source of its own: what others changed in theirs is not there."""
    database = place.new_database(template)
    with side(database) as made:
        yield made
    place.drop_database(database)


def measure(place: Place, *, size: Size, runs: int, how_sink: SinkSettings | None) -> dict[str, Any]:
    """Ours, theirs, ours, theirs … ``how_sink``: the best of the sweep, if there was one."""
    say(f"source -> view: a table of {size.rows:,} rows and {len(people.COLUMNS)} columns")
    sink = how_sink or next(how for how in SINKS if how.unnest)
    swept = {how: _swept(place, size, how, sink) for how in SOURCES}
    for how, figures in swept.items():
        say(f"  source with {how}: p50 {figures['p50']} ms, p99 {figures['p99']} ms")
    best = min(swept, key=lambda how: float(swept[how]["p50"]))
    found = _Found(defaultdict(list), defaultdict(list), defaultdict(list), defaultdict(lambda: defaultdict(list)), {})
    with _source(place, size) as template:
        sides: dict[str, _Open] = {
            "onewindow": lambda: _fresh(place, template, lambda database: onewindow(place, database)),
            "debezium": lambda: _fresh(place, template, lambda database: Debezium.open(place, database, best, sink)),
        }
        for number in range(1, runs + 1):
            for name, side in sides.items():
                spent: list[float] = []
                figure = place.figure(
                    f"source -> topic, {name}", partial(_snapshot, place, side, size.rows, spent), _ROWS
                )
                found.snapshots[name].append(figure)
                found.server_us[name].append(figure._replace(value=spent[0] * 1e6 / size.rows))
            for name, side in sides.items():
                with side() as made, watched(made.pids, found.memory, f"{name}, run {number}"):
                    _whole_way(place, made, size, found)
    return _told(found, size, {str(how): figures for how, figures in swept.items()}, best, sink)


def _swept(place: Place, size: Size, how: SourceSettings, sink: SinkSettings) -> dict[str, Any]:
    """Latency of Debezium at 200 changes/s under these settings, on a small table."""
    few = 2_000
    database = place.new_database()
    with place.database(database) as connection:
        people.fill(connection, people.TABLE, range(few))
    with Debezium.open(place, database, how, sink) as side:
        side.await_changes()
        side.read()
        with place.database(side.target) as view:
            until_filled(view, side.table, few, alive=side.check)
        figures = Latencies(place, side, few).measure(200, size.sweep_s)
    place.drop_database(database)
    return figures


def _snapshot(place: Place, opened: _Open, rows: int, spent: list[float]) -> float:
    """The table into its topic; the rate from the first events that show to the last. ``spent`` gets the seconds of CPU
    that it cost the source's server, from before the login to the last event."""
    with opened() as side:
        before = _server_cpu_s(place)
        side.read()
        began, first, first_at = time.monotonic(), 0, 0.0
        ends = _ends(place.kafka.bootstrap, side.topic)
        try:
            while (there := next(ends)) < rows:
                side.check()
                if there and not first:
                    first, first_at = there, time.monotonic()
                if time.monotonic() - began > 300:
                    raise TimeoutError(f"{there:,} of {rows:,} events are in the topic after 300 s")
                time.sleep(0.05)
            ended = time.monotonic()
            spent.append(_server_cpu_s(place) - before)
        finally:
            ends.close()
    return (rows - first) / (ended - first_at)


def _server_cpu_s(place: Place) -> float:
    """What the server and all that it started have used so far, also those that have ended."""
    server = psutil.Process(place.postgres_process.pid)
    spent = float(sum(server.cpu_times()[:4]))
    for child in server.children():
        with suppress(psutil.NoSuchProcess):
            spent += float(sum(child.cpu_times()[:2]))
    return spent


def _ends(bootstrap: str, topic: str) -> Generator[int, None, None]:
    """How many events the topic holds, asked again each time."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "benchmarks", "log_level": 0})
    try:
        while True:
            try:
                known = consumer.list_topics(topic, timeout=10).topics[topic]
                places = [TopicPartition(topic, number) for number in known.partitions]
                yield sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
            except KafkaException:  # just made: it has no leader yet
                yield 0
    finally:
        consumer.close()


def _whole_way(place: Place, side: Side, size: Size, found: _Found) -> None:
    """Full load, then changes: on a quiet source, on a busy one, and while another table is loaded."""
    side.await_changes()

    def load() -> float:
        side.read()
        with place.database(side.target) as view:
            return until_filled(view, side.table, size.rows, alive=side.check)

    found.loads[side.name].append(place.figure(f"source -> view, {side.name}", load, _ROWS))
    latencies, told = Latencies(place, side, size.rows), found.latencies
    for kind, rate, seconds in (("200/s", 200, size.at_200_s), ("1000/s", 1_000, size.at_1000_s)):
        _note(told, kind, side, latencies.measure(rate, seconds), place)
    side.read_another()
    with place.database(side.target) as view:
        before = side.loaded(view)
        figures = latencies.measure(200, size.loading_s)
        figures |= {"other_rows_before": before, "other_rows_after": side.loaded(view)}
    _note(told, "200/s while another table is loaded", side, figures, place)


def _note(told: dict[str, Any], kind: str, side: Side, figures: dict[str, Any], place: Place) -> None:
    figures = {**figures, "calibration_s": round(place.calibrate(), 3)}
    told[kind][side.name].append(figures)
    say(f"  commit -> view at {kind}, {side.name}: p50 {figures['p50']}, p95 {figures['p95']}, p99 {figures['p99']} ms "
        f"(reached {figures['rate']}/s, calibration {figures['calibration_s']} s)")  # fmt: skip


def _told(found: _Found, size: Size, swept: dict[str, Any], best: SourceSettings, sink: SinkSettings) -> dict[str, Any]:
    def rates(figures: dict[str, list[Figure]], unit: str = _ROWS) -> dict[str, Any]:
        return {name: spread_of(each, unit) for name, each in figures.items()}

    def over(figures: dict[str, list[Figure]]) -> dict[str, Any]:
        return spread(ratios(figures["onewindow"], figures["debezium"]))

    return {
        "figures": {
            "source_to_topic": rates(found.snapshots),
            "source_load": rates(found.server_us, "µs of CPU a row"),
            "source_to_view": rates(found.loads),
        },
        "ratios": {
            "source_to_view_vs_debezium": over(found.loads),
            "source_snapshot_vs_debezium": over(found.snapshots),
        },
        "latency": {kind: {name: _latency(each) for name, each in sides.items()} for kind, sides in found.latencies.items()},
        "memory": found.memory,
        "sweeps": {"source": swept},
        "settings": {"source_to_view": {**size._asdict(), "columns": len(people.COLUMNS), "source": str(best), "sink": str(sink)}},
    }  # fmt: skip


def _latency(runs: list[dict[str, Any]]) -> dict[str, Any]:
    percentile = {part: spread([run[part] for run in runs], 1) for part in ("p50", "p95", "p99")}
    return {**percentile, "runs": runs}
