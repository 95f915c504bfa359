"""An exchange table and the producer: a flag is set when Kafka has the row, and never before; a kill in between costs nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter

import pytest
import sqlalchemy as sa
from test_producer import HASHER, Run, events, started, system  # noqa: F401  # started and system are fixtures
from test_publisher import read

from connectors.exchange import ExchangeConnector
from contracts.sources import Source, department_topic
from producers.positions import load
from projections.databases import open_view
from streams.intake import Intake
from streams.records import incoming
from streams.store import Store

ROWS = 40
CHILD = """
import json, os, signal, sys, threading
from connectors.exchange import ExchangeConnector
from contracts.identity import Hasher
from contracts.sources import Source
from producers.producer import DatasetProducer, Pace
from producers.publisher import Publisher

class Dies(ExchangeConnector):
    def confirm(self, dataset, position):
        os.kill(os.getpid(), signal.SIGKILL)

source, bootstrap = Source.model_validate_json(sys.argv[1]), sys.argv[2]
producer = DatasetProducer(Dies(source), source.system, "d", bootstrap=bootstrap, hasher=Hasher(b"0123456789abcdef"),
                           publisher=lambda: Publisher(bootstrap, "test"), pace=Pace(every_s=0.05))
producer.run(threading.Event())
"""


class Table:
    """An exchange table with some rows; of two of them the key is the same."""

    def __init__(self, path) -> None:
        self.url = f"sqlite:///{path}/qzk.db"
        self.engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        with self.engine.begin() as tx:
            tx.exec_driver_sql(
                "CREATE TABLE jh (xh INTEGER PRIMARY KEY, bh TEXT, xm TEXT, bz TEXT NOT NULL DEFAULT '0')"
            )
        self.put(*range(ROWS))

    def put(self, *numbers: int) -> None:
        with self.engine.begin() as tx:
            rows = [{"bh": f"p{number}", "xm": chr(0x4E00 + number) * 2} for number in numbers]
            tx.execute(sa.text("INSERT INTO jh (bh, xm) VALUES (:bh, :xm)"), rows)

    def flags(self) -> list[str]:
        with self.engine.connect() as connection:
            return list(connection.scalars(sa.text("SELECT bz FROM jh ORDER BY xh")))

    def source(self, system: str) -> Source:  # noqa: F811
        return Source.model_validate(
            {
                "system": system, "title": "", "owner": "",
                "connector": {"kind": "exchange", "url": self.url, "page_rows": 10},
                "datasets": {"d": {
                    "table": "jh", "key": ["bh"], "exchange": {"order": ["xh"], "flag": "bz"}, "map": {"name": "xm"},
                }},
            }
        )  # fmt: skip


@pytest.fixture
def table(tmp_path):
    made = Table(tmp_path)
    yield made
    made.engine.dispose()


def test_no_flag_is_set_before_its_row_and_the_position_are_acknowledged(broker, system, started, table, monkeypatch):  # noqa: F811
    monkeypatch.setattr("producers.producer.SAVE_EVERY_S", 0.0)
    go_on, held = threading.Event(), threading.Event()

    def hold(batches, go) -> None:
        if batches[0].topic.startswith("onewindow.") and any(b"given" in bytes(batch.data) for batch in batches):
            held.set()
            go_on.wait(20)
        go()

    run = started(ExchangeConnector(table.source(system)), send=hold, compression="none", deliver_s=30.0)
    assert held.wait(20), "the rows are in Kafka, and the position is on its way"
    assert set(table.flags()) == {"0"}
    go_on.set()
    run.until(lambda now: now.state == "live")
    run.end()
    assert set(table.flags()) == {"1"}
    assert load(broker.bootstrap)[f"{system}.d"].published == ROWS


def test_a_kill_between_acknowledgement_and_flag_costs_duplicates_and_nothing_else(broker, system, table):  # noqa: F811
    source = table.source(system)
    command = [sys.executable, "-c", CHILD, source.model_dump_json(), broker.bootstrap]
    done = subprocess.run(command, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    given = len(events(broker.bootstrap, system))
    assert given > 0, "the kill hit work"
    assert load(broker.bootstrap)[f"{system}.d"].position is not None
    assert set(table.flags()) == {"0"}
    table.put(0)  # the same person once more
    run = Run(broker.bootstrap, system, ExchangeConnector(source))
    run.until(lambda now: now.state == "live" and now.published >= given + ROWS + 1)
    run.end()
    assert set(table.flags()) == {"1"}
    found = events(broker.bootstrap, system)
    first, second = ([each for each in found if each[0].source.epoch == epoch] for epoch in (1, 2))
    assert {each[1]["ce_id"] for each in first} <= {each[1]["ce_id"] for each in second}, (
        "they are known by their identity"
    )
    assert decided(source, broker.bootstrap) == {"accepted": ROWS, "duplicate": given + 1}


def decided(source: Source, bootstrap: str) -> Counter[str]:
    """What streams makes of the events of a topic."""
    store = Store(open_view("sqlite://"))
    topic = department_topic(source.system, "d")
    store.prepare("cluster", {topic: "topic"})
    intake = Intake(store, source.system, "d", source.datasets["d"], owner_on=lambda _: "", hasher=HASHER, partitions=1)
    counts, offset = Counter[str](), 0
    for _, records in sorted(read(bootstrap, topic).items()):
        for record in records:
            counts += intake.take(0, offset, [incoming(record)._replace(offset=offset)]).counts
            offset += 1
    store.engine.dispose()
    return counts
