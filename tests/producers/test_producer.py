"""A dataset's way into its topic: nothing saved before it is durable, nothing lost in a crash, zombies do no harm."""

from __future__ import annotations

import json
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec
import pytest
from kafka.record import MemoryRecords
from services import BrokerProcess, broker_process
from test_publisher import read

from connectors.base import Delete, Page, Position, Upsert
from contracts.changes import decode, version
from contracts.errors import ColumnMissing, SourceUnreachable
from contracts.identity import Hasher, event_id
from contracts.sources import department_topic
from producers.events import LARGEST
from producers.positions import Saved, Wish, claim, load, saved_record
from producers.producer import DatasetProducer, Pace
from producers.publisher import Publisher
from producers.topics import POSITIONS, TopicSpec, ensure_topics

HASHER = Hasher(b"0123456789abcdef")
PACE = Pace(every_s=0.05, retry_s=0.2, mend_s=0.2)


class Source:
    """A connector over a list: its position is how many changes were read. ``troubles``: raised, one for each pull."""

    def __init__(self, count: int, page: int = 10) -> None:
        self.changes: list[Upsert | Delete] = [self.change(number) for number in range(count)]
        self.page, self.pulled = page, list[Position | None]()
        self.troubles: list[Exception] = []
        self.hold: threading.Event | None = None

    @staticmethod
    def change(number: int, key: int | None = None) -> Upsert:
        return Upsert(str(number % 7 if key is None else key), {"id": number % 7, "n": number}, f"at{number}")

    def pull(self, _dataset: str, after: Position | None) -> Iterator[Page]:
        self.pulled.append(after)
        done = after["done"] if after else 0
        snapshot = after is None
        while done < len(self.changes):
            changes = self.changes[done : done + self.page]
            done += len(changes)
            yield Page(changes, {"done": done}, snapshot=snapshot, duplicates=1, done=done, total=len(self.changes))
            if self.hold is not None:
                self.hold.wait(20)
            if self.troubles:
                raise self.troubles.pop(0)
        if self.troubles:
            raise self.troubles.pop(0)

    def check(self) -> list:
        return []

    def discover(self) -> list:
        return []

    def close(self) -> None:
        pass


