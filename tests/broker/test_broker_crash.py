"""kill -9 of a real broker under load: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from services import broker_process

EACH = 3_000


class Load:
    """An idempotent producer in a thread of its own, that goes on until it is told to stop."""

    def __init__(self, bootstrap, number):
        self.acked, self.refused, self.sent = [], [], 0
        self._number, self._stop = number, threading.Event()
        self.progress = threading.Condition()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "linger.ms": 1,
                "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 100,
                "retry.backoff.ms": 20,
                "retry.backoff.max.ms": 100,
            }
        )
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._stop.is_set():
            if self.sent - len(self.acked) < 100:
                self._producer.produce(
                    "t", b"%d-%d" % (self._number, self.sent), partition=self.sent % 2, on_delivery=self._delivered
                )
                self.sent += 1
                self._producer.poll(0)
            else:
                self._producer.poll(0.01)
        self._producer.flush(30)

    def _delivered(self, error, message):
        with self.progress:
            (self.refused if error else self.acked).append(message.value() if error is None else error)
            self.progress.notify_all()

    def wait_for(self, count):
        with self.progress:
            assert self.progress.wait_for(lambda: len(self.acked) >= count or self.refused, 30)

    def stop(self):
        self._stop.set()
        self._thread.join()


def everything(bootstrap):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False})
    places = [TopicPartition("t", number, 0) for number in (0, 1)]
    total = sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
    consumer.assign(places)
    got = []
    while len(got) < total:
        got += [message.value() for message in consumer.consume(5_000, 5) if message.error() is None]
    consumer.close()
    return Counter(got)


@pytest.mark.parametrize(("fsync", "kills"), [("always", 3), ("never", 2)])
def test_nothing_acknowledged_is_lost_and_nothing_is_there_twice(tmp_path, fsync, kills):
    with broker_process(tmp_path / "data") as broker:
        broker.stop()
        broker.fsync = fsync
        broker.start()
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.create_topics([NewTopic("t", 2, 1)])["t"].result(10)
        loads = [Load(broker.bootstrap, number) for number in (1, 2)]
        try:
            for _ in range(kills):
                goals = [(load, len(load.acked) + EACH) for load in loads]
                for load, goal in goals:
                    load.wait_for(goal)
                broker.kill()
                broker.start()
        finally:
            for load in loads:
                load.stop()
        got = everything(broker.bootstrap)

    acked = [value for load in loads for value in load.acked]
    assert [load.refused for load in loads] == [[], []]
    assert len(acked) >= 2 * kills * EACH
    assert set(acked) - set(got) == set()
    assert {value: count for value, count in got.items() if count > 1} == {}
