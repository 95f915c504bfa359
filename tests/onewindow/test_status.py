"""Status says what is so: from a real broker, the store of streams, and what the roles say in their run files."""

from __future__ import annotations

import json
import socket
import time
import uuid

import pytest

from connectors.base import Question
from contracts.errors import catalogue
from contracts.sources import department_topic
from onewindow.run_files import RunFile
from onewindow.settings import Deployment
from onewindow.status import Watcher
from producers.positions import Saved, saved_record
from producers.publisher import Publisher, Record
from producers.topics import POSITIONS, TopicSpec, ensure_topics
from projections.databases import open_view
from streams.store import Halt, Post, Store

SOURCE = """
system: {system}
title: 人社
owner: 信息中心
connector: {{kind: sql, url: "sqlite:///hrss.db"}}
datasets:
  person: {{table: ac01, key: [aac001], cursor: updated_at, fresh_s: 60, map: {{name: aac003}}}}
"""
ROLES = ("broker", "connectors", "streams", "projections")


class City:
    """A deployment with one dataset, its topic on a real broker, and run files written by this process."""

    def __init__(self, directory, bootstrap):
        self.system = f"s{uuid.uuid4().hex[:8]}"
        self.residents = f"community-{self.system}"  # its own: others write to the one that all share
        (directory / "sources").mkdir()
        (directory / "onewindow.yaml").write_text(f"kafka: {{bootstrap_servers: '{bootstrap}', partitions: 1}}\n")
        (directory / "sources" / "s.yaml").write_text(SOURCE.format(system=self.system), encoding="utf-8")
        self.directory, self.bootstrap, self.topic = directory, bootstrap, department_topic(self.system, "person")
        self.said = {
            "system": self.system, "dataset": "person", "state": "live", "code": None, "text": None, "fix": None,
            "epoch": 1, "rows": None, "total": None, "rate": 0.0, "looked_at": time.time(), "saved_at": time.time(),
            "snapshot_done": True, "published": 0, "again": 0, "duplicates": 0, "stale": 0, "asks": [], "notes": [],
        }  # fmt: skip
        self._files: list[RunFile] = []

    def topics(self):
        ensure_topics(self.bootstrap, [TopicSpec(self.topic, 1), TopicSpec(self.residents, 1), POSITIONS])

    def publish(self, count):
        publisher = Publisher(self.bootstrap, "test")
        publisher.publish(self.topic, [Record(b"k", b"{}", (), 0)] * count)
        publisher.flush()
        publisher.close()

    def decide(self, **counts):
        self.decide_more(0, **counts)

    def decide_more(self, first, **counts):
        store = Store(open_view(f"sqlite:///{self.directory}/streams.sqlite"))
        store.prepare("cluster", {})
        with store.engine.begin() as connection:
            store.advance(connection, self.topic, {0: first + sum(counts.values())})
            store.count(connection, self.topic, {0: counts})
        store.engine.dispose()

    def up(self, roles=ROLES, **broker):
        for role in roles:
            tell = {"connectors": lambda: {"datasets": [self.said]}, "broker": lambda: broker}.get(role, dict)
            self._files.append(RunFile(self.directory, role, tell))
            self._files[-1].ready()

    def look(self):
        watcher = Watcher(Deployment(self.directory))
        try:
            return watcher.look()
        finally:
            watcher.close()

    def stop(self):
        for file in self._files:
            file.stop()


@pytest.fixture
def city(tmp_path, broker, monkeypatch):
    city = City(tmp_path, broker.bootstrap)
    monkeypatch.setattr("onewindow.status.RESIDENT_TOPIC", city.residents)
    yield city
    city.stop()


def codes(found):
    for problem in found["problems"]:
        assert set(problem) == {"where", "code", "finding", "fix"}
        assert problem["code"] in catalogue()
        assert problem["fix"]
    return [problem["code"] for problem in found["problems"]]


