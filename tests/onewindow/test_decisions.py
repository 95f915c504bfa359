"""``verify --from department`` and ``remap`` on a real broker: what is proven, and that what differs is found."""

from __future__ import annotations

import json
import uuid

import pytest
import sqlalchemy as sa
from services import broker_process

from contracts.changes import FastChange, FastSource, encode
from contracts.errors import DatasetUnknown, KeyDiffers
from contracts.events import RESIDENT_TOPIC
from contracts.sources import department_topic, quarantine_topic
from onewindow import decisions, deployment_key
from onewindow.decisions import verify_decisions
from onewindow.events_log import EventsLog, identity
from onewindow.remapping import remap
from onewindow.settings import Deployment
from producers.publisher import Publisher, Record
from producers.topics import TopicSpec, ensure_topics
from projections.databases import open_view, writing
from streams import store as tables
from streams.intake import Intake
from streams.records import incoming
from streams.standing import unpack
from streams.store import Store

SOURCE = """
system: {system}
title: 人社
owner: 信息中心
connector: {{kind: sql, url: "sqlite:///hrss.db"}}
datasets:
  person:
    table: ac01
    key: [nr]
    cursor: updated_at
    refuse_limit: 1.0
    map:
      name: {{column: name, required: true}}
      care_level: {{column: care, codes: {codes}}}
"""
OLD, NEW = '{"1": independent, "2": partial}', '{"1": independent, "2": full, "3": partial}'
SECRET_NAME = "王小芳"


class City:
    """A deployment with one dataset, streams done by hand."""

    def __init__(self, directory, bootstrap, url):
        self.system, self.directory = f"s{uuid.uuid4().hex[:8]}", directory
        (directory / "sources").mkdir()
        (directory / "onewindow.yaml").write_text(
            f"kafka: {{bootstrap_servers: '{bootstrap}', partitions: 1}}\nstreams: {{url: '{url}'}}\n"
        )
        (directory / "secret.key").write_text("ab" * 32)
        self.map(OLD)
        self.topic, self.name = department_topic(self.system, "person"), f"{self.system}.person"
        specs = [TopicSpec(name, 1) for name in (self.topic, quarantine_topic(self.system, "person"))]
        ensure_topics(bootstrap, [*specs, TopicSpec(RESIDENT_TOPIC, 1)])
        self.store = Store(open_view(self.deployment.streams_url))
        deployment_key.confirm(self.store.engine, self.deployment.hasher)
        about = identity(bootstrap, [self.topic])
        self.store.prepare(about.cluster_id, about.topic_ids)
        self.log = EventsLog(bootstrap, [self.topic])
        self._publisher, self._position = Publisher(bootstrap, "test"), 0
        self.worker = self.intake()
        self.worker.adopt()

    def map(self, codes):
        path = self.directory / "sources" / "s.yaml"
        path.write_text(SOURCE.format(system=self.system, codes=codes), encoding="utf-8")

    @property
    def deployment(self):
        return Deployment(self.directory)

    def intake(self):
        (source,) = self.deployment.sources
        hasher = self.deployment.hasher
        declared = source.datasets["person"]
        return Intake(
            self.store, self.system, "person", declared, owner_on=lambda _: "人社", hasher=hasher, partitions=1
        )

    def change(self, no, care="1", name=SECRET_NAME):
        self._position += 1
        source = FastSource(self.system, "person", 1, self._position, 0)
        value = encode(FastChange("upsert", {"nr": no, "name": name, "care": care}, source))
        key = self.deployment.hasher.record(self.system, "person", no).encode()
        self._publisher.publish(self.topic, [Record(key, value, (("ce_id", b"e%d" % self._position),), 0)])
        self._publisher.flush()

    def decide(self):
        at, end = self.store.positions().get((self.topic, 0), 0), self.log.ends()[self.topic, 0]
        for first, _, records in self.log.records(self.topic, 0, at, end):
            self.worker.take(0, first, [incoming(record) for record in records])

    def relay(self):
        for number, events in self.store.unsent(0, 100):
            for each in unpack(events):
                headers = (("ce_source", each.origin.encode()), ("ce_sequence", b"%d" % each.number))
                record = Record(each.key.encode(), each.value, headers, each.partition)
                self._publisher.publish(each.topic, [record])
            self._publisher.flush()
            self.store.sent([number])

    def settle(self):
        self.decide()
        self.relay()

    def close(self):
        self.log.close()
        self._publisher.close()
        self.store.engine.dispose()


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory):
    """Not that of the whole run: others look at how far its resident topic is followed."""
    with broker_process(tmp_path_factory.mktemp("broker") / "data") as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def city(request, own_broker, tmp_path):
    url = "sqlite:///streams.sqlite"
    if request.param == "postgresql":
        postgres = request.getfixturevalue("postgres")
        url = postgres.url(postgres.new_database())
    made = City(tmp_path, own_broker.bootstrap, url)
    for number, care in enumerate("1122"):
        made.change(str(number), care)
    made.change("bad", "3")
    yield made
    made.close()


def unequal(found):
    return [name for name, about in found["tables"].items() if not about["equal"]]


