"""What was lost between a source and its topic is read again: seen by its numbers, asked for once, forgotten by nobody."""

from __future__ import annotations

import threading
import time
import uuid

import pytest
import sqlalchemy as sa
from kafka import KafkaConsumer, TopicPartition

from connectors.base import Page, Upsert
from contracts.identity import Hasher
from contracts.sources import DatasetSource, department_topic
from onewindow.events_log import EventsLog
from onewindow.lost import LostAndFound
from producers.positions import Wish
from producers.producer import DatasetProducer, Pace
from producers.progress import Progress
from producers.publisher import Publisher
from producers.topics import POSITIONS, TopicSpec, ensure_topics
from projections.databases import open_view
from streams.intake import Intake
from streams.numbers import Numbers
from streams.records import incoming
from streams.store import Store, record

PERSON = "department.hrss.person"
HASHER = Hasher(b"0123456789abcdef")


class Reader:
    def __init__(self, dataset, reading=1, numbers=()):
        self.system, self.dataset, self.asked, self.wishes = "hrss", dataset, 0, []
        self.progress = Progress("hrss", dataset, reading=reading, numbers=numbers)

    def reread(self):
        self.asked += 1

    def seek(self, wish):
        self.wishes.append(wish)


class Ends:
    """A log whose ends are given."""

    def __init__(self, ends):
        self._ends = ends

    def ends(self):
        return self._ends

    def close(self):
        """Nothing to let go of."""


@pytest.fixture
def store(tmp_path):
    store = Store(open_view(f"sqlite:///{tmp_path}/streams.sqlite"))
    yield store
    store.engine.dispose()


def note(store, partition, offset, **numbers):
    with store.engine.begin() as connection:
        store.note_arrivals(connection, PERSON, {partition: Numbers(**numbers)})
        store.advance(connection, PERSON, {partition: offset})


def test_each_loss_is_asked_for_once_in_each_reading(store):
    person, pension = Reader("person"), Reader("pension")
    lost = LostAndFound(store.engine, [person, pension], lambda: Ends({}))
    assert lost.look() == []  # streams has made no tables yet
    store.prepare("cluster", {})
    note(store, 0, 1, reading=1)
    assert lost.look() == []
    note(store, 0, 2, reading=1, missing=2)
    note(store, 1, 2, reading=1, missing=3)
    assert lost.look() == [PERSON]
    assert lost.look() == []
    person.progress = Progress("hrss", "person", reading=2)
    assert lost.look() == []  # it is being read from its beginning, also where nothing of that has come yet
    note(store, 0, 3, reading=2, missing=1)
    assert lost.look() == [PERSON]
    assert (person.asked, pension.asked) == (2, 0)


def test_a_loss_is_found_again_after_a_restart(store):
    store.prepare("cluster", {})
    note(store, 0, 1, reading=1, epoch=1, missing=2)
    for _ in range(2):
        assert LostAndFound(store.engine, [Reader("person")], lambda: Ends({})).look() == [PERSON]


@pytest.mark.parametrize(
    ("end", "offset", "numbers", "lost"),
    [
        (5, 5, {"reading": 1, "next_number": 7}, False),
        (5, 5, {"reading": 1, "next_number": 5}, True),
        (5, 5, {"reading": 1, "next_number": 9}, False),  # published, and its position not saved yet
        (6, 5, {"reading": 1, "next_number": 5}, False),  # streams has not come to the end
        (5, 5, {"reading": 2, "next_number": 5}, False),  # a newer reading has begun
        (5, 5, {"reading": 0, "next_number": 9}, True),  # all of this reading
    ],
)
def test_an_end_that_never_came_is_told_from_what_was_saved(store, end, offset, numbers, lost):
    store.prepare("cluster", {})
    note(store, 0, offset, **numbers)
    reader = Reader("person", numbers=(7,))
    found = LostAndFound(store.engine, [reader], lambda: Ends({(PERSON, 0): end})).look()
    assert found == ([PERSON] if lost else [])


class People:
    """A connector over a list of people; its position is how many were read."""

    def __init__(self, count):
        self.count = count

    def pull(self, _dataset, after):
        done = after["done"] if after else 0
        while done < self.count:
            upto = min(done + 10, self.count)
            yield Page(
                [Upsert(str(n), {"no": str(n), "name": "张三"}, f"at{n}") for n in range(done, upto)], {"done": upto}
            )
            done = upto


class Forgetful(Publisher):
    """Acknowledges one page and loses it, as a broker does that lost what it had acknowledged."""

    pages = 0
    loses = 0

    def publish(self, topic, records):
        if topic != POSITIONS.name:
            self.pages += 1
            if self.pages == self.loses:
                return super().publish(topic, [])
        return super().publish(topic, records)