def test_to_look_makes_nothing(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        city = City(tmp_path, f"127.0.0.1:{probe.getsockname()[1]}")
    before = sorted(tmp_path.rglob("*"))
    found = city.look()
    assert sorted(tmp_path.rglob("*")) == before
    assert codes(found) == ["OW-1605"]  # that nothing runs says all: the broker is one of them
    assert found["sources"][0]["state"] == "down"


def test_at_rest_it_is_healthy(city):
    city.topics()
    city.publish(5)
    city.said |= {"published": 5, "duplicates": 2}
    city.decide(accepted=4, quarantined=1)
    city.up()
    found = city.look()
    assert (found["state"], found["healthy"], codes(found)) == ("healthy", True, [])
    source = found["sources"][0]
    assert (source["read"], source["accepted"], source["duplicate"], source["pending"]) == (7, 4, 2, 0)
    assert source["balanced"] is True


def test_a_broker_that_is_away_makes_nothing_zero(city):
    city.decide(accepted=5)
    city.up(roles=ROLES[1:])
    (city.directory / "onewindow.yaml").write_text("kafka: {bootstrap_servers: '127.0.0.1:1', embedded: false}\n")
    found = city.look()
    assert codes(found) == ["OW-1301"]
    source = found["sources"][0]
    assert (source["read"], source["pending"], source["balanced"], source["accepted"]) == (None, None, None, 5)
    assert found["view_behind_events"] is None


def test_an_open_question_is_not_healthy(city):
    city.topics()
    city.publish(5)
    city.decide(accepted=5)
    ask = Question("OW-1207", "350 of 498 records are absent", "look at the dump")
    city.said |= {"published": 5, "asks": [{"code": ask.code, "finding": ask.finding, "fix": ask.fix}]}
    city.up()
    found = city.look()
    assert (found["healthy"], found["state"], found["sources"][0]["state"]) == (False, "needs attention", "asks")
    assert codes(found) == ["OW-1207"]


def test_a_lost_event_shows_though_streams_decided_all_that_it_saw(city):
    city.topics()
    city.publish(4)
    city.said |= {"published": 5}
    city.decide(accepted=4)
    city.up()
    found = city.look()
    assert codes(found) == ["OW-1307"]
    assert (found["sources"][0]["pending"], found["sources"][0]["balanced"]) == (1, False)


def test_without_the_connectors_their_saved_books_are_read(city):
    city.topics()
    city.publish(3)
    publisher = Publisher(city.bootstrap, "test")
    publisher.publish(POSITIONS.name, [saved_record(city.system, "person", Saved(epoch=1, published=4))])
    publisher.flush()
    publisher.close()
    city.decide(accepted=3)
    city.up(roles=("broker", "streams", "projections"))
    found = city.look()
    assert codes(found) == ["OW-1605", "OW-1307"]
    assert found["sources"][0]["read"] == 4


def test_a_dataset_that_keeps_up_is_live_though_something_is_under_way(city):
    city.topics()
    city.publish(10)
    city.said |= {"published": 10}
    city.decide(accepted=4)
    city.up()
    watcher = Watcher(Deployment(city.directory))
    assert watcher.look()["state"] == "catching up"
    city.publish(2)
    city.decide_more(4, accepted=6)
    assert watcher.look()["state"] == "healthy"  # two are under way, and what waited before is decided
    assert watcher.look()["state"] == "catching up"  # now the two have waited
    watcher.close()


def test_a_source_that_is_not_read_is_silent(city):
    city.topics()
    city.said |= {"looked_at": time.time() - 1_000, "saved_at": time.time() - 1_000}
    city.decide()
    city.up()
    found = city.look()
    assert (found["sources"][0]["state"], found["state"], codes(found)) == ("silent", "needs attention", ["OW-1212"])


@pytest.mark.parametrize(("state", "word"), [("starting", "starting"), ("loading", "loading")])
def test_what_passes_by_itself_needs_nobody(city, state, word):
    city.topics()
    city.said |= {"state": state, "snapshot_done": False, "looked_at": None}
    city.decide()
    city.up()
    found = city.look()
    assert (found["state"], found["healthy"], codes(found)) == (word, False, [])
    assert found["sources"][0]["balanced"] is None


def test_progress_and_rate_come_from_the_books(city):
    city.topics()
    city.publish(40)
    city.said |= {"state": "loading", "snapshot_done": False, "published": 30, "rows": 40, "total": 100, "rate": 12.0}
    city.decide(accepted=20)
    city.up()
    watcher = Watcher(Deployment(city.directory))
    first = watcher.look()["sources"][0]
    assert (first["progress"], first["rate"]) == (
        0.2,
        12.0,
    )  # at the first look the connectors' own rate is all there is
    assert watcher.look()["sources"][0]["rate"] == 0.0  # nothing was decided between the two
    watcher.close()


def test_a_damaged_log_is_shown(city):
    city.topics()
    city.decide()
    city.up(damaged={"department.hrss.person-0": "00000000.log is damaged at byte 77"})
    found = city.look()
    assert codes(found) == ["OW-1306"]
    assert "byte 77" in found["problems"][0]["finding"]


def test_a_role_that_stands_still_is_stalled(city):
    city.topics()
    city.up()
    path = city.directory / "run" / "streams.json"
    city._files[2].stop()
    about = json.loads(path.read_text()) | {"state": "ready", "written_at": time.time() - 4}
    path.write_text(json.dumps(about))
    found = city.look()
    assert {role["role"]: role["state"] for role in found["roles"]}["streams"] == "stalled"
    assert [each["code"] for each in found["problems"] if each["where"] == "streams"] == ["OW-1601"]
    assert not found["healthy"]


def test_a_view_that_stands_still_is_not_healthy(city, monkeypatch):
    city.topics()
    city.decide()
    city.up()
    publisher = Publisher(city.bootstrap, "test")
    publisher.publish(city.residents, [Record(b"k", b"{}", (), 0)] * 3)
    publisher.flush()
    publisher.close()
    watcher = Watcher(Deployment(city.directory))
    looks = [watcher.look() for _ in range(2)]
    assert [(each["state"], each["view_behind_events"], codes(each)) for each in looks] == [("catching up", 3, [])] * 2
    monkeypatch.setattr("onewindow.status._STANDS_STILL_S", 0.0)
    found = watcher.look()
    assert (found["state"], codes(found)) == ("needs attention", ["OW-1601"])
    assert "3 events wait" in found["problems"][0]["finding"]
    watcher.close()


def test_an_outbox_row_that_waits_at_two_looks_is_not_healthy(city):
    city.topics()
    city.decide()
    city.up()
    store = Store(open_view(f"sqlite:///{city.directory}/streams.sqlite"))
    with store.engine.begin() as connection:
        store.post(connection, city.topic, [Post(0, b"", {})])
    watcher = Watcher(Deployment(city.directory))
    assert [watcher.look()["state"] for _ in range(2)] == ["catching up"] * 2
    with store.engine.begin() as connection:
        store.post(connection, city.topic, [Post(0, b"", {})])
    store.sent([1])
    assert watcher.look()["state"] == "healthy"  # another row waits now than before
    store.sent([2])
    assert watcher.look()["state"] == "healthy"
    watcher.close()
    store.engine.dispose()


def paused(city):
    store = Store(open_view(f"sqlite:///{city.directory}/streams.sqlite"))
    store.halt(city.topic, Halt("月末结算", "wang", "2026-11-28T08:00:00+00:00"))
    return store


def test_a_dataset_that_a_person_has_paused_says_by_whom_and_why(city):
    city.topics()
    city.decide()
    store = paused(city)
    city.up()
    found = city.look()
    assert (found["sources"][0]["state"], codes(found)) == ("live", ["OW-1213"])  # it was not heeded yet
    city.said |= {"state": "paused", "looked_at": time.time() - 1_000, "saved_at": time.time() - 1_000}
    for file in city._files:
        file.write()
    found = city.look()
    source = found["sources"][0]
    assert (source["state"], source["healthy"], found["state"], codes(found)) == (
        "paused", False, "needs attention", ["OW-1213"],
    )  # fmt: skip
    assert source["paused"] == {"reason": "月末结算", "by": "wang", "since": "2026-11-28T08:00:00+00:00"}
    (problem,) = found["problems"]
    assert "wang since 2026-11-28T08:00:00+00:00: 月末结算" in problem["finding"]
    assert problem["fix"].endswith(f"onewindow source resume {city.system}.person")
    store.end_halt(city.topic)
    store.engine.dispose()
    found = city.look()
    assert (found["sources"][0]["state"], found["sources"][0]["paused"], codes(found)) == ("starting", None, [])


def test_a_dataset_is_paused_also_while_its_role_is_down(city):
    city.topics()
    city.decide()
    paused(city).engine.dispose()
    city.up(roles=("broker", "streams", "projections"))
    found = city.look()
    assert found["sources"][0]["state"] == "paused"
    assert codes(found) == ["OW-1605", "OW-1213"]


def test_a_partition_whose_books_do_not_balance_is_named(city):
    city.topics()
    city.publish(5)
    city.said |= {"published": 5}
    city.decide(accepted=5)
    city.up()
    assert city.look()["sources"][0]["unbalanced"] == []
    store = Store(open_view(f"sqlite:///{city.directory}/streams.sqlite"))
    with store.engine.begin() as connection:
        store.count(connection, city.topic, {0: {"accepted": -1}})
    store.engine.dispose()
    found = city.look()
    assert codes(found) == ["OW-1410"]
    assert found["sources"][0]["unbalanced"] == [
        {"partition": 0, "in_topic": 5, "taken": 5, "counted": 4, "missing": 0}
    ]
