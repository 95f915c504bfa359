"""A person pauses datasets and lets them go on, through the store that the connectors look into."""

from __future__ import annotations

import getpass
import threading
import uuid

import pytest
import sqlalchemy as sa

from contracts.errors import DatasetUnknown, ViewMissing
from contracts.sources import department_topic
from onewindow import sources
from onewindow.readers import Readers
from onewindow.settings import Deployment
from projections.databases import open_view
from streams import store as tables
from streams.store import Halt, Store, halts

SOURCE = """
system: {system}
title: 人社
owner: 信息中心
connector: {{kind: sql, url: "sqlite:///hrss.db"}}
datasets:
  person: {{table: ac01, key: [aac001], map: {{name: aac003}}}}
  pension: {{table: ac20, key: [aac001], map: {{name: aac003}}}}
"""


@pytest.fixture
def deployment(tmp_path, broker):
    (tmp_path / "sources").mkdir()
    (tmp_path / "onewindow.yaml").write_text(f"kafka: {{bootstrap_servers: '{broker.bootstrap}', partitions: 1}}\n")
    (tmp_path / "secret.key").write_text("ab" * 32)
    system = f"s{uuid.uuid4().hex[:8]}"
    (tmp_path / "sources" / "s.yaml").write_text(SOURCE.format(system=system), encoding="utf-8")
    return Deployment(tmp_path)


@pytest.fixture
def store(deployment):
    store = Store(open_view(deployment.streams_url))
    store.prepare("cluster", {})
    yield store
    store.engine.dispose()


def halted(store):
    with store.engine.connect() as connection:
        return halts(connection)


def test_a_system_or_one_dataset_of_it(deployment, store):
    (source,) = deployment.sources
    person, pension = (department_topic(source.system, name) for name in ("person", "pension"))
    found = sources.pause(deployment, f"{source.system}.pension", None, "月末结算")
    (each,) = found["datasets"]
    assert (each["dataset"], each["was_paused"], each["by"]) == (f"{source.system}.pension", False, getpass.getuser())
    assert set(halted(store)) == {pension}
    found = sources.pause(deployment, source.system, None, "搬迁")
    assert [(each["was_paused"], each["reason"]) for each in found["datasets"]] == [(False, "搬迁"), (True, "月末结算")]
    assert {topic: each.reason for topic, each in halted(store).items()} == {person: "搬迁", pension: "月末结算"}
    found = sources.resume(deployment, source.system, "person")
    assert (found["was_paused"], found["resumed"]) == (True, [f"{source.system}.person"])
    assert set(halted(store)) == {pension}
    assert sources.resume(deployment, source.system)["resumed"] == [f"{source.system}.pension"]
    assert sources.resume(deployment, source.system)["was_paused"] is False


def test_a_whole_system_does_not_go_on_where_it_was_found_sick(deployment, store):
    """What is held back of such a one goes to quarantine: that is wished for each by its name."""
    (source,) = deployment.sources
    name, topic = f"{source.system}.pension", department_topic(source.system, "pension")
    store.set_pause(topic, "m", "41 of 100 are refused")
    sources.pause(deployment, source.system, None, "搬迁")
    found = sources.resume(deployment, source.system)
    assert (found["resumed"], found["still_paused"]) == ([f"{source.system}.person"], [name])
    assert set(store.pauses()) == {topic}
    assert sources.resume(deployment, name)["resumed"] == [name]
    assert store.pauses() == {}


def test_what_is_not_declared_or_not_there_is_said(deployment, store):
    (source,) = deployment.sources
    for name, dataset in (("nobody", None), (source.system, "nobody"), (f"{source.system}.person", "pension")):
        with pytest.raises(DatasetUnknown):
            sources.pause(deployment, name, dataset, "x")
    assert halted(store) == {}


def test_before_streams_has_made_its_store_there_is_nothing_to_pause(deployment):
    with pytest.raises(ViewMissing):
        sources.pause(deployment, deployment.sources[0].system, None, "x")


def test_a_store_of_before_gets_the_table_with_the_first_pause(deployment, store):
    tables.halt.drop(store.engine)
    assert halted(store) == {}
    sources.pause(deployment, deployment.sources[0].system, "person", "x")
    assert len(halted(store)) == 1


def test_the_connectors_know_what_is_paused_before_they_read(deployment, store, monkeypatch):
    """A pause survives restarts: it is heeded at the start, and as it comes and goes."""
    (source,) = deployment.sources
    person = department_topic(source.system, "person")
    store.halt(person, Halt("搬迁", "wang", "2026-11-28"))
    begun, stop = {}, threading.Event()
    monkeypatch.setattr("onewindow.readers._LOOK_S", 0.05)
    monkeypatch.setattr(
        "onewindow.readers.DatasetProducer.run", lambda self, _: begun.update({self.dataset: self._halted.is_set()})
    )
    readers = Readers(deployment, store.engine, prepare=lambda _: None)
    seen = threading.Event()

    def ready():
        store.end_halt(person)
        store.halt(department_topic(source.system, "pension"), Halt("x", "wang", "2026-11-28"))
        threading.Thread(target=changed).start()

    def changed():
        while {each.dataset: each._halted.is_set() for each in readers._producers} != {
            "person": False,
            "pension": True,
        }:
            if stop.wait(0.02):
                return
        seen.set()
        stop.set()

    timer = threading.Timer(20, stop.set)
    timer.start()
    readers.run(stop, ready)
    timer.cancel()
    assert begun == {"person": True, "pension": False}
    assert seen.is_set()


def test_a_store_that_is_away_at_the_start_is_waited_for_before_anything_is_read(deployment, tmp_path, monkeypatch):
    stop, said = threading.Event(), []
    monkeypatch.setattr("onewindow.readers._LOOK_S", 0.05)
    monkeypatch.setattr("onewindow.readers.DatasetProducer.run", lambda self, _: said.append(self.dataset))
    away = sa.create_engine(f"sqlite:///{tmp_path}/no/such/directory/streams.sqlite")
    readers = Readers(deployment, away, prepare=lambda _: None)
    threading.Timer(0.5, stop.set).start()
    readers.run(stop, lambda: said.append("ready"))
    assert said == []