class Run:
    """A producer in its thread."""

    def __init__(self, bootstrap: str, system: str, source: Source, *, halted: bool = False, **options: Any) -> None:
        self.bootstrap, self.system, self.source = bootstrap, system, source
        self.stop = threading.Event()

        def publisher() -> Publisher:
            return Publisher(bootstrap, "test", **{"deliver_s": 1.0, **options})

        self.producer = DatasetProducer(
            source, system, "d", bootstrap=bootstrap, hasher=HASHER, publisher=publisher, pace=PACE
        )
        self.producer.halt(halted=halted)
        self.thread = threading.Thread(target=self.producer.run, args=(self.stop,))
        self.thread.start()

    def until(self, condition, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not condition(self.producer.progress):
            assert time.monotonic() < end, self.producer.progress
            time.sleep(0.01)

    def end(self) -> None:
        self.stop.set()
        self.thread.join(30)
        assert not self.thread.is_alive()


@pytest.fixture
def system(broker: BrokerProcess) -> str:
    name = f"s{uuid.uuid4().hex[:8]}"
    ensure_topics(broker.bootstrap, [TopicSpec(department_topic(name, "d"), 4), POSITIONS])
    return name


@pytest.fixture
def started(broker, system):
    runs = []

    def start(source: Source, **options) -> Run:
        runs.append(Run(broker.bootstrap, system, source, **options))
        return runs[-1]

    yield start
    for run in runs:
        run.end()


def events(bootstrap: str, system: str) -> list[tuple[Any, dict[str, bytes], int, bytes]]:
    """(change, headers, partition, key) of all events."""
    found = []
    for partition, records in read(bootstrap, department_topic(system, "d")).items():
        for record, change in zip(records, decode([record.value for record in records]), strict=True):
            found.append((change, dict(record.headers), partition, record.key))
    return found


def folded(bootstrap: str, system: str) -> dict[int, int]:
    """What the events add up to when the greatest version of a record counts, whatever the order of arrival."""
    best: dict[bytes, tuple[str, Any]] = {}
    for change, _, _, key in events(bootstrap, system):
        best[key] = max(best.get(key, ("", None)), (change.source.version, change.record), key=lambda item: item[0])
    return {record["id"]: record["n"] for _, record in best.values()}


def gapless(bootstrap: str, system: str) -> None:
    """ce_sequence counts in order and without a gap for each epoch and partition, from the number that the epoch goes on
    from; no epoch goes on from one that was not reached before."""
    counted: dict[tuple[int, int], int] = {}
    for _, headers, partition, _ in events(bootstrap, system):
        reading, epoch, first, number = map(int, headers["ce_sequence"].decode().split("."))
        assert number == counted.get((epoch, partition), first)
        counted[epoch, partition] = number + 1
        assert first <= max(counted.get((before, partition), 0) for before in range(reading, epoch)) if first else True


def test_events_say_what_the_contract_wants(broker, system, started):
    source = Source(3)
    source.changes.append(Delete("1", "gone1", "2026-01-01T00:00:00Z"))
    run = started(source)
    run.until(lambda now: now.state == "live" and now.published == 4)
    source.changes.append(Upsert("5", {"名": "李"}, "at9", "2026-01-01T08:00:00Z", "f.csv:3"))
    run.until(lambda now: now.published == 5)
    run.end()
    found = sorted(events(broker.bootstrap, system), key=lambda event: event[0].source.version)
    assert [event[0].op for event in found] == ["snapshot", "snapshot", "snapshot", "delete", "upsert"]
    change, headers, _, key = found[-1]
    subject = HASHER.record(system, "d", "5")
    assert key.decode() == subject
    assert change.record == {"名": "李"}
    assert (change.source.system, change.source.dataset, change.source.epoch) == (system, "d", 1)
    assert (change.source.committed_at, change.source.place) == ("2026-01-01T08:00:00Z", "f.csv:3")
    assert headers == {
        "ce_specversion": b"1.0",
        "ce_id": event_id(system, "d", subject, "at9").encode(),
        "ce_source": f"/department/{system}/d".encode(),
        "ce_type": b"onewindow.change.upsert",
        "ce_time": b"2026-01-01T08:00:00Z",
        "ce_subject": subject.encode(),
        "ce_sequence": headers["ce_sequence"],
        "content-type": b"application/json",
    }
    gapless(broker.bootstrap, system)
    versions = [event[0].source.version for event in found]
    assert versions == sorted(set(versions))
    assert versions[0] == version(1, 0, 0)


class Twice(Source):
    """Waits at the end of its first look for ``go_on``, and at the beginning of its second one for ``again``."""

    def __init__(self) -> None:
        super().__init__(3)
        self.go_on, self.again = threading.Event(), threading.Event()

    def pull(self, dataset: str, after: Position | None) -> Iterator[Page]:
        if self.pulled:
            self.again.wait(20)
        yield from super().pull(dataset, after)
        self.go_on.wait(20)


def test_a_source_was_looked_at_when_the_look_began(started):
    """What came into the source while the look was being published was not seen by it."""
    source = Twice()
    run = started(source)
    run.until(lambda now: now.rows == 3)
    came = time.time()
    source.go_on.set()
    run.until(lambda now: now.looked_at is not None)
    assert run.producer.progress.looked_at < came
    source.again.set()
    run.until(lambda now: now.looked_at > came)


def test_a_restart_goes_on_where_it_stood_under_a_new_epoch(broker, system, started):
    source = Source(55)
    first = started(source)
    first.until(lambda now: now.state == "live")
    first.end()
    assert load(broker.bootstrap)[f"{system}.d"].position == {"done": 55}
    source.changes += [source.change(number) for number in range(55, 60)]
    second = started(source)
    second.until(lambda now: now.published == 60)
    second.end()
    found = events(broker.bootstrap, system)
    assert sorted(event[0].record["n"] for event in found) == list(range(60))
    assert {event[0].source.epoch for event in found} == {1, 2}
    gapless(broker.bootstrap, system)
    epochs = {tuple(map(int, headers["ce_sequence"].split(b".")[:2])) for _, headers, _, _ in found}
    assert epochs == {(1, 1), (1, 2)}  # one reading, whose numbers go on
    assert second.producer.progress.numbers == tuple(
        sum(event[2] == partition for event in found) for partition in range(4)
    )
    saved = load(broker.bootstrap)[f"{system}.d"]
    assert (saved.published, saved.again, saved.duplicates, saved.epoch, saved.snapshot_done) == (60, 0, 7, 2, True)
    keys = [record.key.decode() for record in read(broker.bootstrap, POSITIONS.name)[0] if record.value is None]
    assert f"{system}.d/1" in keys


def values(data: bytes) -> list[dict[str, Any]]:
    """The values of an uncompressed batch."""
    return [json.loads(record.value) for batch in MemoryRecords(data) for record in batch if record.value]


def test_a_position_never_leaves_before_what_it_stands_for_is_acknowledged(broker, system, started, monkeypatch):
    """The seam sees each request leave; answers are taken in by the same thread, so what is not taken is not durable."""
    monkeypatch.setattr(
        "producers.producer.SAVE_EVERY_S", 0.0
    )  # as often as can be: at a pace, none may fall amid pages
    sent, saves, early = [], [], []

    def watch(batches, go):
        for batch in batches:
            if batch.topic == POSITIONS.name:
                positions = [value["position"] for value in values(batch.data) if value["position"]]
                saves.append(any(not other.taken for other, _ in sent))
                for position in positions:
                    early.extend(
                        n for other, numbers in sent if not other.taken for n in numbers if n < position["done"]
                    )
            else:
                sent.append((batch, [value["record"]["n"] for value in values(batch.data)]))
        go()

    run = started(Source(6_000, page=5), send=watch, compression="none", deliver_s=20)
    run.until(lambda now: now.state == "live")
    run.end()
    assert run.producer.progress.failures == 0
    assert early == []
    assert any(saves)  # positions did leave while later pages were under way
    assert sum(len(numbers) for _, numbers in sent) == 6_000
    assert load(broker.bootstrap)[f"{system}.d"].position == {"done": 6_000}


def test_what_a_saved_position_stands_for_is_in_the_log(tmp_path):
    """At each moment that a position is saved, the log is read by somebody else, and must hold all up to it."""
    with broker_process(tmp_path / "data") as own:
        ensure_topics(own.bootstrap, [TopicSpec(department_topic("s", "d"), 2), POSITIONS])
        run = Run(own.bootstrap, "s", Source(4_000, page=20))
        checks = 0
        while not run.producer.progress.snapshot_done or checks < 2:
            saved = load(own.bootstrap).get("s.d")
            in_log = sum(len(items) for items in read(own.bootstrap, department_topic("s", "d")).values())
            if saved is not None and saved.position is not None:
                assert in_log >= saved.position["done"] == saved.published
                checks += 1
        run.end()


def test_a_batch_lost_on_the_way_is_read_again(broker, system, started):
    """The seam loses the fourth request for good. The publisher dies with it, and nothing after it gets through."""
    lost = []

    def lose(batches, go):
        if batches[0].topic != POSITIONS.name:
            lost.append(batches)
            if len(lost) == 4:
                return
        go()

    run = started(Source(200), send=lose, in_flight=2)
    run.until(lambda now: now.state == "live", 30)
    run.end()
    found = events(broker.bootstrap, system)
    assert {event[0].record["n"] for event in found} == set(range(200))
    assert max(event[0].source.epoch for event in found) == 2
    assert folded(broker.bootstrap, system) == {n % 7: n for n in range(193, 200)}
    gapless_epochs = {headers["ce_sequence"].split(b".")[1] for _, headers, _, _ in found}
    assert gapless_epochs == {b"1", b"2"}
    gapless(broker.bootstrap, system)


def test_a_process_that_ends_between_send_and_save_repeats_but_loses_nothing(broker, system, started):
    """As a crash: all events are durable, no position is."""

    class Crash(BaseException):
        pass

    def crash(batches, go):
        if batches[0].topic == POSITIONS.name and b'"done"' in batches[0].data:
            raise Crash
        go()

    publisher = {"compression": "none", "send": crash}
    source = Source(30)
    threading.excepthook, kept = lambda _: None, threading.excepthook
    try:
        run = started(source, **publisher)
        run.thread.join(20)
        assert not run.thread.is_alive()
    finally:
        threading.excepthook = kept
    assert load(broker.bootstrap)[f"{system}.d"].position is None
    run = started(source)
    run.until(lambda now: now.state == "live")
    run.end()
    found = events(broker.bootstrap, system)
    assert len(found) > 30
    saved = load(broker.bootstrap)[f"{system}.d"]
    assert (saved.published, saved.again) == (30, len(found) - 30)  # the books know what the crash left in the topic
    assert {event[0].record["n"] for event in found} == set(range(30))
    ids: dict[int, set[bytes]] = {}
    for change, headers, _, _ in found:
        ids.setdefault(change.record["n"], set()).add(headers["ce_id"])
    assert all(len(same) == 1 for same in ids.values())  # a repetition can be told by its id


def test_a_loss_stays_in_the_books_until_all_is_read_again(broker, system):
    """Five events were acknowledged and saved, and the topic is empty."""
    with closing(Publisher(broker.bootstrap, "test")) as publisher:
        publisher.publish(POSITIONS.name, [saved_record(system, "d", Saved(epoch=1, published=5, owner="o"))])
        publisher.flush()
        assert claim(publisher, broker.bootstrap, system, "d").again == 0
        assert claim(publisher, broker.bootstrap, system, "d", restart=True).again == -5
        publisher.flush()


def test_a_zombie_does_no_harm(broker, system, started):
    """The first producer stands still in the middle; a second takes over and the source moves on; then the first wakes."""
    source, held = Source(40), Source(40)
    held.hold = threading.Event()
    zombie = started(held)
    zombie.until(lambda now: now.rows == 10)
    heir = started(source)
    heir.until(lambda now: now.state == "live" and now.epoch == 2)
    source.changes += [source.change(number) for number in range(40, 60)]
    heir.until(lambda now: now.published >= 60)
    held.hold.set()
    zombie.until(lambda now: now.state == "live")
    zombie.end()
    heir.end()
    assert folded(broker.bootstrap, system) == {n % 7: n for n in range(53, 60)}
    saved = load(broker.bootstrap)[f"{system}.d"]
    assert (saved.epoch, saved.position) == (2, {"done": 60})
    third = started(source)
    third.until(lambda now: now.state == "live" and now.epoch == 3)
    third.end()
    assert {event[0].record["n"] for event in events(broker.bootstrap, system)} == set(range(60))


def test_two_that_start_at_once_get_different_epochs(broker, system):
    barrier, got = threading.Barrier(4), []

    def start() -> None:
        publisher = Publisher(broker.bootstrap, "test")
        barrier.wait()
        got.append(claim(publisher, broker.bootstrap, system, "d").epoch)
        publisher.flush()
        publisher.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(got)) == 4


