"""A log that its broker can't read: whoever needs it says so, with one code, and waits for nobody."""

from __future__ import annotations

import shutil
from contextlib import closing, contextmanager

import pytest
from services import broker_process

from contracts.errors import LogDamaged
from onewindow.events_log import EventsLog
from producers.positions import claim, load
from producers.publisher import Publisher, Record
from producers.topics import POSITIONS, TopicSpec, ensure_topics

pytestmark = pytest.mark.deployment

TOPIC = TopicSpec("department.hrss.person", 2)
WANTED = [TOPIC, POSITIONS]


def truncate(directory):
    log = next(directory.glob("*.log"))
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])


def flip_a_byte(directory):
    log = next(directory.glob("*.log"))
    raw = bytearray(log.read_bytes())
    raw[-3] ^= 1
    log.write_bytes(raw)


def remove_the_segment(directory):
    next(directory.glob("*.log")).unlink()


def remove_the_manifest(directory):
    (directory / "manifest").unlink()


@contextmanager
def damaged(tmp_path, topic, how):
    """A broker with ten records in each partition, of which the first of a topic was damaged while it was down."""
    with broker_process(tmp_path / "broker") as broker:
        ensure_topics(broker.bootstrap, WANTED)
        with closing(Publisher(broker.bootstrap, "test")) as publisher:
            for spec in WANTED:
                for partition in range(spec.partitions):
                    records = [Record(b"a.b/1", b'{"epoch": 1}', (), partition) for _ in range(10)]
                    publisher.publish(spec.name, records)
            publisher.flush()
        broker.stop()
        how(tmp_path / "broker" / "topics" / f"{topic}-0")
        broker.start()
        yield broker


@pytest.mark.parametrize("how", [truncate, remove_the_segment, remove_the_manifest, shutil.rmtree])
def test_a_damaged_partition_is_said_by_whoever_asks_for_it(tmp_path, how):
    with damaged(tmp_path, TOPIC.name, how) as broker:
        with pytest.raises(LogDamaged, match=r"hrss\.person-0 is offline"):
            ensure_topics(broker.bootstrap, WANTED)
        log = EventsLog(broker.bootstrap)
        try:
            assert log.ends([POSITIONS.name]) == {(POSITIONS.name, 0): 10}
            with pytest.raises(LogDamaged, match=r"hrss\.person-0 is offline"):
                log.ends([TOPIC.name])
            with pytest.raises(LogDamaged, match=r"hrss\.person-0 is offline"):
                list(log.records(TOPIC.name, 0, 0, 10))
            assert len(next(log.records(TOPIC.name, 1, 0, 10))[2]) == 10
        finally:
            log.close()


def test_a_flipped_byte_is_found_when_it_is_read(tmp_path):
    with damaged(tmp_path, TOPIC.name, flip_a_byte) as broker:
        log = EventsLog(broker.bootstrap)
        try:
            with pytest.raises(LogDamaged, match=r"hrss\.person-0 is offline"):
                list(log.records(TOPIC.name, 0, 0, 10))
        finally:
            log.close()


@pytest.mark.parametrize("how", [truncate, flip_a_byte])
def test_positions_that_can_not_be_read_are_no_reason_to_wait(tmp_path, how):
    with damaged(tmp_path, POSITIONS.name, how) as broker:
        with pytest.raises(LogDamaged), closing(Publisher(broker.bootstrap, "test")) as publisher:
            claim(publisher, broker.bootstrap, "hrss", "person", wait_s=3.0)
        with pytest.raises(LogDamaged):
            load(broker.bootstrap, wait_s=3.0)