def test_what_was_decided_is_what_the_topics_say_whether_it_was_published_or_not(city):
    city.decide()
    waiting = verify_decisions(city.deployment)
    city.relay()
    found = verify_decisions(city.deployment)
    assert found == waiting
    assert found["equal"] is True
    assert {name: about["rows"] for name, about in found["tables"].items()} == {
        "assertion": 4, "record": 5, "quarantine": 1, "books": 1,
    }  # fmt: skip
    assert (found["events"], found["fix"], found["mappings"][city.name]["whole"]) == (5, [], True)


def test_what_comes_after_the_cut_is_left_out(city, monkeypatch):
    """Streams goes on while the proof is made: with the log, and with the outbox."""
    city.settle()
    before = verify_decisions(city.deployment)
    hear = decisions._hear

    def hear_later(*arguments):
        city.change("0", "2")
        city.change("9", "1")
        city.settle()
        city.change("1", "2")
        city.decide()
        hear(*arguments)

    monkeypatch.setattr(decisions, "_hear", hear_later)
    assert verify_decisions(city.deployment) == before


def altered(city, table, **values):
    with writing(city.store.engine) as connection:
        connection.execute(sa.update(table).values(**values))


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (tables.record, {"owner": "somebody else"}),
        (tables.record, {"version": "a later one"}),
        (tables.quarantine, {"reason": "name_empty"}),
        (tables.books, {"accepted": 5}),
    ],
)
def test_a_store_that_was_changed_is_found_by_key_and_column_without_values(city, table, values):
    city.settle()
    altered(city, table, **values)
    found = verify_decisions(city.deployment)
    assert (found["equal"], unequal(found)) == (False, [table.name])
    assert {tuple(each["columns"]) for each in found["differences"]} == {tuple(values)}
    assert all(each["key"][:2] == [city.system, "person"] for each in found["differences"])
    assert not any(str(value) in json.dumps(found["differences"]) for value in values.values() if value != 5)


def test_a_quarantine_that_was_emptied_is_found(city):
    city.settle()
    altered(city, tables.quarantine, mended=True)
    found = verify_decisions(city.deployment)
    (difference,) = found["differences"]
    assert (unequal(found), difference["columns"]) == (["quarantine"], [])


def test_an_event_that_is_missing_from_the_log_is_found(city):
    city.decide()
    with writing(city.store.engine) as connection:
        connection.execute(sa.delete(tables.outbox))
    found = verify_decisions(city.deployment)
    assert (found["equal"], unequal(found)) == (False, ["assertion"])
    assert len(found["differences"]) == 4


def test_a_changed_mapping_is_not_equal_until_the_remap(city):
    city.settle()
    city.map(NEW)
    found = verify_decisions(city.deployment)
    assert (found["equal"], found["fix"]) == (False, [f"onewindow remap {city.name}"])
    assert unequal(found) == ["assertion", "record", "quarantine", "books"]
    assert ["fields.care_level"] in [each["columns"] for each in found["differences"]]
    assert SECRET_NAME not in json.dumps(found, ensure_ascii=False)
    about = found["mappings"][city.name]
    assert about["declared"] != about["in_force"]

    done = remap(city.deployment, city.name)
    counts = {
        name: done[name] for name in ("read", "same", "superseded", "asserted", "retracted", "released", "refused")
    }
    assert counts == {
        "read": 5, "same": 2, "superseded": 2, "asserted": 1, "retracted": 0, "released": 1, "refused": 0,
    }  # fmt: skip
    assert (done["mapping"], done["waiting"]) == (about["declared"], 1)
    assert verify_decisions(city.deployment)["equal"] is True
    city.relay()
    city.change("new", "3")
    city.settle()
    found = verify_decisions(city.deployment)
    assert (found["equal"], found["mappings"][city.name]["whole"]) == (True, True)
    again = remap(city.deployment, city.name)
    assert (again["same"], again["waiting"]) == (6, 0)
    assert sum(again[name] for name in ("superseded", "asserted", "retracted", "released", "refused")) == 0
    assert not list((city.directory / "run" / "remap").iterdir())


def test_what_an_earlier_try_left_behind_is_used_or_thrown_away(city):
    city.settle()
    city.map(NEW)
    remap(city.deployment, city.name)
    above = city.directory / "run" / "remap"
    (above / f"{city.name}.of-another-mapping").mkdir()
    damaged = above / f"{city.name}.{city.worker.meaning}"
    damaged.mkdir()
    (damaged / "decided.sqlite").write_text("no database " * 100)
    city.map(OLD)
    done = remap(city.deployment, city.name)
    assert (done["mapping"], done["superseded"], done["refused"]) == (city.intake().meaning, 2, 1)
    assert not list(above.iterdir())


def test_no_remap_under_another_key_or_of_what_is_not_declared(city):
    city.settle()
    with pytest.raises(DatasetUnknown, match="nobody"):
        remap(city.deployment, f"{city.system}.nobody")
    (city.directory / "secret.key").write_text("cd" * 32)
    with pytest.raises(KeyDiffers):
        remap(city.deployment, city.name)
    assert city.store.unsent(0, 10) == []