def test_a_source_that_fails_is_waited_for_under_the_same_epoch(broker, system, started):
    source = Source(30)
    source.troubles = [
        SourceUnreachable("down", fix="wait"),
        ColumnMissing("no column", fix="add it"),
        ValueError("bug"),
    ]
    run = started(source)
    states = set()

    def seen(now) -> bool:
        states.add((now.state, now.code))
        return now.state == "live" and now.published == 30

    run.until(seen)
    run.end()
    assert {("waiting", "OW-1201"), ("waiting", "OW-1107"), ("waiting", "")} <= states
    assert run.producer.progress.failures == 3
    found = events(broker.bootstrap, system)
    assert [event[0].source.epoch for event in found] == [1] * 30
    assert source.pulled[:4] == [None, {"done": 10}, {"done": 20}, {"done": 30}]


def test_a_broker_that_goes_away_is_waited_for(tmp_path):
    with broker_process(tmp_path / "data") as own:
        ensure_topics(own.bootstrap, [TopicSpec(department_topic("s", "d"), 2), POSITIONS])
        source = Source(50)
        run = Run(own.bootstrap, "s", source)
        run.until(lambda now: now.state == "live")
        own.kill()
        source.changes += [source.change(number) for number in range(50, 90)]
        run.until(lambda now: now.state == "waiting" and now.code in ("OW-1301", "OW-1304"))
        own.start()
        run.until(lambda now: now.state == "live" and now.published == 90, 40)
        run.end()
        assert {event[0].record["n"] for event in events(own.bootstrap, "s")} == set(range(90))
        gapless(own.bootstrap, "s")