class Way:
    """A source, its topic, and the intake that reads it."""

    def __init__(self, bootstrap, store):
        self.bootstrap, self.system, self.store = bootstrap, f"s{uuid.uuid4().hex[:8]}", store
        self.topic, self.source = department_topic(self.system, "d"), People(60)
        ensure_topics(bootstrap, [TopicSpec(self.topic, 2), POSITIONS])
        store.prepare("cluster", {})
        declared = DatasetSource(key=["no"], map={"name": {"column": "name", "required": True}})
        self.intake = Intake(store, self.system, "d", declared, owner_on=lambda _: "人社", hasher=HASHER, partitions=2)

    def connectors(self, until, loses=0):
        """Run the dataset's producer until that holds of it, then stop it in good order: its position is saved."""

        def publisher():
            made = Forgetful(self.bootstrap, "test")
            made.loses = loses
            return made

        producer = DatasetProducer(
            self.source, self.system, "d", bootstrap=self.bootstrap, hasher=HASHER, publisher=publisher,
            pace=Pace(every_s=0.02),
        )  # fmt: skip
        stop = threading.Event()
        thread = threading.Thread(target=producer.run, args=(stop,))
        thread.start()
        deadline = time.monotonic() + 30
        while not until(producer):
            assert time.monotonic() < deadline, producer.progress
            time.sleep(0.01)
        stop.set()
        thread.join(30)
        return producer

    def take(self):
        """All that is in the topic, through the intake."""
        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        stood = self.store.positions()
        for partition in range(2):
            place = TopicPartition(self.topic, partition)
            end, at = consumer.end_offsets([place])[place], stood.get((self.topic, partition), 0)
            consumer.assign([place])
            consumer.seek(place, at)
            while at < end:
                records = consumer.poll(timeout_ms=1_000).get(place, [])
                self.intake.take(partition, at, [incoming(each) for each in records])
                at += len(records)
        consumer.close()

    def known(self):
        with self.store.engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(record))

    def look(self, *readers):
        log = EventsLog(self.bootstrap, [self.topic])
        try:
            return LostAndFound(self.store.engine, readers, lambda: log).look()
        finally:
            log.close()


@pytest.fixture
def way(broker, store):
    return Way(broker.bootstrap, store)


def live(count):
    return lambda producer: producer.progress.state == "live" and producer.progress.published >= count


@pytest.mark.parametrize("page", [3, 6], ids=["amid", "at the end"])
@pytest.mark.parametrize("more", [0, 20], ids=["nothing new", "something new"])
def test_a_page_that_was_acknowledged_and_lost_is_read_again_though_the_connectors_ended_before_anyone_saw(
    way, page, more
):
    first = way.connectors(live(60), loses=page)
    assert first.progress.published == 60
    way.source.count += more
    second = way.connectors(live(60 + more))  # goes on from the saved position: what is lost is behind it
    assert (second.progress.epoch, second.progress.reading) == (2, 1)
    way.take()
    assert way.known() == 50 + more
    asked = []

    def found_and_read_again(producer):
        if producer.progress.epoch == 3 and not asked:
            asked.append(way.look(producer))
        return producer.progress.epoch == 4 and live(2 * (60 + more))(producer)

    third = way.connectors(found_and_read_again)
    assert asked == [[way.topic]]
    assert (third.progress.epoch, third.progress.reading) == (4, 4)
    way.take()
    assert way.known() == 60 + more
    assert way.look(third) == []


def test_nothing_is_read_again_where_nothing_was_lost(way):
    first = way.connectors(live(60))
    way.take()
    way.source.count += 7
    second = way.connectors(live(67))
    assert way.look(second) == []  # what streams has not come to is not lost
    way.take()
    assert way.look(second) == []
    assert way.known() == 67
    assert (first.progress.reading, second.progress.reading) == (1, 1)


def test_a_wish_to_go_back_is_passed_on_until_a_position_was_saved_with_it(store):
    person = Reader("person")
    store.prepare("cluster", {})
    lost = LostAndFound(store.engine, [person], lambda: Ends({}))
    store.wish_from(PERSON, "w1", '{"position": {"low": "2026-01-01"}, "reading": 1}')
    assert (lost.look(), person.wishes) == ([], []), "it does not know yet what was saved"
    person.progress = Progress("hrss", "person", epoch=3)
    assert lost.look() == [PERSON]
    assert lost.look() == []
    assert person.wishes == [Wish("w1", {"low": "2026-01-01"}, 1)]
    restarted = Reader("person")
    restarted.progress = Progress("hrss", "person", epoch=4)
    assert LostAndFound(store.engine, [restarted], lambda: Ends({})).look() == [PERSON], (
        "the one before ended too early"
    )
    restarted.progress = Progress("hrss", "person", epoch=5, sought="w1")
    assert LostAndFound(store.engine, [restarted], lambda: Ends({})).look() == []
    store.wish_from(PERSON, "w2", '{"position": {}, "reading": 1}')
    assert lost.look() == [PERSON]
