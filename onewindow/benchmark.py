"""``onewindow bench``: produce, intake, projection and the whole way, with records of the sample city."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.resources import files
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import yaml

from connectors import Page, Upsert
from contracts.divisions import division_code
from contracts.identity import Hasher
from contracts.sources import Source, department_topic
from examples.city.records import INSURED
from examples.city.registers import at_first
from onewindow.cluster import FOREVER
from onewindow.demo import once
from onewindow.roles import quiet_collector
from onewindow.supervisor import Supervisor
from producers.events import EventWriter
from producers.publisher import Publisher
from producers.topics import TopicSpec, ensure_topics
from projections.bench import calibration
from projections.bench import measure as measure_projection
from projections.databases import open_view
from streams.intake import Incoming, Intake
from streams.roles import DECIDED, FOLDED
from streams.store import Store

_PARTITIONS, _PAGE = 4, 2_000
_WARM, _RUNS = 200, 3
_HASHER = Hasher(b"a benchmark's own secret")


class _Figure(NamedTuple):
    """``rate``: records a second, while the calibration loop took ``calibration_s``."""

    rate: float
    calibration_s: float

    @property
    def scaled(self) -> float:
        """What the rate comes to where the loop takes half a second."""
        return self.rate * self.calibration_s / 0.5


def _beside(part: Callable[[], float]) -> _Figure:
    """One measurement, with the calibration beside it: these machines change speed within seconds."""
    before = calibration()
    rate = part()
    return _Figure(rate, (before + calibration()) / 2)


def _apart(part: Callable[[int], float], records: int) -> _Figure:
    """One measurement in this process, set up as a role's is."""
    quiet_collector()
    return _beside(partial(part, records))


def _median(part: Callable[[int], float], records: int) -> _Figure:
    """Of several measurements, each in a process of its own, the one in the middle, by what they come to at one speed."""
    found = []
    for _ in range(_RUNS):
        with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
            found.append(process.submit(_apart, part, records).result())
    return sorted(found, key=lambda figure: figure.scaled)[_RUNS // 2]


def measure(records: int, step: Callable[[str], None]) -> dict[str, Any]:
    """Records a second of each part, on one core each, and of the whole way on this machine.

    ``at_half_a_second`` is what they come to where the calibration loop takes 0.5 s. ``end_to_end`` is from ready connectors
    until all is seen in the view; ``cold_start_s`` from nothing, departments to be built included, to a verified view.
    """
    step(f"{records:,} records through each part, {_RUNS} times, with a calibration before and after each")
    found = {name: _median(part, records) for name, part in _PARTS.items()}
    step("now the whole way: the sample city from its departments to the view")
    seconds: list[float] = []

    def whole_way() -> float:
        with tempfile.TemporaryDirectory(prefix="onewindow-bench-") as folder:
            Path(folder).chmod(0o755)
            city = once(Path(folder), residents=records, seed=1, changes=0, rate=1.0, show=lambda *_: None)
        seconds.append(city["seconds"])
        return float(city["load_records_per_s"])

    found["end_to_end"] = _beside(whole_way)
    return {
        "calibration_s": round(median(each.calibration_s for each in found.values()), 3),
        **{name: round(each.rate) for name, each in found.items()},
        "at_half_a_second": {name: round(each.scaled) for name, each in found.items()},
        "cold_start_s": seconds[0],
        "records": records,
        "unit": "records/s",
        "view": "sqlite",
    }


def _pages(records: int) -> Iterator[Page]:
    rows = iter(range(records))
    while chunk := list(islice(rows, _PAGE)):
        made = [record for number in chunk for record in at_first(1, number) if record.dataset == INSURED]
        yield Page([Upsert(record.key, record.row, at=record.key) for record in made], {})


def _events(records: int) -> list[Any]:
    """Change events of insured persons, as the connectors' side writes them."""
    writer = EventWriter("hrss", "insured_person", 1, _HASHER, _PARTITIONS)
    return [
        record
        for number, page in enumerate(_pages(records), 1)
        for record in writer.records(page, sequence=number, now="2026-11-01T00:00:00Z")
    ]


def _produce(records: int) -> float:
    """Into an embedded broker with fsync, until the last acknowledgement."""
    from examples.postgres import free_port

    events = _events(records)
    with tempfile.TemporaryDirectory(prefix="onewindow-bench-") as folder:
        directory, port = Path(folder), free_port()
        (directory / "sources").mkdir()
        (directory / "onewindow.yaml").write_text(f"kafka: {{bootstrap_servers: '127.0.0.1:{port}'}}\n")
        supervisor = Supervisor(directory, ["broker"])
        supervisor.start()
        try:
            while not supervisor.ready:
                supervisor.tend()
                time.sleep(0.05)
            topic = department_topic("hrss", "insured_person")
            ensure_topics(f"127.0.0.1:{port}", [TopicSpec(topic, _PARTITIONS, FOREVER)])
            publisher = Publisher(f"127.0.0.1:{port}", "bench")
            started = time.perf_counter()
            for start in range(0, len(events), _PAGE):
                publisher.publish(topic, events[start : start + _PAGE])
            publisher.flush()
            seconds = time.perf_counter() - started
            publisher.close()
        finally:
            supervisor.stop()
    return len(events) / seconds


def _intake(records: int) -> float:
    """Through mapping, validation, identity and the store, in transactions as large as a role's that is behind."""
    events = _events(records)
    text = (files("examples.city") / "sources" / "hrss.yaml").read_text(encoding="utf-8")
    source = Source(**yaml.safe_load(text))
    by_partition: dict[int, list[Incoming]] = {}
    for event in events:
        headers = dict(event.headers)
        place = by_partition.setdefault(event.partition, [])
        place.append(
            Incoming(
                len(place), event.key.decode(), headers["ce_id"].decode(), headers["ce_sequence"].decode(), event.value
            )
        )
    with tempfile.TemporaryDirectory(prefix="onewindow-bench-") as folder:
        store = Store(open_view(f"sqlite:///{folder}/streams.sqlite"))
        store.prepare("bench", {})
        intake = Intake(
            store, "hrss", "insured_person", source.datasets["insured_person"],
            owner_on=lambda _: "", hasher=_HASHER, partitions=_PARTITIONS,
        )  # fmt: skip
        division_code("370100")  # the table of divisions is read once, before the clock runs
        intake.take(0, 0, by_partition[0][:_WARM])  # compiles its statements
        started = time.perf_counter()
        for partition, items in by_partition.items():
            for start in range(_WARM if partition == 0 else 0, len(items), DECIDED):
                intake.take(partition, start, items[start : start + DECIDED])
        seconds = time.perf_counter() - started
        store.engine.dispose()
    return (len(events) - _WARM) / seconds


def _project(records: int) -> float:
    """Into the view, in transactions as large as a role's that is behind."""
    return measure_projection(records, batch=FOLDED)


_PARTS = {"produce": _produce, "intake": _intake, "project": _project}