def test_a_broker_that_stands_still_shows_before_the_publish_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("producers.producer.UNEASY_S", 0.3)
    with broker_process(tmp_path / "data") as own:
        ensure_topics(own.bootstrap, [TopicSpec(department_topic("s", "d"), 2), POSITIONS])
        source = Source(5)
        run = Run(own.bootstrap, "s", source, deliver_s=20)
        run.until(lambda now: now.state == "live")
        own.process.send_signal(signal.SIGSTOP)
        source.changes.append(source.change(5))
        run.until(lambda now: now.state == "waiting" and "acknowledged nothing" in (now.text or ""))
        own.process.send_signal(signal.SIGCONT)
        run.until(lambda now: now.state == "live" and now.published == 6)
        run.end()
        assert run.producer.progress.failures == 0
        assert len(events(own.bootstrap, "s")) == 6


def test_missing_topics_are_reported(tmp_path):
    with broker_process(tmp_path / "data") as own:
        run = Run(own.bootstrap, "s", Source(5))
        run.until(lambda now: now.code == "OW-1305")
        ensure_topics(own.bootstrap, [TopicSpec(department_topic("s", "d"), 2), POSITIONS])
        run.until(lambda now: now.published == 5)
        run.end()


def test_reading_again_from_the_beginning(broker, system, started):
    source = Source(20)
    run = started(source)
    run.until(lambda now: now.state == "live")
    run.producer.reread()
    run.until(lambda now: now.epoch == 2 and now.state == "live" and now.published == 40)
    run.end()
    began = {headers["ce_sequence"].rpartition(b".")[0] for _, headers, _, _ in events(broker.bootstrap, system)}
    assert began == {b"1.1.0", b"2.2.0"}  # numbered anew, as a reading of its own
    again = started(source)
    again.until(lambda now: now.epoch == 3 and now.state == "live")
    again.end()
    assert (again.producer.progress.reading, sum(again.producer.progress.numbers)) == (2, 20)
    assert source.pulled.count(None) == 2
    assert len(events(broker.bootstrap, system)) == 40


