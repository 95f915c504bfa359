"""Whole batches reach a real broker once, in order, and a publisher that lost one never sends the next."""

from __future__ import annotations

import time
import uuid
from collections import defaultdict

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.partitioner import murmur2 as reference
from services import BrokerProcess, broker_process

from contracts.errors import BrokerUnreachable, PublishFailed, TopicWrong
from producers._kafka import murmur2
from producers.publisher import Publisher, Record
from producers.topics import TopicSpec, ensure_topics


def read(bootstrap: str, topic: str) -> dict[int, list]:
    """Every record of a topic, by partition."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, fetch_max_wait_ms=50)
    try:
        parts = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        ends, found, until = consumer.end_offsets(parts), defaultdict(list), time.monotonic() + 20
        while any(consumer.position(part) < ends[part] for part in parts) and time.monotonic() < until:
            for part, records in consumer.poll(timeout_ms=200).items():
                found[part.partition] += records
        return dict(found)
    finally:
        consumer.close()


@pytest.fixture
def topic(broker: BrokerProcess) -> str:
    name = f"t-{uuid.uuid4().hex[:8]}"
    ensure_topics(broker.bootstrap, [TopicSpec(name, 4)])
    return name


def records(count: int, start: int = 0) -> list[Record]:
    return [
        Record(f"{number % 97:032x}".encode(), str(number).encode(), (("n", b"%d" % number),))
        for number in range(start, start + count)
    ]


def numbers(found: dict[int, list]) -> dict[int, list[int]]:
    return {part: [int(record.value) for record in items] for part, items in found.items()}


def test_murmur2_is_kafkas():
    for length in range(70):
        key = bytes(range(200, 200 + length))[:length] if length < 56 else b"\xfe\x01" * length
        assert murmur2(key) == reference(key)


def test_records_arrive_once_and_in_order_where_kafkas_partitioner_puts_them(broker, topic):
    publisher = Publisher(broker.bootstrap, "test")
    for start in range(0, 6_000, 1_000):
        publisher.publish(topic, records(1_000, start))
    publisher.flush()
    assert publisher.acked == 6
    publisher.close()
    found = read(broker.bootstrap, topic)
    assert sorted(n for items in numbers(found).values() for n in items) == list(range(6_000))
    for part, items in found.items():
        assert numbers(found)[part] == sorted(numbers(found)[part])
        for record in items:
            assert (reference(record.key) & 0x7FFFFFFF) % 4 == part
            assert record.headers == [("n", record.value)] or list(record.headers) == [("n", record.value)]


@pytest.mark.parametrize("compression", ["none", "gzip", "lz4", "zstd"])
def test_a_publish_larger_than_a_batch_is_split(broker, topic, compression):
    publisher = Publisher(broker.bootstrap, "test", batch_bytes=2_000, compression=compression)
    publisher.publish(topic, records(2_000))
    publisher.flush()
    publisher.close()
    assert sorted(n for items in numbers(read(broker.bootstrap, topic)).values() for n in items) == list(range(2_000))


def test_a_lost_request_kills_the_publisher_and_nothing_later_is_sent(broker, topic):
    requests = []

    def lose_the_third(batches, go):
        requests.append(batches)
        if len(requests) != 3:
            go()

    publisher = Publisher(broker.bootstrap, "test", deliver_s=4.0, send=lose_the_third, in_flight=1)
    for number in range(6):
        publisher.publish(topic, [Record(b"k", b"%d" % number, (), 0)])
    with pytest.raises(PublishFailed) as caught:
        publisher.flush()
    assert "not acknowledged" in caught.value.finding
    assert publisher.acked == 2
    with pytest.raises(PublishFailed):
        publisher.publish(topic, records(1))
    publisher.close()
    assert numbers(read(broker.bootstrap, topic)) == {0: [0, 1]}


def test_a_broker_that_is_killed_and_comes_back_gets_everything_once(tmp_path):
    with broker_process(tmp_path / "data") as own:
        ensure_topics(own.bootstrap, [TopicSpec("t", 2)])
        publisher = Publisher(own.bootstrap, "test", deliver_s=20)
        for number in range(30):
            publisher.publish("t", records(100, number * 100))
            if number == 10:
                own.kill()
                own.start()
        publisher.flush()
        publisher.close()
        found = numbers(read(own.bootstrap, "t"))
    assert sorted(n for items in found.values() for n in items) == list(range(3_000))
    assert all(items == sorted(items) for items in found.values())


def test_a_broker_that_stays_away_is_unreachable_or_fails_the_publish(tmp_path):
    with broker_process(tmp_path / "data") as own:
        ensure_topics(own.bootstrap, [TopicSpec("t", 2)])
        unaware, publisher = (Publisher(own.bootstrap, "test", deliver_s=1.0) for _ in range(2))
        publisher.partitions("t")
        own.kill()
        with pytest.raises(BrokerUnreachable):
            unaware.publish("t", records(10))
        unaware.close()
        publisher.publish("t", records(10))
        with pytest.raises(PublishFailed):
            publisher.flush()
        publisher.close()
        with pytest.raises(BrokerUnreachable):
            Publisher(own.bootstrap, "test", deliver_s=0.5)
        with pytest.raises(BrokerUnreachable):
            ensure_topics(own.bootstrap, [TopicSpec("t", 2)], wait_s=0.5)


def test_a_missing_topic_is_named_and_not_made(broker):
    publisher = Publisher(broker.bootstrap, "test", deliver_s=1.0)
    with pytest.raises(TopicWrong, match="no-such-topic"):
        publisher.publish("no-such-topic", records(1))
    publisher.close()


def test_topics_are_made_once_and_compared(broker, topic):
    assert ensure_topics(broker.bootstrap, [TopicSpec(topic, 4)]) == []
    with pytest.raises(TopicWrong, match="has 4 partitions, 3 are declared"):
        ensure_topics(broker.bootstrap, [TopicSpec(topic, 3)])
