"""Each client library makes a topic, writes, reads in a group, commits, and goes on from there."""

from __future__ import annotations

import asyncio
import time
import uuid

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin import NewTopic as ConfluentTopic
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

COUNT = 200
RECORDS = [b"value %d" % number for number in range(COUNT)]


@pytest.fixture
def topic(broker):
    """A topic of three partitions, made with kafka-python."""
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    name = f"t-{uuid.uuid4()}"
    admin.create_topics([NewTopic(name, 3, 1)])
    admin.close()
    return name


@pytest.mark.parametrize("codec", [None, "gzip", "lz4", "zstd"])
@pytest.mark.parametrize("idempotent", [False, True])
def test_kafka_python(broker, topic, codec, idempotent):
    producer = KafkaProducer(
        bootstrap_servers=broker.bootstrap, compression_type=codec, enable_idempotence=idempotent, acks="all"
    )
    sent = [producer.send(topic, value, partition=number % 3) for number, value in enumerate(RECORDS)]
    producer.flush(10)
    assert max(one.get(10).offset for one in sent) == (COUNT - 1) // 3
    producer.close()

    def read(count):
        consumer = KafkaConsumer(
            topic,
            bootstrap_servers=broker.bootstrap,
            group_id=topic,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        got = []
        while len(got) < count:
            for records in consumer.poll(1_000, max_records=count - len(got)).values():
                got += [one.value for one in records]
        consumer.commit()
        consumer.close()
        return got

    assert sorted(read(50) + read(COUNT - 50)) == sorted(RECORDS)


def test_kafka_python_finds_offsets_by_time(broker, topic):
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, batch_size=1)
    now = int(time.time() * 1_000)  # older records may be taken away by the topic's retention at any time
    for at in range(5):
        producer.send(topic, b"x", partition=0, timestamp_ms=now + 1_000 * at).get(10)
    producer.close()
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap)
    place = TopicPartition(topic, 0)
    found = consumer.offsets_for_times({place: now + 1_500})[place]
    ends = consumer.beginning_offsets([place])[place], consumer.end_offsets([place])[place]
    consumer.close()
    assert (found.offset, found.timestamp, ends) == (2, now + 2_000, (0, 5))


@pytest.mark.parametrize("idempotent", [False, True])
def test_aiokafka(broker, topic, idempotent):
    async def main():
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, enable_idempotence=idempotent)
        await producer.start()
        await asyncio.gather(*[await producer.send(topic, value) for value in RECORDS])
        await producer.stop()
        got = []
        for count in (50, COUNT - 50):
            consumer = AIOKafkaConsumer(
                topic,
                bootstrap_servers=broker.bootstrap,
                group_id=topic,
                auto_offset_reset="earliest",
                enable_auto_commit=False,
            )
            await consumer.start()
            got += [(await consumer.getone()).value for _ in range(count)]
            await consumer.commit()
            await consumer.stop()
        return got

    assert sorted(asyncio.run(main())) == sorted(RECORDS)


@pytest.mark.parametrize("codec", ["none", "zstd", "snappy"])
def test_librdkafka(broker, codec):
    topic, address = f"t-{uuid.uuid4()}", {"bootstrap.servers": broker.bootstrap}
    admin = AdminClient(address)  # has to live until the answer is there
    admin.create_topics([ConfluentTopic(topic, 3, 1)])[topic].result(10)
    producer = Producer(address | {"enable.idempotence": True, "compression.type": codec})
    for value in RECORDS:
        producer.produce(topic, value)
    assert producer.flush(10) == 0
    got = []
    for count in (50, COUNT - 50):
        consumer = Consumer(address | {"group.id": topic, "auto.offset.reset": "earliest", "enable.auto.commit": False})
        consumer.subscribe([topic])
        for _ in range(count):
            message = consumer.poll(10)
            assert message.error() is None
            got.append(message.value())
        consumer.commit(asynchronous=False)
        consumer.close()
    assert sorted(got) == sorted(RECORDS)