def test_going_back_to_an_earlier_place_is_a_new_epoch_of_the_same_reading(broker, system, started):
    source = Source(20)
    run = started(source)
    run.until(lambda now: now.state == "live")
    run.producer.seek(Wish("w1", {"done": 15}, reading=1))
    run.until(lambda now: now.epoch == 2 and now.state == "live" and now.published == 25)
    assert run.producer.progress.sought == "w1"
    run.end()
    gapless(broker.bootstrap, system)
    found = [event for event in events(broker.bootstrap, system) if event[0].source.epoch == 2]
    assert sorted(event[0].record["n"] for event in found) == list(range(15, 20))
    saved = load(broker.bootstrap)[f"{system}.d"]
    assert (saved.reading, saved.position, saved.sought) == (1, {"done": 20}, "w1")
    again = started(source)
    again.until(lambda now: now.epoch == 3 and now.state == "live")
    again.end()
    assert (again.producer.progress.sought, again.producer.progress.published) == ("w1", 25)


@pytest.mark.parametrize("done", [False, True])
def test_a_wish_to_go_back_breaks_off_no_reading_from_the_beginning(broker, system, started, done):
    """Whatever it has not come to yet would never be read."""
    run = started(Source(20))
    run.until(lambda now: now.state == "live")
    run.end()
    with closing(Publisher(broker.bootstrap, "test")) as publisher:
        begun = claim(publisher, broker.bootstrap, system, "d", restart=True)
        saved = msgspec.structs.replace(begun, position={"done": 3}, snapshot_done=done)
        publisher.publish(POSITIONS.name, [saved_record(system, "d", saved)])
        publisher.flush()
        late = claim(publisher, broker.bootstrap, system, "d", seek=Wish("w1", {"done": 15}, reading=1))
        assert (late.position, late.reading, late.sought) == ({"done": 3}, 2, "w1")
        mine = claim(publisher, broker.bootstrap, system, "d", seek=Wish("w2", {"done": 2}, reading=2))
        assert mine.position == ({"done": 2} if done else {"done": 3})


def test_reading_from_the_beginning_fulfils_a_wish_to_go_back_too(broker, system, started):
    source = Source(20)
    run = started(source)
    run.until(lambda now: now.state == "live")
    run.producer.halt(halted=True)
    run.until(lambda now: now.state == "paused")
    run.producer.seek(Wish("w1", {"done": 15}, reading=1))
    run.producer.reread()
    run.producer.halt(halted=False)
    run.until(lambda now: now.state == "live" and now.sought == "w1" and now.published >= 40)
    run.end()
    assert source.pulled.count(None) == 2
    assert load(broker.bootstrap)[f"{system}.d"].reading > 1


def test_a_record_that_no_event_can_hold_does_not_stop_the_next(broker, system, started):
    source = Source(0)
    source.changes = [
        Upsert("1", {"id": 1, "n": "x" * (LARGEST + 1)}, "a", place="f.csv:7"),
        Upsert("2", {"id": 2, "n": "\ud800"}, "b"),
        Upsert("3", {"id": 3, "n": object()}, "c"),
        Upsert("4", {"id": 4, "n": 4}, "d"),
    ]
    run = started(source)
    run.until(lambda now: now.state == "live")
    run.end()
    records = [record for items in read(broker.bootstrap, department_topic(system, "d")).values() for record in items]
    assert len(records) == 4
    found = decode([record.value for record in records])
    assert sorted(type(change).__name__ for change in found) == ["FastChange", "Unreadable", "Unreadable", "Unreadable"]
    for record in records:
        value = json.loads(record.value)
        assert value.get("unreadable") is not None or value["record"] == {"id": 4, "n": 4}
        if value["source"]["index"] == 0:
            assert value["source"]["place"] == "f.csv:7"
            assert "more than the" in value["unreadable"]


def test_no_record_key_leaves_in_clear(broker, system, started):
    source = Source(0)
    source.changes = [Upsert("00000019500101001X", {"id": 1}, "at")]
    run = started(source)
    run.until(lambda now: now.state == "live")
    run.end()
    for records in read(broker.bootstrap, department_topic(system, "d")).values():
        for record in records:
            assert b"19500101001" not in record.key + record.value + b"".join(value for _, value in record.headers)


def test_stop_saves_what_was_read(broker, system, started):
    source = Source(100_000, page=10)
    run = started(source)
    run.until(lambda now: (now.rows or 0) > 500)
    run.end()
    assert run.producer.progress.state == "stopped"
    saved = load(broker.bootstrap)[f"{system}.d"]
    assert saved.published == saved.position["done"] == len(events(broker.bootstrap, system))


def test_saved_positions_keep_their_form():
    record = saved_record("hrss", "d", Saved(epoch=3, sequence=2, position={"a": 1}, published=5, owner="o"))
    assert record.key == b"hrss.d/3"
    assert json.loads(record.value) == {
        "epoch": 3, "sequence": 2, "reading": 0, "numbers": [], "position": {"a": 1}, "published": 5, "again": 0, "duplicates": 0, "stale": 0, "notes": [],
        "asks": [], "snapshot_done": False, "saved_at": "", "sought": "", "owner": "o",
    }  # fmt: skip


class Weighed(Source):
    """A source that keeps what is not read, and does not look each time."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.asked, self.looks = 0, True

    def retained(self, _dataset: str) -> list[str]:
        self.asked += 1
        return ["it keeps 7 MB"] if self.asked == 1 else []

    def looked(self, _dataset: str) -> bool:
        return self.looks


def test_a_dataset_that_is_paused_is_not_read_and_goes_on_where_it_stood(started, broker, system):
    source = Source(100)
    source.hold = threading.Event()
    run = started(source)
    run.until(lambda now: now.published or now.rows)
    run.producer.halt(halted=True)
    source.hold.set()
    run.until(lambda now: now.state == "paused")
    saved = load(broker.bootstrap)[f"{system}.d"]
    assert 0 < saved.position["done"] < 100
    pulls = len(source.pulled)
    source.changes += [Source.change(number) for number in range(100, 120)]
    run.producer.reread()  # the next epoch begins, and reads nothing either
    run.until(lambda now: now.epoch > saved.epoch and now.state == "paused")
    assert len(source.pulled) == pulls
    run.producer.halt(halted=False)
    run.until(lambda now: now.state == "live")
    assert load(broker.bootstrap)[f"{system}.d"].position == {"done": 120}
    assert {change.record["n"] for change, *_ in events(broker.bootstrap, system)} == set(range(120))


def test_what_is_paused_before_it_begins_is_not_read_at_all(started):
    source = Source(10)
    run = started(source, halted=True)
    run.until(lambda now: now.state == "paused")
    run.end()
    assert source.pulled == []


def test_what_a_source_keeps_while_it_is_paused_is_noted_once(started, broker, system):
    source = Weighed(10)
    run = started(source)
    run.until(lambda now: now.state == "live")
    run.producer.halt(halted=True)
    run.until(lambda now: now.state == "paused" and now.notes)
    (note,) = run.producer.progress.notes
    assert note.endswith("it keeps 7 MB")
    assert load(broker.bootstrap)[f"{system}.d"].notes == (note,)


def test_a_pull_that_spared_the_source_is_no_look_at_it(started):
    source = Weighed(10)
    source.looks = False
    run = started(source)
    run.until(lambda now: now.state == "live" and len(source.pulled) > 2)
    assert run.producer.progress.looked_at is None
    source.looks = True
    run.until(lambda now: now.looked_at is not None)
